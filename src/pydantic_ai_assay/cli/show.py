"""`assay show`."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .run_lookup import find_run
from .terminal import print_json

__all__ = ('show',)


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
        stored = source.ask(find_run, run)
    if json:
        from .run_document import run_document

        print_json(run_document(stored))
        return
    from .run_view import RunView

    RunView(stored, has_history=history, is_full=full).print()
