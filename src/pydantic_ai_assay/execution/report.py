"""The outcomes of one run that go to the same sinks together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from pydantic_evals.online import OnErrorCallback

from ..runs.context import OnlineEvaluatorContext
from ..runs.outcome import EvaluationOutcome
from ..settings import EvaluationSink, OnlineEvalConfig, SinkPayload
from .attached import AttachedEvaluator

__all__ = ('Report',)


class Report:
    """Collects the outcomes of evaluators that share their sinks, until all of them are there."""

    def __init__(
        self,
        sinks: Sequence[EvaluationSink],
        config: OnlineEvalConfig,
        context: OnlineEvaluatorContext,
        home: asyncio.AbstractEventLoop,
    ) -> None:
        self.sinks = sinks
        self.config = config
        self.context = context
        self.home = home
        self._expected = 0
        self._outcomes: list[tuple[AttachedEvaluator, EvaluationOutcome]] = []
        self._lock = threading.Lock()

    def expect(self) -> None:
        """Announce one more outcome."""
        self._expected += 1

    def add(self, attached: AttachedEvaluator, outcome: EvaluationOutcome) -> bool:
        """Add an outcome. Returns whether it was the last one."""
        with self._lock:
            self._outcomes.append((attached, outcome))
            return len(self._outcomes) == self._expected

    def payload(self) -> SinkPayload | None:
        """What the sinks get, or `None` if there is neither a result nor a failure to tell of."""
        outcomes = [outcome for _, outcome in self._outcomes]
        results = [result for outcome in outcomes for result in outcome.results]
        failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
        if not results and not failures:
            return None
        return SinkPayload(
            results=results,
            failures=failures,
            context=self.context,
            span_reference=self.context.run.span_reference,
            target=self.context.run.target,
            outcomes=outcomes,
            run=self.context.run,
        )

    def error_handlers(self) -> list[tuple[OnErrorCallback, AttachedEvaluator]]:
        """The distinct `on_error` callbacks of the evaluators reported on, each with one evaluator it is set for."""
        handlers: dict[int, tuple[OnErrorCallback, AttachedEvaluator]] = {}
        for attached, _ in self._outcomes:
            handler = attached.settings.on_error or self.config.on_error
            if handler is not None:
                handlers.setdefault(id(handler), (handler, attached))
        return list(handlers.values())
