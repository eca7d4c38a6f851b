from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from conftest import Collected, Gate
from evaluators import Awaiting, Calling, Context, NotEmpty, run_of, score_one
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import ModelHTTPError, RunTimedOut
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator

from pydantic_ai_assay import (
    AssayWarning,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    stats,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio

AsyncFunction = Callable[[Context], Coroutine[Any, Any, Any]]


def evaluating(sink: Collected, *evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, **settings: Any) -> Agent:
    config = OnlineEvalConfig(default_sink=sink, **settings)
    return Agent(
        TestModel(custom_output_text='hello'),
        name='judged',
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)],
    )


async def test_the_callers_own_await_returns_first(collected: Collected) -> None:
    order: list[str] = []

    async def note(ctx: Context) -> bool:
        order.append('evaluator')
        return True

    agent = evaluating(collected, Awaiting(note))
    await agent.run('hi')
    order.append('caller')
    await wait_for_evaluations()
    assert order == ['caller', 'evaluator']


async def test_asynchronous_evaluators_run_on_the_callers_loop_and_synchronous_ones_do_not(
    collected: Collected,
) -> None:
    loop = asyncio.get_running_loop()

    async def is_callers(ctx: Context) -> bool:
        return asyncio.get_running_loop() is loop

    def is_a_worker(ctx: Context) -> str:
        return threading.current_thread().name

    async def is_ours(ctx: Context) -> str:
        return threading.current_thread().name

    agent = evaluating(
        collected,
        Awaiting(is_callers, 'async'),
        Calling(is_a_worker, 'sync'),
        OnlineEvaluator(evaluator=Awaiting(is_ours, 'background'), run_in='background'),
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'async': True, 'sync': 'assay-worker', 'background': 'assay-background'}


async def test_a_synchronous_evaluator_does_not_hold_the_loop(collected: Collected, gate: Gate) -> None:
    def blocked(ctx: Context) -> bool:
        gate.pass_sync()
        return True

    agent = evaluating(collected, Calling(blocked))
    await agent.run('hi')
    # The evaluator can only be released from here, so it is not this loop that it blocks.
    while not gate.arrived:
        await asyncio.sleep(0)
    gate.open()
    await wait_for_evaluations()
    assert collected.values == {'Calling': True}


async def test_a_plain_function_that_returns_a_coroutine(collected: Collected) -> None:
    def later(ctx: Context) -> Coroutine[Any, Any, float]:
        return score_one(ctx)

    evaluator = Calling(later)
    agent = evaluating(collected, evaluator)
    await agent.run('hi')
    await wait_for_evaluations()
    await agent.run('hi')
    await wait_for_evaluations()
    assert [result.value for result in collected.results] == [1.0, 1.0]


async def test_an_evaluator_that_overrides_evaluate_async(collected: Collected) -> None:
    @dataclass
    class Custom(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: Context) -> bool:
            raise AssertionError('evaluate_async is what counts')

        async def evaluate_async(self, ctx: Context) -> bool:
            return True

    await evaluating(collected, Custom()).run('hi')
    await wait_for_evaluations()
    assert collected.values == {'Custom': True}


async def test_the_runs_deadline_does_not_reach_the_judge(collected: Collected, gate: Gate) -> None:
    judge = Agent(TestModel(custom_output_text='fine'), name='judge')

    async def ask(ctx: Context) -> str:
        await gate.pass_async()
        return (await judge.run('fine?')).output

    agent = evaluating(collected, Awaiting(ask))
    # The judge runs when the run's deadline has long passed.
    result = await agent.run('hi', timeout=0.3)
    assert result.output == 'hello'
    await anyio.to_thread.run_sync(threading.Event().wait, 0.35)
    gate.open()
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': 'fine'}


def never(started: asyncio.Event) -> FunctionModel:
    async def model(messages: list[ModelMessage], info: AgentInfo) -> Any:
        started.set()
        await asyncio.Event().wait()

    return FunctionModel(model)


def outcome(ctx: Context) -> str:
    return f'{run_of(ctx).outcome} {type(ctx.output).__name__} {len(run_of(ctx).messages)}'


