"""Old runs go a few at a time; what was summed of them stays."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event
from typing import Any

import pytest
from databases import database_url, postgres_url, sqlite_url, store
from opentelemetry.trace import SpanContext
from pydantic_evals.online import SpanReference
from sqlalchemy import Engine, event, func, select, update
from store_samples import BOUND, START, a_result, a_run, an_outcome, keep, warned

from pydantic_ai_assay import ConfigurationError
from pydantic_ai_assay.store import writer
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.errors import StoreError, StoreUnavailableError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.retention import STEP, WRITER_AGE, Retention, duration_of
from pydantic_ai_assay.store.schema import CONTENTS, OUTCOMES, RUNS, TAGS, WRITERS
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


def fill(store: Store, count: int) -> None:
    """Runs of the last days, one an hour; `run-0` is the newest."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    runs = [
        a_run(number, started_at=now - timedelta(hours=number), output='x' * 1000 * number, metadata={'tags': ['t']})
        for number in range(count)
    ]
    keep(store, *((run, [an_outcome(run)]) for run in runs))


def left(store: Store) -> int:
    return len(store.runs(limit=1000).items)


def rows_of(url: str) -> dict[str, int]:
    """What the rows themselves say of how much there is."""
    with closing(Database(url)) as database, database.reading() as connection:
        contents = func.length(CONTENTS.c.content) + func.coalesce(func.length(CONTENTS.c.spans), 0)
        sizes = [select(func.coalesce(func.sum(size), 0)) for size in (contents, func.length(OUTCOMES.c.detail))]
        return {
            'runs': connection.execute(select(func.count()).select_from(RUNS)).scalar_one(),
            'outcomes': connection.execute(select(func.count()).select_from(OUTCOMES)).scalar_one(),
            'tags': connection.execute(select(func.count()).select_from(TAGS)).scalar_one(),
            'contents': connection.execute(select(func.count()).select_from(CONTENTS)).scalar_one(),
            'bytes': sum(connection.execute(size).scalar_one() for size in sizes),
        }


def assert_counted(store: Store, url: str) -> None:
    """What a store has counted is what there is."""
    info, tags = store.info(), store.tags()
    counted = {'runs': info.runs, 'contents': info.runs, 'outcomes': info.outcomes, 'bytes': info.content_bytes}
    assert rows_of(url) == {**counted, 'tags': sum(tags.values())}
    assert store.count_runs() == info.runs


def test_runs_older_than_a_time_go_with_all_that_is_theirs(store: Store) -> None:
    fill(store, 10)
    store.add_feedback('helpful', True, run_id='run-9')
    store.add_feedback('helpful', True, run_id='run-1')
    before = store.aggregates(timedelta(days=2), by=())
    assert store.prune(older_than='5h') == 5
    assert left(store) == 5
    assert [each.run_id for each in store.feedback()] == ['run-1']
    assert len(store.tail(0)) == 5
    info = store.info()
    assert (info.runs, info.outcomes) == (5, 5)
    assert store.aggregates(timedelta(days=2), by=()) == before
    assert store.prune(older_than='5h') == 0
    assert store.prune(older_than=timedelta(seconds=1)) == 5
    assert (store.info().runs, store.info().outcomes, store.info().content_bytes) == (0, 0, 0)


def test_feedback_goes_with_its_run_however_the_run_was_named(store: Store) -> None:
    now = datetime.now(UTC)
    spans = [SpanReference(trace_id=f'{number:032x}', span_id=f'{number:016x}') for number in (1, 2, 3)]
    other = SpanReference(trace_id=spans[2].trace_id, span_id='f' * 16)
    for number in range(3):
        context = SpanContext(number + 1, number + 1, is_remote=False)
        keep(store, (a_run(number, started_at=now - timedelta(hours=number), span_context=context), []))
    for number, span in enumerate(spans):
        store.add_feedback('by id', number, run_id=f'run-{number}')
        store.add_feedback('by span', number, span=span)
        store.add_feedback('by both', number, run_id='run-0', span=span)
    store.add_feedback('of another span', True, span=other)
    store.add_feedback('of a run to come', True, run_id='run-8')
    assert store.prune(max_runs=1) == 2
    found = {(said.name, said.value) for said in store.feedback()}
    both = {('by both', number) for number in range(3)}
    assert found == {('by id', 0), ('by span', 0), *both, ('of another span', True), ('of a run to come', True)}
    assert len(store.run('run-0').feedback) == 5


