"""Many runs at once with default settings: how many of them are evaluated."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydantic_evals.evaluators import Evaluator, EvaluatorContext

import pydantic_ai_assay

from .child import measure_in_child
from .packages import PACKAGES, Package, make_agent
from .table import Row, Target

__all__ = ('measure', 'rows')


@dataclass
class Slow(Evaluator):
    """An asynchronous evaluator that takes its time, and counts."""

    seconds: float

    def __post_init__(self) -> None:
        """Start counting."""
        self.finished = 0

    async def evaluate(self, ctx: EvaluatorContext) -> bool:
        """Wait, then pass the run."""
        await asyncio.sleep(self.seconds)
        self.finished += 1
        return True


def measure(*, runs: int, seconds: float) -> dict[str, int]:
    """Measure in this process."""
    finished = {name: asyncio.run(_finished(package, runs, seconds)) for name, package in PACKAGES.items()}
    return {**finished, 'scored': pydantic_ai_assay.stats().by_status.get('scored', 0)}


async def _finished(package: Package, runs: int, seconds: float) -> int:
    evaluator = Slow(seconds=seconds)
    agent = make_agent(package.attach([evaluator]))
    await asyncio.gather(*(agent.run(f'Question {number}') for number in range(runs)))
    await package.wait_for_evaluations(timeout=300)
    return evaluator.finished


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    runs, seconds = 1000, 0.05 if quick else 0.2
    measured = measure_in_child('at_once', runs=runs, seconds=seconds)
    finished = measured['ours']
    return [
        Row(
            measure=f'{runs:,} runs at once, asynchronous evaluator of {seconds:g} s, default settings: scored',
            ours=measured['scored'],
            upstream=measured['upstream'],
            target=Target(of='count', must=runs),
            fault=f'the evaluator was called to its end {finished} times' if finished != runs else None,
        )
    ]