async def test_cancelled_and_timed_out_runs_are_seen_by_those_that_ask_for_them(collected: Collected) -> None:
    agent = evaluating(collected, OnlineEvaluator(evaluator=Calling(outcome), run_on=['cancelled']), NotEmpty())
    started = asyncio.Event()
    task = asyncio.create_task(agent.run('hi', model=never(started)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RunTimedOut):
        await agent.run('hi', model=never(asyncio.Event()), timeout=0.01)
    await wait_for_evaluations()
    assert [result.value for result in collected.results] == ['cancelled CancelledError 1', 'cancelled RunTimedOut 1']


async def test_a_stream_left_early_is_a_cancelled_run(collected: Collected) -> None:
    agent = evaluating(collected, OnlineEvaluator(evaluator=Calling(outcome), run_on=['cancelled']))

    @agent.tool_plain
    def tool() -> str:
        return 'x'

    async with agent.iter('hi') as run:
        async for _ in run:
            break
    await wait_for_evaluations()
    assert [str(result.value).split()[0] for result in collected.results] == ['cancelled']


async def test_an_evaluator_that_hangs_is_timed_out(collected: Collected) -> None:
    release = threading.Event()

    async def hang(ctx: Context) -> bool:
        await asyncio.Event().wait()
        return True

    async def insist(ctx: Context) -> bool:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(release.wait, 5.0)
        return True

    def hang_in_thread(ctx: Context) -> bool:
        return release.wait(5.0)

    agent = evaluating(
        collected,
        OnlineEvaluator(evaluator=Awaiting(hang, 'hang'), timeout=0.02, max_concurrency=1),
        OnlineEvaluator(evaluator=Awaiting(insist, 'insist'), timeout=0.02),
        OnlineEvaluator(evaluator=Calling(hang_in_thread, 'thread'), timeout=0.02),
        NotEmpty(),
    )
    await agent.run('hi')
    await agent.run('hi')
    await wait_for_evaluations()
    release.set()
    statuses = sorted((outcome.evaluator, outcome.status) for outcome in collected.outcomes)
    assert statuses == [
        ('NotEmpty', 'scored'),
        ('NotEmpty', 'scored'),
        ('hang', 'timed_out'),
        ('hang', 'timed_out'),
        ('insist', 'timed_out'),
        ('insist', 'timed_out'),
        ('thread', 'timed_out'),
        ('thread', 'timed_out'),
    ]
    failure = next(failure for failure in collected.failures if failure.name == 'hang')
    assert failure.error_type == 'TimeoutError'
    assert failure.error_message == 'TimeoutError: hang did not finish within timeout=0.02 seconds.'


@dataclass
class BadName(NotEmpty):
    def get_default_evaluation_name(self) -> str:
        raise ValueError('no name')


@dataclass
class BadVersion(NotEmpty):
    def get_evaluator_version(self) -> str | None:
        raise SystemExit('no version')


@dataclass
class BadSpec(NotEmpty):
    def build_serialization_arguments(self) -> dict[str, Any]:
        raise KeyError('no spec')


def raising(error: BaseException) -> Calling:
    def raise_it(ctx: Context) -> bool:
        raise error

    return Calling(raise_it, type(error).__name__)


def raising_async(error: BaseException) -> Awaiting:
    async def raise_it(ctx: Context) -> bool:
        raise error

    return Awaiting(raise_it, f'async {type(error).__name__}')


def returning(name: str, value: object) -> Calling:
    return Calling(lambda ctx: value, name)


async def test_one_evaluators_fault_is_its_own(collected: Collected) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError('not even that')

    agent = evaluating(
        collected,
        BadName(),
        BadVersion(),
        BadSpec(),
        raising(asyncio.CancelledError()),
        raising(SystemExit(1)),
        raising(KeyboardInterrupt()),
        raising(Unprintable()),
        raising_async(asyncio.CancelledError()),
        raising_async(SystemExit(1)),
        raising_async(GeneratorExit()),
        returning('nan', float('nan')),
        returning('huge', 'x' * 10_000_000),
        returning('object', object()),
        returning('surrogate', '\ud800'),
        returning('nested', {'a': {'b': 1}}),
        returning('integer', 10**400),
        NotEmpty(),
        Awaiting(score_one),
    )
    assert (await agent.run('hi')).output == 'hello'
    await wait_for_evaluations()
    statuses = collected.statuses
    assert statuses.pop('NotEmpty') == 'scored'
    assert statuses.pop('Awaiting') == 'scored'
    assert {name for name, status in statuses.items() if status != 'failed'} == set()
    assert len(statuses) == 16
    assert {failure.name: failure.error_type for failure in collected.failures} == {
        'BadName': 'ValueError',
        'BadVersion': 'SystemExit',
        'BadSpec': 'KeyError',
        'CancelledError': 'CancelledError',
        'SystemExit': 'SystemExit',
        'KeyboardInterrupt': 'KeyboardInterrupt',
        'Unprintable': 'Unprintable',
        'async CancelledError': 'CancelledError',
        'async SystemExit': 'SystemExit',
        'async GeneratorExit': 'GeneratorExit',
        'nan': 'EvaluatorOutputError',
        'huge': 'EvaluatorOutputError',
        'object': 'EvaluatorOutputError',
        'surrogate': 'EvaluatorOutputError',
        'nested': 'EvaluatorOutputError',
        'integer': 'EvaluatorOutputError',
    }
    assert all(len(failure.error_message) < 70_000 for failure in collected.failures)


def failing_at_first(errors: list[BaseException]) -> Calling:
    def evaluate(ctx: Context) -> bool:
        if errors:
            raise errors.pop(0)
        return True

    return Calling(evaluate, 'flaky')


def failing_at_first_async(errors: list[BaseException]) -> Awaiting:
    async def evaluate(ctx: Context) -> bool:
        if errors:
            raise errors.pop(0)
        return True

    return Awaiting(evaluate, 'flaky async')


def is_busy(error: BaseException) -> bool:
    return 'busy' in str(error)


async def test_errors_that_can_pass_are_retried_and_others_are_not(collected: Collected) -> None:
    def passing() -> list[BaseException]:
        return [ConnectionError('reset'), ModelHTTPError(status_code=429, model_name='m')]

    def settings(evaluator: Evaluator[Any, Any, Any], **kwargs: Any) -> OnlineEvaluator:
        return OnlineEvaluator(evaluator=evaluator, retry_wait=0.001, **kwargs)

    agent = evaluating(
        collected,
        settings(failing_at_first(passing()), retries=2),
        settings(failing_at_first_async(passing()), retries=2),
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.statuses == {'flaky': 'scored', 'flaky async': 'scored'}
    assert [outcome.attempts for outcome in collected.outcomes] == [3, 3]
    collected.payloads.clear()

    agent = evaluating(
        collected,
        settings(failing_at_first(passing()), retries=1),
        settings(failing_at_first_async([ValueError('bug'), ValueError('bug')]), retries=3),
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.statuses == {'flaky': 'failed', 'flaky async': 'failed'}
    assert {outcome.evaluator: outcome.attempts for outcome in collected.outcomes} == {'flaky': 2, 'flaky async': 1}
    collected.payloads.clear()

    agent = evaluating(
        collected,
        settings(failing_at_first([ValueError('busy')]), retries=1, retry_on=is_busy),
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.statuses == {'flaky': 'scored'}


async def test_a_thousand_runs_at_once_are_all_scored(collected: Collected) -> None:
    async def slow(ctx: Context) -> bool:
        await asyncio.sleep(0.02)
        return True

    agent = evaluating(collected, Awaiting(slow))
    await asyncio.gather(*(agent.run('hi') for _ in range(1000)))
    assert await wait_for_evaluations() == ()
    assert [outcome.status for outcome in collected.outcomes] == ['scored'] * 1000


async def test_evaluations_over_max_concurrency_wait(collected: Collected, gate: Gate) -> None:
    running = most = 0

    async def count(ctx: Context) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.pass_async()
        running -= 1
        return True

    agent = evaluating(collected, OnlineEvaluator(evaluator=Awaiting(count), max_concurrency=3))
    for _ in range(10):
        await agent.run('hi')
    while gate.arrived < 3 or PIPELINE.executor.labels.count('sampling'):
        await asyncio.sleep(0.001)
    assert (stats().waiting, stats().pending) == (7, 10)
    assert stats().waiting_bytes > 0
    gate.open()
    await wait_for_evaluations()
    assert most == 3
    assert len(collected.outcomes) == 10
    assert (stats().waiting, stats().waiting_bytes) == (0, 0)


async def run_into_a_full_queue(agent: Agent, gate: Gate, runs: int) -> list[str]:
    run_ids = [f'run-{number}' for number in range(runs)]
    for run_id in run_ids:
        await agent.run('hi', run_id=run_id)
    while PIPELINE.executor.labels.count('sampling'):
        await asyncio.sleep(0.001)
    gate.open()
    await wait_for_evaluations()
    return run_ids


@pytest.mark.parametrize(
    ('overflow', 'kept'),
    [('drop_newest', ['run-0', 'run-1', 'run-2']), ('drop_oldest', ['run-0', 'run-3', 'run-4'])],
)
async def test_a_full_queue_drops_and_tells(collected: Collected, gate: Gate, overflow: Any, kept: list[str]) -> None:
    told: list[str] = []

    async def tell(ctx: Context) -> None:
        told.append(run_of(ctx).run_id)

    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    agent = evaluating(
        collected,
        OnlineEvaluator(evaluator=Awaiting(wait), max_concurrency=1),
        queue_size=2,
        overflow=overflow,
        on_max_concurrency=tell,
    )
    run_ids = await run_into_a_full_queue(agent, gate, 5)
    assert sorted(outcome.run_id for outcome in collected.outcomes if outcome.status == 'scored') == kept
    assert sorted(told) == sorted(set(run_ids) - set(kept))


async def test_a_full_queue_without_a_callback_warns(collected: Collected, gate: Gate) -> None:
    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    agent = evaluating(collected, OnlineEvaluator(evaluator=Awaiting(wait, 'slow'), max_concurrency=1), queue_bytes=1)
    dropped = stats().by_status.get('dropped', 0)
    with pytest.warns(AssayWarning, match='An evaluation by slow was dropped because the queue was full') as warned:
        await run_into_a_full_queue(agent, gate, 4)
    assert len(warned) == 1
    assert stats().by_status['dropped'] == dropped + 3


async def test_on_max_concurrency_that_raises_goes_to_on_error(collected: Collected, gate: Gate) -> None:
    heard: list[tuple[str, str]] = []

    def hear(error: Exception, ctx: Context, evaluator: Evaluator[Any, Any, Any], location: str) -> None:
        heard.append((str(error), location))

    def worse(ctx: Context) -> None:
        raise ValueError('worse')

    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    agent = evaluating(
        collected,
        OnlineEvaluator(evaluator=Awaiting(wait), max_concurrency=1, on_max_concurrency=worse, on_error=hear),
        queue_size=1,
    )
    await run_into_a_full_queue(agent, gate, 3)
    assert heard == [('worse', 'on_max_concurrency')]


async def test_waiting_is_bounded_and_says_what_is_left(collected: Collected, gate: Gate) -> None:
    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    agent = evaluating(collected, Awaiting(wait, 'slow'))
    await agent.run('hi', run_id='run-1')
    await agent.run('hi', run_id='run-2')
    before = time.monotonic()
    with pytest.warns(AssayWarning, match=r'2 evaluation\(s\) had not ended after 0.2 seconds: slow \(2\)'):
        left = await wait_for_evaluations(timeout=0.2)
    assert time.monotonic() - before < 2
    assert sorted((each.evaluator, each.run_id, each.target) for each in left) == [
        ('slow', 'run-1', 'judged'),
        ('slow', 'run-2', 'judged'),
    ]
    gate.open()
    assert await wait_for_evaluations() == ()


@pytest.mark.usefixtures('loop_of_run_sync')
@pytest.mark.parametrize('backend', ['asyncio', 'trio'])
def test_waiting_from_another_loop(collected: Collected, backend: str) -> None:
    """The loop of `run_sync` stands still, so its evaluations are taken over."""

    async def where(ctx: Context) -> str:
        return threading.current_thread().name

    agent = evaluating(collected, Awaiting(where))
    agent.run_sync('hi')
    assert anyio.run(_wait, backend=backend) == ()
    assert [result.value for result in collected.results] == ['assay-takeover']


async def _wait() -> object:
    return await wait_for_evaluations()


async def test_waiting_in_vain_on_trio(collected: Collected, gate: Gate) -> None:
    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    await evaluating(collected, Awaiting(wait, 'slow')).run('hi')

    async def in_vain() -> None:
        with pytest.warns(AssayWarning, match='1 evaluation'):
            assert len(await wait_for_evaluations(timeout=0.05)) == 1

    await anyio.to_thread.run_sync(lambda: anyio.run(in_vain, backend='trio'))
    gate.open()


async def test_a_judge_that_is_evaluated_itself(collected: Collected) -> None:
    judge = Agent(
        TestModel(custom_output_text='fine'),
        name='judge',
        capabilities=[
            OnlineEvaluation(
                evaluators=[Calling(lambda ctx: True, 'meta')], config=OnlineEvalConfig(default_sink=collected)
            )
        ],
    )

    async def ask(ctx: Context) -> str:
        return (await judge.run('fine?')).output

    agent = evaluating(
        collected,
        Awaiting(ask, 'here'),
        OnlineEvaluator(evaluator=Awaiting(ask, 'there'), run_in='background'),
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'here': 'fine', 'there': 'fine', 'meta': True}
    assert sum(payload.target == 'judge' for payload in collected.payloads) == 2
    # A judge is not a part of the run that it judges.
    assert all(payload.run.parent_run_id is None for payload in collected.payloads)


async def test_deps_that_cannot_be_copied_are_no_obstacle(collected: Collected) -> None:
    agent = Agent(
        TestModel(),
        deps_type=object,
        capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=OnlineEvalConfig(default_sink=collected))],
    )

    @agent.tool
    def tool(ctx: RunContext[Any]) -> str:
        return 'x'

    lock = threading.Lock()
    await agent.run('hi', deps=lock)
    await wait_for_evaluations()
    assert collected.run.deps is lock


async def test_a_plain_function_that_returns_a_coroutine_is_called_once(collected: Collected) -> None:
    await evaluating(collected, Calling(score_one, 'plain')).run('hi')
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.status, outcome.attempts) == ('scored', 1)
