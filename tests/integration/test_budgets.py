"""`budget=`: what evaluations may spend, over an agent's runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from judge_models import Asked
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage, RunUsage
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    Budget,
    ConfigurationError,
    Judge,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    Panel,
    Vote,
    wait_for_evaluations,
)
from pydantic_ai_assay.runs.judgement import current_log
from pydantic_ai_assay.testing import SettableClock, capture_evaluations

pytestmark = pytest.mark.anyio

START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass
class Priced(Evaluator[Any, Any, Any]):
    """Tells what it cost."""

    cost: str = '0.01'
    name: str = 'priced'

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        log = current_log()
        assert log is not None
        usage = RunUsage()
        usage.cost = Decimal(self.cost)
        log.add(Vote(judge=self.name, value=True, passed=True, usage=usage))
        return True

    def get_default_evaluation_name(self) -> str:
        return self.name


@pytest.fixture
def clock() -> Iterator[SettableClock]:
    """Time that stands at the start of a week, a day and an hour."""
    clock = SettableClock(START)
    with capture_evaluations(clock=clock, scope='process'):
        yield clock


def judged(*evaluators: OnlineEvaluator | Evaluator[Any, Any, Any], **settings: Any) -> Agent:
    return Agent(
        TestModel(),
        name='judged',
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(**settings))],
    )


async def run(agent: Agent, times: int) -> None:
    for _ in range(times):
        await agent.run('hi')
        assert await wait_for_evaluations() == ()


async def test_what_a_budget_keeps_out_is_over_budget_and_what_it_lets_in_has_its_probability(
    clock: SettableClock, collected: Collected
) -> None:
    budget = Budget(evaluations=20, per='hour')
    agent = judged(OnlineEvaluator(evaluator=Priced(), budget=budget), default_sink=collected)
    for _ in range(40):
        await run(agent, 1)
        clock.advance(60)
    counts = counted('priced')
    assert sum(counts.values()) == 40
    assert set(counts) == {'scored', 'over_budget'}
    assert 1 <= counts['scored'] <= 20
    assert budget.spent == counts['scored']
    assert [0 < outcome.probability <= 1 for outcome in collected.outcomes] == [True] * counts['scored']
    assert min(outcome.probability for outcome in collected.outcomes) < 1


async def test_evaluators_share_a_budget_and_settle_what_they_cost(clock: SettableClock) -> None:
    budget = Budget(usd=1, per='day')
    first, second = Priced('0.01', 'first'), Priced('0.02', 'second')
    await run(judged(OnlineEvaluator(evaluator=first, budget=budget), second, budget=budget), 3)
    spent = 0.01 * counted('first').get('scored', 0) + 0.02 * counted('second').get('scored', 0)
    assert spent > 0
    assert budget.spent == pytest.approx(spent)
    assert budget.state().in_flight == 0


def a_judge(name: str, cost: str | None = None, *, error: Exception | None = None) -> Judge:
    def answer(messages: object) -> ModelResponse:
        usage = RequestUsage(input_tokens=100)
        usage.cost = None if cost is None else Decimal(cost)
        return ModelResponse(parts=[ToolCallPart('final_result', {'reason': '', 'passes': True})], usage=usage)

    return Judge('It is polite', name=name, model=Asked([error or answer]).model)


async def test_a_vote_without_a_known_price_counts_as_the_mean_of_the_others(clock: SettableClock) -> None:
    budget = Budget(usd=1, per='day')
    panel = Panel([a_judge('a', '0.01'), a_judge('b', '0.03'), a_judge('c')])
    await run(judged(OnlineEvaluator(evaluator=panel, budget=budget)), 1)
    assert budget.spent == pytest.approx(0.06)
    assert budget.state().unpriced == 1


async def test_a_call_that_the_provider_refused_costs_nothing(clock: SettableClock) -> None:
    budget = Budget(usd=1, per='day')
    refused = a_judge('a', error=ModelHTTPError(429, 'gpt'))
    agent = judged(OnlineEvaluator(evaluator=refused, budget=budget))
    for _ in range(3):
        await run(agent, 1)
        clock.advance(3_600)
    assert counted('a') == {'failed': 3}
    assert (budget.spent, budget.state().unpriced) == (0.0, 0)


async def test_an_evaluators_own_budget_replaces_that_of_the_config(clock: SettableClock) -> None:
    own, shared = Budget(evaluations=100, per='day'), Budget(evaluations=100, per='day')
    await run(judged(OnlineEvaluator(evaluator=Priced(), budget=own), budget=shared), 2)
    assert (own.state().offered, shared.state().offered) == (2, 0)


async def test_an_evaluation_that_never_ran_is_given_back(clock: SettableClock, gate: Gate) -> None:
    @dataclass
    class Waits(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            await gate.pass_async()
            return True

    budget = Budget(evaluations=1_000_000, per='minute')
    evaluator = OnlineEvaluator(
        evaluator=Waits(), budget=budget, max_concurrency=1, on_max_concurrency=lambda ctx: None
    )
    agent = judged(evaluator, queue_size=1)
    for _ in range(3):
        await agent.run('hi')
    with pytest.warns(UserWarning, match='had not ended'):
        await wait_for_evaluations(timeout=0.05)
    gate.open()
    await wait_for_evaluations()
    assert counted('Waits') == {'scored': 2, 'dropped': 1}
    assert (budget.spent, budget.state().in_flight) == (2, 0)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (
            lambda: OnlineEvaluator(evaluator=Priced(), budget=5),  # pyright: ignore[reportArgumentType]
            "budget must be a Budget, such as Budget(usd=5, per='day'), got 5.",
        ),
        (
            lambda: OnlineEvalConfig(budget=5),  # pyright: ignore[reportArgumentType]
            "budget must be a Budget, such as Budget(usd=5, per='day'), got 5.",
        ),
        (
            lambda: OnlineEvaluator(evaluator=Priced(), mode='block', budget=Budget(evaluations=1, per='day')),
            "A budget leaves runs out, and mode='block' judges every output that is sampled, got "
            "budget=Budget(evaluations=1, per='day').",
        ),
    ],
)
def test_what_cannot_work_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert str(refused.value) == message


async def test_a_budget_does_not_hold_for_what_blocks(clock: SettableClock) -> None:
    budget = Budget(evaluations=1, per='day')
    await run(judged(OnlineEvaluator(evaluator=Priced(), mode='block'), budget=budget), 3)
    assert counted('priced') == {'scored': 3}
    assert budget.state().offered == 0
