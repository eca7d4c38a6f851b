"""Quantiles of the distributions that the intervals are made from; the one place that needs SciPy."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

from ..errors import MissingExtraError

__all__ = ('normal_quantile', 'rate_bounds', 't_quantile')


def _special() -> ModuleType:
    try:
        import scipy.special
    except ImportError as error:
        raise MissingExtraError('An interval', 'analysis') from error
    return scipy.special


@lru_cache(maxsize=64)
def normal_quantile(level: float) -> float:
    """The number of standard errors on either side that hold `level` of a normal distribution."""
    return float(_special().ndtri((1 + level) / 2))


@lru_cache(maxsize=4096)
def t_quantile(level: float, degrees: float) -> float:
    """The same of Student's t distribution."""
    return float(_special().stdtrit(degrees, (1 + level) / 2))


@lru_cache(maxsize=16384)
def rate_bounds(rate: float, count: float, level: float) -> tuple[float, float]:
    """The mid-P interval of a rate that was seen in `count` independent trials, which may be a fraction."""
    tail = (1 - level) / 2
    lower = 0.0 if rate == 0 else _bound(rate, count, tail)
    upper = 1.0 if rate == 1 else 1 - _bound(1 - rate, count, tail)
    return lower, upper


def _bound(rate: float, count: float, tail: float) -> float:
    """The rate at which to see as many passes or more, those just as many counted half, has the probability `tail`."""
    special = _special()
    passes, fails = rate * count, (1 - rate) * count

    def probability(truth: float) -> float:
        at_least = float(special.betainc(passes, fails + 1, truth))
        more = float(special.betainc(passes + 1, fails, truth)) if fails else 0.0
        return (at_least + more) / 2

    # The exact bound lies below it, and the one that leaves out those just as many above.
    low = float(special.betaincinv(passes, fails + 1, tail))
    high = float(special.betaincinv(passes + 1, fails, tail)) if fails else 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if probability(middle) < tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2
