"""`assay show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .terminal import print_json

if TYPE_CHECKING:
    from ..store.reader import Reader
    from ..store.rows import StoredRun

__all__ = ('show',)

RECENT = 1_000
"""Runs among which one with a similar id is looked for."""


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar='RUN', help="The run's id, or the beginning of it.")],
    store: StoreOption = DEFAULT_STORE,
    history: Annotated[
        bool, typer.Option('--history', help='The messages of earlier runs of the conversation as well.')
    ] = False,
    full: Annotated[bool, typer.Option('--full', help='Shorten nothing.')] = False,
    json: JsonOption = False,
) -> None:
    """One run: its conversation with tool calls, its outcomes with reasons, its feedback and its spans."""
    with opened(store) as source:
        stored = source.ask(_find, run)
    if json:
        from .run_document import run_document

        print_json(run_document(stored))
        return
    from .run_view import RunView

    RunView(stored, has_history=history, is_full=full).print()


def _find(reader: Reader, run_id: str) -> StoredRun:
    from ..reports.names import UnknownNameError
    from ..store.errors import UnknownRunError

    try:
        return reader.run(run_id)
    except UnknownRunError as error:
        recent = [each.run_id for each in reader.runs(limit=RECENT).items]
        # More than one may begin so.
        meant = [each for each in recent if each.startswith(run_id)] if run_id else []
        if meant:
            raise UnknownRunError(f'{error} The latest of them: {", ".join(meant[:5])}.') from error
        raise UnknownNameError('run', run_id, recent) from error
