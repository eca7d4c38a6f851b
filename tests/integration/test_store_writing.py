"""What is written to a store is there once, added up right, within its bounds, and without what must not be there."""

from __future__ import annotations

import asyncio
import base64
import math
import re
import threading
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import anyio.lowlevel
import pytest
from databases import database_url, postgres_url, sqlite_url, store
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluationResult, Evaluator, EvaluatorContext, EvaluatorSpec
from pydantic_evals.online import SinkPayload as UpstreamPayload, SpanReference
from pydantic_evals.otel import SpanNode, SpanTree, SpanTreeRecordingError
from sqlalchemy import Engine, event
from store_samples import BOUND, START, a_result, a_run, an_outcome, eventually, ids, keep, locked, submit, warned

from pydantic_ai_assay import ConfigurationError, EvaluationOutcome, OnlineEvalConfig, RunRecord, run_of
from pydantic_ai_assay.execution.keeping import StoreRegistry, store_of
from pydantic_ai_assay.rejudging import RejudgeReport, rejudge
from pydantic_ai_assay.store import writer
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.compression import unpack
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.errors import StoreError, StoreUnavailableError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.rows import Aggregate
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.store.stored_spans import MAX_SPANS, StoredSpans

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')

SECOND = timedelta(seconds=1)


def sums(store: Store, **where: Any) -> Aggregate:
    """What there is of one kind and name, as one sum."""
    stretch = START - timedelta(days=1), START + timedelta(days=1)
    (found,) = store.aggregates(*stretch, by=(), where=AggregateFilter(**where))
    return found


def unjudged(run: RunRecord) -> tuple[RunRecord, list[EvaluationOutcome]]:
    return run, []


def impatient(url: str, **settings: Any) -> Store:
    """A store that does not wait for others that write."""
    patient: dict[str, Any] = {'retry_seconds': 0.01, **settings}
    return Store(f'{url}?timeout=0.01', **patient)


def some_spans(count: int, **attributes: Any) -> StoredSpans:
    return StoredSpans(
        [
            SpanNode(
                name='span',
                trace_id=1,
                span_id=number,
                parent_span_id=None,
                start_timestamp=START + timedelta(microseconds=number),
                end_timestamp=START + SECOND,
                attributes=attributes,
                status='ok',
            )
            for number in range(1, count + 1)
        ]
    )


# Sums


def test_what_comes_later_is_added_to_the_sums_that_are_there(store: Store) -> None:
    for number, value in enumerate((5.0, 9.0, 2.0, 4.0), 1):
        run = a_run(number, started_at=START)
        # The first to end is neither the first nor the last to be written.
        finished_at = START + timedelta(seconds=value)
        keep(store, (run, [an_outcome(run, a_result(value, name='Words'), finished_at=finished_at)]))
    words = sums(store, kind='score')
    assert (words.moments.count, words.moments.sum_w, words.moments.sum_wx, words.moments.sum_w2x2) == (4, 8, 40, 504)
    assert (words.moments.minimum, words.moments.maximum) == (2.0, 9.0)
    for each in (words, sums(store, kind='outcome')):
        assert (each.first_at, each.last_at) == (START + timedelta(seconds=2), START + timedelta(seconds=9))
    assert sums(store, kind='outcome').statuses == {'scored': 4}


def test_what_comes_at_once_is_added_up_in_the_same_way(store: Store) -> None:
    parts: list[Any] = []
    for number, value in enumerate((5.0, 9.0, 2.0, 4.0), 1):
        run = a_run(number, started_at=START + timedelta(minutes=number % 2))
        finished_at = START + timedelta(seconds=value)
        parts.append((run, [an_outcome(run, a_result(value, name='Words'), finished_at=finished_at)]))
    keep(store, *parts)
    words = sums(store, kind='score')
    assert (words.moments.minimum, words.moments.maximum, words.moments.sum_wx) == (2.0, 9.0, 40)
    for each in (words, sums(store, kind='outcome')):
        assert (each.first_at, each.last_at) == (START + timedelta(seconds=2), START + timedelta(seconds=9))


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, -1e200, 10**200, -(10**200)], ids=str)
def test_a_score_that_no_sum_can_hold_spoils_none(store: Store, value: Any) -> None:
    good, bad = a_run(1), a_run(2)
    keep(store, (good, [an_outcome(good, a_result(2.0, name='Words'))]))
    keep(store, (bad, [an_outcome(bad, a_result(value, name='Words'))]))
    assert store.stats().refused == 0
    stretch = START - timedelta(days=1), START + timedelta(days=1)
    found = store.aggregates(*stretch, by=('label',), where=AggregateFilter(kind='score'))
    assert {each.label: each.moments.sum_wx for each in found} == {'': 4.0, '(out of range)': 2.0}
    (result,) = store.outcomes('run-2')[0].outcome.results
    assert repr(result.value) == repr(value)


