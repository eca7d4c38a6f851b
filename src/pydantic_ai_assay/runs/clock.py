"""The clock that the times of runs and outcomes are read from. A test may put another one in its place."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ('TIMEKEEPER', 'Clock', 'Timekeeper')


class Clock(Protocol):
    """A clock. The module `time` is one."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def perf_counter(self) -> float:
        """Seconds since some moment; never goes back."""
        ...


class Timekeeper:
    """Has the clock in use.

    What takes a duration takes both its ends from the clock that was in use at its start: the two of different clocks have
    nothing to do with each other.
    """

    __slots__ = ('clock',)

    def __init__(self) -> None:
        self.clock: Clock = time


TIMEKEEPER = Timekeeper()
"""The timekeeper of this process."""
