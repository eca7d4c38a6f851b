"""Old runs go a few at a time; what was summed of them stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from databases import database_url, postgres_url, sqlite_url, store
from sqlalchemy import Engine, event
from store_samples import START, a_run, an_outcome, keep, warned

from pydantic_ai_assay import ConfigurationError
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.errors import StoreError, StoreUnavailableError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.retention import Retention, duration_of
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


def test_a_store_keeps_within_its_own_bounds(database_url: str) -> None:
    migrate(database_url)
    store = Store(database_url, retention='3h', max_runs=100)
    fill(store, 10)
    assert store.close()
    assert left(store) == 3
    fill(store, 10)
    assert store.prune() in (0, 7)
    assert left(store) in (3, 10)
    assert store.close()


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


def test_there_must_be_a_store_to_prune(sqlite_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match='There is no store at'):
        Store(sqlite_url).prune(max_runs=1)
    with pytest.raises(ConfigurationError, match='older_than must be a length of time'):
        Store(sqlite_url).prune(older_than='1y')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('90s', timedelta(seconds=90)), ('5m', timedelta(minutes=5)), (' 2 h', timedelta(hours=2)), ('1w', timedelta(7))],
)
def test_lengths_of_time_are_written_so(text: str, expected: timedelta) -> None:
    assert duration_of('retention', text) == expected
    assert START