def test_old_feedback_on_no_run_goes(store: Store) -> None:
    now = datetime.now(UTC)
    old, context = now - timedelta(days=40), SpanContext(7, 8, is_remote=False)
    keep(store, (a_run(1, started_at=now, span_context=context), []))
    span = SpanReference(trace_id=f'{7:032x}', span_id=f'{8:016x}')
    # A clock may be wrong, and what people said may be taken over from elsewhere.
    for number in range(STEP + 1):
        store.add_feedback('helpful', True, run_id='run-1', at=old + timedelta(seconds=number))
    store.add_feedback('tone', 'kind', span=span, at=old)
    for number in range(5):
        store.add_feedback('helpful', True, run_id='gone', at=old + timedelta(minutes=10, seconds=number))
        store.add_feedback('', False, span=SpanReference(trace_id=span.trace_id, span_id='c' * 16), at=old)
    store.add_feedback('helpful', True, run_id='to come', at=now)
    assert store.prune(max_runs=5) == 0
    assert len(store.feedback(limit=1000)) == STEP + 13
    assert store.prune(older_than='50d') == 0
    assert len(store.feedback(limit=1000)) == STEP + 13
    assert store.prune(older_than='30d') == 0
    left = [(said.name, said.run_id) for said in store.feedback(limit=1000)]
    assert sorted(set(left), key=str) == [('helpful', 'run-1'), ('helpful', 'to come'), ('tone', None)]
    assert len(left) == STEP + 3
    assert store.prune(older_than=timedelta(microseconds=1)) == 1
    assert store.feedback() == ()


def test_writers_long_gone_are_forgotten(store: Store, database_url: str) -> None:
    keep(store, (a_run(1), []))
    gone = time.time_ns() // 1000 - WRITER_AGE // timedelta(microseconds=1)
    with closing(Database(database_url)) as database:
        with database.writing() as connection:
            connection.execute(update(WRITERS).values(written_at=gone + 60_000_000))
        for moment, number in ((gone + 60_000_000, 1), (gone - 1, 0)):
            with database.writing() as connection:
                connection.execute(update(WRITERS).values(written_at=moment))
            assert store.prune(max_runs=5) == 0
            with database.reading() as connection:
                assert connection.execute(select(func.count()).select_from(WRITERS)).scalar() == number
    # One that was not gone after all goes on.
    keep(store, (a_run(2), []))
    assert store.count_runs() == 2


def test_the_oldest_runs_beyond_a_number_go(store: Store) -> None:
    fill(store, 10)
    assert store.prune(max_runs=3) == 7
    assert [run.run_id for run in store.runs().items] == ['run-0', 'run-1', 'run-2']
    assert store.prune(max_runs=3, older_than='90m') == 1


