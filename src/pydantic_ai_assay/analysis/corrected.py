"""What people would have said of all runs, from the verdicts of a judge on many and the labels of people on few."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, hypot, sqrt
from typing import Literal, TypeVar, get_args

from ..errors import ConfigurationError
from .estimate import LEVEL, Estimate, estimate_mean, estimate_rate
from .interval import Interval, check_level
from .moments import Moments, indices_of, label_moments, weights_of
from .quantiles import normal_quantile, t_quantile

__all__ = ('Corrected', 'Population', 'corrected_mean', 'corrected_rate', 'corrected_rate_from_moments')

VerdictT = TypeVar('VerdictT', bound=Hashable)

Population = Literal['agent', 'judged']
"""What a corrected number is about.

- `'agent'`: all that the agent does, of which the judged runs are a sample.
- `'judged'`: the judged runs and no others. They must all have the same weight.
"""


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A number as people would have given it, next to the one the judge gave and to the one from the labels alone."""

    corrected: Estimate
    """From the verdicts and the labels."""
    raw: Estimate
    """From the verdicts alone, about all that the agent does. Wrong if the judge errs, however many there are."""
    labels_only: Estimate
    """From the labels alone."""


@dataclass(frozen=True, kw_only=True)
class _Stratum:
    """The runs with one verdict, or with one of several verdicts."""

    labelled: Moments
    judged: Moments

    def __add__(self, other: _Stratum) -> _Stratum:
        return _Stratum(labelled=self.labelled + other.labelled, judged=self.judged + other.judged)


def corrected_rate(
    labels: Sequence[Hashable],
    verdicts: Sequence[Hashable],
    judged: Sequence[Hashable],
    *,
    positive: Hashable = True,
    probabilities: Sequence[float] | None = None,
    judged_probabilities: Sequence[float] | None = None,
    population: Population = 'agent',
    level: float = LEVEL,
) -> Corrected:
    """Estimate the pass rate that people would have given.

    Args:
        labels: What people said of the runs they labelled, which are a random sample of those the judge judged.
        verdicts: What the judge said of the same runs, in the same order.
        judged: What the judge said of all runs it judged, the labelled ones included.
        positive: The label and verdict that is a pass.
        probabilities: The probability with which each of the labelled runs was both judged and labelled.
        judged_probabilities: The probability with which each run was judged.
        population: What the interval is about.
        level: The level of the intervals.

    Raises:
        ConfigurationError: If lengths differ, a probability is not in (0, 1], or a verdict was never given.
    """
    if len(labels) != len(verdicts):
        raise ConfigurationError(f'there must be a verdict for each of {len(labels)} labels, got {len(verdicts)}.')
    weights_of(probabilities, len(labels))
    weights_of(judged_probabilities, len(judged))
    passed = [float(label == positive) for label in labels]
    return corrected_rate_from_moments(
        _by_verdict(verdicts, passed, probabilities),
        _by_verdict(judged, [1.0] * len(judged), judged_probabilities),
        positive=positive,
        population=population,
        level=level,
    )


def _by_verdict(
    verdicts: Sequence[VerdictT], values: Sequence[float], probabilities: Sequence[float] | None
) -> dict[VerdictT, Moments]:
    return {
        verdict: Moments.of(
            [values[i] for i in indices], None if probabilities is None else [probabilities[i] for i in indices]
        )
        for verdict, indices in indices_of(verdicts).items()
    }


def corrected_rate_from_moments(
    labelled: Mapping[VerdictT, Moments],
    judged: Mapping[VerdictT, Moments],
    *,
    positive: Hashable = True,
    population: Population = 'agent',
    level: float = LEVEL,
) -> Corrected:
    """Estimate the pass rate that people would have given, from what was added up for each verdict.

    The runs are post-stratified by the verdict (Holt and Smith, 1979): the share of runs with each verdict comes from
    all verdicts, the pass rate among them from the labels. With a judge that says yes or no, this is prediction-powered
    inference with power tuning (Angelopoulos, Duchi and Zrnic, 2023). The intervals of the pass rates are put together
    by MOVER (Zou and Donner, 2008). Verdicts with fewer than two labels are counted with the rarest that has them.

    Args:
        labelled: For each verdict, the moments of the labels (1 for a pass) of the labelled runs that have it.
        judged: For each verdict, the moments of the runs that have it. Only their count and weights matter.
        positive: The verdict that is a pass.
        population: What the interval is about.
        level: The level of the intervals.

    Raises:
        ConfigurationError: If more of the labelled runs have a verdict than of the judged ones.
    """
    level = check_level(level)
    _check_population(population, list(judged.values()))
    for verdict, moments in labelled.items():
        count = judged.get(verdict, Moments()).count
        if moments.count > count:
            raise ConfigurationError(
                f'{moments.count} labelled runs have the verdict {verdict!r}, but only {count} of the judged runs.'
            )
    passes = sum((each for verdict, each in judged.items() if verdict == positive), Moments())
    others = sum((each for verdict, each in judged.items() if verdict != positive), Moments())
    raw = estimate_rate(label_moments({'pass': passes, 'other': others})['pass'], level=level)
    labels_only = _labels_only(
        estimate_rate(sum(labelled.values(), Moments()), level=level), passes.count + others.count, population
    )
    strata = _strata(labelled, judged)
    value, interval = (None, None) if labels_only.value is None else _stratified(strata, population, level)
    return Corrected(corrected=replace(labels_only, value=value, interval=interval), raw=raw, labels_only=labels_only)


