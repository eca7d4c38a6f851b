"""Evaluations of which nothing is known but that they did not take place, counted until they are written."""

from __future__ import annotations

import time

from ..delivery.counters import OTHERS
from ..runs.outcome import EvaluationStatus
from .batch import Counted
from .text import short_text

__all__ = ('Counting',)

MAX_COUNTS = 10_000
"""Different counts that may wait. From there on those of a whole day are one, and from twice as many on those of all evaluators."""
MINUTE = 60
DAY = 86_400


class Counting:
    """Counts that wait. Used under its owner's lock."""

    def __init__(self) -> None:
        self._counts: dict[Counted, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def total(self) -> int:
        """How many evaluations were counted."""
        return sum(self._counts.values())

    def add(self, status: EvaluationStatus, evaluator: str, fingerprint: str, target: str, number: int) -> None:
        """Count evaluations in this minute."""
        now = int(time.time())
        key = now - now % MINUTE, status, evaluator, fingerprint, target
        if len(self._counts) >= MAX_COUNTS and key not in self._counts:
            key = self._coarser((now - now % DAY, status, evaluator, fingerprint, target))
        self._counts[key] = self._counts.get(key, 0) + number

    def _coarser(self, key: Counted) -> Counted:
        day, status, *_ = key
        is_known = key in self._counts or len(self._counts) < 2 * MAX_COUNTS
        return key if is_known else (day, status, OTHERS, '', OTHERS)

    def take(self) -> dict[Counted, int]:
        """Take the counts out, by names that fit into the database."""
        taken, self._counts = self._counts, {}
        shortened: dict[Counted, int] = {}
        for (minute, status, *names), number in taken.items():
            evaluator, fingerprint, target = map(short_text, names)
            key = (minute, status, evaluator, fingerprint, target)
            shortened[key] = shortened.get(key, 0) + number
        return shortened
