"""What pydantic-evals judges by itself is kept by a store that is its sink, on both databases."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import logfire
import pytest
from databases import database_url, postgres_url, sqlite_url, store
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals import increment_eval_metric, set_eval_attribute
from pydantic_evals.evaluators import Contains, EqualsExpected, Evaluator, EvaluatorContext
from pydantic_evals.online import OnlineEvalConfig, OnlineEvaluator, wait_for_evaluations
from pydantic_evals.online_capability import OnlineEvaluation
from store_samples import BOUND

from pydantic_ai_assay import EvaluationOutcome
from pydantic_ai_assay.rejudging import rejudge
from pydantic_ai_assay.store.rows import RunSummary
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


@dataclass
class Fickle(Evaluator[Any, Any, Any]):
    """Says one thing, two, or nothing at all."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> Any:
        if 'fail' in str(ctx.output):
            raise ValueError('no')
        return {'one': True} if 'one' in str(ctx.output) else {'one': True, 'two': 2}


@dataclass
class Metrics(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> Any:
        return {name: float(value) for name, value in ctx.metrics.items()}


@pytest.fixture
def traced() -> Iterator[None]:
    logfire.configure(send_to_logfire=False, console=False)
    logfire.instrument_pydantic_ai()
    yield
    Agent.instrument_all(False)


def kept(store: Store) -> list[RunSummary]:
    assert store.flush(BOUND)
    assert store.stats().refused == 0
    return list(store.runs(limit=1_000).items)


def outcomes(store: Store, run: RunSummary) -> dict[str, EvaluationOutcome]:
    found = [each.outcome for each in store.outcomes(run.run_id)]
    assert len({each.evaluator for each in found}) == len(found)
    return {each.evaluator: each for each in found}


def test_functions_are_kept_whether_they_are_asynchronous_or_not(store: Store, traced: None) -> None:
    config = OnlineEvalConfig(default_sink=store, metadata={'variant': 'b', 'tags': ['x']})

    @config.evaluate(Contains('one'), Fickle(), target='plain')
    def plain(text: str, times: int = 2) -> str:
        set_eval_attribute('word', text)
        return text

    @config.evaluate(Contains('one'), OnlineEvaluator(evaluator=Fickle(), run_on_errors=True), target='awaited')
    async def awaited(text: str) -> str:
        if text == 'raise':
            raise ValueError('fail: this is not for anybody')
        return text

    async def main() -> None:
        plain('one')
        await awaited('fail')
        with pytest.raises(ValueError, match='fail'):
            await awaited('raise')
        await wait_for_evaluations()

    plain('two')
    asyncio.run(main())
    runs = {(run.target, run.answer): run for run in kept(store)}
    assert set(runs) == {('plain', 'one'), ('plain', 'two'), ('awaited', 'fail'), ('awaited', None)}
    said = {
        answer: {name: (each.status, len(each.results)) for name, each in outcomes(store, run).items()}
        for (_, answer), run in runs.items()
    }
    assert said == {
        'one': {'Contains': ('scored', 1), 'Fickle': ('scored', 1)},
        'two': {'Contains': ('scored', 1), 'Fickle': ('scored', 2)},
        'fail': {'Contains': ('scored', 1), 'Fickle': ('failed', 0)},
        None: {'Fickle': ('failed', 0)},
    }
    first = store.run(runs['plain', 'one'].run_id)
    assert (first.record.inputs, first.record.attributes) == ({'text': 'one', 'times': 2}, {'word': 'one'})
    assert (first.summary.variant, first.tags) == ('b', ('x',))
    failed = store.run(runs['awaited', None].run_id)
    assert (failed.summary.outcome, failed.summary.error_type) == ('error', 'ValueError')
    assert {each.name for each in store.evaluators()} == {'Contains', 'Fickle'}
    (sums,) = [
        each
        for each in store.aggregates(timedelta(days=1), by=('evaluator',))
        if (each.kind, each.evaluator) == ('outcome', 'Fickle')
    ]
    assert sums.statuses == {'scored': 2, 'failed': 2}


def test_a_streamed_run_of_an_agent_is_kept(store: Store, traced: None) -> None:
    config = OnlineEvalConfig(default_sink=store)
    agent = Agent(
        TestModel(), name='assistant', capabilities=[OnlineEvaluation(evaluators=[Contains('success')], config=config)]
    )

    async def main() -> None:
        async with agent.run_stream('Hello') as result:
            assert [each async for each in result.stream_text()]
        await wait_for_evaluations()

    asyncio.run(main())
    (run,) = kept(store)
    assert (run.target, run.answer) == ('assistant', 'success (no tool calls)')
    assert outcomes(store, run)['Contains'].passed is True


def test_evaluators_see_the_metrics_that_they_saw_before(store: Store, traced: None) -> None:
    agent = Agent(TestModel(), name='assistant')

    @OnlineEvalConfig(default_sink=store).evaluate(Metrics())
    async def answer(text: str) -> str:
        increment_eval_metric('words', 2)
        increment_eval_metric('requests', 10)
        return (await agent.run(text)).output

    async def main() -> None:
        await answer('Hello')
        await wait_for_evaluations()
        assert await asyncio.to_thread(store.flush, BOUND)
        await rejudge([Metrics()], series='again', store=store)

    asyncio.run(main())
    (run,) = kept(store)
    online, again = (
        {result.name: result.value for result in each.outcome.results} for each in store.outcomes(run.run_id)
    )
    assert online == again
    assert (again['requests'], again['words']) == (11, 2)


def test_all_that_is_handed_over_of_one_run_is_one_run(store: Store, traced: None) -> None:
    config = OnlineEvalConfig(default_sink=[store, store])

    @config.evaluate(Contains('a'), OnlineEvaluator(evaluator=Fickle(), sink=[store]), EqualsExpected())
    def answer(text: str) -> str:
        return text

    answer('abc')
    asyncio.run(wait_for_evaluations())
    (run,) = kept(store)
    assert set(outcomes(store, run)) == {'Contains', 'Fickle'}
    assert run.span is not None and run.run_id == f'{run.span.trace_id}:{run.span.span_id}'
    assert {each.started_at for each in store.outcomes(run.run_id)} == {run.started_at}


def test_runs_of_many_threads_are_all_kept(store: Store, traced: None) -> None:
    @OnlineEvalConfig(default_sink=store).evaluate(
        OnlineEvaluator(evaluator=Contains('a'), max_concurrency=1_000),
        OnlineEvaluator(evaluator=Fickle(), max_concurrency=1_000, sink=[store]),
    )
    def answer(number: int) -> str:
        return f'a{number}'

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(answer, range(200)))
    asyncio.run(wait_for_evaluations())
    runs = kept(store)
    assert sorted(run.answer or '' for run in runs) == sorted(f'a{number}' for number in range(200))
    assert all(set(outcomes(store, run)) == {'Contains', 'Fickle'} for run in runs)


