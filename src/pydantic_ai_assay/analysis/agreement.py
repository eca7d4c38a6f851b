"""How well a judge agrees with people about the same runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Literal

from ..errors import ConfigurationError
from .coverage import Coverage
from .estimate import LEVEL, Estimate, estimate_rate
from .interval import Interval, check_level
from .moments import Moments, weights_of
from .quantiles import normal_quantile, t_quantile

__all__ = ('Agreement', 'Disagreement', 'agreement')

Disagreement = Literal['nominal', 'linear', 'quadratic']
"""How much it counts when a label and a verdict differ.

- `'nominal'`: the same whatever they are. Cohen's kappa.
- `'linear'`: by how far they lie apart. They must be numbers.
- `'quadratic'`: by the square of that.
"""

Pairs = Mapping[tuple[Hashable, Hashable], float]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the verdicts of a judge agree with the labels of people."""

    accuracy: Estimate
    """The share of runs for which the verdict is the label."""
    kappa: Estimate
    """Cohen's kappa, agreement beyond chance: 1 is perfect, 0 is chance. Undefined where all answers are one."""
    bias: Estimate
    """The pass rate of the judge less that of people: above 0 for a lenient judge."""
    sensitivity: Estimate
    """The share of runs that the judge passes among those that people pass."""
    specificity: Estimate
    """The share of runs that the judge does not pass among those that people do not pass."""
    confusion: Mapping[tuple[Hashable, Hashable], int]
    """How many runs have each pair of label and verdict."""


def agreement(
    labels: Sequence[Hashable],
    verdicts: Sequence[Hashable],
    *,
    probabilities: Sequence[float] | None = None,
    positive: Hashable = True,
    disagreement: Disagreement = 'nominal',
    level: float = LEVEL,
) -> Agreement:
    """Compare a judge's verdicts with the labels that people gave to the same runs.

    Args:
        labels: What people said.
        verdicts: What the judge said of the same runs, in the same order.
        probabilities: The probability with which each run came to be labelled; equal ones if left out.
        positive: The label and verdict that is a pass.
        disagreement: How much it counts for kappa when the two differ.
        level: The level of the intervals.

    Raises:
        ConfigurationError: If the lengths differ, a label or verdict is `None` or NaN, or a probability is not in (0, 1].
    """
    level = check_level(level)
    weights = _checked_weights(labels, verdicts, probabilities)
    counts: dict[tuple[Hashable, Hashable], int] = {}
    sums: dict[tuple[Hashable, Hashable], float] = {}
    for pair, weight in zip(zip(labels, verdicts, strict=True), weights, strict=True):
        counts[pair] = counts.get(pair, 0) + 1
        sums[pair] = sums.get(pair, 0.0) + weight

    def rate(of: Sequence[int], passes: Sequence[bool]) -> Estimate:
        chosen = None if probabilities is None else [probabilities[i] for i in of]
        return estimate_rate(Moments.of([passes[i] for i in of], chosen), level=level)

    passed = [label == positive for label in labels]
    judged = [verdict == positive for verdict in verdicts]
    same = [label == verdict for label, verdict in zip(labels, verdicts, strict=True)]
    everything = range(len(weights))
    effective = fsum(weights) ** 2 / fsum(weight * weight for weight in weights) if weights else 0.0
    return Agreement(
        accuracy=rate(everything, same),
        kappa=_of_pairs('kappa', *_kappa(sums, effective, disagreement, level), weights, effective, level),
        bias=_of_pairs('difference', *_bias(sums, positive, effective, level), weights, effective, level),
        sensitivity=rate([i for i in everything if passed[i]], judged),
        specificity=rate([i for i in everything if not passed[i]], [not each for each in judged]),
        confusion=counts,
    )


def _checked_weights(
    labels: Sequence[Hashable], verdicts: Sequence[Hashable], probabilities: Sequence[float] | None
) -> list[float]:
    if len(labels) != len(verdicts):
        raise ConfigurationError(f'there must be a verdict for each of {len(labels)} labels, got {len(verdicts)}.')
    for name, answers in (('label', labels), ('verdict', verdicts)):
        if any(answer is None or answer != answer for answer in answers):
            raise ConfigurationError(f'a {name} must not be None or NaN; leave out the runs that have none.')
    return weights_of(probabilities, len(labels))


