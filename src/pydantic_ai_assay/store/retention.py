"""Letting go of old runs, a few at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select, tuple_, update

from ..errors import ConfigurationError
from .database import Database
from .entry import micros
from .schema import CONTENTS, FEEDBACK, MARKS, OUTCOMES, RUNS, TAGS, WRITERS

__all__ = ('Retention', 'duration_of')

STEP = 200
"""Runs that are deleted in one transaction, in which no writer waits for long."""
WRITER_AGE = timedelta(days=30)
"""How long a writer must have written nothing for its last batch to be forgotten. Only one whose commit was not confirmed
before, and that is tried again after, would be written again."""
LOOK_SECONDS = 0.1
"""The longest time between two looks of SQLite for a lock that another process holds."""
_UNITS = {'s': 'seconds', 'm': 'minutes', 'h': 'hours', 'd': 'days', 'w': 'weeks'}
_MICROSECOND = timedelta(microseconds=1)
_LEAST = -(2**63)
"""The least number of a column of times."""
_OLDEST = select(RUNS.c.id, RUNS.c.run_id, RUNS.c.trace_id, RUNS.c.span_id, RUNS.c.started_at, RUNS.c.bytes).order_by(
    RUNS.c.started_at, RUNS.c.id
)


def duration_of(name: str, value: str | timedelta | None) -> timedelta | None:
    """A length of time such as `'30d'`.

    Raises:
        ConfigurationError: If it is not one.
    """
    if value is None or (isinstance(value, timedelta) and value > timedelta()):
        return value
    match = re.fullmatch(r'\s*([1-9]\d{0,5})\s*([smhdw])\s*', value) if isinstance(value, str) else None
    if match is None:
        raise ConfigurationError(f"{name} must be a length of time such as '30d', '12h' or '90m', got {value!r}.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@dataclass(kw_only=True, frozen=True)
class Retention:
    """How many runs are kept. Their sums are kept for good."""

    age: timedelta | None = None
    max_runs: int | None = None
    max_bytes: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is a bound."""
        return self.age is not None or self.max_runs is not None or self.max_bytes is not None

    def apply(self, database: Database, *, step: int = STEP, on_progress: Callable[[int], object] | None = None) -> int:
        """Delete the oldest runs until the rest is within the bounds. Returns how many there were.

        Args:
            database: Where they are.
            step: How many runs are deleted in one transaction.
            on_progress: Called after each, with how many have been deleted.
        """
        deleted = 0
        for number in self.steps(database, step):
            deleted += number
            if on_progress is not None:
                on_progress(deleted)
        return deleted

    def steps(self, database: Database, step: int = STEP) -> Iterator[int]:
        """Delete what is beyond the bounds as this is iterated over, which can end after any step.

        Runs go first, then feedback as old whose run is not in the store, then what is noted of writers that are gone.

        Yields:
            How many runs the transaction has deleted that just ended.
        """
        now = datetime.now(UTC)
        before = None if self.age is None else _time_before(now, self.age)
        begun = time.monotonic()
        for number in self._all_steps(database, before, _time_before(now, WRITER_AGE), step):
            took = time.monotonic() - begun
            yield number
            if database.is_sqlite:
                # Others do not queue for the lock, but look for it now and then: it must be free about half of the time.
                time.sleep(min(took, LOOK_SECONDS))
            begun = time.monotonic()

    def _all_steps(self, database: Database, before: int | None, gone: int, step: int) -> Iterator[int]:
        while number := self._delete_runs(database, before, step):
            yield number
        if before is not None:
            for _ in _delete_feedback(database, before, step):
                yield 0
        while _delete_writers(database, gone, step):
            yield 0

    def _delete_runs(self, database: Database, before: int | None, step: int) -> int:
        with database.writing() as connection:
            runs, size = _lock(connection)
            found = connection.execute(_OLDEST.limit(step)).all()
            outcomes = _outcomes_of(connection, [run.id for run in found])
            due, left_runs, left_size, deleted_outcomes = list[Any](), runs, size, 0
            for run in found:
                is_old = before is not None and run.started_at < before
                if not is_old and not self._is_over(left_runs, left_size):
                    break
                number, detail = outcomes.get(run.id, (0, 0))
                due.append(run)
                left_runs, left_size = left_runs - 1, left_size - run.bytes - detail
                deleted_outcomes += number
            if due:
                _delete(connection, due)
                left = {'runs': left_runs, 'bytes': left_size, 'outcomes': MARKS.c.outcomes - deleted_outcomes}
                connection.execute(update(MARKS).values(left))
            return len(due)

    def _is_over(self, runs: int, size: int) -> bool:
        return (self.max_runs is not None and runs > self.max_runs) or (
            self.max_bytes is not None and size > self.max_bytes
        )


