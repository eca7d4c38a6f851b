"""A number that is estimated from scores, with an interval and with what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Literal

from ..errors import ConfigurationError
from .coverage import Coverage
from .identity import EvaluatorIdentity
from .interval import Interval, check_level
from .moments import Moments
from .quantiles import rate_bounds, t_quantile

__all__ = ('Estimate', 'EstimateKind', 'estimate_mean', 'estimate_rate')

EstimateKind = Literal['rate', 'mean', 'kappa', 'difference']
"""What is estimated.

- `'rate'`: the share of runs that pass, or that have a label.
- `'mean'`: the mean of a score.
- `'kappa'`: Cohen's kappa.
- `'difference'`: of two rates over the same runs.
"""

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number that is estimated from scores. `value` and `interval` are `None` where there is nothing to tell."""

    kind: EstimateKind
    """What is estimated."""
    value: float | None
    """The estimate; `None` if there are no scores, or it is not defined for them."""
    interval: Interval | None
    """Where the true value lies, at `level`; `None` if the scores cannot tell."""
    level: float = LEVEL
    """The share of such intervals that contain the true value."""
    count: int
    """How many scores it is made from."""
    effective_count: float
    """How many scores of equal weight would say as much."""
    coverage: Coverage = field(default_factory=Coverage)
    """What became of all the evaluations that it could have been made from."""
    evaluators: tuple[EvaluatorIdentity, ...] = ()
    """The evaluators that gave the scores; more than one only if they were pooled."""


def estimate_rate(
    moments: Moments,
    *,
    level: float = LEVEL,
    coverage: Coverage | None = None,
    evaluators: tuple[EvaluatorIdentity, ...] = (),
) -> Estimate:
    """Estimate the share of all runs that pass.

    The interval is the mid-P interval (Lancaster, 1961) for the effective number of scores, as Korn and Graubard (1998)
    propose it for the exact one. The effective number is the smaller of Kish's, (Σw)² / Σw², and of the one that the
    linearised variance implies, p(1 - p) / V.

    Args:
        moments: Of scores that are 1 for a pass and 0 for a fail.
        level: The level of the interval.
        coverage: What became of the evaluations; that all were scored if left out.
        evaluators: Where the scores come from.

    Raises:
        ConfigurationError: If a score is not between 0 and 1, or the level is none.
    """
    level = check_level(level)
    rate, variance = moments.mean, moments.variance
    if rate is None:
        interval, effective = None, 0.0
    else:
        if moments.minimum < 0 or moments.maximum > 1:
            raise ConfigurationError(
                f'a rate needs scores from 0 to 1, got one of {_outside(moments, 0, 1)!r}; use estimate_mean.'
            )
        effective = moments.effective_count
        if variance:
            effective = max(1.0, min(effective, rate * (1 - rate) / variance))
        interval = Interval(*rate_bounds(rate, effective, level))
    return Estimate(
        kind='rate',
        value=rate,
        interval=interval,
        level=level,
        count=moments.count,
        effective_count=effective,
        coverage=Coverage(scored=moments.count) if coverage is None else coverage,
        evaluators=evaluators,
    )


def estimate_mean(
    moments: Moments,
    *,
    bounds: tuple[float, float] | None = None,
    level: float = LEVEL,
    coverage: Coverage | None = None,
    evaluators: tuple[EvaluatorIdentity, ...] = (),
) -> Estimate:
    """Estimate the mean score over all runs.

    The interval is Student's, with the linearised variance and Kish's effective number of scores less one as degrees of
    freedom. Without `bounds` there is none if all scores are the same. With them, one score is added at either bound
    before it is computed, so that scores that are all the same are not taken for certainty.

    Args:
        moments: Of the scores.
        bounds: The least and the greatest score that are possible.
        level: The level of the interval.
        coverage: What became of the evaluations; that all were scored if left out.
        evaluators: Where the scores come from.

    Raises:
        ConfigurationError: If a score is not within the bounds, or the level is none.
    """
    level = check_level(level)
    return Estimate(
        kind='mean',
        value=moments.mean,
        interval=_t_interval(moments, level) if bounds is None else _bounded_interval(moments, bounds, level),
        level=level,
        count=moments.count,
        effective_count=moments.effective_count,
        coverage=Coverage(scored=moments.count) if coverage is None else coverage,
        evaluators=evaluators,
    )


def _t_interval(moments: Moments, level: float) -> Interval | None:
    mean, variance = moments.mean, moments.variance
    degrees = moments.effective_count - 1
    if mean is None or not variance or degrees < 1e-9:
        return None
    margin = t_quantile(level, max(1.0, degrees)) * sqrt(variance * (degrees + 1) / degrees)
    return Interval(mean - margin, mean + margin)


def _bounded_interval(moments: Moments, bounds: tuple[float, float], level: float) -> Interval | None:
    least, greatest = bounds
    if not least < greatest:
        raise ConfigurationError(f'bounds must be the least and the greatest possible score, got {bounds!r}.')
    if moments.minimum < least or moments.maximum > greatest:
        raise ConfigurationError(f'scores must lie within {bounds!r}, got one of {_outside(moments, *bounds)!r}.')
    mean, variance, count = moments.mean, moments.variance, moments.effective_count
    if mean is None or variance is None:
        return None
    total = count + 2
    center = (count * mean + least + greatest) / total
    squares = count * (variance * count + (mean - center) ** 2) + (least - center) ** 2 + (greatest - center) ** 2
    margin = t_quantile(level, total - 1) * sqrt(squares / total / (total - 1))
    return Interval(min(mean, max(least, center - margin)), max(mean, min(greatest, center + margin)))


def _outside(moments: Moments, least: float, greatest: float) -> float:
    return moments.minimum if moments.minimum < least else moments.maximum
