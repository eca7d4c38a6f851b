"""Properties that are computed once."""

from __future__ import annotations

import threading

from pydantic_ai_assay.cached import cached_property


class Slow:
    def __init__(self, *, may_end: bool) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        if may_end:
            self.may_end.set()
        self.computed = 0

    @cached_property
    def value(self) -> int:
        """What takes its time."""
        self.begun.set()
        assert self.may_end.wait(30)
        self.computed += 1
        return self.computed


def test_a_value_is_computed_once() -> None:
    slow = Slow(may_end=True)
    assert (slow.value, slow.value, slow.computed) == (1, 1, 1)
    assert Slow.value.__doc__ == 'What takes its time.'


def test_one_object_does_not_wait_for_another() -> None:
    first, second = Slow(may_end=False), Slow(may_end=True)
    thread = threading.Thread(target=lambda: first.value)
    thread.start()
    assert first.begun.wait(30)
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(second.value))
    other.start()
    other.join(30)
    first.may_end.set()
    thread.join(30)
    assert (found, first.value) == ([1], 1)


def test_of_two_that_compute_at_once_one_stays() -> None:
    slow = Slow(may_end=False)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(slow.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert slow.begun.wait(30)
    slow.may_end.set()
    for thread in threads:
        thread.join(30)
    assert found == [slow.value] * 2
