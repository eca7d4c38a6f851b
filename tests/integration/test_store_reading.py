"""What is asked of a store is answered with all of it and nothing else, where values are equal, long or nearly alike."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from databases import database_url, postgres_url, sqlite_url, store
from opentelemetry.trace import SpanContext, TraceFlags
from pydantic_ai.usage import RunUsage
from pydantic_evals.online import SpanReference
from sqlalchemy import Engine, event
from store_samples import BOUND, START, a_failure, a_result, a_run, an_outcome, keep

from pydantic_ai_assay import ConfigurationError, EvaluationOutcome, RunRecord
from pydantic_ai_assay.store.aggregation import AggregateBy, AggregateFilter
from pydantic_ai_assay.store.errors import UnknownRunError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.reader import Reader
from pydantic_ai_assay.store.rows import Feedback, Page, RunSummary
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')

STRETCH = START - timedelta(days=1), START + timedelta(days=1)
LONG = 'x' * 300
"""Longer than names are in the database; what follows it must still count."""


def ids(store: Store, where: RunFilter | None = None, **options: Any) -> list[str]:
    return [run.run_id for run in store.runs(where, **options).items]


def unjudged(run: RunRecord) -> tuple[RunRecord, list[EvaluationOutcome]]:
    return run, []


def numbered(*numbers: int) -> list[str]:
    return [f'run-{number}' for number in numbers]


def all_pages(read: Callable[[str | None], Page[Any]], limit: int) -> list[Any]:
    """The items of all pages, each of which but the last must be full."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = read(cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found
        assert len(page.items) == limit


def a_span(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(1))


def reference(trace: int, span: int) -> SpanReference:
    return SpanReference(trace_id=format(trace, '032x'), span_id=format(span, '016x'))


# Pages


def at_the_same_moment(store: Store) -> None:
    """Runs of which nothing tells the order but that in which they were kept."""
    parts: list[Any] = []
    for number in range(1, 8):
        run = a_run(number, started_at=START, metadata={'tags': ['t']}, usage=RunUsage(cost=Decimal('0.5')))
        parts.append((run, [an_outcome(run, a_result(number % 2 == 0))]))
    keep(store, *parts)


@pytest.mark.parametrize('limit', [1, 2, 3])
@pytest.mark.parametrize('order', ['newest', 'oldest', 'slowest', 'costliest'])
@pytest.mark.parametrize('where', [{}, {'evaluator': 'Polite'}, {'tag': 't'}, {'target': 'support'}], ids=str)
def test_runs_that_are_equal_in_an_order_are_on_one_page_each(
    store: Store, where: dict[str, Any], order: Any, limit: int
) -> None:
    at_the_same_moment(store)
    found: list[RunSummary] = all_pages(
        lambda cursor: store.runs(RunFilter(**where), order=order, limit=limit, cursor=cursor), limit
    )
    expected = numbered(*range(1, 8))
    assert [run.run_id for run in found] == (expected if order == 'oldest' else expected[::-1])


@pytest.mark.parametrize('limit', [1, 2, 3])
def test_outcomes_of_runs_that_started_at_once_are_on_one_page_each(store: Store, limit: int) -> None:
    at_the_same_moment(store)
    run = a_run(8, started_at=START)
    keep(store, (run, [a_failure(run)]))
    found = all_pages(lambda cursor: store.evaluations('Polite', limit=limit, cursor=cursor), limit)
    assert [each.outcome.run_id for each in found] == numbered(*range(8, 0, -1))


def test_feedback_of_one_moment_is_on_one_page_each(store: Store) -> None:
    for number in range(5):
        store.add_feedback('stars', number, run_id='run-1', at=START)
    found: list[Feedback] = all_pages(lambda cursor: store.feedback_page(limit=2, cursor=cursor), 2)
    assert [each.value for each in found] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize('order', ['newest', 'oldest', 'slowest'])
def test_a_run_that_was_judged_in_several_series_is_on_one_page_once(store: Store, order: Any) -> None:
    runs = [a_run(number, duration=float(number)) for number in range(1, 6)]
    keep(store, *((run, [an_outcome(run)]) for run in runs))
    for series in ('a', 'b', 'c'):
        for run in runs:
            store.add_outcomes(run.run_id, [an_outcome(run)], series=series)
    assert store.flush(BOUND)
    where = RunFilter(evaluator='Polite', passed=True)
    found = all_pages(lambda cursor: store.runs(where, order=order, limit=2, cursor=cursor), 2)
    expected = numbered(1, 2, 3, 4, 5)
    assert [run.run_id for run in found] == (expected if order == 'oldest' else expected[::-1])
    assert store.count_runs(where) == 5


