"""Runs and outcomes as they were, made of what is in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from opentelemetry.trace import SpanContext, TraceFlags
from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec
from pydantic_evals.online import SpanReference

from ..runs.judgement import Judgement, Vote
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from .compression import unpack
from .messages import decode_messages
from .rows import Feedback, RunSummary, StoredEvaluator, StoredOutcome
from .stored_spans import StoredSpans
from .values import cut_in, decode

__all__ = ('evaluator_of', 'feedback_of', 'moment', 'names_in', 'outcome_of', 'record_of', 'summary_of')

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USAGE = TypeAdapter(RunUsage)
_VALUES = 'inputs', 'output', 'expected_output', 'metadata', 'attributes', 'metrics', 'baggage', 'error'
"""The parts of a run that can be any value."""


def moment(microseconds: int) -> datetime:
    """The time that is this many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def names_in(path: str) -> tuple[str, ...]:
    """The names of an agent path."""
    return tuple(json.loads(path)) if path else ()


def span_of(row: Any) -> SpanReference | None:
    """The span in a row of a run or of feedback."""
    if row.trace_id is None:
        return None
    return SpanReference(trace_id=row.trace_id, span_id=row.span_id or '')


def summary_of(row: Any) -> RunSummary:
    """A run as lists show it."""
    return RunSummary(
        run_id=row.run_id,
        target=row.target,
        outcome=row.outcome,
        started_at=moment(row.started_at),
        duration=row.duration,
        agent_name=row.agent,
        agent_path=names_in(row.path),
        parent_run_id=row.parent_run_id,
        conversation_id=row.conversation_id,
        span=span_of(row),
        model_name=row.model,
        variant=row.variant,
        error_type=row.error_type,
        requests=row.requests,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost=row.cost,
        prompt=row.prompt,
        answer=row.answer,
        bytes=row.bytes,
    )


def record_of(summary: RunSummary, content: bytes, spans: bytes | None) -> tuple[RunRecord, dict[str, str]]:
    """A run as evaluators see it, and what of it is not there."""
    document: dict[str, Any] = unpack(content)
    refused = {name: why for name in _VALUES if (why := cut_in(document[name])) is not None} | dict(document['refused'])
    error = decode(document['error'])
    stored_spans = None if spans is None else StoredSpans.decode(unpack(spans))
    if stored_spans is not None and stored_spans.refused is not None:
        refused['spans'] = stored_spans.refused
    record = RunRecord(
        run_id=summary.run_id,
        target=summary.target,
        outcome=summary.outcome,
        inputs=decode(document['inputs']),
        output=error if document['output'] is None and error is not None else decode(document['output']),
        started_at=summary.started_at,
        duration=summary.duration,
        agent_name=summary.agent_name,
        parent_run_id=summary.parent_run_id,
        agent_path=tuple(document['agent_path']),
        conversation_id=summary.conversation_id,
        expected_output=decode(document['expected_output']),
        error=error,
        messages=_messages_of(document, refused),
        new_message_index=document['new_message_index'],
        usage=_usage_of(document['usage'], refused),
        model_name=summary.model_name,
        metadata=None if document['metadata'] is None else _mapping_of(document['metadata']),
        attributes=_mapping_of(document['attributes']),
        recorded_metrics=_mapping_of(document['metrics']),
        span_context=_span_context_of(summary.span, document['trace_flags']),
        baggage=_mapping_of(document['baggage']),
        record_content=document['record_content'],
        spans=stored_spans,
    )
    return record, refused


def _mapping_of(document: Any) -> dict[str, Any]:
    """A mapping, whatever has become of it: evaluators count on one."""
    decoded: object = {} if document is None else decode(document)
    return cast('dict[str, Any]', decoded) if isinstance(decoded, dict) else {'…': decoded}


def _messages_of(document: Mapping[str, Any], refused: dict[str, str]) -> tuple[ModelMessage, ...]:
    try:
        return decode_messages(document['messages'])
    except ValueError as error:
        refused['messages'] = str(error)
        return ()


def _usage_of(document: Any, refused: dict[str, str]) -> RunUsage:
    try:
        return _USAGE.validate_python(document)
    except ValueError:
        refused['usage'] = 'this version of Pydantic AI cannot read it'
        return RunUsage()


def _span_context_of(span: SpanReference | None, flags: int | None) -> SpanContext | None:
    if span is None:
        return None
    return SpanContext(
        int(span.trace_id, 16), int(span.span_id, 16), is_remote=True, trace_flags=TraceFlags(flags or 0)
    )


def evaluator_of(row: Any) -> StoredEvaluator:
    """An evaluator."""
    return StoredEvaluator(
        name=row.name,
        fingerprint=row.fingerprint or None,
        version=row.version,
        spec=None if row.spec is None else _spec_of(row.spec),
        first_seen=moment(row.first_seen),
    )


def _spec_of(text: str) -> EvaluatorSpec:
    document = json.loads(text)
    # It was valid when it was written, in the version of that time.
    return EvaluatorSpec.model_construct(name=document['name'], arguments=decode(document['arguments']))


def outcome_of(row: Any) -> StoredOutcome:
    """An outcome, from a row with what it needs of its run and its evaluator."""
    document: dict[str, Any] = {} if row.detail is None else unpack(row.detail)
    spec = (
        EvaluatorSpec.model_construct(name=row.evaluator_name, arguments=None)
        if row.spec is None
        else _spec_of(row.spec)
    )
    results = document.get('results', [])
    versions = document.get('versions', [row.version] * len(results))
    outcome = EvaluationOutcome(
        run_id=row.run_id,
        evaluator=row.evaluator_name,
        fingerprint=row.fingerprint or None,
        status=row.status,
        probability=row.probability,
        evaluator_version=row.version,
        results=tuple(
            EvaluationResult(
                name=name, value=decode(value), reason=decode(reason), source=spec, evaluator_version=version
            )
            for (name, value, reason), version in zip(results, versions, strict=True)
        ),
        failure=_failure_of(document.get('failure'), spec),
        detail=document.get('detail'),
        attempts=row.attempts,
        duration=row.duration,
        waited=row.waited,
        finished_at=moment(row.finished_at),
        target=row.target,
        agent_name=row.agent,
        agent_path=names_in(row.path),
        parent_run_id=row.parent_run_id,
        conversation_id=row.conversation_id,
        refused=document.get('refused', 0),
        judgement=_judgement_of(document.get('judgement')),
    )
    return StoredOutcome(number=row.number, outcome=outcome, series=row.series, started_at=moment(row.started_at))


def _failure_of(document: Any, spec: EvaluatorSpec) -> EvaluatorFailure | None:
    if document is None:
        return None
    name, message, stacktrace, error_type, version = document
    return EvaluatorFailure(
        name=name,
        error_message=decode(message),
        error_stacktrace=decode(stacktrace),
        source=spec,
        evaluator_version=version,
        error_type=error_type,
    )


def _judgement_of(document: Any) -> Judgement | None:
    if document is None:
        return None
    votes = tuple(map(_vote_of, document['votes']))
    return Judgement(votes=votes, agreement=document['agreement'])


def _vote_of(document: dict[str, Any]) -> Vote:
    decoded: dict[str, Any] = {
        'value': decode(document['value']),
        'reason': decode(document['reason']),
        'usage': _usage_of(document['usage'], {}),
    }
    return Vote(**{**document, **decoded})


def feedback_of(row: Any) -> Feedback:
    """Feedback."""
    return Feedback(
        name=row.name,
        value=json.loads(row.value),
        at=moment(row.at),
        run_id=row.run_id,
        span=span_of(row),
        comment=row.comment,
        by=row.by,
    )
