"""What is kept of a run while it lasts, whatever it is that runs, until it is handed over to be judged."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from opentelemetry import baggage, trace
from pydantic_ai.exceptions import RunCancelled

from ._upstream import CURRENT_TASK_RUN, OnlineTaskRun
from .errors import describe
from .execution.pipeline import PIPELINE, Chosen
from .runs.active import ActiveRun
from .runs.record import RunOutcome, RunRecord
from .runs.spans import RECORDER

__all__ = ('RunCapture', 'outcome_of')


class RunCapture:
    """One run being captured, and then on its way into the pipeline.

    The run takes place in its `with` block. What can change after the run has returned is copied when it ends; the record
    is made of it later.
    """

    def __init__(self, active: ActiveRun, chosen: Chosen, span: trace.Span, *, is_own_span: bool) -> None:
        """Capture a run that is about to start.

        Args:
            active: The run, as the current one.
            chosen: The evaluators that may be shown the run.
            span: The run's own span, or else its caller's.
            is_own_span: Whether it is the run's own.
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
        self._task_run = OnlineTaskRun(CURRENT_TASK_RUN.get())
        self.chosen: list[Chosen] = [chosen]
        active.chosen = self.chosen

    def __enter__(self) -> None:
        """Keep what the run's code records from here on."""
        self._token = CURRENT_TASK_RUN.set(self._task_run)
        self._started_at = time.time()
        self._clock = time.perf_counter()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Hand the run over: it has ended, with `error` or with the `result` that was set."""
        self._duration = time.perf_counter() - self._clock
        CURRENT_TASK_RUN.reset(self._token)
        self.error = error
        self._hand_over()

    def _hand_over(self) -> None:
        """Submit what was captured. Whatever goes wrong here is ours, and must not become the run's."""
        try:
            self.snapshot()
            self._attributes, self._metrics = self._task_run.release()
            if self._spans.root_id is None:
                # There is no span of the run's own whose end would end the capture.
                self._spans.close()
            PIPELINE.submit(self)
        except Exception as error:
            self.discard()
            for part in self.chosen:
                for candidate in part.candidates:
                    PIPELINE.counters.count('dropped', candidate.attached.name, self.target)
            PIPELINE.notices.warn('capture', f'Run {self.run_id!r} was not captured: {describe(error)}.')

    def snapshot(self) -> None:
        """Copy what can change after the run has returned, from `result` or `error`."""
        raise NotImplementedError

    def record(self) -> RunRecord:
        """Make the run's record."""
        raise NotImplementedError

    def discard(self) -> None:
        """Let go of the run's spans."""
        self._spans.close()

    def captured(self) -> dict[str, Any]:
        """The fields of the record that are captured in the same way whatever runs."""
        return {
            'run_id': self.run_id,
            'target': self.target,
            'started_at': datetime.fromtimestamp(self._started_at, UTC),
            'duration': self._duration,
            'parent_run_id': self.active.parent_run_id,
            'agent_path': self.active.agent_path,
            'attributes': self._attributes,
            'recorded_metrics': self._metrics,
            'span_context': self._span_context if self._span_context.is_valid else None,
            'baggage': self._baggage,
            'spans': self._spans,
        }


def outcome_of(error: BaseException | None) -> RunOutcome:
    """How a run ended, by what it raised."""
    if error is None:
        return 'success'
    return 'cancelled' if isinstance(error, RunCancelled) or not isinstance(error, Exception) else 'error'
