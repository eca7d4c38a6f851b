"""`assay evaluate`."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import ConfigurationError, describe
from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .conditions import WhereOption, where_of
from .named import require_runs
from .shown import counted
from .terminal import console, one_line, print_json

if TYPE_CHECKING:
    from ..rejudging import RejudgeReport
    from ..runs.outcome import EvaluationStatus
    from .table import ColumnKind

__all__ = ('evaluate',)


@app.command()
def evaluate(
    series: Annotated[str, typer.Option(metavar='NAME', help='A name for the new outcomes.')],
    evaluator: Annotated[
        list[str] | None,
        typer.Option(metavar='MODULE:OBJECT', help='An evaluator, or a list of them, in a module. Can be repeated.'),
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(metavar='FILE', help='YAML or JSON with a list of evaluators, as in agent specs.')
    ] = None,
    where: WhereOption = None,
    sample: Annotated[float, typer.Option(metavar='SHARE', help='The share of the runs that is judged.')] = 1.0,
    sampled_as: Annotated[
        str | None,
        typer.Option(
            metavar='NAME', help='Only runs drawn for this evaluator online: the numbers are about all runs then.'
        ),
    ] = None,
    retry: Annotated[
        str | None,
        typer.Option(
            metavar='NAME',
            help="Only what has no score in this series ('' for what was judged online); scores are taken over.",
        ),
    ] = None,
    max_concurrency: Annotated[int, typer.Option(metavar='NUMBER', help='How many evaluations run at a time.')] = 10,
    progress: Annotated[
        bool | None, typer.Option('--progress/--no-progress', help='Show how far it is. Default: in a terminal.')
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Judge stored runs again; what is said is kept beside what was said before.

    Run again with the same series, it goes on where it stopped.
    """
    from ..rejudging import rejudge

    evaluators = [*(each for name in evaluator or () for each in objects_of(name)), *evaluators_in(spec)]
    chosen = where_of(where)
    with opened(store) as kept_in:
        kept_in.ask(require_runs, chosen)
        judging = rejudge(
            evaluators,
            series=series,
            store=kept_in,
            where=chosen,
            sample=sample,
            sampled_as=sampled_as,
            retry=retry,
            max_concurrency=max_concurrency,
            progress=progress,
        )
        report = asyncio.run(judging)
    if json:
        print_json(asdict(report))
    else:
        _print(report)


def objects_of(name: str) -> list[Any]:
    """The evaluators that a module has under a name.

    Raises:
        ConfigurationError: If there is no such module or name in it.
    """
    module, colon, path = name.partition(':')
    if not colon or not module or not path:
        raise ConfigurationError(f"evaluator must be MODULE:OBJECT, such as 'my_app.judges:polite', got {name!r}.")
    if os.getcwd() not in sys.path:
        # As for `python -m`.
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        # A program without `if __name__ == '__main__':` may end itself.
        raise ConfigurationError(f'evaluator {name!r}: the module cannot be imported: {describe(error)}') from error
    for part in path.split('.'):
        if not hasattr(found, part):
            from ..reports.names import UnknownNameError

            names: list[str] = [each for each in dir(found) if not each.startswith('_')]
            raise UnknownNameError('evaluator', name, [f'{module}:{each}' for each in names])
        found = getattr(found, part)
    return list(cast('list[Any] | tuple[Any]', found)) if isinstance(found, list | tuple) else [found]


def evaluators_in(file: Path | None) -> list[Any]:
    """The evaluators that a file describes.

    Raises:
        ConfigurationError: If it cannot be read, or describes none.
    """
    if file is None:
        return []
    import yaml

    from ..specs import KNOWN_EVALUATORS

    try:
        # JSON is YAML.
        document: Any = yaml.safe_load(file.read_text(encoding='utf-8'))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f'spec {str(file)!r} cannot be read: {describe(error)}') from error
    if isinstance(document, dict):
        document = cast('dict[str, Any]', document).get('evaluators')
    return list(KNOWN_EVALUATORS.load(document))


def _print(report: RejudgeReport) -> None:
    from .table import print_table

    statuses: list[EvaluationStatus] = list(
        dict.fromkeys(status for counts in report.statuses.values() for status in counts)
    )
    rows = [
        [one_line(name), *(str(counts.get(status, 0)) for status in statuses)]
        for name, counts in report.statuses.items()
    ]
    shown = console()
    cost = '' if report.cost is None else f', {report.cost:.4f} USD'
    shown.print(f'{counted(report.runs, "run")} in {report.duration:.1f} s{cost}; series {one_line(report.series)}')
    if statuses:
        headings: dict[str, ColumnKind] = {'evaluator': 'name'}
        headings.update((status.replace('_', ' '), 'number') for status in statuses)
        print_table(headings, rows)
    for count, what, how in (
        (report.already, 'evaluation', 'in the series already'),
        (report.taken_over, 'score', 'taken over'),
        (report.without_content, 'run', 'skipped: what was said there is not stored'),
        (report.gone, 'run', 'deleted in the meantime'),
    ):
        if count:
            shown.print(f'{counted(count, what)} {"was" if count == 1 else "were"} {how}')
