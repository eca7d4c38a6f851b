"""The connections to a store's database, and what is set on each."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ..cached import cached_property
from ..errors import AssayError, ConfigurationError, describe
from .errors import StoreError, StoreUnavailableError
from .url import asynchronous_url, file_of, shown_url, store_url

__all__ = ('Database', 'explained', 'is_away', 'is_refusal')

BUSY_SECONDS = 5.0
"""Seconds for which a connection to SQLite waits for another one's transaction, unless the URL has a `timeout`."""
CONNECT_SECONDS = 10
_PRAGMAS = (
    'journal_mode=WAL',
    'synchronous=NORMAL',
    'foreign_keys=ON',
    'cache_size=-16000',
    # A page that several batches change is copied from the log to the database once: in pages of 4 KB.
    'wal_autocheckpoint=4000',
)
"""What is set on each connection to SQLite: with this, a process that is killed loses no batch that was committed."""
WRITES = 'assay_writes'
_AWAY_STATES = ('08', '25', '40', '53', '55P03', '57', '58')
"""SQLSTATEs, or their beginnings, of a server that is gone, full, ending, locked, read-only or out of patience."""
_REFUSING_STATES = ('09', '21', '22', '23', '42804', '42846', '42883', '44', '54', 'P0')
"""SQLSTATEs, or their beginnings, that are about the values which were to be written. Any other is for an operator to mend."""
_REFUSING_CODES = (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE)
_NO_RIGHT = '42501'
_ABANDONED: list[object] = []
"""Engines of the process this one was forked from, kept so that nothing closes their connections here."""


class Database:
    """One database, connected to when it is used."""

    def __init__(self, url: str) -> None:
        self.url: URL = store_url(url)
        self._file: tuple[int, int] | None = None
        self._replaced = 0

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.shown!r})'

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite, and not PostgreSQL."""
        return self.url.get_backend_name() == 'sqlite'

    @cached_property
    def engine(self) -> Engine:
        """Makes synchronous connections."""
        # Parameters are what agents wrote: no error must quote them.
        engine = create_engine(
            self.url,
            hide_parameters=True,
            connect_args=self._connect_args(),
            # A server ends connections that are idle, or all of them when it is started anew.
            pool_pre_ping=not self.is_sqlite,
            pool_timeout=CONNECT_SECONDS,
        )
        if self.is_sqlite:
            _set_up_sqlite(engine)
        # For whoever drops a store without closing it.
        weakref.finalize(self, engine.dispose).atexit = False
        return engine

    @cached_property
    def async_engine(self) -> AsyncEngine:
        """Makes asynchronous connections, each for one event loop and one use."""
        engine = create_async_engine(
            asynchronous_url(self.url), hide_parameters=True, connect_args=self._connect_args(), poolclass=NullPool
        )
        if self.is_sqlite:
            _set_up_sqlite(engine.sync_engine)
        return engine

    def _connect_args(self) -> dict[str, Any]:
        if self.is_sqlite:
            return {} if 'timeout' in self.url.query else {'timeout': BUSY_SECONDS}
        return {} if 'connect_timeout' in self.url.query else {'connect_timeout': CONNECT_SECONDS}

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that writes.

        Raises:
            StoreUnavailableError: If the database is away, locked or full.
            StoreError: If it refuses what is written.
        """
        with explained(self), self._connected() as connection:
            connection = connection.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A transaction that reads.

        Raises:
            StoreUnavailableError: If there is no such database, or it is away.
            StoreError: If it refuses.
        """
        self.require_file()
        with explained(self), self._connected() as connection, connection.begin():
            yield connection

    def look_for_file(self) -> int:
        """Let go of connections to a file that is no longer the one at its path: what is written to it is lost.

        Returns:
            How often the file was deleted or replaced by now.
        """
        path = file_of(self.url)
        if path is not None:
            try:
                status = os.stat(path)
                file = status.st_dev, status.st_ino
            except OSError:
                file = None
            before, self._file = self._file, file
            if before not in (None, file):
                self._replaced += 1
                self.close()
        return self._replaced

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        self.look_for_file()
        engine = self.engine
        pool = engine.pool
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            if engine.pool is not pool:
                # Another thread has closed the connections meanwhile, and this one went back to those.
                pool.dispose()

    def require_file(self) -> None:
        """Look for the file of an SQLite database: to connect would make one.

        Raises:
            StoreUnavailableError: If it is not there.
        """
        file = file_of(self.url)
        if file is not None and not os.path.exists(file):
            raise StoreUnavailableError(f'There is no store at {self.shown}: the file does not exist.')

    @property
    def shown(self) -> str:
        """The URL as users write it, without its password."""
        return shown_url(self.url)

    def close(self) -> None:
        """Close the connections that are open."""
        if 'engine' in self.__dict__:
            self.engine.dispose()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: the open connections are the parent's."""
        for name in ('engine', 'async_engine'):
            if name in self.__dict__:
                _ABANDONED.append(self.__dict__.pop(name))


