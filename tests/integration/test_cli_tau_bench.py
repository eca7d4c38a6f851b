"""The 200 recorded conversations of tau-bench, replayed into a store: the report has the published pass rate."""

from __future__ import annotations

import json

import pytest
from cli_store import assay, printed
from databases import postgres_url
from inline_snapshot import snapshot
from tau_bench import Replayed, needs_recordings, replayed, replayed_into

__all__ = ('postgres_url', 'replayed')

pytestmark = needs_recordings


@pytest.mark.parametrize('database', ['sqlite', 'postgresql'])
def test_the_report_has_the_published_pass_rate_with_its_interval(
    request: pytest.FixtureRequest, replayed: Replayed, database: str
) -> None:
    on_postgres = database == 'postgresql'
    database_url = replayed_into(request.getfixturevalue('postgres_url')).url if on_postgres else replayed.url
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
