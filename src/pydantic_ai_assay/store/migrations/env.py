"""Run by Alembic to migrate over the connection it is given."""

from __future__ import annotations

from alembic import context

from pydantic_ai_assay.store.schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes['connection'], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
