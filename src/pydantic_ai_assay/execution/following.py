"""Following what one or more submissions lead to, up to the last evaluation and delivery."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from ..runs.outcome import EvaluationOutcome, EvaluationStatus
from .work import Settlement

__all__ = ('Follower',)


class Follower(ABC):
    """Counts what has not ended, and is told how evaluations end."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know of nothing that has not ended; for a forked child, in which it is the parent's."""
        self._pending = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        """Count one more thing that has not ended."""
        with self._changed:
            self._pending += 1

    def end(self) -> None:
        """Count one less."""
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()

    def until(self, on_settled: Callable[[Settlement], None]) -> Callable[[Settlement], None]:
        """Count one more thing, which ends when the callback that is returned has been called."""

        def on_settled_then_end(settlement: Settlement) -> None:
            try:
                on_settled(settlement)
            finally:
                self.end()

        self.begin()
        return on_settled_then_end

    @abstractmethod
    def keep(self, outcome: EvaluationOutcome) -> None:
        """Take the outcome of an evaluation, as soon as it is there."""

    @abstractmethod
    def pass_over(self, evaluator: str, status: EvaluationStatus) -> None:
        """Take note of an evaluator that is not shown a run."""
