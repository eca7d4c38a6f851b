"""Bringing a database to the tables of this version."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Connection, inspect, text

from ..errors import MissingExtraError
from .database import Database
from .errors import SchemaError
from .schema import REVISION, VERSION_TABLE

__all__ = ('MigrationTurns', 'migrate', 'require_schema', 'revision_of')

_LOCK = 0x617373
"""The number of the advisory lock under which PostgreSQL is migrated."""


class MigrationTurns:
    """What keeps the threads of a process from migrating at once."""

    lock: ClassVar[threading.Lock] = threading.Lock()
    """A forked child makes another one."""


def migrate(url: str) -> str:
    """Bring a database to the tables of this version, making it where there is none. Changes nothing where it has them.

    Returns:
        The revision the database has now.

    Raises:
        ConfigurationError: If it is not the URL of a store.
        StoreUnavailableError: If the database cannot be reached.
        SchemaError: If the database is of a later version than this package.
    """
    database = Database(url)
    try:
        migrate_database(database)
    finally:
        database.close()
    return REVISION


def migrate_database(database: Database) -> None:
    """Bring a database to the tables of this version, all at once or not at all."""
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text('SELECT pg_advisory_xact_lock(:lock)'), {'lock': _LOCK})
        revision = revision_of(connection)
        if revision == REVISION:
            return
        _refuse_later(database, revision)
        _upgrade(connection)


def require_schema(database: Database, connection: Connection) -> None:
    """Check that a database has the tables of this version.

    Raises:
        SchemaError: If it has not.
    """
    revision = revision_of(connection)
    if revision == REVISION:
        return
    _refuse_later(database, revision)
    what = 'no tables yet' if revision is None else f'the tables of revision {revision}, not {REVISION}'
    raise SchemaError(f'The store {database.shown} has {what}. Run `assay migrate` on it.')


def _refuse_later(database: Database, revision: str | None) -> None:
    if revision is not None and revision > REVISION:
        raise SchemaError(
            f'The store {database.shown} has the tables of revision {revision}, and this version knows them up to '
            f'{REVISION}. Upgrade pydantic-ai-assay.'
        )


def revision_of(connection: Connection) -> str | None:
    """The revision a database has, or `None` if it has no tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f'SELECT version_num FROM {VERSION_TABLE}')).scalar()


def _upgrade(connection: Connection) -> None:
    try:
        from alembic import command
        from alembic.config import Config
    except ImportError as error:
        raise MissingExtraError('A store', 'store') from error
    config = Config()
    config.set_main_option('script_location', str(Path(__file__).parent / 'migrations').replace('%', '%%'))
    config.attributes['connection'] = connection
    # Alembic has one current migration per process, whatever thread asks.
    with MigrationTurns.lock:
        command.upgrade(config, REVISION)
