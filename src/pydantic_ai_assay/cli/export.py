"""`assay export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .conditions import WhereOption, where_of
from .named import require_runs
from .shown import counted
from .terminal import console, print_json

if TYPE_CHECKING:
    from ..datasets.export import ExportReport, LeftOut

__all__ = ('export',)

_WORDS: dict[LeftOut, str] = {
    'without_content': 'what was said in them is not stored',
    'incomplete': 'their messages are not stored as a whole',
    'unfinished': 'they did not end with an answer',
    'unsupported': 'they have something that the format has no place for',
    'without_pair': 'there is no better answer to the same prompt',
    'gone': 'they were deleted in the meantime',
}
_NOUNS = {'cases': 'cases', 'chat': 'examples', 'preferences': 'pairs', 'csv': 'rows'}


@app.command()
def export(
    path: Annotated[
        Path, typer.Argument(help='The file: .yaml, .yml or .json for a dataset, .jsonl for fine-tuning, .csv.')
    ],
    where: WhereOption = None,
    format: Annotated[
        str | None, typer.Option(metavar='FORMAT', help='cases, chat, preferences or csv. Default: by the file.')
    ] = None,
    append: Annotated[
        bool, typer.Option('--append', help='Add to what is in the file, without what it has already.')
    ] = False,
    sample: Annotated[float, typer.Option(metavar='SHARE', help='The share of the runs that is taken.')] = 1.0,
    per_group: Annotated[
        int | None, typer.Option(metavar='NUMBER', help='How many runs of each group are taken.')
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar='NAME', help='target, path, variant, model, outcome, conversation or day.'),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar='NAME', help='The name of the dataset.')] = None,
    history: Annotated[
        bool, typer.Option('--history', help='Cases with the messages before the prompt beside it.')
    ] = False,
    expected: Annotated[
        str, typer.Option(metavar='WHAT', help="What cases expect: 'known', or 'output' for what runs answered.")
    ] = 'known',
    correction: Annotated[
        str, typer.Option(metavar='NAME', help='The feedback that says what the answer should have been.')
    ] = 'correction',
    distinct_inputs: Annotated[
        bool, typer.Option('--distinct-inputs', help='Take cases with the same inputs for the same.')
    ] = False,
    rejected: Annotated[
        list[str] | None,
        typer.Option(metavar='NAME=VALUE', help='For preferences: which runs are the worse, as with --where.'),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Write stored runs to a dataset, to examples for fine-tuning, or to a table."""
    from ..datasets.export import export_dataset

    # They come as texts, and are checked there.
    choices: dict[str, Any] = {'format': format, 'group_by': group_by, 'expected': expected}
    chosen, worse = where_of(where), where_of(rejected)
    with opened(store) as kept_in:
        kept_in.ask(require_runs, chosen, worse)
        report = export_dataset(
            path,
            store=kept_in,
            where=chosen,
            append=append,
            sample=sample,
            per_group=per_group,
            name=name,
            history=history,
            correction=correction,
            distinct_inputs=distinct_inputs,
            rejected=worse,
            **choices,
        )
    if json:
        print_json(asdict(report))
    else:
        _print(report)


def _print(report: ExportReport) -> None:
    shown = console()
    shown.print(f'{report.path}: {report.added} new {_NOUNS[report.format]}, {report.total} in all', soft_wrap=True)
    if report.duplicates:
        shown.print(f'{report.duplicates} {"was" if report.duplicates == 1 else "were"} there already')
    for why, count in report.left_out.items():
        shown.print(f'{counted(count, "run")} left out: {_WORDS[why]}')
