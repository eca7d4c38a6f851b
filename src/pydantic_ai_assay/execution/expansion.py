"""From a finished run to its evaluations: who judges it, what they are shown, and where their outcomes go."""

from __future__ import annotations

import asyncio

from ..delivery.sinks import as_sinks
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.record import RunRecord
from ..settings import EvaluationSink
from .chosen import Submission
from .deliveries import is_told
from .evaluation import Evaluation
from .report import Report
from .selection import Selected, Selection

__all__ = ('Expansion',)


class Expansion:
    """One finished run becoming evaluations."""

    def __init__(self, submission: Submission, selection: Selection, home: asyncio.AbstractEventLoop | None) -> None:
        """Take a run on its way in.

        Args:
            submission: The run.
            selection: Decides who judges it.
            home: The event loop of the run, if there is one.
        """
        self._submission = submission
        self._selection = selection
        self._home = home
        self._reports: dict[tuple[int, int], Report] = {}
        self._contexts: dict[int, OnlineEvaluatorContext] = {}

    async def expand(self) -> list[Evaluation]:
        """Make the evaluations."""
        run = self._submission.record()
        evaluations: list[Evaluation] = []
        for selected in self._selection.select(self._submission.chosen, run):
            sinks, part = _sinks_of(selected), selected.part
            if not sinks and not part.config.emit_otel_events and not is_told(selected.attached, part.config):
                self._selection.have_nowhere_to_report(selected.attached, run.target)
                continue
            evaluation = self._evaluation(selected, run)
            for identity, sink in sinks.items():
                # What is redacted for one config is not shown to its sinks by another.
                key = identity, id(part.config.redact)
                report = self._reports.get(key)
                if report is None:
                    report = self._reports[key] = Report(sink, evaluation)
                report.expect(evaluation)
                evaluation.reports.append(report)
            evaluations.append(evaluation)
        return evaluations

    def _evaluation(self, selected: Selected, run: RunRecord) -> Evaluation:
        part = selected.part
        config = part.config
        context = self._contexts.get(id(config))
        if context is None:
            context = self._contexts[id(config)] = build_context(run, config.metadata)
        judged = part.blocked.get(selected.attached.key)
        if judged is not None and judged.history is not None:
            evaluation = judged.history.conclude(run)
        else:
            evaluation = Evaluation(
                selected.attached,
                config,
                context,
                probability=selected.probability,
                home=self._home,
                observation=part.observation,
                followers=part.followers,
                admission=selected.admission,
            )
        evaluation.context = context
        return evaluation


def _sinks_of(selected: Selected) -> dict[int, EvaluationSink]:
    settings, part = selected.attached.settings, selected.part
    sinks = as_sinks(settings.sink if settings.sink is not None else part.config.default_sink)
    if part.store is not None:
        sinks = {**sinks, id(part.store): part.store}
    observation = part.observation
    if observation is not None:
        sinks = {**(sinks if observation.call_sinks else {}), id(observation.sink): observation.sink}
    return sinks
