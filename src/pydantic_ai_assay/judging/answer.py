"""What a grader answers when it is asked for a verdict: the verdict or its fault, and every vote it took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from ..errors import JudgementError
from ..runs.cancellation import is_cancelled
from ..runs.clock import TIMEKEEPER
from ..runs.judgement import Judgement, JudgementLog, Vote, current_log
from ..runs.task_group import task_group
from .case import JudgeCase
from .terms import Terms
from .verdict import Verdict

if TYPE_CHECKING:
    from .grader import Grader

__all__ = ('Answer', 'ask', 'ask_all')


@dataclass(kw_only=True, frozen=True)
class Answer:
    """What came of asking one grader about one case."""

    vote: Vote
    """What it said, as one vote, with all that its calls used."""
    calls: tuple[Vote, ...]
    """Every call of a judge that it made."""
    verdict: Verdict | None = None
    """Its verdict; `None` where it gave none."""
    error: BaseException | None = None
    """Why it gave none."""
    is_late: bool = False
    """Whether that is because its time was over."""


class _Forwarding(JudgementLog):
    """Collects the votes of one grader, and hands each on at once: a timeout must not lose what was paid for."""

    def __init__(self, whole: JudgementLog | None, probability: float) -> None:
        super().__init__()
        self._whole = whole
        self._probability = probability

    def add(self, vote: Vote) -> None:
        vote = replace(vote, probability=vote.probability * self._probability)
        super().add(vote)
        if self._whole is not None:
            self._whole.add(vote)


async def ask_all(
    graders: Sequence[Grader], case: JudgeCase, *, probability: float = 1.0, timeout: float | None = None
) -> list[Answer]:
    """Ask graders about a case, all at once. Whatever one of them raises is its own answer.

    Args:
        graders: The graders.
        case: The case.
        probability: The probability with which they are asked.
        timeout: Seconds that each of them has.

    Returns:
        The answers, in the order of the graders.
    """
    answers: dict[int, Answer] = {}

    async def put(index: int, grader: Grader) -> None:
        answers[index] = await ask(grader, case, probability=probability, timeout=timeout)

    async with task_group() as group:
        for index, grader in enumerate(graders):
            group.start_soon(put, index, grader)
    return [answers[index] for index in range(len(graders))]


async def ask(grader: Grader, case: JudgeCase, *, probability: float = 1.0, timeout: float | None = None) -> Answer:
    """Ask one grader about a case, in a task of its own: the current context is from now on that of this question."""
    log = _Forwarding(current_log(), probability)
    log.enter()
    # What has votes when it is nearly over makes a verdict of them.
    Terms.current().shorten(timeout)
    clock = TIMEKEEPER.clock
    started = clock.perf_counter()
    verdict = error = None
    name = type(grader).__name__
    limit = anyio.CancelScope() if timeout is None else anyio.move_on_after(timeout)
    try:
        name = grader.get_default_evaluation_name()
        with limit:
            verdict = _checked(await grader.grade(case), name)
        if limit.cancelled_caught:
            raise TimeoutError(f'{name} gave no verdict within {timeout:g} s')
    except BaseException as raised:
        if isinstance(raised, KeyboardInterrupt) or is_cancelled(raised):
            raise
        error = raised
    vote = _vote_of(name, verdict, error, log.judgement, clock.perf_counter() - started)
    if log.judgement is None:
        log.add(vote)
    noted = log.judgement
    assert noted is not None
    return Answer(
        vote=replace(vote, probability=probability),
        calls=noted.votes,
        verdict=verdict,
        error=error,
        is_late=limit.cancelled_caught,
    )


def _checked(verdict: Verdict, name: str) -> Verdict:
    if not _is_finite(verdict.value):
        raise JudgementError(f'{name} gave a number that is no score: not finite.')
    return verdict


def _is_finite(value: float | str) -> bool:
    try:
        return isinstance(value, str) or math.isfinite(value)
    except OverflowError:
        # An integer beyond what a float can hold.
        return False


def _vote_of(
    name: str,
    verdict: Verdict | None,
    error: BaseException | None,
    judgement: Judgement | None,
    duration: float,
) -> Vote:
    vote = Vote(judge=name, duration=duration)
    if judgement is not None:
        models = judgement.models
        vote = replace(vote, usage=judgement.usage, model=models[0] if len(models) == 1 else None)
    if verdict is None:
        return replace(vote, error=type(error).__name__)
    return replace(vote, value=verdict.value, passed=verdict.passed, reason=verdict.reason)