def test_the_oldest_runs_go_until_the_rest_is_small_enough(store: Store) -> None:
    fill(store, 10)
    size = store.info().content_bytes
    assert store.prune(max_bytes=size // 2) > 0
    assert store.info().content_bytes <= size // 2
    assert [run.run_id for run in store.runs(order='newest', limit=1).items] == ['run-0']


def test_no_more_runs_go_for_their_size_than_must(store: Store, database_url: str) -> None:
    now = datetime.now(UTC)
    runs = [a_run(number, started_at=now - timedelta(hours=number)) for number in range(10)]
    reasons = [Random(number).randbytes(1500).hex() for number in range(10)]
    keep(store, *((run, [an_outcome(run, a_result(reason=reason))]) for run, reason in zip(runs, reasons, strict=True)))
    assert store.prune(max_bytes=store.info().content_bytes - 1000) == 1
    assert_counted(store, database_url)


def test_a_run_that_is_larger_than_the_bound_goes(store: Store, database_url: str) -> None:
    fill(store, 3)
    assert store.prune(max_bytes=1) == 3
    assert_counted(store, database_url)


def test_runs_of_any_time_go_in_its_order(store: Store, database_url: str) -> None:
    times = [
        datetime.now(UTC) + timedelta(days=400),
        datetime.min.replace(tzinfo=UTC),
        datetime(1960, 1, 1, tzinfo=UTC),
    ]
    for number, moment in enumerate(times):
        keep(store, (a_run(number, started_at=moment), []))
    for age in ('999999w', timedelta.max):
        assert store.prune(older_than=age) == 0
    assert store.prune(older_than='999999d') == 0
    assert store.prune(max_runs=2) == 1
    assert store.prune(older_than='1s') == 1
    assert [run.run_id for run in store.runs().items] == ['run-0']
    assert store.prune(max_runs=1) == 0
    assert_counted(store, database_url)


def test_runs_go_in_small_steps(store: Store, database_url: str) -> None:
    fill(store, 10)
    database = Database(database_url)
    seen: list[int] = []
    assert Retention(max_runs=1).apply(database, step=2, on_progress=seen.append) == 9
    assert seen == [2, 4, 6, 8, 9]
    database.close()
    assert left(store) == 1


def test_progress_is_told_and_can_end_the_deleting(store: Store) -> None:
    fill(store, 10)
    seen: list[int] = []
    assert store.prune(max_runs=8, on_progress=seen.append) == 2
    assert seen == [2]

    def stop(deleted: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.prune(max_runs=5, on_progress=stop)
    assert left(store) == 5


PRUNE = """
import sys
from functools import partial
from pydantic_ai_assay.store.store import Store

store = Store(sys.argv[1])
print('deleted', store.prune(max_runs=int(sys.argv[2]), on_progress=partial(print, flush=True)))
store.close()
"""


def pruning(url: str, max_runs: int) -> subprocess.Popen[str]:
    """A process that prunes, and prints a line for each step."""
    command = [sys.executable, '-c', PRUNE, url, str(max_runs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_processes_prune_beside_one_that_writes_and_one_that_is_killed(store: Store, database_url: str) -> None:
    now = datetime.now(UTC) - timedelta(hours=1)
    runs = [a_run(number, started_at=now - timedelta(seconds=number)) for number in range(5 * STEP)]
    keep(store, *((run, [an_outcome(run)]) for run in runs))
    before = store.aggregates(timedelta(days=2))
    with pruning(database_url, 100) as killed:
        assert first_line(killed) == f'{STEP}\n'
        killed.kill()
    assert store.count_runs() < 5 * STEP
    assert_counted(store, database_url)
    left, written, deleted = store.count_runs(), 0, 0
    with pruning(database_url, 100) as one, pruning(database_url, 100) as other:
        said = first_line(one)
        while one.poll() is None or other.poll() is None:
            keep(store, (a_run(written + 10_000, started_at=datetime.now(UTC)), []))
            written += 1
        assert one.stdout is not None and other.stdout is not None
        # The other one may have left nothing to do, so that this is all that it says.
        for lines in (said + one.stdout.read(), other.stdout.read()):
            deleted += int(lines.rpartition('deleted ')[2])
    assert written > 0
    assert left + written - deleted == store.count_runs()
    assert (store.stats().last_error, store.stats().refused) == (None, 0)
    assert store.prune(max_runs=100) == left + written - deleted - 100
    assert store.aggregates(timedelta(days=2)) == before
    assert_counted(store, database_url)


def test_between_two_steps_a_file_is_free_for_as_long_as_it_was_locked(sqlite_url: str) -> None:
    with closing(Store(sqlite_url)) as store, closing(Database(sqlite_url)) as database:
        fill(store, 10)
        moments: list[float] = []

        def note(_: object) -> None:
            moments.append(time.monotonic())

        for name in ('begin', 'commit'):
            event.listen(database.engine, name, note)
        assert Retention(max_runs=1).apply(database, step=2) == 9
    begins, ends = moments[::2], moments[1::2]
    # After five steps, one finds no runs, and one no writers.
    assert len(begins) == len(ends) == 7
    for begin, end, following in zip(begins[:5], ends[:5], begins[1:6], strict=True):
        assert following - end >= min(0.1, end - begin)


def test_a_store_that_writes_nothing_for_long_keeps_within_its_bounds(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, 'MAINTENANCE_SECONDS', 0.05)
    gone = Event()

    def watch(_: object, __: object, statement: str, *rest: object) -> None:
        if statement.startswith('DELETE FROM assay_runs'):
            gone.set()

    event.listen(Engine, 'before_cursor_execute', watch)
    try:
        with closing(Store(sqlite_url, retention='1s')) as store:
            keep(store, (a_run(1, started_at=datetime.now(UTC)), []))
            assert gone.wait(BOUND)
    finally:
        event.remove(Engine, 'before_cursor_execute', watch)


def test_a_store_keeps_within_its_own_bounds(database_url: str) -> None:
    migrate(database_url)
    store = Store(database_url, retention='3h', max_runs=100)
    fill(store, 10)
    assert store.close()
    assert left(store) == 3
    fill(store, 10)
    store.prune()
    assert left(store) == 3
    assert store.close()


def test_old_runs_go_in_turns_with_what_there_is_to_write(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, 'TURN_SECONDS', 0.0)
    with closing(Store(sqlite_url)) as store:
        old = [a_run(number) for number in range(40 * STEP)]
        keep(store, *((run, [an_outcome(run)]) for run in old))
    with closing(Store(sqlite_url, max_runs=1)) as store:
        for number in range(2):
            keep(store, (a_run(-1 - number, started_at=datetime.now(UTC)), []))
        assert store.count_runs() > STEP
        # With nothing to write, it goes on until the bound holds.
        deleted = store.prune()
        assert (deleted < 40 * STEP, store.count_runs()) == (True, 1)


@pytest.mark.parametrize(
    ('fault', 'told'),
    [
        (RuntimeError('no such thing'), 'Runs wait to be stored: RuntimeError: no such thing'),
        (StoreError('the store is at its end'), 'Old runs were not deleted: the store is at its end'),
    ],
    ids=['a fault of ours', 'refused'],
)
def test_what_goes_wrong_with_deleting_does_not_end_the_writing(sqlite_url: str, fault: Exception, told: str) -> None:
    store = Store(sqlite_url, max_runs=1, retry_seconds=0.01)

    def refuse(_: object, __: object, statement: str, *rest: object) -> None:
        if statement.startswith('DELETE'):
            raise fault

    event.listen(Engine, 'before_cursor_execute', refuse)
    try:
        with warned(told):
            fill(store, 3)
            keep(store, (a_run(8), []))
            assert store.close()
    finally:
        event.remove(Engine, 'before_cursor_execute', refuse)
    assert left(store) == 4
    assert store.prune(max_runs=2) == 2
    assert store.close()


def test_numbers_are_not_given_twice(store: Store) -> None:
    fill(store, 3)
    last = store.tail(limit=1)[0].number
    assert store.prune(older_than=timedelta(seconds=1)) == 3
    keep(store, (a_run(9), [an_outcome(a_run(9))]))
    assert store.tail(last)[0].outcome.run_id == 'run-9'


@pytest.mark.parametrize('bound', [0, -1, True, 1.5, '3'])
def test_a_bound_must_be_a_number_of_runs(store: Store, bound: Any) -> None:
    for name in ('max_runs', 'max_bytes'):
        with pytest.raises(ConfigurationError, match=f'{name} must be an integer of at least 1'):
            store.prune(**{name: bound})


def test_there_must_be_a_store_to_prune(sqlite_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match='There is no store at'):
        Store(sqlite_url).prune(max_runs=1)


@pytest.mark.parametrize('age', ['1y', '0d', '-1d', '', '30', 'nonsense', timedelta(), timedelta(days=-1), 30])
def test_what_is_no_length_of_time_is_refused(sqlite_url: str, age: Any) -> None:
    with pytest.raises(ConfigurationError, match='older_than must be a length of time'):
        Store(sqlite_url).prune(older_than=age)
    with pytest.raises(ConfigurationError, match='retention must be a length of time'):
        Store(sqlite_url, retention=age)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('90s', timedelta(seconds=90)), ('5m', timedelta(minutes=5)), (' 2 h', timedelta(hours=2)), ('1w', timedelta(7))],
)
def test_lengths_of_time_are_written_so(text: str, expected: timedelta) -> None:
    assert duration_of('retention', text) == expected
    assert START
