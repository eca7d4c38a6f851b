"""Letting go of old runs, a few at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from ..errors import ConfigurationError
from .database import Database
from .entry import micros
from .schema import CONTENTS, FEEDBACK, MARKS, OUTCOMES, RUNS, TAGS

__all__ = ('Retention', 'duration_of')

STEP = 200
"""Runs that are deleted in one transaction, in which no writer waits for long."""
_UNITS = {'s': 'seconds', 'm': 'minutes', 'h': 'hours', 'd': 'days', 'w': 'weeks'}


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
        before = None if self.age is None else micros(datetime.now(UTC) - self.age)
        deleted = 0
        while number := self._step(database, before, step):
            deleted += number
            if on_progress is not None:
                on_progress(deleted)
        return deleted

    def _step(self, database: Database, before: int | None, step: int) -> int:
        with database.writing() as connection:
            left = connection.execute(select(MARKS.c.runs, MARKS.c.bytes).with_for_update()).one()
            oldest = select(RUNS.c.id, RUNS.c.run_id, RUNS.c.started_at, RUNS.c.bytes)
            oldest = oldest.order_by(RUNS.c.started_at, RUNS.c.id).limit(step)
            runs, size, due = left.runs, left.bytes, list[Any]()
            for run in connection.execute(oldest):
                is_old = before is not None and run.started_at < before
                if not is_old and not self._is_over(runs, size):
                    break
                due.append(run)
                runs, size = runs - 1, size - run.bytes
            if due:
                _delete(connection, [run.id for run in due], [run.run_id for run in due])
            return len(due)

    def _is_over(self, runs: int, size: int) -> bool:
        return (self.max_runs is not None and runs > self.max_runs) or (
            self.max_bytes is not None and size > self.max_bytes
        )


def _delete(connection: Connection, runs: list[int], run_ids: list[str]) -> None:
    """Delete runs with all that is theirs."""
    content = func.length(CONTENTS.c.content) + func.coalesce(func.length(CONTENTS.c.spans), 0)
    size = connection.execute(select(func.sum(content)).where(CONTENTS.c.run.in_(runs))).scalar() or 0
    of_runs = OUTCOMES.c.run.in_(runs)
    outcomes, detail = connection.execute(
        select(func.count(), func.sum(func.length(OUTCOMES.c.detail))).where(of_runs)
    ).one()
    connection.execute(delete(OUTCOMES).where(of_runs))
    connection.execute(delete(CONTENTS).where(CONTENTS.c.run.in_(runs)))
    connection.execute(delete(TAGS).where(TAGS.c.run.in_(runs)))
    connection.execute(delete(FEEDBACK).where(FEEDBACK.c.run_id.in_(run_ids)))
    connection.execute(delete(RUNS).where(RUNS.c.id.in_(runs)))
    connection.execute(
        update(MARKS).values(
            runs=MARKS.c.runs - len(runs),
            outcomes=MARKS.c.outcomes - outcomes,
            bytes=MARKS.c.bytes - size - (detail or 0),
        )
    )