@pytest.mark.parametrize(
    'document',
    [
        ['newest', 'x', 1],
        ['newest', 1, 'x'],
        ['newest', 1],
        ['newest', None, 1],
        ['newest', 1, True],
        ['newest', 1, 10**30],
        ['newest', -(10**30), 1],
        5,
        None,
    ],
    ids=str,
)
def test_a_cursor_that_a_page_did_not_give_is_refused(store: Store, document: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(document).encode()).decode()
    with pytest.raises(ConfigurationError, match='cursor must come from a page'):
        store.runs(cursor=cursor)


def test_no_question_is_answered_with_more_than_ten_thousand_items(store: Store) -> None:
    questions: Sequence[Callable[[int], object]] = (
        lambda limit: store.runs(limit=limit),
        lambda limit: store.tail(limit=limit),
        lambda limit: store.evaluations('Polite', limit=limit),
        lambda limit: store.feedback(limit=limit),
    )
    for ask in questions:
        ask(10_000)
        with pytest.raises(ConfigurationError, match='limit must be an integer from 1 to 10000, got 10001'):
            ask(10_001)


@pytest.mark.parametrize('question', ['runs', 'evaluations'])
def test_what_is_deleted_while_a_page_is_read_is_left_out_of_it(postgres_url: str, question: str) -> None:
    migrate(postgres_url)
    store, other = Store(postgres_url), Store(postgres_url)
    runs = [a_run(number) for number in range(1, 4)]
    keep(store, *((run, [an_outcome(run)]) for run in runs))
    read: list[str] = []

    def delete(_: object, __: object, statement: str, *rest: object) -> None:
        if not read and statement.startswith('SELECT') and re.search(r'WHERE assay_(runs|outcomes)\.id IN', statement):
            read.append(statement)
            other.prune(max_runs=2)

    event.listen(Engine, 'before_cursor_execute', delete)
    try:
        if question == 'runs':
            found = [run.run_id for run in store.runs().items]
        else:
            found = [each.outcome.run_id for each in store.evaluations('Polite').items]
    finally:
        event.remove(Engine, 'before_cursor_execute', delete)
    assert len(read) == 1
    assert found == numbered(3, 2)
    assert store.close() and other.close()


# Conditions


def test_names_that_differ_only_after_their_two_hundredth_character_are_told_apart(store: Store) -> None:
    parts: list[Any] = []
    for end in ('a', 'b'):
        run = a_run(
            run_id=f'{LONG}{end}',
            target=f'{LONG}target{end}',
            model_name=f'{LONG}model{end}',
            conversation_id=f'{LONG}talk{end}',
            metadata={'variant': f'{LONG}variant{end}', 'tags': [f'{LONG}tag{end}']},
        )
        parts.append((run, [an_outcome(run, evaluator=f'{LONG}judge{end}', fingerprint=f'{LONG}print{end}')]))
    keep(store, *parts)
    for end in ('a', 'b'):
        store.add_feedback(f'{LONG}name{end}', 1, run_id=f'{LONG}{end}')
        store.count('skipped', f'{LONG}judge{end}', f'{LONG}print{end}', f'{LONG}target{end}')
    assert store.flush(BOUND)
    for end in ('a', 'b'):
        (wanted,) = [run.run_id for run in store.runs().items if run.target == store.run(f'{LONG}{end}').summary.target]
        conditions: Sequence[dict[str, Any]] = (
            {'target': f'{LONG}target{end}'},
            {'model': f'{LONG}model{end}'},
            {'conversation_id': f'{LONG}talk{end}'},
            {'variant': f'{LONG}variant{end}'},
            {'tag': f'{LONG}tag{end}'},
            {'evaluator': f'{LONG}judge{end}', 'tag': f'{LONG}tag{end}'},
            {'fingerprint': f'{LONG}print{end}'},
            {'feedback': f'{LONG}name{end}'},
        )
        for where in conditions:
            assert ids(store, RunFilter(**where)) == [wanted], where
        assert [each.outcome.run_id for each in store.outcomes(f'{LONG}{end}')] == [wanted]
        assert len(store.feedback(run_id=f'{LONG}{end}')) == len(store.feedback(name=f'{LONG}name{end}')) == 1
        evaluations = store.evaluations(f'{LONG}judge{end}', fingerprint=f'{LONG}print{end}').items
        assert [each.outcome.run_id for each in evaluations] == [wanted]
        sums: Sequence[dict[str, Any]] = (
            {'target': f'{LONG}target{end}'},
            {'evaluator': f'{LONG}judge{end}'},
            {'fingerprint': f'{LONG}print{end}'},
        )
        for where in sums:
            found = store.aggregates(START, by=(), where=AggregateFilter(kind='outcome', **where))
            assert [each.statuses for each in found] == [{'scored': 1, 'skipped': 1}], where


