"""The store: what is handed runs, and what is asked about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from pydantic_evals.evaluators import EvaluatorContext
from pydantic_evals.online import SinkPayload as UpstreamPayload, SpanReference
from sqlalchemy import Connection, insert

from ..delivery.notices import Notices
from ..errors import ConfigurationError
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.outcome import EvaluationOutcome, EvaluationStatus
from ..runs.record import RunRecord
from ..settings import SinkPayload
from .aggregation import AggregateBy, AggregateFilter, Step
from .database import Database, explained
from .ending import EXIT_SECONDS, WRITERS, flush_stores
from .entry import Entry, encode_entry, encode_outcome, micros, row_of, size_of, tags_of
from .errors import SchemaError, StoreError, UnknownRunError
from .migration import require_schema, revision_of
from .reader import Reader
from .retention import Retention, duration_of
from .rows import (
    Aggregate,
    Feedback,
    FeedbackValue,
    Page,
    RunSummary,
    StoredEvaluator,
    StoredOutcome,
    StoredRun,
    StoreInfo,
)
from .run_filter import RunFilter, RunOrder
from .schema import FEEDBACK
from .stats import StoreStats
from .text import clean_text, safe_repr, short_text
from .upstream_payload import outcomes_of, run_of_payload
from .writer import Writer

__all__ = ('Store', 'flush_stores')

_P = ParamSpec('_P')
_T = TypeVar('_T')

MAX_FEEDBACK = 1e100
"""Greater numbers cannot be summed with their squares."""


class Store:
    """Keeps judged runs and their outcomes in a database, and answers questions about them.

    It is a sink, also one of pydantic-evals: what it is handed is written behind the caller, in a thread that starts with
    the first run. Where the database is away, runs wait for it within bounds.
    """

    takes_all: ClassVar[bool] = True
    """It is handed every run, those of which all evaluations were dropped included."""

    def __init__(
        self,
        url: str,
        *,
        retention: str | timedelta | None = None,
        max_runs: int | None = None,
        max_bytes: int | None = None,
        spool_runs: int = 10_000,
        spool_bytes: int = 64 * 1024 * 1024,
        retry_seconds: float = 0.5,
    ) -> None:
        """Make a store. Nothing is connected to, and no file is made, before it is used.

        Args:
            url: `sqlite:///PATH`, or `postgresql://USER:PASSWORD@HOST/DATABASE`, which `assay migrate` has prepared.
            retention: How long runs are kept, such as `'30d'`; for good if left out. Their sums are kept for good.
            max_runs: How many runs are kept; the oldest are deleted.
            max_bytes: How many bytes their contents may have, compressed; the oldest are deleted.
            spool_runs: How many runs may wait to be written; those beyond are given up, and counted.
            spool_bytes: How many bytes those may hold.
            retry_seconds: Seconds until a database that is away is tried again; each further wait doubles, up to 30 s.

        Raises:
            ConfigurationError: If an argument cannot work.
        """
        _check_positive(max_runs=max_runs, max_bytes=max_bytes, spool_runs=spool_runs, spool_bytes=spool_bytes)
        if not retry_seconds > 0:
            raise ConfigurationError(f'retry_seconds must be a positive number of seconds, got {retry_seconds!r}.')
        self._database = Database(url)
        self._retention = Retention(age=duration_of('retention', retention), max_runs=max_runs, max_bytes=max_bytes)
        self._notices = Notices()
        self._writer = Writer(
            self._database,
            self._retention,
            self._notices,
            max_entries=spool_runs,
            max_bytes=spool_bytes,
            retry_seconds=retry_seconds,
        )
        WRITERS.add(self._writer)

    def __repr__(self) -> str:
        return f'Store({self.url!r})'

    @property
    def url(self) -> str:
        """Where it is, without its password."""
        return self._database.shown

    # Writing

    async def submit(self, payload: SinkPayload | UpstreamPayload) -> None:
        """Take the results of one run. Returns at once; they are written soon after."""
        self._writer.submit(partial(_encode_payload, payload))

    def add_outcomes(self, run_id: str, outcomes: Sequence[EvaluationOutcome], *, series: str) -> None:
        """Keep what a stored run was judged to be later, beside what is there. Returns at once.

        Args:
            run_id: The run, which must be in the store.
            outcomes: What became of its evaluations.
            series: A name for this re-judging. The same evaluator adds one outcome of a run to each series.

        Raises:
            ConfigurationError: If `series` is empty, which is what was judged online.
            StoreUnavailableError: If the database is away, so that nobody knows whether the run is there.
            UnknownRunError: If the run is not in the store.
        """
        if not series:
            raise ConfigurationError("series must be a name such as 'after the new rubric', got ''.")
        record = self.run(run_id).record
        if short_text(record.run_id) != short_text(run_id):
            # Questions take the beginning of an id; what is written must not go to another run.
            raise UnknownRunError(f'There is no run {run_id!r} in the store.')
        self._writer.submit(partial(_encode_outcomes, record, tuple(outcomes), series))

    def count(self, status: EvaluationStatus, evaluator: str, fingerprint: str | None, target: str, n: int = 1) -> None:
        """Count evaluations that have no outcome, such as those that were sampled out. Returns at once."""
        self._writer.count(status, evaluator, fingerprint or '', target, n)

    def flush(self, timeout: float = EXIT_SECONDS) -> bool:
        """Wait until what was handed over before is written or given up. Returns whether it was in time."""
        return self._writer.flush(timeout)

    def close(self, timeout: float = EXIT_SECONDS) -> bool:
        """Write what waits, end the thread, and close the connections. Returns whether all was written in time."""
        flushed = self._writer.close(timeout)
        self._database.close()
        return flushed

    def stats(self) -> StoreStats:
        """What has become of what this process handed over."""
        return self._writer.stats()

    def prune(
        self,
        *,
        older_than: str | timedelta | None = None,
        max_runs: int | None = None,
        max_bytes: int | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> int:
        """Delete the oldest runs, a few at a time, until the rest is within bounds; without any, within the store's own.

        Their outcomes, contents and feedback go with them; their sums stay. With a bound on the age, feedback as old goes whose
        run is not in the store.

        Args:
            older_than: Delete the runs that started longer ago, such as `'30d'`.
            max_runs: How many runs to keep.
            max_bytes: How many bytes the contents of the rest may have, compressed.
            on_progress: Called after each step with how many runs have been deleted. What it raises ends the deleting; what
                was deleted until then is gone.

        Returns:
            How many runs were deleted.

        Raises:
            ConfigurationError: If an argument cannot work.
            StoreUnavailableError: If the database is away.
        """
        _check_positive(max_runs=max_runs, max_bytes=max_bytes)
        given = Retention(age=duration_of('older_than', older_than), max_runs=max_runs, max_bytes=max_bytes)
        with self._database.reading() as connection:
            require_schema(self._database, connection)
        return (given if given.is_set else self._retention).apply(self._database, on_progress=on_progress)

    def add_feedback(
        self,
        name: str,
        value: FeedbackValue,
        *,
        run_id: str | None = None,
        span: SpanReference | None = None,
        comment: str | None = None,
        by: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Keep what somebody said of a run, which is named by its id or its span and may be written later.

        Raises:
            ConfigurationError: If there is no run or span, or the value is none of those allowed.
            StoreUnavailableError: If the database is away.
        """
        if run_id is None and span is None:
            raise ConfigurationError('Feedback must be about a run: give its run_id, or its span.')
        row = {
            'run_id': None if run_id is None else short_text(run_id),
            'trace_id': None if span is None else span.trace_id,
            'span_id': None if span is None else span.span_id,
            'name': short_text(name),
            'value': json.dumps(_checked_feedback(value)),
            'score': None if isinstance(value, str) else float(value),
            'comment': None if comment is None else clean_text(comment),
            'by': None if by is None else short_text(by),
            'at': micros(datetime.now(UTC) if at is None else at),
        }
        self._writer.prepare()
        with self._database.writing() as connection:
            connection.execute(insert(FEEDBACK), row)

    # Reading

    def ask(self, question: Callable[Concatenate[Reader, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Ask one of the questions of `Reader`.

        Raises:
            StoreUnavailableError: If the database is away.
            SchemaError: If it has not the tables of this version.
        """
        with self._database.reading() as connection:
            require_schema(self._database, connection)
            return question(Reader(connection), *args, **kwargs)

    async def ask_async(
        self, question: Callable[Concatenate[Reader, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Ask one of the questions of `Reader` without holding the event loop: `await store.ask_async(Reader.runs)`.

        Raises:
            StoreUnavailableError: If the database is away.
            SchemaError: If it has not the tables of this version.
        """
        self._database.require_file()

        def answer(connection: Connection) -> _T:
            require_schema(self._database, connection)
            return question(Reader(connection), *args, **kwargs)

        with explained(self._database):
            async with self._database.async_engine.connect() as connection:
                return await connection.run_sync(answer)

    def runs(
        self,
        where: RunFilter | None = None,
        *,
        order: RunOrder = 'newest',
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunSummary]:
        """A page of the runs for which conditions hold. See `Reader.runs`."""
        return self.ask(Reader.runs, where, order=order, limit=limit, cursor=cursor)

    def run(self, run_id: str) -> StoredRun:
        """All that was kept of a run, by its id or the beginning of it. See `Reader.run`."""
        return self.ask(Reader.run, run_id)

    def outcomes(self, run_id: str) -> tuple[StoredOutcome, ...]:
        """The outcomes of a run, by its id or the beginning of it. See `Reader.outcomes`."""
        return self.ask(Reader.outcomes, run_id)

    def tail(self, after: int | None = None, *, limit: int = 100) -> tuple[StoredOutcome, ...]:
        """Outcomes in the order in which they were written. See `Reader.tail`."""
        return self.ask(Reader.tail, after, limit=limit)

    def aggregates(
        self,
        since: datetime | timedelta,
        until: datetime | None = None,
        *,
        by: Sequence[AggregateBy] = ('target', 'evaluator', 'fingerprint', 'label'),
        step: Step | None = None,
        where: AggregateFilter | None = None,
    ) -> tuple[Aggregate, ...]:
        """Sums over the outcomes of runs that started within a stretch of time. See `Reader.aggregates`."""
        return self.ask(Reader.aggregates, since, until, by=by, step=step, where=where)

    def count_runs(self, where: RunFilter | None = None) -> int:
        """How many runs there are for which conditions hold. See `Reader.count_runs`."""
        return self.ask(Reader.count_runs, where)

    def evaluations(
        self,
        evaluator: str,
        *,
        fingerprint: str | None = None,
        status: EvaluationStatus | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[StoredOutcome]:
        """A page of an evaluator's outcomes, the latest first. See `Reader.evaluations`."""
        return self.ask(
            Reader.evaluations, evaluator, fingerprint=fingerprint, status=status, limit=limit, cursor=cursor
        )

    def tags(self) -> dict[str, int]:
        """The tags of the runs that are there, and how many runs have each."""
        return self.ask(Reader.tags)

    def evaluators(self) -> tuple[StoredEvaluator, ...]:
        """The evaluators whose outcomes are, or were, in the store."""
        return self.ask(Reader.evaluators)

    def feedback(self, *, run_id: str | None = None, name: str | None = None, limit: int = 100) -> tuple[Feedback, ...]:
        """The latest feedback: all, or that on one run, or by one name."""
        return self.ask(Reader.feedback, run_id=run_id, name=name, limit=limit)

    def feedback_page(
        self, *, run_id: str | None = None, name: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Feedback]:
        """A page of feedback, the latest first. See `Reader.feedback_page`."""
        return self.ask(Reader.feedback_page, run_id=run_id, name=name, limit=limit, cursor=cursor)

    def info(self) -> StoreInfo:
        """How the store is. Does not raise where the database is away."""
        try:
            return self.ask(Reader.info, self.url)
        except SchemaError as error:
            with self._database.reading() as connection:
                return StoreInfo(url=self.url, is_reachable=True, error=str(error), revision=revision_of(connection))
        except StoreError as error:
            return StoreInfo(url=self.url, is_reachable=False, error=str(error))

    # As a source of contexts for `run_evaluators`

    def context(self, run_id: str) -> OnlineEvaluatorContext:
        """What evaluators saw of a stored run: what `run_evaluators` takes.

        Raises:
            UnknownRunError: If the run is not in the store.
        """
        return build_context(self.run(run_id).record, None)

    async def fetch(self, span: SpanReference) -> EvaluatorContext[Any, Any, Any]:
        """What evaluators saw of the run of a span.

        Raises:
            UnknownRunError: If the store has none.
        """
        stored = await self.ask_async(Reader.run_of_span, span.trace_id, span.span_id)
        return build_context(stored.record, None)

    async def fetch_many(self, spans: Sequence[SpanReference]) -> list[EvaluatorContext[Any, Any, Any]]:
        """What evaluators saw of the runs of spans, in their order.

        Raises:
            UnknownRunError: If the store lacks one.
        """
        return [await self.fetch(span) for span in spans]


def _encode_payload(payload: SinkPayload | UpstreamPayload) -> Entry:
    now = datetime.now(UTC)
    if isinstance(payload, SinkPayload):
        return encode_entry(payload.run, payload.outcomes, now)
    run = run_of_payload(payload, now)
    return encode_entry(run, outcomes_of(payload, run, now), now)


def _encode_outcomes(record: RunRecord, outcomes: Sequence[EvaluationOutcome], series: str) -> Entry:
    row = row_of(record, datetime.now(UTC))
    tags = tags_of(record.metadata)
    prepared = [encode_outcome(outcome, record.record_content, row, tags=tags, series=series) for outcome in outcomes]
    return Entry(run_id=row['run_id'], run=None, outcomes=prepared, size=size_of(prepared))


def _check_positive(**numbers: object) -> None:
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise ConfigurationError(f'{name} must be an integer of at least 1, got {number!r}.')


def _checked_feedback(value: object) -> object:
    is_number = isinstance(value, int | float) and abs(value) <= MAX_FEEDBACK
    if is_number or isinstance(value, str):
        return value
    raise ConfigurationError(
        f'The value of feedback must be a bool, a finite number or a text, got {safe_repr(value)}.'
    )
