"""The scores that evaluators gave under one name, kept apart by what exactly the evaluator was."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce

from ..errors import ConfigurationError
from .coverage import Coverage
from .estimate import LEVEL, Estimate, estimate_mean, estimate_rate
from .identity import EvaluatorIdentity
from .moments import Moments, label_moments
from .row import EvaluationRow

__all__ = ('EvaluatorChange', 'Series', 'SeriesEstimates', 'estimate_series', 'merge_series', 'series_of')


@dataclass(frozen=True, kw_only=True)
class Series:
    """What was added up of one result of one evaluator: what a store keeps, and what estimates are made from.

    Those of two spans of time add up to that of both.
    """

    evaluator: EvaluatorIdentity
    """Which evaluator exactly."""
    result: str | None
    """The name of the result; `None` for the evaluations that have none, which are lost to each of them."""
    is_rate: bool = True
    """Whether the scores are passes and fails, not numbers; true also where there are none."""
    moments: Moments = Moments()
    """Of the scores, unless they are labels."""
    labels: Mapping[str, Moments] = field(default_factory=dict[str, Moments])
    """If the result is a label: for each label the moments of the runs that have it, a 1 for each."""
    coverage: Coverage
    """What became of the evaluations."""
    first_at: datetime
    """When the first of them ended."""
    last_at: datetime
    """When the last of them ended."""

    def __add__(self, other: Series) -> Series:
        """Both taken together.

        Raises:
            ConfigurationError: If they are not of one evaluator and result.
        """
        for name, ours, theirs in (
            ('evaluator', self.evaluator, other.evaluator),
            ('result', self.result, other.result),
        ):
            if ours != theirs:
                raise ConfigurationError(f'series to add up must be of one {name}, got {ours} and {theirs}.')
        return _pooled(self, other)


@dataclass(frozen=True, kw_only=True)
class EvaluatorChange:
    """From here on, another evaluator gave the scores."""

    at: datetime
    """When the first evaluation by the new one ended."""
    before: EvaluatorIdentity
    """The one that was there before."""
    after: EvaluatorIdentity
    """The new one."""
    overlapping: bool
    """Whether the old one was still at work then."""


@dataclass(frozen=True, kw_only=True)
class SeriesEstimates:
    """The estimates for one result, and where its evaluator changed."""

    estimates: tuple[Estimate, ...]
    """One for each evaluator, in the order in which they came; one in all if they were pooled."""
    changes: tuple[EvaluatorChange, ...]
    """Where the evaluator changed, pooled or not."""


def series_of(rows: Iterable[EvaluationRow], *, by_conversation: bool = False) -> list[Series]:
    """Add up rows: one series for each evaluator and result, and one for its evaluations that have none.

    Args:
        rows: The rows.
        by_conversation: Whether the runs of a conversation count as one, since they are alike or were sampled together.

    Raises:
        ConfigurationError: If a result is now a label and now a number, or a label is to be counted by conversation.
    """
    by_evaluator: dict[EvaluatorIdentity, list[EvaluationRow]] = {}
    for row in sorted(rows, key=lambda row: row.at):
        by_evaluator.setdefault(row.evaluator, []).append(row)
    return [
        series
        for identity, of_one in by_evaluator.items()
        for series in _of_evaluator(identity, of_one, by_conversation)
    ]


def _of_evaluator(
    identity: EvaluatorIdentity, rows: Sequence[EvaluationRow], by_conversation: bool
) -> Iterable[Series]:
    by_result: dict[str | None, list[EvaluationRow]] = {}
    for row in rows:
        by_result.setdefault(row.result, []).append(row)
    for result, of_one in by_result.items():
        scored = [row for row in of_one if row.status == 'scored']
        numbers = [row for row in scored if not isinstance(row.value, str)]
        labels = _labels(scored)
        if labels and (numbers or by_conversation):
            reason = 'is a label and a number' if numbers else 'is a label, which cannot be counted by conversation'
            raise ConfigurationError(f'the result {result!r} of {identity} {reason}.')
        yield Series(
            evaluator=identity,
            result=result,
            is_rate=all(isinstance(row.value, bool) for row in numbers),
            moments=_moments(numbers, by_conversation),
            labels=labels,
            coverage=Coverage.of(row.status for row in of_one),
            first_at=min(row.at for row in of_one),
            last_at=max(row.at for row in of_one),
        )


def _moments(rows: Sequence[EvaluationRow], by_conversation: bool) -> Moments:
    # A run that belongs to no conversation is one of its own.
    clusters = [index if row.conversation is None else row.conversation for index, row in enumerate(rows)]
    return Moments.of(
        [float(row.value or 0) for row in rows],
        [row.probability for row in rows],
        clusters=clusters if by_conversation else None,
    )


def _labels(rows: Iterable[EvaluationRow]) -> dict[str, Moments]:
    probabilities: dict[str, list[float]] = {}
    for row in rows:
        if isinstance(row.value, str):
            probabilities.setdefault(row.value, []).append(row.probability)
    return {label: Moments.of([1.0] * len(each), each) for label, each in probabilities.items()}


def merge_series(series: Iterable[Series]) -> list[Series]:
    """Add up those that are of one evaluator and result, in the order of their beginning."""
    merged: dict[Hashable, Series] = {}
    for each in series:
        key = (each.evaluator, each.result)
        merged[key] = merged[key] + each if key in merged else each
    return sorted(merged.values(), key=lambda each: (each.first_at, str(each.evaluator), each.result or ''))


def _pooled(first: Series, second: Series) -> Series:
    return replace(
        first,
        # Evaluations without a result may have come first.
        result=second.result if first.result is None else first.result,
        is_rate=first.is_rate and second.is_rate,
        moments=first.moments + second.moments,
        labels={
            label: first.labels.get(label, Moments()) + second.labels.get(label, Moments())
            for label in {**first.labels, **second.labels}
        },
        coverage=first.coverage + second.coverage,
        first_at=min(first.first_at, second.first_at),
        last_at=max(first.last_at, second.last_at),
    )


def estimate_series(
    series: Iterable[Series],
    *,
    result: str | None = None,
    label: str | None = None,
    pool: bool = False,
    bounds: tuple[float, float] | None = None,
    level: float = LEVEL,
) -> SeriesEstimates:
    """Estimate a result's rate or mean, for each evaluator that gave it, and say where the evaluator changed.

    Args:
        series: Of evaluators of one name.
        result: The result to estimate; may be left out if there is but one.
        label: If the result is a label: the one whose share to estimate.
        pool: Whether to make one estimate from the scores of all evaluators, although they are not the same.
        bounds: The least and the greatest score that are possible, if the scores are numbers.
        level: The level of the intervals.

    Raises:
        ConfigurationError: If the evaluators have different names, or what to estimate is not clear.
    """
    merged = [each for each in merge_series(series) if result is None or each.result in (result, None)]
    for name, of_each in (
        ('evaluator name', {each.evaluator.name for each in merged}),
        ('result', {each.result for each in merged if each.result is not None}),
    ):
        if len(of_each) > 1:
            listed = ' and '.join(sorted(map(repr, of_each)))
            raise ConfigurationError(f'series to estimate together must be of one {name}, got {listed}.')
    labels = sorted({each_label for each in merged for each_label in each.labels})
    if labels and label is None:
        raise ConfigurationError(f'the result is a label; say the share of which to estimate: {", ".join(labels)}.')
    if label is not None and any(each.moments.count for each in merged):
        raise ConfigurationError(f'the share of the label {label!r} cannot be estimated: the scores are numbers.')
    by_identity: dict[EvaluatorIdentity, list[Series]] = {}
    for each in merged:
        by_identity.setdefault(each.evaluator, []).append(each)
    of_each_evaluator = [reduce(_pooled, parts) for parts in by_identity.values()]
    to_estimate = [(each, (each.evaluator,)) for each in of_each_evaluator]
    if pool and of_each_evaluator:
        to_estimate = [(reduce(_pooled, of_each_evaluator), tuple(by_identity))]
    return SeriesEstimates(
        estimates=tuple(_estimate(each, evaluators, label, bounds, level) for each, evaluators in to_estimate),
        changes=_changes(of_each_evaluator),
    )


def _estimate(
    series: Series,
    evaluators: tuple[EvaluatorIdentity, ...],
    label: str | None,
    bounds: tuple[float, float] | None,
    level: float,
) -> Estimate:
    if label is not None:
        moments = label_moments({label: Moments(), **series.labels})[label]
    else:
        moments = series.moments
    if label is not None or series.is_rate:
        return estimate_rate(moments, level=level, coverage=series.coverage, evaluators=evaluators)
    return estimate_mean(moments, bounds=bounds, level=level, coverage=series.coverage, evaluators=evaluators)


def _changes(series: Sequence[Series]) -> tuple[EvaluatorChange, ...]:
    return tuple(
        EvaluatorChange(
            at=after.first_at,
            before=before.evaluator,
            after=after.evaluator,
            overlapping=before.last_at >= after.first_at,
        )
        for before, after in zip(series, series[1:], strict=False)
    )
