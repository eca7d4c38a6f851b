"""`submit()`: results that were made elsewhere."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from evaluators import Awaiting, Calling, NotEmpty
from logfire.testing import CaptureLogfire
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import EqualsExpected

from pydantic_ai_assay import (
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluator,
    disable_evaluation,
    evaluate,
    stats,
    submit,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio


@pytest.fixture
def config(collected: Collected) -> OnlineEvalConfig:
    return OnlineEvalConfig(default_sink=collected, metadata={'team': 'a'})


def test_what_is_submitted_without_a_loop_is_evaluated(collected: Collected, config: OnlineEvalConfig) -> None:
    before = datetime.now(UTC)
    run_id = submit(
        NotEmpty(),
        EqualsExpected(),
        inputs='2 + 2',
        output='4',
        expected_output='4',
        target='calculator',
        metadata={'tenant': 'acme'},
        duration=1.5,
        conversation_id='talk-1',
        config=config,
    )
    assert PIPELINE.executor.wait_idle(10.0)
    run = collected.run
    assert (run.run_id, run.target, run.inputs, run.output) == (run_id, 'calculator', '2 + 2', '4')
    assert (run.outcome, run.duration, run.conversation_id, run.metadata) == (
        'success',
        1.5,
        'talk-1',
        {'tenant': 'acme'},
    )
    assert timedelta(0) <= run.started_at - (before - timedelta(seconds=1.5)) < timedelta(seconds=5)
    assert collected.payloads[0].context.metadata == {'team': 'a', 'tenant': 'acme'}
    assert collected.values == {'NotEmpty': True, 'EqualsExpected': True}


async def test_from_asynchronous_code_evaluators_run_on_its_loop(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    loop = asyncio.get_running_loop()

    async def at_home(ctx: Any) -> bool:
        return asyncio.get_running_loop() is loop

    submit(Awaiting(at_home), inputs='a', output='b', target='chain', config=config)
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': True}


async def test_results_are_reported_under_the_current_span(config: OnlineEvalConfig, capfire: CaptureLogfire) -> None:
    import logfire

    with logfire.span('request') as span:
        submit(NotEmpty(), inputs='a', output='b', target='chain', config=config)
        context = span.get_span_context()
    await wait_for_evaluations()
    (event,) = capfire.log_exporter.exported_logs_as_dicts()
    assert context is not None
    assert event['span_id'] == context.span_id


async def test_what_is_submitted_within_a_run_knows_it(collected: Collected, config: OnlineEvalConfig) -> None:
    agent = Agent(TestModel(), name='planner')

    @agent.tool_plain
    @evaluate(NotEmpty(), config=config)
    def call_other() -> str:
        submit(NotEmpty(), inputs='a', output='b', target='other framework', config=config)
        return 'done'

    await agent.run('a question')
    await wait_for_evaluations()
    assert {payload.run.agent_path for payload in collected.payloads} == {
        ('planner', 'call_other'),
        ('planner', 'call_other', 'other framework'),
    }


def test_an_error_is_what_evaluators_see_if_they_want_to(collected: Collected, config: OnlineEvalConfig) -> None:
    error = ValueError('no')
    seen = OnlineEvaluator(evaluator=Calling(lambda ctx: ctx.output is error), run_on=['error'])
    submit(NotEmpty(), seen, inputs='a', target='chain', error=error, config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    assert collected.values == {'Calling': True}
    assert counted('NotEmpty') == {'skipped': 1}


def test_the_same_id_is_chosen_or_left_out_again(collected: Collected, config: OnlineEvalConfig) -> None:
    half = OnlineEvaluator(evaluator=NotEmpty(), sample_rate=0.5)
    for _ in range(2):
        for number in range(40):
            submit(half, inputs='a', output='b', target='chain', run_id=f'run-{number}', config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    ids = sorted(payload.run.run_id for payload in collected.payloads)
    assert ids[::2] == ids[1::2]
    assert 5 < len(set(ids)) < 35
    assert {outcome.probability for outcome in collected.outcomes} == {0.5}


def test_a_full_queue_is_counted_and_raises_nothing(collected: Collected, gate: Gate) -> None:
    def wait(ctx: Any) -> bool:
        gate.pass_sync()
        return True

    dropped: list[Any] = []

    def count(ctx: Any) -> None:
        dropped.append(ctx)
        if len(dropped) == 2:
            gate.open()

    config = OnlineEvalConfig(default_sink=collected, queue_size=1, on_max_concurrency=count)
    slow = OnlineEvaluator(evaluator=Calling(wait), max_concurrency=1)
    for _ in range(4):
        submit(slow, inputs='a', output='b', target='chain', config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    assert counted('Calling') == {'scored': 2, 'dropped': 2}


def test_a_bare_evaluator_that_is_passed_again_shares_its_limit(collected: Collected) -> None:
    running, most, lock = [0], [0], threading.Lock()

    async def count(ctx: Any) -> bool:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        for _ in range(3):
            await asyncio.sleep(0)
        running[0] -= 1
        return True

    evaluator = Awaiting(count)
    for _ in range(100):
        submit(evaluator, inputs='a', output='b', target='chain', config=OnlineEvalConfig(default_sink=collected))
    assert PIPELINE.executor.wait_idle(10.0)
    assert counted('Awaiting') == {'scored': 100}
    assert most[0] <= OnlineEvaluator(evaluator=evaluator).max_concurrency


def test_nothing_is_evaluated_where_evaluation_is_off(config: OnlineEvalConfig) -> None:
    before = stats().by_evaluator.get('NotEmpty', {})
    with disable_evaluation():
        assert submit(NotEmpty(), inputs='a', output='b', target='chain', run_id='run-1', config=config) == 'run-1'
    assert stats().by_evaluator.get('NotEmpty', {}) == before


def test_a_fault_in_what_is_submitted_is_a_warning(config: OnlineEvalConfig) -> None:
    class Strange:
        def keys(self) -> Any:
            raise KeyError('keys')

    with pytest.warns(match="'chain' is not evaluated: submitting it raised"):
        submit(NotEmpty(), inputs='a', output='b', target='chain', metadata=Strange(), config=config)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'target': ''}, "target must name what is evaluated, got ''"),
        ({'duration': -1.0}, r'duration must be a number of seconds, 0 or more, got -1\.0'),
        ({'duration': float('nan')}, 'duration must be a number of seconds, 0 or more, got nan'),
        ({'duration': float('inf')}, 'duration must be a number of seconds, 0 or more, got inf'),
    ],
)
def test_a_mistake_in_the_call_is_an_error(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {'inputs': 'a', 'output': 'b', 'target': 'chain', **changed}
    with pytest.raises(ConfigurationError, match=message):
        submit(NotEmpty(), **arguments)
    with pytest.raises(ConfigurationError, match="Expected an instance of an `Evaluator` subclass, got 'NotEmpty'"):
        submit('NotEmpty', inputs='a', target='chain')  # pyright: ignore[reportArgumentType]
