"""`on_result` and `on_fail`: told of each verdict, timed out and isolated like sinks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from guarding import Told
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext, EvaluatorOutput
from pydantic_evals.online import OnErrorLocation

from pydantic_ai_assay import (
    AssayWarning,
    ConfigurationError,
    EvaluationOutcome,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunRecord,
    evaluate,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio


@dataclass
class Says(Evaluator[Any, Any, Any]):
    """Returns what it is told to."""

    value: Any
    on_fail: Callable[[EvaluationOutcome, RunRecord], Any] | None = field(default=None, compare=False)

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


async def judge(evaluator: OnlineEvaluator | Says, config: OnlineEvalConfig | None = None) -> None:
    agent = Agent(
        TestModel(custom_output_text='Hello'),
        name='greeter',
        capabilities=[OnlineEvaluation(evaluators=[evaluator], config=config)],
    )
    await agent.run('hi')
    assert await wait_for_evaluations(timeout=10) == ()


@pytest.mark.parametrize(
    ('value', 'passed', 'fails'),
    [
        (True, True, False),
        (False, False, True),
        (0, None, False),
        (0.0, None, False),
        ('bad', None, False),
        ({'score': 2, 'pass': True}, True, False),
        ({'score': 9, 'pass': False}, False, True),
        ({'a': True, 'b': False}, False, True),
        ({}, None, False),
    ],
)
async def test_an_outcome_fails_when_a_result_is_false(value: Any, passed: bool | None, fails: bool) -> None:
    on_result, on_fail = Told(), Told()
    await judge(OnlineEvaluator(evaluator=Says(value), on_result=on_result, on_fail=on_fail))
    ((outcome, run),) = on_result.calls
    assert (outcome.status, outcome.passed, run.output) == ('scored', passed, 'Hello')
    assert [each is outcome for each, _ in on_fail.calls] == [True] * fails


async def test_what_is_not_scored_is_neither_a_result_nor_a_fail() -> None:
    told = Told()
    config = OnlineEvalConfig(on_result=told, on_fail=told)
    await judge(Says(ValueError('no')), config)
    await judge(OnlineEvaluator(evaluator=Says(False), sample_rate=0.0), config)
    assert told.calls == []
    assert counted('Says') == {'failed': 1, 'sampled_out': 1}


async def test_the_evaluators_own_callback_comes_before_that_of_its_class_and_that_of_the_config() -> None:
    settings, class_, config = Told(), Told(), Told()
    await judge(
        OnlineEvaluator(evaluator=Says(False, on_fail=class_), on_fail=settings), OnlineEvalConfig(on_fail=config)
    )
    assert [len(each.calls) for each in (settings, class_, config)] == [1, 0, 0]
    await judge(Says(False, on_fail=class_), OnlineEvalConfig(on_fail=config))
    assert [len(each.calls) for each in (settings, class_, config)] == [1, 1, 0]
    await judge(Says(False), OnlineEvalConfig(on_fail=config))
    assert [len(each.calls) for each in (settings, class_, config)] == [1, 1, 1]


async def test_an_asynchronous_callback_runs_on_the_runs_loop_and_another_one_in_a_thread() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def on_fail(outcome: EvaluationOutcome, run: RunRecord) -> None:
        loops.append(asyncio.get_running_loop())

    told = Told()
    await judge(OnlineEvaluator(evaluator=Says(False), on_result=told, on_fail=on_fail))
    assert loops == [asyncio.get_running_loop()]
    assert told.threads[0] is not threading.current_thread()


async def test_a_function_that_returns_an_awaitable_is_awaited() -> None:
    async def later() -> None:
        awaited.append(True)

    awaited: list[bool] = []

    def on_fail(outcome: EvaluationOutcome, run: RunRecord) -> Awaitable[None]:
        return later()

    await judge(OnlineEvaluator(evaluator=Says(False), on_fail=on_fail))
    assert awaited == [True]


@pytest.mark.parametrize('name', ['on_fail', 'on_result'])
async def test_what_a_callback_raises_goes_to_on_error_and_the_sinks_get_theirs(
    name: str, collected: Collected
) -> None:
    def broken(outcome: EvaluationOutcome, run: RunRecord) -> None:
        raise RuntimeError('pager is down')

    errors: list[tuple[str, OnErrorLocation]] = []

    def on_error(
        error: Exception,
        ctx: EvaluatorContext[Any, Any, Any],
        evaluator: Evaluator[Any, Any, Any],
        where: OnErrorLocation,
    ) -> None:
        errors.append((str(error), where))

    settings: dict[str, Any] = {name: broken}
    config = OnlineEvalConfig(default_sink=collected)
    await judge(OnlineEvaluator(evaluator=Says(False), on_error=on_error, **settings), config)
    assert errors == [('pager is down', 'sink')]
    assert collected.values == {'Says': False}
    with pytest.warns(AssayWarning, match=f'`{name}` of Says raised RuntimeError: pager is down'):
        await judge(OnlineEvaluator(evaluator=Says(False), **settings), config)


async def test_a_callback_that_hangs_is_timed_out_alone(collected: Collected, gate: Gate) -> None:
    async def hangs(outcome: EvaluationOutcome, run: RunRecord) -> None:
        await gate.pass_async()

    config = OnlineEvalConfig(default_sink=collected, sink_timeout=0.05, on_fail=hangs)
    with pytest.warns(AssayWarning, match='`on_fail` of Says raised TimeoutError'):
        await judge(Says(False), config)
    assert collected.values == {'Says': False}


async def test_content_that_may_not_be_recorded_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', 'false')
    told = Told()
    await judge(OnlineEvaluator(evaluator=Says(False), on_fail=told))
    ((_, run),) = told.calls
    assert (run.inputs, run.output, run.messages) == (None, None, ())


def test_callbacks_of_functions_are_called_as_well() -> None:
    told = Told()

    @evaluate(OnlineEvaluator(evaluator=Says(False), on_fail=told))
    def greet() -> str:
        return 'Hello'

    greet()
    assert asyncio.run(wait_for_evaluations(timeout=10)) == ()
    assert told.values == [False]


@pytest.mark.parametrize('name', ['on_fail', 'on_result'])
def test_what_cannot_be_called_is_refused(name: str) -> None:
    settings: dict[str, Any] = {name: 'page somebody'}
    for make in (lambda: OnlineEvaluator(evaluator=Says(True), **settings), lambda: OnlineEvalConfig(**settings)):
        with pytest.raises(ConfigurationError, match=f"{name} must be a function of .* got 'page somebody'"):
            make()


async def test_a_callback_is_somewhere_to_report_to() -> None:
    told = Told()
    await judge(Says(False), OnlineEvalConfig(emit_otel_events=False, on_fail=told))
    assert told.values == [False]