@contextmanager
def explained(database: Database) -> Generator[None]:
    """Raise what drivers raise as an error of ours, which quotes neither parameters nor passwords."""
    try:
        yield
    except ArgumentError as error:
        raise ConfigurationError(
            f'An option in the URL of the store {database.shown} is not what it must be: {describe(error)}'
        ) from None
    except PoolTimeoutError as error:
        raise StoreUnavailableError(
            f'All connections of this process to the store {database.shown} are in use.'
        ) from error
    except DBAPIError as error:
        message = f'The store {database.shown} raised {describe(error.orig).rstrip(".?")}'
        if is_away(error):
            raise StoreUnavailableError(
                f'{message}. See that it can be reached and written to, is not locked, and has room.'
            ) from error
        if _state_of(error) == _NO_RIGHT:
            message += (
                '. Give its user the rights to read and write the tables, and to make them if it is to migrate them.'
            )
        raise StoreError(message) from error


def is_away(error: DBAPIError) -> bool:
    """Whether an error is about the database, which may pass, and not about what was written."""
    if error.connection_invalidated:
        return True
    state = _state_of(error)
    if state is not None:
        return state.startswith(_AWAY_STATES)
    # A connection that was never made, or ended, has no state. On SQLite these are: locked, full, not to be opened.
    return type(error).__name__ in ('OperationalError', 'InterfaceError') and 'no such' not in str(error.orig)


def is_refusal(error: Exception) -> bool:
    """Whether an error is about what was to be written, so that to wait and to write it again would change nothing."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if not isinstance(cause, DBAPIError):
        # A value that could not even be handed to the driver, unless it is the tables that are not as they must be.
        return not isinstance(error, AssayError)
    if isinstance(error, StoreUnavailableError):
        return False
    state = _state_of(cause)
    if state is not None:
        return state.startswith(_REFUSING_STATES)
    code: int | None = getattr(cause.orig, 'sqlite_errorcode', None)
    # What a driver refuses by itself, such as an integer that is too great, has neither.
    return code is None or code & 0xFF in _REFUSING_CODES


def _state_of(error: DBAPIError) -> str | None:
    """PostgreSQL's code for an error, if it comes from there."""
    state = getattr(error.orig, 'sqlstate', None)
    return state if isinstance(state, str) else None


def _set_up_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, 'connect')
    def on_connect(connection: Any, _: object) -> None:
        # The driver would begin transactions by itself, too late for locks and not at all for tables.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f'PRAGMA {pragma}')
        cursor.close()

    @event.listens_for(engine, 'begin')
    def on_begin(connection: Connection) -> None:
        # To take the lock at once is to wait for it; to ask for it in the middle of a transaction is to fail.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql('BEGIN IMMEDIATE' if writes else 'BEGIN')
