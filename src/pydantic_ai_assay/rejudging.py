"""Judging stored runs again with other evaluators: new outcomes beside the old ones."""

from __future__ import annotations

import inspect
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import EvaluationResult, Evaluator

from .errors import ConfigurationError, describe
from .execution.attached import AttachedEvaluator, attach
from .execution.evaluation import Evaluation
from .execution.work import Settlement
from .judging.progress import Counting, progress_of
from .known_store import known_store
from .redrawing import Drawing
from .reports.known import require_conditions, require_evaluator, require_names
from .runs.cancellation import is_cancelled
from .runs.context import build_context
from .runs.outcome import EvaluationOutcome, EvaluationStatus
from .runs.record import RunRecord
from .settings import DEFAULT_CONFIG
from .stored_runs import each_run, unless_gone, up_to_now
from .thread_loop import run_on_thread_loop

if TYPE_CHECKING:
    from .store.rows import RunSummary, StoredOutcome
    from .store.run_filter import RunFilter
    from .store.store import Store

__all__ = ('RejudgeReport', 'rejudge', 'rejudge_sync')

MAX_WAITING = 1_000
"""How many outcomes may wait to be written before the next is judged; the store gives up those beyond its own bound."""
WRITE_SECONDS = 60.0
"""Seconds within which what waits must be written."""


@dataclass(kw_only=True, frozen=True)
class RejudgeReport:
    """What became of judging stored runs again."""

    series: str
    """The name that the new outcomes have."""
    runs: int
    """How many runs the conditions hold for."""
    statuses: Mapping[str, Mapping[EvaluationStatus, int]]
    """How the evaluations ended, by evaluator. Those that are `'sampled_out'` or `'skipped'` have no outcome."""
    already: int
    """How many evaluations the series had before."""
    taken_over: int
    """How many scores of the series in `retry` are now in this one as well."""
    without_content: int
    """How many runs were skipped because nothing of what was said in them is stored."""
    gone: int
    """How many runs were deleted in the meantime."""
    cost: Decimal | None
    """What judges cost in USD; `None` if none of their models has a known price."""
    duration: float
    """How long it took, in seconds."""


async def rejudge(
    evaluators: Sequence[Evaluator[Any, Any, Any] | upstream.OnlineEvaluator],
    *,
    series: str,
    store: Store | str | None = None,
    where: RunFilter | None = None,
    sample: float = 1.0,
    sampled_as: str | None = None,
    retry: str | None = None,
    max_concurrency: int = 10,
    progress: bool | None = None,
) -> RejudgeReport:
    """Judge stored runs with evaluators, and keep what they say beside what is there.

    Called again with the same series it goes on where it stopped: what the series has is not judged again. Runs of which no
    content is stored are skipped, since there is nothing to judge.

    Args:
        evaluators: The evaluators. The `timeout`, `retries`, `run_on` of an `OnlineEvaluator` hold here too; sampling,
            budgets, sinks and callbacks do not.
        series: A name for these outcomes. The same evaluator adds one outcome of a run to each series.
        store: The store or its URL. Default: that of `configure(store=...)`, else of `ASSAY_STORE`.
        where: Which runs. Default: all.
        sample: The probability with which each of them is judged. The draw depends on the run and the series, and is
            the same for all evaluators.
        sampled_as: The name of an evaluator that judges these runs online. No run is judged but those that were drawn for
            it, and `sample` is multiplied by the probability with which they were: then the numbers are about all that
            the agent does. Without it, they are about the runs that are stored.
        retry: A series, or `''` for what was judged online, of which to judge again what has no score. What the same
            evaluator, with the same fingerprint, has scored there is taken over into the new series, and nothing else
            is judged; each outcome has the probability that it had.
        max_concurrency: How many evaluations run at a time, and how many runs are held.
        progress: Whether a progress bar goes to standard error. Default: if that is a terminal.

    Raises:
        ConfigurationError: If an argument cannot work, or the series was sampled with another probability.
        UnknownNameError: If nothing has the name in `sampled_as` or `retry`, or one of those that `where` has.
        MissingExtraError: If the extra `store` is not installed.
        StoreError: If the store cannot be read or written.
    """
    _check(series, sample, max_concurrency)
    _check_retry(series, sample, sampled_as, retry)
    attached = _attached(evaluators)
    kept_in = known_store(store)
    await anyio.to_thread.run_sync(_require_names, kept_in, where, attached, sampled_as, retry)
    started = time.monotonic()
    with progress_of(f'Judging {series}', None, progress) as counting:
        drawing = Drawing(series=series, sample=sample, sampled_as=sampled_as, retry=retry)
        batch = _Batch(kept_in, attached, drawing, max_concurrency, counting)
        try:
            await batch.judge(each_run(kept_in, up_to_now(where)))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
    await anyio.to_thread.run_sync(_written, kept_in)
    return batch.report(time.monotonic() - started)


