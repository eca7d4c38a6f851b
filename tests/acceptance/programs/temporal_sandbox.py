"""A workflow of Temporal in its sandbox, without a server: activities are run here as they are scheduled.

The first time, their results are noted. The second time is a replay in another sandbox, in which none is run any more.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic_ai.durable_exec.temporal import PydanticAIPayloadConverter, PydanticAIPlugin, TemporalDurability
from temporal_agent import Support, agent
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.bridge.proto.activity_result import ActivityResolution, Success
from temporalio.bridge.proto.workflow_activation import (
    InitializeWorkflow,
    NotifyHasPatch,
    ResolveActivity,
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.common import Priority, TypedSearchAttributes
from temporalio.converter import DefaultFailureConverter
from temporalio.testing import ActivityEnvironment
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info

CONVERTER = PydanticAIPayloadConverter()
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG: Any = PydanticAIPlugin().configure_worker(
    {'workflows': [Support], 'activities': [], 'workflow_runner': SandboxedWorkflowRunner()}
)
durability = TemporalDurability.from_agent(agent)
assert durability is not None
ACTIVITIES: dict[str, Callable[..., Any]] = {
    getattr(each, '__temporal_activity_definition').name: each for each in durability.temporal_activities
}


def workflow_in_sandbox() -> WorkflowInstance:
    info = Info(
        attempt=1,
        continued_run_id=None,
        cron_schedule=None,
        execution_timeout=None,
        first_execution_run_id='first',
        headers={},
        namespace='default',
        original_execution_run_id='first',
        parent=None,
        root=None,
        priority=Priority.default,
        raw_memo={},
        retry_policy=None,
        run_id='first',
        run_timeout=None,
        search_attributes={},
        start_time=BEGAN,
        task_queue='support',
        task_timeout=timedelta(seconds=10),
        typed_search_attributes=TypedSearchAttributes.empty,
        workflow_id='workflow-1',
        workflow_start_time=BEGAN,
        workflow_type='Support',
    )
    runner: SandboxedWorkflowRunner = CONFIG['workflow_runner']
    details = WorkflowInstanceDetails(
        payload_converter_factory=PydanticAIPayloadConverter,
        failure_converter_class=DefaultFailureConverter,
        interceptor_classes=[],
        defn=getattr(Support, '__temporal_workflow_definition'),
        info=info,
        randomness_seed=1,
        extern_functions={},
        disable_eager_activity_execution=False,
        worker_level_failure_exception_types=CONFIG['workflow_failure_exception_types'],
        patch_activation_callback=None,
        last_completion_result=Payloads(),
        last_failure=None,
    )
    return runner.create_instance(details)


async def run_activity(name: str, arguments: list[Payload]) -> Payload:
    function = ACTIVITIES[name]
    types = getattr(function, '__temporal_activity_definition').arg_types
    environment = ActivityEnvironment()
    environment.payload_converter = CONVERTER
    result = await environment.run(function, *CONVERTER.from_payloads(arguments, types))
    return CONVERTER.to_payloads([result])[0]


async def run_workflow(noted: dict[int, Payload], patches: set[str]) -> tuple[list[str], object]:
    """Run the workflow, to which a second passes with each activity.

    Returns:
        The activities it scheduled, and its result.
    """
    instance = workflow_in_sandbox()
    is_replaying = bool(noted)
    names: list[str] = []
    job = WorkflowActivationJob(
        initialize_workflow=InitializeWorkflow(
            workflow_type='Support', workflow_id='workflow-1', arguments=CONVERTER.to_payloads(['hello'])
        )
    )
    jobs: list[WorkflowActivationJob] = [job]
    if is_replaying:
        jobs += [WorkflowActivationJob(notify_has_patch=NotifyHasPatch(patch_id=each)) for each in patches]
    while jobs:
        activation = WorkflowActivation(run_id='first', is_replaying=is_replaying, jobs=jobs)
        activation.timestamp.FromDatetime(BEGAN + timedelta(seconds=len(names)))
        # As the worker does, in a thread of its own.
        completion = await asyncio.to_thread(instance.activate, activation)
        assert completion.HasField('successful'), completion.failed
        jobs = []
        for command in completion.successful.commands:
            if command.HasField('complete_workflow_execution'):
                result = CONVERTER.from_payloads([command.complete_workflow_execution.result], [str])[0]
                return names, result
            if command.HasField('schedule_activity'):
                scheduled = command.schedule_activity
                names.append(scheduled.activity_type)
                if scheduled.seq not in noted:
                    assert not is_replaying
                    noted[scheduled.seq] = await run_activity(scheduled.activity_type, list(scheduled.arguments))
                resolution = ActivityResolution(completed=Success(result=noted[scheduled.seq]))
                jobs.append(
                    WorkflowActivationJob(resolve_activity=ResolveActivity(seq=scheduled.seq, result=resolution))
                )
            else:
                patches.add(command.set_patch_marker.patch_id)
    raise AssertionError('the workflow waits for nothing')


async def main() -> None:
    noted: dict[int, Payload] = {}
    patches: set[str] = set()
    names, result = await run_workflow(noted, patches)
    assert result == '42'
    print(names)
    scores = Path(os.environ['SCORES']).read_text()
    assert await run_workflow(noted, patches) == (names, result)
    assert Path(os.environ['SCORES']).read_text() == scores
    print('replayed')


asyncio.run(main())
