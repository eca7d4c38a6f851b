"""What evaluators see of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_evals.evaluators import EvaluatorContext
from pydantic_evals.otel import SpanTree, SpanTreeRecordingError

from ..errors import NoRunError
from .record import RunRecord

__all__ = ('OnlineEvaluatorContext', 'build_context', 'run_of')

_UNBUILT = cast(SpanTree, object())


@dataclass(kw_only=True)
class OnlineEvaluatorContext(EvaluatorContext[Any, Any, Any]):
    """An `EvaluatorContext` of an online run: upstream's fields filled as upstream fills them, and the run itself."""

    run: RunRecord = field(repr=False)
    """The run: its messages, usage, cost, model, ids, error and outcome."""

    def __post_init__(self) -> None:
        if self._span_tree is _UNBUILT:
            # Building the tree costs more than most evaluators; `__getattr__` builds it for those that look at it.
            del self._span_tree

    def __getattr__(self, name: str) -> Any:
        if name != '_span_tree':
            raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')
        self._span_tree = span_tree = _span_tree_of(self.run)
        return span_tree


def run_of(ctx: EvaluatorContext[Any, Any, Any]) -> RunRecord:
    """The run an evaluator is asked about: its messages, usage, cost, model, ids, error and outcome.

    The same as `ctx.run`, for evaluators whose `ctx` is annotated as an `EvaluatorContext`.

    Raises:
        NoRunError: If the context does not come from an online run but, say, from `Dataset.evaluate`.
    """
    if isinstance(ctx, OnlineEvaluatorContext):
        return ctx.run
    raise NoRunError(
        f'This evaluator needs the run, which a context of type {type(ctx).__name__} does not carry. Attach it with '
        '`OnlineEvaluation`, or have it do without where `isinstance(ctx, OnlineEvaluatorContext)` is false.'
    )


def build_context(run: RunRecord, settings_metadata: dict[str, Any] | None) -> OnlineEvaluatorContext:
    """Build what the evaluators of one run see.

    Args:
        run: The run.
        settings_metadata: The `metadata` of the evaluation settings; the run's own metadata wins where both have a key.
    """
    metadata = run.metadata
    if settings_metadata is not None:
        metadata = {**settings_metadata, **(metadata or {})}
    return OnlineEvaluatorContext(
        name=run.run_id,
        inputs=run.inputs,
        output=run.output,
        expected_output=run.expected_output,
        metadata=metadata,
        duration=run.duration,
        attributes=dict(run.attributes),
        metrics=_metrics_of(run),
        _span_tree=_UNBUILT,
        run=run,
    )


def _span_tree_of(run: RunRecord) -> SpanTree | SpanTreeRecordingError:
    if run.spans is None:
        return SpanTreeRecordingError('The spans of this run were not captured.')
    try:
        return run.spans.tree()
    except SpanTreeRecordingError as error:
        return error


def _metrics_of(run: RunRecord) -> dict[str, int | float]:
    metrics = dict(run.recorded_metrics)
    if run.spans is None or not _add_span_metrics(metrics, run):
        _add_usage_metrics(metrics, run)
    return metrics


def _add_span_metrics(metrics: dict[str, int | float], run: RunRecord) -> bool:
    """Sum requests, tokens and cost over the run's model requests, nested agents included, as pydantic-evals does."""
    assert run.spans is not None
    found = False
    for span in run.spans.all_spans():
        attributes = span.attributes or {}
        if 'gen_ai.request.model' not in attributes:
            continue
        found = True
        for key, value in attributes.items():
            if key == 'gen_ai.operation.name' and value == 'chat':
                _increment(metrics, 'requests', 1)
            elif not isinstance(value, int | float):
                continue
            elif key == 'operation.cost':
                _increment(metrics, 'cost', value)
            elif key.startswith('gen_ai.usage.'):
                _increment(metrics, key.removeprefix('gen_ai.usage.').removeprefix('details.'), value)
    return found


def _add_usage_metrics(metrics: dict[str, int | float], run: RunRecord) -> None:
    usage = run.usage
    _increment(metrics, 'requests', usage.requests)
    if usage.cost is not None:
        _increment(metrics, 'cost', float(usage.cost))
    for key, value in usage.opentelemetry_attributes().items():
        _increment(metrics, key.removeprefix('gen_ai.usage.').removeprefix('details.'), value)


def _increment(metrics: dict[str, int | float], name: str, amount: float) -> None:
    if amount:
        metrics[name] = metrics.get(name, 0) + amount
