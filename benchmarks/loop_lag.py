"""How late an application's event loop is while synchronous evaluators use the processor."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from .child import measure_in_child
from .packages import PACKAGES, Package, make_agent
from .samples import percentile
from .table import Row, Target

__all__ = ('measure', 'rows')

SLEEP = 0.0015
CPU_SECONDS = 0.05
IDLE_SECONDS = 1.0
MUST = 12


@dataclass
class Spin(Evaluator):
    """A synchronous evaluator that uses the processor, in pure Python."""

    index: int

    def get_default_evaluation_name(self) -> str:
        """A name of its own for each."""
        return f'Spin {self.index}'

    def evaluate(self, ctx: EvaluatorContext) -> bool:
        """Compute."""
        return _spin(CPU_SECONDS)


def _spin(seconds: float) -> bool:
    # Processor time and not time on the clock: on a busy machine the evaluator must not get away with less work.
    end = time.thread_time() + seconds
    total = 0
    while time.thread_time() < end:
        for number in range(1000):
            total += number
    return total > 0


class Ticker:
    """A coroutine of the application that wants to wake up every so often, and notes how late it did."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self._is_stopped = False

    async def run(self) -> None:
        """Tick until stopped."""
        while not self._is_stopped:
            start = time.perf_counter()
            await asyncio.sleep(SLEEP)
            self.lags.append(time.perf_counter() - start - SLEEP)

    def stop(self) -> None:
        """Stop after the tick that is under way."""
        self._is_stopped = True


def measure(*, evaluators: int, rounds: int) -> dict[str, Any]:
    """Measure in this process. The figures are in milliseconds."""
    return asyncio.run(_measure(evaluators, rounds))


async def _measure(evaluators: int, rounds: int) -> dict[str, Any]:
    rng = random.Random(0)
    loads = {**{name: _evaluate(package) for name, package in PACKAGES.items()}, 'thread': _compute, 'idle': _idle}
    names = list(loads)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        await loads[name](1)
    for _ in range(rounds):
        rng.shuffle(names)
        for name in names:
            ticker = Ticker()
            ticking = asyncio.create_task(ticker.run())
            await asyncio.sleep(SLEEP)
            await loads[name](evaluators)
            ticker.stop()
            await ticking
            figures[name].append(percentile(ticker.lags, 0.99) * 1000)
    return {name: {'median': median(values), 'values': values} for name, values in figures.items()}


def _evaluate(package: Package) -> Callable[[int], Awaitable[None]]:
    async def load(evaluators: int) -> None:
        agent = make_agent(package.attach([Spin(index=i) for i in range(evaluators)]))
        await agent.run('How are you?')
        await package.wait_for_evaluations(timeout=300)

    return load


async def _compute(evaluators: int) -> None:
    """One plain thread that computes as much: what Python's interpreter lock costs whoever evaluates in a thread."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def compute() -> None:
        for _ in range(evaluators):
            _spin(CPU_SECONDS)
        loop.call_soon_threadsafe(ended.set)

    thread = threading.Thread(target=compute)
    thread.start()
    await ended.wait()
    thread.join()


async def _idle(evaluators: int) -> None:
    del evaluators
    await asyncio.sleep(IDLE_SECONDS)


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    evaluators = 20 if quick else 100
    measured = measure_in_child('loop_lag', evaluators=evaluators, rounds=1 if quick else 3)
    each = ', '.join(f'{value:.1f}' for value in measured['ours']['values'])
    thread, idle = measured['thread']['median'], measured['idle']['median']
    return [
        Row(
            measure=f'event-loop lag p99 while {evaluators} synchronous evaluators of 50 ms of pure-Python CPU run',
            ours=measured['ours']['median'],
            upstream=measured['upstream']['median'],
            unit='ms',
            ratio=measured['ours']['median'] / measured['upstream']['median'],
            target=Target(of='ours', must=MUST, aim=6),
            remark=f'ours in each round: {each} ms; while one plain thread computes as much: {thread:.1f} ms; '
            f'with nothing to do: {idle:.1f} ms',
            doubt=_doubt(measured['ours']['values'], thread),
        )
    ]


def _doubt(rounds: list[float], thread: float) -> str | None:
    if thread > MUST:
        return 'one plain thread that computes exceeds what must be reached'
    if min(rounds) <= MUST < max(rounds):
        return 'some rounds reach what must be reached, others do not'
    return None
