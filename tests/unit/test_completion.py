"""When everything that one submission led to has ended."""

from __future__ import annotations

from pydantic_ai_assay.execution.completion import Completion
from pydantic_ai_assay.execution.work import PROCESS_ENDED, Settlement


def test_it_is_complete_when_the_last_of_what_began_has_ended() -> None:
    told: list[str] = []
    settled: list[Settlement] = []
    completion = Completion(lambda: told.append('complete'))
    completion.begin()
    settle = completion.until(settled.append)
    completion.end()
    assert told == []
    settle(Settlement(value=1))
    assert told == ['complete']
    assert settled == [Settlement(value=1)]


def test_what_the_end_of_the_process_left_never_completes() -> None:
    told: list[str] = []
    completion = Completion(lambda: told.append('complete'))
    completion.until(lambda _: None)(Settlement(left=PROCESS_ENDED))
    assert told == []


def test_what_is_passed_over_is_the_status() -> None:
    completion = Completion(lambda: None)
    assert completion.status == 'skipped'
    completion.pass_over('Judge', 'sampled_out')
    assert completion.status == 'sampled_out'
