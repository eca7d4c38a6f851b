"""Threads for synchronous evaluators: as few as will do."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ..errors import AssayError
from .work import Settlement, Work

__all__ = ('WorkerPool',)

MAX_WORKERS = 32
MAX_THREADS = 64
"""Bound on all threads, those that hang in an evaluator that timed out included."""
WORKERS_UNMEASURED = 4
"""Bound on workers where the system does not tell how much processor time a thread has used."""
MAX_HUNG = 8
"""Threads that may hang in calls of one name, after which no more of its calls are started."""
IDLE_SECONDS = 5.0
WAITING_SHARE = 0.1
"""Share of a processor below which a worker counts as waiting rather than computing. One that computes gets more even
where others compete for the processor or for the interpreter lock."""
WAITING_SECONDS = 0.1
"""Seconds for which all workers must have been waiting, with a backlog, before their number is doubled."""


class _Worker:
    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.work: Work | None = None
        self.deadline: float | None = None
        self.is_abandoned = False


class WorkerPool:
    """Runs functions in daemon threads.

    One thread is the rule: more threads that compute would only take turns with the application's event loop for the
    interpreter lock, at up to 5 ms a turn each. Threads are added while there is a backlog and those there are mostly
    wait (for a network, say). A function that outlives its timeout loses its thread, which ends when the function does.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without threads and works, as also a forked child does, where there are none any more."""
        self._condition = threading.Condition()
        self._queue: deque[tuple[Work, Callable[[], Any], float]] = deque()
        self._workers: set[_Worker] = set()
        self._abandoned = 0
        self._hung: Counter[str] = Counter()
        self._idle = 0
        self._is_standing_by = False
        self._window: tuple[float, float, int] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued or running."""
        return bool(self._queue) or any(worker.work is not None for worker in self._workers)

    def submit(self, work: Work, function: Callable[[], Any]) -> None:
        """Run `function` in a thread and settle `work` with what comes of it."""
        with self._condition:
            self._queue.append((work, function, time.monotonic()))
            if not self._workers:
                self._add_worker()
            elif self._idle:
                self._condition.notify()

    def stand_by(self) -> None:
        """Have one thread from now on that does not end for want of work."""
        with self._condition:
            self._is_standing_by = True
            if not self._workers:
                self._add_worker()

    def check(self, now: float) -> None:
        """Settle what is out of time, and add a thread where that would help. Called by the monitor."""
        for worker in list(self._workers):
            work, deadline = worker.work, worker.deadline
            if work is not None and deadline is not None and now >= deadline:
                self._abandon(worker, work)
        with self._condition:
            if not self._queue or self._idle:
                self._window = None
            elif not self._workers or self._are_all_waiting(now):
                for _ in range(max(1, len(self._workers))):
                    self._add_worker()
            late = self._give_up_queued(now)
        for work in late:
            work.settle(work.epoch, Settlement(timed_out=True))

    def _give_up_queued(self, now: float) -> list[Work]:
        """What has waited longer than its timeout while every thread hangs. Call with the lock held."""
        if self._workers:
            return []
        late = [item for item in self._queue if item[0].timeout is not None and now - item[2] > item[0].timeout]
        for item in late:
            self._queue.remove(item)
        return [work for work, _, _ in late]

    def leave(self, reason: str) -> None:
        """Settle everything that has not ended as left undone."""
        with self._condition:
            left = [work for work, _, _ in self._queue]
            self._queue.clear()
            left.extend(worker.work for worker in self._workers if worker.work is not None)
        for work in left:
            work.settle(work.epoch, Settlement(left=reason))

    def _abandon(self, worker: _Worker, work: Work) -> None:
        with self._condition:
            if worker.work is not work or worker.is_abandoned:
                return
            worker.is_abandoned = True
            self._abandoned += 1
            self._hung[work.label] += 1
            self._workers.discard(worker)
            if self._queue and not self._workers:
                self._add_worker()
        work.settle(work.epoch, Settlement(timed_out=True))

    def _are_all_waiting(self, now: float) -> bool:
        """Whether the workers have hardly computed for a while. Call with the lock held."""
        if not hasattr(time, 'pthread_getcpuclockid'):
            return len(self._workers) < WORKERS_UNMEASURED
        count, used = len(self._workers), sum(map(_cpu_seconds, self._workers))
        if self._window is None or self._window[2] != count:
            self._window = (now, used, count)
            return False
        since, used_before, _ = self._window
        if now - since < WAITING_SECONDS:
            return False
        self._window = (now, used, count)
        return used - used_before < (now - since) * count * WAITING_SHARE

    def _add_worker(self) -> None:
        if len(self._workers) >= MAX_WORKERS or len(self._workers) + self._abandoned >= MAX_THREADS:
            return
        worker = _Worker()
        worker.thread = threading.Thread(target=self._main, args=(worker,), name='assay-worker', daemon=True)
        try:
            worker.thread.start()
        except RuntimeError:
            # No thread can be started now; what is queued waits for the monitor's next look.
            return
        self._workers.add(worker)

    def _main(self, worker: _Worker) -> None:
        while (item := self._next(worker)) is not None:
            work, function = item
            label = work.label
            try:
                if self._hung[label] >= MAX_HUNG:
                    raise AssayError(
                        f'{MAX_HUNG} earlier calls of {label} hang in threads; none is started until one returns.'
                    )
                value = Context().run(function)
            except BaseException as error:
                settlement = Settlement(error=error)
            else:
                settlement = Settlement(value=value)
            del function, item
            work.settle(work.epoch, settlement)
            del work, settlement
            with self._condition:
                worker.work = worker.deadline = None
                if worker.is_abandoned:
                    self._abandoned -= 1
                    self._hung[label] -= 1
                    return

    def _has_next(self) -> bool:
        """Whether there is a work to begin; those that were stopped before are forgotten. Call with the lock held."""
        while self._queue and self._queue[0][0].is_settled:
            self._queue.popleft()
        return bool(self._queue)

    def _idle_seconds(self) -> float | None:
        return None if self._is_standing_by and len(self._workers) == 1 else IDLE_SECONDS

    def _next(self, worker: _Worker) -> tuple[Work, Callable[[], Any]] | None:
        with self._condition:
            if not self._has_next():
                self._idle += 1
                self._condition.wait_for(self._has_next, self._idle_seconds())
                self._idle -= 1
            if not self._queue:
                self._workers.discard(worker)
                return None
            work, function, _ = self._queue.popleft()
            worker.work = work
            if work.timeout is not None:
                worker.deadline = time.monotonic() + work.timeout
            return work, function


def _cpu_seconds(worker: _Worker) -> float:
    thread = worker.thread
    assert thread is not None and thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
