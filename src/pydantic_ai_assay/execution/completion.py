"""When everything that one submission led to has ended."""

from __future__ import annotations

from collections.abc import Callable

from ..runs.outcome import EvaluationOutcome, EvaluationStatus
from .following import Follower
from .work import PROCESS_ENDED, Settlement

__all__ = ('Completion',)


class Completion(Follower):
    """Tells when the evaluation of one run by one evaluator has ended, its sinks and callbacks included.

    What the end of the process leaves undone never completes: another process may take it up.
    """

    def __init__(self, on_complete: Callable[[], object]) -> None:
        """Make one.

        Args:
            on_complete: Called, from any thread, when all has ended.
        """
        super().__init__()
        self.status: EvaluationStatus = 'skipped'
        """What became of the evaluation."""
        self._is_left = False
        self._on_complete = on_complete

    def end(self) -> None:
        """Count one less; when it was the last, all has ended."""
        super().end()
        if not self._pending and not self._is_left:
            self._on_complete()

    def until(self, on_settled: Callable[[Settlement], None]) -> Callable[[Settlement], None]:
        """Count one more thing, which ends when the callback that is returned has been called."""
        on_settled_then_end = super().until(on_settled)

        def note_and_end(settlement: Settlement) -> None:
            self._is_left = self._is_left or settlement.left is not None
            on_settled_then_end(settlement)

        return note_and_end

    def keep(self, outcome: EvaluationOutcome) -> None:
        """Take the outcome of the evaluation."""
        self.status = outcome.status
        self._is_left = self._is_left or outcome.detail == PROCESS_ENDED

    def pass_over(self, evaluator: str, status: EvaluationStatus) -> None:
        """Take note that the evaluator is not shown the run."""
        self.status = status
