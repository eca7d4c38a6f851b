"""The in-process executor: does work on callers' event loops while they run, and in threads of ours where they do not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..errors import describe, warn_safely
from .lanes import LoopLane
from .process_exit import ExitGuard
from .turns import LoopThread
from .work import PROCESS_ENDED, Settlement, Work
from .workers import WorkerPool

__all__ = ('BackgroundExecutor',)

TICK = 0.025
"""Seconds between looks at loops and deadlines, while there is work."""
LINGER = 2.0
"""Seconds for which the monitor goes on looking when there is no work: waking it costs the caller's path."""
STANDSTILL = 0.05
"""Seconds a caller's loop may stand still before its work is taken over; doubled each time a work had started there."""
HELD_TOO_LONG = 2.0
"""Seconds after which what the loop that takes over may not do is done on the loop that it stands still for."""
THREADS_END_EARLY = (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 1)
"""Whether no thread can be started once the main thread has ended, while others still run (python/cpython#113964)."""
GIVE_WAY = 0.25
"""Seconds an agent's run waits at most for the loop that takes over to stand still."""


class BackgroundExecutor:
    """Runs coroutines and functions for one process, each to its end once. Starts no thread before the first work."""

    def __init__(self, *, on_exit: Callable[[], None], on_left: Callable[[list[str]], None]) -> None:
        """Make one.

        Args:
            on_exit: Called when the process ends and there is no more time: begin nothing from now on.
            on_left: Called when what had not ended by then is left undone, with what it was called.
        """
        self.workers = WorkerPool()
        self.callbacks = WorkerPool()
        self.guards = WorkerPool()
        self._pools = (self.workers, self.callbacks, self.guards)
        self._exit = ExitGuard(self._drain_at_exit)
        self._on_exit = on_exit
        self._on_left = on_left
        self._begin()

    def _begin(self) -> None:
        self.shutdown_timeout = 0.0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._works: set[Work] = set()
        self._when_idle: list[Callable[[], None]] = []
        self._lanes: dict[asyncio.AbstractEventLoop, LoopLane] = {}
        self._active_runs: dict[asyncio.AbstractEventLoop, int] = {}
        self._takeover: LoopThread | None = None
        self._background: LoopThread | None = None
        self._monitor: threading.Thread | None = None
        self._monitor_sleeps = False
        self._shutdown_spent = 0.0
        self._is_exiting = False

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: the works are the parent's, and the threads did not come along.

        No lock is taken, since the thread that holds it may not have come along either; all are made anew.
        """
        for work in self._works:
            work.is_settled = True
        for owner in (*self._lanes.values(), self._takeover, self._background):
            if owner is not None:
                owner.abandon()
        for pool in self._pools:
            pool.begin()
        self._exit.begin_in_child()
        self._begin()

    # Callers' runs

    def run_started(self, loop: asyncio.AbstractEventLoop) -> Awaitable[None] | None:
        """Note that an agent runs on `loop`.

        Returns:
            What the run has to wait for until the loop that takes over stands still, if it does not.
        """
        # Without a lock: a loop's entry is only ever changed in the loop's own thread.
        self._active_runs[loop] = self._active_runs.get(loop, 0) + 1
        takeover = self._takeover
        if takeover is None or not takeover.is_busy or loop is takeover.loop:
            return None
        self._decide_turns(takeover)
        return _wait_until_still(takeover, loop) if takeover.is_held and takeover.is_turning else None

    def run_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that an agent's run on `loop` has ended."""
        count = self._active_runs.get(loop, 1) - 1
        if count:
            self._active_runs[loop] = count
        else:
            # A forked child knows nothing of the runs that it was forked in.
            self._active_runs.pop(loop, None)
        lane = self._lanes.get(loop)
        if lane is not None:
            lane.beat = time.monotonic()

    def _decide_turns(self, takeover: LoopThread) -> None:
        """Let the loop that takes over stand still while exactly one other loop uses agents or judges."""
        busy = {loop for loop in list(self._active_runs) if loop is not takeover.loop and loop.is_running()}
        busy.update(loop for loop, lane in list(self._lanes.items()) if lane.works and loop.is_running())
        if len(busy) != 1 or self._is_exiting:
            takeover.go_on()
            return
        takeover.hold()
        if takeover.held_for > HELD_TOO_LONG:
            # The other loop does not stop running agents. On it, a shared client is used from one loop.
            home = busy.pop()
            for work in takeover.lane.release_all():
                self._lane_with(work, home).post(work)

    # Work

    def run_async(
        self,
        start: Callable[[], Coroutine[Any, Any, Any]],
        *,
        home: asyncio.AbstractEventLoop | None,
        label: str,
        on_settled: Callable[[Settlement], None],
        timeout: float | None = None,
        after: int = 0,
        in_background: bool = False,
    ) -> Work:
        """Run a coroutine.

        Args:
            start: Makes the coroutine; called again when the work has to start anew on another loop.
            home: Where to run it, as long as that loop runs; `None` where there was no loop.
            label: What to call the work when it is left undone.
            on_settled: Called once, in the thread in which the work ended.
            timeout: Seconds it may take.
            after: Times the loop goes round first; only from the loop's own thread.
            in_background: Whether to run it on the loop that never takes turns, instead of at home.
        """
        work = self._track(Work(start, label=label, on_settled=on_settled, timeout=timeout))
        try:
            self._post(work, home, after=after, in_background=in_background)
        except Exception as error:
            work.settle(work.epoch, Settlement(error=error))
        return work

    def _post(self, work: Work, home: asyncio.AbstractEventLoop | None, *, after: int, in_background: bool) -> None:
        if in_background or (self._background is not None and home is self._background.loop):
            self._background_thread().post(work)
        elif home is None or not home.is_running() or (self._takeover is not None and home is self._takeover.loop):
            self._takeover_thread().post(work)
        else:
            self._lane_with(work, home).post(work, after=after)

    def _lane_with(self, work: Work, loop: asyncio.AbstractEventLoop) -> LoopLane:
        """The lane of a loop, with a work listed on it: the monitor forgets, and closes, lanes without work."""
        with self._lock:
            lane = self._lanes.get(loop)
            if lane is None:
                lane = self._lanes[loop] = LoopLane(loop, self)
            lane.works.add(work)
        return lane

    def run_sync(
        self,
        function: Callable[[], Any],
        *,
        label: str,
        on_settled: Callable[[Settlement], None],
        timeout: float | None = None,
        pool: WorkerPool | None = None,
    ) -> Work:
        """Run a function in a worker thread, of the evaluators' pool unless another one is given."""
        work = self._track(Work(_never, label=label, on_settled=on_settled, timeout=timeout))
        (pool or self.workers).submit(work, function)
        return work

    def _track(self, work: Work) -> Work:
        work.on_end = self._untrack
        with self._lock:
            self._works.add(work)
            is_first = self._monitor is None
            if self._monitor is None:
                self._monitor = threading.Thread(target=self._watch, name='assay-monitor', daemon=True)
                self._monitor.start()
                self._exit.install()
            elif self._monitor_sleeps:
                self._monitor_sleeps = False
                self._changed.notify_all()
        if is_first and THREADS_END_EARLY:
            self._takeover_thread().stand_by()
            for pool in (self.workers, self.callbacks):
                pool.stand_by()
        return work

    def _untrack(self, work: Work) -> None:
        with self._lock:
            self._works.discard(work)
            if self._works:
                return
            self._changed.notify_all()
            callbacks, self._when_idle = self._when_idle, []
        for callback in callbacks:
            callback()

    def expect_signals(self) -> None:
        """See that a termination signal the application handles leaves time for what is pending."""
        self._exit.defer_termination()

    def _takeover_thread(self) -> LoopThread:
        with self._lock:
            if self._takeover is None:
                self._takeover = LoopThread('assay-takeover', self)
            return self._takeover

    def _background_thread(self) -> LoopThread:
        with self._lock:
            if self._background is None:
                self._background = LoopThread('assay-background', self)
            return self._background

    # The monitor

    def _watch(self) -> None:
        last_work = time.monotonic()
        while True:
            now = time.monotonic()
            with self._lock:
                if self._works:
                    last_work = now
                if now - last_work < LINGER:
                    self._changed.wait(TICK)
                else:
                    self._monitor_sleeps = True
                    self._changed.wait_for(lambda: self._works)
                    self._monitor_sleeps = False
                    last_work = time.monotonic()
            try:
                self._look(time.monotonic())
            except Exception as error:
                # Without the monitor nothing is ever timed out or taken over again.
                warn_safely(f'The monitor of evaluations went on after {describe(error)}.')

    def _look(self, now: float) -> None:
        for pool in self._pools:
            pool.check(now)
        for loop, lane in list(self._lanes.items()):
            if loop.is_closed():
                self.take_over(lane.release_all())
                self._forget_if_idle(loop, lane)
            elif loop.is_running():
                lane.beat = now
            elif lane.works:
                still = now - lane.beat
                self.take_over(lane.release_where(lambda work, still=still: still >= self._patience_with(work)))
            elif self._is_exiting or now - lane.beat > LINGER:
                self._forget_if_idle(loop, lane)
        if self._takeover is not None:
            self._decide_turns(self._takeover)

    def _forget_if_idle(self, loop: asyncio.AbstractEventLoop, lane: LoopLane) -> None:
        with self._lock:
            # At the end of the process the monitor and the main thread both do this.
            if not lane.works and self._lanes.pop(loop, None) is not None:
                lane.close()

    def _patience_with(self, work: Work) -> float:
        if self._is_exiting:
            return 0.0
        return STANDSTILL * 2**work.moves if work.task is not None else STANDSTILL

    # Shutting down

    def keep_open(self) -> None:
        """Note that work was handed in: whatever was shutting down before was not the process."""
        self._shutdown_spent = 0.0

    def shutdown_time_left(self) -> float:
        """Seconds of `shutdown_timeout` that no end of a loop has spent waiting yet."""
        return self.shutdown_timeout - self._shutdown_spent

    def shutdown_time_spent(self, seconds: float) -> None:
        """Note that the end of a loop was held up for so long."""
        self._shutdown_spent += seconds

    def take_over(self, works: list[Work]) -> None:
        """Move works to the loop that takes over."""
        for work in works:
            self._takeover_thread().post(work)

    def lane_drained(self) -> None:
        """A caller's loop is about to end; if a termination signal was kept waiting for that, the process is, too."""
        self._exit.loop_ended()

    async def wait_idle_async(self, timeout: float) -> bool:
        """Wait on an asyncio event loop until there is no work. Returns whether there is none."""
        loop = asyncio.get_running_loop()
        idle: asyncio.Future[bool] = loop.create_future()

        def resolve(value: bool) -> None:
            if not idle.done():
                idle.set_result(value)

        def when_idle() -> None:
            with contextlib.suppress(RuntimeError):
                # A waiter whose loop has been closed in the meantime waits no longer.
                loop.call_soon_threadsafe(resolve, True)

        with self._lock:
            if not self._works:
                return True
            self._when_idle.append(when_idle)
        timer = loop.call_later(max(0.0, timeout), resolve, False)
        try:
            return await idle
        finally:
            timer.cancel()
            with self._lock:
                if when_idle in self._when_idle:
                    self._when_idle.remove(when_idle)

    def wait_idle(self, timeout: float) -> bool:
        """Block until there is no work, for at most `timeout` seconds. Returns whether there is none."""
        with self._lock:
            return self._changed.wait_for(lambda: not self._works, min(max(0.0, timeout), threading.TIMEOUT_MAX))

    def _drain_at_exit(self) -> None:
        self._is_exiting = True
        try:
            idle = self.wait_idle(self.shutdown_time_left())
        except BaseException:
            # Ctrl-C, or a second signal that raises: whoever sent it does not want to wait. What is left is told below.
            idle = False
        if not idle:
            labels = self.labels
            self._on_exit()
            for pool in self._pools:
                pool.leave(PROCESS_ENDED)
            with self._lock:
                left = list(self._works)
            for work in left:
                work.settle(work.epoch, Settlement(left=PROCESS_ENDED))
            self._on_left(labels)
        for loop, lane in list(self._lanes.items()):
            if not loop.is_running():
                self._forget_if_idle(loop, lane)

    @property
    def is_idle(self) -> bool:
        """Whether there is no work."""
        return not self._works

    @property
    def labels(self) -> list[str]:
        """What the works that have not ended are called."""
        with self._lock:
            return [work.label for work in self._works]


async def _never() -> None:
    raise AssertionError('work of a thread is not started on a loop')


async def _wait_until_still(thread: LoopThread, loop: asyncio.AbstractEventLoop) -> None:
    still = loop.create_future()

    def resolve() -> None:
        if not still.done():
            still.set_result(None)

    def when_still() -> None:
        with contextlib.suppress(RuntimeError):
            # A run whose loop has been closed in the meantime waits no longer.
            loop.call_soon_threadsafe(resolve)

    thread.when_still(when_still)
    timer = loop.call_later(GIVE_WAY, resolve)
    try:
        await still
    finally:
        timer.cancel()
        thread.no_longer(when_still)
