"""What happens to a database while it is written to: it is deleted, replaced, spoilt, cut off, or has no rights for us."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from databases import administer, database_url, postgres_url, sqlite_url, store
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Connection
from store_samples import BOUND, START, a_run, an_outcome, eventually, ids, keep, parts, submit, warned

from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.errors import StoreError, StoreUnavailableError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


def file_of(url: str) -> Path:
    return Path(make_url(url).database or '')


def remove(file: Path) -> None:
    for each in file.parent.glob(f'{file.name}*'):
        each.unlink()


def scored(store: Store) -> dict[str, int]:
    """Outcomes by evaluator, from the sums."""
    where = AggregateFilter(kind='outcome')
    found = store.aggregates(START.replace(hour=0), START.replace(hour=23), by=('evaluator',), where=where)
    return {str(each.evaluator): each.statuses['scored'] for each in found}


def test_a_file_that_is_deleted_while_it_is_written_to_is_made_anew(sqlite_url: str) -> None:
    store = Store(sqlite_url, retry_seconds=0.01)
    keep(store, *parts(1))
    remove(file_of(sqlite_url))
    keep(store, *parts(2))
    assert ids(store) == ['run-2']
    remove(file_of(sqlite_url))
    with pytest.raises(StoreUnavailableError, match='the file does not exist'):
        store.runs()
    store.add_feedback('helpful', True, run_id='run-2')
    assert len(store.feedback()) == 1
    assert store.stats().refused == 0
    assert store.close()


def test_a_file_that_is_replaced_by_another_store_is_written_to_by_its_own_numbers(
    sqlite_url: str, tmp_path: Path
) -> None:
    other = Store(f'sqlite:///{tmp_path}/other.db')
    keep(other, *parts(1, evaluator='Other'))
    assert other.close()
    store = Store(sqlite_url, retry_seconds=0.01)
    keep(store, *parts(2))
    remove(file_of(sqlite_url))
    shutil.copy(tmp_path / 'other.db', file_of(sqlite_url))
    keep(store, *parts(3))
    assert ids(store) == ['run-1', 'run-3']
    assert [each.outcome.evaluator for each in store.tail(0)] == ['Other', 'Polite']
    assert scored(store) == {'Other': 1, 'Polite': 1}
    assert store.stats().refused == 0
    assert store.close()


def test_tables_that_are_emptied_and_made_anew_are_written_to(database_url: str) -> None:
    migrate(database_url)
    store = Store(database_url, retry_seconds=0.01)
    keep(store, *parts(1))
    database = Database(database_url)
    with database.writing() as connection:
        for table in ('aggregates', 'cells', 'outcomes', 'contents', 'tags', 'runs', 'evaluators', 'writers'):
            connection.exec_driver_sql(f'DELETE FROM assay_{table}')
    database.close()
    keep(store, *parts(2))
    assert (ids(store), scored(store), store.stats().refused) == (['run-2'], {'Polite': 1}, 0)
    assert store.close()


def test_runs_wait_for_a_table_that_is_missing(database_url: str) -> None:
    migrate(database_url)
    store = Store(database_url, retry_seconds=0.01)
    database = Database(database_url)
    with database.writing() as connection:
        connection.exec_driver_sql('ALTER TABLE assay_tags RENAME TO hidden')
    runs = [a_run(number, metadata={'tags': ['beta']}) for number in (1, 2)]
    with warned('Runs wait to be stored: .*assay_tags'):
        submit(store, *((run, [an_outcome(run)]) for run in runs))
        assert not store.flush(0.3)
        assert (store.stats().waiting, store.stats().refused) == (2, 0)
        with database.writing() as connection:
            connection.exec_driver_sql('ALTER TABLE hidden RENAME TO assay_tags')
        assert store.flush(BOUND), store.stats()
    assert ids(store) == ['run-1', 'run-2']
    database.close()
    assert store.close()


def test_runs_wait_for_a_file_that_is_no_database(sqlite_url: str) -> None:
    file = file_of(sqlite_url)
    file.write_bytes(b'no database' * 1_000)
    store = Store(sqlite_url, retry_seconds=0.01)
    with warned('Runs wait to be stored: .* file is not a database'):
        submit(store, *parts(1))
        assert not store.flush(0.3)
        with pytest.raises(StoreError, match='not a database'):
            store.add_feedback('helpful', True, run_id='run-1')
        remove(file)
        assert store.flush(BOUND)
    assert ids(store) == ['run-1']
    assert store.close()


def test_runs_wait_for_a_file_whose_pages_are_spoilt(sqlite_url: str) -> None:
    store = Store(sqlite_url, retry_seconds=0.01)
    keep(store, *parts(*range(200)))
    file = file_of(sqlite_url)
    assert store.close()
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'assay_runs'"
        page = connection.execute(query).fetchone()[0]
    shutil.copy(file, f'{file}.good')
    with file.open('r+b') as opened:
        opened.seek(4096 * (page - 1))
        opened.write(b'\xff' * 4096)
    with warned('Runs wait to be stored: .* malformed'):
        submit(store, *parts(200))
        assert not store.flush(0.3)
        assert (store.stats().waiting, store.stats().refused) == (1, 0)
        Path(f'{file}.good').rename(file)
        assert store.flush(BOUND), store.stats()
    assert len(ids(store)) == 50 and store.info().runs == 201
    assert store.close()


@contextmanager
def a_role(url: str) -> Generator[tuple[str, str]]:
    """A role that may connect and read, and its URL."""
    name = f'assay_{uuid4().hex[:12]}'
    administer(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'")
    engine = create_engine(make_url(url).set(drivername='postgresql+psycopg'), isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        connection.exec_driver_sql(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}')
        as_role = make_url(url).set(username=name, password='hunter2')
        yield name, as_role.render_as_string(hide_password=False)
        connection.exec_driver_sql(f'DROP OWNED BY {name}')
    engine.dispose()
    administer(f'DROP ROLE {name}')


def test_runs_wait_for_a_role_to_be_given_rights(postgres_url: str) -> None:
    with a_role(postgres_url) as (_, url), pytest.raises(StoreError, match=r'permission denied.*rights') as raised:
        migrate(url)
    assert 'hunter2' not in str(raised.value)
    migrate(postgres_url)
    with a_role(postgres_url) as (name, url):
        store = Store(url, retry_seconds=0.01)
        with warned(r'Runs wait to be stored: .*permission denied for table assay_marks.*rights'):
            submit(store, *parts(1, 2))
            store.count('sampled_out', 'Polite', 'f1', 'support')
            assert not store.flush(0.3)
            assert (store.stats().waiting, store.stats().refused) == (2, 0)
            database = Database(postgres_url)
            with database.writing() as connection:
                connection.exec_driver_sql(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}')
                connection.exec_driver_sql(f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}')
            database.close()
            assert store.flush(BOUND), store.stats()
        assert ids(store) == ['run-1', 'run-2']
        assert store.close()


@contextmanager
def held(url: str) -> Generator[Connection]:
    """Another process is in the middle of a transaction that writes."""
    database = Database(url)
    with database.writing() as connection:
        connection.exec_driver_sql('UPDATE assay_marks SET runs = runs')
        yield connection
    database.close()


@pytest.mark.parametrize('setting', ['statement_timeout', 'lock_timeout', 'transaction_timeout'])
def test_runs_wait_where_the_server_ends_what_takes_too_long(postgres_url: str, setting: str) -> None:
    migrate(postgres_url)
    administer(f"ALTER DATABASE {make_url(postgres_url).database} SET {setting} = '50ms'")
    store = Store(postgres_url, retry_seconds=0.01)
    with warned('Runs wait to be stored: .* timeout'), held_quickly(postgres_url):
        submit(store, *parts(1, 2))
        assert not store.flush(0.5)
        assert (store.stats().waiting, store.stats().refused) == (2, 0)
    administer(f'ALTER DATABASE {make_url(postgres_url).database} RESET {setting}')
    assert store.flush(BOUND), store.stats()
    assert ids(store) == ['run-1', 'run-2']
    assert store.close()


@contextmanager
def held_quickly(url: str) -> Generator[None]:
    """The same, whatever bounds the server sets."""
    with held(f'{url}{"&" if "?" in url else "?"}options=-c%20transaction_timeout%3D0'):
        yield


def test_connections_that_the_server_ended_while_they_were_idle_are_made_anew(postgres_url: str) -> None:
    migrate(postgres_url)
    store = Store(postgres_url, retry_seconds=0.01)
    keep(store, *parts(1))
    name = make_url(postgres_url).database
    for use in (
        store.runs,
        lambda: store.add_feedback('helpful', True, run_id='run-1'),
        lambda: keep(store, *parts(2)),
    ):
        administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        use()
    assert len(store.feedback()) == 1
    assert ids(store) == ['run-1', 'run-2']
    assert store.close()


class Cut:
    """Stands between a store and its server, and cuts the connection as soon as a commit has been passed on."""

    def __init__(self, url: str, folder: Path) -> None:
        parsed = make_url(url)
        name = f'.s.PGSQL.{parsed.port or 5432}'
        self._target = f'{parsed.query["host"]}/{name}'
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(f'{folder}/{name}')
        self._listening.listen()
        self.url = parsed.update_query_dict({'host': str(folder)}).render_as_string(hide_password=False)
        self.is_armed = False
        self.cuts = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with self._listening, suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve, args=(near,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        with near, far:
            far.connect(self._target)
            answers = threading.Thread(target=self._pass_on, args=(far, near))
            answers.start()
            self._pass_on(near, far, is_asking=True)
            answers.join(BOUND)

    def _pass_on(self, source: socket.socket, to: socket.socket, *, is_asking: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_asking and self.is_armed and b'COMMIT' in data:
                    self.is_armed = False
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                to.sendall(data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(BOUND)


def test_a_batch_whose_commit_nobody_confirmed_is_there_once_and_counted(postgres_url: str, tmp_path: Path) -> None:
    migrate(postgres_url)
    cut = Cut(postgres_url, tmp_path)
    store = Store(cut.url, retry_seconds=0.01)
    keep(store, *parts(1))
    with warned('Runs wait to be stored'):
        for number in (2, 3, 4):
            cut.is_armed = True
            store.count('sampled_out', 'Polite', 'f1', 'support')
            keep(store, *parts(number))
            eventually(lambda: not cut.is_armed)
    assert cut.cuts == 3
    direct = Store(postgres_url)
    assert (ids(direct), scored(direct)) == (['run-1', 'run-2', 'run-3', 'run-4'], {'Polite': 4})
    stats = store.stats()
    assert (stats.submitted, stats.written_runs, stats.written_outcomes) == (4, 4, 4)
    assert store.close() and direct.close()
    cut.close()


def test_whoever_finds_all_connections_in_use_is_told_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('pydantic_ai_assay.store.database.CONNECT_SECONDS', 0.05)
    migrate(database_url)
    database = Database(database_url)
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(database.reading())
        with pytest.raises(StoreUnavailableError, match='All connections of this process to the store .* are in use'):
            stack.enter_context(database.reading())
    database.close()
