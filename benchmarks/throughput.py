"""Evaluations per second, end to end: the runs, and the evaluation of each."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from pydantic_ai import Agent
from pydantic_evals.evaluators import EvaluatorContext

from .child import ChildError, measure_in_child
from .packages import PACKAGES, NoOp, Trivial, configure_logfire, make_agent
from .samples import Estimate, ratio_of_pairs
from .table import Row, Target

__all__ = ('measure', 'rows')

BATCH = 10
MANY = 20
MAX_CONCURRENCY = 1000


@dataclass
class Counting(Trivial):
    """The trivial evaluator, counting."""

    def __post_init__(self) -> None:
        """Start counting."""
        self.finished = 0

    async def evaluate(self, ctx: EvaluatorContext) -> bool:
        """Pass every run."""
        self.finished += 1
        return True


def measure(*, logfire: bool, evaluators: int, runs: int, rounds: int) -> dict[str, Any]:
    """Measure in this process."""
    if logfire:
        configure_logfire()
    return asyncio.run(_measure(evaluators, runs, rounds))


async def _measure(evaluators: int, runs: int, rounds: int) -> dict[str, Any]:
    rng = random.Random(0)
    counting = {name: [Counting(index=i) for i in range(evaluators)] for name in PACKAGES}
    agents = {
        name: make_agent(package.attach(counting[name], max_concurrency=MAX_CONCURRENCY))
        for name, package in PACKAGES.items()
    }
    agents['no-op'] = make_agent(NoOp())
    names = list(agents)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        await _rate(name, agents[name], 5 * BATCH)
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        rng.shuffle(names)
        for name in names:
            # The collector stays on within a round, as it is in an application; each round starts on a clean slate.
            gc.collect()
            rates[name].append(await _rate(name, agents[name], runs))
    expected = (5 * BATCH + rounds * runs) * evaluators
    for name in PACKAGES:
        finished = sum(evaluator.finished for evaluator in counting[name])
        if finished != expected:
            raise ChildError(f'{name} made {finished} of {expected} evaluations; the rates do not compare.')
    return {
        'rates': {name: median(values) * evaluators for name, values in rates.items()},
        'ratio': ratio_of_pairs(rates['ours'], rates['upstream']).as_json(),
    }


async def _rate(name: str, agent: Agent[None, str], runs: int) -> float:
    start = time.perf_counter()
    for _ in range(runs // BATCH):
        await asyncio.gather(*(agent.run('How are you?') for _ in range(BATCH)))
    if name in PACKAGES:
        await PACKAGES[name].wait_for_evaluations(timeout=120)
    return runs / (time.perf_counter() - start)


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    # With one evaluator the runs take most of the time, which bounds the ratio; the second pair of rows shows the rest.
    return [
        _row(where, evaluators, quick=quick)
        for evaluators in (1, MANY)
        for where in ('without Logfire', 'with Logfire')
        if not quick or evaluators == 1
    ]


def _row(where: str, evaluators: int, *, quick: bool) -> Row:
    measured = measure_in_child(
        'throughput',
        logfire=where == 'with Logfire',
        evaluators=evaluators,
        runs=100 if quick or evaluators > 1 else 200,
        rounds=4 if quick else 20 if evaluators == 1 else 10,
    )
    rates, ratio = measured['rates'], Estimate(**measured['ratio'])
    text = 'trivial evaluator' if evaluators == 1 else f'{evaluators} trivial evaluators per run'
    return Row(
        measure=f'evaluations per second, {text}, end to end, {where}',
        ours=rates['ours'],
        upstream=rates['upstream'],
        unit='/s',
        ratio=ratio.value,
        interval=ratio,
        target=Target(of='ratio', must=1, aim=2, at_least=True),
        remark=f'if evaluating cost nothing: {rates["no-op"]:,.0f} /s, {rates["no-op"] / rates["upstream"]:.2f} × upstream',
    )
