"""What tests need: results in memory, all evaluations of a piece of code, and a clock that can be set.

Example:
```python
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Contains

from pydantic_ai_assay import OnlineEvaluation
from pydantic_ai_assay.testing import capture_evaluations

agent = Agent(TestModel(), name='assistant', capabilities=[OnlineEvaluation(evaluators=[Contains('success')])])


async def test_answers_are_judged():
    async with capture_evaluations() as captured:
        await agent.run('Hello')
    assert captured.values == {'Contains': True}
```
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar, Literal, Self

import anyio.to_thread
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure

from .errors import AssayError, ConfigurationError
from .execution.lanes import running_loop
from .execution.observation import OPEN, Observation
from .execution.pipeline import PIPELINE
from .fork import when_forked
from .runs.clock import TIMEKEEPER
from .runs.outcome import EvaluationOutcome, EvaluationStatus
from .runs.record import RunRecord
from .settings import EvaluationSink, SinkPayload

__all__ = ('CapturedEvaluations', 'InMemorySink', 'SettableClock', 'UnfinishedEvaluationsError', 'capture_evaluations')


class UnfinishedEvaluationsError(AssayError, AssertionError):
    """Evaluations that a test waited for had not ended in time; the message names them."""


class InMemorySink(EvaluationSink):
    """A sink that keeps what it is given. It can be asked from any thread, while more is coming in."""

    def __init__(self) -> None:
        # Without a lock, which a fork could leave held: each of these is changed and copied in one step.
        self._payloads: dict[int, SinkPayload] = {}

    async def submit(self, payload: SinkPayload) -> None:
        """Keep the results of one run; the same payload counts once, however often it comes."""
        self._payloads.setdefault(id(payload), payload)

    def clear(self) -> None:
        """Forget everything."""
        self._payloads.clear()

    @property
    def payloads(self) -> list[SinkPayload]:
        """What was handed in, in the order in which it came."""
        return list(self._payloads.copy().values())

    @property
    def results(self) -> list[EvaluationResult]:
        """All results."""
        return [result for outcome in self.outcomes for result in outcome.results]

    @property
    def failures(self) -> list[EvaluatorFailure]:
        """All failures, those of evaluators that timed out included."""
        return [outcome.failure for outcome in self.outcomes if outcome.failure is not None]

    @property
    def outcomes(self) -> list[EvaluationOutcome]:
        """What became of each evaluation."""
        return [outcome for payload in self.payloads for outcome in payload.outcomes]

    @property
    def values(self) -> dict[str, bool | int | float | str]:
        """The value of each result by the result's name; of several with one name, the last."""
        return {result.name: result.value for result in self.results}

    @property
    def statuses(self) -> dict[str, EvaluationStatus]:
        """How each evaluator's evaluation ended, by the evaluator's name; of several, the last. See `counts`."""
        return {evaluator: status for evaluator, status in self._endings()}

    @property
    def counts(self) -> dict[str, Mapping[EvaluationStatus, int]]:
        """How many evaluations of each evaluator ended in each status."""
        counts: dict[str, Counter[EvaluationStatus]] = {}
        for evaluator, status in self._endings():
            counts.setdefault(evaluator, Counter())[status] += 1
        return {evaluator: dict(counted) for evaluator, counted in counts.items()}

    def _endings(self) -> list[tuple[str, EvaluationStatus]]:
        return [(outcome.evaluator, outcome.status) for outcome in self.outcomes]

    @property
    def runs(self) -> list[RunRecord]:
        """The runs that there are results or failures of, each once."""
        return list({id(payload.run): payload.run for payload in self.payloads}.values())

    @property
    def run(self) -> RunRecord:
        """The one run that there are results or failures of.

        Raises:
            AssertionError: If there is none, or more than one.
        """
        runs = self.runs
        if len(runs) != 1:
            ids = ', '.join(repr(run.run_id) for run in runs[:10])
            raise AssertionError(f'Expected results of one run, got those of {len(runs)}{": " if ids else ""}{ids}.')
        return runs[0]


class SettableClock:
    """A clock that stands still until it is moved on.

    In its `with` block, the whole process reads from it when a run starts and how long it takes, and when an evaluation
    ended; `timeout`, retries and the times of spans go by the real clock.
    """

    changing: ClassVar[threading.Lock] = threading.Lock()
    """Held while any of them is moved on, or begins or ends to be the one of the process. A forked child makes another."""

    def __init__(self, start: datetime | None = None) -> None:
        """Make a clock.

        Args:
            start: What it shows at first, with a time zone. Default: what the real clock shows.

        Raises:
            ConfigurationError: If `start` has no time zone.
        """
        if start is not None and start.tzinfo is None:
            raise ConfigurationError(f'start must have a time zone, got {start!r}.')
        self._start = datetime.now(UTC) if start is None else start.astimezone(UTC)
        self._elapsed = 0.0

    @property
    def now(self) -> datetime:
        """What it shows (UTC)."""
        return self._start + timedelta(seconds=self._elapsed)

    def advance(self, seconds: float) -> None:
        """Move it on.

        Raises:
            ConfigurationError: If `seconds` is negative or no number.
        """
        if not math.isfinite(seconds) or seconds < 0:
            raise ConfigurationError(f'seconds must be a number of at least 0, got {seconds!r}.')
        with SettableClock.changing:
            self._elapsed += seconds

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now.timestamp()

    def perf_counter(self) -> float:
        """Seconds it was moved on by."""
        return self._elapsed

    def __enter__(self) -> Self:
        """Let the process go by it.

        Raises:
            ConfigurationError: If the process goes by a settable clock already.
        """
        with SettableClock.changing:
            if TIMEKEEPER.clock is not time:
                raise ConfigurationError('The process goes by a settable clock already; it can go by one at a time.')
            TIMEKEEPER.clock = self
        return self

    def __exit__(self, *_: object) -> None:
        """Let the process go by the real clock."""
        with SettableClock.changing:
            TIMEKEEPER.clock = time


