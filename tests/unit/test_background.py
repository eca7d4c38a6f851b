"""The executor: what it starts where, what it waits for, and what becomes of loops that are gone."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn

import pytest

from pydantic_ai_assay import AssayWarning
from pydantic_ai_assay.execution import background
from pydantic_ai_assay.execution.background import BackgroundExecutor
from pydantic_ai_assay.execution.process_exit import ExitGuard
from pydantic_ai_assay.execution.work import Settlement, Work, forget

from .samples import BOUND, in_thread

pytestmark = pytest.mark.anyio


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[BackgroundExecutor]:
    # The end of this process is no business of an executor of a test.
    def stay_out(self: ExitGuard) -> None:
        pass

    monkeypatch.setattr(ExitGuard, 'install', stay_out)
    executor = BackgroundExecutor(on_exit=lambda: None)
    yield executor
    assert executor.wait_idle(BOUND)


class CountedLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often it is asked whether it is closed."""

    asked = 0
    expected = 0

    def __init__(self) -> None:
        self.was_asked = threading.Event()
        super().__init__()

    def is_closed(self) -> bool:
        if threading.current_thread() is not threading.main_thread():
            self.asked += 1
            if self.asked >= self.expected:
                self.was_asked.set()
        return super().is_closed()

    def wait_until_asked(self, times: int) -> None:
        """Wait until the monitor has looked so many times more."""
        self.was_asked.clear()
        self.expected = self.asked + times
        assert self.was_asked.wait(BOUND)


@pytest.fixture
def loop() -> Iterator[CountedLoop]:
    loop = CountedLoop()
    yield loop
    loop.close()


