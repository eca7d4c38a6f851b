"""Runs and outcomes as the tests of the store need them."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec
from sqlalchemy import make_url

from pydantic_ai_assay import AssayWarning, EvaluationOutcome, RunRecord, SinkPayload
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.store.store import Store

START = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
BOUND = 20.0
"""Seconds after which waiting for something that must happen is given up."""


def a_run(number: int = 1, **changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        'run_id': f'run-{number}',
        'target': 'support',
        'agent_name': 'support',
        'agent_path': ('support',),
        'outcome': 'success',
        'inputs': f'question {number}',
        'output': f'answer {number}',
        'started_at': START + timedelta(seconds=number),
        'duration': 1.5,
    }
    return RunRecord(**{**fields, **changes})


def a_result(value: Any = True, *, name: str = 'Polite', reason: str | None = None) -> EvaluationResult:
    source = EvaluatorSpec(name='Judge', arguments={'rubric': 'Is it polite?'})
    return EvaluationResult(name=name, value=value, reason=reason, source=source, evaluator_version='1')


def an_outcome(run: RunRecord, *results: EvaluationResult, **changes: Any) -> EvaluationOutcome:
    fields: dict[str, Any] = {
        'run_id': run.run_id,
        'evaluator': 'Polite',
        'fingerprint': 'f1',
        'status': 'scored',
        'probability': 0.5,
        'evaluator_version': '1',
        'results': results or ((a_result(),) if changes.get('status', 'scored') == 'scored' else ()),
        'attempts': 1,
        'duration': 0.25,
        'waited': 0.125,
        'finished_at': run.started_at + timedelta(seconds=2),
        'target': run.target,
        'agent_name': run.agent_name,
        'agent_path': run.agent_path,
        'parent_run_id': run.parent_run_id,
        'conversation_id': run.conversation_id,
    }
    return EvaluationOutcome(**{**fields, **changes})


def a_failure(run: RunRecord, **changes: Any) -> EvaluationOutcome:
    failure = EvaluatorFailure(
        name='Polite',
        error_message='no answer',
        error_stacktrace='Traceback',
        source=a_result().source,
        evaluator_version='1',
        error_type='ValueError',
    )
    return an_outcome(run, **{'status': 'failed', 'failure': failure, **changes})


def payload_of(run: RunRecord, outcomes: Sequence[EvaluationOutcome]) -> SinkPayload:
    return SinkPayload(
        results=[result for outcome in outcomes for result in outcome.results],
        failures=[outcome.failure for outcome in outcomes if outcome.failure is not None],
        context=build_context(run, None),
        span_reference=run.span_reference,
        target=run.target,
        outcomes=outcomes,
        run=run,
    )


def submit(store: Store, *parts: tuple[RunRecord, Sequence[EvaluationOutcome]]) -> None:
    """Hand runs over, and return."""

    async def main() -> None:
        for run, outcomes in parts:
            await store.submit(payload_of(run, outcomes))

    asyncio.run(main())


def keep(store: Store, *parts: tuple[RunRecord, Sequence[EvaluationOutcome]]) -> None:
    """Hand runs over, and wait until they are written."""
    submit(store, *parts)
    assert store.flush(BOUND), store.stats()


@contextmanager
def warned(*patterns: str) -> Generator[None]:
    """Warnings of these kinds are given, by whatever thread; others may be."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        yield
    texts = [str(each.message) for each in caught if issubclass(each.category, AssayWarning)]
    for pattern in patterns:
        assert any(re.search(pattern, text) for text in texts), (pattern, texts)


def parts(*numbers: int, **changes: Any) -> list[tuple[RunRecord, Sequence[EvaluationOutcome]]]:
    """Runs with one outcome each."""
    runs = [a_run(number) for number in numbers]
    return [(run, [an_outcome(run, **changes)]) for run in runs]


def ids(store: Store) -> list[str]:
    """Which runs there are, the oldest first."""
    return [run.run_id for run in store.runs(order='oldest').items]


def eventually(condition: Callable[[], object]) -> None:
    """Wait for what another thread does, within a bound."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline


@contextmanager
def locked(url: str) -> Generator[sqlite3.Connection]:
    """Another process writes to an SQLite database."""
    connection = sqlite3.connect(make_url(url).database or '', isolation_level=None)
    connection.execute('PRAGMA foreign_keys=ON')
    connection.execute('BEGIN IMMEDIATE')
    yield connection
    connection.execute('COMMIT')
    connection.close()
