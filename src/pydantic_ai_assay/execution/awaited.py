"""A settlement that a coroutine waits for."""

from __future__ import annotations

import asyncio

from .work import Settlement

__all__ = ('Awaited',)


class Awaited:
    """A settlement that the current event loop waits for, from whatever thread it comes, and no longer than it may take."""

    def __init__(self, timeout: float | None = None) -> None:
        """Wait from now on.

        Args:
            timeout: Seconds after which there is a settlement anyway: it says that the time is over.
        """
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Settlement] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self._timer = self._loop.call_later(timeout, self._resolve, Settlement(timed_out=True))

    def set(self, settlement: Settlement) -> None:
        """Note the settlement, from whatever thread."""
        try:
            self._loop.call_soon_threadsafe(self._resolve, settlement)
        except RuntimeError:
            # The loop has been closed in the meantime, and nobody waits any more.
            return

    def end(self) -> Settlement | None:
        """Wait no longer. Returns the settlement, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
        is_there = self.future.done() and not self.future.cancelled()
        return self.future.result() if is_there else None

    def _resolve(self, settlement: Settlement) -> None:
        if not self.future.done():
            self.future.set_result(settlement)