def rejudge_sync(
    evaluators: Sequence[Evaluator[Any, Any, Any] | upstream.OnlineEvaluator],
    *,
    series: str,
    store: Store | str | None = None,
    where: RunFilter | None = None,
    sample: float = 1.0,
    sampled_as: str | None = None,
    retry: str | None = None,
    max_concurrency: int = 10,
    progress: bool | None = None,
) -> RejudgeReport:
    """The same as `rejudge`, for code that is not asynchronous.

    Raises:
        ConfigurationError: If an argument cannot work, or the series was sampled with another probability.
        UnknownNameError: If nothing has the name in `sampled_as` or `retry`, or one of those that `where` has.
        MissingExtraError: If the extra `store` is not installed.
        StoreError: If the store cannot be read or written.
        RuntimeError: If an event loop runs in this thread.
    """
    start = partial(
        rejudge,
        evaluators,
        series=series,
        store=store,
        where=where,
        sample=sample,
        sampled_as=sampled_as,
        retry=retry,
        max_concurrency=max_concurrency,
        progress=progress,
    )
    return run_on_thread_loop(start, 'rejudge')


@dataclass(kw_only=True)
class _Counts:
    """What is counted on the way."""

    runs: int = 0
    already: int = 0
    taken_over: int = 0
    without_content: int = 0
    gone: int = 0
    cost: Decimal | None = None
    statuses: dict[str, Counter[EvaluationStatus]] = field(default_factory=dict[str, Counter[EvaluationStatus]])


class _Batch:
    """The runs of one call, of which no more than a number are held at a time."""

    def __init__(
        self,
        store: Store,
        attached: Sequence[AttachedEvaluator],
        drawing: Drawing,
        max_concurrency: int,
        counting: Counting,
    ) -> None:
        self._store = store
        self._attached = attached
        self._drawing = drawing
        self._counting = counting
        self._held = anyio.Semaphore(max_concurrency)
        self._places = anyio.Semaphore(max_concurrency)
        self._counts = _Counts(statuses={each.name: Counter() for each in attached})

    async def judge(self, summaries: Iterator[RunSummary]) -> None:
        """Judge the runs, as many at a time as there are places."""
        async with anyio.create_task_group() as group:
            while (summary := await anyio.to_thread.run_sync(next, summaries, None)) is not None:
                await self._held.acquire()
                group.start_soon(self._judge_run, summary.run_id)

    async def _judge_run(self, run_id: str) -> None:
        try:
            self._counts.runs += 1
            outcomes = await anyio.to_thread.run_sync(unless_gone, self._store.outcomes, run_id)
            due = [] if outcomes is None else await self._due(run_id, outcomes)
            stored = await anyio.to_thread.run_sync(unless_gone, self._store.run, run_id) if due else None
            if outcomes is None or (due and stored is None):
                self._counts.gone += 1
            if stored is not None:
                await self._judge_with_all(due, stored.record)
        finally:
            self._held.release()

    async def _judge_with_all(self, due: Sequence[tuple[AttachedEvaluator, float]], record: RunRecord) -> None:
        if not record.record_content:
            self._counts.without_content += 1
        async with anyio.create_task_group() as group:
            for each, probability in due:
                if record.record_content and each.settings.sees(record.outcome):
                    group.start_soon(self._judge_with, each, record, probability)
                else:
                    self._count(each, 'skipped')

    async def _due(self, run_id: str, outcomes: Sequence[StoredOutcome]) -> list[tuple[AttachedEvaluator, float]]:
        """Those that are to judge the run, and with what probability."""
        due: list[tuple[AttachedEvaluator, float]] = []
        for each in self._attached:
            if self._drawing.is_there(each, outcomes):
                self._counts.already += 1
                continue
            probability = self._drawing.probability(each, outcomes)
            known = self._drawing.score_to_take_over(each, outcomes)
            if known is not None:
                if await anyio.to_thread.run_sync(self._keep, known):
                    self._counts.taken_over += 1
                else:
                    self._counts.gone += 1
            elif probability is not None and self._drawing.is_drawn(run_id):
                due.append((each, probability))
            else:
                self._count(each, 'sampled_out')
        return due

    async def _judge_with(self, attached: AttachedEvaluator, record: RunRecord, probability: float) -> None:
        context = build_context(record, None)
        evaluation = Evaluation(attached, DEFAULT_CONFIG, context, probability=probability, home=None)
        async with self._places:
            evaluation.started = time.monotonic()
            outcome = evaluation.outcome(await _settle(evaluation))
        if not await anyio.to_thread.run_sync(self._keep, outcome):
            self._counts.gone += 1
            return
        self._count(attached, outcome.status)
        cost = None if outcome.judgement is None else outcome.judgement.cost
        if cost is not None:
            self._counts.cost = cost + (self._counts.cost or 0)
        self._counting.count(failed=outcome.status != 'scored')

    def _keep(self, outcome: EvaluationOutcome) -> bool:
        """Hand an outcome over to be written. Returns whether its run is still there."""
        if self._store.stats().waiting > MAX_WAITING:
            _written(self._store)
        add = partial(self._store.add_outcomes, outcomes=(outcome,), series=self._drawing.series)
        # It returns nothing, so that `None` would not tell.
        return unless_gone(lambda run_id: add(run_id) or True, outcome.run_id) is not None

    def _count(self, attached: AttachedEvaluator, status: EvaluationStatus) -> None:
        self._counts.statuses[attached.name][status] += 1

    def report(self, duration: float) -> RejudgeReport:
        """What has become of the runs."""
        counts = self._counts
        return RejudgeReport(
            series=self._drawing.series,
            runs=counts.runs,
            statuses={name: dict(each) for name, each in counts.statuses.items()},
            already=counts.already,
            taken_over=counts.taken_over,
            without_content=counts.without_content,
            gone=counts.gone,
            cost=counts.cost,
            duration=duration,
        )


