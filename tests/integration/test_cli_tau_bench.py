"""The 200 recorded conversations of tau-bench, replayed into a store: the report has the published pass rate."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from cli_store import assay, printed
from databases import database_url, postgres_url, sqlite_url
from inline_snapshot import snapshot

from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url')

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / 'shared' / 'data' / 'tau_bench'

pytestmark = pytest.mark.skipif(
    not (DATA / 'gpt4o_airline.jsonl').is_file(),
    reason='the recorded conversations are not there: ../shared/data/tau_bench, seen from the checkout',
)


def replay_into(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'path', [str(ROOT), *sys.path])
    from examples.replay_tau_bench import replay

    migrate(url)
    store = Store(url)
    asyncio.run(replay(DATA, store))
    assert store.close(60)
    stats = store.stats()
    assert (stats.written_runs, stats.refused, stats.given_up) == (1_341, 0, 0)


def test_the_report_has_the_published_pass_rate_with_its_interval(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay_into(database_url, monkeypatch)
    report = printed('report', '--since', '1h', store=database_url)
    (line,) = [line for line in report.splitlines() if 'RecordedReward' in line and 'rate' in line]
    assert ' '.join(line.split()) == snapshot('airline RecordedReward rate 0.420 0.353 to 0.489 200 100.0 %')
    document = json.loads(
        printed('report', '--since', '1h', '--evaluator', 'RecordedReward', '--json', store=database_url)
    )
    ((result,),) = [section['results'] for section in document['sections']]
    assert (result['value'], result['count'], result['coverage']['share']) == (0.42, 200, 1.0)
    assert [round(end, 3) for end in result['interval']] == snapshot([0.353, 0.489])

    kept = assay(
        'report', '--since', '1h', '--fail-under', 'RecordedReward=0.35', '--min-coverage', '1', store=database_url
    )
    assert (kept.exit_code, kept.stderr) == (0, '')
    unmet = assay('report', '--since', '1h', '--fail-under', 'RecordedReward=0.42', store=database_url)
    assert unmet.exit_code == 1

    failed = json.loads(
        printed('runs', '--evaluator', 'RecordedReward', '--failed', '--limit', '500', '--json', store=database_url)
    )
    assert len(failed['runs']) == 116
    shown = printed('show', failed['runs'][0]['run_id'], '--history', store=database_url)
    assert 'RecordedReward  FAIL' in shown
