"""`store=` and `ASSAY_STORE`: every judged run is kept, and what was never judged is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Collected, Gate
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    AssayWarning,
    Budget,
    ConfigurationError,
    EvaluationStatus,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    evaluate,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.keeping import StoreRegistry
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.testing import capture_evaluations

pytestmark = pytest.mark.anyio


@dataclass
class Says(Evaluator[Any, Any, Any]):
    value: Any = True

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> Any:
        return self.value


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    url = f'sqlite:///{tmp_path / "assay.db"}'
    yield url
    store = StoreRegistry.stores.pop(url, None)
    if isinstance(store, Store):
        assert store.close()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    assert store.close()


def judged(*evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, **settings: Any) -> Agent:
    return Agent(
        TestModel(custom_output_text='Hello'),
        name='greeter',
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(**settings))],
    )


async def run(agent: Agent) -> str | None:
    result = await agent.run('hi')
    assert await wait_for_evaluations() == ()
    return result.run_id


def opened(url: str) -> Store:
    store = StoreRegistry.open(url)
    assert isinstance(store, Store)
    assert store.flush()
    return store


async def test_a_run_and_its_outcomes_are_kept_at_the_url(url: str) -> None:
    run_id = await run(judged(Says(), store=url))
    assert run_id is not None
    store = opened(url)
    (summary,) = store.runs().items
    assert (summary.run_id, summary.agent_name) == (run_id, 'greeter')
    (outcome,) = store.outcomes(run_id)
    assert (outcome.outcome.evaluator, outcome.outcome.status) == ('Says', 'scored')


async def test_configs_with_one_url_have_one_store(url: str) -> None:
    await run(judged(Says(), store=url))
    await run(judged(Says(False), store=url))
    assert len(opened(url).runs().items) == 2


async def test_a_store_is_taken_as_it_is_also_by_functions(store: Store) -> None:
    @evaluate(Says(), config=OnlineEvalConfig(store=store))
    def greet() -> str:
        return 'Hello'

    greet()
    await wait_for_evaluations()
    assert store.flush()
    (summary,) = store.runs().items
    assert summary.target.endswith('greet')


async def test_the_variable_holds_where_the_config_says_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(f'sqlite:///{tmp_path / "other.db"}')
    monkeypatch.setenv('ASSAY_STORE', url)
    await run(judged(Says()))
    await run(judged(Says(), store=other))
    assert len(opened(url).runs().items) == 1
    assert other.flush()
    assert len(other.runs().items) == 1
    assert other.close()


@pytest.mark.parametrize('value', ['assay.db', 'mysql://localhost/assay'])
def test_a_variable_that_is_no_url_of_a_store_is_an_error_that_names_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ASSAY_STORE', value)
    with pytest.raises(ConfigurationError, match=f'The environment variable ASSAY_STORE cannot be used: .*{value[:5]}'):
        judged(Says())


async def test_a_variable_that_is_spoilt_later_is_warned_of_and_runs_are_judged(
    monkeypatch: pytest.MonkeyPatch, collected: Collected
) -> None:
    agent = judged(Says(), default_sink=collected)
    monkeypatch.setenv('ASSAY_STORE', 'assay.db')
    with pytest.warns(AssayWarning, match='Runs are not kept: The environment variable ASSAY_STORE cannot be used'):
        await run(agent)
    assert collected.values == {'Says': True}


def test_a_setting_that_is_no_store_is_an_error() -> None:
    with pytest.raises(
        ConfigurationError, match=r"store must be a URL such as 'sqlite:///assay.db' or a Store, got 5\."
    ):
        OnlineEvalConfig(store=5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match='mysql'):
        judged(Says(), store='mysql://localhost/assay')


async def test_what_was_never_judged_is_counted(store: Store) -> None:
    await run(judged(OnlineEvaluator(evaluator=Says(), sample_rate=0.0), store=store))
    await run(judged(OnlineEvaluator(evaluator=Says(), run_on=['error']), store=store))
    budget = Budget(evaluations=1, per='week')
    for _ in range(5):
        await run(judged(OnlineEvaluator(evaluator=Says(), budget=budget), store=store))
    assert store.flush()
    counts = Counter[EvaluationStatus]()
    for each in store.aggregates(timedelta(days=1)):
        counts.update(each.statuses)
    assert counts['sampled_out'] == counts['skipped'] == 1
    assert (counts['scored'], counts['over_budget'], counts.total()) == (1, 4, 7)


async def test_a_run_of_which_all_evaluations_were_dropped_is_kept(store: Store, gate: Gate) -> None:
    @dataclass
    class Waits(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            await gate.pass_async()
            return True

    evaluator = OnlineEvaluator(evaluator=Waits(), max_concurrency=1, on_max_concurrency=lambda ctx: None)
    agent = judged(evaluator, queue_size=1, store=store)
    await asyncio.gather(*(agent.run('hi') for _ in range(3)))
    while gate.arrived == 0:
        await asyncio.sleep(0)
    gate.open()
    await wait_for_evaluations()
    assert store.flush()
    statuses = [store.outcomes(summary.run_id)[0].outcome.status for summary in store.runs().items]
    assert sorted(statuses) == ['dropped', 'scored', 'scored']


async def test_what_a_test_captures_without_sinks_is_not_kept(store: Store) -> None:
    async with capture_evaluations(call_sinks=False) as captured:
        await judged(Says(), store=store).run('hi')
    assert [outcome.status for outcome in captured.outcomes] == ['scored']
    assert store.flush()
    assert not store.info().is_reachable or store.runs().items == ()
