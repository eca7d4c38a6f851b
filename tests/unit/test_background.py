"""The executor: what it starts where, what it waits for, and what becomes of loops that are gone."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

import pytest

from pydantic_ai_assay import AssayWarning
from pydantic_ai_assay.execution import background, lanes, turns
from pydantic_ai_assay.execution.background import LINGER, STANDSTILL, BackgroundExecutor
from pydantic_ai_assay.execution.turns import LoopThread
from pydantic_ai_assay.execution.work import Settlement, Work, forget

from .samples import BOUND, in_thread

pytestmark = pytest.mark.anyio


Ending = list[Callable[[], None]]


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Ending:
    """What is to be called when the process ends: the end of this one is no business of an executor of a test."""
    ending: Ending = []
    monkeypatch.setattr(threading, '_register_atexit', ending.append)
    return ending


@pytest.fixture
def left() -> list[str]:
    """What was told, when the process ended, to be left undone."""
    return []


@pytest.fixture
def executor(ending: Ending, left: list[str]) -> Iterator[BackgroundExecutor]:
    executor = BackgroundExecutor(on_exit=lambda: None, on_left=lambda labels: left.extend(sorted(labels)))
    yield executor
    assert executor.wait_idle(BOUND)


@pytest.fixture
def unwatched(executor: BackgroundExecutor, monkeypatch: pytest.MonkeyPatch) -> BackgroundExecutor:
    """An executor that looks at its loops when it is told to, and not by itself."""
    monkeypatch.setattr(executor, '_watch', lambda: None)
    return executor


def look(executor: BackgroundExecutor, now: float = 0.0) -> None:
    executor._look(now)  # pyright: ignore[reportPrivateUsage]


def takeover_of(executor: BackgroundExecutor) -> LoopThread:
    takeover = executor._takeover  # pyright: ignore[reportPrivateUsage]
    assert takeover is not None
    return takeover


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0)


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


# Where


@pytest.mark.parametrize(('in_background', 'thread'), [(True, 'assay-background'), (False, 'assay-takeover')])
def test_what_comes_of_work_on_a_loop_of_ours_is_done_there_to_its_end(
    executor: BackgroundExecutor, loop: CountedLoop, in_background: bool, thread: str
) -> None:
    first, second = Task(), Task()

    async def outlast_the_first() -> str:
        second.threads.append(threading.current_thread().name)
        await until(first.settled.is_set)
        # The loop is not stopped with the work that came first.
        for _ in range(20):
            await asyncio.sleep(0)
        return 'done'

    async def begin_another() -> str:
        here = asyncio.get_running_loop()
        executor.run_async(outlast_the_first, home=here, label='second', on_settled=second.on_settled)
        await until(lambda: second.threads)
        return await first.end_elsewhere()

    executor.run_async(
        begin_another, home=loop, label='first', on_settled=first.on_settled, in_background=in_background
    )
    assert first.settled.wait(BOUND)
    assert second.settled.wait(BOUND)
    assert (first.threads, second.threads) == ([thread], [thread])


def keepers(loop: asyncio.AbstractEventLoop) -> int:
    return sum(task.get_name() == 'assay-keeper' for task in asyncio.all_tasks(loop))


def test_one_keeper_keeps_all_works_of_a_loop(executor: BackgroundExecutor, loop: CountedLoop) -> None:
    tasks = [Task(), Task()]
    may_end = asyncio.Event()

    async def wait() -> str:
        await may_end.wait()
        return threading.current_thread().name

    async def main() -> None:
        for task in tasks:
            executor.run_async(wait, home=loop, label='judge', on_settled=task.on_settled)
        assert keepers(loop) == 1
        may_end.set()
        await until(lambda: all(task.settled.is_set() for task in tasks))

    loop.run_until_complete(main())
    assert [task.settlement for task in tasks] == [Settlement(value='MainThread')] * 2


# What the monitor sees


def running(executor: BackgroundExecutor, loop: asyncio.AbstractEventLoop, now: float) -> None:
    """Look at a loop while it runs."""

    async def main() -> None:
        look(executor, now)

    loop.run_until_complete(main())


@pytest.mark.parametrize(('moves', 'patience'), [(0, STANDSTILL), (2, STANDSTILL * 4)])
def test_the_patience_with_a_loop_doubles_each_time_work_that_had_started_was_moved(
    unwatched: BackgroundExecutor, loop: CountedLoop, moves: int, patience: float
) -> None:
    task = Task()
    work = start(unwatched, task, loop, task.end_elsewhere)
    work.moves = moves
    running(unwatched, loop, 0.0)
    look(unwatched, patience * 0.99)
    assert work.moves == moves
    look(unwatched, patience)
    assert work.moves == moves + 1
    assert task.settled.wait(BOUND)
    assert task.threads == ['MainThread', 'assay-takeover']


def test_there_is_no_more_patience_for_work_that_had_not_started(
    unwatched: BackgroundExecutor, loop: CountedLoop
) -> None:
    task = Task()

    async def main() -> Work:
        return unwatched.run_async(
            task.end_elsewhere, home=loop, label='judge', on_settled=task.on_settled, after=1_000
        )

    work = loop.run_until_complete(main())
    work.moves = 2
    running(unwatched, loop, 0.0)
    look(unwatched, STANDSTILL)
    assert task.settled.wait(BOUND)
    assert (work.moves, task.threads) == (3, ['assay-takeover'])


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def as_module(self) -> SimpleNamespace:
        return SimpleNamespace(monotonic=lambda: self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_loop_begins_to_stand_still_when_the_last_run_on_it_has_ended(
    unwatched: BackgroundExecutor, loop: CountedLoop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task()
    work = start(unwatched, task, loop, task.end_elsewhere)
    running(unwatched, loop, 0.0)
    monkeypatch.setattr(background, 'time', clock.as_module())
    unwatched.run_started(loop)
    unwatched.run_ended(loop)
    look(unwatched, clock.now + STANDSTILL / 2)
    assert work.moves == 0
    look(unwatched, clock.now + STANDSTILL * 2)
    assert work.moves == 1
    assert task.settled.wait(BOUND)


def end_at_once(executor: BackgroundExecutor, loop: CountedLoop) -> None:
    task = Task()

    async def main() -> None:
        executor.run_async(answer, home=loop, label='judge', on_settled=task.on_settled)
        await until(task.settled.is_set)

    loop.run_until_complete(main())
    assert task.settlement == Settlement(value='MainThread')


async def answer() -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return threading.current_thread().name


def go_round(loop: CountedLoop) -> None:
    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_a_loop_that_stands_still_without_work_is_forgotten_after_a_while(
    unwatched: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, 'KEEPER_LINGER', 3_600.0)
    end_at_once(unwatched, loop)
    running(unwatched, loop, 0.0)
    look(unwatched, LINGER)
    go_round(loop)
    assert keepers(loop) == 1
    look(unwatched, LINGER * 1.01)
    go_round(loop)
    assert keepers(loop) == 0
    # Work that comes later is done there as before.
    end_at_once(unwatched, loop)
    assert keepers(loop) == 1


class Interrupting:
    """A lock before which, once, something else happens: as if another thread had come first."""

    def __init__(self, lock: threading.Lock, number: int, what: Callable[[], object]) -> None:
        self._lock = lock
        self._number = number
        self._what = what

    def __enter__(self) -> None:
        self._number -= 1
        if not self._number:
            self._what()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_work_that_comes_while_its_lane_is_being_forgotten_has_a_keeper(
    unwatched: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_at_once(unwatched, loop)
    task = Task()

    def forget_the_lane() -> None:
        # As the monitor does.
        unwatched._lanes.pop(loop).close()  # pyright: ignore[reportPrivateUsage]

    async def main() -> None:
        # The first hold of the lock lists the work, the second one gives it its lane.
        lock = Interrupting(unwatched._lock, 2, forget_the_lane)  # pyright: ignore[reportPrivateUsage]
        with monkeypatch.context() as patch:
            patch.setattr(unwatched, '_lock', lock)
            work = unwatched.run_async(task.hang, home=loop, label='judge', on_settled=task.on_settled)
        # The keeper of the lane that was forgotten ends.
        for _ in range(5):
            await asyncio.sleep(0)
        assert keepers(loop) == 1
        work.settle(0, Settlement())

    loop.run_until_complete(main())


def test_the_monitor_sleeps_without_work_and_wakes_for_it(
    executor: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, 'LINGER', 0.001)
    end_at_once(executor, loop)
    assert executor.wait_idle(BOUND)
    deadline = time.monotonic() + BOUND
    while not executor._monitor_sleeps:  # pyright: ignore[reportPrivateUsage]
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)
    task = Task()
    start(executor, task, loop, task.end_elsewhere)
    # Nobody but the monitor moves it.
    assert task.settled.wait(BOUND)
    assert task.threads == ['MainThread', 'assay-takeover']


# Turns


class Held:
    """Work on the loop that takes over: it holds that loop until it gives way, and ends when it is told to."""

    def __init__(self, executor: BackgroundExecutor, home: asyncio.AbstractEventLoop) -> None:
        self.threads: list[str] = []
        self.settled = threading.Event()
        self._begun = threading.Event()
        self._may_give_way = threading.Event()
        self._may_end: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        executor.run_async(self.run, home=home, label='judge', on_settled=lambda _: self.settled.set())
        assert self._begun.wait(BOUND)

    async def run(self) -> None:
        self._may_end = asyncio.get_running_loop(), asyncio.Event()
        self.threads.append(threading.current_thread().name)
        self._begun.set()
        assert self._may_give_way.wait(BOUND)
        await self._may_end[1].wait()

    def give_way(self) -> None:
        self._may_give_way.set()

    def end(self) -> None:
        self.give_way()
        assert self._may_end is not None
        loop, event = self._may_end
        loop.call_soon_threadsafe(event.set)
        assert self.settled.wait(BOUND)


async def test_a_run_has_nothing_to_wait_for_where_nothing_is_taken_over(
    executor: BackgroundExecutor, loop: CountedLoop
) -> None:
    here = asyncio.get_running_loop()
    assert executor.run_started(here) is None
    executor.run_ended(here)
    Held(executor, loop).end()
    assert executor.wait_idle(BOUND)
    assert executor.run_started(here) is None
    executor.run_ended(here)
    assert not takeover_of(executor).is_held


async def test_an_agent_that_judges_on_the_loop_that_takes_over_does_not_wait_for_that_loop(
    unwatched: BackgroundExecutor, loop: CountedLoop
) -> None:
    here = asyncio.get_running_loop()
    assert unwatched.run_started(here) is None
    task = Task()

    async def judge() -> tuple[bool, bool]:
        there = asyncio.get_running_loop()
        look(unwatched)
        wait = unwatched.run_started(there)
        unwatched.run_ended(there)
        return takeover_of(unwatched).is_held, wait is None

    unwatched.run_async(judge, home=loop, label='judge', on_settled=task.on_settled)
    assert task.settled.wait(BOUND)
    assert task.settlement == Settlement(value=(True, True))
    unwatched.run_ended(here)
    look(unwatched)


async def test_the_loop_that_takes_over_stands_still_until_the_last_run_of_a_loop_has_ended(
    unwatched: BackgroundExecutor, loop: CountedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, 'GIVE_WAY', BOUND)
    held = Held(unwatched, loop)
    takeover = takeover_of(unwatched)
    here = asyncio.get_running_loop()
    wait = unwatched.run_started(here)
    assert wait is not None
    # The loop that takes over gives way only when the run waits for it.
    here.call_soon(held.give_way)
    await wait
    assert (takeover.is_held, takeover.is_turning) == (True, False)
    assert unwatched.run_started(here) is None
    unwatched.run_ended(here)
    look(unwatched)
    assert takeover.is_held
    unwatched.run_ended(here)
    look(unwatched)
    assert not takeover.is_held
    held.end()


async def test_the_loop_that_takes_over_stands_still_while_work_is_done_at_home(
    unwatched: BackgroundExecutor, loop: CountedLoop
) -> None:
    held = Held(unwatched, loop)
    may_end = asyncio.Event()
    task = Task()
    here = asyncio.get_running_loop()
    unwatched.run_async(may_end.wait, home=here, label='judge', on_settled=task.on_settled)
    look(unwatched)
    assert takeover_of(unwatched).is_held
    may_end.set()
    await until(task.settled.is_set)
    look(unwatched)
    assert not takeover_of(unwatched).is_held
    held.end()


async def test_where_two_loops_run_agents_there_is_nothing_to_stand_still_for(
    unwatched: BackgroundExecutor, loop: CountedLoop
) -> None:
    here = asyncio.get_running_loop()
    unwatched.run_started(here)
    held = Held(unwatched, loop)
    look(unwatched)
    seen = [takeover_of(unwatched).is_held]

    async def run_there() -> None:
        there = asyncio.get_running_loop()
        seen.append(unwatched.run_started(there) is None)
        seen.append(takeover_of(unwatched).is_held)
        unwatched.run_ended(there)
        look(unwatched)
        seen.append(takeover_of(unwatched).is_held)

    in_thread(lambda: asyncio.run(run_there()))
    assert seen == [True, True, False, True]
    unwatched.run_ended(here)
    look(unwatched)
    held.end()


async def test_work_that_was_held_for_too_long_is_done_on_the_loop_it_stood_still_for(
    unwatched: BackgroundExecutor, loop: CountedLoop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, 'time', clock.as_module())
    here = asyncio.get_running_loop()
    unwatched.run_started(here)
    held = Held(unwatched, loop)
    held.give_way()
    look(unwatched)
    clock.now += background.HELD_TOO_LONG
    look(unwatched)
    await asyncio.sleep(0)
    assert held.threads == ['assay-takeover']
    clock.now += 0.1
    look(unwatched)
    await until(lambda: len(held.threads) == 2)
    assert held.threads == ['assay-takeover', 'MainThread']
    assert not takeover_of(unwatched).is_busy
    unwatched.run_ended(here)
    look(unwatched)
    # It ends at home, so that this loop has to go round.
    await asyncio.to_thread(held.end)


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
        takeover_of(executor).when_still(still.set)
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


class Waited(threading.Condition):
    """A condition that calls a function when one begins to wait on it."""

    def __init__(self, executor: BackgroundExecutor, on_wait: Callable[[], object]) -> None:
        super().__init__(executor._lock)  # pyright: ignore[reportPrivateUsage]
        self._on_wait = on_wait

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        self._on_wait()
        return super().wait_for(predicate, timeout)


def test_what_ends_in_time_is_waited_for(
    unwatched: BackgroundExecutor, ending: Ending, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwatched.shutdown_timeout = BOUND
    blocked = Blocked(unwatched)
    (finish,) = ending
    with monkeypatch.context() as patch:
        patch.setattr(unwatched, '_changed', Waited(unwatched, blocked.may_end.set))
        finish()
    assert unwatched.is_idle
    assert left == []


def test_what_does_not_end_in_time_is_told_and_left(
    unwatched: BackgroundExecutor, loop: CountedLoop, ending: Ending, left: list[str]
) -> None:
    settlements: list[Settlement] = []
    task = Task()
    start(unwatched, task, loop, task.hang)
    may_end = threading.Event()
    begun: list[str] = []
    pools = (unwatched.workers, unwatched.callbacks)
    for pool in pools:
        unwatched.run_sync(lambda: may_end.wait(BOUND), label='running', on_settled=settlements.append, pool=pool)
        unwatched.run_sync(lambda: begun.append('queued'), label='queued', on_settled=settlements.append, pool=pool)
    (finish,) = ending
    finish()
    assert left == ['judge', 'queued', 'queued', 'running', 'running']
    assert [task.settlement, *settlements] == [Settlement(left='the process ended')] * 5
    assert unwatched.is_idle
    # What had not begun does not begin any more.
    may_end.set()
    for pool in pools:
        unwatched.run_sync(lambda: begun.append('later'), label='later', on_settled=lambda _: None, pool=pool)
    assert unwatched.wait_idle(BOUND)
    assert begun == ['later'] * 2


Signals = list[int]


@pytest.fixture
def signals() -> Iterator[Signals]:
    """The termination signals that the application has handled."""
    if not hasattr(signal, 'pthread_sigmask'):
        pytest.skip('the system blocks no signals')
    signals: Signals = []

    def handle(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    yield signals
    # One that is still pending is dropped.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures('signals')
def test_a_signal_that_raises_ends_the_wait_and_what_is_left_is_told(
    unwatched: BackgroundExecutor, ending: Ending, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwatched.shutdown_timeout = 3_600.0
    task = Task()
    may_end = threading.Event()
    unwatched.run_sync(lambda: may_end.wait(BOUND), label='judge', on_settled=task.on_settled)

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(3)

    signal.signal(signal.SIGTERM, leave)
    (finish,) = ending
    with monkeypatch.context() as patch:
        patch.setattr(unwatched, '_changed', Waited(unwatched, lambda: signal.raise_signal(signal.SIGTERM)))
        finish()
    assert left == ['judge']
    assert task.settlement == Settlement(left='the process ended')
    may_end.set()


def test_at_the_end_work_is_taken_over_without_patience(
    executor: BackgroundExecutor,
    loop: CountedLoop,
    ending: Ending,
    left: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, 'STANDSTILL', 3_600.0)
    executor.shutdown_timeout = BOUND
    task = Task()
    start(executor, task, loop, task.end_elsewhere)
    (finish,) = ending
    finish()
    assert (task.settlement, left) == (Settlement(value='done'), [])


async def test_at_the_end_no_loop_stands_still_for_another(
    unwatched: BackgroundExecutor, loop: CountedLoop, ending: Ending, left: list[str]
) -> None:
    here = asyncio.get_running_loop()
    unwatched.run_started(here)
    held = Held(unwatched, loop)
    look(unwatched)
    assert takeover_of(unwatched).is_held
    (finish,) = ending
    finish()
    look(unwatched)
    assert not takeover_of(unwatched).is_held
    assert left == ['judge']
    unwatched.run_ended(here)
    held.give_way()


def test_at_the_end_loops_that_stand_still_are_forgotten(
    unwatched: BackgroundExecutor, loop: CountedLoop, ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, 'KEEPER_LINGER', 3_600.0)
    end_at_once(unwatched, loop)
    go_round(loop)
    assert keepers(loop) == 1
    (finish,) = ending
    finish()
    go_round(loop)
    assert keepers(loop) == 0


def test_the_ends_of_all_loops_share_the_time_there_is(executor: BackgroundExecutor) -> None:
    executor.shutdown_timeout = 10.0
    executor.shutdown_time_spent(4.0)
    executor.shutdown_time_spent(1.0)
    assert executor.shutdown_time_left() == 5.0
    # More work came, so that it was not the end.
    executor.keep_open()
    assert executor.shutdown_time_left() == 10.0


def test_a_signal_that_was_kept_waiting_comes_through_when_the_loop_has_ended(
    unwatched: BackgroundExecutor, loop: CountedLoop, left: list[str], signals: Signals
) -> None:
    unwatched.shutdown_timeout = BOUND
    task = Task()

    async def finish() -> int:
        for _ in range(20):
            await asyncio.sleep(0)
        return len(signals)

    async def main() -> None:
        unwatched.expect_signals()
        here = asyncio.get_running_loop()
        unwatched.run_async(finish, home=here, label='judge', on_settled=task.on_settled)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    asyncio.run(main())
    # The first one was handled at once, the second one after the work.
    assert task.settlement == Settlement(value=1)
    assert signals == [signal.SIGTERM] * 2
    assert left == []
