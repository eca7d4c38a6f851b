"""Counts of what became of evaluations."""

import dataclasses
import threading

import pytest

from pydantic_ai_assay import EvaluationStats
from pydantic_ai_assay.delivery.counters import MAX_COUNTS, OTHERS, Counters

from .samples import BOUND


def test_counts_are_summed_over_targets_by_status_and_by_evaluator() -> None:
    counters = Counters()
    for status, evaluator, target in [
        ('scored', 'A', 'support'),
        ('scored', 'A', 'sales'),
        ('failed', 'A', 'support'),
        ('dropped', 'B', 'support'),
    ]:
        counters.count(status, evaluator, target)  # pyright: ignore[reportArgumentType]
    counters.count_sink_error()
    assert counters.stats(pending=4, waiting=3, waiting_bytes=2) == EvaluationStats(
        by_status={'scored': 2, 'failed': 1, 'dropped': 1},
        by_evaluator={'A': {'scored': 2, 'failed': 1}, 'B': {'dropped': 1}},
        pending=4,
        waiting=3,
        waiting_bytes=2,
        sink_errors=1,
    )
    assert counters.snapshot() == {
        ('scored', 'A', 'support'): 1,
        ('scored', 'A', 'sales'): 1,
        ('failed', 'A', 'support'): 1,
        ('dropped', 'B', 'support'): 1,
    }


def test_stats_are_a_snapshot_that_cannot_be_changed() -> None:
    counters = Counters()
    counters.count('scored', 'A', 'support')
    stats = counters.stats(pending=0, waiting=0, waiting_bytes=0)
    counters.count('scored', 'A', 'support')
    assert stats.by_status == {'scored': 1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        stats.pending = 5  # pyright: ignore[reportAttributeAccessIssue]
    for mapping in (stats.by_status, stats.by_evaluator, stats.by_evaluator['A']):
        with pytest.raises(TypeError):
            mapping['scored'] = 9  # pyright: ignore[reportIndexIssue]


def test_nothing_counted_is_nothing_reported() -> None:
    assert Counters().stats(pending=0, waiting=0, waiting_bytes=0) == EvaluationStats()


def test_counts_from_many_threads_are_all_there() -> None:
    counters = Counters()
    start = threading.Barrier(8)

    def count() -> None:
        start.wait(BOUND)
        for _ in range(500):
            counters.count('scored', 'A', 'support')
            counters.count_sink_error()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert counters.snapshot() == {('scored', 'A', 'support'): 4_000}
    assert counters.sink_errors == 4_000


def test_targets_and_evaluators_without_end_are_counted_together_in_the_end() -> None:
    counters = Counters()
    for number in range(2 * MAX_COUNTS):
        counters.count('scored', 'A', f'user {number}')
    counts = counters.snapshot()
    assert (len(counts), counts['scored', 'A', OTHERS]) == (MAX_COUNTS + 1, MAX_COUNTS)
    for number in range(2 * MAX_COUNTS):
        counters.count('failed', f'evaluator {number}', 'support')
    assert len(counters.snapshot()) == 2 * MAX_COUNTS + 1
    assert counters.stats(pending=0, waiting=0, waiting_bytes=0).by_status == {
        'scored': 2 * MAX_COUNTS,
        'failed': 2 * MAX_COUNTS,
    }
