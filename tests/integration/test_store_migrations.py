"""The migrations and the tables that the code knows are the same, on both databases."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import a_database, database_url, drop_database, postgres_url, sqlite_url
from sqlalchemy import inspect, text
from store_samples import BOUND, a_run, an_outcome, submit

import pydantic_ai_assay.store.migration as migration
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.errors import SchemaError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.schema import METADATA, REVISION, VERSION_TABLE
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url')


def described(database: Database) -> dict[str, object]:
    """All tables with their columns, keys and indexes, as the database tells them."""
    with database.reading() as connection:
        looked_at = inspect(connection)
        return {
            table: (
                [(each['name'], str(each['type']), each['nullable']) for each in looked_at.get_columns(table)],
                looked_at.get_pk_constraint(table),
                sorted(looked_at.get_foreign_keys(table), key=str),
                sorted(looked_at.get_unique_constraints(table), key=str),
                sorted(looked_at.get_indexes(table), key=str),
            )
            for table in looked_at.get_table_names()
            if table != VERSION_TABLE
        }


def test_migrations_make_the_tables_that_the_code_knows(database_url: str, tmp_path: object) -> None:
    assert migrate(database_url) == REVISION
    migrated = Database(database_url)
    with migrated.reading() as connection:
        options = {'compare_type': True, 'version_table': VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
    other_url = a_database() if database_url.startswith('postgres') else f'sqlite:///{tmp_path}/other.db'
    created = Database(other_url)
    with created.writing() as connection:
        METADATA.create_all(connection)
    assert described(migrated) == described(created)
    assert set(described(migrated)) == set(METADATA.tables)
    if migrated.is_sqlite:
        assert without_rowid(migrated) == without_rowid(created) == ['assay_aggregates']
    migrated.close()
    created.close()
    if database_url.startswith('postgres'):
        drop_database(other_url)


def without_rowid(database: Database) -> list[str]:
    with database.reading() as connection:
        query = "SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'"
        return list(connection.execute(text(query)).scalars())


def test_the_last_migration_is_the_revision_that_the_code_knows() -> None:
    folder = str(migration.__file__).replace('migration.py', 'migrations')
    assert ScriptDirectory(folder).get_heads() == [REVISION]


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    migrate(database_url)
    store = Store(database_url)
    store.add_feedback('x', 1, run_id='run-1')
    assert migrate(database_url) == REVISION
    assert len(store.feedback()) == 1
    assert store.close()


def test_migrating_from_several_places_at_once(database_url: str) -> None:
    done: list[str] = []
    threads = [threading.Thread(target=lambda: done.append(migrate(database_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [REVISION] * 4


@pytest.mark.parametrize(
    ('revision', 'message'),
    [('9999', 'has the tables of revision 9999, and .* Upgrade pydantic-ai-assay'), ('0000', 'of revision 0000, not')],
)
def test_tables_of_another_version_are_not_touched(database_url: str, revision: str, message: str) -> None:
    migrate(database_url)
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text(f'UPDATE {VERSION_TABLE} SET version_num = :revision'), {'revision': revision})
    database.close()
    store = Store(database_url)
    with pytest.raises(SchemaError, match=message):
        store.runs()
    if revision == '9999':
        with pytest.raises(SchemaError, match=message):
            migrate(database_url)
    assert store.info().revision == revision
    assert store.close()


def test_the_first_writer_to_an_sqlite_file_makes_its_tables(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    store.add_feedback('x', 1, run_id='run-1')
    assert store.info().is_current
    database = Database(sqlite_url)
    with database.reading() as connection:
        pragmas = [connection.exec_driver_sql(f'PRAGMA {name}').scalar() for name in ('journal_mode', 'foreign_keys')]
    assert pragmas == ['wal', 1]
    database.close()
    assert store.close()


def test_a_migration_can_be_taken_back(database_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    migrate(database_url)
    database = Database(database_url)
    config = Config()
    config.set_main_option('script_location', str(migration.__file__).replace('migration.py', 'migrations'))
    with database.writing() as connection:
        config.attributes['connection'] = connection
        command.downgrade(config, 'base')
    assert described(database) == {}
    database.close()


def test_many_stores_of_a_process_are_made_at_once(tmp_path: Path) -> None:
    """Alembic knows one current migration only."""
    stores = [Store(f'sqlite:///{tmp_path / f"{number}.db"}') for number in range(12)]
    for number, store in enumerate(stores):
        run = a_run(number)
        submit(store, (run, [an_outcome(run)]))
    assert all(store.flush(BOUND) for store in stores)
    assert [[each.run_id for each in store.runs().items] for store in stores] == [
        [f'run-{number}'] for number in range(12)
    ]
    assert all(store.close() for store in stores)
