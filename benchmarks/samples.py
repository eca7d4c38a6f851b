"""Medians of repeated measurements, and how sure they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

__all__ = ('Estimate', 'difference', 'percentile', 'ratio_of_differences', 'ratio_of_pairs')

RESAMPLES = 400


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval by the bootstrap."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, Any]:
        """The estimate as it travels from a child process."""
        return asdict(self)


def difference(samples: Sequence[float], baseline: Sequence[float]) -> Estimate:
    """The median of `samples` beyond `baseline`, both measured in the same rounds."""
    differences = _differences(samples, baseline)
    return _estimate(len(differences), lambda rounds: median([differences[i] for i in rounds]))


def ratio_of_differences(
    numerator: Sequence[float], denominator: Sequence[float], baseline: Sequence[float]
) -> Estimate:
    """How many times as far `numerator` is beyond `baseline` as `denominator` is, all measured in the same rounds."""
    above, below = _differences(numerator, baseline), _differences(denominator, baseline)
    return _estimate(
        len(above), lambda rounds: _ratio(median([above[i] for i in rounds]), median([below[i] for i in rounds]))
    )


def ratio_of_pairs(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """The median ratio of two series measured in the same rounds."""
    ratios = [_ratio(a, b) for a, b in zip(numerator, denominator, strict=True)]
    return _estimate(len(ratios), lambda rounds: median([ratios[i] for i in rounds]))


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _differences(samples: Sequence[float], baseline: Sequence[float]) -> list[float]:
    return [sample - base for sample, base in zip(samples, baseline, strict=True)]


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float('inf')


def _estimate(count: int, statistic: Callable[[Sequence[int]], float]) -> Estimate:
    rng = random.Random(0)
    indices = range(count)
    resampled = sorted(statistic(rng.choices(indices, k=count)) for _ in range(RESAMPLES))
    return Estimate(statistic(indices), resampled[int(0.025 * RESAMPLES)], resampled[int(0.975 * RESAMPLES)])
