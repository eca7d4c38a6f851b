"""Threads for synchronous evaluators: as few as will do."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from pydantic_ai_assay import AssayError
from pydantic_ai_assay.execution import workers
from pydantic_ai_assay.execution.work import Settlement, Work
from pydantic_ai_assay.execution.workers import WorkerPool

from .samples import BOUND


async def never() -> None: ...


class Job:
    """A function for a pool, which can be seen to begin and made to end."""

    def __init__(self, function: Callable[[], Any] | None = None, *, timeout: float | None = None) -> None:
        self._function = function
        self._may_end = threading.Event()
        self._begun = threading.Event()
        self._settled = threading.Event()
        self.thread: threading.Thread | None = None
        self.settlement: Settlement | None = None
        self.work = Work(never, label='judge', on_settled=self._on_settled, timeout=timeout)

    def __call__(self) -> Any:
        self.thread = threading.current_thread()
        self._begun.set()
        if self._function is not None:
            return self._function()
        assert self._may_end.wait(BOUND)
        return 'done'

    def _on_settled(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self._settled.set()

    @property
    def has_begun(self) -> bool:
        return self._begun.is_set()

    def begun(self) -> threading.Thread:
        assert self._begun.wait(BOUND), 'it did not begin'
        assert self.thread is not None
        return self.thread

    def end(self) -> None:
        self._may_end.set()

    def settled(self) -> Settlement:
        assert self._settled.wait(BOUND), 'it did not settle'
        assert self.settlement is not None
        return self.settlement


class Clocks:
    """Clocks that are set by hand: the time of day, and the processor time that each thread has used."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.used = 0.0

    def as_module(self) -> SimpleNamespace:
        return SimpleNamespace(
            monotonic=lambda: self.now,
            pthread_getcpuclockid=lambda ident: ident,  # pyright: ignore[reportUnknownLambdaType]
            clock_gettime=lambda _: self.used,  # pyright: ignore[reportUnknownLambdaType]
        )

    def pass_time(self, pool: WorkerPool, seconds: float = 1.0, *, share: float = 0.0) -> None:
        """Look at the pool, let time pass in which each thread uses a share of a processor, and look again."""
        pool.check(self.now)
        self.now += seconds
        self.used += seconds * share
        pool.check(self.now)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(workers, 'time', clocks.as_module())
    return clocks


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    made = WorkerPool()
    jobs: list[Job] = []
    submit = made.submit

    def submit_and_note(work: Work, function: Callable[[], Any]) -> None:
        if isinstance(function, Job):
            jobs.append(function)
        submit(work, function)

    monkeypatch.setattr(made, 'submit', submit_and_note)
    yield made
    monkeypatch.setattr(workers, 'IDLE_SECONDS', 0.0)
    for job in jobs:
        job.end()


def give(pool: WorkerPool, *jobs: Job) -> None:
    for job in jobs:
        pool.submit(job.work, job)


def test_a_function_runs_in_a_daemon_thread_and_settles_its_work(pool: WorkerPool) -> None:
    job = Job(lambda: 42)
    give(pool, job)
    assert job.settled() == Settlement(value=42)
    thread = job.begun()
    assert thread.daemon
    assert thread is not threading.main_thread()


