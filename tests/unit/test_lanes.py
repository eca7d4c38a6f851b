"""Work on a caller's event loop: started there, finished there when the loop ends, handed on where it cannot be."""

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from pydantic_ai_assay.execution import lanes
from pydantic_ai_assay.execution.lanes import Beginning, LoopLane
from pydantic_ai_assay.execution.work import Settlement, Work

from .samples import BOUND, in_thread


class Host:
    """Notes what a lane asks of the executor."""

    def __init__(self, shutdown_timeout: float = BOUND) -> None:
        self.shutdown_timeout = shutdown_timeout
        self.taken_over: list[Work] = []
        self.told: list[str] = []
        self.spent: float | None = None

    def shutdown_time_left(self) -> float:
        self.told.append('shutdown')
        return self.shutdown_timeout

    def shutdown_time_spent(self, seconds: float) -> None:
        self.spent = seconds

    def take_over(self, works: list[Work]) -> None:
        self.taken_over += works

    def lane_drained(self) -> None:
        self.told.append('drained')


class Task:
    """Work of which one sees how often it was started and how it ended."""

    def __init__(self, run: Callable[[], Awaitable[object]] | None = None, *, timeout: float | None = None) -> None:
        self._run = run
        self.starts = 0
        self.settlement: Settlement | None = None
        self.settled_in: threading.Thread | None = None
        self.settled = threading.Event()
        self.work = Work(self.start, label='judge', on_settled=self.on_settled, timeout=timeout)

    async def start(self) -> object:
        self.starts += 1
        return await self._run() if self._run is not None else await forever()

    def on_settled(self, settlement: Settlement) -> None:
        assert self.settlement is None
        self.settlement = settlement
        self.settled_in = threading.current_thread()
        self.settled.set()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, without what asyncio says of tasks that others have left."""
    gc.collect()
    caplog.clear()
    return caplog


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def answer() -> int:
    return 42


async def rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0)


def run(
    body: Callable[[LoopLane], Coroutine[Any, Any, None]], host: Host | None = None, **settings: Any
) -> tuple[LoopLane, Host]:
    """Run a coroutine function under `asyncio.run` with a lane on its loop."""
    host = Host() if host is None else host
    made: list[LoopLane] = []

    async def main() -> None:
        made.append(LoopLane(asyncio.get_running_loop(), host, **settings))
        await body(made[0])

    asyncio.run(main())
    return made[0], host


# Starting and settling


def test_work_runs_on_the_loop_in_an_empty_context() -> None:
    variable = ContextVar('variable', default='default')
    seen: list[object] = []

    async def look() -> None:
        seen.append((asyncio.get_running_loop(), variable.get()))

    task = Task(look)

    async def body(lane: LoopLane) -> None:
        variable.set("the caller's")
        lane.post(task.work)
        await until(task.settled.is_set)
        assert seen == [(lane.loop, 'default')]
        assert not lane.works

    run(body)
    assert task.settlement == Settlement(value=None)


def test_work_can_be_posted_from_another_thread() -> None:
    task = Task(answer)

    async def body(lane: LoopLane) -> None:
        in_thread(lambda: lane.post(task.work))
        await until(task.settled.is_set)

    run(body)
    assert task.settlement == Settlement(value=42)
    assert task.settled_in is threading.current_thread()


@pytest.mark.parametrize(
    'error', [ValueError('no'), asyncio.CancelledError('by itself'), SystemExit(3), GeneratorExit()], ids=repr
)
def test_whatever_work_raises_is_its_own_end_and_not_the_loops(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    failing, other = Task(fail), Task(answer)

    async def body(lane: LoopLane) -> None:
        lane.post(failing.work)
        lane.post(other.work)
        await until(lambda: failing.settled.is_set() and other.settled.is_set())

    run(body)
    assert failing.settlement == Settlement(error=error)
    assert failing.starts == 1
    assert other.settlement == Settlement(value=42)


def test_ctrl_c_in_the_main_thread_ends_the_loop_as_it_would_have() -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    task = Task(interrupt)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await forever()

    with pytest.raises(KeyboardInterrupt):
        run(body)
    assert task.settlement is not None
    assert isinstance(task.settlement.error, KeyboardInterrupt)


def test_a_keyboard_interrupt_raised_in_another_thread_is_an_error_like_any() -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    task = Task(interrupt)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await until(task.settled.is_set)
        await rounds(2)

    in_thread(lambda: run(body))
    assert task.settlement is not None
    assert isinstance(task.settlement.error, KeyboardInterrupt)


def test_work_that_takes_too_long_is_cancelled() -> None:
    cancelled: list[bool] = []

    async def hang() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    task = Task(hang, timeout=0.001)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await until(lambda: cancelled)
        await rounds(2)

    run(body)
    assert task.settlement == Settlement(timed_out=True)
    assert task.starts == 1


def test_the_timeout_of_a_start_that_was_lost_counts_no_more() -> None:
    task = Task(timeout=0.001)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await until(lambda: task.starts)
        assert lane.release_all() == [task.work]
        after_the_timeout = asyncio.Event()
        lane.loop.call_later(0.002, after_the_timeout.set)
        await after_the_timeout.wait()

    run(body)
    assert not task.settled.is_set()


def test_work_that_ends_in_time_leaves_no_timer() -> None:
    task = Task(answer, timeout=3_600)
    timers: list[asyncio.TimerHandle | None] = []

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        timers.append(task.work.timer)
        await until(task.settled.is_set)

    run(body)
    assert [timer is not None and timer.cancelled() for timer in timers] == [True]


def test_work_settled_before_its_turn_is_not_started() -> None:
    settled, moved = Task(answer), Task(answer)

    async def body(lane: LoopLane) -> None:
        for task in (settled, moved):
            in_thread(lambda task=task: lane.post(task.work))
        settled.work.settle(0, Settlement(left='the process ended'))
        assert lane.release_where(lambda work: work is moved.work) == [moved.work]
        await rounds(3)

    run(body)
    assert (settled.starts, moved.starts) == (0, 0)
    assert not moved.settled.is_set()


# Letting the caller go first


@pytest.fixture
def no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, 'HEAD_START', 0.0)


@pytest.mark.usefixtures('no_head_start')
@pytest.mark.parametrize('after', [1, 5])
def test_the_loop_goes_round_so_many_times_before_work_starts(after: int) -> None:
    task = Task(answer)
    counted: list[int] = []

    async def body(lane: LoopLane) -> None:
        lane.post(task.work, after=after)
        assert task.work in lane.works
        number = 0
        while not task.starts:
            await asyncio.sleep(0)
            number += 1
        counted.append(number)
        await until(task.settled.is_set)

    run(body)
    assert after <= counted[0] <= after + 3


@pytest.mark.usefixtures('no_head_start')
def test_works_posted_at_different_times_each_have_their_own_rounds() -> None:
    first, second = Task(answer), Task(answer)
    order: list[str] = []

    async def body(lane: LoopLane) -> None:
        lane.post(first.work, after=3)
        await rounds(2)
        lane.post(second.work, after=3)
        await until(first.settled.is_set)
        order.append(f'second started {second.starts} times')
        await until(second.settled.is_set)
        third = Task(answer)
        lane.post(third.work, after=1)
        await until(third.settled.is_set)

    run(body)
    assert order == ['second started 0 times']


def test_the_caller_has_a_head_start_in_which_no_round_is_made_for_our_sake() -> None:
    task = Task(answer)

    async def body(lane: LoopLane) -> None:
        begun = time.monotonic()
        lane.post(task.work, after=2)
        await until(task.settled.is_set)
        assert time.monotonic() - begun >= lanes.HEAD_START

    run(body)


# The end of the loop


def test_what_is_pending_when_the_loop_ends_is_finished_on_it() -> None:
    async def finish() -> int:
        # Needs the loop for a while longer than the main coroutine does.
        await rounds(20)
        return 42

    task = Task(finish)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await rounds(2)
        assert not task.settled.is_set()

    _, host = run(body)
    assert task.settlement == Settlement(value=42)
    # The sweep of `asyncio.run` cancelled the first start.
    assert task.starts == 2
    assert (host.told, host.taken_over) == (['shutdown', 'drained'], [])


def test_what_was_to_start_later_starts_when_the_loop_ends() -> None:
    task = Task(answer)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work, after=50)

    run(body)
    assert (task.settlement, task.starts) == (Settlement(value=42), 1)


def test_a_loop_with_nothing_pending_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, 'KEEPER_LINGER', BOUND)
    task = Task(answer)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await until(task.settled.is_set)

    begun = time.monotonic()
    _, host = run(body)
    assert time.monotonic() - begun < BOUND
    assert host.taken_over == []


@pytest.mark.parametrize('shutdown_timeout', [0.0, 0.01])
def test_what_does_not_finish_in_time_is_handed_on(shutdown_timeout: float) -> None:
    hanging, finished = Task(), Task(answer)

    async def body(lane: LoopLane) -> None:
        lane.post(hanging.work)
        lane.post(finished.work)
        await until(finished.settled.is_set)

    lane, host = run(body, Host(shutdown_timeout))
    assert host.taken_over == [hanging.work]
    assert not lane.works
    assert not hanging.work.is_settled
    assert host.told == ['shutdown', 'drained']


def test_work_that_another_thread_settles_ends_the_drain() -> None:
    hanging = Task()
    threads: list[threading.Thread] = []

    def settle() -> None:
        hanging.work.settle(hanging.work.epoch, Settlement(left='the process ended'))

    class Ending(Host):
        def shutdown_time_left(self) -> float:
            threads.append(threading.Thread(target=settle))
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: loop.call_soon(threads[0].start))
            return super().shutdown_time_left()

    async def body(lane: LoopLane) -> None:
        lane.post(hanging.work)
        await until(lambda: hanging.starts)

    begun = time.monotonic()
    _, host = run(body, Ending())
    assert time.monotonic() - begun < BOUND
    assert hanging.settlement == Settlement(left='the process ended')
    assert host.taken_over == []
    threads[0].join(BOUND)


def test_work_settled_from_outside_leaves_nothing_that_asyncio_would_complain_of(
    log: pytest.LogCaptureFixture,
) -> None:
    task = Task()

    def use_a_loop() -> None:
        loop = asyncio.new_event_loop()
        lane = LoopLane(loop, Host())
        lane.post(task.work)
        loop.run_until_complete(until(lambda: task.starts))
        assert task.work.settle(0, Settlement(left='the process ended'))
        lane.close()
        loop.close()
        task.work.lane = None

    use_a_loop()
    gc.collect()
    assert log.messages == []


def test_work_that_is_moved_away_ends_the_drain() -> None:
    hanging = Task()
    moved: list[Work] = []

    async def body(lane: LoopLane) -> None:
        class Moving(Host):
            def shutdown_time_left(self) -> float:
                loop = asyncio.get_running_loop()
                loop.call_soon(lambda: loop.call_soon(lambda: moved.extend(lane.release_all())))
                return super().shutdown_time_left()

        lane._host = Moving()  # pyright: ignore[reportPrivateUsage]
        lane.post(hanging.work)
        await until(lambda: hanging.starts)

    begun = time.monotonic()
    run(body)
    assert time.monotonic() - begun < BOUND
    assert moved == [hanging.work]


def test_a_drain_that_is_cancelled_goes_on() -> None:
    cancelled: list[str] = []

    async def body(lane: LoopLane) -> None:
        async def cancel_the_drain() -> int:
            await rounds(5)
            for task in asyncio.all_tasks():
                if task.get_name() == 'assay-keeper':
                    task.cancel()
                    cancelled.append(task.get_name())
            await rounds(5)
            return 42

        task = Task(cancel_the_drain)
        tasks.append(task)
        lane.post(task.work)

    tasks: list[Task] = []
    _, host = run(body)
    assert len(cancelled) == 1
    assert tasks[0].settlement == Settlement(value=42)
    assert host.told == ['shutdown', 'drained']


def test_work_that_is_interrupted_again_and_again_fails() -> None:
    async def cancel_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    task = Task(cancel_itself)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await until(task.settled.is_set)

    run(body)
    assert task.starts == lanes.MAX_MOVES + 1
    assert task.settlement is not None
    assert repr(task.settlement.error) == f"CancelledError('interrupted {lanes.MAX_MOVES + 1} times')"


def test_the_keeper_ends_a_while_after_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, 'KEEPER_LINGER', 0.001)

    def keepers() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == 'assay-keeper']

    async def body(lane: LoopLane) -> None:
        for _ in range(2):
            task = Task(lambda: rounds(3))
            lane.post(task.work)
            await until(lambda: task.starts)
            assert keepers() == ['assay-keeper']
            await until(task.settled.is_set)
            await until(lambda: not keepers())

    _, host = run(body)
    assert host.told == []


def test_the_keeper_that_lingers_keeps_what_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, 'KEEPER_LINGER', 0.001)
    first, second = Task(lambda: rounds(3)), Task()

    async def body(lane: LoopLane) -> None:
        lane.post(first.work)
        await until(first.settled.is_set)
        lane.post(second.work)
        # Longer than the keeper lingers.
        await asyncio.sleep(0.005)

    _, host = run(body, Host(0.0))
    assert host.taken_over == [second.work]
    assert host.told == ['shutdown', 'drained']


def test_work_that_ends_between_two_looks_at_it_does_not_hold_the_drain_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Task()

    def monotonic() -> float:
        # The drain has just seen that there is work, and asks how much time is left.
        in_thread(lambda: hanging.work.settle(hanging.work.epoch, Settlement(left='the process ended')))
        return time.monotonic()

    class Ending(Host):
        def shutdown_time_left(self) -> float:
            monkeypatch.setattr(lanes, 'time', SimpleNamespace(monotonic=monotonic))
            return super().shutdown_time_left()

    async def body(lane: LoopLane) -> None:
        lane.post(hanging.work)
        await until(lambda: hanging.starts)

    begun = time.monotonic()
    run(body, Ending())
    assert time.monotonic() - begun < BOUND
    assert hanging.settlement == Settlement(left='the process ended')


def test_works_that_end_in_one_round_of_the_loop_wake_the_keeper_once() -> None:
    first, second = Task(), Task()

    async def body(lane: LoopLane) -> None:
        lane.post(first.work)
        await until(lambda: first.starts)
        await rounds(2)
        first.work.settle(0, Settlement(value=1))
        lane.post(second.work)
        second.work.settle(0, Settlement(value=2))

    _, host = run(body)
    assert host.taken_over == []


# Letting go


def test_works_are_let_go_of_by_condition_and_what_had_started_is_cancelled() -> None:
    tasks = [Task() for _ in range(3)]

    async def body(lane: LoopLane) -> None:
        for task in tasks:
            lane.post(task.work)
        await until(lambda: all(task.starts for task in tasks))
        started = [task.work.task for task in tasks]
        keep = tasks[2].work
        assert set(lane.release_where(lambda work: work is not keep)) == {tasks[0].work, tasks[1].work}
        assert lane.works == {keep}
        await rounds(3)
        assert [task is not None and task.cancelled() for task in started] == [True, True, False]
        assert [task.work.epoch for task in tasks] == [1, 1, 0]
        assert lane.release_all() == [keep]

    _, host = run(body)
    assert host.taken_over == []
    assert not any(task.settled.is_set() for task in tasks)


def test_settled_work_is_not_let_go_of() -> None:
    task = Task()

    async def body(lane: LoopLane) -> None:
        lane.works.add(task.work)
        task.work.settle(0, Settlement())
        assert lane.release_all() == []
        lane.works.clear()

    run(body)


def test_who_owns_the_loop_is_told_when_there_is_no_more_work() -> None:
    emptied: list[int] = []
    tasks = [Task(answer), Task(answer)]

    async def body(lane: LoopLane) -> None:
        for task in tasks:
            lane.post(task.work)
        await until(lambda: emptied)
        emptied.append(len(lane.works))

    _, host = run(body, on_empty=lambda: emptied.append(-1))
    assert emptied == [-1, 0]
    # A loop of our own is not held up when it ends.
    assert host.told == []


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_work_posted_to_a_loop_that_stands_still_waits_for_it(loop: asyncio.AbstractEventLoop) -> None:
    task = Task(answer)
    lane = LoopLane(loop, Host())
    lane.post(task.work)
    assert not task.starts
    loop.run_until_complete(until(task.settled.is_set))
    assert task.settlement == Settlement(value=42)
    lane.close()


def test_work_posted_to_a_closed_loop_stays_listed_until_it_is_let_go_of(loop: asyncio.AbstractEventLoop) -> None:
    task = Task(answer)
    lane = LoopLane(loop, Host())
    loop.close()
    lane.post(task.work)
    assert lane.works == {task.work}
    assert lane.release_all() == [task.work]
    assert not lane.works


def test_work_can_be_settled_from_outside_after_its_loop_was_closed(
    loop: asyncio.AbstractEventLoop, log: pytest.LogCaptureFixture
) -> None:
    task = Task(timeout=3_600)
    lane = LoopLane(loop, Host())
    lane.post(task.work)
    loop.run_until_complete(until(lambda: task.starts))
    loop.close()
    released = lane.release_all()
    assert released == [task.work]
    assert task.work.settle(task.work.epoch, Settlement(left='the process ended'))
    lane.close()
    del lane
    task.work.lane = None
    gc.collect()
    assert task.settlement == Settlement(left='the process ended')
    assert log.messages == []


def test_a_timer_is_cancelled_from_another_thread_by_its_own_loop() -> None:
    task = Task(timeout=3_600)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        await until(lambda: task.starts)
        timer = task.work.timer
        assert timer is not None
        in_thread(lambda: task.work.settle(0, Settlement(left='the process ended')))
        assert not lane.works
        await until(timer.cancelled)

    run(body)


def test_a_closed_lane_is_no_longer_drained_when_its_loop_goes_on(loop: asyncio.AbstractEventLoop) -> None:
    host = Host()
    lane = LoopLane(loop, host)
    task = Task()
    lane.post(task.work)
    loop.run_until_complete(until(lambda: task.starts))
    loop.run_until_complete(rounds(2))
    assert len(asyncio.all_tasks(loop)) == 2
    assert lane.release_all() == [task.work]
    lane.close()
    lane.close()
    loop.run_until_complete(until(lambda: len(asyncio.all_tasks(loop)) == 1))
    assert host.told == []


def test_a_loop_that_is_dropped_with_work_on_it_logs_nothing(log: pytest.LogCaptureFixture) -> None:
    hanging, not_started = Task(), Task(answer)

    def use_a_loop() -> None:
        loop = asyncio.new_event_loop()
        lane = LoopLane(loop, Host())
        lane.post(hanging.work)
        loop.run_until_complete(until(lambda: hanging.starts))
        lane.post(not_started.work)
        in_thread(lane.release_all)
        lane.close()
        loop.close()
        hanging.work.lane = not_started.work.lane = None

    use_a_loop()
    gc.collect()
    assert log.messages == []
    assert (hanging.starts, not_started.starts) == (1, 0)
    assert not hanging.settled.is_set()


def a_loop_stopped_between(lane_of: Callable[[asyncio.AbstractEventLoop], LoopLane], task: Task) -> LoopLane:
    """Close a loop that took a work up in its last round, so that the work's task never took its first step."""
    loop = asyncio.new_event_loop()
    lane = lane_of(loop)
    lane.post(task.work)
    # Both are in the queue of one round: after it, the task is made and not begun.
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert (task.starts, task.work.task is None) == (0, False)
    assert lane.release_all() == [task.work]
    lane.close()
    loop.close()
    return lane


