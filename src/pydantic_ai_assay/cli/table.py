"""Tables that fit the terminal: a row on a line, where that is possible, with numbers and ids whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from .terminal import console, printable, room

__all__ = ('ColumnKind', 'print_table')

ColumnKind = Literal['name', 'number', 'whole', 'excerpt']
"""Where there is no room, a name goes on below, an excerpt is cut or left out, and the others stay as they are."""

LEAST: Mapping[ColumnKind, int] = {'name': 8, 'excerpt': 12}
"""How narrow columns may become."""
GAPS = (3, 2)
"""What is between columns, and where that is too much."""


@dataclass(kw_only=True, frozen=True)
class Column:
    """A heading with the cells below it."""

    heading: str
    kind: ColumnKind
    cells: Sequence[str]
    width: int

    @property
    def least(self) -> int:
        """How narrow it may become."""
        return max(cell_len(self.heading), min(self.width, LEAST.get(self.kind, self.width)))


def print_table(headings: Mapping[str, ColumnKind], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: whole, or as narrow as the terminal is, or each row as a list.

    Args:
        headings: The columns, and what their cells are. Columns without any cell are left out.
        rows: Their cells. Without any, nothing is printed.
    """
    safe = [list(map(printable, row)) for row in rows]
    if not safe:
        return
    columns = [
        Column(heading=heading, kind=kind, cells=cells, width=max(map(cell_len, (heading, *cells))))
        for (heading, kind), *cells in zip(headings.items(), *safe, strict=True)
        if any(cells)
    ]
    available = room()
    if available is None:
        _print_columns(columns, GAPS[0])
        return
    excerpts = [column for column in columns if column.kind == 'excerpt']
    for left_out in range(len(excerpts) + 1):
        kept = [column for column in columns if column not in excerpts[len(excerpts) - left_out :]]
        for gap in GAPS:
            if (fitting := _narrowed(kept, available - gap * (len(kept) - 1))) is not None:
                _print_columns(fitting, gap)
                return
    _print_lists(columns, available)


def _narrowed(columns: Sequence[Column], available: int) -> list[Column] | None:
    """The columns no wider than is available together: excerpts first, and of those the widest; or nothing."""
    widths = [column.width for column in columns]
    for kind in ('excerpt', 'name'):
        while sum(widths) > available:
            wide = [i for i, each in enumerate(columns) if each.kind == kind and widths[i] > each.least]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    if sum(widths) > available:
        return None
    return [replace(column, width=width) for column, width in zip(columns, widths, strict=True)]


def _print_columns(columns: Sequence[Column], gap: int) -> None:
    out = console()
    between = ' ' * gap
    heading = between.join(_aligned(column, column.heading) for column in columns).rstrip()
    out.print(Text(heading, 'bold'), soft_wrap=True)
    out.file.write('─' * (sum(column.width for column in columns) + gap * (len(columns) - 1)) + '\n')
    for row in zip(*(column.cells for column in columns), strict=True):
        parts = [_parts(column, cell) for column, cell in zip(columns, row, strict=True)]
        for number in range(max(map(len, parts))):
            cells = (each[number] if number < len(each) else '' for each in parts)
            line = between.join(_aligned(column, cell) for column, cell in zip(columns, cells, strict=True))
            out.file.write(f'{line.rstrip()}\n')


def _parts(column: Column, cell: str) -> list[str]:
    """The lines of a cell."""
    if cell_len(cell) <= column.width:
        return [cell]
    if column.kind == 'excerpt':
        return [f'{set_cell_size(cell, column.width - 1).rstrip()}…']
    return _folded(cell, column.width)


def _folded(text: str, width: int) -> list[str]:
    return [line.plain.strip() for line in Text(text).wrap(console(), width)]


def _aligned(column: Column, text: str) -> str:
    padding = ' ' * (column.width - cell_len(text))
    return padding + text if column.kind == 'number' else text + padding


def _print_lists(columns: Sequence[Column], available: int) -> None:
    """Print each row as a list of what is in it."""
    out = console()
    wide = max(cell_len(column.heading) for column in columns) + GAPS[1]
    for number in range(len(columns[0].cells)):
        if number:
            out.print()
        for column in columns:
            if not column.cells[number]:
                continue
            head = f'{column.heading}{" " * (wide - cell_len(column.heading))}'
            for part in _listed(column, number, available - wide):
                out.print(Text(head, 'bold') + Text(part), soft_wrap=True)
                head = ' ' * wide


def _listed(column: Column, number: int, available: int) -> list[str]:
    """The lines of a cell in a list."""
    return (
        _folded(column.cells[number], max(LEAST['name'], available)) if column.kind in LEAST else [column.cells[number]]
    )
