"""The private names of pydantic-ai and pydantic-evals have the shape that this package relies on."""

import asyncio
import inspect
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, NoReturn

import pydantic_ai._run_context
import pydantic_ai._spec
import pydantic_evals._online
import pydantic_evals._task_run
import pytest
from pydantic_ai import Agent
from pydantic_ai.agent import WrapperAgent, _warn_realtime_uncalled_hooks  # pyright: ignore[reportPrivateUsage]
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.realtime import RealtimeModel
from pydantic_ai.tools import RunContext
from pydantic_evals import Case, Dataset, increment_eval_metric, set_eval_attribute
from pydantic_evals.evaluators.llm_as_a_judge import set_default_judge_model

from pydantic_ai_assay import OnlineEvaluation, OnlineEvaluator, disable_evaluation
from pydantic_ai_assay._upstream import (
    CURRENT_TASK_RUN,
    EVALUATION_DISABLED,
    OnlineTaskRun,
    TaskRun,
    UncalledInRealtime,
    build_schema_types,
    default_judge_model,
    get_current_run_context,
    inside_dataset_evaluation,
    instructions_of,
    is_run_synchronously,
)

from .samples import Always

pytestmark = pytest.mark.anyio


def test_the_names_are_those_of_upstream() -> None:
    assert get_current_run_context is pydantic_ai._run_context.get_current_run_context
    assert build_schema_types is pydantic_ai._spec.build_schema_types
    assert EVALUATION_DISABLED is pydantic_evals._online.EVALUATION_DISABLED
    assert CURRENT_TASK_RUN is pydantic_evals._task_run.CURRENT_TASK_RUN
    assert TaskRun is pydantic_evals._task_run.TaskRun


# get_current_run_context


async def test_inside_a_tool_the_current_run_is_the_calling_one() -> None:
    assert not inspect.signature(get_current_run_context).parameters
    agent = Agent(TestModel(), deps_type=type(None))
    seen: list[tuple[str | None, str | None]] = []

    @agent.tool
    def look(ctx: RunContext[None]) -> None:
        current = get_current_run_context()
        seen.append((ctx.run_id, current.run_id if current is not None else None))

    assert look
    assert get_current_run_context() is None
    await agent.run('Look.')
    assert [ours == theirs and ours is not None for ours, theirs in seen] == [True]
    assert get_current_run_context() is None


# EVALUATION_DISABLED


def test_the_switch_is_a_context_variable_that_is_off_by_default() -> None:
    assert isinstance(EVALUATION_DISABLED, ContextVar)
    assert EVALUATION_DISABLED.get() is False
    with disable_evaluation():
        assert EVALUATION_DISABLED.get() is True
    assert EVALUATION_DISABLED.get() is False


# CURRENT_TASK_RUN


def test_run_sync_is_told_from_a_loop_that_goes_on() -> None:
    async def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart(str(is_run_synchronously()))])

    agent = Agent(FunctionModel(ask))
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        assert agent.run_sync('hi').output == 'True'
        assert runner.run(agent.run('hi')).output == 'False'
    asyncio.set_event_loop(None)


def test_a_task_run_has_the_methods_that_ours_extends() -> None:
    assert not inspect.signature(TaskRun).parameters
    for theirs, ours in (
        (TaskRun.increment_metric, OnlineTaskRun.increment_metric),
        (TaskRun.record_attribute, OnlineTaskRun.record_attribute),
    ):
        assert len(inspect.signature(theirs).parameters) == len(inspect.signature(ours).parameters) == 3
    public = {name for name, value in vars(TaskRun).items() if inspect.isfunction(value) and not name.startswith('_')}
    assert public == {'record_metric', 'increment_metric', 'record_attribute'}
    assert vars(TaskRun()) == {'attributes': {}, 'metrics': {}}


def test_what_user_code_records_reaches_the_current_task_run_and_the_one_around_it() -> None:
    assert isinstance(CURRENT_TASK_RUN, ContextVar)
    assert CURRENT_TASK_RUN.get() is None
    outer = TaskRun()
    inner = OnlineTaskRun(outer)
    token = CURRENT_TASK_RUN.set(inner)
    try:
        set_eval_attribute('language', 'en')
        increment_eval_metric('lookups', 2)
        increment_eval_metric('lookups', 1)
    finally:
        CURRENT_TASK_RUN.reset(token)
    for task_run in (inner, outer):
        assert (task_run.attributes, task_run.metrics) == ({'language': 'en'}, {'lookups': 3})


