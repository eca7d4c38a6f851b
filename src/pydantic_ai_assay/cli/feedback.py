"""`assay feedback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .run_lookup import find_run
from .terminal import console, one_line, print_json

if TYPE_CHECKING:
    from ..store.rows import FeedbackValue

__all__ = ('feedback',)

_THUMBS = {'up': True, 'true': True, 'yes': True, 'down': False, 'false': False, 'no': False}


@app.command()
def feedback(
    run: Annotated[str, typer.Argument(help='The id of the run, or the beginning of it.')],
    name: Annotated[str, typer.Argument(help="What it is about, such as 'helpful'.")],
    value: Annotated[
        str, typer.Argument(help='up or down (or true, yes, false, no), a number, or a text: a label, a correction.')
    ],
    comment: Annotated[str | None, typer.Option(metavar='TEXT', help='Why.')] = None,
    by: Annotated[str | None, typer.Option(metavar='NAME', help='Who says so.')] = None,
    text: Annotated[bool, typer.Option('--text', help='Take the value for a text, whatever it looks like.')] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Keep what somebody says of a run."""
    from ..feedback import record_feedback

    read = value if text else value_of(value)
    with opened(store) as kept_in:
        run_id = kept_in.ask(find_run, run).record.run_id
        record_feedback(run_id=run_id, name=name, value=read, comment=comment, by=by, store=kept_in)
    if json:
        print_json({'run_id': run_id, 'name': name, 'value': read, 'comment': comment, 'by': by})
    else:
        console().print(one_line(f'{run_id}: {name} = {read!r}', 200))


def value_of(text: str) -> FeedbackValue:
    """What somebody typed: a thumb, a number, or a text."""
    if text.lower() in _THUMBS:
        return _THUMBS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
