"""A lane: one event loop on which work is done, for as long as the loop runs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from .work import Settlement, Work, forget

__all__ = ('LaneHost', 'LoopLane', 'running_loop')

HEAD_START = 0.001
"""Seconds before the loop begins to count its rounds: rounds made for our sake alone would slow the caller down."""
KEEPER_LINGER = 0.1
"""Seconds for which the keeper outlives the work: making a new one costs the caller's path."""
MAX_MOVES = 12
"""How often a piece of work is started anew before it counts as failed."""


class LaneHost(Protocol):
    """What a lane needs from the pipeline."""

    def shutdown_time_left(self) -> float:
        """Seconds for which the end of the loop may be held up."""
        ...

    def shutdown_time_spent(self, seconds: float) -> None:
        """The end of the loop was held up for so long."""
        ...

    def take_over(self, works: list[Work]) -> None:
        """Move works to the loop that takes over."""
        ...

    def lane_drained(self) -> None:
        """The caller's loop has nothing left that could still be waited for."""
        ...


class Beginning(Coroutine[Any, Any, None]):
    """A coroutine that is made when it takes its first step.

    A loop can be stopped when a task was made and has not begun, and closed later: the task's coroutine would never have
    been awaited, which Python warns of.
    """

    __slots__ = ('_begun', '_make')

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._make = make
        self._begun: Coroutine[Any, Any, None] | None = None

    def send(self, value: Any) -> Any:
        """Take a step, the first of which makes the coroutine."""
        if self._begun is None:
            self._begun = self._make()
        return self._begun.send(value)

    def throw(self, error: Any, value: Any = None, traceback: Any = None, /) -> Any:
        """Raise an error where the coroutine stands; a task only ever passes the error itself."""
        if self._begun is None:
            raise error
        return self._begun.throw(error)

    def close(self) -> None:
        """End the coroutine, if it was made."""
        if self._begun is not None:
            self._begun.close()

    def __await__(self) -> Generator[Any, Any, None]:
        """Await the coroutine, as any other."""
        return self._make().__await__()


