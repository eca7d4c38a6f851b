"""Counts of evaluations by status, kept in process for `stats()` and the metrics."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ..runs.outcome import EvaluationStatus

__all__ = ('OTHERS', 'Counters', 'EvaluationStats')

MAX_COUNTS = 10_000
"""Counts that are kept apart. A target that is another for each run would make them, and the metrics, grow without end."""
OTHERS = '(others)'
"""What a target or an evaluator is called when there are too many."""


@dataclass(kw_only=True, frozen=True)
class EvaluationStats:
    """What has become of evaluations in this process, and what is pending. A snapshot."""

    by_status: Mapping[EvaluationStatus, int] = field(default_factory=dict[EvaluationStatus, int])
    """Evaluations ended, by status; statuses that did not occur are left out."""
    by_evaluator: Mapping[str, Mapping[EvaluationStatus, int]] = field(
        default_factory=dict[str, Mapping[EvaluationStatus, int]]
    )
    """The same for each evaluator, by its name."""
    pending: int = 0
    """Evaluations that have not ended: those that wait, run, or are about to."""
    waiting: int = 0
    """Evaluations that wait because `max_concurrency` of their evaluator are running."""
    waiting_bytes: int = 0
    """Bytes held by the runs that wait, by estimate."""
    sink_errors: int = 0
    """Sinks and callbacks that raised or timed out."""


class Counters:
    """Counts that only grow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[EvaluationStatus, str, str], int] = {}
        self.sink_errors = 0

    def count(self, status: EvaluationStatus, evaluator: str, target: str) -> None:
        """Count an evaluation that ended."""
        key = (status, evaluator, target)
        with self._lock:
            counts = self._counts
            count = counts.get(key)
            if count is None:
                key = self._key_for(*key)
                count = counts.get(key, 0)
            counts[key] = count + 1

    def _key_for(self, status: EvaluationStatus, evaluator: str, target: str) -> tuple[EvaluationStatus, str, str]:
        """What is counted for the first time under its own name, unless there are too many names already."""
        if len(self._counts) < MAX_COUNTS:
            return status, evaluator, target
        known = (status, evaluator, OTHERS)
        return known if known in self._counts or len(self._counts) < 2 * MAX_COUNTS else (status, OTHERS, OTHERS)

    def count_sink_error(self) -> None:
        """Count a sink or a callback that raised or timed out."""
        with self._lock:
            self.sink_errors += 1

    def snapshot(self) -> dict[tuple[EvaluationStatus, str, str], int]:
        """The counts so far, by status, evaluator and target."""
        with self._lock:
            return dict(self._counts)

    def stats(self, *, pending: int, waiting: int, waiting_bytes: int) -> EvaluationStats:
        """The counts so far, summed over targets."""
        by_status: dict[EvaluationStatus, int] = {}
        by_evaluator: dict[str, dict[EvaluationStatus, int]] = {}
        for (status, evaluator, _), count in self.snapshot().items():
            by_status[status] = by_status.get(status, 0) + count
            of_evaluator = by_evaluator.setdefault(evaluator, {})
            of_evaluator[status] = of_evaluator.get(status, 0) + count
        return EvaluationStats(
            by_status=MappingProxyType(by_status),
            by_evaluator=MappingProxyType({name: MappingProxyType(counts) for name, counts in by_evaluator.items()}),
            pending=pending,
            waiting=waiting,
            waiting_bytes=waiting_bytes,
            sink_errors=self.sink_errors,
        )
