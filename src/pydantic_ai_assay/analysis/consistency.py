"""Whether a judge says the same again: in the other order, or when it is asked once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from ..errors import ConfigurationError
from .estimate import LEVEL, Estimate, estimate_mean, estimate_rate
from .moments import Moments, weights_of

__all__ = ('position_consistency', 'self_consistency')


def position_consistency(
    verdicts: Sequence[Hashable],
    swapped: Sequence[Hashable],
    *,
    probabilities: Sequence[float] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The share of pairs for which a judge prefers the same answer in both orders.

    Args:
        verdicts: The answer it prefers, in the given order.
        swapped: The answer it prefers with the two swapped, by the same names: not first or second as it was shown.
        probabilities: The probability with which each pair came to be judged in both orders; equal ones if left out.
        level: The level of the interval.

    Raises:
        ConfigurationError: If the lengths differ, or a probability is not in (0, 1].
    """
    if len(verdicts) != len(swapped):
        raise ConfigurationError(
            f'there must be a verdict in the other order for each of {len(verdicts)} verdicts, got {len(swapped)}.'
        )
    same = [first == second for first, second in zip(verdicts, swapped, strict=True)]
    return estimate_rate(Moments.of(same, probabilities), level=level)


def self_consistency(
    votes: Sequence[Sequence[Hashable]],
    *,
    probabilities: Sequence[float] | None = None,
    runs: Sequence[Hashable] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """How probable it is that two votes of a judge about the same run are the same.

    It is the mean over the runs of the share of pairs of votes that agree (Fleiss, 1971). Runs with fewer than two
    votes say nothing about it and are left out.

    Args:
        votes: For each run, what the judge said each time.
        probabilities: The probability with which each run was judged; equal ones if left out.
        runs: Which run each of `votes` is about, where several judges voted on one: it then counts once. Each is a run
            of its own if left out.
        level: The level of the interval.

    Raises:
        ConfigurationError: If the lengths differ, or a probability is not in (0, 1].
    """
    weights_of(probabilities, len(votes))
    if runs is not None and len(runs) != len(votes):
        raise ConfigurationError(f'there must be a run for each of {len(votes)} lists of votes, got {len(runs)}.')
    telling = [index for index, of_run in enumerate(votes) if len(of_run) > 1]
    moments = Moments.of(
        [_agreeing(votes[index]) for index in telling],
        None if probabilities is None else [probabilities[index] for index in telling],
        clusters=None if runs is None else [runs[index] for index in telling],
    )
    return estimate_mean(moments, bounds=(0.0, 1.0), level=level)


def _agreeing(votes: Sequence[Hashable]) -> float:
    pairs = len(votes) * (len(votes) - 1)
    return sum(count * (count - 1) for count in Counter(votes).values()) / pairs
