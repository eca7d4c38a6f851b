"""Reports by tag, and over the runs of one tag, from Python and from the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cli_store import WINDOW, assay, printed
from databases import database_url, postgres_url, sqlite_url, store
from store_samples import START, a_result, a_run, an_outcome, keep

from pydantic_ai_assay.reports.making import read_report
from pydantic_ai_assay.reports.window import Window
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')

WHOLE = Window(since=START, until=START + timedelta(days=1))
TAGS = {1: ['beta', 'vip'], 2: ['beta'], 3: ['vip'], 4: []}


def fill(store: Store) -> None:
    """Four runs, of which the first two fail."""
    for number, tags in TAGS.items():
        run = a_run(number, metadata={'tags': tags})
        keep(store, (run, [an_outcome(run, a_result(number > 2))]))


@pytest.fixture(scope='module')
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp('tags')
    store = Store(f'sqlite:///{folder / "assay.db"}')
    fill(store)
    assert store.close()
    return store.url


def test_a_run_is_in_the_group_of_each_of_its_tags(store: Store) -> None:
    fill(store)
    report = store.ask(read_report, WHOLE, by=('tag', 'evaluator'))
    found = {
        section.group['tag']: (section.results[0].estimate.value, section.coverage.scored)
        for section in report.sections
    }
    assert found == {'beta': (0.0, 2), 'vip': (0.5, 2)}


def test_without_tags_each_run_counts_once(store: Store) -> None:
    fill(store)
    (section,) = store.ask(read_report, WHOLE).sections
    assert (section.coverage.scored, section.results[0].estimate.value) == (4, 0.5)


def test_a_report_on_one_tag_tells_agents_apart(store: Store) -> None:
    fill(store)
    (section,) = store.ask(read_report, WHOLE, where=AggregateFilter(tag='beta')).sections
    assert (section.group, section.coverage.scored) == ({'agent': 'support'}, 2)


def test_the_command_reports_by_tag(url: str) -> None:
    lines = printed('report', *WINDOW, '--by', 'tag', store=url).splitlines()
    assert [line.split()[:4] for line in lines if line.startswith(('beta', 'vip'))][:2] == [
        ['beta', 'Polite', 'rate', '0.000'],
        ['vip', 'Polite', 'rate', '0.500'],
    ]


def test_the_command_reports_on_a_tag(url: str) -> None:
    document = json.loads(printed('report', *WINDOW, '--tag', 'vip', '--json', store=url))
    (section,) = document['sections']
    assert (section['group'], section['results'][0]['count']) == ({'agent': 'support'}, 2)


@pytest.mark.parametrize('command', ['report', 'runs'])
def test_a_tag_that_no_run_has_is_answered_with_the_near_ones(url: str, command: str) -> None:
    result = assay(command, *WINDOW, '--tag', 'veep', '--agent', 'support', store=url)
    assert (result.exit_code, result.stdout) == (2, '')
    assert "There is no tag 'veep'. There is 'beta', 'vip'." in result.stderr
    near = assay(command, *WINDOW, '--tag', 'betta', store=url)
    assert "There is no tag 'betta'. Did you mean 'beta'?" in near.stderr
