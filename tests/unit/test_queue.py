"""The evaluations that wait, bounded by count and by bytes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pydantic_ai_assay import OnlineEvalConfig, RunRecord
from pydantic_ai_assay.execution.attached import AttachedEvaluator
from pydantic_ai_assay.execution.evaluation import Evaluation
from pydantic_ai_assay.execution.queue import WaitingQueue
from pydantic_ai_assay.runs.context import build_context

from .samples import a_run, an_attached


class Line:
    """A queue, with evaluations made and named for it."""

    def __init__(self, **settings: Any) -> None:
        self.config = OnlineEvalConfig(**settings)
        self.queue = WaitingQueue(self.config)
        self.attached = an_attached()
        self.loop = asyncio.new_event_loop()
        self.evaluations: dict[str, Evaluation] = {}

    def make(self, name: str, run: RunRecord | None = None, attached: AttachedEvaluator | None = None) -> Evaluation:
        context = build_context(a_run(run_id=name) if run is None else run, None)
        evaluation = Evaluation(
            self.attached if attached is None else attached,
            self.config,
            context,
            probability=1.0,
            home=self.loop,
        )
        self.evaluations[name] = evaluation
        return evaluation

    def add(self, name: str, size: int = 1, **how: Any) -> list[str]:
        dropped = self.queue.add(self.make(name, **how), size)
        return [self.name_of(each) for each in dropped]

    def take(self, name: str) -> None:
        """What the pipeline does when a place is free."""
        evaluation = self.evaluations[name]
        evaluation.attached.waiting.remove(evaluation)
        self.queue.remove(evaluation)

    def name_of(self, evaluation: Evaluation) -> str:
        return next(name for name, each in self.evaluations.items() if each is evaluation)

    @property
    def waiting(self) -> list[str]:
        return [self.name_of(each) for each in self.attached.waiting]


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made: list[Line] = []
    yield made
    for line in made:
        line.loop.close()


def a_line(lines: list[Line], **settings: Any) -> Line:
    lines.append(Line(**settings))
    return lines[-1]


def test_evaluations_wait_in_their_evaluators_line(lines: list[Line]) -> None:
    line = a_line(lines)
    assert (line.add('a', 10), line.add('b', 20)) == ([], [])
    assert (len(line.queue), line.queue.bytes, line.waiting) == (2, 30, ['a', 'b'])
    assert line.evaluations['a'].is_waiting
    line.take('a')
    assert (len(line.queue), line.queue.bytes, line.waiting) == (1, 20, ['b'])
    assert not line.evaluations['a'].is_waiting


def test_a_full_queue_drops_the_newest_by_default(lines: list[Line]) -> None:
    line = a_line(lines, queue_size=2)
    line.add('a')
    line.add('b')
    assert line.add('c') == ['c']
    assert (line.waiting, line.queue.bytes) == (['a', 'b'], 2)
    assert not line.evaluations['c'].is_waiting


def test_a_full_queue_can_drop_the_oldest_instead(lines: list[Line]) -> None:
    line = a_line(lines, queue_size=2, overflow='drop_oldest')
    line.add('a')
    line.add('b')
    assert line.add('c') == ['a']
    assert (line.waiting, line.queue.bytes) == (['b', 'c'], 2)
    assert not line.evaluations['a'].is_waiting


def test_the_oldest_of_another_evaluator_goes_out_of_that_ones_line(lines: list[Line]) -> None:
    line = a_line(lines, queue_size=1, overflow='drop_oldest')
    other = an_attached()
    line.add('a', attached=other)
    assert line.add('b') == ['a']
    assert not other.waiting
    assert line.waiting == ['b']


def test_bytes_bound_the_queue_as_well(lines: list[Line]) -> None:
    line = a_line(lines, queue_bytes=100)
    line.add('a', 60)
    assert line.add('b', 41) == ['b']
    assert line.add('c', 40) == []
    assert line.queue.bytes == 100


def test_as_many_of_the_oldest_go_as_make_room(lines: list[Line]) -> None:
    line = a_line(lines, queue_bytes=100, overflow='drop_oldest')
    for name in 'abc':
        line.add(name, 30)
    assert line.add('d', 50) == ['a', 'b']
    assert (line.waiting, line.queue.bytes) == (['c', 'd'], 80)


def test_a_run_counts_once_however_many_of_its_evaluations_wait(lines: list[Line]) -> None:
    line = a_line(lines, queue_bytes=100)
    run = a_run()
    assert [line.add(name, 80, run=run) for name in 'abc'] == [[], [], []]
    assert line.queue.bytes == 80
    line.take('a')
    line.take('b')
    assert line.queue.bytes == 80
    line.take('c')
    assert line.queue.bytes == 0


def test_a_run_that_does_not_fit_at_all_is_dropped(lines: list[Line]) -> None:
    for overflow in ('drop_newest', 'drop_oldest'):
        line = a_line(lines, queue_bytes=100, overflow=overflow)
        assert line.add('a', 101) == ['a']
        assert (len(line.queue), line.queue.bytes) == (0, 0)


def test_a_run_that_does_not_fit_at_all_takes_nobody_with_it(lines: list[Line]) -> None:
    line = a_line(lines, queue_bytes=100, overflow='drop_oldest')
    line.add('a', 10)
    line.add('b', 10)
    assert line.add('c', 101) == ['c']
    assert line.waiting == ['a', 'b']


@given(
    st.sampled_from(['drop_newest', 'drop_oldest']),
    st.lists(st.one_of(st.integers(1, 40), st.just('take')), max_size=30),
)
def test_the_bounds_hold_and_the_bytes_add_up_whatever_happens(overflow: str, steps: list[int | str]) -> None:
    line = Line(queue_size=4, queue_bytes=100, overflow=overflow)
    sizes: dict[str, int] = {}
    dropped: list[str] = []
    taken: list[str] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            name = f'run-{number}'
            sizes[name] = step
            dropped += line.add(name, step)
        elif line.waiting:
            taken.append(line.waiting[0])
            line.take(line.waiting[0])
        assert len(line.queue) == len(line.waiting) <= 4
        assert line.queue.bytes == sum(sizes[name] for name in line.waiting) <= 100
    assert sorted([*line.waiting, *dropped, *taken]) == sorted(sizes)
    line.loop.close()
