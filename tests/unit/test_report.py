"""A report is made of sums: which numbers it has, what it keeps apart, and what it says of gaps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from inline_snapshot import snapshot

from pydantic_ai_assay.analysis import Moments, estimate_mean
from pydantic_ai_assay.errors import ConfigurationError
from pydantic_ai_assay.reports.bound import Bound, bound_of, scale_of, unmet_bounds, unmet_coverage
from pydantic_ai_assay.reports.dimension import REPORT_BY, dimensions_of
from pydantic_ai_assay.reports.document import report_document
from pydantic_ai_assay.reports.making import make_report
from pydantic_ai_assay.reports.names import UnknownNameError, near, require_known
from pydantic_ai_assay.reports.report import Effort, Report
from pydantic_ai_assay.reports.window import Window
from pydantic_ai_assay.store.aggregation import Step
from pydantic_ai_assay.store.rows import Aggregate

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
WINDOW = Window(since=NOON - timedelta(days=7), until=NOON)


def sums(kind: Any = 'outcome', name: str = '', **changes: Any) -> Aggregate:
    fields: dict[str, Any] = {
        'target': 'support',
        'evaluator': 'Polite',
        'version': '1',
        'fingerprint': 'f1',
        'label': '',
        'first_at': NOON - timedelta(days=2),
        'last_at': NOON - timedelta(days=1),
    }
    return Aggregate(kind=kind, name=name, **{**fields, **changes})


def ended(scored: int = 0, **changes: Any) -> Aggregate:
    statuses = {name: changes.pop(name) for name in ('failed', 'dropped', 'sampled_out') if name in changes}
    return sums(statuses={'scored': scored, **statuses}, **changes)


def passes(passed: int, count: int, name: str = 'Polite', **changes: Any) -> Aggregate:
    return sums('assertion', name, moments=Moments.of_counts(passed, count), **changes)


def numbers(report: Report) -> list[tuple[str, str | None, float | None, int]]:
    return [
        (section.evaluator, result.name if result.label is None else result.label, each.value, each.count)
        for section in report.sections
        for result in section.results
        for each in [result.estimate]
    ]


def test_a_rate_has_its_interval_and_counts_what_was_lost() -> None:
    report = make_report([ended(10, failed=2, sampled_out=5), passes(8, 10)], WINDOW)
    (section,) = report.sections
    (result,) = section.results
    estimate = result.estimate
    assert (estimate.kind, estimate.value, estimate.count) == ('rate', 0.8, 10)
    assert estimate.interval is not None and 0.8 in estimate.interval
    assert (estimate.coverage.scored, estimate.coverage.failed, estimate.coverage.sampled_out) == (10, 2, 5)
    assert estimate.coverage == section.coverage == report.coverage
    assert section.group == {'agent': 'support'}


def test_where_everything_failed_there_is_no_number() -> None:
    report = make_report([ended(0, failed=7)], WINDOW)
    (result,) = report.sections[0].results
    assert (result.name, result.estimate.value, result.estimate.interval) == (None, None, None)
    assert (result.estimate.coverage.failed, result.left_out) == (7, 0)
    with pytest.raises(UnknownNameError, match="no result or evaluator 'Plite'. Did you mean 'Polite'"):
        reasons(report, 'Plite=0.5')


def test_where_everything_was_sampled_out_there_is_nothing_to_estimate() -> None:
    (section,) = make_report([ended(0, sampled_out=7, fingerprint=None, version=None)], WINDOW).sections
    assert (section.results, section.coverage.sampled_out) == ((), 7)


def test_runs_that_were_sampled_out_before_the_fingerprint_was_known_are_no_other_evaluator() -> None:
    report = make_report([ended(0, sampled_out=7, fingerprint=None, version=None), ended(2), passes(1, 2)], WINDOW)
    assert numbers(report) == [('Polite', 'Polite', 0.5, 2)]
    assert report.changes == ()
    assert report.coverage.sampled_out == 7


def test_a_mean_is_weighted() -> None:
    moments = Moments.of([1.0, 5.0], [1.0, 0.25])
    report = make_report([ended(2), sums('score', 'Polite', moments=moments)], WINDOW)
    (result,) = report.sections[0].results
    assert (result.estimate.kind, result.estimate.value) == ('mean', 4.2)


def test_with_bounds_scores_that_are_all_the_same_have_an_interval_that_a_bound_can_be_judged_by() -> None:
    every = [ended(40), sums('score', 'Stars', moments=Moments.of([5.0] * 40))]
    assert reasons(make_report(every, WINDOW), 'Stars=4.5') == [
        'Stars (support) is 5 without an interval, and its lower end must reach 4.5'
    ]
    report = make_report(every, WINDOW, bounds={'Stars': (1, 5), 'Words': (0, 1)})
    (result,) = report.sections[0].results
    assert result.estimate == estimate_mean(
        Moments.of([5.0] * 40), bounds=(1, 5), evaluators=result.estimate.evaluators
    )
    assert reasons(report, 'Stars=4.5') == []
    with pytest.raises(ConfigurationError, match='scores must lie within'):
        make_report(every, WINDOW, bounds={'Stars': (1, 4)})


def test_scores_that_cannot_be_summed_are_counted_and_left_out() -> None:
    lost = sums('score', 'Polite', label='(out of range)', moments=Moments.of([1.0] * 3))
    report = make_report([ended(5), sums('score', 'Polite', moments=Moments.of([1.0, 3.0])), lost], WINDOW)
    (result,) = report.sections[0].results
    assert (result.estimate.value, result.estimate.count, result.left_out) == (2.0, 2, 3)


def test_labels_have_shares_that_add_up_to_one() -> None:
    labels = [sums('label', 'Topic', label=name, moments=Moments.of([1.0] * n)) for name, n in (('a', 1), ('b', 3))]
    report = make_report([ended(4), *labels], WINDOW)
    assert numbers(report) == [('Polite', 'a', 0.25, 4), ('Polite', 'b', 0.75, 4)]
    assert [each.left_out for each in report.sections[0].results] == [0, 0]


def test_results_of_one_evaluator_are_told_apart_and_each_is_missed_where_it_failed() -> None:
    report = make_report([ended(4, failed=1), passes(4, 4, 'clear'), passes(1, 2, 'kind')], WINDOW)
    shares = {result.name: result.estimate.coverage.share for result in report.sections[0].results}
    assert shares == {'clear': 0.8, 'kind': 2 / 3}


def changed() -> list[Aggregate]:
    later: dict[str, Any] = {'fingerprint': 'f2', 'first_at': NOON - timedelta(hours=12), 'last_at': NOON}
    return [ended(10), passes(9, 10), ended(10, **later), passes(1, 10, **later)]


def test_evaluators_that_are_not_the_same_are_not_pooled_and_the_change_is_said() -> None:
    report = make_report(changed(), WINDOW)
    assert numbers(report) == [('Polite', 'Polite', 0.9, 10), ('Polite', 'Polite', 0.1, 10)]
    (each,) = report.changes
    assert (each.agent, each.evaluator, each.change.at) == ('support', 'Polite', NOON - timedelta(hours=12))
    assert (each.change.before.fingerprint, each.change.after.fingerprint) == ('f1', 'f2')
    assert not each.change.overlapping


def test_pooled_on_request_the_change_is_said_all_the_same() -> None:
    report = make_report(changed(), WINDOW, pool=True)
    assert numbers(report) == [('Polite', 'Polite', 0.5, 20)]
    assert len(report.changes) == 1


def test_an_evaluator_that_only_failed_is_shown_beside_the_one_that_scored() -> None:
    report = make_report([*changed()[:2], ended(0, failed=3, fingerprint='f2')], WINDOW)
    assert numbers(report) == [('Polite', 'Polite', 0.9, 10), ('Polite', 'Polite', None, 0)]


def test_an_evaluator_is_not_missed_in_the_results_of_another_version() -> None:
    others = [ended(10, fingerprint='f2'), passes(1, 10, 'Courtesy', fingerprint='f2')]
    assert numbers(make_report([*changed()[:2], *others], WINDOW)) == [
        ('Polite', 'Polite', 0.9, 10),
        ('Polite', 'Courtesy', 0.1, 10),
    ]


def by_day(day: int, **changes: Any) -> Sequence[Aggregate]:
    start = datetime(2026, 5, day, tzinfo=UTC)
    times: dict[str, Any] = {'start': start, 'first_at': start, 'last_at': start + timedelta(hours=20)}
    changes |= times
    return ended(10, **changes), passes(day, 10, 'Polite', **changes)


def test_a_change_between_two_days_is_said_where_days_are_told_apart() -> None:
    report = make_report([*by_day(2, fingerprint='f2'), *by_day(1)], WINDOW, by=('day', 'evaluator'))
    assert [(section.group['day'], section.results[0].estimate.value) for section in report.sections] == [
        (datetime(2026, 5, 1, tzinfo=UTC), 0.1),
        (datetime(2026, 5, 2, tzinfo=UTC), 0.2),
    ]
    assert [(each.agent, each.change.at.day) for each in report.changes] == [(None, 2)]


def test_changes_come_in_the_order_of_agents_and_evaluators() -> None:
    later: dict[str, Any] = {'fingerprint': 'f2', 'first_at': NOON - timedelta(hours=12), 'last_at': NOON}
    every = [
        ended(1, target=target, evaluator=evaluator, **changes)
        for target, evaluator in (('b', 'Kind'), ('a', 'Polite'), ('', 'Kind'), ('a', 'Kind'))
        for changes in (later, {})
    ]
    report = make_report(every, WINDOW)
    assert [(each.agent, each.evaluator) for each in report.changes] == [
        ('', 'Kind'),
        ('a', 'Kind'),
        ('a', 'Polite'),
        ('b', 'Kind'),
    ]
    assert [each.evaluator for each in make_report(every, WINDOW, by=('evaluator',)).changes] == ['Kind', 'Polite']


def test_the_level_and_the_pooling_are_those_of_every_number() -> None:
    later: dict[str, Any] = {'fingerprint': 'f2', 'target': 'b'}
    every = [*changed(), ended(0, failed=3, target='b'), ended(0, failed=2, **later)]
    report = make_report(every, WINDOW, level=0.8, pool=True)
    (pooled,), (nothing,) = (section.results for section in reversed(report.sections))
    assert (pooled.estimate.level, nothing.estimate.level, report.level, report.is_pooled) == (0.8, 0.8, 0.8, True)
    # Where nothing was scored, the failures of both are pooled as well.
    assert (nothing.estimate.coverage.failed, len(nothing.estimate.evaluators)) == (5, 2)


def test_groups_come_in_the_order_of_what_is_told_apart_and_unknown_ones_last() -> None:
    groups: list[dict[str, Any]] = [
        {'target': 'b', 'variant': '', 'agent_path': ('x', 'b')},
        {'target': 'b', 'variant': 'new', 'agent_path': ('b',)},
        {'target': 'a', 'variant': 'new', 'agent_path': ()},
    ]
    every = [ended(1, **group) for group in groups]
    found = make_report(every, WINDOW, by=('variant', 'path', 'evaluator')).sections
    assert [tuple(section.group.values()) for section in found] == [
        ('new', ('b',)),
        ('new', None),
        (None, ('x', 'b')),
    ]


def test_effort_adds_up() -> None:
    every = [
        ended(1, judge_cost=0.25, judge_requests=2, duration=1.5),
        ended(1, target='b', judge_cost=0.5, attempts=3),
    ]
    report = make_report(every, WINDOW)
    assert report.effort == Effort(judge_cost=0.75, judge_requests=2, duration=1.5, attempts=3)
    assert [each.effort.judge_cost for each in report.sections] == [0.5, 0.25]
    (section,) = make_report(every, WINDOW, by=('evaluator',)).sections
    assert section.effort == report.effort


NO_EFFORT = {
    'judge_cost': 0.0,
    'judge_requests': 0,
    'judge_input_tokens': 0,
    'judge_output_tokens': 0,
    'attempts': 0,
    'duration': 0.0,
    'waited': 0.0,
}


def scored_coverage(count: int) -> dict[str, float]:
    """How a coverage is written where all that was due was scored."""
    lost = {'failed': 0, 'timed_out': 0, 'dropped': 0, 'over_budget': 0}
    return {'share': 1.0, 'scored': count, **lost, 'sampled_out': 0, 'skipped': 0}


def test_a_report_has_a_form_as_json() -> None:
    report = make_report(changed(), WINDOW)
    document = report_document(report, unmet_bounds(report, [Bound(name='Polite', least=0.5)]))
    for section in document['sections']:
        for result in section['results']:
            result['interval'] = [round(each, 3) for each in result['interval']]
            result['effective_count'] = round(result['effective_count'], 3)
    assert document == {
        'since': '2026-04-27T12:00:00+00:00',
        'until': '2026-05-04T12:00:00+00:00',
        'by': ['agent', 'evaluator'],
        'level': 0.95,
        'pooled': False,
        'sections': [
            {
                'group': {'agent': 'support'},
                'evaluator': 'Polite',
                'coverage': scored_coverage(20),
                'results': [
                    {
                        'name': 'Polite',
                        'label': None,
                        'left_out': 0,
                        'kind': 'rate',
                        'value': 0.9,
                        'interval': [0.597, 0.995],
                        'level': 0.95,
                        'count': 10,
                        'effective_count': 10.0,
                        'coverage': scored_coverage(10),
                        'evaluators': [{'name': 'Polite', 'version': '1', 'fingerprint': 'f1'}],
                    },
                    {
                        'name': 'Polite',
                        'label': None,
                        'left_out': 0,
                        'kind': 'rate',
                        'value': 0.1,
                        'interval': [0.005, 0.403],
                        'level': 0.95,
                        'count': 10,
                        'effective_count': 10.0,
                        'coverage': scored_coverage(10),
                        'evaluators': [{'name': 'Polite', 'version': '1', 'fingerprint': 'f2'}],
                    },
                ],
                'effort': NO_EFFORT,
            }
        ],
        'changes': [
            {
                'agent': 'support',
                'evaluator': 'Polite',
                'at': '2026-05-04T00:00:00+00:00',
                'before': {'name': 'Polite', 'version': '1', 'fingerprint': 'f1'},
                'after': {'name': 'Polite', 'version': '1', 'fingerprint': 'f2'},
                'overlapping': False,
            }
        ],
        'effort': NO_EFFORT,
        'unmet': ['Polite (support) may be as low as 0.005001, which is below 0.5'],
    }


def test_a_report_of_paths_and_days_has_a_form_as_json() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    every = [ended(0, agent_path=('a', 'b'), start=start, failed=1), ended(0, agent_path=(), start=start, failed=1)]
    document = report_document(make_report(every, WINDOW, by=('path', 'day', 'evaluator')))
    assert [section['group'] for section in document['sections']] == [
        {'path': ['a', 'b'], 'day': '2026-05-01T00:00:00+00:00'},
        {'path': None, 'day': '2026-05-01T00:00:00+00:00'},
    ]
    assert document['sections'][0]['results'][0]['interval'] is None


# Bounds


def reasons(report: Report, *bounds: str, evaluators: Sequence[str] = ()) -> list[str]:
    return [each.reason for each in unmet_bounds(report, [bound_of(bound) for bound in bounds], evaluators)]


def test_a_bound_is_judged_by_the_lower_end_of_the_interval() -> None:
    report = make_report([ended(100), passes(90, 100)], WINDOW)
    assert reasons(report, 'Polite=0.8') == []
    assert reasons(report, 'Polite=0.85') == snapshot(['Polite (support) may be as low as 0.829, which is below 0.85'])


def test_a_bound_is_for_all_numbers_of_its_name() -> None:
    report = make_report([*changed(), ended(100, target='b'), passes(99, 100, target='b')], WINDOW)
    unmet = unmet_bounds(report, [Bound(name='Polite', least=0.5)])
    assert [(each.section and each.section.group['agent'], each.result is not None) for each in unmet] == [
        ('support', True)
    ]


def test_the_name_of_a_result_goes_before_that_of_an_evaluator() -> None:
    report = make_report([ended(50), passes(50, 50), passes(1, 50, 'kind')], WINDOW)
    assert reasons(report, 'Polite=0.5') == []
    assert len(reasons(report, 'kind=0.5')) == 1


def test_the_name_of_an_evaluator_stands_for_all_its_results() -> None:
    report = make_report([ended(50), passes(50, 50, 'clear'), passes(1, 50, 'kind')], WINDOW)
    assert len(reasons(report, 'Polite=0.5')) == 1


def test_a_label_is_named_with_its_result() -> None:
    labels = [sums('label', 'Topic', label=name, moments=Moments.of([1.0] * n)) for name, n in (('a', 5), ('b', 95))]
    report = make_report([ended(100), *labels], WINDOW)
    assert reasons(report, 'Topic:b=0.8') == []
    assert len(reasons(report, 'Topic:a=0.8')) == 1
    with pytest.raises(UnknownNameError, match=r"'Topic'. Did you mean 'Topic:b' or 'Topic:a'"):
        reasons(report, 'Topic=0.8')


def test_what_has_no_number_keeps_no_bound() -> None:
    assert reasons(make_report([ended(0, failed=3)], WINDOW), 'Polite=0') == snapshot(
        ['Polite (support) has no number, since nothing was scored, and must reach 0']
    )
    same = make_report([ended(3), sums('score', 'Polite', moments=Moments.of([4.0] * 3))], WINDOW)
    assert reasons(same, 'Polite=1') == snapshot(
        ['Polite (support) is 4 without an interval, and its lower end must reach 1']
    )
    assert reasons(make_report([], WINDOW), 'Polite=0', evaluators=['Polite']) == snapshot(
        ['Polite has no number in this window, and must reach 0']
    )


def test_a_name_that_nothing_has_is_answered_with_the_near_ones() -> None:
    report = make_report([ended(10), passes(9, 10)], WINDOW)
    with pytest.raises(UnknownNameError) as raised:
        reasons(report, 'polte=0.5', evaluators=['Police'])
    assert str(raised.value) == snapshot("There is no result or evaluator 'polte'. Did you mean 'Polite' or 'Police'?")


def test_coverage_has_a_least_share() -> None:
    report = make_report([ended(90, failed=10), passes(9, 10), ended(0, sampled_out=3, target='b')], WINDOW)
    assert unmet_coverage(report, 0.9) == ()
    assert [each.reason for each in unmet_coverage(report, 0.95)] == snapshot(
        ['Polite (support) has a coverage of 90.0%, which is below 95.0%']
    )
    assert [each.reason for each in unmet_coverage(make_report([], WINDOW), 0.5)] == snapshot(
        ['no evaluation was due in this window']
    )
    for wrong in (95, 1.5, -0.1):
        with pytest.raises(ConfigurationError, match=f'from 0 to 1, got {wrong}'):
            unmet_coverage(report, wrong)


@pytest.mark.parametrize('text', ['Polite', '=0.5', 'Polite=', 'Polite=nan', 'Polite=high'])
def test_what_is_no_bound_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match='a name and a number'):
        bound_of(text)


@pytest.mark.parametrize(
    'text', ['1..5', '=1..5', 'stars=', 'stars=1', 'stars=5..1', 'stars=1..1', 'stars=nan..5', 'stars=-inf..5']
)
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f'the least and a greater number, .* got {text!r}'):
        scale_of(text)
    with pytest.raises(ConfigurationError, match='the least and a greater number'):
        scale_of('stars=1..inf')


def test_a_scale_is_two_numbers() -> None:
    assert scale_of(' a=b =-1..2.5') == ('a=b', (-1.0, 2.5))


def test_a_number_at_its_bound_keeps_it() -> None:
    report = make_report([ended(100), passes(90, 100)], WINDOW)
    interval = report.sections[0].results[0].estimate.interval
    assert interval is not None
    assert unmet_bounds(report, [Bound(name='Polite', least=interval.lower)]) == ()
    assert len(unmet_bounds(report, [Bound(name='Polite', least=interval.lower + 1e-9)])) == 1
    assert unmet_coverage(make_report([ended(9, failed=1)], WINDOW), 0.9) == ()
    assert [each.reason for each in unmet_coverage(make_report([ended(9_496, failed=504)], WINDOW), 0.95)] == [
        'Polite (support) has a coverage of 94.9%, which is below 95.0%'
    ]
    assert unmet_coverage(report, 0) == unmet_coverage(report, 1) == ()


def test_where_a_number_is_missed_is_said_as_far_as_it_is_known() -> None:
    every = [ended(0, failed=1, agent_path=('desk', 'support'), variant=''), ended(0, failed=1, variant='')]
    report = make_report(every, WINDOW, by=('agent', 'path', 'variant', 'evaluator'))
    missed = 'has no number, since nothing was scored, and must reach 0.5'
    assert reasons(report, 'Polite=0.5') == [f'Polite (support, desk > support) {missed}', f'Polite (support) {missed}']
    assert reasons(make_report(every, WINDOW, by=('evaluator',)), 'Polite=0.5') == [f'Polite {missed}']


def test_the_name_of_an_evaluator_does_not_stand_for_the_shares_of_labels() -> None:
    label = sums('label', 'Topic', label='a', moments=Moments.of([1.0] * 5))
    report = make_report([ended(100), passes(99, 100, 'kind'), label], WINDOW)
    assert reasons(report, 'Polite=0.9') == []


def test_a_name_may_have_an_equals_sign() -> None:
    assert bound_of('a=b=0.5') == Bound(name='a=b', least=0.5)


# Windows, dimensions, names


@pytest.mark.parametrize(
    ('since', 'until', 'expected'),
    [
        ('7d', None, (NOON - timedelta(days=7), NOON)),
        ('12h', '90m', (NOON - timedelta(hours=12), NOON - timedelta(minutes=90))),
        ('2026-05-01', '2026-05-02', (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC))),
        ('2026-05-01T12:00+02:00', None, (datetime(2026, 5, 1, 10, tzinfo=UTC), NOON)),
    ],
)
def test_a_window_is_said_in_many_ways(since: str, until: str | None, expected: tuple[datetime, datetime]) -> None:
    window = Window.of(since, until, now=NOON)
    assert (window.since, window.until) == expected


@pytest.mark.parametrize(
    ('since', 'until', 'message'),
    [
        ('yesterday', None, "since must say how long ago.*got 'yesterday'"),
        ('7d', 'tomorrow', "until must say how long ago.*got 'tomorrow'"),
        ('999999w', None, 'since must say how long ago'),
        ('7d', '8d', 'must end after it begins'),
        ('7d', '7d', 'must end after it begins'),
    ],
)
def test_what_is_no_window_is_refused(since: str, until: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Window.of(since, until, now=NOON)


@pytest.mark.skipif(not hasattr(time, 'tzset'), reason='the time zone of a process cannot be set here')
def test_a_time_without_a_zone_is_utc_wherever_the_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv('TZ', 'Asia/Tokyo')
        time.tzset()
        window = Window.of('2026-05-01', '2026-05-02T01:00', now=NOON)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (window.since, window.until) == (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, 1, tzinfo=UTC))
    assert window.since.utcoffset() == timedelta(0)


def test_a_window_ends_now() -> None:
    before = datetime.now(UTC)
    assert Window.of('1h').until >= before


def test_evaluators_are_always_told_apart() -> None:
    assert dimensions_of('agent, day') == ('agent', 'day', 'evaluator')
    assert dimensions_of('evaluator,agent,agent') == ('evaluator', 'agent')
    assert dimensions_of('') == ('evaluator',)


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no dimension 'modle'. Did you mean 'model'"):
        dimensions_of('modle')
    with pytest.raises(ConfigurationError, match='one of minute, hour, day, got hour and day'):
        dimensions_of('hour,day')
    assert set(get_args(Step)) < set(REPORT_BY)


def test_near_names_are_those_that_are_alike_or_contain_it() -> None:
    assert near('suport', ['support', 'planner']) == ('support',)
    assert near('SUPPORT', ['support', 'planner']) == ('support',)
    assert near('lan', ['support', 'the planner of all']) == ('the planner of all',)
    assert near('', ['support']) == ()
    alike = ['supporter', 'supports', 'support', 'sport', 'planner']
    assert near('support', alike) == ('support', 'supports', 'supporter')
    assert near('abc', ['adc', 'axyz']) == ('adc',)
    assert near('a', [f'{number} large name with a' for number in range(5)]) == tuple(
        f'{number} large name with a' for number in range(3)
    )


def test_without_a_near_name_some_are_listed() -> None:
    with pytest.raises(UnknownNameError, match=r"no agent 'x'. There is 'a', 'b'\.$"):
        require_known('agent', 'x', ['b', 'a'])
    with pytest.raises(UnknownNameError, match=r"'n9', and others\.$"):
        require_known('agent', 'x', [*(f'n{number}' for number in range(10)), 'na', 'nb'])
    with pytest.raises(UnknownNameError, match=r"'n9'\.$"):
        require_known('agent', 'x', [f'n{number}' for number in range(10)])
    with pytest.raises(UnknownNameError, match=r"^There is no agent 'x'\. There is none at all\.$"):
        require_known('agent', 'x', [])


def test_a_name_that_is_known_or_not_asked_for_is_no_error() -> None:
    require_known('agent', 'a', ['a', 'b'])
    require_known('agent', None, ['a', 'b'])
