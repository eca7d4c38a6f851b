"""Event loops in threads of ours, and how one of them stands still."""

import asyncio
import asyncio.base_events
import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pydantic_ai_assay.execution.turns import LoopThread
from pydantic_ai_assay.execution.work import Settlement, Work

from .samples import BOUND


class Host:
    def shutdown_time_left(self) -> float:
        raise AssertionError('a loop of ours does not end')

    def shutdown_time_spent(self, seconds: float) -> None:
        raise AssertionError('a loop of ours does not end')

    def take_over(self, works: list[Work]) -> None:
        raise AssertionError('a loop of ours keeps its works')

    def lane_drained(self) -> None:
        raise AssertionError('a loop of ours does not end')


class Task:
    """Work that begins, and ends when it is told to."""

    def __init__(self, thread: LoopThread, *, timeout: float | None = None) -> None:
        self._thread = thread
        self._may_end: asyncio.Event | None = None
        self._settled = threading.Event()
        self._begun = threading.Event()
        self.seen: dict[str, Any] = {}
        self.settlement: Settlement | None = None
        self.work = Work(self.run, label='judge', on_settled=self.on_settled, timeout=timeout)

    async def run(self) -> str:
        self._may_end = asyncio.Event()
        self.seen = {
            'loop': asyncio.get_running_loop(),
            'is_running': asyncio.get_running_loop().is_running(),
            'thread': threading.current_thread(),
        }
        self._begun.set()
        await self._may_end.wait()
        return 'done'

    def on_settled(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self._settled.set()

    @property
    def has_begun(self) -> bool:
        return self._begun.is_set()

    def begun(self) -> 'Task':
        assert self._begun.wait(BOUND), 'it did not begin'
        return self

    def end(self) -> None:
        assert self._may_end is not None
        self._thread.loop.call_soon_threadsafe(self._may_end.set)

    def settled(self) -> Settlement:
        assert self._settled.wait(BOUND), 'it did not settle'
        assert self.settlement is not None
        return self.settlement


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread('assay-test', Host())
    yield thread
    # Its daemon thread waits for more work for ever, and keeps the loop.
    assert not thread.is_busy


def post(thread: LoopThread, **how: Any) -> Task:
    task = Task(thread, **how)
    thread.post(task.work)
    return task


def stand_still(thread: LoopThread) -> None:
    """Hold the loop, and wait until it stands still."""
    still = threading.Event()
    thread.hold()
    thread.when_still(still.set)
    assert still.wait(BOUND), 'it did not stand still'


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_work_runs_on_the_loop_of_a_daemon_thread_started_for_it(thread: LoopThread) -> None:
    before = threading.active_count()
    assert not thread.is_busy
    task = post(thread).begun()
    assert threading.active_count() == before + 1
    assert thread.is_busy
    assert thread.is_turning
    assert task.seen['loop'] is thread.loop
    assert (task.seen['thread'].name, task.seen['thread'].daemon) == ('assay-test', True)
    task.end()
    assert task.settled() == Settlement(value='done')


def test_the_thread_waits_when_there_is_no_work_and_serves_what_comes_next(thread: LoopThread) -> None:
    first = post(thread).begun()
    first.end()
    first.settled()
    wait_for(lambda: not thread.is_turning)
    second = post(thread).begun()
    assert second.seen['thread'] is first.seen['thread']
    second.end()
    second.settled()


def test_the_loop_runs_for_its_own_thread_alone(thread: LoopThread) -> None:
    task = post(thread).begun()
    assert task.seen['is_running']
    assert not thread.loop.is_running()
    task.end()
    task.settled()


def test_a_loop_that_is_held_starts_nothing_and_goes_on_where_it_was(thread: LoopThread) -> None:
    running = post(thread).begun()
    stand_still(thread)
    assert (thread.is_held, thread.is_turning) == (True, False)
    waiting = post(thread)
    running.end()
    assert thread.is_busy
    assert not waiting.has_begun
    assert running.settlement is None
    thread.go_on()
    assert not thread.is_held
    assert running.settled() == Settlement(value='done')
    waiting.begun().end()
    assert waiting.settled() == Settlement(value='done')


def test_a_loop_may_be_held_before_it_ever_ran(thread: LoopThread) -> None:
    thread.hold()
    thread.hold()
    task = post(thread)
    called: list[bool] = []
    thread.when_still(lambda: called.append(True))
    assert (called, task.has_begun) == ([True], False)
    thread.go_on()
    thread.go_on()
    task.begun().end()
    task.settled()


def test_those_who_wait_for_the_standstill_are_called_once(thread: LoopThread) -> None:
    task = post(thread).begun()
    called: list[str] = []
    thread.when_still(lambda: called.append('first'))
    thread.when_still(lambda: called.append('second'))
    assert called == []
    stand_still(thread)
    assert called == ['first', 'second']
    thread.go_on()
    stand_still(thread)
    assert called == ['first', 'second']
    thread.go_on()
    task.end()
    task.settled()


def test_who_waits_no_longer_for_the_standstill_is_not_called(thread: LoopThread) -> None:
    task = post(thread).begun()
    called: list[str] = []

    def first() -> None:
        called.append('first')

    def second() -> None:
        called.append('second')

    thread.when_still(first)
    thread.when_still(second)
    thread.no_longer(first)
    stand_still(thread)
    assert called == ['second']
    # One who has been called already need not know.
    thread.no_longer(second)
    thread.go_on()
    task.end()
    task.settled()


@pytest.mark.parametrize('error', [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_task_that_would_end_the_process_ends_itself_and_the_loop_goes_on(
    thread: LoopThread, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Here an evaluator starts a task of its own, whose end asyncio passes on to whoever runs the loop."""
    caplog.set_level(logging.DEBUG, 'pydantic_ai_assay')

    async def end_the_process() -> None:
        raise error

    async def start_a_task() -> BaseException:
        task = asyncio.create_task(end_the_process())
        await asyncio.wait([task])
        ended = task.exception()
        assert ended is not None
        return ended

    other = post(thread).begun()
    settlements: list[Settlement] = []
    settled = threading.Event()

    def on_settled(settlement: Settlement) -> None:
        settlements.append(settlement)
        settled.set()

    thread.post(Work(start_a_task, label='judge', on_settled=on_settled))
    assert settled.wait(BOUND)
    assert settlements == [Settlement(value=error)]
    assert caplog.messages == ['an evaluator tried to end the process']
    other.end()
    assert other.settled() == Settlement(value='done')


# The clock


class Clock:
    """A monotonic clock that can be put forward."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.read = threading.Event()

    def monotonic(self) -> float:
        now = time.monotonic() + self.offset
        if threading.current_thread().name == 'assay-test':
            self.read.set()
        return now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        asyncio.base_events,
        'time',
        SimpleNamespace(monotonic=clock.monotonic, get_clock_info=time.get_clock_info),
    )
    return clock


def test_no_work_is_out_of_time_for_having_stood_still(clock: Clock, thread: LoopThread) -> None:
    task = post(thread, timeout=60.0).begun()
    for _ in range(3):
        wait_for(lambda: thread.is_turning)
        # The loop's thread notes the time after it has told of the standstill.
        thread.when_still(clock.read.clear)
        stand_still(thread)
        assert clock.read.wait(BOUND)
        clock.offset += 3_600
        thread.go_on()
    task.end()
    assert task.settled() == Settlement(value='done')


def test_work_is_out_of_time_when_the_loop_has_run_for_so_long(clock: Clock, thread: LoopThread) -> None:
    task = post(thread, timeout=60.0).begun()
    clock.offset += 3_600
    thread.loop.call_soon_threadsafe(lambda: None)
    assert task.settled() == Settlement(timed_out=True)
    wait_for(lambda: not thread.is_busy)