class Task:
    """Work that begins, and ends when it is told to or when its place is lost."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.settled = threading.Event()
        self.settlement: Settlement | None = None
        self.threads: list[str] = []
        self.cancelled: list[str] = []

    async def hang(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.append(threading.current_thread().name)
            raise

    async def end_elsewhere(self) -> str:
        """Hang in this thread, and end at once in any other."""
        if threading.current_thread() is threading.main_thread():
            await self.hang()
        self.threads.append(threading.current_thread().name)
        return 'done'

    def on_settled(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.settled.set()


def start(
    executor: BackgroundExecutor,
    task: Task,
    loop: asyncio.AbstractEventLoop,
    how: Callable[[], Coroutine[Any, Any, Any]],
) -> Work:
    """Start a work on a loop, and let the loop stand still when the work has begun."""

    async def main() -> Work:
        work = executor.run_async(how, home=loop, label='judge', on_settled=task.on_settled)
        while not task.begun.is_set():
            await asyncio.sleep(0)
        return work

    return loop.run_until_complete(main())


def test_work_on_a_loop_that_stands_still_starts_anew_elsewhere(
    executor: BackgroundExecutor, loop: CountedLoop
) -> None:
    task = Task()
    start(executor, task, loop, task.end_elsewhere)
    assert task.settled.wait(BOUND)
    assert task.settlement == Settlement(value='done')
    assert (task.threads, task.cancelled) == (['MainThread', 'assay-takeover'], [])
    # When the loop goes on, what had started there is cancelled.
    loop.run_until_complete(asyncio.sleep(0.001))
    assert task.cancelled == ['MainThread']


def test_work_on_a_loop_that_goes_on_in_time_stays(executor: BackgroundExecutor, loop: CountedLoop) -> None:
    may_end = asyncio.Event()

    async def wait() -> str:
        task.begun.set()
        await may_end.wait()
        return threading.current_thread().name

    async def end() -> None:
        may_end.set()
        while not task.settled.is_set():
            await asyncio.sleep(0)

    task = Task()
    work = start(executor, task, loop, wait)
    loop.run_until_complete(end())
    assert task.settlement == Settlement(value='MainThread')
    assert work.moves == 0


def test_work_on_a_loop_that_was_closed_starts_anew_elsewhere(executor: BackgroundExecutor, loop: CountedLoop) -> None:
    task = Task()
    start(executor, task, loop, task.end_elsewhere)
    loop.close()
    assert task.settled.wait(BOUND)
    assert task.threads == ['MainThread', 'assay-takeover']


def test_a_loop_that_was_closed_is_kept_until_what_is_settling_has_settled(
    executor: BackgroundExecutor, loop: CountedLoop
) -> None:
    """Here an exporter of the user holds up the thread in which an evaluation ends."""
    settling, go_on = threading.Event(), threading.Event()

    def on_settled(settlement: Settlement) -> None:
        settling.set()
        assert go_on.wait(BOUND)

    task = Task()
    task.on_settled = on_settled
    work = start(executor, task, loop, task.hang)
    thread = threading.Thread(target=work.settle, args=(work.epoch, Settlement(left='no more time')))
    thread.start()
    assert settling.wait(BOUND)
    loop.close()
    loop.wait_until_asked(2)
    assert (executor.labels, task.threads) == (['judge'], ['MainThread'])
    go_on.set()
    thread.join(BOUND)
    assert executor.is_idle


def test_work_of_a_thread_is_none_of_a_loop(executor: BackgroundExecutor) -> None:
    settled: list[Settlement] = []
    done = threading.Event()

    def on_settled(settlement: Settlement) -> None:
        settled.append(settlement)
        done.set()

    work = executor.run_sync(lambda: 42, label='judge', on_settled=on_settled)
    assert done.wait(BOUND)
    assert settled == [Settlement(value=42)]
    with pytest.raises(AssertionError, match='not started on a loop'):
        work.start().send(None)


# What must not happen


def test_work_that_cannot_be_posted_fails(
    executor: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    in_thread(lambda: executor.run_sync(lambda: None, label='the monitor is there', on_settled=lambda _: None))
    assert executor.wait_idle(BOUND)
    task = Task()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse)
        executor.run_async(task.hang, home=loop, label='judge', on_settled=task.on_settled)
    assert task.settlement is not None
    assert repr(task.settlement.error) == 'RuntimeError("can\'t start new thread")'
    assert executor.is_idle


def test_the_monitor_survives_what_it_looks_at(
    executor: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(now: float) -> NoReturn:
        failed.set()
        raise LookupError('no such worker')

    task = Task()
    with pytest.warns(AssayWarning, match=r'The monitor of evaluations went on after LookupError: no such worker\.'):
        with monkeypatch.context() as patch:
            patch.setattr(executor.workers, 'check', fail)
            start(executor, task, loop, task.end_elsewhere)
            assert failed.wait(BOUND)
        assert task.settled.wait(BOUND)
    assert task.settlement == Settlement(value='done')


def test_a_standstill_and_the_end_of_the_wait_for_it_may_come_at_once(
    executor: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, 'GIVE_WAY', 0.0)
    begun, may_give_way, still = threading.Event(), threading.Event(), threading.Event()
    may_end: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def hold() -> None:
        event = asyncio.Event()
        may_end.append((asyncio.get_running_loop(), event))
        begun.set()
        assert may_give_way.wait(BOUND)
        await event.wait()

    executor.run_async(hold, home=loop, label='judge', on_settled=lambda _: None)
    assert begun.wait(BOUND)

    async def main() -> None:
        here = asyncio.get_running_loop()
        wait = executor.run_started(here)
        assert wait is not None
        task = asyncio.ensure_future(wait)
        here.call_soon(stand_still)
        await task
        executor.run_ended(here)

    def stand_still() -> None:
        takeover = executor._takeover  # pyright: ignore[reportPrivateUsage]
        assert takeover is not None
        takeover.when_still(still.set)
        may_give_way.set()
        # Meanwhile this loop goes round no more, and the time it would have waited is up.
        assert still.wait(BOUND)

    asyncio.run(main())
    ((there, event),) = may_end
    there.call_soon_threadsafe(event.set)


# Waiting


class Blocked:
    """A function in a worker thread that ends when it is told to."""

    def __init__(self, executor: BackgroundExecutor) -> None:
        self.may_end = threading.Event()
        executor.run_sync(self.wait, label='judge', on_settled=lambda settlement: None)

    def wait(self) -> None:
        assert self.may_end.wait(BOUND)


async def test_with_nothing_to_wait_for_there_is_no_wait(executor: BackgroundExecutor) -> None:
    assert await executor.wait_idle_async(0.0)
    assert executor.wait_idle(0.0)


async def test_waiting_ends_when_the_time_is_up(executor: BackgroundExecutor) -> None:
    blocked = Blocked(executor)
    assert not await executor.wait_idle_async(0.001)
    assert not await executor.wait_idle_async(-1.0)
    assert not executor.wait_idle(0.001)
    blocked.may_end.set()
    assert await executor.wait_idle_async(BOUND)


def test_one_may_wait_for_ever(executor: BackgroundExecutor) -> None:
    blocked = Blocked(executor)
    blocked.may_end.set()
    assert executor.wait_idle(float('inf'))


async def test_one_who_gave_up_when_the_work_ended_is_told_nothing(executor: BackgroundExecutor) -> None:
    blocked = Blocked(executor)
    task = asyncio.create_task(executor.wait_idle_async(BOUND))
    await asyncio.sleep(0)

    async def wait_too() -> bool:
        waiter = asyncio.create_task(executor.wait_idle_async(BOUND))
        await asyncio.sleep(0)
        blocked.may_end.set()
        return await waiter

    # Those who wait are told in turn, so that the first has been told, too, while its loop stood still.
    assert in_thread(lambda: asyncio.run(wait_too())) is True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_one_whose_loop_was_closed_keeps_nobody_from_being_told(
    executor: BackgroundExecutor, loop: CountedLoop
) -> None:
    blocked = Blocked(executor)

    async def begin() -> asyncio.Task[bool]:
        task = asyncio.create_task(executor.wait_idle_async(BOUND))
        await asyncio.sleep(0)
        return task

    gone = loop.run_until_complete(begin())
    loop.close()

    async def wait_too() -> bool:
        task = await begin()
        blocked.may_end.set()
        return await task

    assert asyncio.run(wait_too())
    assert not gone.done()
    # It is dropped with its loop, which is nothing to complain of here.
    forget(gone)


# The end of the process


def test_what_is_left_at_the_end_is_settled_once(executor: BackgroundExecutor, loop: CountedLoop) -> None:
    task = Task()
    work = start(executor, task, loop, task.hang)
    assert executor.labels == ['judge']
    assert work.settle(work.epoch, Settlement(left='the process ended'))
    assert not work.settle(work.epoch, Settlement(left='the process ended'))
    assert executor.is_idle