@pytest.mark.parametrize('error', [ValueError('no'), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_whatever_a_function_raises_settles_its_work_and_leaves_the_thread(
    pool: WorkerPool, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    failing, next_one = Job(fail), Job(lambda: 1)
    give(pool, failing, next_one)
    assert failing.settled() == Settlement(error=error)
    assert next_one.settled() == Settlement(value=1)
    assert failing.begun() is next_one.begun()


def test_each_function_runs_in_an_empty_context(pool: WorkerPool) -> None:
    variable = ContextVar('variable', default='default')
    variable.set('of the caller')
    first, second = Job(lambda: variable.set('of the first')), Job(variable.get)
    give(pool, first, second)
    first.settled()
    assert second.settled().value == 'default'


def test_one_thread_is_the_rule(pool: WorkerPool) -> None:
    jobs = [Job(), Job(), Job()]
    give(pool, *jobs)
    jobs[0].begun()
    assert pool.is_busy
    assert [job.has_begun for job in jobs] == [True, False, False]
    for job in jobs:
        job.end()
    assert {job.begun() for job in jobs} == {jobs[0].begun()}


def test_an_idle_thread_takes_what_comes_next(pool: WorkerPool) -> None:
    first, second = Job(lambda: 1), Job(lambda: 2)
    give(pool, first)
    first.settled()
    wait_for_idle(pool)
    give(pool, second)
    assert second.settled().value == 2
    assert second.begun() is first.begun()


def wait_for_idle(pool: WorkerPool) -> None:
    deadline = time.monotonic() + BOUND
    while not pool._idle:  # pyright: ignore[reportPrivateUsage]
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


# More than one


def started(jobs: list[Job]) -> int:
    return len({job.thread for job in jobs if job.has_begun})


def test_threads_double_while_those_there_wait(clocks: Clocks, pool: WorkerPool) -> None:
    jobs = [Job() for _ in range(8)]
    give(pool, *jobs)
    jobs[0].begun()
    for number in (2, 4, 8):
        assert started(jobs) == number // 2
        clocks.pass_time(pool, share=0.09)
        assert len({job.begun() for job in jobs[:number]}) == number


def test_no_thread_is_added_while_those_there_compute(clocks: Clocks, pool: WorkerPool) -> None:
    jobs = [Job(), Job()]
    give(pool, *jobs)
    jobs[0].begun()
    for _ in range(5):
        clocks.pass_time(pool, share=0.11)
    assert started(jobs) == 1


def test_threads_must_have_waited_for_a_while(clocks: Clocks, pool: WorkerPool) -> None:
    jobs = [Job(), Job()]
    give(pool, *jobs)
    jobs[0].begun()
    clocks.pass_time(pool, workers.WAITING_SECONDS * 0.99)
    assert started(jobs) == 1
    clocks.pass_time(pool, workers.WAITING_SECONDS * 0.02)
    jobs[1].begun()


def test_the_wait_begins_with_the_backlog(clocks: Clocks, pool: WorkerPool) -> None:
    first, second = Job(), Job()
    give(pool, first)
    first.begun()
    clocks.pass_time(pool, 100.0)
    give(pool, second)
    pool.check(clocks.now)
    assert not second.has_begun
    clocks.pass_time(pool)
    second.begun()


def test_no_thread_is_added_where_nothing_waits(clocks: Clocks, pool: WorkerPool) -> None:
    job = Job()
    give(pool, job)
    job.begun()
    before = threading.active_count()
    clocks.pass_time(pool)
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(time, 'pthread_getcpuclockid'), reason='the system does not tell')
def test_with_the_clocks_of_the_system_threads_that_wait_are_joined_by_another(pool: WorkerPool) -> None:
    jobs = [Job(), Job()]
    give(pool, *jobs)
    jobs[0].begun()
    deadline = time.monotonic() + BOUND
    while not jobs[1].has_begun:
        assert time.monotonic() < deadline
        pool.check(time.monotonic())
        threading.Event().wait(0.001)
    assert jobs[1].begun() is not jobs[0].begun()


def test_where_processor_time_is_not_told_there_are_four_threads_at_most(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(time, 'pthread_getcpuclockid', raising=False)
    jobs = [Job() for _ in range(6)]
    give(pool, *jobs)
    jobs[0].begun()
    for _ in range(10):
        pool.check(0.0)
    assert len({job.begun() for job in jobs[:4]}) == 4
    assert not jobs[4].has_begun


def test_threads_are_bounded(clocks: Clocks, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, 'MAX_WORKERS', 3)
    jobs = [Job() for _ in range(5)]
    give(pool, *jobs)
    jobs[0].begun()
    for _ in range(5):
        clocks.pass_time(pool)
    assert len({job.begun() for job in jobs[:3]}) == 3
    assert started(jobs) == 3


def test_a_thread_that_cannot_be_started_is_made_up_for_later(
    clocks: Clocks, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    job = Job(lambda: 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', fail)
        with suppress(RuntimeError):
            give(pool, job)
    clocks.pass_time(pool)
    assert job.settled() == Settlement(value=1)


# Timeouts


def test_a_function_that_outlives_its_timeout_settles_and_loses_its_thread(clocks: Clocks, pool: WorkerPool) -> None:
    hanging, next_one = Job(timeout=5.0), Job(lambda: 1)
    give(pool, hanging, next_one)
    abandoned = hanging.begun()
    pool.check(clocks.now + 4.9)
    assert hanging.settlement is None
    pool.check(clocks.now + 5.0)
    assert hanging.settled() == Settlement(timed_out=True)
    assert next_one.settled() == Settlement(value=1)
    assert next_one.begun() is not abandoned
    hanging.end()
    abandoned.join(BOUND)
    assert not abandoned.is_alive()
    assert hanging.settlement == Settlement(timed_out=True)


def test_an_abandoned_thread_with_nothing_behind_it_is_not_replaced(clocks: Clocks, pool: WorkerPool) -> None:
    hanging, later = Job(timeout=5.0), Job(lambda: 1)
    give(pool, hanging)
    hanging.begun()
    pool.check(clocks.now + 5.0)
    assert hanging.settled() == Settlement(timed_out=True)
    assert not pool.is_busy
    give(pool, later)
    assert later.settled() == Settlement(value=1)


def test_all_threads_together_are_bounded_those_that_hang_included(
    clocks: Clocks, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, 'MAX_THREADS', 2)
    hanging = [Job(timeout=5.0), Job(timeout=5.0)]
    waiting = Job(lambda: 1)
    for job in hanging:
        give(pool, job)
        job.begun()
        pool.check(clocks.now + 5.0)
        job.settled()
    give(pool, waiting)
    pool.check(clocks.now + 10.0)
    assert not waiting.has_begun
    hanging[0].end()
    hanging[0].begun().join(BOUND)
    clocks.now += 10.0
    clocks.pass_time(pool)
    assert waiting.settled() == Settlement(value=1)


def test_what_has_waited_for_its_timeout_while_every_thread_hangs_is_out_of_time(
    clocks: Clocks, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, 'MAX_THREADS', 1)
    hanging, waiting, patient = Job(timeout=5.0), Job(timeout=5.0), Job(lambda: 1)
    give(pool, hanging)
    thread = hanging.begun()
    clocks.now += 5.0
    pool.check(clocks.now)
    assert hanging.settled() == Settlement(timed_out=True)
    give(pool, waiting, patient)
    pool.check(clocks.now + 5.0)
    assert waiting.settlement is None
    pool.check(clocks.now + 5.1)
    assert waiting.settled() == Settlement(timed_out=True)
    assert not waiting.has_begun
    hanging.end()
    thread.join(BOUND)
    pool.check(clocks.now + 10.0)
    assert patient.settled() == Settlement(value=1)


def test_of_calls_that_hang_again_and_again_no_more_are_started(
    clocks: Clocks, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would take every thread there may be, those of other evaluators among them."""
    monkeypatch.setattr(workers, 'MAX_HUNG', 2)
    hanging = [Job(timeout=5.0) for _ in range(2)]
    for job in hanging:
        give(pool, job)
        job.begun()
        pool.check(clocks.now + 5.0)
        assert job.settled() == Settlement(timed_out=True)
    refused = Job(lambda: 1)
    give(pool, refused)
    error = refused.settled().error
    assert isinstance(error, AssayError)
    assert str(error) == '2 earlier calls of judge hang in threads; none is started until one returns.'
    assert not refused.has_begun
    hanging[0].end()
    hanging[0].begun().join(BOUND)
    again = Job(lambda: 1)
    give(pool, again)
    assert again.settled() == Settlement(value=1)


def test_work_that_ends_while_it_is_looked_at_is_not_out_of_time(clocks: Clocks, pool: WorkerPool) -> None:
    first, second = Job(timeout=5.0), Job()
    give(pool, first, second)
    first.begun()
    (worker,) = pool._workers  # pyright: ignore[reportPrivateUsage]
    first.end()
    second.begun()
    pool._abandon(worker, first.work)  # pyright: ignore[reportPrivateUsage]
    assert first.settled() == Settlement(value='done')
    assert pool.is_busy
    second.end()
    assert second.settled() == Settlement(value='done')


# Ends


def test_an_idle_thread_ends(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, 'IDLE_SECONDS', 0.0)
    first, second = Job(lambda: 1), Job(lambda: 2)
    give(pool, first)
    thread = first.begun()
    thread.join(BOUND)
    assert not thread.is_alive()
    assert not pool.is_busy
    give(pool, second)
    assert second.settled() == Settlement(value=2)
    assert second.begun() is not thread


def test_a_thread_that_stands_by_does_not_end_for_want_of_work(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, 'IDLE_SECONDS', 0.0)
    first, second = Job(lambda: 1), Job(lambda: 2)
    pool.stand_by()
    give(pool, first)
    assert first.settled() == Settlement(value=1)
    # It is there already.
    pool.stand_by()
    give(pool, second)
    assert second.settled() == Settlement(value=2)
    assert second.begun() is first.begun()


def test_what_is_left_at_the_end_is_settled_as_left(pool: WorkerPool) -> None:
    running, queued = Job(), Job()
    give(pool, running, queued)
    running.begun()
    pool.leave('the process ended')
    assert running.settled() == queued.settled() == Settlement(left='the process ended')
    running.end()
    assert not queued.has_begun


def test_an_idle_thread_keeps_nothing_of_what_it_did(pool: WorkerPool) -> None:
    class Run:
        """Stands for the large things that an evaluation holds."""

    run = Run()
    gone = weakref.ref(run)
    work = Work(never, label='judge', on_settled=lambda _, run=run: settled.set())
    settled = threading.Event()
    pool.submit(work, lambda run=run: bool(run))
    assert settled.wait(BOUND)
    wait_for_idle(pool)
    del work, run
    gc.collect()
    assert gone() is None
