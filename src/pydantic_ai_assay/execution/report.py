"""The outcomes of one run that go to one sink, together."""

from __future__ import annotations

import threading

from pydantic_evals.online import OnErrorCallback

from ..runs.context import build_context
from ..runs.outcome import EvaluationOutcome
from ..settings import EvaluationSink, SinkPayload
from .evaluation import Evaluation

__all__ = ('Report',)


class Report:
    """Collects the outcomes of a run's evaluations that report to one sink, until all of them are there."""

    def __init__(self, sink: EvaluationSink, first: Evaluation) -> None:
        self.sink = sink
        self.first = first
        self._expected: dict[Evaluation, int] = {}
        self._outcomes: list[tuple[Evaluation, EvaluationOutcome]] = []
        self._lock = threading.Lock()

    def expect(self, evaluation: Evaluation) -> None:
        """Announce one more outcome. They are reported in this order, whichever is there first."""
        self._expected[evaluation] = len(self._expected)

    def add(self, evaluation: Evaluation, outcome: EvaluationOutcome) -> bool:
        """Add an outcome. Returns whether it was the last one."""
        with self._lock:
            self._outcomes.append((evaluation, outcome))
            return len(self._outcomes) == len(self._expected)

    def payload(self) -> SinkPayload | None:
        """What the sink gets, or `None` if there is neither a result nor a failure to tell of."""
        self._outcomes.sort(key=lambda outcome: self._expected[outcome[0]])
        outcomes = [outcome for _, outcome in self._outcomes]
        results = [result for outcome in outcomes for result in outcome.results]
        failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
        if not results and not failures and not getattr(self.sink, 'takes_all', False):
            return None
        context = self.first.context
        if not context.run.record_content:
            context = build_context(context.run.without_content(), self.first.config.metadata)
        return SinkPayload(
            results=results,
            failures=failures,
            context=context,
            span_reference=context.run.span_reference,
            target=context.run.target,
            outcomes=outcomes,
            run=context.run,
        )

    def error_handlers(self) -> list[tuple[OnErrorCallback, Evaluation]]:
        """The distinct `on_error` callbacks of the evaluations reported on, each with the first one it is set for."""
        handlers: dict[int, tuple[OnErrorCallback, Evaluation]] = {}
        for evaluation, _ in self._outcomes:
            handler = evaluation.attached.settings.on_error or evaluation.config.on_error
            if handler is not None:
                handlers.setdefault(id(handler), (handler, evaluation))
        return list(handlers.values())
