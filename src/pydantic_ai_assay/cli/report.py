"""`assay report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import DEFAULT_STORE, EXIT_UNMET, JsonOption, StoreOption, app, opened
from .named import path_of, require_what_sums_name
from .terminal import print_json, print_unmet

if TYPE_CHECKING:
    from ..reports.report import Report
    from ..store.reader import Reader

__all__ = ('report',)


@app.command()
def report(
    store: StoreOption = DEFAULT_STORE,
    since: Annotated[
        str, typer.Option(metavar='TIME', help="Where it begins: '7d' ago, or a date or time (UTC).")
    ] = '7d',
    until: Annotated[str | None, typer.Option(metavar='TIME', help='Where it ends; now if left out.')] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar='NAMES',
            help='What to tell apart: agent, path, evaluator, variant, model, tag, and minute, hour or day.',
        ),
    ] = 'agent,evaluator',
    agent: Annotated[str | None, typer.Option(metavar='NAME', help='Only runs of this agent or function.')] = None,
    path: Annotated[
        str | None, typer.Option(metavar='NAMES', help="Only runs of this whole agent path: 'planner > researcher'.")
    ] = None,
    evaluator: Annotated[str | None, typer.Option(metavar='NAME', help='Only what this evaluator said.')] = None,
    fingerprint: Annotated[str | None, typer.Option(metavar='HASH', help='Only the evaluator of this one.')] = None,
    variant: Annotated[str | None, typer.Option(metavar='NAME', help='Only runs of this variant.')] = None,
    model: Annotated[str | None, typer.Option(metavar='NAME', help='Only runs of this model.')] = None,
    tag: Annotated[str | None, typer.Option(metavar='NAME', help='Only runs with this tag.')] = None,
    series: Annotated[
        str, typer.Option(metavar='NAME', help='A re-judging of stored runs, not what was judged online.')
    ] = '',
    level: Annotated[float, typer.Option(metavar='SHARE', help='The level of the intervals.')] = 0.95,
    pool: Annotated[
        bool, typer.Option('--pool', help='Take scores of different versions of an evaluator together.')
    ] = False,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar='NAME=LEAST..GREATEST',
            help='What numbers a result can have: its mean has an interval then where all scores are the same.',
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar='NAME=NUMBER', help='Exit with 1 unless the lower end of the interval reaches the number.'
        ),
    ] = None,
    min_coverage: Annotated[
        float | None, typer.Option(metavar='SHARE', help='Exit with 1 if less of what was due has a score.')
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rates and means with intervals, coverage and cost, over a window of time."""
    from ..reports.bound import bound_of, scale_of, unmet_bounds, unmet_coverage
    from ..reports.dimension import dimensions_of
    from ..reports.document import report_document
    from ..reports.making import read_report
    from ..reports.window import Window
    from ..store.aggregation import AggregateFilter
    from .report_view import print_report

    dimensions = dimensions_of(by)
    window = Window.of(since, until)
    bounds = [bound_of(each) for each in fail_under or ()]
    scales = dict(scale_of(each) for each in scale or ())
    where = AggregateFilter(
        target=agent,
        agent_path=path_of(path),
        evaluator=evaluator,
        fingerprint=fingerprint,
        variant=variant,
        model=model,
        tag=tag,
        series=series,
    )

    def ask(reader: Reader) -> tuple[Report, list[str]]:
        made = read_report(reader, window, by=dimensions, where=where, level=level, pool=pool, bounds=scales)
        if not made.sections:
            require_what_sums_name(reader, where)
        return made, [each.name for each in reader.evaluators()]

    with opened(store) as source:
        made, evaluators = source.ask(ask)
    unmet = unmet_bounds(made, bounds, evaluators)
    if min_coverage is not None:
        unmet += unmet_coverage(made, min_coverage)
    if json:
        print_json(report_document(made, unmet))
    else:
        print_report(made)
    print_unmet(each.reason for each in unmet)
    if unmet:
        raise typer.Exit(EXIT_UNMET)