def _labels_only(labels: Estimate, judged: int, population: Population) -> Estimate:
    """The estimate from the labels, about the population: of the judged runs, only the others are unknown."""
    if population == 'agent' or labels.value is None or labels.interval is None:
        return labels
    left = sqrt(1 - labels.count / judged)
    interval = Interval(
        labels.value - left * (labels.value - labels.interval.lower),
        labels.value + left * (labels.interval.upper - labels.value),
    )
    return replace(labels, interval=interval)


def _check_population(population: Population, judged: Sequence[Moments]) -> None:
    if population not in get_args(Population):
        raise ConfigurationError(f"population must be 'agent' or 'judged', got {population!r}.")
    total = sum(judged, Moments())
    # Equal weights are those with which no run counts more than another.
    if population == 'judged' and total.effective_count < total.count * (1 - 1e-9):
        raise ConfigurationError("population 'judged' needs judged runs of equal weight, got different probabilities.")


def _strata(labelled: Mapping[VerdictT, Moments], judged: Mapping[VerdictT, Moments]) -> list[_Stratum]:
    strata = [_Stratum(labelled=labelled.get(verdict, Moments()), judged=each) for verdict, each in judged.items()]
    strata.sort(key=lambda stratum: stratum.labelled.count)
    few = [stratum for stratum in strata if stratum.labelled.count < 2]
    enough = strata[len(few) :]
    if few:
        start = enough.pop(0) if enough else _Stratum(labelled=Moments(), judged=Moments())
        enough.insert(0, sum(few, start))
    return enough


def _stratified(strata: Sequence[_Stratum], population: Population, level: float) -> tuple[float, Interval]:
    weight = fsum(stratum.judged.sum_w for stratum in strata)
    value = below = above = 0.0
    rates: list[float] = []
    for stratum in strata:
        rate = estimate_rate(stratum.labelled, level=level)
        # There is a label in each stratum.
        assert rate.value is not None and rate.interval is not None
        share = stratum.judged.sum_w / weight
        left = 1.0 if population == 'agent' else sqrt(1 - stratum.labelled.count / stratum.judged.count)
        below = hypot(below, share * left * (rate.value - rate.interval.lower))
        above = hypot(above, share * left * (rate.interval.upper - rate.value))
        value += share * rate.value
        rates.append(rate.value)
    if population == 'agent':
        squares = fsum(s.judged.sum_w2 * (r - value) ** 2 for s, r in zip(strata, rates, strict=True))
        between = normal_quantile(level) * sqrt(squares) / weight
        below, above = hypot(below, between), hypot(above, between)
    return value, Interval(max(0.0, value - below), min(1.0, value + above))


def corrected_mean(
    labels: Sequence[float],
    scores: Sequence[float],
    judged: Moments,
    *,
    probabilities: Sequence[float] | None = None,
    population: Population = 'agent',
    level: float = LEVEL,
) -> Corrected:
    """Estimate the mean score that people would have given.

    It is prediction-powered inference with power tuning (Angelopoulos, Duchi and Zrnic, 2023), which is the regression
    estimator (Cochran, 1977), with Student's quantiles.

    Args:
        labels: What people gave the runs they labelled, which are a random sample of those the judge judged.
        scores: What the judge gave the same runs, in the same order.
        judged: The moments of what the judge gave all runs it judged, the labelled ones included.
        probabilities: The probability with which each of the labelled runs was both judged and labelled.
        population: What the interval is about.
        level: The level of the intervals.

    Raises:
        ConfigurationError: If lengths differ, a probability is not in (0, 1], or fewer runs are judged than labelled.
    """
    level = check_level(level)
    _check_population(population, [judged])
    if len(labels) != len(scores):
        raise ConfigurationError(f'there must be a score for each of {len(labels)} labels, got {len(scores)}.')
    if len(labels) > judged.count:
        raise ConfigurationError(f'{len(labels)} runs are labelled, but only {judged.count} are judged.')
    of_labels, of_scores = Moments.of(labels, probabilities), Moments.of(scores, probabilities)
    labels_only = _labels_only(estimate_mean(of_labels, level=level), judged.count, population)
    value, interval = None, None
    if of_labels.mean is not None and of_scores.mean is not None and judged.mean is not None:
        weights = weights_of(probabilities, len(labels))
        people = [weight * (label - of_labels.mean) for weight, label in zip(weights, labels, strict=True)]
        judge = [weight * (score - of_scores.mean) for weight, score in zip(weights, scores, strict=True)]
        spread = fsum(each * each for each in judge)
        tuning = fsum(a * b for a, b in zip(people, judge, strict=True)) / spread if spread else 0.0
        value = of_labels.mean + tuning * (judged.mean - of_scores.mean)
        squares = fsum((a - tuning * b) ** 2 for a, b in zip(people, judge, strict=True)) / of_labels.sum_w**2
        interval = _mean_interval(value, squares, tuning, of_labels, judged, population, level)
    return Corrected(
        corrected=replace(labels_only, value=value, interval=interval),
        raw=estimate_mean(judged, level=level),
        labels_only=labels_only,
    )


def _mean_interval(
    value: float, squares: float, tuning: float, labels: Moments, judged: Moments, population: Population, level: float
) -> Interval | None:
    # Two are lost to the mean and the tuning.
    degrees = labels.effective_count - 2
    if degrees < 1e-9:
        return None
    variance = squares * labels.effective_count / degrees
    if population == 'judged':
        variance *= 1 - labels.count / judged.count
    elif judged.variance is None:
        return None
    else:
        variance += tuning * tuning * judged.variance
    if not variance:
        return None
    margin = t_quantile(level, max(1.0, degrees)) * sqrt(variance)
    return Interval(value - margin, value + margin)
