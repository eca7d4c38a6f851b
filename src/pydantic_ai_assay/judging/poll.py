"""Several votes that are taken at once, so that one that hangs does not take the others with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from typing import TypeVar

import anyio

from ..runs.task_group import task_group
from .case import JudgeCase
from .grader import Grader
from .terms import Terms
from .verdict import Verdict

__all__ = ('Poll', 'Seated', 'is_late', 'seat')

T = TypeVar('T')


@dataclass(frozen=True)
class _Seat:
    """The place of one vote in a poll."""

    scope: anyio.CancelScope
    """What ends it."""
    outer: _Seat | None
    """The vote that it is a part of, where a panel has a panel or a judge with several samples for a member."""


class Poll:
    """Takes several votes at once.

    A vote that takes longer than `vote_timeout` is missing. Where the evaluation is about to end, so are those that have
    not come by then, if as many have as are needed; else the poll goes on until they have.
    """

    def __init__(self, *, quorum: int, vote_timeout: float | None) -> None:
        """Make one.

        Args:
            quorum: How many votes are needed.
            vote_timeout: Seconds that each may take; `None` for no limit but that of the evaluation.
        """
        self._quorum = quorum
        self._vote_timeout = vote_timeout
        self._seats: list[_Seat] = []

    async def take(self, voters: Sequence[Callable[[], Awaitable[T]]], counts: Callable[[T], bool]) -> list[T]:
        """Take the votes.

        Args:
            voters: Each gives its vote, also where it is late; see `seat`.
            counts: Whether a vote counts for the quorum.

        Returns:
            The votes, in the order of the voters.
        """
        votes: dict[int, T] = {}
        counted, enough = 0, anyio.Event()
        terms, outer = Terms.current(), _SEATED.get()
        left = terms.time_left
        # Where all are needed, nothing is won by ending one.
        closes = left is not None and self._quorum < len(voters)

        async def put(index: int, voter: Callable[[], Awaitable[T]], place: _Seat) -> None:
            nonlocal counted
            _VACANT.set(place)
            terms.shorten(_earlier(left if closes else None, self._vote_timeout))
            votes[index] = await voter()
            counted += counts(votes[index])
            if counted >= self._quorum:
                enough.set()

        async def close() -> None:
            await anyio.sleep(left or 0.0)
            await enough.wait()
            for place in self._seats:
                place.scope.cancel()

        limit = inf if self._vote_timeout is None else anyio.current_time() + self._vote_timeout
        self._seats = [_Seat(anyio.CancelScope(deadline=limit), outer) for _ in voters]
        async with task_group() as watching:
            if closes:
                watching.start_soon(close)
            async with task_group() as group:
                for index, (voter, place) in enumerate(zip(voters, self._seats, strict=True)):
                    group.start_soon(put, index, voter, place)
            watching.cancel_scope.cancel()
        return [votes[index] for index in range(len(voters))]


@contextmanager
def seat() -> Generator[None]:
    """Bound what follows by the poll that it is a vote of, if it is one.

    Raises:
        TimeoutError: If the poll went on without it.
    """
    place = _VACANT.get()
    if place is None:
        yield
        return
    # What is asked from here on is part of this vote, and no vote of the poll.
    _VACANT.set(None)
    _SEATED.set(place)
    with place.scope:
        try:
            yield
        except Exception as error:
            # It may have been made of the cancellation.
            if place.scope.cancel_called:
                raise TimeoutError('The vote came too late.') from error
            raise
    if place.scope.cancelled_caught:
        raise TimeoutError('The vote did not come in time.')


def is_late() -> bool:
    """Whether a poll went on without the vote that the current context is a part of."""
    place = _SEATED.get()
    while place is not None and not place.scope.cancel_called:
        place = place.outer
    return place is not None


@dataclass(repr=False)
class Seated(Grader):
    """A grader as one of the voters of a poll."""

    grader: Grader
    """The grader."""

    def get_default_evaluation_name(self) -> str:
        """The name of the grader, or that of its class where it cannot be read."""
        try:
            return self.grader.get_default_evaluation_name()
        except Exception:
            return type(self.grader).__name__

    async def grade(self, case: JudgeCase) -> Verdict:
        """Give the grader's verdict on a case.

        Raises:
            TimeoutError: If the poll went on without it.
        """
        # It raises where it cannot be read: what has no name gives no verdict.
        self.grader.get_default_evaluation_name()
        with seat():
            return await self.grader.grade(case)


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


_VACANT: ContextVar[_Seat | None] = ContextVar('pydantic_ai_assay.vacant_seat', default=None)
_SEATED: ContextVar[_Seat | None] = ContextVar('pydantic_ai_assay.seat', default=None)
