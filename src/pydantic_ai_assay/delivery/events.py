"""The `gen_ai.evaluation.result` OpenTelemetry events.

Name, body and attributes follow the OpenTelemetry semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/#event-gen_aievaluationresult) and, beyond them, what
pydantic-evals emits, so that Logfire's Live Evaluations reads both alike. The `assay.*` attributes are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger
from pydantic_core import to_json
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec

from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..runs.spans import shorten

__all__ = ('MAX_TEXT', 'emit_events')

EVENT_NAME = 'gen_ai.evaluation.result'
SCOPE = 'pydantic-ai-assay'
MAX_TEXT = 16_384
"""Characters to which an explanation is shortened in an event."""


def emit_events(outcome: EvaluationOutcome, run: RunRecord, *, include_baggage: bool) -> None:
    """Emit one event for each result of a scored evaluation, or one for its failure.

    Nothing is emitted for a trace that was not sampled. Without a configured logger provider this does nothing.

    Args:
        outcome: What became of the evaluation.
        run: The run that was evaluated; its span becomes the events' parent.
        include_baggage: Whether the run's baggage is copied onto the events.
    """
    if run.span_context is not None and not run.span_context.trace_flags.sampled:
        return
    context = run.telemetry_context
    baggage_attributes = {str(k): v for k, v in run.baggage.items()} if include_baggage else {}
    logger = get_logger(SCOPE)
    for result in outcome.results:
        attributes = _attributes(outcome, result, baggage_attributes)
        _set_score(attributes, result.value)
        if result.reason is not None:
            attributes['gen_ai.evaluation.explanation'] = shorten(result.reason, MAX_TEXT)
        body = f'evaluation: {result.name}={_format_score(result.value)}'
        logger.emit(LogRecord(event_name=EVENT_NAME, body=body, attributes=attributes, context=context))
    failure = outcome.failure
    if failure is not None:
        attributes = _attributes(outcome, failure, baggage_attributes)
        attributes['error.type'] = failure.error_type or 'pydantic_evals.EvaluatorFailure'
        body = f'evaluation: {failure.name} failed'
        if failure.error_message:
            message = shorten(failure.error_message, MAX_TEXT)
            attributes['gen_ai.evaluation.explanation'] = message
            body += f': {message}'
        logger.emit(
            LogRecord(
                event_name=EVENT_NAME,
                body=body,
                attributes=attributes,
                severity_number=SeverityNumber.WARN,
                context=context,
            )
        )


def _attributes(
    outcome: EvaluationOutcome, item: EvaluationResult | EvaluatorFailure, baggage_attributes: Mapping[str, Any]
) -> dict[str, Any]:
    attributes = {
        **baggage_attributes,
        'gen_ai.evaluation.target': outcome.target,
        'gen_ai.evaluation.name': item.name,
        'gen_ai.evaluation.evaluator.source': _serialize(item.source),
        'assay.status': outcome.status,
        'assay.probability': outcome.probability,
        'assay.run_id': outcome.run_id,
    }
    optional = {
        'gen_ai.evaluation.evaluator.version': item.evaluator_version,
        'gen_ai.agent.name': outcome.agent_name,
        'gen_ai.conversation.id': outcome.conversation_id,
        'assay.fingerprint': outcome.fingerprint,
        'assay.agent_path': ' > '.join(outcome.agent_path) or None,
        'assay.parent_run_id': outcome.parent_run_id,
        'assay.refused': outcome.refused or None,
    }
    attributes.update({key: value for key, value in optional.items() if value is not None})
    return attributes


def _serialize(source: EvaluatorSpec) -> str:
    # Arguments that have no JSON form (a client, a callable) are shown by their text.
    document = {'name': source.name, 'arguments': source.arguments}
    return shorten(to_json(document, serialize_unknown=True, inf_nan_mode='constants').decode(), MAX_TEXT)


def _set_score(attributes: dict[str, Any], value: bool | float | str) -> None:
    if isinstance(value, bool):
        attributes['gen_ai.evaluation.score.value'] = 1.0 if value else 0.0
        attributes['gen_ai.evaluation.score.label'] = 'pass' if value else 'fail'
    elif isinstance(value, str):
        attributes['gen_ai.evaluation.score.label'] = value
    else:
        attributes['gen_ai.evaluation.score.value'] = float(value)


def _format_score(value: bool | float | str) -> str:
    if isinstance(value, float):
        return format(value, 'g')
    return repr(value) if isinstance(value, str) else str(value)
