"""What is printed: text that no agent can make a terminal obey, and JSON."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from .output import end_output

if TYPE_CHECKING:
    from rich.console import Console

__all__ = (
    'console',
    'error_console',
    'one_line',
    'print_error',
    'print_json',
    'print_unmet',
    'printable',
    'printable_lines',
    'room',
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

    class Printer(Console):
        def on_broken_pipe(self) -> None:
            # Rich would end with 1, which is said of what was asked, not of who did not listen.
            end_output(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    file = sys.stdout if file is None else file
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    return Printer(file=file, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def room() -> int | None:
    """Columns that a line may have; any number where it goes to no terminal, and `COLUMNS` does not say."""
    return shutil.get_terminal_size((0, 0)).columns or None


def error_console() -> Console:
    """A console for what is not the result."""
    return console(sys.stderr)


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