def _begin_in_child() -> None:
    SettableClock.changing = threading.Lock()


when_forked(_begin_in_child)


class CapturedEvaluations(InMemorySink):
    """What `capture_evaluations` captures: what a sink gets, and besides what was dropped, sampled out or skipped.

    It is a context manager, for `with` and for `async with`.
    """

    def __init__(
        self, observation: Callable[[EvaluationSink], Observation], clock: SettableClock | None, timeout: float
    ):
        """Made by `capture_evaluations`."""
        super().__init__()
        self._observation = observation(self)
        self._clock = clock
        self._timeout = timeout

    def __enter__(self) -> Self:
        """Capture what starts from now on.

        Raises:
            ConfigurationError: If it has been entered already, or the process goes by another settable clock.
        """
        if self._observation in OPEN:
            raise ConfigurationError('These evaluations are being captured already; call `capture_evaluations()` anew.')
        if self._clock is not None:
            self._clock.__enter__()
        self._observation.open()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Wait for the evaluations of the runs that ended within, unless the block failed.

        Raises:
            UnfinishedEvaluationsError: If some have not ended in time.
        """
        with self._leaving():
            if error is None:
                self.wait()

    async def __aenter__(self) -> Self:
        """As `with`."""
        return self.__enter__()

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """As `with`, leaving the event loop to others meanwhile."""
        with self._leaving():
            if error is None:
                await self.wait_async()

    @contextmanager
    def _leaving(self) -> Generator[None]:
        self._observation.close()
        try:
            yield
        finally:
            if self._clock is not None:
                self._clock.__exit__()

    def wait(self, timeout: float | None = None) -> None:
        """Block until all that was captured so far has ended, deliveries to sinks included.

        Args:
            timeout: Seconds to wait at most. Default: what `capture_evaluations` was given.

        Raises:
            UnfinishedEvaluationsError: If something has not ended; the message names it. It goes on.
        """
        observation, timeout = self._observation, self._timeout if timeout is None else timeout
        if observation.is_pending and running_loop() is not None:
            raise UnfinishedEvaluationsError(
                f'Not ended, and would not while this blocks the event loop: {self._left()}. '
                'Use `async with capture_evaluations()` or `await captured.wait_async()`.'
            )
        self._check(observation.wait_until_ended(timeout), timeout)

    async def wait_async(self, timeout: float | None = None) -> None:
        """As `wait()`, leaving the event loop to others meanwhile."""
        observation, timeout = self._observation, self._timeout if timeout is None else timeout
        ended = not observation.is_pending or await anyio.to_thread.run_sync(
            observation.wait_until_ended, timeout, abandon_on_cancel=True
        )
        self._check(ended, timeout)

    def _check(self, ended: bool, timeout: float) -> None:
        if not ended:
            raise UnfinishedEvaluationsError(f'Not ended after {timeout:g} seconds: {self._left()}.')

    def _left(self) -> str:
        names = Counter(each.evaluator for each in PIPELINE.pending(self._observation))
        if not names:
            return 'deliveries to sinks or callbacks'
        listed = ', '.join(f'{name} ({count})' for name, count in sorted(names.items()))
        return f'{names.total()} evaluation(s) by {listed}'

    def clear(self) -> None:
        """Forget everything captured so far."""
        super().clear()
        self._observation.clear()

    @property
    def outcomes(self) -> list[EvaluationOutcome]:
        """What became of each evaluation, the ones that were dropped included."""
        return self._observation.outcomes

    def _endings(self) -> list[tuple[str, EvaluationStatus]]:
        return [*super()._endings(), *self._observation.passed_over]


def capture_evaluations(
    *,
    sample_rate: float | None = None,
    call_sinks: bool = True,
    emit_otel_events: bool | None = None,
    scope: Literal['context', 'process'] = 'context',
    clock: SettableClock | None = None,
    timeout: float = 10.0,
) -> CapturedEvaluations:
    """Capture the evaluations of all runs that start within a block, whatever their settings.

    When the block is left, it waits for the evaluations of the runs that ended within. Of nested blocks, the innermost
    captures.

    Args:
        sample_rate: 1.0 shows every run to every evaluator, whatever its `sample_rate` and the environment; `when` is still
            asked, and `run_on` still holds. Default: runs are sampled as they are elsewhere.
        call_sinks: Whether the configured sinks get the results as well. Default: they do.
        emit_otel_events: Whether to emit OpenTelemetry events. Default: what the config says.
        scope: `'context'` captures the runs that the code in the block starts, in tasks and in threads that are given its
            context (such as those of `asyncio.to_thread`). `'process'` captures those of other threads and tasks as well,
            unless a block of their own does. Default: `'context'`, so that tests that run at once do not see each other's.
        clock: A clock for the process to go by meanwhile.
        timeout: Seconds to wait at most. Default: 10.

    Raises:
        ConfigurationError: If a setting has a value that cannot work.
    """
    if sample_rate not in (None, 1.0):
        raise ConfigurationError(f'sample_rate must be 1.0 or None, got {sample_rate!r}.')
    if scope not in ('context', 'process'):
        raise ConfigurationError(f"scope must be one of 'context', 'process', got {scope!r}.")
    observation = partial(
        Observation,
        call_sinks=call_sinks,
        judge_all=sample_rate is not None,
        emit_otel_events=emit_otel_events,
        whole_process=scope == 'process',
    )
    return CapturedEvaluations(observation, clock, timeout)