def _of_pairs(
    kind: Literal['kappa', 'difference'],
    value: float | None,
    interval: Interval | None,
    weights: Sequence[float],
    effective: float,
    level: float,
) -> Estimate:
    return Estimate(
        kind=kind,
        value=value,
        interval=interval,
        level=level,
        count=len(weights),
        effective_count=effective,
        coverage=Coverage(scored=len(weights)),
    )


def _kappa(
    sums: Pairs, effective: float, disagreement: Disagreement, level: float
) -> tuple[float | None, Interval | None]:
    """Kappa, and its interval from the table with four runs more that are spread evenly over it."""
    answers = list(dict.fromkeys(answer for pair in sums for answer in pair))
    distances = {(a, b): _distance(a, b, disagreement) for a in answers for b in answers}
    total = fsum(sums.values())
    if len(answers) < 2:
        return None, None
    value, _ = _kappa_and_spread({pair: weight / total for pair, weight in sums.items()}, distances)
    more = 4 / len(answers) ** 2
    smoothed = {pair: (sums.get(pair, 0.0) / total * effective + more) / (effective + 4) for pair in distances}
    center, spread = _kappa_and_spread(smoothed, distances)
    margin = t_quantile(level, max(1.0, effective - 1)) * spread / sqrt(effective + 4)
    return value, Interval(min(value, max(-1.0, center - margin)), max(value, min(1.0, center + margin)))


def _kappa_and_spread(shares: Pairs, distances: Pairs) -> tuple[float, float]:
    """Kappa of a table, and the standard deviation of what one run contributes to it (Fleiss, Cohen, Everitt, 1969)."""
    of_label: dict[Hashable, float] = {}
    of_verdict: dict[Hashable, float] = {}
    for (label, verdict), share in shares.items():
        of_label[label] = of_label.get(label, 0.0) + share
        of_verdict[verdict] = of_verdict.get(verdict, 0.0) + share
    observed = fsum(distances[pair] * share for pair, share in shares.items())
    expected = fsum(
        distances[label, verdict] * first * second
        for label, first in of_label.items()
        for verdict, second in of_verdict.items()
    )
    slopes = {
        (label, verdict): (
            observed / expected * fsum(distances[label, other] * share for other, share in of_verdict.items())
            + observed / expected * fsum(distances[other, verdict] * share for other, share in of_label.items())
            - distances[label, verdict]
        )
        / expected
        for label, verdict in shares
    }
    mean = fsum(shares[pair] * slope for pair, slope in slopes.items())
    spread = fsum(shares[pair] * (slope - mean) ** 2 for pair, slope in slopes.items())
    return 1 - observed / expected, sqrt(spread)


def _distance(first: Hashable, second: Hashable, disagreement: Disagreement) -> float:
    if disagreement == 'nominal':
        return float(first != second)
    if disagreement not in ('linear', 'quadratic'):
        raise ConfigurationError(f"disagreement must be 'nominal', 'linear' or 'quadratic', got {disagreement!r}.")
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        raise ConfigurationError(f'a {disagreement} disagreement needs numbers, got {first!r} and {second!r}.')
    apart = abs(first - second)
    return float(apart if disagreement == 'linear' else apart * apart)


def _bias(sums: Pairs, positive: Hashable, effective: float, level: float) -> tuple[float | None, Interval | None]:
    """The difference of two rates over the same runs, with the interval of Bonett and Price (2012)."""
    if not sums:
        return None, None
    total = fsum(sums.values())
    lenient = fsum(w for (label, verdict), w in sums.items() if label != positive and verdict == positive) / total
    strict = fsum(w for (label, verdict), w in sums.items() if label == positive and verdict != positive) / total
    up, down = ((effective * share + 1) / (effective + 2) for share in (lenient, strict))
    margin = normal_quantile(level) * sqrt((up + down - (up - down) ** 2) / (effective + 2))
    value = lenient - strict
    return value, Interval(min(value, max(-1.0, up - down - margin)), max(value, min(1.0, up - down + margin)))
