"""OpenTelemetry metrics about evaluation itself.

- `assay.evaluations`: evaluations ended, by status, evaluator and target.
- `assay.evaluations.dropped`: the dropped ones alone, by evaluator and target.
- `assay.evaluation.duration`: seconds an evaluation ran, by status and evaluator.
- `assay.queue.depth`: evaluations that wait.
- `assay.sink.errors`: sinks and callbacks that raised or timed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from ..runs.outcome import EvaluationStatus
from .counters import Counters

__all__ = ('EvaluationMetrics',)


class EvaluationMetrics:
    """Creates the instruments. All but the duration read the counters when they are collected, at no cost before."""

    def __init__(self, counters: Counters, queue_depth: Callable[[], int]) -> None:
        meter = get_meter('pydantic-ai-assay')

        def ended(_: CallbackOptions) -> Iterable[Observation]:
            for (status, evaluator, target), count in counters.snapshot().items():
                yield Observation(
                    count,
                    {
                        'assay.status': status,
                        'gen_ai.evaluation.name': evaluator,
                        'gen_ai.evaluation.target': target,
                    },
                )

        def dropped(_: CallbackOptions) -> Iterable[Observation]:
            for (status, evaluator, target), count in counters.snapshot().items():
                if status == 'dropped':
                    yield Observation(count, {'gen_ai.evaluation.name': evaluator, 'gen_ai.evaluation.target': target})

        def depth(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(queue_depth())

        def sink_errors(_: CallbackOptions) -> Iterable[Observation]:
            yield Observation(counters.sink_errors)

        unit = '{evaluation}'
        # Kept, because a provider that is configured anew only recreates the instruments that still exist.
        self._meter = meter
        self._observed = [
            meter.create_observable_counter('assay.evaluations', [ended], unit, 'Evaluations ended, by status.'),
            meter.create_observable_counter('assay.evaluations.dropped', [dropped], unit, 'Evaluations dropped.'),
            meter.create_observable_gauge('assay.queue.depth', [depth], unit, 'Evaluations that wait.'),
            meter.create_observable_counter(
                'assay.sink.errors', [sink_errors], '{error}', 'Sinks and callbacks that raised or timed out.'
            ),
        ]
        self._duration = meter.create_histogram('assay.evaluation.duration', 's', 'How long evaluations ran.')

    def record_duration(self, seconds: float, status: EvaluationStatus, evaluator: str) -> None:
        """Record how long an evaluation ran."""
        self._duration.record(seconds, {'assay.status': status, 'gen_ai.evaluation.name': evaluator})
