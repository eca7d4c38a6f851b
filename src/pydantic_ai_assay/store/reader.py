"""Questions to a store. Each is one short transaction, and each value in it a parameter."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from sqlalchemy import Connection, func, select, text, tuple_, union

from ..errors import ConfigurationError
from ..runs.outcome import EVALUATION_STATUSES, EvaluationStatus
from .aggregation import AggregateBy, AggregateFilter, Step, aggregate_of, aggregates_query
from .errors import UnknownRunError
from .rows import Aggregate, Feedback, Page, RunSummary, StoredEvaluator, StoredOutcome, StoredRun, StoreInfo
from .run_filter import Judged, RunFilter, RunKeys, RunOrder, check_among
from .schema import CONTENTS, EVALUATORS, FEEDBACK, MARKS, METADATA, OUTCOMES, REVISION, RUNS, TAGS
from .stored_run import evaluator_of, feedback_of, moment, outcome_of, record_of, summary_of
from .text import clean_text, short_text

__all__ = ('Reader',)

MAX_LIMIT = 10_000
MAX_NUMBER = 2**63
_EVALUATIONS, _FEEDBACK = 'evaluations', 'feedback'
"""What a cursor is of, where it is not of runs in an order."""
_OUTCOME_COLUMNS = (
    OUTCOMES.c.id.label('number'),
    OUTCOMES.c.series,
    OUTCOMES.c.status,
    OUTCOMES.c.probability,
    OUTCOMES.c.attempts,
    OUTCOMES.c.duration,
    OUTCOMES.c.waited,
    OUTCOMES.c.started_at,
    OUTCOMES.c.finished_at,
    OUTCOMES.c.detail,
    EVALUATORS.c.name.label('evaluator_name'),
    EVALUATORS.c.fingerprint,
    EVALUATORS.c.version,
    EVALUATORS.c.spec,
    RUNS.c.run_id,
    RUNS.c.target,
    RUNS.c.agent,
    RUNS.c.path,
    RUNS.c.parent_run_id,
    RUNS.c.conversation_id,
)
_OUTCOMES = (
    select(*_OUTCOME_COLUMNS)
    .select_from(OUTCOMES)
    .join(RUNS, RUNS.c.id == OUTCOMES.c.run)
    .join(EVALUATORS, EVALUATORS.c.id == OUTCOMES.c.evaluator)
)


class Reader:
    """Answers questions over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def runs(
        self,
        where: RunFilter | None = None,
        *,
        order: RunOrder = 'newest',
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunSummary]:
        """A page of the runs for which conditions hold.

        Raises:
            ConfigurationError: If an argument cannot be what it says.
        """
        _check_limit(limit)
        check_among('order', order, get_args(RunOrder))
        where = where or RunFilter()
        found = self._keys_of(where, order, limit + 1, None if cursor is None else _read_cursor(cursor, order))
        numbers: list[int] = [number for _, number in found[:limit]]
        rows = {row.id: row for row in self._connection.execute(select(RUNS).where(RUNS.c.id.in_(numbers)))}
        # A run may have been deleted in between.
        items = tuple(summary_of(rows[number]) for number in numbers if number in rows)
        return Page(items=items, cursor=_cursor(order, *found[limit - 1]) if len(found) > limit else None)

    def _keys_of(
        self, where: RunFilter, order: RunOrder, limit: int, after: tuple[float, int] | None
    ) -> Sequence[tuple[Any, int]]:
        """What the runs of a page are ordered by, and their numbers."""
        found: set[tuple[Any, int]] = set()
        for keys in self._all_keys(where, order):
            query = keys.query
            if after is not None:
                place = tuple_(keys.by, keys.run)
                query = query.where(place > after if keys.is_ascending else place < after)
            ordered = (keys.by, keys.run) if keys.is_ascending else (keys.by.desc(), keys.run.desc())
            rows: Sequence[Any] = self._connection.execute(query.order_by(*ordered).limit(limit)).all()
            found.update((row[0], row[1]) for row in rows)
        return sorted(found, reverse=order != 'oldest')[:limit]

    def _all_keys(self, where: RunFilter, order: RunOrder) -> Iterator[RunKeys]:
        if not where.judged:
            return iter([where.keys(order, None)])
        evaluators = self._evaluator_numbers(where.evaluator, where.fingerprint)
        judged = (each for evaluator in evaluators for each in Judged.all(evaluator, where.status, where.passed))
        return (where.keys(order, each) for each in judged)

    def _evaluator_numbers(self, name: str | None, fingerprint: str | None) -> Sequence[int]:
        query = select(EVALUATORS.c.id)
        if name is not None:
            query = query.where(EVALUATORS.c.name == short_text(name))
        if fingerprint is not None:
            query = query.where(EVALUATORS.c.fingerprint == short_text(fingerprint))
        return self._connection.execute(query).scalars().all()

    def count_runs(self, where: RunFilter | None = None) -> int:
        """How many runs there are for which conditions hold. Without any it is known, and else they are counted."""
        if where is None or where == RunFilter():
            return self._connection.execute(select(MARKS.c.runs)).scalar_one()
        found = [keys.query.with_only_columns(keys.run.label('run')) for keys in self._all_keys(where, 'newest')]
        if not found:
            return 0
        return self._connection.execute(select(func.count()).select_from(union(*found).subquery('found'))).scalar_one()

    def run(self, run_id: str) -> StoredRun:
        """All that was kept of a run, by its id or the beginning of it.

        Raises:
            UnknownRunError: If no run has an id that begins so, or more than one.
        """
        return self._stored_run(self._find_run(run_id))

    def run_of_span(self, trace_id: str, span_id: str) -> StoredRun:
        """All that was kept of the run whose results are attached to a span.

        Raises:
            UnknownRunError: If there is none.
        """
        of_span = (RUNS.c.trace_id == clean_text(trace_id)) & (RUNS.c.span_id == clean_text(span_id))
        row = self._connection.execute(select(RUNS).where(of_span).order_by(RUNS.c.id).limit(1)).first()
        if row is None:
            raise UnknownRunError(f'There is no run of span {span_id!r} in trace {trace_id!r} in the store.')
        return self._stored_run(row)

    def _find_run(self, run_id: str) -> Any:
        wanted = short_text(run_id)
        row = self._connection.execute(select(RUNS).where(RUNS.c.run_id == wanted)).first()
        if row is not None:
            return row
        begins_so = [func.substr(RUNS.c.run_id, 1, len(wanted)) == wanted]
        if self._connection.dialect.name == 'sqlite':
            # Which says the same by the index: elsewhere the order of texts is not that of their characters.
            begins_so += [RUNS.c.run_id >= wanted, RUNS.c.run_id < f'{wanted}\U0010ffff']
        if not wanted or not (rows := self._connection.execute(select(RUNS).where(*begins_so).limit(2)).all()):
            raise UnknownRunError(f'There is no run {run_id!r} in the store.')
        if len(rows) > 1:
            raise UnknownRunError(f'More than one run in the store has an id that begins with {run_id!r}.')
        return rows[0]

    def _stored_run(self, row: Any) -> StoredRun:
        summary = summary_of(row)
        of_run = CONTENTS.c.run == row.id
        content, spans = self._connection.execute(select(CONTENTS.c.content, CONTENTS.c.spans).where(of_run)).one()
        record, refused = record_of(summary, content, spans)
        tags = self._connection.execute(select(TAGS.c.tag).where(TAGS.c.run == row.id).order_by(TAGS.c.tag)).scalars()
        return StoredRun(
            summary=summary,
            record=record,
            tags=tuple(tags),
            outcomes=self._outcomes_of(row.id),
            feedback=self._feedback_of(row),
            refused=refused,
        )

    def outcomes(self, run_id: str) -> tuple[StoredOutcome, ...]:
        """The outcomes of a run, by its id or the beginning of it, in the order in which they were written.

        Raises:
            UnknownRunError: If no run has an id that begins so, or more than one.
        """
        return self._outcomes_of(self._find_run(run_id).id)

    def _outcomes_of(self, run: int) -> tuple[StoredOutcome, ...]:
        query = _OUTCOMES.where(OUTCOMES.c.run == run).order_by(OUTCOMES.c.id)
        return tuple(map(outcome_of, self._connection.execute(query)))

    def tail(self, after: int | None = None, *, limit: int = 100) -> tuple[StoredOutcome, ...]:
        """Outcomes in the order in which they were written.

        Args:
            after: The `number` of the last one that is known. Without it, the last `limit` there are.
            limit: How many at most.
        """
        _check_limit(limit)
        if after is None:
            rows = self._connection.execute(_OUTCOMES.order_by(OUTCOMES.c.id.desc()).limit(limit)).all()[::-1]
        else:
            query = _OUTCOMES.where(OUTCOMES.c.id > after).order_by(OUTCOMES.c.id).limit(limit)
            rows = self._connection.execute(query).all()
        return tuple(map(outcome_of, rows))

    def evaluations(
        self,
        evaluator: str,
        *,
        fingerprint: str | None = None,
        status: EvaluationStatus | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[StoredOutcome]:
        """A page of an evaluator's outcomes, by the time at which their runs started, the latest first.

        Args:
            evaluator: The name of the evaluator.
            fingerprint: Its fingerprint; without one, the outcomes of all evaluators of this name.
            status: How the evaluations ended.
            limit: How many at most.
            cursor: That of the page before.

        Raises:
            ConfigurationError: If an argument cannot be what it says.
        """
        _check_limit(limit)
        check_among('status', status, EVALUATION_STATUSES)
        place = OUTCOMES.c.started_at, OUTCOMES.c.id
        parts = [
            select(*place).where(*judged.conditions()).order_by(*(column.desc() for column in place)).limit(limit + 1)
            for number in self._evaluator_numbers(evaluator, fingerprint)
            for judged in Judged.all(number, status, None)
        ]
        if cursor is not None:
            after = _read_cursor(cursor, _EVALUATIONS)
            parts = [part.where(tuple_(*place) < after) for part in parts]
        rows: list[Any] = [row for part in parts for row in self._connection.execute(part)]
        found = sorted([(row.started_at, row.id) for row in rows], reverse=True)[: limit + 1]
        numbers = [number for _, number in found[:limit]]
        query = _OUTCOMES.where(OUTCOMES.c.id.in_(numbers))
        known = {each.number: each for each in map(outcome_of, self._connection.execute(query))}
        # A run may have been deleted in between.
        items = tuple(known[number] for number in numbers if number in known)
        return Page(items=items, cursor=_cursor(_EVALUATIONS, *found[limit - 1]) if len(found) > limit else None)

    def aggregates(
        self,
        since: datetime | timedelta,
        until: datetime | None = None,
        *,
        by: Sequence[AggregateBy] = ('target', 'evaluator', 'fingerprint', 'label'),
        step: Step | None = None,
        where: AggregateFilter | None = None,
    ) -> tuple[Aggregate, ...]:
        """Sums over the outcomes of runs that started within a stretch of time, to the minute.

        Args:
            since: When it begins, or how long ago.
            until: When it ends; now if left out.
            by: What to tell apart, besides the results' kinds and names.
            step: Tell minutes, hours or days (UTC) apart as well.
            where: What to sum over.

        Raises:
            ConfigurationError: If `by` or `step` has something else than what there is.
        """
        end = datetime.now(UTC) if until is None else until
        query = aggregates_query(
            end - since if isinstance(since, timedelta) else since, end, by, step, where or AggregateFilter()
        )
        if query is None:
            return ()
        return tuple(aggregate_of(row, by, step) for row in self._connection.execute(query))

    def evaluators(self) -> tuple[StoredEvaluator, ...]:
        """The evaluators whose outcomes are, or were, in the store, in the order in which they were first seen."""
        return tuple(map(evaluator_of, self._connection.execute(select(EVALUATORS).order_by(EVALUATORS.c.id))))

    def feedback(self, *, run_id: str | None = None, name: str | None = None, limit: int = 100) -> tuple[Feedback, ...]:
        """The latest feedback: all, or that on one run, or by one name."""
        return self.feedback_page(run_id=run_id, name=name, limit=limit).items

    def feedback_page(
        self, *, run_id: str | None = None, name: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Feedback]:
        """A page of feedback, the latest first: of all, or that on one run, or by one name.

        Raises:
            ConfigurationError: If an argument cannot be what it says.
        """
        _check_limit(limit)
        place = FEEDBACK.c.at, FEEDBACK.c.id
        query = select(FEEDBACK).order_by(*(column.desc() for column in place)).limit(limit + 1)
        if run_id is not None:
            query = query.where(FEEDBACK.c.run_id == short_text(run_id))
        if name is not None:
            query = query.where(FEEDBACK.c.name == short_text(name))
        if cursor is not None:
            query = query.where(tuple_(*place) < _read_cursor(cursor, _FEEDBACK))
        rows: Sequence[Any] = self._connection.execute(query).all()
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(
            items=tuple(map(feedback_of, rows[:limit])),
            cursor=None if last is None else _cursor(_FEEDBACK, last.at, last.id),
        )

    def tags(self) -> dict[str, int]:
        """The tags of the runs that are there, and how many runs have each, in the order of the alphabet."""
        query = select(TAGS.c.tag, func.count()).group_by(TAGS.c.tag)
        return dict(sorted((tag, number) for tag, number in self._connection.execute(query)))

    def _feedback_of(self, run: Any) -> tuple[Feedback, ...]:
        about = FEEDBACK.c.run_id == run.run_id
        if run.trace_id is not None:
            of_span = (FEEDBACK.c.trace_id == run.trace_id) & (FEEDBACK.c.span_id == run.span_id)
            about = about | (FEEDBACK.c.run_id.is_(None) & of_span)
        return tuple(map(feedback_of, self._connection.execute(select(FEEDBACK).where(about).order_by(FEEDBACK.c.id))))

    def info(self, url: str) -> StoreInfo:
        """How much is in the store."""
        marks = self._connection.execute(select(MARKS)).one()
        oldest, newest = self._connection.execute(
            select(
                select(func.min(RUNS.c.started_at)).scalar_subquery(),
                select(func.max(RUNS.c.started_at)).scalar_subquery(),
            )
        ).one()
        return StoreInfo(
            url=url,
            is_reachable=True,
            revision=REVISION,
            is_current=True,
            runs=marks.runs,
            outcomes=marks.outcomes,
            content_bytes=marks.bytes,
            database_bytes=self._database_bytes(),
            oldest=None if oldest is None else moment(oldest),
            newest=None if newest is None else moment(newest),
        )

    def _database_bytes(self) -> int:
        if self._connection.dialect.name == 'sqlite':
            size = 'SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()'
            return self._connection.execute(text(size)).scalar_one()
        sizes = [func.pg_total_relation_size(name) for name in METADATA.tables]
        return sum(self._connection.execute(select(*sizes)).one())


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise ConfigurationError(f'limit must be an integer from 1 to {MAX_LIMIT}, got {limit!r}.')


def _cursor(order: str, by: Any, run: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([order, by, run]).encode()).decode()


def _read_cursor(cursor: str, order: str) -> tuple[float, int]:
    try:
        of, by, run = json.loads(base64.urlsafe_b64decode(cursor))
    except (TypeError, ValueError):
        pass
    else:
        if of == order and type(by) in (int, float) and type(run) is int and abs(by) < MAX_NUMBER > abs(run):
            return by, run
    raise ConfigurationError(f'cursor must come from a page in the same order ({order!r}), got {cursor!r}.')