def test_counts_have_the_minute_in_which_they_were_counted(store: Store) -> None:
    before = datetime.now(UTC).replace(second=0, microsecond=0)
    store.count('sampled_out', 'Polite', None, 'support', 3)
    assert store.flush(BOUND)
    after = datetime.now(UTC)
    (found,) = store.aggregates(timedelta(hours=1), by=('target', 'fingerprint'), step='minute')
    assert (found.target, found.fingerprint, found.statuses) == ('support', None, {'sampled_out': 3})
    assert found.start is not None and before <= found.start <= after
    assert found.first_at == found.last_at == found.start


def test_counts_of_more_kinds_than_may_wait_are_those_of_a_day(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_assay.store.counting.MAX_COUNTS', 3)
    migrate(sqlite_url)
    store = impatient(sqlite_url)
    with warned('Runs wait to be stored'), locked(sqlite_url):
        # The writer takes the first of them, which then wait in its batch.
        store.count('skipped', 'Polite', 'f1', 'first')
        assert not store.flush(0.1)
        for number in range(5):
            store.count('skipped', 'Polite', 'f1', f'agent-{number}')
    assert store.flush(BOUND)
    found = store.aggregates(timedelta(days=2), by=('target',), step='minute')
    of_day = {each.target for each in found if each.start == datetime.now(UTC).replace(**dict.fromkeys(TIMES, 0))}
    assert of_day >= {'agent-3', 'agent-4'}
    assert sum(each.statuses['skipped'] for each in found) == 6
    assert store.close()


TIMES = ('hour', 'minute', 'second', 'microsecond')


def test_what_is_remembered_of_the_database_is_let_go_beyond_a_number(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_assay.store.batch._MAX_CELLS', 1)
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *rest: object) -> None:
        if 'FROM assay_cells' in statement:
            asked.append(statement)

    event.listen(Engine, 'before_cursor_execute', note)
    try:
        for number in range(3):
            keep(store, (a_run(number), [an_outcome(a_run(number))]))
    finally:
        event.remove(Engine, 'before_cursor_execute', note)
    assert len(asked) == 3


# Batches


def test_what_was_rolled_back_is_not_taken_for_written(store: Store) -> None:
    """The first batch makes evaluators and cells, and is refused: all of them are made again by its parts."""
    refused = a_run(3, usage=RunUsage(requests=2**70))
    runs = [a_run(1), a_run(2), refused, a_run(4)]
    names = ('Apt', 'Polite', 'Zeal')
    with warned('A run or its outcomes were not stored'):
        keep(store, *((run, [an_outcome(run, evaluator=name) for name in names]) for run in runs))
    assert ids(store) == ['run-1', 'run-2', 'run-4']
    assert sorted(each.name for each in store.evaluators()) == sorted(names)
    assert all(each.spec == a_result().source and each.version == '1' for each in store.evaluators())
    assert [len(store.outcomes(run_id)) for run_id in ids(store)] == [3, 3, 3]
    for name in names:
        assert sums(store, kind='outcome', evaluator=name).statuses == {'scored': 3}


def test_sums_that_were_rolled_back_are_made_again(store: Store) -> None:
    """The sums are written last: what was made for them is gone with the transaction."""
    failed: list[str] = []

    def fail(_: object, __: object, statement: str, *rest: object) -> None:
        if not failed and statement.startswith('INSERT INTO assay_aggregates'):
            failed.append(statement)
            raise RuntimeError('not now')

    first, second = a_run(1), a_run(2)
    event.listen(Engine, 'before_cursor_execute', fail)
    try:
        keep(store, (first, [an_outcome(first)]), (second, [an_outcome(second)]))
    finally:
        event.remove(Engine, 'before_cursor_execute', fail)
    assert len(failed) == 1
    assert (store.stats().refused, store.info().outcomes) == (0, 2)
    assert sums(store, kind='outcome').statuses == {'scored': 2}
    assert sums(store, kind='assertion').moments.count == 2


def test_an_evaluator_that_is_first_seen_without_its_settings_gets_them_later(store: Store) -> None:
    dropped, scored, more = a_run(1), a_run(2), a_run(3)
    keep(
        store,
        (dropped, [an_outcome(dropped, status='dropped'), an_outcome(dropped, evaluator='Never', status='dropped')]),
        (scored, [an_outcome(scored)]),
    )
    keep(store, (more, [an_outcome(more, status='dropped')]))
    polite, never = store.evaluators()
    assert (polite.version, polite.spec) == ('1', a_result().source)
    assert (never.version, never.spec) == ('1', None)


def test_the_same_outcome_under_another_name_series_or_fingerprint_is_another(store: Store) -> None:
    run = a_run()
    outcomes = [an_outcome(run, **change) for change in ({}, {'evaluator': 'Other'}, {'fingerprint': 'f2'})]
    for _ in range(2):
        keep(store, (run, [*outcomes, *outcomes]))
        for series in ('again', 'x' * 300 + 'a', 'x' * 300 + 'b'):
            store.add_outcomes(run.run_id, outcomes, series=series)
    assert store.flush(BOUND)
    assert len(store.outcomes('run-1')) == store.info().outcomes == 12
    assert sums(store, kind='outcome').statuses == {'scored': 3}
    assert sums(store, kind='outcome', series='x' * 300 + 'a').statuses == {'scored': 3}
    assert store.stats().refused == 0


def test_more_runs_than_one_query_asks_for_are_known_again(store: Store) -> None:
    runs = [a_run(number) for number in range(1_100)]
    for _ in range(2):
        keep(store, *((run, [an_outcome(run)]) for run in runs))
    assert (store.info().runs, store.info().outcomes, store.stats().refused) == (1_100, 1_100, 0)
    assert sums(store, kind='outcome').statuses == {'scored': 1_100}


def test_what_was_counted_as_content_is_gone_with_it(store: Store) -> None:
    runs = [
        a_run(1, spans=some_spans(50, text='x')),
        a_run(2, messages=(ModelRequest(parts=[UserPromptPart(f'{list(range(500))}')]),)),
    ]
    keep(store, *((run, [an_outcome(run, a_result(reason='because'))]) for run in runs))
    first, second = store.run('run-1'), store.run('run-2')
    assert first.record.spans is not None and len(first.record.spans.tree().roots) == 50
    assert store.info().content_bytes > first.summary.bytes + second.summary.bytes
    keep(store, *map(unjudged, runs))
    assert store.prune(max_runs=1) == 1
    assert store.info().content_bytes > second.summary.bytes
    assert store.prune(older_than='1s') == 1
    assert (store.info().runs, store.info().outcomes, store.info().content_bytes) == (0, 0, 0)


# What is kept of a run


def test_so_many_tags_are_kept_and_each_with_the_time_of_its_run(store: Store) -> None:
    keep(store, (a_run(metadata={'tags': [f't{number:03}' for number in range(60)]}), []))
    assert store.run('run-1').tags == tuple(f't{number:03}' for number in range(50))
    later = RunFilter(tag='t000', since=START + timedelta(seconds=2))
    assert store.count_runs(RunFilter(tag='t000')) == store.count_runs(RunFilter(tag='t049')) == 1
    assert store.count_runs(later) == store.count_runs(RunFilter(tag='t050')) == 0


def test_the_first_message_of_a_run_stays_the_first_where_the_beginning_is_left_out(store: Store) -> None:
    texts = [f'{number} ' + 'x' * 190_000 for number in range(60)]
    messages = tuple(ModelRequest(parts=[UserPromptPart(text)]) for text in texts)
    keep(store, (a_run(1, messages=messages, new_message_index=58), []))
    keep(store, (a_run(2, messages=messages, new_message_index=2), []))
    stored = store.run('run-1')
    assert 0 < len(stored.record.messages) < 60 and 'messages' in stored.refused
    asked = [part for each in stored.record.new_messages for part in each.parts if isinstance(part, UserPromptPart)]
    assert [str(part.content)[:3] for part in asked] == ['58 ', '59 ']
    assert store.run('run-2').record.new_message_index == 0


def test_settings_of_evaluators_can_be_any_text(store: Store) -> None:
    run = a_run()
    spec = EvaluatorSpec(name='Judge', arguments={'rubric': 'a \x00 b \ud800 c'})
    result = EvaluationResult(name='Polite', value=True, reason=None, source=spec, evaluator_version='1')
    keep(store, (run, [an_outcome(run, result)]))
    (known,) = store.evaluators()
    assert known.spec is not None and known.spec.name == 'Judge'
    assert re.fullmatch('a .+ b .+ c', str(known.spec.kwargs['rubric']), re.DOTALL)
    assert store.stats().refused == 0


def test_spans_beyond_a_number_are_left_out(store: Store) -> None:
    keep(store, (a_run(spans=some_spans(MAX_SPANS + 5)), []))
    spans = store.run('run-1').record.spans
    assert spans is not None and len(list(spans.all_spans())) == MAX_SPANS


def test_why_spans_were_not_recorded_is_kept_with_the_run(store: Store) -> None:
    keep(store, (a_run(1, spans=StoredSpans((), recording_error='no provider')), []), (a_run(2), []))
    with pytest.raises(SpanTreeRecordingError, match='no provider'):
        store.context('run-1').span_tree.find({'name_equals': 'span'})
    assert store.run('run-2').record.spans is None


def test_documents_of_earlier_versions_are_read() -> None:
    """What is in databases must stay readable: this was written by the first version."""
    written = base64.b64decode(GOLDEN)
    assert unpack(written) == DOCUMENT


DOCUMENT: dict[str, Any] = {
    'messages': [{'kind': 'request', 'parts': ['x' * 400]}],
    'usage_details': {},
    'error_type': '',
    'gen_ai.request.model': '',
    'results': [{'name': '', 'value': True, 'reason': None}],
    'refused': {},
    'provider_url': None,
    'part_kind': 'tool-return',
}
GOLDEN = 'ASi1L/1gaQH1AQBoeyJ4Il1yZXR1cm4ifQ8AVwUCEAUH2qIA8fIByDOf8HeeUHbWQBkQQbIcgI/YgJUoMCOu0Hm9QUHMIEwWVw=='


# Waiting


def test_waiting_for_what_was_handed_over_tries_the_database_at_once(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = impatient(sqlite_url, retry_seconds=3600.0)
    with warned('Runs wait to be stored'):
        with locked(sqlite_url):
            submit(store, (a_run(1), []))
            assert not store.flush(0.3)
        assert store.flush(BOUND)
    assert ids(store) == ['run-1']
    assert store.close()


def test_a_database_that_is_away_is_tried_again_within_a_bound_and_without_being_told(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, 'MAX_RETRY_SECONDS', 0.05)
    migrate(sqlite_url)
    store = impatient(sqlite_url, retry_seconds=3600.0)
    with warned('Runs wait to be stored'):
        with locked(sqlite_url):
            submit(store, (a_run(1), []))
            eventually(lambda: store.stats().last_error is not None)
        eventually(lambda: store.stats().waiting == 0)
    assert ids(store) == ['run-1']
    assert store.close()


def test_after_a_database_was_away_the_next_wait_is_a_short_one(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = impatient(sqlite_url)
    with warned('Runs wait to be stored'):
        with locked(sqlite_url):
            submit(store, (a_run(1), []))
            # Each doubles the wait, up to half a minute.
            for _ in range(14):
                assert not store.flush(0.1)
        assert store.flush(BOUND)
        with locked(sqlite_url):
            submit(store, (a_run(2), []))
            eventually(lambda: store.stats().last_error is not None)
        eventually(lambda: store.stats().waiting == 0)
    assert ids(store) == ['run-1', 'run-2']
    assert store.close()


def test_waiting_ends_although_others_go_on_handing_over(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, 'MAX_ENTRIES', 2)
    migrate(sqlite_url)
    store, ended, begun = Store(sqlite_url), threading.Event(), threading.Event()

    def hand_over() -> None:
        for number in range(2, 4_000):
            submit(store, (a_run(number), []))
            if number > 100:
                begun.set()
                while store.stats().waiting > 100 and not ended.wait(0.001):
                    pass
            if ended.is_set():
                break

    thread = threading.Thread(target=hand_over)
    thread.start()
    assert begun.wait(BOUND)
    submit(store, (a_run(1), []))
    assert store.flush(BOUND)
    assert store.run('run-1').summary.run_id == 'run-1'
    assert store.stats().waiting > 0
    ended.set()
    thread.join(BOUND)
    assert store.flush(BOUND)
    assert store.close()


def test_counts_that_come_after_a_pause_are_written_without_being_waited_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, 'COUNTS_END_SECONDS', 0.0)
    migrate(sqlite_url)
    store = Store(sqlite_url)

    def written() -> int:
        found = store.aggregates(timedelta(days=1), by=(), where=AggregateFilter(kind='outcome'))
        return sum(each.statuses['skipped'] for each in found)

    for number in (1, 2, 3):
        store.count('skipped', 'Polite', 'f1', 'support')
        eventually(lambda expected=number: written() == expected)
    assert store.close()


def test_a_store_keeps_within_its_bounds_while_nothing_is_handed_over(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, 'MAINTENANCE_SECONDS', 0.05)
    migrate(sqlite_url)
    store, other = Store(sqlite_url, max_runs=1), Store(sqlite_url)
    keep(store, *map(unjudged, map(a_run, range(3))))
    eventually(lambda: ids(store) == ['run-2'])
    for number in (5, 8, 11):
        keep(other, *map(unjudged, map(a_run, range(number - 2, number + 1))))
        eventually(lambda newest=number: ids(store) == [f'run-{newest}'])
    assert store.close() and other.close()


def test_a_store_that_is_closed_has_no_thread(store: Store) -> None:
    keep(store, (a_run(), []))
    mine = [each for each in threading.enumerate() if each.name == f'assay-store {store.url}']
    assert len(mine) == 1
    assert store.close()
    assert not mine[0].is_alive()


def test_what_waits_takes_bytes_and_is_told(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = impatient(sqlite_url)
    with warned('Runs wait to be stored'):
        with locked(sqlite_url):
            submit(store, (a_run(1), []))
            assert not store.flush(0.1)
            submit(store, (a_run(2, inputs=str(list(range(3_000)))), []))
            eventually(lambda: store.stats().waiting_bytes > 1_500)
        assert store.flush(BOUND)
    assert store.stats().waiting_bytes == 0
    assert store.close()


# What must not be told


def test_an_error_of_the_database_does_not_quote_what_was_asked_for(store: Store, database_url: str) -> None:
    keep(store, (a_run(), []))
    database = Database(database_url)
    with database.writing() as connection:
        connection.exec_driver_sql('ALTER TABLE assay_runs RENAME TO elsewhere')
    database.close()
    wanted = RunFilter(target=' '.join(['the', 'secret']))
    with pytest.raises(StoreError) as raised:
        store.runs(wanted)
    assert 'the secret' not in ''.join(traceback.format_exception(raised.value))


@pytest.mark.parametrize('name', ['password', 'PASSWORD', 'sslpassword'])
def test_no_password_in_a_query_is_shown(name: str) -> None:
    url = f'postgresql://me:hunter1@host/db?{name}=hunter2'
    for shown in (Store(url).url, repr(Store(url)), repr(Database(url))):
        assert 'hunter' not in shown
    with pytest.raises(ConfigurationError, match='SQLite or PostgreSQL') as raised:
        Store(url.replace('postgresql', 'mysql'))
    assert 'hunter' not in ''.join(traceback.format_exception(raised.value))


@pytest.mark.parametrize('url', ['mysql://me:hunter2@host/db', 'me:hunter2@host'])
def test_no_password_of_the_variable_is_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match='ASSAY_STORE') as raised:
        store_of(OnlineEvalConfig(), url)
    assert 'hunter2' not in ''.join(traceback.format_exception(raised.value))


def test_one_url_is_one_store_whichever_thread_asks_first(sqlite_url: str) -> None:
    found: list[object] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait(BOUND)
        found.append(StoreRegistry.open(sqlite_url))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert len(found) == 8 and len(set(map(id, found))) == 1
    assert store_of(OnlineEvalConfig(store=sqlite_url), None) is store_of(OnlineEvalConfig(), sqlite_url) is found[0]
    assert store_of(OnlineEvalConfig(), '') is None
    StoreRegistry.stores.pop(sqlite_url)


def test_a_run_changed_after_it_was_handed_over_is_one_run(store: Store) -> None:
    run = a_run()
    keep(store, (run, [an_outcome(run)]))
    later: EvaluationOutcome = an_outcome(run, evaluator='Later')
    keep(store, (replace(run, output='another'), [later]))
    assert store.run('run-1').record.output == 'answer 1'
    assert [each.outcome.evaluator for each in store.outcomes('run-1')] == ['Polite', 'Later']


# What pydantic-evals' own online evaluation hands over


def a_context() -> EvaluatorContext[Any, Any, Any]:
    tree = SpanTree()
    tree.add_spans(list(some_spans(1).nodes))
    return EvaluatorContext(
        name='case',
        inputs='why?',
        metadata={'variant': 'a', 'tags': ['t']},
        expected_output='because',
        output='who knows',
        duration=2.0,
        _span_tree=tree,
        attributes={'a': 1},
        metrics={'m': 1},
    )


def a_payload(context: EvaluatorContext[Any, Any, Any], span: int, *versions: str) -> UpstreamPayload:
    source = EvaluatorSpec(name='Judge', arguments=None)
    return UpstreamPayload(
        results=[
            EvaluationResult(name='a', value=version == '1', reason=None, source=source, evaluator_version=version)
            for version in versions
        ],
        failures=[],
        context=context,
        span_reference=SpanReference(trace_id=format(7, '032x'), span_id=format(span, '016x')),
        target='answer',
    )


def test_a_run_of_upstream_is_there_once_with_all_that_is_known_of_it(store: Store) -> None:
    async def main() -> None:
        first, second = a_context(), a_context()
        for payload in (a_payload(first, 1, '1'), a_payload(first, 1, '1', '2'), a_payload(second, 2, '1')):
            await store.submit(payload)

    asyncio.run(main())
    assert store.flush(BOUND)
    assert (store.info().runs, store.info().outcomes) == (2, 3)
    stored = store.ask(lambda reader: reader.run_of_span(format(7, '032x'), format(1, '016x')))
    record = stored.record
    assert (record.inputs, record.output, record.expected_output) == ('why?', 'who knows', 'because')
    assert (record.metadata, record.attributes, record.recorded_metrics) == (
        {'variant': 'a', 'tags': ['t']},
        {'a': 1},
        {'m': 1},
    )
    assert (stored.summary.variant, stored.tags, stored.summary.duration) == ('a', ('t',), 2.0)
    outcomes = [each.outcome for each in stored.outcomes]
    assert [(each.evaluator_version, each.passed) for each in outcomes] == [('1', True), ('2', False)]
    assert len({each.fingerprint for each in outcomes}) == 2


# What is judged again


class Watched(Store):
    """Knows how many of its runs are being judged."""

    held = 0
    most = 0

    def outcomes(self, run_id: str) -> Any:
        self.held += 1
        self.most = max(self.most, self.held)
        return super().outcomes(run_id)

    def add_outcomes(self, *args: Any, **kwargs: Any) -> None:
        super().add_outcomes(*args, **kwargs)
        self.held -= 1


@dataclass
class Slow(Evaluator[Any, Any, Any]):
    """Lets others run meanwhile."""

    number: int = 1
    running: ClassVar[set[int]] = set()
    most: ClassVar[list[int]] = []

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        me = id(ctx) * 10 + self.number
        self.running.add(me)
        self.most.append(len(self.running))
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.running.discard(me)
        return True

    def get_default_evaluation_name(self) -> str:
        return f'Slow {self.number}'


def rejudged(*args: Any, **kwargs: Any) -> RejudgeReport:
    async def main() -> RejudgeReport:
        return await rejudge(*args, **kwargs)

    return asyncio.run(main())


def test_no_more_runs_are_held_than_are_judged_at_a_time(sqlite_url: str) -> None:
    store = Watched(sqlite_url)
    keep(store, *map(unjudged, map(a_run, range(30))))
    report = rejudged([Slow()], series='again', store=store, max_concurrency=3)
    assert report.statuses == {'Slow 1': {'scored': 30}}
    assert 1 <= store.most <= 3
    # All that is reported is written by then.
    assert store.stats().waiting == 0 and store.info().outcomes == 30
    assert store.close()


def test_no_more_evaluations_run_at_a_time_than_asked_for_with_several_evaluators(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    keep(store, *map(unjudged, map(a_run, range(6))))
    Slow.most.clear()
    rejudged([Slow(number) for number in range(5)], series='again', store=store, max_concurrency=2)
    assert 1 <= max(Slow.most) <= 2
    assert len(Slow.most) == store.info().outcomes == 30
    assert store.close()


def test_runs_that_are_kept_meanwhile_are_not_judged(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_assay.stored_runs.PAGE', 1)
    store, seen = Store(sqlite_url), list[str]()

    @dataclass
    class Keeping(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            seen.append(run_of(ctx).run_id)
            if len(seen) < 20:
                keep(store, (a_run(100 + len(seen), started_at=datetime.now(UTC)), []))
            return True

    keep(store, *map(unjudged, map(a_run, range(5))))
    report = rejudged([Keeping()], series='again', store=store, max_concurrency=1)
    assert (report.runs, seen) == (5, [f'run-{number}' for number in range(5)])
    assert store.info().runs == 10
    assert store.close()


def test_each_series_draws_its_own_runs(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    keep(store, *map(unjudged, map(a_run, range(60))))
    drawn: list[set[str]] = []
    for series in ('one', 'two'):
        rejudged([Slow()], series=series, store=store, sample=0.5)
        drawn.append({each.outcome.run_id for each in store.tail(0, limit=1000) if each.series == series})
    assert all(10 < len(each) < 50 for each in drawn)
    assert drawn[0] != drawn[1]
    assert store.close()


def test_a_run_that_was_only_judged_again_was_not_drawn_online(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    online, again = a_run(1), a_run(2)
    keep(store, (online, [an_outcome(online, probability=0.25)]), (again, []))
    for run in (online, again):
        store.add_outcomes(run.run_id, [an_outcome(run, probability=1.0)], series='earlier')
    assert store.flush(BOUND)
    report = rejudged([Slow()], series='again', store=store, sampled_as='Polite')
    assert report.statuses == {'Slow 1': {'scored': 1, 'sampled_out': 1}}
    (outcome,) = store.evaluations('Slow 1').items
    assert (outcome.outcome.run_id, outcome.outcome.probability) == ('run-1', 0.25)
    assert store.close()


def test_judging_again_waits_for_a_store_that_is_slow(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_assay.rejudging.MAX_WAITING', 2)
    monkeypatch.setattr('pydantic_ai_assay.rejudging.WRITE_SECONDS', 0.2)
    migrate(sqlite_url)
    store = impatient(sqlite_url, spool_runs=3)
    for number in range(9):
        keep(store, (a_run(number), []))
    with warned('Runs wait to be stored'):
        with locked(sqlite_url), pytest.raises(StoreUnavailableError, match='outcomes wait to be written'):
            rejudged([Slow()], series='again', store=store, max_concurrency=1)
        assert (store.stats().waiting, store.stats().given_up) == (3, 0)
        assert store.flush(BOUND)
    assert store.info().outcomes == 3
    assert store.close()
