"""A store with as many outcomes as are asked for, and their sums, by SQL alone."""

from __future__ import annotations

import time

from sqlalchemy import create_engine, insert, text

from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.schema import EVALUATORS
from pydantic_ai_assay.store.tally import RESOLUTIONS

__all__ = ('DAYS', 'EVALUATIONS', 'fill')

DAYS = 30
EVALUATIONS = 4
"""Evaluators of each run."""


def fill(url: str, outcomes: int) -> None:
    """Fill a database by SQL alone: runs evenly over thirty days, and their sums."""
    database = Database(url)
    runs = outcomes // EVALUATIONS
    end = int(time.time()) // 60 * 60
    settings = {'runs': runs, 'start': (end - DAYS * 86_400) * 1_000_000, 'span': DAYS * 86_400 * 1_000_000}
    with database.writing() as connection:
        connection.execute(
            insert(EVALUATORS),
            [
                {'id': n + 1, 'name': f'judge {n}', 'fingerprint': f'{n:016x}', 'first_seen': 0}
                for n in range(EVALUATIONS)
            ],
        )
        for statement in _FILLING:
            given = {name: value for name, value in settings.items() if f':{name}' in statement}
            connection.execute(text(statement), given)
    engine = create_engine(database.url, isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        connection.execute(text('ANALYZE'))
    engine.dispose()
    database.close()


_NUMBERS = 'WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < CAST(:runs AS BIGINT))'
_RESULT = 'CASE WHEN e.id = 4 THEN r.id % 50000 <> 0 ELSE (r.id + e.id) % 10 <> 0 END'
_FILLING = (
    f"""INSERT INTO assay_runs (id, run_id, target, agent, path, outcome, started_at, duration, requests, input_tokens,
    output_tokens, bytes, stored_at, prompt, answer, trace_id, conversation_id)
    {_NUMBERS}
    SELECT n, 'run-' || n, 'agent ' || (n % 5), 'agent ' || (n % 5), '["agent"]', 'success',
    CAST(:start AS BIGINT) + n * (CAST(:span AS BIGINT) / CAST(:runs AS BIGINT)) - 1, (n % 977) * 0.01, 1, 100, 20, 300, 0,
    'a question', 'an answer', NULL, 'talk-' || (n / 5) FROM numbers""",
    f"""INSERT INTO assay_outcomes (id, run, evaluator, series, status, passed, probability, attempts, duration, waited,
    started_at, finished_at) SELECT r.id * 4 - 4 + e.id, r.id, e.id, '', 'scored',
    {_RESULT}, 0.5, 1, 0.8, 0, r.started_at, r.started_at
    FROM assay_runs r CROSS JOIN assay_evaluators e""",
    "INSERT INTO assay_tags (run, tag, started_at) SELECT id, 'vip', started_at FROM assay_runs WHERE id % 1000 = 0",
    """INSERT INTO assay_cells (id, key, series, target, path, evaluator, kind, name, label, variant, model, tag)
    SELECT a.id * 100 + e.id * 10 + k.id, 'key-' || a.id || '-' || e.id || '-' || k.id, '',
    'agent ' || (a.id % 5), '["agent"]', e.id, CASE WHEN k.id = 1 THEN 'outcome' ELSE 'assertion' END,
    CASE WHEN k.id = 1 THEN '' ELSE e.name END, '', '', '', ''
    FROM (SELECT id FROM assay_runs WHERE id <= 5) a CROSS JOIN assay_evaluators e
    CROSS JOIN (SELECT id FROM assay_runs WHERE id <= 2) k""",
    *(
        f"""INSERT INTO assay_aggregates (resolution, start, cell, scored, failed, timed_out, dropped, over_budget,
        sampled_out, skipped, count, sum_w, sum_w2, sum_wx, sum_w2x, sum_w2x2, minimum, maximum, first_at, last_at,
        duration, waited, judge_cost, attempts, judge_requests, judge_input_tokens, judge_output_tokens)
        SELECT {resolution}, o.started_at / {resolution}000000 * {resolution},
        CASE WHEN r.id % 5 = 0 THEN 5 ELSE r.id % 5 END * 100 + o.evaluator * 10 + k.id,
        SUM(CASE WHEN k.id = 1 THEN 1 ELSE 0 END), 0, 0, 0, 0, 0, 0,
        SUM(CASE WHEN k.id = 2 THEN 1 ELSE 0 END), SUM(CASE WHEN k.id = 2 THEN 2.0 ELSE 0 END),
        SUM(CASE WHEN k.id = 2 THEN 4.0 ELSE 0 END), SUM(CASE WHEN k.id = 2 THEN 2.0 ELSE 0 END),
        SUM(CASE WHEN k.id = 2 THEN 4.0 ELSE 0 END), SUM(CASE WHEN k.id = 2 THEN 4.0 ELSE 0 END), 0, 1,
        MIN(o.started_at), MAX(o.started_at), SUM(o.duration), 0, 0, COUNT(*), 0, 0, 0
        FROM assay_outcomes o JOIN assay_runs r ON r.id = o.run CROSS JOIN (SELECT id FROM assay_runs WHERE id <= 2) k
        GROUP BY 1, 2, 3"""
        for resolution in RESOLUTIONS
    ),
    """UPDATE assay_marks SET last_run = CAST(:runs AS BIGINT), last_outcome = 4 * CAST(:runs AS BIGINT),
    runs = CAST(:runs AS BIGINT), outcomes = 4 * CAST(:runs AS BIGINT)""",
)
