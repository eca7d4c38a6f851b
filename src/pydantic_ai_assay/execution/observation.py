"""What a test sees, and sets, of the runs that start while it looks."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from ..runs.outcome import EvaluationOutcome, EvaluationStatus
from ..settings import EvaluationSink
from .following import Follower

__all__ = ('OPEN', 'Observation', 'begin_observing_in_child', 'current_observation')


class Observation(Follower):
    """Follows the runs that start while it is open to the last of their evaluations and deliveries.

    It is for tests. The runs are those that start in the context it was opened in, and in what was started from there; or,
    with `whole_process`, all that no other one follows.
    """

    def __init__(
        self,
        sink: EvaluationSink,
        *,
        call_sinks: bool,
        judge_all: bool,
        emit_otel_events: bool | None,
        whole_process: bool,
    ) -> None:
        """Make one that is not open yet.

        Args:
            sink: Gets the results of every run.
            call_sinks: Whether the sinks of the evaluators get them as well.
            judge_all: Whether every evaluator is shown every run, whatever its sample rate.
            emit_otel_events: Whether to emit events; `None` for what the config says.
            whole_process: Whether to follow runs of other contexts, too.
        """
        super().__init__()
        self.sink = sink
        self.call_sinks = call_sinks
        self.judge_all = judge_all
        self.emit_otel_events = emit_otel_events
        self.whole_process = whole_process
        self._outer: Observation | None = None

    def forget(self) -> None:
        """Know of nothing that happened so far, nor of what has not ended."""
        super().forget()
        self._outcomes: list[EvaluationOutcome] = []
        self._passed_over: list[tuple[str, EvaluationStatus]] = []

    @property
    def outer(self) -> Observation | None:
        """The one that the context followed before."""
        return self._outer

    @property
    def outcomes(self) -> list[EvaluationOutcome]:
        """What became of the evaluations, in the order in which they ended."""
        with self._changed:
            return list(self._outcomes)

    @property
    def passed_over(self) -> list[tuple[str, EvaluationStatus]]:
        """The evaluators that were not shown a run, by name, and why."""
        with self._changed:
            return list(self._passed_over)

    def open(self) -> None:
        """Follow the runs that start from now on."""
        with _lock:
            OPEN.append(self)
        if not self.whole_process:
            self._outer = _OF_CONTEXT.get()
            _OF_CONTEXT.set(self)

    def close(self) -> None:
        """Follow no further runs."""
        with _lock:
            OPEN.remove(self)
        if _OF_CONTEXT.get() is self:
            # It need not be: fixtures are left in other contexts than they are entered in. Then nobody looks at it again.
            _OF_CONTEXT.set(self._outer)

    @property
    def is_pending(self) -> bool:
        """Whether something has not ended."""
        return self._pending > 0

    def wait_until_ended(self, timeout: float) -> bool:
        """Block until everything has ended, for at most `timeout` seconds. Returns whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, min(max(0.0, timeout), threading.TIMEOUT_MAX))

    def keep(self, outcome: EvaluationOutcome) -> None:
        """Take the outcome of an evaluation, as soon as it is there."""
        with self._changed:
            self._outcomes.append(outcome)

    def pass_over(self, evaluator: str, status: EvaluationStatus) -> None:
        """Take note of an evaluator that is not shown a run."""
        with self._changed:
            self._passed_over.append((evaluator, status))

    def clear(self) -> None:
        """Forget what ended so far."""
        with self._changed:
            self._outcomes.clear()
            self._passed_over.clear()


OPEN: list[Observation] = []
"""The observations that are open. Empty, but for tests."""

_OF_CONTEXT: ContextVar[Observation | None] = ContextVar('pydantic_ai_assay.observation', default=None)
_lock = threading.Lock()


def begin_observing_in_child() -> None:
    """Begin anew in a forked child, with new locks: what happened before the fork is the parent's."""
    global _lock
    _lock = threading.Lock()
    for observation in OPEN:
        observation.forget()


def current_observation() -> Observation | None:
    """The innermost open observation of this context, or else the last one of the whole process, if there is one."""
    observation = _OF_CONTEXT.get()
    while observation is not None and observation not in OPEN:
        observation = observation.outer
    if observation is not None:
        return observation
    return next((each for each in reversed(OPEN) if each.whole_process), None)
