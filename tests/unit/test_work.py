"""A piece of work settles exactly once, however many times it was started."""

import asyncio
import threading
from typing import Any, NoReturn

import pytest

from pydantic_ai_assay import AssayWarning
from pydantic_ai_assay.execution.lanes import LoopLane
from pydantic_ai_assay.execution.work import Settlement, Work

from .samples import BOUND


async def nothing() -> None: ...


def a_work(**changes: Any) -> tuple[Work, list[Settlement]]:
    settlements: list[Settlement] = []
    settings: dict[str, Any] = {'label': 'judge', 'on_settled': settlements.append, **changes}
    return Work(nothing, **settings), settlements


def test_work_settles_once() -> None:
    work, settlements = a_work()
    assert work.settle(0, Settlement(value=1))
    assert not work.settle(0, Settlement(value=2))
    assert settlements == [Settlement(value=1)]
    assert work.is_settled


def test_an_epoch_that_is_over_counts_no_more() -> None:
    work, settlements = a_work()
    assert work.begin_anew() is None
    assert (work.epoch, work.moves) == (1, 1)
    assert not work.settle(0, Settlement(value='from the lost start'))
    assert work.settle(1, Settlement(value='from the new one'))
    assert settlements == [Settlement(value='from the new one')]


def test_settled_work_does_not_begin_anew() -> None:
    work, _ = a_work()
    work.settle(0, Settlement())
    assert work.begin_anew() is None
    assert (work.epoch, work.moves) == (0, 0)


def test_beginning_anew_hands_over_the_task_of_the_start_before() -> None:
    async def main() -> None:
        work, _ = a_work()
        task = work.task = asyncio.current_task()
        assert work.begin_anew() is task
        assert work.task is None
        assert work.begin_anew() is None

    asyncio.run(main())


def test_the_end_is_told_after_the_settlement() -> None:
    told: list[object] = []
    work, _ = a_work(on_settled=told.append)
    work.on_end = told.append
    work.settle(0, Settlement(value=1))
    assert told == [Settlement(value=1), work]


class Host:
    def shutdown_time_left(self) -> float:
        return 0.0

    def shutdown_time_spent(self, seconds: float) -> None: ...

    def take_over(self, works: list[Work]) -> None: ...

    def lane_drained(self) -> None: ...


def test_whatever_the_callback_raises_the_work_is_over() -> None:
    def fail(settlement: Settlement) -> NoReturn:
        raise RuntimeError('in the callback')

    async def main() -> None:
        loop = asyncio.get_running_loop()
        work, _ = a_work(on_settled=fail)
        ended: list[Work] = []
        emptied: list[bool] = []
        work.on_end = ended.append
        work.lane = LoopLane(loop, Host(), on_empty=lambda: emptied.append(True))
        work.lane.works.add(work)
        timer = work.timer = loop.call_later(3_600, lambda: None)
        with pytest.warns(AssayWarning, match=r'Settling judge raised RuntimeError: in the callback\.'):
            assert work.settle(0, Settlement())
        assert (work.is_settled, work.timer, ended, emptied, timer.cancelled()) == (True, None, [work], [True], True)
        assert not work.lane.works

    asyncio.run(main())


def test_of_many_threads_that_settle_at_once_one_does() -> None:
    work, settlements = a_work()
    start = threading.Barrier(8)
    returned: list[bool] = []

    def settle() -> None:
        start.wait(BOUND)
        returned.append(work.settle(0, Settlement()))

    threads = [threading.Thread(target=settle) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert sorted(returned) == [False] * 7 + [True]
    assert settlements == [Settlement()]