def test_content_that_must_not_be_recorded_is_not_in_the_store(
    store: Store, traced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', 'false')

    @OnlineEvalConfig(default_sink=store).evaluate(Contains('absent'), target='answer')
    def answer(text: str) -> str:
        set_eval_attribute('secret', text)
        return text

    answer('a secret')
    asyncio.run(wait_for_evaluations())
    (run,) = kept(store)
    stored = store.run(run.run_id)
    assert (run.prompt, run.answer, stored.record.record_content) == (None, None, False)
    assert (stored.record.inputs, stored.record.output, stored.record.attributes) == (None, None, {})
    assert stored.record.spans is None
    ((result,),) = (each.outcome.results for each in stored.outcomes)
    assert (result.value, result.reason) == (False, None)


WITHOUT_TRACES = """
import asyncio, sys
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from pydantic_evals.evaluators import Contains, Equals
from pydantic_evals.online import OnlineEvalConfig, OnlineEvaluator, wait_for_evaluations
from pydantic_ai_assay.store.store import Store

store = Store(sys.argv[1])

@OnlineEvalConfig(default_sink=store).evaluate(Contains('a'), OnlineEvaluator(evaluator=Equals('a'), sink=[store]))
async def answer(text: str) -> str:
    return text

async def main():
    await answer('a')
    await answer('a')
    # As after a request that came with the headers of a trace.
    around = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    context.attach(trace.set_span_in_context(NonRecordingSpan(around)))
    await answer('b')
    await answer('c')
    await wait_for_evaluations()

asyncio.run(main())
assert store.close()
"""


def test_without_traces_each_call_is_a_run_with_all_its_outcomes(store: Store, database_url: str) -> None:
    subprocess.run([sys.executable, '-W', 'error', '-c', WITHOUT_TRACES, database_url], check=True, timeout=60)
    runs = kept(store)
    assert sorted(run.answer or '' for run in runs) == ['a', 'a', 'b', 'c']
    assert all(set(outcomes(store, run)) == {'Contains', 'Equals'} for run in runs)
    assert len({run.run_id for run in runs}) == 4
