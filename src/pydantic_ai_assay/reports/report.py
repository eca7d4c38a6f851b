"""The numbers of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ..analysis.coverage import Coverage
from ..analysis.estimate import Estimate
from ..analysis.series import EvaluatorChange
from .dimension import ReportBy
from .window import Window

__all__ = ('Effort', 'GroupValue', 'Report', 'ReportChange', 'ReportResult', 'ReportSection')

GroupValue = str | tuple[str, ...] | datetime | None
"""What a group has in common: a name, an agent path, the start of a stretch of time; `None` where it has none."""


@dataclass(kw_only=True, frozen=True)
class Effort:
    """What evaluations took, together."""

    judge_cost: float = 0.0
    """In USD, of the calls whose models have a known price."""
    judge_requests: int = 0
    """Requests to the models of judges."""
    judge_input_tokens: int = 0
    judge_output_tokens: int = 0
    attempts: int = 0
    """Calls of evaluators, retries included."""
    duration: float = 0.0
    """Seconds that they took."""
    waited: float = 0.0
    """Seconds that they waited."""

    def __add__(self, other: Effort) -> Effort:
        return Effort(**{name: getattr(self, name) + getattr(other, name) for name in Effort.__dataclass_fields__})


@dataclass(kw_only=True, frozen=True)
class ReportResult:
    """One number: a rate, a mean, or the share of a label."""

    name: str | None
    """The result's name; `None` where no evaluation has a result."""
    label: str | None = None
    """The label, where the number is the share of one."""
    estimate: Estimate
    """The number, with its interval and the coverage."""
    left_out: int = 0
    """Scores that are too great to be summed."""


@dataclass(kw_only=True, frozen=True)
class ReportSection:
    """What one evaluator said of one group of runs."""

    group: Mapping[ReportBy, GroupValue]
    """What the runs have in common."""
    evaluator: str
    """The evaluator's name."""
    coverage: Coverage
    """What became of its evaluations, whatever its version and fingerprint."""
    results: tuple[ReportResult, ...]
    """Its numbers: one for each result or label, and for each fingerprint unless they were pooled."""
    effort: Effort
    """What its evaluations took."""


@dataclass(kw_only=True, frozen=True)
class ReportChange:
    """An evaluator became another one within the window."""

    agent: str | None
    """Of whose runs, where agents are told apart."""
    evaluator: str
    """The evaluator's name."""
    change: EvaluatorChange
    """What it was and what it became, and when."""


@dataclass(kw_only=True, frozen=True)
class Report:
    """What evaluators said of the runs that started within a window."""

    window: Window
    """When the runs started."""
    by: tuple[ReportBy, ...]
    """What is told apart."""
    level: float
    """The level of the intervals."""
    is_pooled: bool
    """Whether the scores of different fingerprints were taken together."""
    sections: tuple[ReportSection, ...]
    """In the order of `by`."""
    changes: tuple[ReportChange, ...]
    """Where an evaluator changed within the window, pooled or not."""

    @property
    def effort(self) -> Effort:
        """What all evaluations took. By tag, those of a run with several tags count for each."""
        return sum((section.effort for section in self.sections), Effort())

    @property
    def coverage(self) -> Coverage:
        """What became of all evaluations. By tag, those of a run with several tags count for each."""
        return sum((section.coverage for section in self.sections), Coverage())
