"""What an evaluator that blocks adds to a run, over an output validator that does nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from pydantic_ai_assay import OnlineEvaluation, OnlineEvaluator

from .caller_path import Subject, time_runs
from .child import measure_in_child
from .packages import OURS, Trivial
from .samples import Estimate, difference
from .table import Row, Target

__all__ = ('measure', 'rows')


def measure(*, rounds: int) -> dict[str, Any]:
    """Measure in this process."""
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> dict[str, Any]:
    samples = await time_runs(
        {
            'validator': Subject(agent=_validated()),
            'guard': Subject(
                agent=Agent(
                    TestModel(),
                    name='benchmark',
                    capabilities=[OnlineEvaluation(evaluators=[OnlineEvaluator(evaluator=Trivial(), mode='block')])],
                ),
                package=OURS,
            ),
        },
        rounds,
    )
    return difference(samples['guard'], samples['validator']).as_json()


def _validated() -> Agent[None, str]:
    agent = Agent(TestModel(), name='benchmark')

    @agent.output_validator
    def validate(output: str) -> str:
        return output

    return agent


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    estimate = Estimate(**measure_in_child('guardrail', rounds=60 if quick else 600))
    return [
        Row(
            measure='added to a run by an evaluator that blocks, over an output validator',
            ours=estimate.value,
            upstream=None,
            unit='µs',
            interval=estimate,
            target=Target(of='ours', must=300.0),
            remark='capture and recording of the run included',
        )
    ]