def test_runs_of_one_trace_are_told_apart_by_their_spans(store: Store) -> None:
    runs = [a_run(number, span_context=a_span(7, number)) for number in (1, 2)]
    runs += [a_run(3, span_context=a_span(8, 2))]
    keep(store, *map(unjudged, runs))
    store.add_feedback('helpful', True, span=reference(7, 2))
    store.add_feedback('stars', 3, span=reference(8, 2))
    for trace, span, expected in ((7, 1, 'run-1'), (7, 2, 'run-2'), (8, 2, 'run-3')):
        wanted = reference(trace, span)
        found = store.ask(Reader.run_of_span, wanted.trace_id, wanted.span_id)
        assert found.summary.run_id == expected
    with pytest.raises(UnknownRunError):
        store.ask(Reader.run_of_span, reference(8, 1).trace_id, reference(8, 1).span_id)
    assert [[each.name for each in store.run(run.run_id).feedback] for run in runs] == [[], ['helpful'], ['stars']]
    assert ids(store, RunFilter(feedback='helpful')) == ['run-2']
    assert ids(store, RunFilter(min_feedback=2)) == ['run-3']


def test_feedback_that_names_a_run_is_about_no_other_with_its_span(store: Store) -> None:
    keep(store, (a_run(1, span_context=a_span(7, 1)), []), (a_run(2), []))
    store.add_feedback('helpful', True, run_id='run-2', span=reference(7, 1))
    assert ids(store, RunFilter(feedback='helpful')) == ['run-2']
    assert [len(store.run(run_id).feedback) for run_id in ('run-1', 'run-2')] == [0, 1]


def test_ranges_have_their_ends(store: Store) -> None:
    keep(store, *(unjudged(a_run(number, duration=float(number))) for number in range(1, 6)))
    for number in range(1, 6):
        store.add_feedback('stars', number, run_id=f'run-{number}')
        store.add_feedback('other', 6 - number, run_id=f'run-{number}')
    assert ids(store, RunFilter(min_duration=2, max_duration=4)) == numbered(4, 3, 2)
    assert ids(store, RunFilter(feedback='stars', min_feedback=2, max_feedback=3)) == numbered(3, 2)
    assert ids(store, RunFilter(feedback='stars', min_feedback=5)) == numbered(5)


def test_upper_and_lower_case_are_told_apart(store: Store) -> None:
    for number, name in enumerate(('abc', 'ABD', 'Top'), 1):
        keep(store, (a_run(number, run_id=name, agent_path=(name, 'inner')), []))
    assert ids(store, RunFilter(path=('TOP',))) == ids(store, RunFilter(path=('ABC', 'inner'))) == []
    assert ids(store, RunFilter(path=('Top',))) == ['Top']
    assert store.run('AB').summary.run_id == 'ABD'
    with pytest.raises(UnknownRunError, match='no run'):
        store.run('Abc')


def test_a_run_is_found_by_the_beginning_of_its_id_whatever_follows(store: Store) -> None:
    for number, run_id in enumerate(('é\U0010fffd', 'z', 'Z-\uffff'), 1):
        keep(store, (a_run(number, run_id=run_id), []))
    for beginning, run_id in (('é', 'é\U0010fffd'), ('Z-', 'Z-\uffff'), ('z', 'z')):
        assert store.run(beginning).summary.run_id == run_id


def test_a_span_that_no_run_can_have_is_one_of_none(store: Store) -> None:
    keep(store, unjudged(a_run(1)))
    with pytest.raises(UnknownRunError, match='no run of span'):
        store.ask(Reader.run_of_span, 'a\x00b', '\x00')


def test_letters_that_stand_for_others_in_a_pattern_stand_for_themselves(store: Store) -> None:
    outer = ('a_b', 'axb', 'a%b', 'say "hi"', 'back\\slash', 'ü')
    for number, name in enumerate(outer, 1):
        keep(store, (a_run(number, run_id=f'{name}-{number}', agent_path=(name, 'inner')), []))
    for number, name in enumerate(outer, 1):
        assert ids(store, RunFilter(path=(name,))) == [f'{name}-{number}']
        assert ids(store, RunFilter(path=(name, 'inner'))) == [f'{name}-{number}']
        assert store.run(name).summary.run_id == f'{name}-{number}'
    assert ids(store, RunFilter(path=('back',))) == ids(store, RunFilter(path=('inner',))) == []