async def _settle(evaluation: Evaluation) -> Settlement:
    """Run an evaluation to its end. Whatever the evaluator raises is how it ended."""
    with anyio.move_on_after(evaluation.attached.settings.timeout):
        try:
            return Settlement(value=await _results(evaluation))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or is_cancelled(error):
                raise
            return Settlement(error=error)
    return Settlement(timed_out=True)


async def _results(evaluation: Evaluation) -> tuple[EvaluationResult, ...]:
    if not evaluation.attached.is_async:
        output, error = await anyio.to_thread.run_sync(_call, evaluation, abandon_on_cancel=True)
        if error is not None:
            raise error
        if not inspect.isawaitable(output):
            return output
        evaluation.awaitable = output
        evaluation.attached.needs_event_loop()
    return await evaluation.run_async()


def _call(evaluation: Evaluation) -> tuple[Any, BaseException | None]:
    """Call a synchronous evaluator in a thread. What it raises comes back wrapped: not every error can leave a thread."""
    try:
        return evaluation.run_sync(), None
    except BaseException as error:
        return None, error


def _written(store: Store) -> None:
    """Wait until what was handed over is written.

    Raises:
        StoreUnavailableError: If it is not in time. It is written when the database is back, if this process is there.
    """
    from .store.errors import StoreUnavailableError

    if not store.flush(WRITE_SECONDS):
        stats = store.stats()
        raise StoreUnavailableError(f'{stats.waiting} outcomes wait to be written to {store.url}: {stats.last_error}')


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a task raised, out of the groups that it came in."""
    first = errors.exceptions[0]
    return _first(cast('BaseExceptionGroup[BaseException]', first)) if isinstance(first, BaseExceptionGroup) else first


def _check(series: object, sample: object, max_concurrency: object) -> None:
    if not isinstance(series, str) or not series.strip():
        raise ConfigurationError(f"series must be a name such as 'after the new rubric', got {series!r}.")
    if isinstance(sample, bool) or not isinstance(sample, int | float) or not 0 < sample <= 1:
        raise ConfigurationError(f'sample must be a probability above 0 and up to 1, got {sample!r}.')
    if isinstance(max_concurrency, bool) or not isinstance(max_concurrency, int) or max_concurrency < 1:
        raise ConfigurationError(f'max_concurrency must be an integer of at least 1, got {max_concurrency!r}.')


def _check_retry(series: str, sample: float, sampled_as: str | None, retry: str | None) -> None:
    if retry is None:
        return
    if retry == series:
        raise ConfigurationError(f'retry must be another series than the new one, got {retry!r} for both.')
    if sample != 1 or sampled_as is not None:
        raise ConfigurationError(
            'with retry, the sample is that of the earlier series: leave out sample and sampled_as.'
        )


def _require_names(
    store: Store,
    where: RunFilter | None,
    attached: Sequence[AttachedEvaluator],
    sampled_as: str | None,
    retry: str | None,
) -> None:
    require_conditions(store, where)
    require_evaluator(store, sampled_as)
    if retry is None:
        return
    if retry:
        store.ask(require_names, series=retry)
    known = {(each.name, each.fingerprint) for each in store.evaluators()}
    for each in attached:
        if (each.identity.name, each.identity.fingerprint) not in known:
            raise ConfigurationError(
                f'{each.name} cannot be tried again: with its fingerprint {each.identity.fingerprint} it has judged '
                'nothing in the store, so it is another evaluator now. Begin a new series without retry.'
            )


def _attached(evaluators: Sequence[Evaluator[Any, Any, Any] | upstream.OnlineEvaluator]) -> list[AttachedEvaluator]:
    attached = [attach(each) for each in evaluators]
    if not attached:
        raise ConfigurationError('There are no evaluators to judge with.')
    for each in attached:
        try:
            _ = each.identity
        except Exception as error:
            raise ConfigurationError(f'{each.name} cannot say who it is: {describe(error)}') from error
    twice = [name for name, count in Counter(each.name for each in attached).items() if count > 1]
    if twice:
        raise ConfigurationError(f'Evaluators need names of their own, got {twice[0]!r} more than once.')
    return attached
