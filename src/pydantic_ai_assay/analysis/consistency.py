"""Whether a judge says the same again: in the other order, or when it is asked once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from ..errors import ConfigurationError
from .estimate import LEVEL, Estimate, estimate_mean, estimate_rate
from .moments import Moments

__all__ = ('position_consistency', 'self_consistency')


def position_consistency(
    verdicts: Sequence[Hashable], swapped: Sequence[Hashable], *, level: float = LEVEL
) -> Estimate:
    """The share of pairs for which a judge prefers the same answer in both orders.

    Args:
        verdicts: The answer it prefers, in the given order.
        swapped: The answer it prefers with the two swapped, by the same names: not first or second as it was shown.
        level: The level of the interval.

    Raises:
        ConfigurationError: If the lengths differ.
    """
    if len(verdicts) != len(swapped):
        raise ConfigurationError(
            f'there must be a verdict in the other order for each of {len(verdicts)} verdicts, got {len(swapped)}.'
        )
    same = [first == second for first, second in zip(verdicts, swapped, strict=True)]
    return estimate_rate(Moments.of(same), level=level)


def self_consistency(votes: Sequence[Sequence[Hashable]], *, level: float = LEVEL) -> Estimate:
    """How probable it is that two votes of a judge about the same run are the same.

    It is the mean over the runs of the share of pairs of votes that agree (Fleiss, 1971). Runs with fewer than two
    votes say nothing about it and are left out.

    Args:
        votes: For each run, what the judge said each time.
        level: The level of the interval.
    """
    shares = [_agreeing(of_run) for of_run in votes if len(of_run) > 1]
    return estimate_mean(Moments.of(shares), bounds=(0.0, 1.0), level=level)


def _agreeing(votes: Sequence[Hashable]) -> float:
    pairs = len(votes) * (len(votes) - 1)
    return sum(count * (count - 1) for count in Counter(votes).values()) / pairs