def test_lists_are_in_the_order_that_they_are_said_to_be_in(store: Store) -> None:
    tagged = a_run(metadata={'tags': ['zebra', 'ape', 'mouse']})
    outcomes = [an_outcome(tagged, evaluator=name) for name in ('Zeal', 'Apt', 'Mild')]
    keep(store, (tagged, outcomes), (a_run(2, metadata={'tags': ['ape']}), []))
    assert list(store.tags().items()) == [('ape', 2), ('mouse', 1), ('zebra', 1)]
    assert store.run('run-1').tags == ('ape', 'mouse', 'zebra')
    assert [each.name for each in store.evaluators()] == ['Zeal', 'Apt', 'Mild']
    assert [each.outcome.evaluator for each in store.outcomes('run-1')] == ['Zeal', 'Apt', 'Mild']
    assert [each.outcome.evaluator for each in store.tail(0)] == ['Zeal', 'Apt', 'Mild']
    for number in range(3):
        store.add_feedback('said', str(number), run_id='run-1', at=START - timedelta(seconds=number))
    assert [each.value for each in store.run('run-1').feedback] == ['0', '1', '2']


# What is read


def test_a_summary_says_of_a_run_what_it_was(store: Store) -> None:
    run = a_run(
        target='desk',
        agent_name='clerk',
        agent_path=('top', 'clerk'),
        parent_run_id='outer',
        conversation_id='talk',
        model_name='gpt',
        metadata={'variant': 'b'},
        outcome='error',
        error=KeyError('no'),
        output=KeyError('no'),
        usage=RunUsage(requests=3, input_tokens=40, output_tokens=5, cost=Decimal(0)),
        span_context=a_span(7, 1),
    )
    keep(store, (run, [an_outcome(run)]))
    (summary,) = store.runs().items
    assert summary == RunSummary(
        run_id='run-1',
        target='desk',
        outcome='error',
        started_at=run.started_at,
        duration=1.5,
        agent_name='clerk',
        agent_path=('top', 'clerk'),
        parent_run_id='outer',
        conversation_id='talk',
        span=reference(7, 1),
        model_name='gpt',
        variant='b',
        error_type='KeyError',
        requests=3,
        input_tokens=40,
        output_tokens=5,
        cost=0.0,
        prompt='question 1',
        answer=None,
        bytes=summary.bytes,
    )
    detail = store.info().content_bytes - summary.bytes
    assert summary.bytes > 0 and 0 < detail < store.info().content_bytes
    # A run that cost nothing is known to.
    assert ids(store, order='costliest') == ['run-1']
    (outcome,) = store.outcomes('run-1')
    assert (outcome.started_at, outcome.outcome.finished_at) == (run.started_at, run.started_at + timedelta(seconds=2))


def test_a_run_that_ended_with_an_error_has_it_for_its_output(store: Store) -> None:
    keep(store, (a_run(1, outcome='error', output=None, error=ValueError('no')), []), (a_run(2, output=None), []))
    assert str(store.run('run-1').record.output) == 'no'
    assert store.run('run-2').record.output is None


def test_whether_a_trace_was_sampled_is_known_of_a_stored_run(store: Store) -> None:
    for number, flags in enumerate((0, 1), 1):
        span = SpanContext(7, number, is_remote=False, trace_flags=TraceFlags(flags))
        keep(store, (a_run(number, span_context=span), []))
        restored = store.run(f'run-{number}').record.span_context
        assert restored is not None and restored.trace_flags == flags


def test_feedback_says_who_said_what_and_when(store: Store) -> None:
    store.add_feedback('helpful', 'no', run_id='run-1', comment='why?', by='ann', at=START)
    assert store.feedback() == (
        Feedback(name='helpful', value='no', at=START, run_id='run-1', span=None, comment='why?', by='ann'),
    )


def test_an_evaluator_is_known_by_what_it_was_when_it_was_first_seen(store: Store) -> None:
    before = datetime.now(UTC)
    run = a_run()
    keep(store, (run, [an_outcome(run), an_outcome(run, evaluator='Nameless', fingerprint=None, status='dropped')]))
    polite, nameless = store.evaluators()
    assert (polite.fingerprint, polite.version, polite.spec) == ('f1', '1', a_result().source)
    assert (nameless.fingerprint, nameless.version, nameless.spec) == (None, '1', None)
    assert before <= polite.first_seen <= datetime.now(UTC)
    sums = store.aggregates(*STRETCH, by=('evaluator', 'fingerprint'), where=AggregateFilter(kind='outcome'))
    assert {each.evaluator: each.fingerprint for each in sums} == {'Polite': 'f1', 'Nameless': None}


