"""Results that pydantic-evals' own online evaluation hands to a sink, in the form of ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import uuid4

from opentelemetry.trace import SpanContext, TraceFlags
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec
from pydantic_evals.online import SinkPayload
from pydantic_evals.otel import SpanTreeRecordingError

from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from .entry import spec_text
from .stored_spans import StoredSpans

__all__ = ('outcomes_of', 'run_of_payload')


def run_of_payload(payload: SinkPayload, now: datetime) -> RunRecord:
    """The run that a payload is about, as far as it says.

    Its id is made of its span, so that it is the same for every sink and however often it is submitted; without a span it is
    a new one.
    """
    context, span = payload.context, payload.span_reference
    span_context = None
    if span is not None:
        trace_id, span_id = int(span.trace_id, 16), int(span.span_id, 16)
        span_context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    error = context.output if isinstance(context.output, BaseException) else None
    return RunRecord(
        run_id=uuid4().hex if span is None else f'{span.trace_id}:{span.span_id}',
        target=payload.target,
        outcome='success' if error is None else 'error',
        inputs=context.inputs,
        output=context.output,
        expected_output=context.expected_output,
        error=error,
        started_at=now - timedelta(seconds=context.duration),
        duration=context.duration,
        metadata=context.metadata,
        attributes=context.attributes,
        recorded_metrics=context.metrics,
        span_context=span_context,
        spans=_spans_of(payload),
    )


def _spans_of(payload: SinkPayload) -> StoredSpans:
    try:
        return StoredSpans(list(payload.context.span_tree))
    except SpanTreeRecordingError as error:
        return StoredSpans((), recording_error=str(error))


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
    name = failure.name if failure is not None else results[0].name if len(results) == 1 else source.name
    return EvaluationOutcome(
        run_id=run.run_id,
        evaluator=name,
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
