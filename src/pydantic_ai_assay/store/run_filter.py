"""Which runs are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from ..errors import ConfigurationError
from ..runs.outcome import EVALUATION_STATUSES, EvaluationStatus
from ..runs.record import RUN_OUTCOMES, RunOutcome
from .entry import micros
from .schema import FEEDBACK, OUTCOMES, RUNS, TAGS
from .text import path_text, short_text

__all__ = ('Judged', 'RunFilter', 'RunKeys', 'RunOrder', 'check_among')

RunOrder = Literal['newest', 'oldest', 'slowest', 'costliest']


def check_among(name: str, value: object, allowed: Sequence[str]) -> None:
    """Check that a value is one of those allowed, or `None`.

    Raises:
        ConfigurationError: If it is not.
    """
    if value is not None and value not in allowed:
        raise ConfigurationError(f'{name} must be one of {", ".join(map(repr, allowed))}, got {value!r}.')


@dataclass(kw_only=True, frozen=True)
class RunKeys:
    """A query for the keys of runs, which are in order by `by` and then `run`."""

    query: Any
    by: ColumnElement[Any]
    run: ColumnElement[int]
    is_ascending: bool


@dataclass(frozen=True)
class Judged:
    """The outcomes of one evaluator that ended in one way: in order in an index, unlike those of several."""

    evaluator: int
    status: EvaluationStatus
    passed: bool | None

    @classmethod
    def all(cls, evaluator: int, status: EvaluationStatus | None, passed: bool | None) -> list[Judged]:
        """All ways in which the outcomes of an evaluator end that may have this status, and passed or failed."""
        if passed is not None:
            return [cls(evaluator, 'scored', passed)]
        statuses = EVALUATION_STATUSES if status is None else (status,)
        ends = (None, True, False)
        return [cls(evaluator, each, end) for each in statuses for end in (ends if each == 'scored' else ends[:1])]

    def conditions(self) -> list[ColumnElement[bool]]:
        """What holds for them."""
        passed = OUTCOMES.c.passed.is_(None) if self.passed is None else OUTCOMES.c.passed == self.passed
        return [OUTCOMES.c.evaluator == self.evaluator, OUTCOMES.c.status == self.status, passed]


@dataclass(kw_only=True, frozen=True)
class RunFilter:
    """Conditions that all must hold; those that are `None` do not count.

    Raises:
        ConfigurationError: If a condition cannot hold for any run.
    """

    target: str | None = None
    """The agent's name, or the function's."""
    path: tuple[str, ...] | None = None
    """The agent path, or the beginning of it."""
    evaluator: str | None = None
    """Judged by this evaluator; with `passed` or `status`, with that outcome."""
    fingerprint: str | None = None
    """The fingerprint of that evaluator."""
    passed: bool | None = None
    """Whether an evaluator (the one named, or any) passed the run, or failed it."""
    status: EvaluationStatus | None = None
    """Whether an evaluation (by the one named, or any) ended so."""
    feedback: str | None = None
    """The name of feedback there must be."""
    min_feedback: float | None = None
    max_feedback: float | None = None
    """The range in which the value of feedback must be: `True` is 1 and `False` 0."""
    min_duration: float | None = None
    max_duration: float | None = None
    """In seconds."""
    tag: str | None = None
    variant: str | None = None
    model: str | None = None
    outcome: RunOutcome | None = None
    """How the run ended."""
    conversation_id: str | None = None
    since: datetime | None = None
    """Started at this time or later."""
    until: datetime | None = None
    """Started before this time."""

    def __post_init__(self) -> None:
        check_among('status', self.status, EVALUATION_STATUSES)
        check_among('outcome', self.outcome, RUN_OUTCOMES)
        if self.status is not None and self.passed is not None and self.status != 'scored':
            raise ConfigurationError(f'An evaluation with the status {self.status!r} neither passed nor failed.')

    @property
    def judged(self) -> bool:
        """Whether there is a condition about outcomes."""
        return (self.evaluator, self.fingerprint, self.passed, self.status) != (None, None, None, None)

    def keys(self, order: RunOrder, judged: Judged | None) -> RunKeys:
        """A query for the runs, from the table whose index has them in order.

        Args:
            order: The order that is asked for.
            judged: The outcomes that are looked at, where there is a condition about them.
        """
        if judged is not None:
            table, run, started_at = OUTCOMES, OUTCOMES.c.run, OUTCOMES.c.started_at
            conditions = judged.conditions()
        elif self.tag is not None:
            table, run, started_at = TAGS, TAGS.c.run, TAGS.c.started_at
            conditions = [TAGS.c.tag == short_text(self.tag)]
        else:
            table, run, started_at = RUNS, RUNS.c.id, RUNS.c.started_at
            conditions = list[ColumnElement[bool]]()
        of_run = self._run_conditions()
        by: ColumnElement[Any] = started_at
        if order == 'slowest':
            by = RUNS.c.duration
        elif order == 'costliest':
            by = RUNS.c.cost
            of_run.append(by.is_not(None))
        query = select(by, run)
        if table is not RUNS and (of_run or by is not started_at):
            query = query.select_from(table).join(RUNS, RUNS.c.id == run)
        if judged is not None:
            query = query.distinct()
            if self.tag is not None:
                of_run.append(exists().where(TAGS.c.run == run, TAGS.c.tag == short_text(self.tag)))
        if self.since is not None:
            conditions.append(started_at >= micros(self.since))
        if self.until is not None:
            conditions.append(started_at < micros(self.until))
        return RunKeys(query=query.where(*conditions, *of_run), by=by, run=run, is_ascending=order == 'oldest')

    def _run_conditions(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        for column, text in (
            (RUNS.c.target, self.target),
            (RUNS.c.variant, self.variant),
            (RUNS.c.model, self.model),
            (RUNS.c.conversation_id, self.conversation_id),
        ):
            if text is not None:
                conditions.append(column == short_text(text))
        if self.outcome is not None:
            conditions.append(RUNS.c.outcome == self.outcome)
        if self.path:
            conditions.append(_begins_with(self.path))
        if self.min_duration is not None:
            conditions.append(RUNS.c.duration >= self.min_duration)
        if self.max_duration is not None:
            conditions.append(RUNS.c.duration <= self.max_duration)
        if (self.feedback, self.min_feedback, self.max_feedback) != (None, None, None):
            conditions.append(self._has_feedback())
        return conditions

    def _has_feedback(self) -> ColumnElement[bool]:
        wanted: list[ColumnElement[bool]] = []
        if self.feedback is not None:
            wanted.append(FEEDBACK.c.name == short_text(self.feedback))
        if self.min_feedback is not None:
            wanted.append(FEEDBACK.c.score >= self.min_feedback)
        if self.max_feedback is not None:
            wanted.append(FEEDBACK.c.score <= self.max_feedback)
        runs = RUNS.alias('about')
        by_run = select(runs.c.id).join(FEEDBACK, FEEDBACK.c.run_id == runs.c.run_id).where(*wanted)
        by_span = select(runs.c.id).join(
            FEEDBACK,
            and_(
                FEEDBACK.c.run_id.is_(None),
                FEEDBACK.c.trace_id == runs.c.trace_id,
                FEEDBACK.c.span_id == runs.c.span_id,
            ),
        )
        return or_(RUNS.c.id.in_(by_run), RUNS.c.id.in_(by_span.where(*wanted)))


def _begins_with(path: tuple[str, ...]) -> ColumnElement[bool]:
    whole = path_text(path)
    beginning = f'{whole[:-1]},'
    # LIKE does not tell upper and lower case apart on SQLite.
    return or_(RUNS.c.path == whole, func.substr(RUNS.c.path, 1, len(beginning)) == beginning)
