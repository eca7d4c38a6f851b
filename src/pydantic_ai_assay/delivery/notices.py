"""Warnings for what would otherwise go unnoticed, at most one a minute of each kind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import warn_safely

__all__ = ('Notices',)

MAX_KINDS = 1_000
"""Kinds of warnings that are told apart. Each evaluator has its own, and evaluators can be made without end."""
OTHERS = 'others'


class Notices:
    """Rate-limited warnings."""

    def __init__(self, *, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}
        self._told: set[str] = set()

    def warn(self, kind: str, message: str) -> None:
        """Warn, unless a warning of the same kind was given less than a minute ago; then count it."""
        now = self._clock()
        with self._lock:
            kind = self._bounded(kind, now)
            last = self._last.get(kind)
            if last is not None and now - last < self._interval:
                self._held_back[kind] = self._held_back.get(kind, 0) + 1
                return
            self._last[kind] = now
            held_back = self._held_back.pop(kind, 0)
        if held_back:
            message += f' ({held_back} more like this since the last warning.)'
        warn_safely(message)

    def warn_once(self, kind: str, message: str) -> None:
        """Warn, unless one of the same kind was given in this way before. For code that may read no clock."""
        with self._lock:
            if len(self._told) >= MAX_KINDS:
                kind = OTHERS
            if kind in self._told:
                return
            self._told.add(kind)
        warn_safely(message)

    def _bounded(self, kind: str, now: float) -> str:
        """The kind as which a warning counts: those that come when there are too many count as one."""
        if kind in self._last or len(self._last) < MAX_KINDS:
            return kind
        over = [each for each, last in self._last.items() if now - last >= self._interval]
        for each in over:
            if each not in self._held_back:
                del self._last[each]
        return kind if len(self._last) < MAX_KINDS else OTHERS

    def forget(self) -> None:
        """Forget the warnings given so far, so that the next of each kind is given again."""
        with self._lock:
            self._last.clear()
            self._held_back.clear()
            self._told.clear()
