"""The connections to a store's database, and what is set on each."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ..cached import cached_property
from ..errors import describe
from .errors import StoreError, StoreUnavailableError
from .url import asynchronous_url, file_of, shown_url, store_url

__all__ = ('Database', 'is_away')

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
_AWAY_STATES = ('08', '53', '57P', '58', '55P03', '40', '25006')
"""SQLSTATEs, or their beginnings, of a server that is gone, full, ending, locked or read-only."""
_ABANDONED: list[object] = []
"""Engines of the process this one was forked from, kept so that nothing closes their connections here."""


class Database:
    """One database, connected to when it is used."""

    def __init__(self, url: str) -> None:
        self.url: URL = store_url(url)

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
        engine = create_engine(self.url, hide_parameters=True, connect_args=self._connect_args())
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

    @contextmanager
    def _connected(self) -> Generator[Connection]:
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
        if file is not None and not file.exists():
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
    except DBAPIError as error:
        message = f'The store {database.shown} raised {describe(error.orig)}'
        if is_away(error):
            raise StoreUnavailableError(
                f'{message}. See that it can be reached, is not locked, and has room.'
            ) from error
        raise StoreError(message) from error


def is_away(error: DBAPIError) -> bool:
    """Whether an error is about the database, which may pass, and not about what was written."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, 'sqlstate', None)
    if isinstance(state, str):
        return state.startswith(_AWAY_STATES)
    # A connection that was never made, or ended, has no state. On SQLite these are: locked, full, not to be opened.
    return type(error).__name__ in ('OperationalError', 'InterfaceError') and 'no such' not in str(error.orig)


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
