"""Event loops in threads of ours: one that takes turns with the callers' loops, and one that does not.

Measured with pydantic-ai 2.62: a model's HTTP client used from two event loops that run at once fails in half of the
calls, the agent's own among them; used from two loops in turns it works. So the loop that takes evaluations over from
callers' loops stands still while an agent runs on a single other loop. Where agents run on several loops at once they
share no client (or already fail), and there is nothing to protect by standing still.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .lanes import LaneHost, LoopLane
from .work import Work

__all__ = ('LoopThread',)


class TurnTakingLoop(asyncio.SelectorEventLoop):
    """An event loop that can stand still without its timers noticing, and that counts as standing still to others."""

    def __init__(self) -> None:
        self.stood_still = 0.0
        self.owner: int | None = None
        super().__init__()

    def time(self) -> float:
        """The loop's clock, which stands still with the loop: no evaluation times out for having been paused."""
        return super().time() - self.stood_still

    def is_running(self) -> bool:
        """Whether the loop runs, for its own thread; to all others it does not.

        pydantic-ai asks the loop that a model's client was last used on, and makes a new client for the agent's run
        unless that loop is running. By the time the run uses its client, this loop stands still.
        """
        return super().is_running() and threading.get_ident() == self.owner


class LoopThread:
    """A lane on a loop of its own, in a daemon thread that is started by the first work."""

    def __init__(self, name: str, host: LaneHost) -> None:
        self._name = name
        self.loop = TurnTakingLoop()
        self.lane = LoopLane(self.loop, host, on_empty=self._stop_when_empty)
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_held = False
        self._held_since = 0.0
        self._is_turning = False
        self._on_standstill: list[Callable[[], object]] = []

    def post(self, work: Work) -> None:
        """Start `work` here, from whatever thread, as soon as it is this loop's turn."""
        self.lane.post(work)
        self._start()
        with self._condition:
            self._condition.notify_all()

    def stand_by(self) -> None:
        """Have the threads that work may need from now on, that for the look-up of names included."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        # Its thread starts with the first function.
        executor.submit(int)
        self.loop.set_default_executor(executor)
        self._start()

    def _start(self) -> None:
        with self._condition:
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
                self._thread.start()

    def abandon(self) -> None:
        """Let go of everything in a forked child, where the thread is not."""
        self.lane.abandon()

    @property
    def is_turning(self) -> bool:
        """Whether the loop is running at this moment."""
        return self._is_turning

    @property
    def is_held(self) -> bool:
        """Whether the loop has been told to stand still."""
        return self._is_held

    @property
    def is_busy(self) -> bool:
        """Whether there is work here."""
        return bool(self.lane.works)

    @property
    def held_for(self) -> float:
        """Seconds for which the loop has been told to stand still while there was work."""
        return time.monotonic() - self._held_since if self._is_held and self.lane.works else 0.0

    def hold(self) -> None:
        """Let the loop stand still, as soon as what it is doing gives way."""
        with self._condition:
            if not self._is_held:
                self._is_held = True
                self._held_since = time.monotonic()
                if self._is_turning:
                    self.loop.call_soon_threadsafe(self.loop.stop)

    def go_on(self) -> None:
        """Let the loop run again."""
        with self._condition:
            if self._is_held:
                self._is_held = False
                self._condition.notify_all()

    def when_still(self, callback: Callable[[], object]) -> None:
        """Call `callback` once when the loop stands still, at once if it does already."""
        with self._condition:
            if self._is_turning:
                self._on_standstill.append(callback)
                return
        callback()

    def _stop_when_empty(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _main(self) -> None:
        self.loop.owner = threading.get_ident()
        asyncio.set_event_loop(self.loop)
        while True:
            still_since = self.loop.time()
            with self._condition:
                while self._is_held or not self.lane.works:
                    self._condition.wait()
                self._is_turning = True
            self.loop.stood_still += self.loop.time() - still_since
            try:
                self.loop.run_forever()
            except BaseException:
                # A task within an evaluator raised `SystemExit` or `KeyboardInterrupt`, which asyncio lets through. It ends
                # that task; the loop goes on for the others.
                logging.getLogger('pydantic_ai_assay').debug('an evaluator tried to end the process', exc_info=True)
            with self._condition:
                self._is_turning = False
                callbacks, self._on_standstill = self._on_standstill, []
            for callback in callbacks:
                callback()

    def no_longer(self, callback: Callable[[], object]) -> None:
        """Do not call `callback` any more."""
        with self._condition:
            if callback in self._on_standstill:
                self._on_standstill.remove(callback)