@pytest.mark.filterwarnings('error')
def test_a_loop_that_is_closed_before_a_task_began_leaves_no_coroutine_that_was_never_awaited(
    log: pytest.LogCaptureFixture,
) -> None:
    task = Task(answer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        a_loop_stopped_between(lambda loop: LoopLane(loop, Host()), task)
        task.work.lane = None
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert log.messages == []


def test_a_start_that_was_lost_before_it_began_begins_nothing() -> None:
    task = Task(answer)

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        started = task.work.task
        assert started is not None
        assert lane.release_all() == [task.work]
        await asyncio.wait([started])

    run(body)
    assert task.starts == 0
    assert not task.settled.is_set()


def test_a_coroutine_that_is_made_at_its_first_step_can_be_awaited_and_closed() -> None:
    async def note() -> None:
        steps.append('begun')
        try:
            await forever()
        finally:
            steps.append('ended')

    async def begin_and_close() -> None:
        beginning = Beginning(note)
        beginning.close()
        assert steps == []
        beginning.send(None)
        beginning.close()

    async def wait() -> None:
        async with asyncio.timeout(0):
            await Beginning(note)

    steps: list[str] = []
    asyncio.run(begin_and_close())
    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert steps == ['begun', 'ended'] * 2


def test_a_loop_that_goes_on_while_its_work_is_taken_over_begins_nothing(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is let go of when the loop has just seen that it still has it, and makes its task."""
    task = Task(answer, timeout=3_600)
    lane = LoopLane(loop, Host())
    released: list[Work] = []

    def make_context() -> Context:
        released.extend(in_thread(lane.release_all))
        return Context()

    monkeypatch.setattr(lanes, 'Context', make_context)
    lane.post(task.work)
    loop.run_until_complete(rounds(5))
    assert released == [task.work]
    assert (task.starts, task.work.epoch) == (0, 1)
    assert (task.work.task, task.work.timer) == (None, None)
    assert [each for each in asyncio.all_tasks(loop) if not each.done()] == []


def test_the_task_of_a_work_can_be_shown_before_and_after_it_began() -> None:
    task = Task()
    shown: list[str] = []

    async def body(lane: LoopLane) -> None:
        lane.post(task.work)
        started = task.work.task
        assert started is not None
        shown.append(repr(started))
        await until(lambda: task.starts)
        shown.append(repr(started))
        assert lane.release_all() == [task.work]

    run(body)
    assert all('pending' in text for text in shown)


def test_a_keeper_that_is_cancelled_before_it_began_is_followed_by_another() -> None:
    """Tests and frameworks cancel every task of a loop at times, and the loop goes on."""
    tasks = [Task(), Task()]

    async def body(lane: LoopLane) -> None:
        for task in tasks:
            lane.post(task.work)
            (keeper,) = (each for each in asyncio.all_tasks() if each.get_name() == 'assay-keeper')
            keeper.cancel()
            await asyncio.wait([keeper])
            assert keeper.cancelled()
        last = Task(lambda: rounds(20))
        lane.post(last.work)
        tasks.append(last)

    _, host = run(body, Host(0.01))
    assert tasks[2].settlement is not None
    assert set(host.taken_over) == {tasks[0].work, tasks[1].work}
