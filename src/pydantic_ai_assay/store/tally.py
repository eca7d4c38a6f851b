"""Sums over outcomes, per minute, hour and day, as they are added to those in the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from operator import add
from typing import Any, NamedTuple, TypeVar

from ..runs.outcome import EVALUATION_STATUSES, EvaluationStatus

__all__ = ('RESOLUTIONS', 'SUM_NAMES', 'Cell', 'Contribution', 'Observed', 'Tally')

_Number = TypeVar('_Number', int, float)
RESOLUTIONS = (60, 600, 3_600, 86_400)
"""Seconds of a minute, ten minutes, an hour and a day. Each is summed as outcomes arrive, so that any span of time is read from few rows:
the days in it, and at its ends the hours and parts of hours."""
OUTCOMES = 'outcome'
"""The kind of the cell that counts outcomes and what they took, once each."""
MOMENT_NAMES = ('count', 'sum_w', 'sum_w2', 'sum_wx', 'sum_w2x', 'sum_w2x2')
TAKEN_NAMES = (
    'duration',
    'waited',
    'judge_cost',
    'attempts',
    'judge_requests',
    'judge_input_tokens',
    'judge_output_tokens',
)
SUM_NAMES = (*EVALUATION_STATUSES, *MOMENT_NAMES, *TAKEN_NAMES)
_MOMENTS = len(EVALUATION_STATUSES)
_TAKEN = _MOMENTS + len(MOMENT_NAMES)
_INDEX = {status: index for index, status in enumerate(EVALUATION_STATUSES)}


class Cell(NamedTuple):
    """What sums are about."""

    series: str
    target: str
    path: str
    evaluator: str
    fingerprint: str
    kind: str
    """`'outcome'`, `'assertion'`, `'score'` or `'label'`."""
    name: str
    """The result's name; empty for outcomes."""
    label: str
    variant: str
    model: str

    @property
    def key(self) -> str:
        """A hash that stands for all of it."""
        return sha256(json.dumps(self).encode()).hexdigest()[:32]


class Observed(NamedTuple):
    """One result of an outcome."""

    kind: str
    name: str
    label: str
    value: float


@dataclass(slots=True)
class Contribution:
    """What one outcome adds."""

    status: EvaluationStatus
    weight: float
    finished_at: int
    """In microseconds."""
    taken: tuple[float, ...]
    """As in `TAKEN_NAMES`."""
    observed: list[Observed]


class Tally:
    """Sums over the outcomes of one batch."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Cell, int], list[float]] = {}
        self._ranges: dict[tuple[Cell, int], list[float]] = {}
        self._times: dict[tuple[Cell, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self._sums)

    @property
    def cells(self) -> set[Cell]:
        """What there are sums about."""
        return {cell for cell, _ in self._sums}

    def count(self, cell: Cell, minute: int, status: EvaluationStatus, number: int) -> None:
        """Count evaluations of which nothing but their status is known."""
        self._of(cell, minute, minute * 1_000_000)[_INDEX[status]] += number

    def add(self, cell: Cell, minute: int, contribution: Contribution) -> None:
        """Add an outcome. `cell` is the one of its kind `'outcome'`."""
        at = contribution.finished_at
        sums = self._of(cell, minute, at)
        sums[_INDEX[contribution.status]] += 1
        for index, value in enumerate(contribution.taken, _TAKEN):
            sums[index] += value
        weight = contribution.weight
        for kind, name, label, value in contribution.observed:
            self._observe(Cell(*cell[:5], kind, name, label, *cell[8:]), minute, at, weight, value)

    def _observe(self, cell: Cell, minute: int, at: int, weight: float, value: float) -> None:
        sums = self._of(cell, minute, at)
        squared = weight * weight
        sums[_MOMENTS] += 1
        sums[_MOMENTS + 1] += weight
        sums[_MOMENTS + 2] += squared
        sums[_MOMENTS + 3] += weight * value
        sums[_MOMENTS + 4] += squared * value
        sums[_MOMENTS + 5] += squared * value * value
        within = self._ranges.get((cell, minute))
        if within is None:
            self._ranges[cell, minute] = [value, value]
        elif value < within[0]:
            within[0] = value
        elif value > within[1]:
            within[1] = value

    def _of(self, cell: Cell, minute: int, at: int) -> list[float]:
        key = cell, minute
        sums = self._sums.get(key)
        if sums is None:
            self._times[key] = [at, at]
            sums = self._sums[key] = [0] * len(SUM_NAMES)
            return sums
        times = self._times[key]
        if at < times[0]:
            times[0] = at
        elif at > times[1]:
            times[1] = at
        return sums

    def rows(self, numbers: dict[Cell, int]) -> Iterator[dict[str, Any]]:
        """The rows to add to those in the database, by the numbers of their cells."""
        for resolution in RESOLUTIONS:
            merged: dict[tuple[Cell, int], list[float]] = {}
            ranges: dict[tuple[Cell, int], list[float]] = {}
            times: dict[tuple[Cell, int], list[int]] = {}
            for (cell, minute), sums in self._sums.items():
                key = cell, minute - minute % resolution
                merged[key] = list(map(add, merged[key], sums)) if key in merged else sums
                times[key] = _hull(times.get(key), self._times[cell, minute])
                if (within := self._ranges.get((cell, minute))) is not None:
                    ranges[key] = _hull(ranges.get(key), within)
            for (cell, start), sums in merged.items():
                minimum, maximum = ranges.get((cell, start), (None, None))
                row: dict[str, Any] = dict(zip(SUM_NAMES, sums, strict=True))
                row |= {'resolution': resolution, 'start': start, 'cell': numbers[cell]}
                first_at, last_at = times[cell, start]
                row |= {'minimum': minimum, 'maximum': maximum, 'first_at': first_at, 'last_at': last_at}
                yield row


def _hull(known: list[_Number] | None, other: list[_Number]) -> list[_Number]:
    return other if known is None else [min(known[0], other[0]), max(known[1], other[1])]
