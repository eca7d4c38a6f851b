"""`assay migrate`."""

from __future__ import annotations

from .app import DEFAULT_STORE, JsonOption, StoreOption, app
from .terminal import console, error_console, print_json, printable

__all__ = ('migrate',)


@app.command()
def migrate(store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """Make the tables of this version, or bring them to it. Changes nothing where they are."""
    from ..store.database import Database
    from ..store.migration import migrate as bring_to_this_version

    shown = Database(store).shown
    with error_console().status('Migrating'):
        revision = bring_to_this_version(store)
    if json:
        print_json({'store': shown, 'revision': revision})
    else:
        console().print(printable(f'{shown} has the tables of revision {revision}.'), soft_wrap=True)
