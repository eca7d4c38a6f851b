"""How far a batch of judgements is, shown in a terminal."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol

__all__ = ('Counting', 'progress_of')

MIN_CASES = 20
"""How many cases a batch must have for a progress bar that was not asked for."""


class Counting(Protocol):
    """What is told of each case that is done."""

    def count(self, *, failed: bool) -> None:
        """One more is done."""
        ...


class _Silent:
    def count(self, *, failed: bool) -> None:
        """Nobody is looking."""


class _Bar:
    """A progress bar on standard error, with how many failed."""

    def __init__(self, label: str, total: int | None) -> None:
        # It takes longer to import than all else here, and most batches show nothing.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._failed = 0
        self._progress = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.fields[failed]} failed', markup=False),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(file=sys.stderr),
        )
        self._task = self._progress.add_task(label, total=total, failed=0)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def count(self, *, failed: bool) -> None:
        self._failed += failed
        self._progress.update(self._task, advance=1, failed=self._failed)


def progress_of(label: str, total: int | None, wanted: bool | None) -> AbstractContextManager[Counting]:
    """A progress bar, or something that shows nothing.

    Args:
        label: What it says in front.
        total: How many cases there are, where that is known.
        wanted: Whether to show it; `None` shows it in a terminal, for a batch that is long or of unknown length.
    """
    if wanted is None:
        wanted = (total is None or total >= MIN_CASES) and sys.stderr.isatty()
    return _Bar(label, total) if wanted else nullcontext(_Silent())
