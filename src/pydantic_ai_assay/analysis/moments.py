"""What estimates need to know of scores, in a few sums that can be added up over time and over processes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, isfinite
from typing import TypeVar

from ..errors import ConfigurationError

__all__ = ('Moments', 'indices_of', 'label_moments', 'weights_of')

LEAST_SPREAD = 2e-12
"""The least part of Σw²x² that Σw²(x - mean)² may be. Of less, rounding leaves hardly a digit that is right."""

KeyT = TypeVar('KeyT', bound=Hashable)


@dataclass(kw_only=True, frozen=True)
class Moments:
    """Sums over scores `x`, each weighted with `w`, one over the probability with which it was sampled.

    Those of two sets of scores add up to those of both: `Moments.of(a) + Moments.of(b)`. `Moments()` are those of none.
    """

    count: int = 0
    """How many scores there are; with clusters, how many clusters."""
    sum_w: float = 0.0
    """Σw: how many runs the scores stand for."""
    sum_w2: float = 0.0
    """Σw²"""
    sum_wx: float = 0.0
    """Σwx"""
    sum_w2x: float = 0.0
    """Σw²x"""
    sum_w2x2: float = 0.0
    """Σw²x²"""
    minimum: float = inf
    """The least score; infinite if there is none."""
    maximum: float = -inf
    """The greatest score; minus infinity if there is none."""

    def __post_init__(self) -> None:
        for name in ('count', 'sum_w', 'sum_w2', 'sum_wx', 'sum_w2x', 'sum_w2x2'):
            if not isfinite(value := getattr(self, name)):
                raise ConfigurationError(f'{name} of Moments must be finite, got {value!r}.')
        if self.count < 0 or (self.count > 0) != (self.sum_w > 0):
            raise ConfigurationError(f'Moments of {self.count!r} scores cannot have the weight {self.sum_w!r}.')

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        probabilities: Sequence[float] | None = None,
        *,
        clusters: Sequence[Hashable] | None = None,
    ) -> Moments:
        """The moments of scores.

        Args:
            values: The scores. For a rate, `True` or 1 for a pass and `False` or 0 for a fail.
            probabilities: The probability with which each was sampled; 1 if left out.
            clusters: What each score belongs to, such as its conversation, where scores of the same are alike or were
                sampled together. Each cluster then counts as one: with the weighted mean of its scores and the sum of
                their weights.

        Raises:
            ConfigurationError: If a score is not finite, a probability is not in (0, 1], or the lengths differ.
        """
        scores = [float(value) for value in values]
        for score in scores:
            if not isfinite(score):
                raise ConfigurationError(f'a score must be finite, got {score!r}.')
        weights = weights_of(probabilities, len(scores))
        if clusters is not None:
            scores, weights = _clustered(scores, weights, clusters)
        squares = [weight * weight for weight in weights]
        return cls(
            count=len(scores),
            sum_w=fsum(weights),
            sum_w2=fsum(squares),
            sum_wx=fsum(w * x for w, x in zip(weights, scores, strict=True)),
            sum_w2x=fsum(w2 * x for w2, x in zip(squares, scores, strict=True)),
            sum_w2x2=fsum(w2 * x * x for w2, x in zip(squares, scores, strict=True)),
            minimum=min(scores, default=inf),
            maximum=max(scores, default=-inf),
        )

    @classmethod
    def of_counts(cls, passed: int, count: int) -> Moments:
        """The moments of `count` runs that were all judged, of which `passed` passed.

        Raises:
            ConfigurationError: If they are not two such numbers.
        """
        if not 0 <= passed <= count:
            raise ConfigurationError(f'of {count!r} runs, {passed!r} cannot have passed.')
        return cls(
            count=count,
            sum_w=count,
            sum_w2=count,
            sum_wx=passed,
            sum_w2x=passed,
            sum_w2x2=passed,
            minimum=inf if count == 0 else float(passed == count),
            maximum=-inf if count == 0 else float(passed > 0),
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            count=self.count + other.count,
            sum_w=self.sum_w + other.sum_w,
            sum_w2=self.sum_w2 + other.sum_w2,
            sum_wx=self.sum_wx + other.sum_wx,
            sum_w2x=self.sum_w2x + other.sum_w2x,
            sum_w2x2=self.sum_w2x2 + other.sum_w2x2,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )

    @property
    def mean(self) -> float | None:
        """Σwx / Σw, the mean over all runs (Hájek, 1971); `None` if there is no score."""
        if self.count == 0:
            return None
        # Rounding must not carry it past the scores.
        return min(max(self.sum_wx / self.sum_w, self.minimum), self.maximum)

    @property
    def effective_count(self) -> float:
        """(Σw)² / Σw²: how many scores of equal weight would say as much (Kish, 1965)."""
        return self.sum_w * self.sum_w / self.sum_w2 if self.count else 0.0

    @property
    def variance(self) -> float | None:
        """Σw²(x - mean)² / (Σw)²: the variance of `mean` by linearisation, small numbers not yet corrected for.

        It is about the runs to come as well as those that were seen: the runs are taken for a sample of what the agent
        does, and those that were judged for a sample of the runs. `None` if there is no score, and where the scores
        differ by so little for their size, such as times in nanoseconds since 1970, that the sums cannot tell.
        """
        mean = self.mean
        if mean is None:
            return None
        if self.minimum == self.maximum:
            return 0.0
        squares = self.sum_w2x2 - 2 * mean * self.sum_w2x + mean * mean * self.sum_w2
        if squares <= LEAST_SPREAD * self.sum_w2x2:
            return None
        return squares / (self.sum_w * self.sum_w)


def label_moments(by_label: Mapping[str, Moments]) -> dict[str, Moments]:
    """The moments of "has this label" for each label.

    Args:
        by_label: For each label the moments of the scores that have it. Only their count and weights matter.
    """
    count = sum(each.count for each in by_label.values())
    sum_w = fsum(each.sum_w for each in by_label.values())
    sum_w2 = fsum(each.sum_w2 for each in by_label.values())
    return {
        label: Moments(
            count=count,
            sum_w=sum_w,
            sum_w2=sum_w2,
            sum_wx=each.sum_w,
            sum_w2x=each.sum_w2,
            sum_w2x2=each.sum_w2,
            minimum=inf if count == 0 else float(each.count == count),
            maximum=-inf if count == 0 else float(each.count > 0),
        )
        for label, each in by_label.items()
    }


def weights_of(probabilities: Sequence[float] | None, count: int) -> list[float]:
    """One over each probability; ones if there are no probabilities.

    Raises:
        ConfigurationError: If there are not `count`, or one is not in (0, 1].
    """
    if probabilities is None:
        return [1.0] * count
    if len(probabilities) != count:
        raise ConfigurationError(f'there must be a probability for each of {count} scores, got {len(probabilities)}.')
    for probability in probabilities:
        if not 0.0 < probability <= 1.0:
            raise ConfigurationError(f'a probability must be in (0, 1], got {probability!r}.')
    return [1.0 / float(probability) for probability in probabilities]


def indices_of(keys: Iterable[KeyT]) -> dict[KeyT, list[int]]:
    """Where each key is, in the order in which they are met."""
    indices: dict[KeyT, list[int]] = {}
    for index, key in enumerate(keys):
        indices.setdefault(key, []).append(index)
    return indices


def _clustered(
    scores: Sequence[float], weights: Sequence[float], clusters: Sequence[Hashable]
) -> tuple[list[float], list[float]]:
    if len(clusters) != len(scores):
        raise ConfigurationError(f'there must be a cluster for each of {len(scores)} scores, got {len(clusters)}.')
    members = indices_of(clusters).values()
    sums = [(fsum(weights[i] * scores[i] for i in of_one), fsum(weights[i] for i in of_one)) for of_one in members]
    return [weighted / weight for weighted, weight in sums], [weight for _, weight in sums]