class LoopLane:
    """Work on one event loop.

    On a caller's loop, a keeper task lives while there is work, and a little longer. `asyncio.run` (and whatever else
    ends a loop in good order) cancels all tasks when its main coroutine has ended, and then waits for them: the keeper
    uses that time to finish what is pending. (The loop's asynchronous generators are closed only after that, with those
    of the judges among them, so that would be too late.)
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, host: LaneHost, *, on_empty: Callable[[], None] | None = None):
        self.loop = loop
        self.works: set[Work] = set()
        self.beat = time.monotonic()
        self._host = host
        self._on_empty = on_empty
        self._is_callers = on_empty is None
        self._context = Context()
        self._inbox: deque[tuple[int, Work, int]] = deque()
        self._tick_count = 0
        self._is_ticking = False
        self._is_closed = False
        self._keeper: asyncio.Task[None] | None = None
        self._wake_keeper: asyncio.Future[None] | None = None

    def post(self, work: Work, *, after: int = 0) -> None:
        """Start `work` here, from whatever thread. On a loop that stands still, it waits for the loop to go on.

        Args:
            work: The work.
            after: Only from the loop's own thread: let the loop go round this many times first.
        """
        work.lane = self
        self.works.add(work)
        if after:
            self._inbox.append((self._tick_count + after, work, work.epoch))
            if not self._is_ticking:
                self._is_ticking = True
                self._keep()
                self.loop.call_later(HEAD_START, self._tick, context=self._context)
        elif running_loop() is self.loop:
            self._start(work, work.epoch)
        else:
            try:
                self.loop.call_soon_threadsafe(self._start, work, work.epoch, context=self._context)
            except RuntimeError:
                # The loop has been closed. The work stays listed here, where the monitor finds it and moves it.
                return

    def discard(self, work: Work) -> None:
        """Forget a settled or moved work."""
        self.works.discard(work)
        if not self.works:
            if self._on_empty is not None:
                self._on_empty()
            else:
                self._wake()

    def stop(self, work: Work, settlement: Settlement) -> None:
        """End a work of this lane, from whatever thread, and cancel its task. On a loop that stands still, it waits."""
        self._call(partial(self._end, work, None, settlement))

    def cancel_timer(self, timer: asyncio.TimerHandle) -> None:
        """Cancel a timer of this lane, from whatever thread."""
        self._call(timer.cancel)

    def release_all(self) -> list[Work]:
        """Let go of all works, so that they can start anew elsewhere."""
        return self.release_where(lambda _: True)

    def release_where(self, condition: Callable[[Work], bool]) -> list[Work]:
        """Let go of the works that meet `condition`; those that had started are cancelled if the loop runs again."""
        released: list[Work] = []
        for work in list(self.works):
            if not condition(work):
                continue
            task = work.begin_anew()
            if work.is_settled:
                continue
            self.works.discard(work)
            if task is not None:
                forget(task)
                self._call_threadsafe(task.cancel)
            released.append(work)
        if released and not self.works:
            self._wake()
        return released

    def _call(self, callback: Callable[[], object]) -> None:
        if running_loop() is self.loop:
            callback()
        else:
            self._call_threadsafe(callback)

    def _call_threadsafe(self, callback: Callable[[], object]) -> None:
        try:
            self.loop.call_soon_threadsafe(callback, context=self._context)
        except RuntimeError:
            # The loop has been closed, so nothing of it will ever run again.
            return

    def _tick(self) -> None:
        self._tick_count += 1
        inbox = self._inbox
        while inbox and inbox[0][0] <= self._tick_count:
            _, work, epoch = inbox.popleft()
            self._start(work, epoch)
        if inbox:
            self.loop.call_soon(self._tick, context=self._context)
        else:
            self._is_ticking = False

    def _start(self, work: Work, epoch: int) -> None:
        if work.is_settled or work.epoch != epoch:
            return
        # Not `create_task`: a task factory may begin the task here and now, which is too early.
        task = asyncio.Task(Beginning(partial(self._run, work, epoch)), loop=self.loop, context=Context())
        if not work.begin(epoch, task):
            # It was taken over at this moment.
            task.cancel()
            return
        task.add_done_callback(partial(self._check_interrupted, work, epoch), context=self._context)
        if work.timeout is not None:
            expire = partial(self._end, work, epoch, Settlement(timed_out=True))
            work.timer = self.loop.call_later(work.timeout, expire, context=self._context)
        self._keep()

    async def _run(self, work: Work, epoch: int) -> None:
        if work.is_settled or work.epoch != epoch:
            return
        task = asyncio.current_task()
        assert task is not None
        try:
            value = await work.start()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and task.cancelling():
                raise
            work.settle(epoch, Settlement(error=error))
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
        else:
            work.settle(epoch, Settlement(value=value))

    def _check_interrupted(self, work: Work, epoch: int, task: asyncio.Task[None]) -> None:
        """Start a work anew whose task was cancelled: the loop is ending, and the keeper is holding it up for us."""
        if not task.cancelled() or work.is_settled or work.epoch != epoch:
            return
        if work.moves >= MAX_MOVES:
            work.settle(epoch, Settlement(error=asyncio.CancelledError(f'interrupted {work.moves + 1} times')))
            return
        work.begin_anew()
        self._start(work, work.epoch)

    def _end(self, work: Work, epoch: int | None, settlement: Settlement) -> None:
        task = work.task
        if work.settle(epoch, settlement) and task is not None:
            task.cancel()

    def _keep(self) -> None:
        if self._is_callers and self._keeper is None:
            self._keeper = asyncio.Task(
                Beginning(self._keep_until_idle), loop=self.loop, context=Context(), name='assay-keeper'
            )
            self._keeper.add_done_callback(self._keeper_ended, context=self._context)
            # Where a loop is dropped without being closed, its pending tasks are, too, and that is no fault.
            forget(self._keeper)

    def close(self) -> None:
        """End the lane of a loop that stands still or is closed: its keeper ends if the loop ever goes on."""
        self._is_closed = True
        if self._keeper is not None:
            self._call_threadsafe(self._keeper.cancel)

    def abandon(self) -> None:
        """Let go of everything in a forked child, where the loop and its tasks are copies of the parent's.

        The works count no more. Should the child go on with its copy of the loop, they must not be done twice.
        """
        self._is_closed = True
        for task in (self._keeper, *(work.task for work in self.works)):
            if task is not None:
                forget(task)
                with contextlib.suppress(RuntimeError):
                    # A loop that was closed takes no more callbacks.
                    task.cancel()
        self.works.clear()

    def _wake(self) -> None:
        future = self._wake_keeper
        if future is None:
            return
        if running_loop() is self.loop:
            _resolve(future)
        else:
            self._call_threadsafe(lambda: _resolve(future))

    async def _keep_until_idle(self) -> None:
        try:
            while self.works:
                while self.works:
                    await self._until_woken()
                await asyncio.sleep(KEEPER_LINGER)
        except asyncio.CancelledError:
            if not self._is_closed:
                await self._drain()
        finally:
            self._keeper = self._wake_keeper = None

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if self._keeper is keeper:
            # It was cancelled before it began.
            self._keeper = None

    async def _until_woken(self, timeout: float | None = None) -> None:
        """Wait until there may be no work left, or for `timeout` seconds."""
        future = self._wake_keeper = self.loop.create_future()
        timer = self.loop.call_later(timeout, _resolve, future) if timeout is not None else None
        try:
            if self.works:
                await future
        finally:
            self._wake_keeper = None
            if timer is not None:
                timer.cancel()

    async def _drain(self) -> None:
        began = time.monotonic()
        deadline = began + self._host.shutdown_time_left()
        while self.works and (remaining := deadline - time.monotonic()) > 0:
            try:
                await self._until_woken(remaining)
            except asyncio.CancelledError:
                # The loop is ending all the same; the deadline bounds how long we hold it up.
                continue
        self._host.shutdown_time_spent(time.monotonic() - began)
        if self.works:
            self._host.take_over(self.release_all())
        self._host.lane_drained()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
