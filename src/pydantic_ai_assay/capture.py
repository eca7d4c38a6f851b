"""What is kept of a run while it lasts, whatever it is that runs, until it is handed over to be judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from opentelemetry import baggage, trace
from pydantic_ai.exceptions import RunCancelled

from ._upstream import CURRENT_TASK_RUN, OnlineTaskRun, get_current_run_context
from .errors import describe
from .execution.chosen import Chosen
from .execution.pipeline import PIPELINE
from .runs.active import CURRENT, ActiveRun
from .runs.clock import TIMEKEEPER
from .runs.record import RunOutcome, RunRecord
from .runs.spans import RECORDER

__all__ = (
    'RunCapture',
    'as_at_call',
    'begin_run',
    'by_name_as_at_call',
    'is_within_run',
    'outcome_of',
)

MAX_COPIED = 10_000
"""Entries of a container up to which it is copied, which takes some microseconds for each thousand."""


class RunCapture(ABC):
    """One run being captured, and then on its way into the pipeline.

    What can change after the run has returned is copied when it ends; the record is made of it later.
    """

    def __init__(
        self,
        active: ActiveRun,
        chosen: Chosen,
        span: trace.Span,
        *,
        is_own_span: bool,
        started_at: datetime | None = None,
    ) -> None:
        """Capture a run that is about to start.

        Args:
            active: The run, as the current one.
            chosen: The evaluators that may be shown the run.
            span: The run's own span, or else its caller's.
            is_own_span: Whether it is the run's own.
            started_at: When the run started, where that was recorded: no clock is read then, and no duration taken.
        """
        self.active = active
        self.run_id = active.run_id
        self.target = active.agent_path[-1]
        self.error: BaseException | None = None
        self.result: Any = None
        self._spans = active.capture = RECORDER.open(
            span, is_own=is_own_span, parent=active.capture, limit=chosen.config.span_attribute_limit
        )
        self._span_context = span.get_span_context()
        self._baggage = dict(baggage.get_all())
        self.task_run = OnlineTaskRun(CURRENT_TASK_RUN.get())
        self.chosen: list[Chosen] = [chosen]
        active.chosen = self.chosen
        active.recorded = self
        self._duration = 0.0
        self._attributes: dict[str, Any] = {}
        self._metrics: dict[str, int | float] = {}
        self._recorded_start = started_at
        if started_at is None:
            self._clock = TIMEKEEPER.clock
            self._started_at = self._clock.time()
            self._begun = self._clock.perf_counter()

    def hand_over(self, *, error: BaseException | None = None, result: Any = None) -> None:
        """Submit the run, which has ended. Whatever goes wrong here is ours, and must not become the run's.

        Args:
            error: What it raised, if it did.
            result: What it ended with otherwise.
        """
        self._duration = self._clock.perf_counter() - self._begun
        try:
            self.freeze(error, result)
            PIPELINE.submit(self)
        except Exception as own_error:
            self.give_up(own_error)

    def freeze(self, error: BaseException | None, result: Any) -> None:
        """Copy what can change once the run has ended, and let go of its context."""
        self.error, self.result = error, result
        self.snapshot()
        self._attributes, self._metrics = self.task_run.release()
        if self._spans.root_id is None:
            # There is no span of the run's own whose end would end the capture.
            self._spans.close()

    def give_up(self, own_error: Exception, *, warn: Callable[[str, str], None] = PIPELINE.notices.warn) -> None:
        """Drop the run's evaluations, because of an error of ours."""
        self.discard()
        for part in self.chosen:
            for candidate in part.candidates:
                PIPELINE.selection.pass_over(candidate.attached, 'dropped', self.target, part.followers, part.store)
        warn('capture', f'Run {self.run_id!r} was not captured: {describe(own_error)}.')

    @abstractmethod
    def snapshot(self) -> None:
        """Copy what can change after the run has returned, from `result` or `error`."""

    @abstractmethod
    def record(self) -> RunRecord:
        """Make the run's record."""

    def discard(self) -> None:
        """Let go of the run's spans."""
        self._spans.close()

    def captured(self) -> dict[str, Any]:
        """The fields of the record that are captured in the same way whatever runs."""
        return {
            'run_id': self.run_id,
            'target': self.target,
            'started_at': self._recorded_start or datetime.fromtimestamp(self._started_at, UTC),
            'duration': self._duration,
            'parent_run_id': self.active.parent_run_id,
            'agent_path': self.active.agent_path,
            'attributes': self._attributes,
            'recorded_metrics': self._metrics,
            'span_context': self._span_context if self._span_context.is_valid else None,
            'baggage': self._baggage,
            'record_content': all(part.record_content for part in self.chosen),
            'spans': self._spans,
        }

    def captured_so_far(self) -> dict[str, Any]:
        """The same, of a run that has not ended."""
        return {
            **self.captured(),
            'duration': self._clock.perf_counter() - self._begun,
            'attributes': dict(self.task_run.attributes),
            'recorded_metrics': dict(self.task_run.metrics),
        }


def outcome_of(error: BaseException | None) -> RunOutcome:
    """How a run ended, by what it raised."""
    if error is None:
        return 'success'
    return 'cancelled' if isinstance(error, RunCancelled) or not isinstance(error, Exception) else 'error'


def is_within_run() -> bool:
    """Whether a run that starts here is called from another one."""
    return CURRENT.get() is not None or get_current_run_context() is not None


def begin_run(run_id: str, name: str, conversation_id: str | None) -> ActiveRun:
    """Begin a run in the current context, within the run it was called from; it is not made the current one yet."""
    caller = get_current_run_context()
    if caller is None or caller.run_id == run_id:
        return ActiveRun(run_id, name, conversation_id)
    agent = caller.agent
    active = ActiveRun(
        run_id,
        name,
        conversation_id,
        caller_run_id=caller.run_id,
        caller_name=agent.name if agent is not None else None,
    )
    if active.conversation_id is None:
        active.conversation_id = caller.conversation_id
    return active


def as_at_call(value: Any) -> Any:
    """A list, dict or set as it is now, whatever becomes of it; not what it holds, and none that is long. Else the value."""
    if type(value) in (list, dict, set) and len(value) <= MAX_COPIED:
        return value.copy()
    return value


def by_name_as_at_call(value: Any) -> Any:
    """The same, and if it is a dict, of each of its values as well: arguments by name."""
    if type(value) is dict and len(cast('dict[Any, Any]', value)) <= MAX_COPIED:
        return {name: as_at_call(each) for name, each in cast('dict[Any, Any]', value).items()}
    return as_at_call(value)