# Sums


def test_sums_are_told_apart_by_each_thing_alone(store: Store) -> None:
    """Each of the runs differs from the first in one thing only."""
    changes: Sequence[dict[str, Any]] = (
        {},
        {'target': 'other'},
        {'agent_path': ('top', 'support')},
        {'metadata': {'variant': 'b'}},
        {'model_name': 'm2'},
    )
    parts: list[Any] = []
    for number, change in enumerate(changes, 1):
        run = a_run(number, **{'model_name': 'm1', 'metadata': {'variant': 'a'}, **change})
        parts.append((run, [an_outcome(run)]))
    first = parts[0][0]
    more = [an_outcome(first, fingerprint='f2'), an_outcome(first, evaluator='Other')]
    keep(store, (first, [*parts[0][1], *more]), *parts[1:])
    store.add_outcomes('run-1', [an_outcome(first)], series='again')
    assert store.flush(BOUND)

    def scored(**where: Any) -> int:
        found = store.aggregates(*STRETCH, by=(), where=AggregateFilter(kind='outcome', **where))
        return sum(each.statuses['scored'] for each in found)

    assert (scored(), scored(series='again'), scored(series=None)) == (7, 1, 8)
    assert (scored(target='other'), scored(target='support')) == (1, 6)
    assert (scored(agent_path=('top', 'support')), scored(agent_path=('support',))) == (1, 6)
    assert (scored(variant='b'), scored(variant='a')) == (1, 6)
    assert (scored(model='m2'), scored(model='m1')) == (1, 6)
    assert (scored(fingerprint='f2'), scored(fingerprint='f1')) == (1, 6)
    assert (scored(evaluator='Other'), scored(evaluator='Polite')) == (1, 6)
    expected: dict[AggregateBy, dict[Any, int]] = {
        'target': {'support': 6, 'other': 1},
        'agent_path': {('support',): 6, ('top', 'support'): 1},
        'variant': {'a': 6, 'b': 1},
        'model': {'m1': 6, 'm2': 1},
        'fingerprint': {'f1': 6, 'f2': 1},
        'evaluator': {'Polite': 6, 'Other': 1},
    }
    for by, counts in expected.items():
        rows = store.aggregates(*STRETCH, by=(by,), where=AggregateFilter(kind='outcome'))
        assert {getattr(each, by): each.statuses['scored'] for each in rows} == counts


def test_sums_can_be_of_the_results_of_one_name(store: Store) -> None:
    run = a_run()
    keep(store, (run, [an_outcome(run, a_result(2.0, name='Words'), a_result(3.0, name='Lines'))]))
    (lines,) = store.aggregates(*STRETCH, by=(), where=AggregateFilter(name='Lines'))
    assert (lines.name, lines.moments.sum_wx) == ('Lines', 6.0)


def test_a_stretch_of_time_that_ends_within_a_minute_has_all_of_it(store: Store) -> None:
    minute = START.replace(second=0, microsecond=0)
    run = a_run(started_at=minute + timedelta(seconds=30))
    keep(store, (run, [an_outcome(run)]))

    def found(since: datetime, until: datetime) -> int:
        return len(store.aggregates(since, until, by=(), where=AggregateFilter(kind='outcome')))

    moment = timedelta(microseconds=1)
    assert found(minute - timedelta(hours=1), minute) == 0
    assert found(minute - timedelta(hours=1), minute + moment) == 1
    assert found(minute + timedelta(minutes=1) - moment, minute + timedelta(minutes=2)) == 1
    assert found(minute + timedelta(minutes=1), minute + timedelta(minutes=2)) == 0


def test_steps_follow_one_another(store: Store) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    hours = [5, 3, 40, 1, 27, 12, 60, 31]
    runs = [a_run(number, started_at=day + timedelta(hours=hour)) for number, hour in enumerate(hours)]
    keep(store, *((run, [an_outcome(run)]) for run in runs))
    where = AggregateFilter(kind='outcome')
    found = store.aggregates(day, day + timedelta(days=3), by=(), step='hour', where=where)
    assert [each.start for each in found] == [day + timedelta(hours=hour) for hour in sorted(hours)]
    days = store.aggregates(day, day + timedelta(days=3), by=(), step='day', where=where)
    assert [(each.start, each.statuses['scored']) for each in days] == [
        (day, 4),
        (day + timedelta(days=1), 3),
        (day + timedelta(days=2), 1),
    ]
