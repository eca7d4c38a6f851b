"""The numbers of a report are those of the rows it is about, in each database, whatever is told apart."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from math import fsum
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from databases import a_database, drop_database
from store_samples import BOUND, a_failure, a_result, a_run, an_outcome, keep

from pydantic_ai_assay import EvaluationOutcome, EvaluationStatus, RunRecord
from pydantic_ai_assay.analysis import (
    Coverage,
    EvaluationRow,
    Moments,
    bucket_start,
    estimate_mean,
    estimate_rate,
    estimate_series,
    group_rows,
    rows_of,
    series_of,
)
from pydantic_ai_assay.errors import ConfigurationError
from pydantic_ai_assay.reports.dimension import ReportBy
from pydantic_ai_assay.reports.making import read_report
from pydantic_ai_assay.reports.report import Report
from pydantic_ai_assay.reports.window import Window
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store

Judged = tuple[RunRecord, Sequence[EvaluationOutcome]]
BEGIN = datetime(2026, 3, 1, 22, tzinfo=UTC)
WINDOW = Window(since=BEGIN, until=BEGIN + timedelta(hours=4))
"""From two hours before midnight to two hours after it."""
CHANGE = BEGIN + timedelta(hours=3)
"""From here on another `Polite` is at work."""
PROBABILITIES = (1.0, 0.5, 0.1, 0.01)


def a_judged_run(number: int) -> Judged:
    draw = random.Random(number)
    started_at = BEGIN + timedelta(seconds=draw.randrange(4 * 3_600), microseconds=draw.randrange(10**6))
    name = draw.choice(['support', 'writer'])
    metadata: dict[str, Any] = {
        'tags': draw.sample(['vip', 'beta', 'eu'], draw.randrange(4)),
        **draw.choice([{}, {'variant': 'short'}, {'variant': 'long'}]),
    }
    run = a_run(
        number,
        target=name,
        agent_name=name,
        agent_path=draw.choice([(name,), ('desk', name)]),
        started_at=started_at,
        metadata=metadata,
        model_name=draw.choice([None, 'small', 'large']),
    )
    polite: dict[str, Any] = {
        'probability': draw.choice(PROBABILITIES),
        'fingerprint': 'f1' if started_at < CHANGE else 'f2',
    }
    status = draw.choice(['scored'] * 6 + ['failed', 'timed_out', 'dropped', 'over_budget', 'skipped', 'sampled_out'])
    judged = [
        an_outcome(run, a_result(draw.random() < 0.6), **polite)
        if status == 'scored'
        else a_failure(run, **polite)
        if status == 'failed'
        else an_outcome(run, status=status, **polite)
    ]
    scores = a_result(draw.gauss(3, 1), name='stars'), a_result(draw.choice(['refund', 'other']), name='topic')
    judged.append(an_outcome(run, *scores, evaluator='Both', fingerprint='b1', probability=draw.choice(PROBABILITIES)))
    return run, judged


JUDGED = [a_judged_run(number) for number in range(300)]
ROWS = [
    row
    for run, outcomes in JUDGED
    for outcome in outcomes
    for row in rows_of(
        outcome,
        variant=(run.metadata or {}).get('variant'),
        model=run.model_name,
        tags=tuple((run.metadata or {})['tags']),
    )
]


@pytest.fixture(scope='module')
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Store]]:
    """The same runs in a database of each kind."""
    server = a_database()
    urls = {'sqlite': f'sqlite:///{tmp_path_factory.mktemp("stored") / "assay.db"}', 'postgresql': server}
    opened: dict[str, Store] = {}
    for kind, url in urls.items():
        migrate(url)
        opened[kind] = Store(url)
        keep(opened[kind], *JUDGED)
    yield opened
    assert all(store.close(BOUND) for store in opened.values())
    drop_database(server)


def started(row: EvaluationRow) -> datetime:
    """All evaluations end two seconds after their run began."""
    return row.at - timedelta(seconds=2)


def keys_of(row: EvaluationRow, by: Sequence[ReportBy]) -> list[tuple[Hashable, ...]]:
    """The groups that it belongs to: with several tags it is in several."""
    values: dict[str, Any] = {
        'agent': row.agent,
        'path': row.agent_path,
        'evaluator': row.evaluator.name,
        'variant': row.variant,
        'model': row.model,
        'minute': started(row).replace(second=0, microsecond=0),
        'hour': started(row).replace(minute=0, second=0, microsecond=0),
        'day': started(row).replace(hour=0, minute=0, second=0, microsecond=0),
    }
    tags = row.tags if 'tag' in by else (None,)
    return [tuple({**values, 'tag': tag}[name] for name in by) for tag in tags]


Number = tuple[float | None, int]


def computed(by: Sequence[ReportBy], pool: bool = False) -> dict[tuple[Any, ...], Number]:
    """Weighted means and how many scores they have, by group, result, label and fingerprint, from the rows themselves."""
    sums: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for row in ROWS:
        if row.value is None:
            continue
        labels = ('other', 'refund') if isinstance(row.value, str) else (None,)
        for label, group in product(labels, keys_of(row, by)):
            value = float(row.value if label is None else row.value == label)
            key = (*group, row.result, label, None if pool else row.evaluator.fingerprint)
            sums.setdefault(key, []).append((1 / row.probability, value))
    return {
        key: (fsum(w * x for w, x in scores) / fsum(w for w, _ in scores), len(scores))
        for key, scores in sums.items()
        # A label that nobody gave in a group is not told of there.
        if key[-2] is None or any(value for _, value in scores)
    }


def told(report: Report) -> dict[tuple[Any, ...], Number]:
    return {
        (
            *({**section.group, 'evaluator': section.evaluator}[name] for name in report.by),
            result.name,
            result.label,
            None if report.is_pooled else result.estimate.evaluators[0].fingerprint,
        ): (result.estimate.value, result.estimate.count)
        for section in report.sections
        for result in section.results
        if result.estimate.count
    }


EVERY_BY: list[tuple[ReportBy, ...]] = [
    ('evaluator',),
    ('agent', 'evaluator'),
    ('path', 'evaluator'),
    ('variant', 'evaluator'),
    ('model', 'evaluator'),
    ('tag', 'evaluator'),
    ('day', 'tag', 'model', 'evaluator'),
    ('minute', 'evaluator'),
    ('hour', 'evaluator'),
    ('evaluator', 'day'),
    ('model', 'path', 'hour', 'agent', 'variant', 'evaluator'),
]


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
@pytest.mark.parametrize('by', EVERY_BY, ids='-'.join)
def test_a_report_has_the_numbers_of_the_rows(stores: Mapping[str, Store], kind: str, by: tuple[ReportBy, ...]) -> None:
    for pool in (False, True):
        report = stores[kind].ask(read_report, WINDOW, by=by, pool=pool)
        found, expected = told(report), computed(by, pool)
        assert set(found) == set(expected)
        for key, (value, count) in expected.items():
            assert found[key] == (pytest.approx(value, rel=1e-9), count), key
        assert report.by == by
        ended: dict[tuple[Hashable, ...], list[EvaluationStatus]] = {}
        for row in ROWS:
            # An evaluation with two results ended once.
            for key in keys_of(row, by) if row.result != 'topic' else ():
                ended.setdefault(key, []).append(row.status)
        coverages = {
            tuple({**section.group, 'evaluator': section.evaluator}[name] for name in by): section.coverage
            for section in report.sections
        }
        assert coverages == {key: Coverage.of(statuses) for key, statuses in ended.items()}
        assert report.coverage == sum(coverages.values(), Coverage())


def test_a_report_is_the_same_in_each_database(stores: Mapping[str, Store]) -> None:
    first, second = (store.ask(read_report, WINDOW, by=EVERY_BY[-1], level=0.9) for store in stores.values())
    assert [(each.group, each.evaluator, each.coverage) for each in first.sections] == [
        (each.group, each.evaluator, each.coverage) for each in second.sections
    ]
    assert first.changes == second.changes != ()
    for ours, theirs in zip(first.sections, second.sections, strict=True):
        for one, other in zip(ours.results, theirs.results, strict=True):
            assert one.estimate.effective_count == pytest.approx(other.estimate.effective_count, rel=1e-6)
            assert (one.estimate.interval is None) == (other.estimate.interval is None)
            if one.estimate.interval is not None and other.estimate.interval is not None:
                assert one.estimate.interval.lower == pytest.approx(other.estimate.interval.lower, rel=1e-6)
                assert one.estimate.interval.upper == pytest.approx(other.estimate.interval.upper, rel=1e-6)
        assert ours.effort.attempts == theirs.effort.attempts
        assert ours.effort.duration == pytest.approx(theirs.effort.duration)


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_intervals_and_changes_are_those_of_the_rows(stores: Mapping[str, Store], kind: str) -> None:
    report = stores[kind].ask(read_report, WINDOW, level=0.8)
    assert report.level == 0.8
    for section in report.sections:
        if section.evaluator != 'Polite':
            continue
        rows = [row for row in ROWS if row.agent == section.group['agent'] and row.evaluator.name == section.evaluator]
        expected = estimate_series(series_of(rows), level=0.8)
        assert [each.change for each in report.changes if each.agent == section.group['agent']] == list(
            expected.changes
        )
        for result, estimate in zip(section.results, expected.estimates, strict=True):
            found = result.estimate
            assert found.coverage == estimate.coverage
            assert found.interval is not None and estimate.interval is not None
            assert (found.interval.lower, found.interval.upper) == (
                pytest.approx(estimate.interval.lower, rel=1e-6),
                pytest.approx(estimate.interval.upper, rel=1e-6),
            )


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_a_report_is_about_its_window_and_what_is_asked_for(stores: Mapping[str, Store], kind: str) -> None:
    store, midnight = stores[kind], datetime(2026, 3, 2, tzinfo=UTC)
    where = AggregateFilter(evaluator='Polite', variant='short')
    for window in (Window(since=BEGIN, until=midnight), Window(since=midnight, until=WINDOW.until)):
        rows = [
            row
            for row in ROWS
            if row.evaluator.name == 'Polite' and row.variant == 'short' and window.since <= started(row) < window.until
        ]
        report = store.ask(read_report, window, by=('evaluator', 'day'), where=where, pool=True)
        (section,) = report.sections
        scored = [row for row in rows if row.status == 'scored']
        moments = Moments.of([bool(row.value) for row in scored], [row.probability for row in scored])
        (result,) = section.results
        assert result.estimate.value == pytest.approx(estimate_rate(moments).value)
        assert section.coverage == Coverage.of(row.status for row in rows)
        assert section.group['day'] == window.since.replace(hour=0)
    where = AggregateFilter(evaluator='Both')
    report = store.ask(read_report, WINDOW, by=('evaluator',), where=where, bounds={'stars': (-9, 9)})
    (stars,) = [each.estimate for each in report.sections[0].results if each.name == 'stars']
    scored = [row for row in ROWS if row.result == 'stars']
    moments = Moments.of([float(row.value or 0) for row in scored], [row.probability for row in scored])
    expected = estimate_mean(moments, bounds=(-9, 9)).interval
    assert stars.interval is not None and expected is not None
    assert stars.interval.width == pytest.approx(expected.width, rel=1e-6)
    with pytest.raises(ConfigurationError, match='level must be a number between 0 and 1'):
        store.ask(read_report, Window(since=BEGIN - timedelta(days=9), until=BEGIN - timedelta(days=8)), level=95)


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_stored_runs_are_grouped_by_tag_and_by_the_days_of_a_place(stores: Mapping[str, Store], kind: str) -> None:
    """A run with several tags is in the group of each."""
    store = stores[kind]
    page = store.runs(RunFilter(evaluator='Polite'), order='oldest', limit=1_000)
    stored = [store.run(summary.run_id) for summary in page.items]
    rows = [
        row
        for run in stored
        for each in run.outcomes
        for row in rows_of(each.outcome, variant=run.summary.variant, model=run.summary.model_name, tags=run.tags)
    ]
    assert sorted(map(repr, group_rows(rows, ['tag']))) == ["('beta',)", "('eu',)", "('vip',)", '(None,)']
    ours, theirs = (
        group_rows(each, ['tag', 'evaluator', 'model', 'variant', 'agent_path', 'agent']) for each in (rows, ROWS)
    )
    assert {key: len(group) for key, group in ours.items()} == {key: len(group) for key, group in theirs.items()}
    polite = group_rows([row for row in rows if row.evaluator.name == 'Polite'], ['tag'])
    counted = {tag: len(group) for (tag,), group in polite.items() if tag is not None}
    assert counted == store.tags()
    tokyo = group_rows(rows, ['time'], bucket=timedelta(days=1), zone=ZoneInfo('Asia/Tokyo'))
    assert len(tokyo) == 1 and len(group_rows(rows, ['time'], bucket=timedelta(days=1))) == 2
    assert list(tokyo) == [(bucket_start(BEGIN, timedelta(days=1), ZoneInfo('Asia/Tokyo')),)]
