"""Results that pydantic-evals' own online evaluation hands to a sink, in the form of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import uuid4

from opentelemetry.trace import SpanContext, TraceFlags
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec
from pydantic_evals.online import SinkPayload
from pydantic_evals.otel import SpanTreeRecordingError

from ..runs.context import build_context
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..switches import current_switches
from .entry import spec_text
from .stored_spans import StoredSpans

__all__ = ('outcomes_of', 'run_of_payload')

_SEEN = '_assay_seen'
"""What a context goes by here, and when it was first seen."""


def run_of_payload(payload: SinkPayload, now: datetime) -> RunRecord:
    """The run that a payload is about, as far as it says.

    Its id is made of its span, so that it is the same for every sink and however often it is submitted; without a span of
    its own it is the same for all that is handed over of one call.
    """
    context, span, spans = payload.context, payload.span_reference, _spans_of(payload)
    span_context = None
    if span is not None:
        trace_id, span_id = int(span.trace_id, 16), int(span.span_id, 16)
        span_context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    error = context.output if isinstance(context.output, BaseException) else None
    # A payload for each group of sinks has the same context.
    run_id, seen = cast('tuple[str, datetime]', vars(context).setdefault(_SEEN, (uuid4().hex, now)))
    if span is not None and spans.recording_error is None:
        # Where nothing is recorded, the span is that of whatever is around the call.
        run_id = f'{span.trace_id}:{span.span_id}'
    run = RunRecord(
        run_id=run_id,
        target=payload.target,
        outcome='success' if error is None else 'error',
        inputs=context.inputs,
        output=context.output,
        expected_output=context.expected_output,
        error=error,
        # It was seen after its evaluation.
        started_at=min([seen - timedelta(seconds=context.duration), *(node.start_timestamp for node in spans.nodes)]),
        duration=context.duration,
        metadata=context.metadata,
        attributes=context.attributes,
        span_context=span_context,
        record_content=current_switches().record_content,
        spans=spans,
    )
    return replace(run, recorded_metrics=_recorded_in(context.metrics, build_context(run, None).metrics))


def _spans_of(payload: SinkPayload) -> StoredSpans:
    try:
        return StoredSpans(list(payload.context.span_tree))
    except SpanTreeRecordingError as error:
        return StoredSpans((), recording_error=str(error))


def _recorded_in(metrics: Mapping[str, int | float], of_spans: Mapping[str, int | float]) -> dict[str, int | float]:
    """What the run's code recorded: the metrics without those of the spans, which are added again when it is read."""
    recorded = {name: amount - of_spans.get(name, 0) for name, amount in metrics.items()}
    return {name: amount for name, amount in recorded.items() if amount or name not in of_spans}


def outcomes_of(payload: SinkPayload, run: RunRecord, now: datetime) -> Sequence[EvaluationOutcome]:
    """The outcomes in a payload: one for each evaluator. That of a run which was not sampled is not among them."""
    by_evaluator: dict[tuple[str, str | None], list[EvaluationResult]] = {}
    for result in payload.results:
        by_evaluator.setdefault((spec_text(result.source), result.evaluator_version), []).append(result)
    scored = [
        _outcome(run, now, results[0].source, version, results=tuple(results))
        for (_, version), results in by_evaluator.items()
    ]
    failed = [
        _outcome(run, now, failure.source, failure.evaluator_version, failure=failure) for failure in payload.failures
    ]
    return [*scored, *failed]


def _outcome(
    run: RunRecord,
    now: datetime,
    source: EvaluatorSpec,
    version: str | None,
    *,
    results: tuple[EvaluationResult, ...] = (),
    failure: EvaluatorFailure | None = None,
) -> EvaluationOutcome:
    return EvaluationOutcome(
        run_id=run.run_id,
        evaluator=_name_in(source),
        fingerprint=sha256(f'{spec_text(source)}\n{version}'.encode()).hexdigest()[:16],
        status='scored' if failure is None else 'failed',
        # It does not say with which probability it was sampled.
        probability=1.0,
        evaluator_version=version,
        results=results,
        failure=failure,
        attempts=1,
        finished_at=now,
        target=run.target,
    )


def _name_in(source: EvaluatorSpec) -> str:
    """The name of an evaluator. That of a result will not do: it may be another, and a failure has none."""
    settings = source.kwargs
    for given in (settings, settings.get('assertion'), settings.get('score')):
        name = cast('dict[str, Any]', given).get('evaluation_name') if isinstance(given, dict) else None
        if isinstance(name, str):
            return name
    return source.name
