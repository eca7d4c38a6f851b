"""A report of judgements as tables for a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from .report import JudgeReport, JudgeResult

__all__ = ('render', 'table_of')

MAX_ROWS = 50
MAX_NAME = 40
MAX_OUTPUT = 60
MAX_REASON = 200
DEFAULT_WIDTH = 120


def render(report: JudgeReport, *, rows: int | None = None, width: int | None = None) -> str:
    """A report as text without colours; see `JudgeReport.render`."""
    if width is None:
        width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    # Whatever the environment says of colours, they have no place in a string.
    console = Console(file=StringIO(), width=width, color_system=None, force_terminal=False, _environ={})
    with console.capture() as captured:
        console.print(table_of(report, rows=rows))
    return '\n'.join(line.rstrip() for line in captured.get().splitlines())


def table_of(report: JudgeReport, *, rows: int | None = None) -> RenderableType:
    """A report as what rich prints: the results, and what they come to."""
    shown = report.results[: MAX_ROWS if rows is None else rows]
    parts: list[RenderableType] = [_results(shown)] if shown else []
    if len(shown) < report.n:
        parts.append(Text(f' … and {report.n - len(shown):,} more'))
    parts += [Text(), _summary(report)]
    return Group(*parts)


def _results(results: Sequence[JudgeResult]) -> Table:
    columns = {
        'case': [_cell(str(each.index) if each.name is None else each.name, MAX_NAME) for each in results],
        'output': [_cell(each.output, MAX_OUTPUT) for each in results],
        'result': [each.status if each.value is None else _cell(_shown(each.value), MAX_NAME) for each in results],
        'passed': ['' if each.passed is None else str(each.passed) for each in results],
        'agreement': ['' if each.agreement is None else _shown(each.agreement) for each in results],
        'reason': [_cell(each.error or each.reason or '', MAX_REASON) for each in results],
    }
    if columns['passed'] == columns['result']:
        # A binary judge's result is whether the case passes.
        del columns['passed']
    columns = {heading: cells for heading, cells in columns.items() if any(cells)}
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for heading in columns:
        table.add_column(heading, overflow='fold')
    for cells in zip(*columns.values(), strict=True):
        # As `Text`, since rich reads markup in strings.
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _summary(report: JudgeReport) -> Table:
    rows: dict[str, str | None] = {
        'cases': f'{report.n:,}',
        **{status: f'{count:,}' for status, count in report.counts.items()},
        'coverage': f'{report.coverage:.1%}',
        'pass rate': None if report.pass_rate is None else f'{report.pass_rate:.1%}',
        'labels': ', '.join(f'{_cell(label, MAX_NAME)}: {count:,}' for label, count in report.labels.items()) or None,
        **{name: _number(getattr(report, name)) for name in ('mean', 'std', 'min', 'p50', 'p95', 'max')},
        'tokens': f'{report.usage.total_tokens:,}' if report.usage.total_tokens else None,
        'cost': None if report.cost is None else f'${report.cost:.6f}',
        'duration': f'{report.duration:.1f} s',
    }
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column(Text(_cell(report.judge, MAX_NAME)))
    table.add_column(Text(_cell(report.version or '', MAX_NAME)), justify='right')
    for name, value in rows.items():
        if value is not None:
            table.add_row(Text(name), Text(value))
    return table


def _number(value: float | None) -> str | None:
    return None if value is None else _shown(value)


def _shown(value: float | str) -> str:
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def _cell(text: str, limit: int) -> str:
    """A text on one line, shortened, with nothing in it that a terminal would obey."""
    line = ' '.join(text[: 4 * limit].split())
    safe = ''.join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    return safe if len(safe) <= limit else f'{safe[: limit - 1]}…'
