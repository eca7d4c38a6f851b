"""From a run that ended in a workflow to its evaluations, each a durable unit of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_ai.messages import ModelResponse
from pydantic_ai.tools import RunContext

from .._upstream import is_run_synchronously
from ..errors import describe
from ..execution.chosen import Chosen
from ..execution.evaluators import AttachedEvaluators
from ..execution.observation import current_observation
from ..execution.pipeline import PIPELINE
from ..runs.record import RunRecord
from .run import DurableRun
from .start import Assignment, DurableStart
from .unit import showing

if TYPE_CHECKING:
    from pydantic_ai.durable_exec import BaseDurabilityCapability

__all__ = ('DurableChosen', 'duration_of', 'engine_time', 'hand_over', 'is_bound', 'register_with_engine')


class DurableCapability(Protocol):
    """What attaches evaluators to an agent."""

    id: str | None

    async def judge_durable_run(self, ctx: RunContext[Any], assignment: Assignment, run: DurableRun) -> str:
        """Let one evaluator judge a run in a durable unit."""
        ...


class DurableChosen(Chosen):
    """The candidates of one capability for one run, as the engine recorded them."""

    __slots__ = ('capability', 'assignments')

    def __init__(self, evaluators: AttachedEvaluators, start: DurableStart, capability: DurableCapability) -> None:
        found = [(each, evaluators.find(each.key)) for each in start.assignments]
        super().__init__(
            evaluators.config,
            [each.candidate(attached) for each, attached in found if attached is not None],
            record_content=start.record_content,
        )
        self.assignments = start.assignments
        self.capability = capability


def register_with_engine(agent_name: str | None, capability_id: str | None, evaluators: AttachedEvaluators) -> None:
    """Make evaluators known to DBOS, where an agent can use it, before it begins to recover workflows."""
    if capability_id is not None and 'pydantic_ai.durable_exec.dbos' in sys.modules:
        from . import dbos

        dbos.register(agent_name or '', capability_id, evaluators)


def is_bound(ctx: RunContext[Any], capability_id: str | None) -> bool:
    """Whether the agent, and not just this run, has a capability with this id: the engine knows the units of no other."""
    ids: set[str | None] = set()
    # A run in a workflow has one.
    assert ctx.agent is not None
    ctx.agent.root_capability.apply(lambda each: ids.add(each.id))
    return capability_id is not None and capability_id in ids


async def hand_over(ctx: RunContext[Any], record: RunRecord, parts: Sequence[DurableChosen]) -> None:
    """Have a run judged by each of its evaluators once. Whatever goes wrong here is ours, and not the run's."""
    assignments = {assignment.key: (assignment, part.capability) for part in parts for assignment in part.assignments}
    with showing(record):
        for assignment, capability in assignments.values():
            try:
                await _hand_over(ctx, capability, assignment, record)
            except Exception as error:
                PIPELINE.counters.count('dropped', assignment.name, record.target)
                PIPELINE.notices.warn_once(
                    f'durable:{assignment.key}',
                    f'Run {record.run_id!r} is not evaluated by {assignment.name}: handing it over raised '
                    f'{describe(error)}. Further ones are counted as dropped.',
                )


async def _hand_over(
    ctx: RunContext[Any], capability: DurableCapability, assignment: Assignment, record: RunRecord
) -> None:
    run = DurableRun.of(record)
    durability = _durability_of(ctx)
    if (
        durability is not None
        and durability.engine_name == 'DBOS'
        # On an event loop that goes no further than the run, a workflow beside it would come to no end.
        and not is_run_synchronously()
        # Who observes waits for what has begun.
        and current_observation() is None
    ):
        from . import dbos

        await dbos.start(record.agent_name or '', capability.id or '', assignment, run)
    else:
        await capability.judge_durable_run(ctx, assignment, run)


def _durability_of(ctx: RunContext[Any]) -> BaseDurabilityCapability[Any] | None:
    from pydantic_ai.durable_exec import BaseDurabilityCapability

    return BaseDurabilityCapability.from_agent(ctx.agent) if ctx.agent is not None else None


def engine_time(ctx: RunContext[Any]) -> datetime | None:
    """The time by the engine's clock, which a replay does not change, if the engine has one."""
    clock = ctx.root_capability.get_run_clock() if ctx.root_capability is not None else None
    return clock() if clock is not None else None


def duration_of(ctx: RunContext[Any], record: RunRecord) -> float:
    """How long a run took, by the engine's clock, or else up to the last answer of the model, which is recorded."""
    ended_at = engine_time(ctx)
    if ended_at is None:
        answers = [message for message in record.new_messages if isinstance(message, ModelResponse)]
        ended_at = answers[-1].timestamp if answers else record.started_at
    return max(ended_at - record.started_at, timedelta()).total_seconds()
