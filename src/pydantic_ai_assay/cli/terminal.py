"""What is printed: text that no agent can make a terminal obey, tables, and JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = (
    'console',
    'error_console',
    'one_line',
    'print_error',
    'print_json',
    'print_table',
    'print_unmet',
    'printable',
    'printable_lines',
)

DEFAULT_WIDTH = 120
"""Columns where the output goes to no terminal and `COLUMNS` does not say."""
MAX_NAME = 60


def printable(text: str) -> str:
    """The text with all that a terminal would obey, or that would change the order of what is read, as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return ''.join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def one_line(text: object, limit: int = MAX_NAME) -> str:
    """What somebody else wrote, on one line, shortened."""
    line = printable(' '.join(str(text)[: 4 * limit].split()))
    return line if len(line) <= limit else f'{line[: limit - 1]}…'


def printable_lines(text: str, limit: int | None = None) -> list[str]:
    """What somebody else wrote, by its lines; cut after `limit` characters, which is said."""
    rest = 0 if limit is None else max(0, len(text) - limit)
    lines = [printable(line.expandtabs(4)) for line in text[:limit].splitlines() or ['']]
    return [*lines, f'… [{rest:,} characters left out; --full shows them]'] if rest else lines


def console(file: TextIO | None = None) -> Console:
    """A console on which nothing but the style of a `Text` is a style."""
    from rich.console import Console

    file = sys.stdout if file is None else file
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def error_console() -> Console:
    """A console for what is not the result."""
    return console(sys.stderr)


def print_table(headings: Mapping[str, bool], rows: Iterable[Sequence[str]]) -> None:
    """Print a table.

    Args:
        headings: The columns, and whether they hold numbers. Columns without any cell are left out.
        rows: Their cells.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    names = list(headings)
    used = [index for index in range(len(names)) if any(row[index] for row in rows)]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index in used:
        is_number = headings[names[index]]
        table.add_column(Text(names[index]), justify='right' if is_number else 'left', overflow='fold')
    for row in rows:
        # As `Text`, since rich reads markup in strings.
        table.add_row(*(Text(printable(row[index])) for index in used))
    out = console()
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        out.file.write(f'{line.rstrip()}\n')


def print_json(document: Any) -> None:
    """Print JSON in which every character beyond ASCII is an escape."""
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, 'isoformat') else str(value)


def print_error(message: str) -> None:
    """Print why there is no result."""
    prefix = '\x1b[31merror:\x1b[0m' if sys.stderr.isatty() and 'NO_COLOR' not in os.environ else 'error:'
    print(f'{prefix} {printable(" ".join(message.split()))}', file=sys.stderr)


def print_unmet(reasons: Iterable[str]) -> None:
    """Print what does not hold."""
    for reason in reasons:
        print(f'unmet: {printable(" ".join(reason.split()))}', file=sys.stderr)
