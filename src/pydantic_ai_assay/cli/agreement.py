"""`assay agreement`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .conditions import WhereOption, where_of
from .named import require_runs
from .shown import counted
from .terminal import console, one_line, print_json

if TYPE_CHECKING:
    from ..agreement import JudgeAgreement
    from ..analysis import Estimate
    from .table import ColumnKind

__all__ = ('agreement',)

_HEADINGS: dict[str, ColumnKind] = {'': 'name', 'value': 'number', 'from': 'number', 'to': 'number', 'runs': 'number'}
MAX_DISAGREEMENTS = 10


@app.command()
def agreement(
    evaluator: Annotated[str, typer.Argument(help='The name of the evaluator.')],
    feedback: Annotated[str, typer.Option(metavar='NAME', help='The feedback that it is compared with.')],
    result: Annotated[
        str | None, typer.Option(metavar='NAME', help="Which of the evaluator's results is the verdict.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(metavar='NUMBER', help='The least score that is a pass.')] = None,
    positive: Annotated[str | None, typer.Option(metavar='LABEL', help='The label that is a pass.')] = None,
    by: Annotated[str | None, typer.Option(metavar='NAME', help='Only what this person said.')] = None,
    series: Annotated[
        str | None,
        typer.Option(metavar='NAME', help="Only this re-judging of stored runs; '' is what was judged online."),
    ] = None,
    swapped: Annotated[
        str | None, typer.Option(metavar='NAME', help='An evaluator that judged with the answers in the other order.')
    ] = None,
    where: WhereOption = None,
    level: Annotated[float, typer.Option(metavar='SHARE', help='The level of the intervals.')] = 0.95,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """How well an evaluator agrees with people, and the rate that people would have given."""
    from ..agreement import judge_agreement
    from ..reports.known import require_names

    chosen = where_of(where)
    with opened(store) as kept_in:
        kept_in.ask(require_runs, chosen)
        found = judge_agreement(
            evaluator,
            feedback,
            store=kept_in,
            where=chosen,
            series=series,
            result=result,
            by=by,
            threshold=threshold,
            positive=positive,
            swapped=swapped,
            level=level,
        )
        if not found:
            kept_in.ask(require_names, series=series or None)
    if json:
        print_json([_document(each) for each in found])
        return
    if not found:
        console().print(f'No evaluations by {one_line(evaluator)} of such runs.')
    for each in found:
        _print(each)


def _numbers(found: JudgeAgreement) -> dict[str, Estimate]:
    named: dict[str, Estimate | None] = {'same as people': found.agreement.accuracy, 'kappa': found.agreement.kappa}
    if found.corrected is not None and found.kind != 'number':
        named |= {
            'passes more often by': found.agreement.bias,
            'passes what people pass': found.agreement.sensitivity,
            'fails what people fail': found.agreement.specificity,
        }
    if found.corrected is not None:
        what = 'mean' if found.kind == 'number' else 'rate'
        named |= {
            f'{what} by the evaluator': found.corrected.raw,
            f'{what} by the labels': found.corrected.labels_only,
            f'{what}, corrected': found.corrected.corrected,
        }
    named |= {'votes that agree': found.self_consistency, 'same in both orders': found.position_consistency}
    return {name: each for name, each in named.items() if each is not None and each.value is not None}


def _print(found: JudgeAgreement) -> None:
    from .table import print_table

    series = f', series {one_line(found.series)}' if found.series else ''
    shown = console()
    labelled = f'{counted(len(found.runs), "run")} with {one_line(found.feedback)}'
    shown.print(f'{one_line(found.evaluator)}{series}: {labelled}, {found.judged:,} judged')
    if found.without_verdict:
        shown.print(f'Without a verdict, and in none of these numbers: {counted(found.without_verdict, "evaluation")}.')
    if not found.runs:
        shown.print('No run has both a verdict and this feedback.')
        if found.without_verdict:
            shown.print(
                'Beside thumbs, a number is a verdict with --threshold. A label is one only beside feedback that is a text.'
            )
        shown.print()
        return
    print_table(_HEADINGS, [_cells(name, each) for name, each in _numbers(found).items()])
    differing = found.disagreements
    if differing:
        shown.print(f'\nThey differ on {counted(len(differing), "run")}:')
        for run in differing[:MAX_DISAGREEMENTS]:
            shown.print(f'  {one_line(run.run_id)}: {one_line(repr(run.verdict))}, people {one_line(repr(run.label))}')
        if len(differing) > MAX_DISAGREEMENTS:
            shown.print(f'  and {len(differing) - MAX_DISAGREEMENTS:,} more; --json lists all of them')
    shown.print()


def _cells(name: str, estimate: Estimate) -> list[str]:
    assert estimate.value is not None
    bounds = ('', '') if estimate.interval is None else (estimate.interval.lower, estimate.interval.upper)
    shown = [each if isinstance(each, str) else f'{each:.3f}' for each in (estimate.value, *bounds)]
    return [name, *shown, f'{estimate.count:,}']


def _document(found: JudgeAgreement) -> dict[str, Any]:
    return {
        'evaluator': asdict(found.evaluator),
        'series': found.series,
        'feedback': found.feedback,
        'kind': found.kind,
        'judged': found.judged,
        'labelled': len(found.runs),
        'without_verdict': found.without_verdict,
        'agreement': {
            name: _number(getattr(found.agreement, name))
            for name in ('accuracy', 'kappa', 'bias', 'sensitivity', 'specificity')
        },
        'confusion': [
            {'label': label, 'verdict': verdict, 'runs': count}
            for (label, verdict), count in found.agreement.confusion.items()
        ],
        'corrected': None
        if found.corrected is None
        else {name: _number(getattr(found.corrected, name)) for name in ('corrected', 'raw', 'labels_only')},
        'self_consistency': _number(found.self_consistency),
        'position_consistency': None if found.position_consistency is None else _number(found.position_consistency),
        'disagreements': [asdict(run) for run in found.disagreements],
    }


def _number(estimate: Estimate) -> dict[str, Any]:
    interval = estimate.interval
    return {
        'value': estimate.value,
        'interval': None if interval is None else [interval.lower, interval.upper],
        'level': estimate.level,
        'count': estimate.count,
    }
