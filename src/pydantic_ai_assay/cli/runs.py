"""`assay runs`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .named import path_of, require_what_runs_name
from .shown import shown_cost, shown_moment, shown_seconds
from .terminal import console, one_line, print_json

if TYPE_CHECKING:
    from ..store.reader import Reader
    from ..store.rows import Page, RunSummary
    from .table import ColumnKind

__all__ = ('runs',)

_HEADINGS: dict[str, ColumnKind] = {
    'run': 'whole',
    'started (UTC)': 'whole',
    'agent': 'name',
    'ended': 'name',
    'took': 'number',
    'cost': 'number',
    'asked': 'excerpt',
    'answered': 'excerpt',
}


@app.command()
def runs(
    store: StoreOption = DEFAULT_STORE,
    agent: Annotated[str | None, typer.Option(metavar='NAME', help='Of this agent or function.')] = None,
    path: Annotated[
        str | None, typer.Option(metavar='NAMES', help="Whose agent path begins so: 'planner > researcher'.")
    ] = None,
    evaluator: Annotated[str | None, typer.Option(metavar='NAME', help='Judged by this evaluator.')] = None,
    fingerprint: Annotated[str | None, typer.Option(metavar='HASH', help='The fingerprint of that evaluator.')] = None,
    passed: Annotated[
        bool | None, typer.Option('--passed/--failed', help='Which that evaluator, or any, passed or failed.')
    ] = None,
    status: Annotated[
        str | None, typer.Option(metavar='STATUS', help='Of which an evaluation ended so: scored, failed, timed_out...')
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar='OUTCOME', help='That ended so: success, error, cancelled or deferred.')
    ] = None,
    feedback: Annotated[str | None, typer.Option(metavar='NAME', help='With feedback of this name.')] = None,
    min_feedback: Annotated[
        float | None, typer.Option(metavar='NUMBER', help='With feedback of at least this.')
    ] = None,
    max_feedback: Annotated[float | None, typer.Option(metavar='NUMBER', help='With feedback of at most this.')] = None,
    min_seconds: Annotated[float | None, typer.Option(metavar='NUMBER', help='That took at least so long.')] = None,
    max_seconds: Annotated[float | None, typer.Option(metavar='NUMBER', help='That took at most so long.')] = None,
    tag: Annotated[str | None, typer.Option(metavar='NAME', help='With this tag.')] = None,
    variant: Annotated[str | None, typer.Option(metavar='NAME', help='Of this variant.')] = None,
    model: Annotated[str | None, typer.Option(metavar='NAME', help='Of this model.')] = None,
    conversation: Annotated[str | None, typer.Option(metavar='ID', help='Of this conversation.')] = None,
    since: Annotated[
        str | None, typer.Option(metavar='TIME', help="Started since: '7d' ago, or a date or time (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar='TIME', help='Started before that.')] = None,
    sort: Annotated[
        Literal['newest', 'oldest', 'slowest', 'costliest'], typer.Option(help='Which come first.')
    ] = 'newest',
    limit: Annotated[int, typer.Option(metavar='NUMBER', min=1, max=10_000, help='How many to list.')] = 20,
    cursor: Annotated[str | None, typer.Option(metavar='TEXT', help='Go on where a listing ended.')] = None,
    json: JsonOption = False,
) -> None:
    """Runs, by what they were judged to be, how they ended, and how long they took."""
    from datetime import UTC, datetime

    from ..reports.names import require_known
    from ..reports.window import moment_of
    from ..runs.outcome import EVALUATION_STATUSES
    from ..runs.record import RUN_OUTCOMES
    from ..store.run_filter import RunFilter

    now = datetime.now(UTC)
    require_known('status', status, EVALUATION_STATUSES)
    require_known('outcome', outcome, RUN_OUTCOMES)
    choices: dict[str, Any] = {'status': status, 'outcome': outcome}
    where = RunFilter(
        target=agent,
        path=path_of(path),
        evaluator=evaluator,
        fingerprint=fingerprint,
        passed=passed,
        feedback=feedback,
        min_feedback=min_feedback,
        max_feedback=max_feedback,
        min_duration=min_seconds,
        max_duration=max_seconds,
        tag=tag,
        variant=variant,
        model=model,
        conversation_id=conversation,
        since=None if since is None else moment_of('since', since, now=now),
        until=None if until is None else moment_of('until', until, now=now),
        **choices,
    )

    def ask(reader: Reader) -> Page[RunSummary]:
        page = reader.runs(where, order=sort, limit=limit, cursor=cursor)
        if not page.items:
            require_what_runs_name(reader, where)
        return page

    with opened(store) as source:
        page = source.ask(ask)
    if json:
        print_json({'runs': [asdict(each) for each in page.items], 'cursor': page.cursor})
    else:
        _print(page)


def _print(page: Page[RunSummary]) -> None:
    from .table import print_table

    if not page.items:
        console().print('No runs.')
        return
    print_table(_HEADINGS, map(_cells, page.items))
    if page.cursor is not None:
        console().print(f'There are more: --cursor {page.cursor}', soft_wrap=True)


def _cells(run: RunSummary) -> list[str]:
    return [
        one_line(run.run_id, 60),
        shown_moment(run.started_at),
        one_line(' > '.join(run.agent_path) or run.target, 40),
        run.outcome if run.error_type is None else one_line(f'{run.outcome}: {run.error_type}', 40),
        shown_seconds(run.duration),
        shown_cost(run.cost),
        one_line(run.prompt or '', 50),
        one_line(run.answer or '', 50),
    ]
