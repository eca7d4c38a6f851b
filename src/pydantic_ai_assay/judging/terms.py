"""What judges know of the evaluation that they vote in: when it ends, and where to note what is spent beside the verdict."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import anyio

from ..runs.judgement import Judgement

__all__ = ('Terms',)

RESERVE = 0.1
"""What part of the time that is left is kept for making a verdict of the votes."""
MAX_RESERVE = 5.0
"""Seconds that are kept for that at most."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of an evaluation."""

    end: float | None = None
    """When it ends, by the clock of the event loop; `None` where nothing ends it."""
    aside: list[Judgement] = field(default_factory=list[Judgement])
    """What judges did beside their verdicts, and what that cost."""

    def begin(self, timeout: float | None) -> None:
        """Have these hold in the current context, which ends with the evaluation: it has so many seconds from now on."""
        _TERMS.set(replace(self, end=None if timeout is None else anyio.current_time() + timeout))

    @classmethod
    def current(cls) -> Terms:
        """The terms of the current context; outside of an evaluation, that nothing ends."""
        return _TERMS.get() or cls()

    @property
    def time_left(self) -> float | None:
        """Seconds until a verdict should be made of the votes that are there; `None` where nothing ends them."""
        if self.end is None:
            return None
        left = max(0.0, self.end - anyio.current_time())
        return left - min(RESERVE * left, MAX_RESERVE)

    def shorten(self, timeout: float | None) -> None:
        """Let what begins in the current context end in so many seconds, if it would end later."""
        if timeout is not None:
            end = anyio.current_time() + timeout
            _TERMS.set(replace(self, end=end if self.end is None else min(end, self.end)))


_TERMS: ContextVar[Terms | None] = ContextVar('pydantic_ai_assay.terms', default=None)
