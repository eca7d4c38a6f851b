"""Something that is to be run to its end once, wherever there is a place for it, and started anew if its place is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import describe, warn_safely

if TYPE_CHECKING:
    from .lanes import LoopLane

__all__ = ('PROCESS_ENDED', 'Settlement', 'Work', 'forget')

PROCESS_ENDED = 'the process ended'
"""Why work was left undone that another process may take up."""


@dataclass(kw_only=True, frozen=True, slots=True)
class Settlement:
    """How a piece of work ended: with a value, an error, out of time, or left undone."""

    value: Any = None
    error: BaseException | None = None
    timed_out: bool = False
    left: str | None = None
    """Why the work was left undone."""


class Work:
    """A piece of work. It settles exactly once, however many times it was started.

    Each start has an epoch. Moving the work to another place begins a new one, and what an earlier start still
    brings to an end counts no more.
    """

    claim: ClassVar[threading.Lock] = threading.Lock()
    """Held for a moment to end a work or to begin a new epoch of it. One for all works; a forked child makes another."""

    __slots__ = (
        '_on_settled',
        'epoch',
        'is_settled',
        'label',
        'lane',
        'moves',
        'on_end',
        'start',
        'task',
        'timeout',
        'timer',
    )

    def __init__(
        self,
        start: Callable[[], Coroutine[Any, Any, Any]],
        *,
        label: str,
        on_settled: Callable[[Settlement], None],
        timeout: float | None = None,
    ) -> None:
        self.start = start
        self.label = label
        self.timeout = timeout
        self.epoch = 0
        self.moves = 0
        self.is_settled = False
        self.lane: LoopLane | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.on_end: Callable[[Work], None] | None = None
        self._on_settled = on_settled

    def stop(self, settlement: Settlement) -> None:
        """End the work from outside, from whatever thread, and cancel what was begun of it. A thread is not interrupted."""
        lane = self.lane
        if lane is None:
            self.settle(None, settlement)
        else:
            lane.stop(self, settlement)

    def settle(self, epoch: int | None, settlement: Settlement) -> bool:
        """End the work, unless it has ended or `epoch` is over. Returns whether this call ended it.

        Args:
            epoch: The start that has come to its end, or `None` for whichever there is.
            settlement: How it ended.
        """
        with self.claim:
            if self.is_settled or epoch not in (None, self.epoch):
                return False
            self.is_settled = True
        lane, timer = self.lane, self.timer
        if settlement.left is not None and self.task is not None:
            forget(self.task)
        try:
            self._on_settled(settlement)
        except Exception as error:
            # The thread or loop we are in has others to see to.
            warn_safely(f'Settling {self.label} raised {describe(error)}.')
        self.task = self.timer = None
        if timer is not None and lane is not None:
            lane.cancel_timer(timer)
        if lane is not None:
            lane.discard(self)
        if self.on_end is not None:
            self.on_end(self)
        return True

    def begin(self, epoch: int, task: asyncio.Task[None]) -> bool:
        """Note the task of a start. Returns whether that start still counts."""
        with self.claim:
            if self.is_settled or epoch != self.epoch:
                return False
            self.task = task
            return True

    def begin_anew(self) -> asyncio.Task[None] | None:
        """Begin a new epoch. Returns the task of the one that is over, if it had started.

        A settled work stays as it is and returns nothing; ask `is_settled` to tell the difference.
        """
        with self.claim:
            if self.is_settled:
                return None
            self.epoch += 1
            self.moves += 1
            task, self.task = self.task, None
            return task


def forget(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from logging an error when a task is dropped together with a loop that will never run again."""
    task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
