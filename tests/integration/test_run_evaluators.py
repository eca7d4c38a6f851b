"""Evaluators on a context that exists already, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest
from conftest import Gate
from evaluators import Awaiting, Calling, Context, NotEmpty, score_one
from pydantic_evals.evaluators import EvaluatorContext, IsInstance
from pydantic_evals.otel import SpanTree

from pydantic_ai_assay import OnlineEvaluator, run_evaluators

pytestmark = pytest.mark.anyio


@pytest.fixture(params=['asyncio', 'trio'])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def context() -> Context:
    return EvaluatorContext(
        name='stored',
        inputs='hi',
        output='hello',
        expected_output=None,
        metadata=None,
        duration=1.0,
        attributes={},
        metrics={},
        _span_tree=SpanTree(),
    )


def on_thread(ctx: Context) -> str:
    return threading.current_thread().name


async def three(ctx: Context) -> int:
    await anyio.sleep(0)
    return 3


async def test_results_and_failures_come_in_the_order_of_the_evaluators(context: Context) -> None:
    def fail(ctx: Context) -> bool:
        raise ValueError('no verdict')

    async def fail_later(ctx: Context) -> bool:
        await anyio.sleep(0)
        raise KeyError('nor here')

    results, failures = await run_evaluators(
        [
            Awaiting(three, 'three'),
            Calling(fail, 'fail'),
            NotEmpty(),
            Awaiting(fail_later, 'fail later'),
            IsInstance(type_name='str'),
            Calling(lambda ctx: {'a': 1, 'b': 'x'}, 'several'),
        ],
        context,
    )
    assert [(result.name, result.value) for result in results] == [
        ('three', 3),
        ('NotEmpty', True),
        ('IsInstance', True),
        ('a', 1),
        ('b', 'x'),
    ]
    assert [(failure.name, failure.error_message) for failure in failures] == [
        ('fail', 'ValueError: no verdict'),
        ('fail later', "KeyError: 'nor here'"),
    ]


async def test_no_evaluators_say_nothing(context: Context) -> None:
    assert await run_evaluators([], context) == ([], [])


async def test_a_synchronous_evaluator_runs_in_a_thread(context: Context) -> None:
    results, failures = await run_evaluators([Calling(on_thread)], context)
    assert failures == []
    assert [result.value for result in results] != [threading.current_thread().name]


async def test_a_plain_function_that_returns_a_coroutine_is_awaited(context: Context) -> None:
    def later(ctx: Context) -> Coroutine[Any, Any, int]:
        return three(ctx)

    results, failures = await run_evaluators([Calling(later)], context)
    assert ([result.value for result in results], failures) == ([3], [])


async def test_evaluators_run_at_once(context: Context) -> None:
    first, second = anyio.Event(), anyio.Event()

    async def answer(ctx: Context) -> bool:
        first.set()
        await second.wait()
        return True

    async def question(ctx: Context) -> bool:
        second.set()
        await first.wait()
        return True

    with anyio.fail_after(10):
        results, _ = await run_evaluators([Awaiting(answer, 'answer'), Awaiting(question, 'question')], context)
    assert len(results) == 2


@pytest.mark.parametrize('error', [asyncio.CancelledError, SystemExit, GeneratorExit])
async def test_whatever_an_evaluator_raises_is_its_own_failure(context: Context, error: type[BaseException]) -> None:
    def fail(ctx: Context) -> bool:
        raise error

    async def fail_later(ctx: Context) -> bool:
        raise error

    results, failures = await run_evaluators(
        [Calling(fail, 'sync'), Awaiting(fail_later, 'async'), NotEmpty()], context
    )
    assert [result.name for result in results] == ['NotEmpty']
    assert [(failure.name, failure.error_type) for failure in failures] == [
        ('sync', error.__name__),
        ('async', error.__name__),
    ]


async def test_a_cancellation_of_the_caller_reaches_the_evaluators_and_comes_out(context: Context, gate: Gate) -> None:
    started = anyio.Event()
    ended: list[BaseException] = []

    async def hang(ctx: Context) -> bool:
        started.set()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            ended.append(error)
            raise
        return True

    def hang_in_thread(ctx: Context) -> bool:
        gate.pass_sync()
        return True

    returned: list[object] = []
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                returned.append(await run_evaluators([Awaiting(hang), Calling(hang_in_thread)], context))

            group.start_soon(call)
            await started.wait()
            group.cancel_scope.cancel()
    assert returned == []
    assert [type(error) for error in ended] == [anyio.get_cancelled_exc_class()]


async def test_an_evaluators_own_timeout_is_a_failure(context: Context) -> None:
    async def give_up(ctx: Context) -> bool:
        with anyio.fail_after(0):
            await anyio.sleep_forever()
        return True

    _, failures = await run_evaluators([Awaiting(give_up)], context)
    assert [failure.error_type for failure in failures] == ['TimeoutError']


def test_a_task_cancelled_by_asyncio_itself_is_cancelled(context: Context) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def hang(ctx: Context) -> bool:
            started.set()
            await asyncio.Event().wait()
            return True

        task = asyncio.create_task(run_evaluators([Awaiting(hang), Awaiting(score_one, 'one')], context))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@pytest.mark.parametrize('backend', ['asyncio', 'trio'])
def test_ctrl_c_in_an_evaluator_is_not_a_failure(context: Context, backend: str) -> None:
    async def interrupt(ctx: Context) -> bool:
        raise KeyboardInterrupt

    async def main() -> None:
        await run_evaluators([Awaiting(interrupt)], context)

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)


async def test_what_is_no_evaluator_is_refused(context: Context) -> None:
    with pytest.raises(ValueError, match='Expected an instance of an `Evaluator` subclass'):
        await run_evaluators([object()], context)  # pyright: ignore[reportArgumentType]


async def test_settings_of_an_online_evaluator_are_taken_along(context: Context) -> None:
    online = OnlineEvaluator(evaluator=NotEmpty(), sample_rate=0.0)
    results, _ = await run_evaluators([online.evaluator], context)
    assert [result.value for result in results] == [True]
