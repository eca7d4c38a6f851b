"""Sums over outcomes, per minute, hour and day, as they are added to those in the database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from operator import add
from typing import Any, NamedTuple

from ..runs.outcome import EVALUATION_STATUSES, EvaluationStatus

__all__ = ('RESOLUTIONS', 'SUM_NAMES', 'Cell', 'Contribution', 'Observed', 'Tally')

RESOLUTIONS = (60, 600, 3_600, 86_400)
"""Seconds of a minute, ten minutes, an hour and a day. Each is summed as outcomes arrive, so that any span of time is read from few rows:
the days in it, and at its ends the hours and parts of hours."""
OUTCOMES = 'outcome'
"""The kind of the cell that counts outcomes and what they took, once each."""
MOMENT_NAMES = ('count', 'sum_w', 'sum_w2', 'sum_wx', 'sum_w2x', 'sum_w2x2')
TAKEN_NAMES = (
    'duration',
    'waited',
    'attempts',
    'judge_cost',
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
    tag: str = ''
    """One of the tags of the runs; empty where they may have any or none."""

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
    """As in `TAKEN_NAMES`, without what is about judges where there was none."""
    observed: list[Observed]


@dataclass(slots=True)
class _Sums:
    """Sums of one cell over one stretch of time, as in `SUM_NAMES`."""

    first_at: int
    last_at: int
    values: list[float] = field(default_factory=lambda: [0] * len(SUM_NAMES))
    minimum: float = inf
    maximum: float = -inf

    def widen(self, first_at: int, last_at: int) -> None:
        """Note when evaluations ended."""
        if first_at < self.first_at:
            self.first_at = first_at
        if last_at > self.last_at:
            self.last_at = last_at

    def observe(self, weight: float, value: float) -> None:
        """Add a result."""
        values, squared = self.values, weight * weight
        values[_MOMENTS] += 1
        values[_MOMENTS + 1] += weight
        values[_MOMENTS + 2] += squared
        values[_MOMENTS + 3] += weight * value
        values[_MOMENTS + 4] += squared * value
        values[_MOMENTS + 5] += squared * value * value
        self._reach(value, value)

    def _reach(self, minimum: float, maximum: float) -> None:
        if minimum < self.minimum:
            self.minimum = minimum
        if maximum > self.maximum:
            self.maximum = maximum

    def merge(self, other: _Sums) -> None:
        """Add those of another stretch of time."""
        self.values = list(map(add, self.values, other.values))
        self.widen(other.first_at, other.last_at)
        self._reach(other.minimum, other.maximum)


@dataclass(slots=True)
class _Group:
    """Sums over the outcomes of one cell in one minute, and over their results."""

    outcomes: _Sums
    results: dict[tuple[str, ...], _Sums] = field(default_factory=dict[tuple[str, ...], _Sums])
    """By kind, name and label."""


class Tally:
    """Sums over the outcomes of one batch."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Cell, int], _Group] = {}

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def cells(self) -> set[Cell]:
        """What there are sums about."""
        return {cell for cell, _, _ in self._sums()}

    def count(self, cell: Cell, minute: int, status: EvaluationStatus, number: int) -> None:
        """Count evaluations of which nothing but their status is known."""
        self._group(cell, minute, minute * 1_000_000).outcomes.values[_INDEX[status]] += number

    def add(self, cell: Cell, minute: int, contribution: Contribution) -> None:
        """Add an outcome. `cell` is the one of its kind `'outcome'`."""
        at, weight = contribution.finished_at, contribution.weight
        group = self._group(cell, minute, at)
        values = group.outcomes.values
        values[_INDEX[contribution.status]] += 1
        for index, value in enumerate(contribution.taken, _TAKEN):
            values[index] += value
        for observed in contribution.observed:
            key = observed[:3]
            sums = group.results.get(key)
            if sums is None:
                sums = group.results[key] = _Sums(at, at)
            else:
                sums.widen(at, at)
            sums.observe(weight, observed.value)

    def _group(self, cell: Cell, minute: int, at: int) -> _Group:
        key = cell, minute
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(_Sums(at, at))
        else:
            group.outcomes.widen(at, at)
        return group

    def _sums(self) -> Iterator[tuple[Cell, int, _Sums]]:
        for (cell, minute), group in self._groups.items():
            yield cell, minute, group.outcomes
            for (kind, name, label), sums in group.results.items():
                yield cell._replace(kind=kind, name=name, label=label), minute, sums

    def rows(self, numbers: Mapping[Cell, int]) -> Iterator[dict[str, Any]]:
        """The rows to add to those in the database, by the numbers of their cells."""
        for resolution in RESOLUTIONS:
            merged: dict[tuple[Cell, int], _Sums] = {}
            for cell, minute, sums in self._sums():
                start = minute - minute % resolution
                whole = merged.setdefault((cell, start), _Sums(sums.first_at, sums.last_at))
                whole.merge(sums)
            for (cell, start), sums in merged.items():
                row: dict[str, Any] = dict(zip(SUM_NAMES, sums.values, strict=True))
                row |= {'resolution': resolution, 'start': start, 'cell': numbers[cell]}
                row |= {'first_at': sums.first_at, 'last_at': sums.last_at, 'minimum': None, 'maximum': None}
                if sums.minimum <= sums.maximum:
                    row |= {'minimum': sums.minimum, 'maximum': sums.maximum}
                yield row
