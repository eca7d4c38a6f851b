"""What judges did for an outcome: their votes, and what those cost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field, replace
from decimal import Decimal

from pydantic_ai.usage import RunUsage

__all__ = ('UNFINISHED', 'Judgement', 'JudgementLog', 'OpenVote', 'Vote', 'VoteErrors', 'cause_of', 'current_log')

UNFINISHED = 'unfinished'
"""The `error` of a call that was not over when the outcome was made."""


@dataclass(kw_only=True, frozen=True)
class Vote:
    """One call of one judge: what it said, or how it failed, and what it used."""

    judge: str
    """The judge's name."""
    value: bool | int | float | str | None = None
    """What it said; `None` where it gave no verdict."""
    passed: bool | None = None
    """Whether that is a pass; `None` where there is no verdict, or it is only a score or a label."""
    reason: str | None = None
    """Why."""
    error: str | None = None
    """The type of the error it ended with, where it gave no verdict; `'unfinished'` where the evaluation ended first."""
    model: str | None = None
    """Name of the model that answered."""
    usage: RunUsage = field(default_factory=RunUsage)
    """What it used: requests, tokens and, where its model has a known price, `usage.cost` in USD."""
    duration: float = 0.0
    """How long it took, in seconds."""
    probability: float = 1.0
    """The probability with which it was asked. Below 1 only where a `Cascade` asks it for a share of the cases."""


@dataclass(kw_only=True, frozen=True)
class OpenVote(Vote):
    """A call that lasts. The vote that it ends with has the same `usage` object, and takes its place in the log."""

    so_far: Callable[[], Vote]
    """What is known of it now. It may be asked in any thread."""

    def unfinished(self) -> Vote:
        """The vote that it is as long as nothing has come of it."""
        vote = self.so_far()
        # The call goes on counting, and in another thread perhaps: copying a dict is one step, going through it is many.
        usage = copy(vote.usage)
        usage.details = usage.details.copy()
        error = UNFINISHED if vote.value is None and vote.error is None else vote.error
        return replace(vote, error=error, usage=usage, probability=self.probability)


@dataclass(kw_only=True, frozen=True)
class Judgement:
    """What all judges of one outcome did, apart from what the judged run itself used."""

    votes: tuple[Vote, ...]
    """Every call of a judge, those that failed, were cut short, or belong to earlier attempts included."""
    agreement: float | None = None
    """The share of the pairs of votes that agree, where more than one judge or sample voted."""

    @property
    def usage(self) -> RunUsage:
        """What the votes used, together."""
        total = RunUsage()
        for vote in self.votes:
            total.incr(vote.usage)
        return total

    @property
    def cost(self) -> Decimal | None:
        """What the votes cost in USD, or `None` if none of their models has a known price."""
        return self.usage.cost

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that answered, each once."""
        return tuple(dict.fromkeys(vote.model for vote in self.votes if vote.model is not None))

    def without_content(self) -> Judgement:
        """The judgement without reasons, which may quote the run."""
        return replace(self, votes=tuple(replace(vote, reason=None) for vote in self.votes))


class VoteErrors(ExceptionGroup[Exception]):
    """Why votes are missing. One error that can pass is enough to ask again: the votes may then be enough."""


def cause_of(errors: Sequence[BaseException]) -> BaseException:
    """What a judgement without a verdict is raised from: the error of its votes, or all of them together."""
    if len(errors) == 1:
        return errors[0]
    exceptions = [error for error in errors if isinstance(error, Exception)]
    return VoteErrors('Votes are missing', exceptions) if len(exceptions) == len(errors) else errors[0]


class JudgementLog:
    """Collects the votes of one evaluation while it runs, from whatever task or thread they come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._votes: list[Vote] = []
        self._open: dict[int, OpenVote] = {}
        self._agreement: float | None = None

    def add(self, vote: Vote) -> None:
        """Note a vote, or that a call has begun."""
        # An open vote keeps its usage alive, so that no other object has its id in the meantime.
        key = id(vote.usage)
        with self._lock:
            if isinstance(vote, OpenVote):
                self._open[key] = vote
                return
            self._open.pop(key, None)
            self._votes.append(vote)

    def agree(self, agreement: float | None) -> None:
        """Note how far the votes agree; the last to say so, which saw all of them, counts."""
        with self._lock:
            self._agreement = agreement

    def enter(self) -> None:
        """Have judges that are asked in this context note their votes here. The context ends with the evaluation."""
        _LOG.set(self)

    @property
    def judgement(self) -> Judgement | None:
        """What has been noted so far, or `None` where no judge was asked."""
        with self._lock:
            ended, lasting, agreement = tuple(self._votes), tuple(self._open.values()), self._agreement
        votes = (*ended, *(vote.unfinished() for vote in lasting))
        return Judgement(votes=votes, agreement=agreement) if votes else None


_LOG: ContextVar[JudgementLog | None] = ContextVar('pydantic_ai_assay.judgement', default=None)


def current_log() -> JudgementLog | None:
    """The log of the evaluation that the current context belongs to, if it belongs to one."""
    return _LOG.get()
