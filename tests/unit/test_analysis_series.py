"""Rows of evaluations, what they are grouped by, and that evaluators which differ are kept apart."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure
from pydantic_evals.evaluators.spec import EvaluatorSpec

from pydantic_ai_assay import EvaluationOutcome
from pydantic_ai_assay.analysis import (
    Coverage,
    EvaluationRow,
    EvaluatorIdentity,
    Moments,
    Series,
    bucket_start,
    estimate_series,
    group_rows,
    merge_series,
    rows_of,
    series_of,
)
from pydantic_ai_assay.errors import ConfigurationError

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
OLD = EvaluatorIdentity(name='polite', fingerprint='old')
NEW = EvaluatorIdentity(name='polite', fingerprint='new')
SOURCE = EvaluatorSpec(name='Polite', arguments=None)


def row(value: Any = None, *, minute: float = 0, **rest: Any) -> EvaluationRow:
    scored = value is not None
    fields: dict[str, Any] = {
        'evaluator': OLD,
        'status': 'scored' if scored else 'failed',
        'probability': 1.0,
        'at': NOON + timedelta(minutes=minute),
        'result': 'polite' if scored else None,
        'value': value,
    }
    return EvaluationRow(**{**fields, **rest})


def outcome(**rest: Any) -> EvaluationOutcome:
    fields: dict[str, Any] = {
        'run_id': 'run',
        'evaluator': 'Polite',
        'evaluator_version': '2',
        'fingerprint': 'abc',
        'status': 'scored',
        'probability': 0.25,
        'finished_at': NOON,
        'agent_name': 'support',
        'agent_path': ('planner', 'support'),
        'conversation_id': 'conversation',
    }
    return EvaluationOutcome(**{**fields, **rest})


def test_each_result_of_an_outcome_is_a_row() -> None:
    results = (
        EvaluationResult(name='polite', value=True, reason=None, source=SOURCE),
        EvaluationResult(name='length', value=3, reason=None, source=SOURCE),
    )
    polite, length = rows_of(outcome(results=results), variant='b', model='m', tags=('vip',))
    assert (polite.result, polite.value, length.result, length.value) == ('polite', True, 'length', 3)
    assert polite == EvaluationRow(
        evaluator=EvaluatorIdentity(name='Polite', version='2', fingerprint='abc'),
        status='scored',
        probability=0.25,
        at=NOON,
        result='polite',
        value=True,
        agent='support',
        agent_path=('planner', 'support'),
        conversation='conversation',
        variant='b',
        model='m',
        tags=('vip',),
    )


def test_the_calls_of_a_function_are_told_apart_by_its_name() -> None:
    results = (EvaluationResult(name='polite', value=True, reason=None, source=SOURCE),)
    (of_function,) = rows_of(outcome(agent_name=None, agent_path=(), target='find_order', results=results))
    assert of_function.agent == 'find_order'


def test_an_outcome_without_a_score_is_a_row_that_says_why() -> None:
    failure = EvaluatorFailure(name='Polite', error_message='', error_stacktrace='', source=SOURCE)
    (failed,) = rows_of(outcome(status='failed', failure=failure))
    assert (failed.status, failed.result, failed.value) == ('failed', None, None)
    assert list(rows_of(outcome(status='scored'))) == []


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'status': 'lost'}, "a status must be one of scored, .*, got 'lost'"),
        ({'probability': 0.0}, r'a probability must be in \(0, 1\], got 0\.0'),
        ({'probability': float('nan')}, r'a probability must be in \(0, 1\], got nan'),
        ({'at': datetime(2026, 5, 4)}, 'a time must have a time zone'),
        ({'value': None, 'status': 'scored'}, "scored and only then, got 'scored' with None and None"),
        ({'status': 'failed'}, "scored and only then, got 'failed' with 'polite' and True"),
    ],
)
def test_a_row_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        row(**{'value': True, **wrong})


def test_rows_are_grouped_by_what_they_have_in_common() -> None:
    rows = [
        row(True, agent='a', variant='x', model='m', agent_path=('p', 'a'), tags=('vip', 'eu', 'vip'), minute=1),
        row(False, agent='a', variant='y', model='m', agent_path=('a',), evaluator=NEW, minute=59),
        row(True, agent='b', variant='x', tags=('eu',), conversation='c', minute=60),
    ]
    first, second, third = rows
    assert group_rows(rows, ['agent']) == {('a',): [first, second], ('b',): [third]}
    assert group_rows(rows, ['agent_path']) == {(('p', 'a'),): [first], (('a',),): [second], ((),): [third]}
    assert group_rows(rows, ['evaluator']) == {('polite',): rows}
    assert group_rows(rows, ['model', 'variant']) == {
        ('m', 'x'): [first],
        ('m', 'y'): [second],
        (None, 'x'): [third],
    }
    assert group_rows(rows, ['tag']) == {('vip',): [first], ('eu',): [first, third], (None,): [second]}
    assert group_rows(rows, ['conversation']) == {(None,): [first, second], ('c',): [third]}
    assert group_rows(rows, ['time', 'agent'], bucket=timedelta(hours=1)) == {
        (NOON, 'a'): [first, second],
        (NOON + timedelta(hours=1), 'b'): [third],
    }
    assert group_rows(rows, []) == {(): rows}
    assert group_rows([], ['agent']) == {}


def test_what_rows_cannot_be_grouped_by_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="grouped by agent, .*, got 'colour'"):
        group_rows([], ['colour'])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match=r"belong together, got \('time',\) and None"):
        group_rows([], ['time'])
    with pytest.raises(ConfigurationError, match=r"belong together, got \('agent',\) and datetime"):
        group_rows([], ['agent'], bucket=timedelta(hours=1))


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()),
    st.timedeltas(timedelta(seconds=1), timedelta(days=40)),
)
def test_a_time_lies_in_its_bucket(at: datetime, bucket: timedelta) -> None:
    start = bucket_start(at, bucket)
    assert start <= at < start + bucket
    assert bucket_start(start, bucket) == start
    assert start.tzinfo is UTC


def test_days_begin_at_midnight_utc() -> None:
    east = timezone(timedelta(hours=9))
    start = bucket_start(datetime(2026, 5, 5, 3, tzinfo=east), timedelta(days=1))
    assert start == datetime(2026, 5, 4, tzinfo=UTC)


def test_days_can_begin_at_midnight_elsewhere_and_have_23_or_25_hours() -> None:
    zone, day = ZoneInfo('America/New_York'), timedelta(days=1)
    hours = [datetime(2026, 3, 7, tzinfo=UTC) + timedelta(hours=number) for number in range(24 * 3)]
    rows = [row(True, minute=0, at=at) for at in hours]
    groups = group_rows(rows, ['time'], bucket=day, zone=zone)
    # Clocks go forward on the 8th of March at 2 am.
    spring = [
        datetime(2026, 3, 7, 5, tzinfo=UTC),
        datetime(2026, 3, 8, 5, tzinfo=UTC),
        datetime(2026, 3, 9, 4, tzinfo=UTC),
    ]
    assert [key for (key,) in groups][1:] == spring
    assert [len(of_day) for of_day in groups.values()][1:3] == [24, 23]
    autumn = [datetime(2026, 11, 1, 4, tzinfo=UTC) + timedelta(hours=number) for number in range(25)]
    assert {bucket_start(at, day, zone) for at in autumn} == {autumn[0]}
    assert bucket_start(autumn[-1] + timedelta(hours=1), day, zone) == datetime(2026, 11, 2, 5, tzinfo=UTC)


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(['America/Havana', 'Asia/Beirut', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Apia', 'UTC']),
    st.integers(1, 31),
)
def test_a_time_lies_in_its_days_wherever_they_begin(at: datetime, name: str, days: int) -> None:
    zone, bucket = ZoneInfo(name), timedelta(days=days)
    moment = at.replace(tzinfo=UTC)
    start = bucket_start(moment, bucket, zone)
    assert start <= moment < start + bucket + timedelta(days=1)
    assert bucket_start(start, bucket, zone) == start


def test_weeks_begin_on_mondays() -> None:
    assert bucket_start(datetime(2026, 5, 10, 23, tzinfo=UTC), timedelta(weeks=1)) == datetime(2026, 5, 4, tzinfo=UTC)
    assert bucket_start(datetime(2026, 5, 11, tzinfo=UTC), timedelta(weeks=1)) == datetime(2026, 5, 11, tzinfo=UTC)


def test_a_bucket_needs_a_length_and_a_time_a_zone() -> None:
    with pytest.raises(ConfigurationError, match='a zone is for buckets of whole days, got Asia/Kolkata'):
        bucket_start(NOON, timedelta(hours=1), ZoneInfo('Asia/Kolkata'))
    with pytest.raises(ConfigurationError, match='longer than nothing'):
        bucket_start(NOON, timedelta(0))
    with pytest.raises(ConfigurationError, match='must have a time zone'):
        bucket_start(datetime(2026, 5, 4), timedelta(days=1))


def test_different_fingerprints_are_not_pooled_unless_asked() -> None:
    rows = [row(value, minute=n, evaluator=OLD) for n, value in enumerate([True, True, True, False])]
    rows += [row(value, minute=10 + n, evaluator=NEW) for n, value in enumerate([False, False, True, False])]
    series = series_of(reversed(rows))
    apart = estimate_series(series)
    assert [(each.evaluators, each.value) for each in apart.estimates] == [((OLD,), 0.75), ((NEW,), 0.25)]
    (change,) = apart.changes
    assert (change.at, change.before, change.after) == (NOON + timedelta(minutes=10), OLD, NEW)
    assert not change.overlapping
    together = estimate_series(series, pool=True)
    (pooled,) = together.estimates
    assert (pooled.value, pooled.count, pooled.evaluators) == (0.5, 8, (OLD, NEW))
    # It is still told.
    assert together.changes == apart.changes


def test_evaluators_that_work_at_the_same_time_are_told() -> None:
    rows = [row(True, minute=minute, evaluator=OLD if minute in (0, 6) else NEW) for minute in (0, 5, 6, 10)]
    (change,) = estimate_series(series_of(rows)).changes
    assert change.overlapping


def test_a_version_is_part_of_what_an_evaluator_is() -> None:
    second = EvaluatorIdentity(name='polite', version='2', fingerprint='old')
    assert len(estimate_series(series_of([row(True), row(True, evaluator=second)])).estimates) == 2


def test_evaluations_without_a_score_are_lost_to_each_result_of_their_evaluator() -> None:
    rows = [row(True), row(3.5, result='length'), row(4.5, result='length'), row(), row(status='timed_out')]
    series = series_of(rows)
    assert [(each.result, each.coverage) for each in series] == [
        ('polite', Coverage(scored=1)),
        ('length', Coverage(scored=2)),
        (None, Coverage(failed=1, timed_out=1)),
    ]
    (polite,) = estimate_series(series, result='polite').estimates
    (length,) = estimate_series(series, result='length', bounds=(0, 10)).estimates
    assert (polite.kind, polite.value) == ('rate', 1)
    assert polite.coverage == Coverage(scored=1, failed=1, timed_out=1)
    assert (length.kind, length.value) == ('mean', 4)
    assert length.coverage == Coverage(scored=2, failed=1, timed_out=1)
    assert length.interval is not None and length.interval.upper <= 10


def test_when_all_failed_there_is_no_number() -> None:
    (estimate,) = estimate_series(series_of([row(), row(status='dropped')])).estimates
    assert (estimate.value, estimate.interval, estimate.count) == (None, None, 0)
    assert estimate.coverage == Coverage(failed=1, dropped=1)


def test_a_minute_in_which_all_failed_belongs_to_the_result_of_the_others() -> None:
    minutes = [*series_of([row()]), *series_of([row(3.0, minute=1), row(5.0, minute=1)]), *series_of([row(minute=2)])]
    (estimate,) = estimate_series(minutes).estimates
    assert (estimate.kind, estimate.value) == ('mean', 4.0)
    assert estimate.coverage == Coverage(scored=2, failed=2)


def test_without_rows_there_are_no_estimates() -> None:
    assert estimate_series([], pool=True) == estimate_series([])
    assert estimate_series([]).estimates == ()


def test_a_label_has_a_share_for_each_evaluator_over_all_minutes() -> None:
    """A minute without the label counts all the same."""
    minutes = [
        *series_of([row('good', probability=0.5), row('good')]),
        *series_of([row('bad', minute=1), row(minute=1)]),
        *series_of([row('bad', minute=2, evaluator=NEW)]),
    ]
    found = estimate_series(minutes, label='good')
    assert [(each.kind, each.value, each.count) for each in found.estimates] == [('rate', 0.75, 3), ('rate', 0.0, 1)]
    assert found.estimates[0].coverage == Coverage(scored=3, failed=1)
    (pooled,) = estimate_series(minutes, label='bad', pool=True).estimates
    assert pooled.value == pytest.approx(2 / 5)
    assert [each.value for each in estimate_series(minutes, label='ugly').estimates] == [0, 0]
    assert [each.value for each in estimate_series(series_of([row()]), label='good').estimates] == [None]


def test_labels_and_numbers_are_not_mixed() -> None:
    with pytest.raises(ConfigurationError, match=r"'polite' of polite \(old\) is a label and a number"):
        series_of([row('good'), row(1.0)])
    with pytest.raises(ConfigurationError, match='say the share of which to estimate: bad, good'):
        estimate_series(series_of([row('good'), row('bad')]))
    with pytest.raises(ConfigurationError, match="the label 'good' cannot be estimated: the scores are numbers"):
        estimate_series(series_of([row(1.0)]), label='good')


def test_series_of_different_things_are_not_estimated_together() -> None:
    other = EvaluatorIdentity(name='correct')
    with pytest.raises(ConfigurationError, match="of one evaluator name, got 'correct' and 'polite'"):
        estimate_series(series_of([row(True), row(True, evaluator=other)]))
    with pytest.raises(ConfigurationError, match="of one result, got 'length' and 'polite'"):
        estimate_series(series_of([row(True), row(True, result='length')]))


def test_series_of_different_things_are_not_added_up() -> None:
    first, second = series_of([row(True), row(3, result='length')])
    with pytest.raises(ConfigurationError, match='of one result, got polite and length'):
        _ = first + second
    with pytest.raises(ConfigurationError, match=r'of one evaluator, got polite \(old\) and polite \(new\)'):
        _ = first + series_of([row(True, evaluator=NEW)])[0]


ROWS = st.lists(
    st.builds(
        row,
        st.one_of(st.none(), st.booleans()),
        minute=st.floats(0, 60),
        evaluator=st.sampled_from([OLD, NEW]),
        probability=st.sampled_from([1.0, 0.5, 0.1]),
    ),
    max_size=30,
)


@given(ROWS, st.booleans())
def test_what_a_store_adds_up_by_the_minute_gives_what_the_rows_give(rows: list[EvaluationRow], pool: bool) -> None:
    minutes = group_rows(rows, ['time'], bucket=timedelta(minutes=5))
    stored = merge_series(series for of_minute in minutes.values() for series in series_of(of_minute))
    assert sorted(stored, key=lambda series: series.first_at) == stored
    at_once, added_up = estimate_series(series_of(rows), pool=pool), estimate_series(stored, pool=pool)
    assert at_once.changes == added_up.changes
    for first, second in zip(at_once.estimates, added_up.estimates, strict=True):
        assert (first.coverage, first.count, first.evaluators) == (second.coverage, second.count, second.evaluators)
        assert first.value == pytest.approx(second.value)


def test_the_runs_of_a_conversation_can_count_as_one() -> None:
    rows = [row(True, conversation='a') for _ in range(20)] + [row(False, conversation='b'), row(True), row(True)]
    (each,), (of_conversations,) = series_of(rows), series_of(rows, by_conversation=True)
    assert each.moments.mean == pytest.approx(of_conversations.moments.mean)
    # Two conversations, and two runs that belong to none.
    assert (each.moments.count, of_conversations.moments.count) == (23, 4)
    assert of_conversations.coverage == Coverage(scored=23)
    (estimate,) = estimate_series([of_conversations]).estimates
    assert estimate.effective_count < 2
    with pytest.raises(ConfigurationError, match='is a label, which cannot be counted by conversation'):
        series_of([row('good', conversation='a')], by_conversation=True)


def test_a_series_without_scores_has_empty_sums() -> None:
    series = Series(evaluator=OLD, result=None, coverage=Coverage(dropped=1), first_at=NOON, last_at=NOON)
    assert (series.moments, series.labels, series.is_rate) == (Moments(), {}, True)


def test_every_kind_of_estimate_has_the_level_and_says_whose_it_is() -> None:
    for values, label in (([True, False, True], None), ([1.0, 2.0, 4.0], None), (['good', 'bad', 'good'], 'good')):
        series = series_of([row(value) for value in values])
        narrow, wide = (estimate_series(series, label=label, level=level).estimates[0] for level in (0.5, 0.95))
        assert (narrow.level, wide.level) == (0.5, 0.95)
        assert narrow.evaluators == wide.evaluators == (OLD,)
        assert narrow.interval is not None and wide.interval is not None
        assert narrow.interval.width < wide.interval.width
