"""`assay tail`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .outcome_view import outcome_document, verdict_of, why
from .shown import shown_moment
from .terminal import console, one_line, print_error, print_json

if TYPE_CHECKING:
    from ..store.rows import StoredOutcome
    from ..store.store import Store

__all__ = ('tail',)

_STYLES = {'pass': 'green', 'FAIL': 'red', 'failed': 'red', 'timed_out': 'red', 'dropped': 'yellow'}


@app.command()
def tail(
    store: StoreOption = DEFAULT_STORE,
    lines: Annotated[
        int,
        typer.Option('--lines', '-n', metavar='NUMBER', min=0, max=10_000, help='How many of the last to begin with.'),
    ] = 10,
    follow: Annotated[bool, typer.Option('--follow/--no-follow', help='Wait for those that arrive.')] = True,
    interval: Annotated[float, typer.Option(metavar='SECONDS', min=0.05, help='How often to look for new ones.')] = 1.0,
    agent: Annotated[str | None, typer.Option(metavar='NAME', help='Of this agent or function.')] = None,
    evaluator: Annotated[str | None, typer.Option(metavar='NAME', help='By this evaluator.')] = None,
    failed: Annotated[bool, typer.Option('--failed', help='Only fails, and evaluations without a score.')] = False,
    json: JsonOption = False,
) -> None:
    """Outcomes as they arrive, until Ctrl-C."""
    from ..reports.known import require_names

    with opened(store) as source:
        source.ask(require_names, agent=agent, evaluator=evaluator)
        for stored in _outcomes(source, lines, interval if follow else None):
            outcome = stored.outcome
            if agent not in (None, outcome.target) or evaluator not in (None, outcome.evaluator):
                continue
            if failed and outcome.status == 'scored' and outcome.passed is not False:
                continue
            if json:
                print_json(outcome_document(stored))
            else:
                _print(stored)
            sys.stdout.flush()


def _outcomes(store: Store, lines: int, interval: float | None) -> Iterator[StoredOutcome]:
    """The last outcomes in a store, then, every `interval` seconds, those that were added."""
    from ..store.errors import StoreUnavailableError

    # The last one is asked for in any case, to know where to go on.
    latest = store.tail(limit=max(1, lines))
    yield from latest[-lines:] if lines else ()
    number, is_away = latest[-1].number if latest else 0, False
    while interval is not None:
        # Neither database tells another process of what is written, so the command asks. Ctrl-C ends the wait.
        time.sleep(interval)
        try:
            new = store.tail(number)
        except StoreUnavailableError as error:
            # Told once, however long it lasts.
            is_away = is_away or _tell_of(error)
            continue
        is_away = False
        yield from new
        number = new[-1].number if new else number


def _tell_of(error: Exception) -> bool:
    print_error(f'{error} It is tried again until it is back.')
    return True


def _print(stored: StoredOutcome) -> None:
    from rich.text import Text

    outcome = stored.outcome
    verdict = verdict_of(outcome)
    line = Text(
        f'{shown_moment(outcome.finished_at, seconds=True)}  {one_line(outcome.run_id, 36)}  '
        f'{one_line(outcome.target, 30)}  {one_line(outcome.evaluator, 30)}  '
    )
    line.append(verdict, _STYLES.get(verdict, ''))
    reason = one_line(why(outcome), 200)
    line.append(f'  {reason}' if reason else '')
    # What comes out of it is read by `grep` as well: one outcome, one line.
    console().print(line, soft_wrap=True)
