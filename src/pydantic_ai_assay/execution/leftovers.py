"""What the end of the process leaves undone, told of in one warning."""

from __future__ import annotations

import threading
from collections import Counter

from ..errors import warn_safely

__all__ = ('Leftovers',)


class Leftovers:
    """Counts the evaluations that the end of the process leaves undone."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know of none, as also in a forked child."""
        self._lock = threading.Lock()
        self._left = Counter[str]()

    def note(self, evaluator: str) -> None:
        """Count one evaluation.

        Args:
            evaluator: The evaluator's name.
        """
        with self._lock:
            self._left[evaluator] += 1

    def report(self, labels: list[str], shutdown_timeout: float) -> None:
        """Name, in one warning, what was left undone.

        Args:
            labels: What else was under way.
            shutdown_timeout: Seconds that there were for it.
        """
        if self._left:
            listed = ', '.join(f'{name} ({count})' for name, count in sorted(self._left.items()))
            warn_safely(
                f'{self._left.total()} evaluation(s) did not finish within shutdown_timeout='
                f'{shutdown_timeout:g} seconds of the end of the process and were left: {listed}.'
            )
        else:
            listed = ', '.join(sorted(set(labels)))
            warn_safely(f'The process ended before all results were delivered; left: {listed}.')
