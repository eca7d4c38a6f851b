"""How many of the evaluations that were due ended with a score, and what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..runs.outcome import EVALUATION_STATUSES, EvaluationStatus

__all__ = ('Coverage',)


@dataclass(kw_only=True, frozen=True)
class Coverage:
    """How many evaluations ended in each status. Coverages of two sets of evaluations add up."""

    scored: int = 0
    """The evaluator returned its results: what an estimate is made from."""
    failed: int = 0
    """The evaluator raised."""
    timed_out: int = 0
    """It did not finish within its timeout."""
    dropped: int = 0
    """It never finished, because the queue was full or the process ended."""
    over_budget: int = 0
    """A budget kept it from running."""
    skipped: int = 0
    """It does not apply to the run, has nowhere to report to, or its sampling raised."""
    sampled_out: int = 0
    """The draw left the run out. That is no loss: the weights of those that were drawn make up for it."""

    @classmethod
    def of(cls, statuses: Iterable[EvaluationStatus]) -> Coverage:
        """Count statuses.

        Raises:
            ConfigurationError: If one of them is not a status.
        """
        counts: Counter[str] = Counter(statuses)
        if unknown := sorted(set(counts) - set(EVALUATION_STATUSES)):
            raise ConfigurationError(f'a status must be one of {", ".join(EVALUATION_STATUSES)}, got {unknown[0]!r}.')
        return cls(**counts)

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(**{each: getattr(self, each) + getattr(other, each) for each in EVALUATION_STATUSES})

    @property
    def lost(self) -> int:
        """How many were due and ended without a score: failed, timed out, dropped or over budget."""
        return self.failed + self.timed_out + self.dropped + self.over_budget

    @property
    def share(self) -> float | None:
        """The share of those that were due that have a score; `None` if none was due.

        Evaluations that were sampled out or skipped were not due.
        """
        due = self.scored + self.lost
        return self.scored / due if due else None
