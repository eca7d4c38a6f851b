"""The database locked, away, without tables or refusing: runs wait within bounds and are written in order and once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from databases import a_database, administer, database_url, drop_database, postgres_url, sqlite_url, store
from pydantic_ai.messages import ModelRequest, ToolReturnPart
from pydantic_ai.usage import RunUsage
from sqlalchemy import Connection, Engine, event, make_url
from store_samples import BOUND, START, a_run, an_outcome, ids, keep, locked, parts, payload_of, submit, warned

from pydantic_ai_assay import ConfigurationError, MissingExtraError
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.batch import Batch, BatchWriter
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.entry import Entry, encode_entry
from pydantic_ai_assay.store.errors import SchemaError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.opening import open_store
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


def test_runs_wait_for_a_locked_database_and_are_written_in_order_and_once(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01)
    keep(store, *parts(1))
    with warned('Runs wait to be stored: .* database is locked'):
        with locked(sqlite_url):
            submit(store, *parts(2, 3))
            store.count('sampled_out', 'Polite', 'f1', 'support')
            assert not store.flush(0.3)
            submit(store, *parts(4))
            stats = store.stats()
            assert (stats.waiting, stats.written_runs) == (3, 1)
            assert 'database is locked' in str(stats.last_error)
            assert ids(store) == ['run-1']
        assert store.flush(BOUND)
    assert ids(store) == ['run-1', 'run-2', 'run-3', 'run-4']
    assert [each.outcome.run_id for each in store.tail(0)] == ['run-1', 'run-2', 'run-3', 'run-4']
    stats = store.stats()
    assert (stats.waiting, stats.written_runs, stats.written_outcomes, stats.last_error) == (0, 4, 4, None)
    assert store.close()


def test_runs_wait_for_a_full_disk_and_are_written_when_there_is_room(sqlite_url: str) -> None:
    migrate(sqlite_url)
    pages = {'most': 1}

    def bound(connection: Connection) -> None:
        # Fewer pages than there are already, which lets none be added.
        connection.exec_driver_sql(f'PRAGMA max_page_count = {pages["most"]}')

    event.listen(Engine, 'begin', bound)
    try:
        store = Store(sqlite_url, retry_seconds=0.01)
        runs = [a_run(number, inputs=f'{number}' * 10_000) for number in range(20)]
        with warned('Runs wait to be stored: .* database or disk is full. See that it .* has room'):
            submit(store, *((run, [an_outcome(run)]) for run in runs))
            assert not store.flush(0.2)
        stats = store.stats()
        assert (stats.waiting, stats.written_runs, stats.given_up, stats.refused) == (20, 0, 0, 0)
        pages['most'] = 1_000_000
        assert store.flush(BOUND), store.stats()
        assert [each.outcome.run_id for each in store.tail(0)] == [run.run_id for run in runs]
        assert store.close()
    finally:
        event.remove(Engine, 'begin', bound)


def test_counts_that_keep_coming_are_written_without_waking_the_writer_each_time(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = Store(sqlite_url)
    for number in (1, 4):
        # The first wakes the writer, which then looks for others by itself.
        for _ in range(number):
            store.count('sampled_out', 'Polite', 'f1', 'support')
        expected, deadline = (1 if number == 1 else 5), time.monotonic() + BOUND
        while counted(store) != expected:
            assert time.monotonic() < deadline
    assert store.close()


def counted(store: Store) -> int:
    """Evaluations that were sampled out, as far as they are written."""
    return sum(each.statuses.get('sampled_out', 0) for each in store.aggregates(timedelta(days=1), by=()))


def test_a_connection_in_use_while_the_others_are_closed_is_closed_after_it(database_url: str) -> None:
    migrate(database_url)
    database = Database(database_url)
    with database.reading() as connection:
        used: Any = connection.connection.dbapi_connection
        database.close()
    with pytest.raises(Exception, match='closed'):
        used.cursor()
    database.close()


def test_sums_are_right_where_more_is_told_apart_than_is_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_assay.store.batch._MAX_CELLS', 1)
    for number in range(3):
        keep(store, *parts(number))
    (sums,) = store.aggregates(START - timedelta(days=1), by=(), where=AggregateFilter(kind='outcome'))
    assert sums.statuses == {'scored': 3}


def test_one_run_of_many_that_the_database_refuses_is_found_and_the_rest_written_in_order(store: Store) -> None:
    runs = [a_run(number) for number in range(9)]
    refused = replace(runs[4], usage=RunUsage(requests=2**70))
    with warned('A run or its outcomes were not stored'):
        submit(store, *((run, [an_outcome(run)]) for run in (*runs[:4], refused, *runs[5:])))
        store.count('sampled_out', 'Polite', 'f1', 'support')
        assert store.flush(BOUND), store.stats()
    stats = store.stats()
    assert (stats.written_runs, stats.written_outcomes, stats.refused) == (8, 8, 1)
    assert [each.outcome.run_id for each in store.tail(0)] == [f'run-{n}' for n in range(9) if n != 4]
    assert counted(store) == 1


def test_a_run_with_integers_that_python_does_not_read_is_kept(store: Store) -> None:
    huge = 10**5_000
    message = ModelRequest(parts=[ToolReturnPart(tool_name='count', content={'n': huge}, tool_call_id='call-1')])
    keep(store, (a_run(messages=(message,), metadata={'variant': huge, 'n': huge}), []))
    assert [part.part_kind for part in store.run('run-1').record.messages[0].parts] == ['tool-return']


def test_runs_wait_for_a_server_that_is_away_and_are_written_when_it_is_back(postgres_url: str) -> None:
    migrate(postgres_url)
    store = Store(postgres_url, retry_seconds=0.01)
    keep(store, *parts(1))
    name = make_url(postgres_url).database
    with warned('Runs wait to be stored'):
        administer(f'ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false')
        administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        submit(store, *parts(2, 3))
        assert not store.flush(0.3)
        assert store.stats().waiting == 2
        administer(f'ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true')
        assert store.flush(BOUND)
    assert ids(store) == ['run-1', 'run-2', 'run-3']
    assert store.close()


def test_runs_wait_for_a_server_that_only_lets_them_read(postgres_url: str) -> None:
    migrate(postgres_url)
    store = Store(postgres_url, retry_seconds=0.01)
    name = make_url(postgres_url).database
    with warned('Runs wait to be stored: .* read-only transaction'):
        administer(f'ALTER DATABASE {name} SET default_transaction_read_only = on')
        submit(store, *parts(1))
        assert not store.flush(0.3)
        administer(f'ALTER DATABASE {name} SET default_transaction_read_only = off')
        assert store.flush(BOUND)
    assert ids(store) == ['run-1']
    assert store.close()


def test_runs_wait_for_a_server_to_be_migrated(postgres_url: str) -> None:
    store = Store(postgres_url, retry_seconds=0.01)
    with warned('has no tables yet. Run `assay migrate` on it'):
        submit(store, *parts(1, 2))
        assert not store.flush(0.3)
    with pytest.raises(SchemaError, match='assay migrate'):
        store.add_feedback('x', 1, run_id='run-1')
    migrate(postgres_url)
    assert store.flush(BOUND)
    assert ids(store) == ['run-1', 'run-2']
    # And for one that was put in its place.
    store.close()
    drop_database(postgres_url)
    administer(f'CREATE DATABASE {make_url(postgres_url).database}')
    submit(store, *parts(3))
    assert not store.flush(0.3)
    migrate(postgres_url)
    assert store.flush(BOUND)
    assert ids(store) == ['run-3']
    assert store.close()


def test_tables_that_vanish_are_no_reason_to_refuse_runs(postgres_url: str) -> None:
    migrate(postgres_url)
    store = Store(postgres_url, retry_seconds=0.01)
    keep(store, *parts(1))
    database = Database(postgres_url)
    with database.writing() as connection:
        connection.exec_driver_sql('DROP SCHEMA public CASCADE')
        connection.exec_driver_sql('CREATE SCHEMA public')
    database.close()
    with warned('assay migrate'):
        submit(store, *parts(2))
        assert not store.flush(0.3)
    assert store.stats().refused == 0
    migrate(postgres_url)
    assert store.flush(BOUND)
    assert ids(store) == ['run-2']
    assert store.close()


def test_a_run_that_the_database_refuses_does_not_keep_the_others_out(store: Store) -> None:
    huge = a_run(2, usage=RunUsage(input_tokens=2**70))
    with warned('A run or its outcomes were not stored'):
        submit(store, *parts(1), (huge, [an_outcome(huge)]), *parts(3))
        store.count('skipped', 'Polite', 'f1', 'support')
        assert store.flush(BOUND)
    assert ids(store) == ['run-1', 'run-3']
    stats = store.stats()
    assert (stats.refused, stats.waiting, stats.written_runs, stats.last_error) == (1, 0, 2, None)
    with warned():
        keep(store, (huge, []))
    assert store.stats().refused == 2


def test_what_has_no_stored_form_at_all_is_refused_with_the_reason(store: Store) -> None:
    run = a_run(1, duration='not a number')
    with warned('not stored: ValueError: could not convert string to float'):
        keep(store, (run, []), *parts(2))
    assert ids(store) == ['run-2']
    assert store.stats().refused == 1


def test_runs_beyond_what_may_wait_are_given_up_and_counted(sqlite_url: str) -> None:
    migrate(sqlite_url)
    few = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01, spool_runs=3)
    small = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01, spool_bytes=4_000)
    with warned('Runs were not stored because too many waited'):
        with locked(sqlite_url):
            for first, store in ((1, few), (11, small)):
                submit(store, *parts(first))
                assert not store.flush(0.1)
                submit(store, *parts(*range(first + 1, first + 9)))
                assert not store.flush(0.3)
        for store in (few, small):
            assert store.flush(BOUND)
    assert (few.stats().given_up, few.stats().written_runs) == (6, 3)
    assert 0 < small.stats().given_up < 8
    assert small.stats().submitted == small.stats().written_runs + small.stats().given_up == 9
    assert ids(few)[:3] == ['run-1', 'run-2', 'run-3']
    assert few.close() and small.close()


def test_later_outcomes_of_a_run_that_was_deleted_meanwhile_are_refused(sqlite_url: str) -> None:
    store = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01)
    keep(store, *parts(1))
    with warned('run-1: no such runs in the store'):
        with locked(sqlite_url) as connection:
            store.add_outcomes('run-1', [an_outcome(a_run())], series='again')
            connection.execute('PRAGMA foreign_keys=ON')
            connection.execute('DELETE FROM assay_runs')
        assert store.flush(BOUND)
    assert store.stats().refused == 1
    assert store.close()


def test_a_batch_whose_commit_was_not_confirmed_is_not_written_again(store: Store, database_url: str) -> None:
    database = Database(database_url)
    run = a_run()
    batch = Batch(
        number=1,
        entries=[encode_entry(run, [an_outcome(run)], START)],
        counts={(0, 'sampled_out', 'Polite', 'f1', 'support'): 5},
    )
    written: list[int] = []
    for _ in range(2):
        writer = BatchWriter('writer-1')
        with database.writing() as connection:
            written.append(writer.write(connection, batch, 0).runs)
    assert written == [1, 0]
    unknown = Entry(run_id='nobody', run=None)
    with database.writing() as connection:
        done = BatchWriter('writer-1').write(connection, Batch(number=2, entries=[unknown]), 0)
    assert (done.runs, done.outcomes, done.unknown) == (0, 0, ('nobody',))
    database.close()
    early = store.aggregates(datetime(1970, 1, 1, tzinfo=UTC), START, by=())
    assert sum(each.statuses.get('sampled_out', 0) for each in early) == 5


def test_several_writers_write_to_one_database(database_url: str) -> None:
    migrate(database_url)
    stores = [Store(database_url, retry_seconds=0.01) for _ in range(3)]

    def write(offset: int) -> None:
        for number in range(20):
            keep(stores[offset], *parts(number), *parts(100 * (offset + 1) + number))

    threads = [threading.Thread(target=write, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    store = stores[0]
    assert (store.info().runs, store.info().outcomes) == (80, 80)
    numbers = [each.number for each in store.tail(0)]
    assert numbers == sorted(set(numbers)) and len(numbers) == 80
    found = store.aggregates(START.replace(hour=0), START.replace(hour=23), by=())
    assert [each.statuses for each in found if each.kind == 'outcome'] == [{'scored': 80}]
    assert sum(each.stats().written_runs for each in stores) == 80
    assert all(each.close() for each in stores)


def test_a_store_can_be_used_again_after_it_was_closed(store: Store) -> None:
    assert store.close()
    keep(store, *parts(1))
    assert store.close()
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith('assay-store')]
    assert store.url not in ' '.join(names)
    keep(store, *parts(2))
    assert ids(store) == ['run-1', 'run-2']


def test_submitting_does_not_touch_the_database(tmp_path: Path) -> None:
    store = Store(f'sqlite:///{tmp_path}/none/assay.db', retry_seconds=0.01)
    assert list(tmp_path.iterdir()) == []
    run = a_run()

    async def main() -> None:
        await store.submit(payload_of(run, [an_outcome(run)]))

    with warned('Runs wait to be stored: .* unable to open database file'):
        asyncio.run(main())
        assert not store.flush(0.3)
        (tmp_path / 'none').mkdir()
        assert store.flush(BOUND)
    assert ids(store) == ['run-1']
    assert store.close()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'url': 'nonsense'}, 'store must be the URL of a database.* this one cannot be read'),
        (
            {'url': 'mysql://me:hunter2@host/db'},
            r"must be the URL of SQLite or PostgreSQL.* got 'mysql://me:\*\*\*@host",
        ),
        ({'url': 'sqlite://'}, 'store must name a file'),
        ({'url': 'sqlite:///:memory:'}, 'store must name a file'),
        ({'retention': 'soon'}, "retention must be a length of time such as '30d', .* got 'soon'"),
        ({'retention': 30}, 'retention must be a length of time'),
        ({'max_runs': 0}, 'max_runs must be an integer of at least 1, got 0'),
        ({'max_bytes': '1'}, "max_bytes must be an integer of at least 1, got '1'"),
        ({'spool_runs': 0}, 'spool_runs must be'),
        ({'retry_seconds': 0}, 'retry_seconds must be a positive number of seconds, got 0'),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        Store(**cast(Any, {'url': 'sqlite:///assay.db', **settings}))
    assert 'hunter2' not in str(raised.value)


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        ('sqlite:///assay.db', 'sqlite:///assay.db'),
        ('sqlite+aiosqlite:///assay.db', 'sqlite:///assay.db'),
        ('postgres://me:hunter2@host:5433/db', 'postgresql://me:***@host:5433/db'),
        ('postgresql+psycopg://host/db?connect_timeout=3', 'postgresql://host/db?connect_timeout=3'),
        ('postgresql://host/db?password=hunter2', 'postgresql://host/db?password=hidden'),
    ],
)
def test_urls_are_taken_as_users_write_them_and_shown_without_passwords(url: str, shown: str) -> None:
    store = Store(url)
    assert store.url == shown
    assert repr(store) == f'Store({shown!r})'
    assert repr(Database(url)) == f'Database({shown!r})'


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    assert isinstance(open_store(sqlite_url), Store)
    monkeypatch.setitem(__import__('sys').modules, 'pydantic_ai_assay.store.store', None)
    with pytest.raises(MissingExtraError, match=r'pydantic-ai-assay\[store\]'):
        open_store(sqlite_url)
    monkeypatch.setitem(__import__('sys').modules, 'alembic', None)
    with pytest.raises(MissingExtraError, match=r'pydantic-ai-assay\[store\]'):
        migrate(sqlite_url)


def test_databases_are_made_and_deleted() -> None:
    url = a_database()
    migrate(url)
    drop_database(url)
    with closing(Store(url)) as store:
        assert not store.info().is_reachable
