"""Leaving a lifespan: what it waits for, for how long, and what it says of what is left."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from conftest import Collected, Gate
from evaluators import Awaiting, Context, NotEmpty
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from starlette.applications import Starlette

from pydantic_ai_assay import (
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluation,
    assay_lifespan,
    stats,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

BOUND = 10.0


def held_by(gate: Gate, collected: Collected, **settings: Any) -> Agent[None, str]:
    """An agent with an evaluator that waits for the gate, and one that does not."""

    async def hold(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    config = OnlineEvalConfig(default_sink=collected, **settings)
    evaluators = [Awaiting(hold, 'held'), NotEmpty()]
    return Agent(TestModel(), name='served', capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)])


def warnings_in(log: pytest.LogCaptureFixture) -> list[str]:
    """What is logged where warnings are errors, as in these tests."""
    return [record.getMessage() for record in log.records if record.name == 'pydantic_ai_assay']


@pytest.mark.anyio
@pytest.mark.parametrize('timeout', [None, BOUND])
async def test_what_is_pending_is_finished(collected: Collected, gate: Gate, timeout: float | None) -> None:
    async with assay_lifespan(timeout=timeout):
        await held_by(gate, collected).run('hi')
        asyncio.get_running_loop().call_soon(gate.open)
    assert collected.values == {'held': True, 'NotEmpty': True}


@pytest.mark.anyio
async def test_an_application_takes_it_as_it_is_or_with_arguments_or_within_its_own(
    collected: Collected, gate: Gate
) -> None:
    gate.open()
    order: list[str] = []

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncGenerator[None]:
        async with assay_lifespan():
            yield
        order.extend([*collected.values, 'closed'])

    for app in (
        Starlette(lifespan=assay_lifespan),
        Starlette(lifespan=assay_lifespan(timeout=BOUND)),
        Starlette(lifespan=own),
    ):
        collected.payloads.clear()
        async with app.router.lifespan_context(app) as state:
            assert state is None
            await held_by(gate, collected).run('hi')
        assert sorted(collected.values) == ['NotEmpty', 'held']
    assert sorted(order[:2]) == ['NotEmpty', 'held']
    assert order[2:] == ['closed']


@pytest.mark.anyio
async def test_what_is_left_goes_on_and_is_named(
    collected: Collected, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    agent = held_by(gate, collected)
    async with assay_lifespan(timeout=0.05):
        for _ in range(3):
            await agent.run('hi')
    assert warnings_in(caplog) == [
        '3 evaluation(s) had not ended when the application shut down, and are lost if the process ends: held (3).'
    ]
    # The end of the loop does not wait for as long again.
    assert PIPELINE.executor.shutdown_time_left() <= 0
    gate.open()
    assert await wait_for_evaluations() == ()
    assert len(collected.results) == 6


@pytest.mark.anyio
async def test_a_sink_that_is_left_is_named(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    arrived = asyncio.Event()

    class Held:
        async def submit(self, payload: object) -> None:
            arrived.set()
            await gate.pass_async()

    config = OnlineEvalConfig(default_sink=Held())
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=config)])
    async with assay_lifespan(timeout=BOUND):
        await agent.run('hi')
        await asyncio.wait_for(arrived.wait(), BOUND)
        async with assay_lifespan(timeout=0.05):
            pass
        gate.open()
    (warning,) = warnings_in(caplog)
    assert warning.startswith('0 evaluation(s) ')
    assert warning.endswith(': deliveries to sinks.')


@pytest.mark.anyio
async def test_the_time_is_that_of_the_configs_in_use_and_is_spent_once(collected: Collected, gate: Gate) -> None:
    """Nor does a lifespan around another one wait for as long again."""
    agent = held_by(gate, collected, shutdown_timeout=0.5)
    executor = PIPELINE.executor
    # Configs of other tests have asked for more.
    executor.shutdown_timeout = 0.0
    async with assay_lifespan():
        async with assay_lifespan():
            await agent.run('hi')
        assert executor.shutdown_time_left() <= 0
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 0.5
    gate.open()
    await wait_for_evaluations()


@pytest.mark.anyio
async def test_the_time_that_is_left_is_for_the_end_of_the_loop(collected: Collected, gate: Gate) -> None:
    async with assay_lifespan(timeout=BOUND):
        await held_by(gate, collected).run('hi')
        gate.open()
    assert 0 < PIPELINE.executor.shutdown_time_left() < BOUND


@pytest.mark.anyio
async def test_an_application_that_fails_is_waited_for_and_one_that_is_cancelled_is_not(
    collected: Collected, gate: Gate
) -> None:
    agent = held_by(gate, collected)
    with pytest.raises(asyncio.CancelledError):
        async with assay_lifespan(timeout=3_600):
            await agent.run('hi')
            raise asyncio.CancelledError
    with pytest.raises(ValueError, match='failed'):
        async with assay_lifespan(timeout=BOUND):
            gate.open()
            raise ValueError('failed')
    assert stats().pending == 0


@pytest.mark.anyio
async def test_a_wait_that_is_cancelled_ends(collected: Collected, gate: Gate) -> None:
    leaving = asyncio.Event()

    async def serve() -> None:
        async with assay_lifespan(timeout=3_600):
            await held_by(gate, collected).run('hi')
            leaving.set()

    task = asyncio.create_task(serve())
    await leaving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await wait_for_evaluations()


@pytest.mark.parametrize('is_handled', [True, False])
def test_ctrl_c_ends_the_wait_and_is_passed_on(
    collected: Collected, gate: Gate, is_handled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    handler = signal.signal(
        signal.SIGINT, (lambda number, frame: heard.append(number)) if is_handled else signal.SIG_IGN
    )

    async def main() -> None:
        ours = signal.getsignal(signal.SIGINT)
        async with assay_lifespan(timeout=BOUND if is_handled else 0.05):
            await held_by(gate, collected).run('hi')
            if is_handled:
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == ours
        gate.open()
        await wait_for_evaluations()

    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, handler)
    assert heard == [signal.SIGINT] * is_handled
    assert len(warnings_in(caplog)) == 1


def test_a_lifespan_in_another_thread(collected: Collected, gate: Gate) -> None:
    async def main() -> None:
        async with assay_lifespan(timeout=BOUND):
            await held_by(gate, collected).run('hi')
            gate.open()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(2 * BOUND)
    assert collected.values == {'held': True, 'NotEmpty': True}


def test_a_lifespan_on_trio(collected: Collected, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with assay_lifespan(timeout=0.05):
            await anyio.to_thread.run_sync(lambda: asyncio.run(run()))
        assert len(warnings_in(caplog)) == 1
        async with assay_lifespan(timeout=BOUND):
            gate.open()

    async def run() -> None:
        await held_by(gate, collected, shutdown_timeout=0).run('hi')

    # Configs of other tests have asked for more.
    PIPELINE.executor.shutdown_timeout = 0.0
    anyio.run(main, backend='trio')
    assert collected.values == {'held': True, 'NotEmpty': True}


def test_with_nothing_pending_nothing_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with assay_lifespan(timeout=0):
            pass

    asyncio.run(main())
    assert warnings_in(caplog) == []


def test_after_a_sigterm_what_is_left_is_named_at_the_end_of_the_process(
    collected: Collected, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A blocked SIGTERM is how the process is kept until then."""

    async def main() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            async with assay_lifespan(timeout=0.05):
                await held_by(gate, collected).run('hi')
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        gate.open()
        await wait_for_evaluations()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert warnings_in(caplog) == []


@pytest.mark.parametrize('timeout', [-1, float('inf'), float('nan'), '10'])
def test_a_timeout_that_cannot_work(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match='timeout must be a number of seconds, 0 or more, got'):
        assay_lifespan(timeout=timeout)