def _time_before(now: datetime, age: timedelta) -> int:
    """A time in microseconds since 1970, also one before the first that a date can have."""
    return max(_LEAST, micros(now) - age // _MICROSECOND)


def _lock(connection: Connection) -> tuple[int, int]:
    """How many runs there are, and their bytes. Until the transaction ends, nobody else changes them."""
    # Whoever writes begins with this row, so that no two can wait for each other.
    marks = connection.execute(select(MARKS.c.runs, MARKS.c.bytes).with_for_update()).one()
    return marks.runs, marks.bytes


def _outcomes_of(connection: Connection, runs: Sequence[int]) -> dict[int, tuple[int, int]]:
    """How many outcomes runs have, and the bytes of those."""
    size = func.coalesce(func.sum(func.length(OUTCOMES.c.detail)), 0)
    query = select(OUTCOMES.c.run, func.count(), size).where(OUTCOMES.c.run.in_(runs)).group_by(OUTCOMES.c.run)
    return {run: (number, bytes_) for run, number, bytes_ in connection.execute(query)}


def _delete(connection: Connection, runs: Sequence[Any]) -> None:
    """Delete runs with all that is theirs."""
    numbers = [run.id for run in runs]
    for its in (OUTCOMES, CONTENTS, TAGS):
        connection.execute(delete(its).where(its.c.run.in_(numbers)))
    connection.execute(delete(FEEDBACK).where(FEEDBACK.c.run_id.in_([run.run_id for run in runs])))
    _delete_feedback_of_spans(connection, {(run.trace_id, run.span_id) for run in runs if run.trace_id is not None})
    connection.execute(delete(RUNS).where(RUNS.c.id.in_(numbers)))


def _delete_feedback_of_spans(connection: Connection, spans: Set[tuple[str, str]]) -> None:
    # Told apart here: asked for what has no run_id, both databases would read all of that.
    of_traces = FEEDBACK.c.trace_id.in_({trace for trace, _ in spans})
    query = select(FEEDBACK.c.id, FEEDBACK.c.run_id, FEEDBACK.c.trace_id, FEEDBACK.c.span_id).where(of_traces)
    found = [
        {'number': said.id}
        for said in connection.execute(query)
        if said.run_id is None and (said.trace_id, said.span_id) in spans
    ]
    if found:
        connection.execute(delete(FEEDBACK).where(FEEDBACK.c.id == bindparam('number')), found)


def _delete_feedback(database: Database, before: int, step: int) -> Iterator[None]:
    """Delete feedback given before a time of which no run is in the store."""
    of_run = exists().where(RUNS.c.run_id == FEEDBACK.c.run_id)
    of_span = exists().where(
        FEEDBACK.c.run_id.is_(None), RUNS.c.trace_id == FEEDBACK.c.trace_id, RUNS.c.span_id == FEEDBACK.c.span_id
    )
    for found in _old_feedback(database, before, step):
        with database.writing() as connection:
            _lock(connection)
            connection.execute(delete(FEEDBACK).where(FEEDBACK.c.id.in_(found), ~of_run, ~of_span))
        yield


def _old_feedback(database: Database, before: int, step: int) -> Iterator[list[int]]:
    """The numbers of feedback that was given before a time, a few at a time, by the index of names and times."""
    place = FEEDBACK.c.at, FEEDBACK.c.id
    for name in _feedback_names(database):
        query = select(*place).where(FEEDBACK.c.name == name, FEEDBACK.c.at < before).order_by(*place).limit(step)
        after = _LEAST, 0
        while True:
            with database.reading() as connection:
                rows = connection.execute(query.where(tuple_(*place) > after)).all()
            if not rows:
                break
            yield [row.id for row in rows]
            after = rows[-1].at, rows[-1].id


def _feedback_names(database: Database) -> Iterator[str]:
    query = select(func.min(FEEDBACK.c.name))
    condition: tuple[ColumnElement[bool], ...] = ()
    while True:
        with database.reading() as connection:
            name = connection.execute(query.where(*condition)).scalar()
        if name is None:
            break
        yield name
        condition = (FEEDBACK.c.name > name,)


def _delete_writers(database: Database, before: int, step: int) -> int:
    """Forget writers that have not written since a time. Returns how many there were."""
    is_gone = WRITERS.c.written_at < before
    with database.reading() as connection:
        found = connection.execute(select(WRITERS.c.id).where(is_gone).limit(step)).scalars().all()
    if found:
        with database.writing() as connection:
            _lock(connection)
            connection.execute(delete(WRITERS).where(WRITERS.c.id.in_(found), is_gone))
    return len(found)
