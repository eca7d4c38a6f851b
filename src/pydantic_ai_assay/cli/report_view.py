"""A report as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..analysis.identity import EvaluatorIdentity
from ..reports.dimension import ReportBy
from ..reports.report import GroupValue, Report, ReportChange, ReportResult, ReportSection
from ..runs.outcome import EVALUATION_STATUSES
from .shown import shown_cost, shown_count, shown_moment, shown_number, shown_seconds, shown_share
from .table import ColumnKind, print_table
from .terminal import console, one_line

__all__ = ('print_report',)


def print_report(report: Report) -> None:
    """Print the numbers, what became of the evaluations, and where evaluators changed."""
    out = console()
    window = f'{shown_moment(report.window.since)} to {shown_moment(report.window.until)} UTC'
    out.print(f'Runs that started from {window}', soft_wrap=True)
    out.print()
    if not report.sections:
        out.print('No evaluations in this window.')
        return
    _print_results(report)
    out.print()
    _print_evaluations(report)
    for change in report.changes:
        out.print()
        out.print(_told(change), soft_wrap=True)


def _print_results(report: Report) -> None:
    numbers = [(section, result) for section in report.sections for result in section.results]
    interval = f'{report.level * 100:.6g} % interval'
    headings: dict[str, ColumnKind] = {
        **_group_headings(report),
        'result': 'name',
        'fingerprint': 'name',
        'kind': 'whole',
        'estimate': 'number',
        interval: 'number',
        'scores': 'number',
        'effective': 'number',
        'coverage': 'number',
    }
    rows = [
        [
            *_group_cells(report.by, section),
            _result_name(section, result),
            _fingerprint(section, result),
            'share' if result.label is not None else result.estimate.kind if result.estimate.count else '',
            shown_number(result.estimate.value),
            _interval(result),
            shown_count(result.estimate.count),
            _effective(result),
            shown_share(result.estimate.coverage.share),
        ]
        for section, result in numbers
    ]
    print_table(headings, rows)
    for section, result in numbers:
        if result.left_out:
            what = one_line(result.name or section.evaluator)
            console().print(f'{what}: {result.left_out:,} scores are too great to be part of the mean.')


def _print_evaluations(report: Report) -> None:
    statuses = [each for each in EVALUATION_STATUSES if getattr(report.coverage, each) or each == 'scored']
    headings = _group_headings(report)
    headings.update((status.replace('_', ' '), 'number') for status in statuses)
    headings |= {'judge cost': 'number', 'took': 'number'}
    rows = [
        [
            *_group_cells(report.by, section),
            *(shown_count(getattr(section.coverage, status)) for status in statuses),
            shown_cost(section.effort.judge_cost),
            shown_seconds(section.effort.duration),
        ]
        for section in report.sections
    ]
    print_table(headings, rows)


def _group_headings(report: Report) -> dict[str, ColumnKind]:
    return dict.fromkeys(report.by, 'name')


def _group_cells(by: Sequence[ReportBy], section: ReportSection) -> Iterable[str]:
    for name in by:
        yield one_line(section.evaluator) if name == 'evaluator' else _group_value(name, section.group[name])


def _group_value(name: ReportBy, value: GroupValue) -> str:
    if isinstance(value, tuple):
        return one_line(' > '.join(value))
    if isinstance(value, str):
        return one_line(value)
    if value is None:
        return '-'
    return shown_moment(value)[:10] if name == 'day' else shown_moment(value)


def _result_name(section: ReportSection, result: ReportResult) -> str:
    name = '' if result.name in (None, section.evaluator) else one_line(result.name)
    return name if result.label is None else f'{name}: {one_line(result.label)}'.removeprefix(': ')


def _fingerprint(section: ReportSection, result: ReportResult) -> str:
    """Which of several evaluators of one name it was."""
    evaluators = {each for other in section.results for each in other.estimate.evaluators}
    return '' if len(evaluators) < 2 else ' + '.join(map(_short, result.estimate.evaluators))


def _short(identity: EvaluatorIdentity) -> str:
    return one_line(identity.fingerprint or 'unknown', 12)


def _effective(result: ReportResult) -> str:
    """How many scores of equal weight would say as much, unless all weights are equal."""
    estimate = result.estimate
    effective = shown_count(estimate.effective_count)
    return '' if effective == shown_count(estimate.count) else effective


def _interval(result: ReportResult) -> str:
    interval = result.estimate.interval
    return 'none' if interval is None else f'{shown_number(interval.lower)} to {shown_number(interval.upper)}'


def _told(changed: ReportChange) -> str:
    change = changed.change
    whose = '' if changed.agent is None else f' of {one_line(changed.agent)}'
    beside = ', while the one before was still at work' if change.overlapping else ''
    return (
        f'{one_line(changed.evaluator)}{whose} changed at {shown_moment(change.at)} UTC, from '
        f'{_named(change.before)} to {_named(change.after)}{beside}.'
    )


def _named(identity: EvaluatorIdentity) -> str:
    version = '' if identity.version is None else f'version {one_line(identity.version, 20)} '
    return f'{version}({_short(identity)})'