def test_a_released_task_run_hands_over_what_it_has_and_keeps_nothing_of_what_comes_later() -> None:
    outer = TaskRun()
    alone, enclosed = OnlineTaskRun(None), OnlineTaskRun(outer)
    for task_run in (alone, enclosed):
        task_run.record_attribute('a', 1)
        task_run.increment_metric('b', 2)
        assert task_run.release() == ({'a': 1}, {'b': 2})
        task_run.record_attribute('late', 3)
        task_run.increment_metric('late', 4)
        assert task_run.release() == ({'late': 3}, {'late': 4})
    assert (outer.attributes, outer.metrics) == ({'a': 1}, {'b': 2})


async def test_a_dataset_task_runs_inside_a_task_run_of_upstreams_own_type() -> None:
    seen: list[tuple[type | None, bool]] = []

    async def task(inputs: str) -> str:
        seen.append((type(CURRENT_TASK_RUN.get()), inside_dataset_evaluation()))
        return inputs

    assert not inside_dataset_evaluation()
    await Dataset(name='sample', cases=[Case(name='one', inputs='a')]).evaluate(task, progress=False)
    assert seen == [(TaskRun, True)]
    assert not inside_dataset_evaluation()


def test_an_online_run_is_not_taken_for_a_dataset() -> None:
    token = CURRENT_TASK_RUN.set(OnlineTaskRun(None))
    try:
        assert not inside_dataset_evaluation()
    finally:
        CURRENT_TASK_RUN.reset(token)


# Realtime sessions


class Unreachable(RealtimeModel):
    """A realtime model to which there is no connection."""

    def connect(self, **_: Any) -> AbstractAsyncContextManager[NoReturn]:
        raise ConnectionError('there is no connection')

    @property
    def model_name(self) -> str:
        return 'unreachable'

    @property
    def system(self) -> str:
        return 'nowhere'


async def open_session(capabilities: Sequence[AbstractCapability[None]]) -> None:
    agent = Agent(deps_type=type(None), capabilities=capabilities)
    async with agent.realtime(Unreachable()).session():
        raise AssertionError('the session opened')


class Hooked(AbstractCapability[None]):
    """A capability with a hook that realtime sessions never call."""

    async def before_model_request(self, ctx: RunContext[None], request_context: Any) -> Any:
        return request_context


async def test_realtime_sessions_warn_of_hooks_they_never_call() -> None:
    with pytest.warns(UserWarning, match='Capability `Hooked` implements `before_model_request`, which realtime'):
        with pytest.raises(ConnectionError):
            await open_session([Hooked()])


async def test_realtime_sessions_do_not_warn_of_ours() -> None:
    never = OnlineEvaluation[None](evaluators=[OnlineEvaluator(evaluator=Always(), sample_rate=0.0)])
    with pytest.raises(ConnectionError):
        await open_session([never])


def test_a_session_asks_each_capability_for_the_hooks_it_would_miss() -> None:
    asked = inspect.signature(AbstractCapability._realtime_uncalled_hooks)  # pyright: ignore[reportPrivateUsage]
    assert inspect.signature(UncalledInRealtime._realtime_uncalled_hooks) == asked  # pyright: ignore[reportPrivateUsage]
    assert '_realtime_uncalled_hooks' in inspect.getsource(_warn_realtime_uncalled_hooks)


# default_judge_model


def test_the_default_model_of_judges_is_the_one_that_was_set() -> None:
    before = default_judge_model()
    model = TestModel()
    try:
        set_default_judge_model(model)
        assert default_judge_model() is model
    finally:
        set_default_judge_model(before)  # pyright: ignore[reportArgumentType]


# instructions_of


def test_the_instructions_of_an_agent_are_all_that_it_was_given() -> None:
    agent = Agent(TestModel(), instructions=['first', 'second'], system_prompt=('third', 'fourth'))

    @agent.instructions
    def fifth() -> str:
        raise AssertionError('asked')

    @agent.system_prompt
    def sixth() -> str:
        raise AssertionError('asked')

    found = instructions_of(agent)
    assert [each for each in found if isinstance(each, str)] == ['third', 'fourth', 'first', 'second']
    assert [each for each in found if callable(each)] == [sixth, fifth]
    assert instructions_of(WrapperAgent(agent)) == found


async def test_a_hook_that_is_missed_after_all_is_warned_of() -> None:
    class Quiet(UncalledInRealtime, Hooked):
        """Misses nothing."""

    with pytest.raises(ConnectionError):
        await open_session([Quiet()])
    with pytest.warns(UserWarning, match='wrap_output_process'), pytest.raises(ConnectionError):
        await open_session([OnlineEvaluation[None](evaluators=[OnlineEvaluator(evaluator=Always(), mode='block')])])
