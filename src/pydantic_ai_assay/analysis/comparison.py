"""How two estimates differ: today from yesterday, one prompt from another."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import Literal

from ..errors import ConfigurationError
from .estimate import Estimate
from .interval import Interval

__all__ = ('Comparison', 'compare')


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two estimates from different runs differ."""

    before: Estimate
    """What it is compared with."""
    after: Estimate
    """What is compared."""
    difference: float | None
    """`after` less `before`; `None` if one of them has no value."""
    interval: Interval | None
    """Where the true difference lies, at `level`; `None` if one of them has no interval."""
    level: float
    """The level of the interval: that of both estimates."""

    @property
    def direction(self) -> Literal['higher', 'lower', 'unclear']:
        """What is certain at the level: `'unclear'` if the interval contains 0, or there is none."""
        if self.interval is None or 0.0 in self.interval:
            return 'unclear'
        return 'higher' if self.interval.lower > 0 else 'lower'


def compare(before: Estimate, after: Estimate, *, pool: bool = False) -> Comparison:
    """Compare two estimates that come from different runs.

    The interval is made from those of the two: MOVER, the method of variance estimates recovery (Zou and Donner, 2008);
    for rates that is method 10 of Newcombe (1998) with our interval in place of Wilson's.

    Args:
        before: What to compare with.
        after: What to compare.
        pool: Whether they may come from different evaluators. Such a difference may be one of the evaluators.

    Raises:
        ConfigurationError: If they differ in kind or level, or in their evaluators without `pool`.
    """
    for name in ('kind', 'level'):
        first, second = getattr(before, name), getattr(after, name)
        if first != second:
            raise ConfigurationError(f'estimates to compare must be of one {name}, got {first!r} and {second!r}.')
    if not pool and set(before.evaluators) != set(after.evaluators):
        raise ConfigurationError(
            f'the estimates come from different evaluators, {_names(before)} and {_names(after)}; '
            'compare them with pool=True if their scores mean the same.'
        )
    difference = None if before.value is None or after.value is None else after.value - before.value
    return Comparison(
        before=before,
        after=after,
        difference=difference,
        interval=None if difference is None else _interval(before, after, difference),
        level=before.level,
    )


def _interval(before: Estimate, after: Estimate, difference: float) -> Interval | None:
    if before.interval is None or after.interval is None or before.value is None or after.value is None:
        return None
    down = hypot(after.value - after.interval.lower, before.interval.upper - before.value)
    up = hypot(after.interval.upper - after.value, before.value - before.interval.lower)
    return Interval(difference - down, difference + up)


def _names(estimate: Estimate) -> str:
    return ' and '.join(sorted(map(str, estimate.evaluators))) or 'none that is named'
