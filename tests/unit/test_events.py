"""The events, compared with those of pydantic-evals for the same results."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import opentelemetry._logs._internal
import pydantic_evals._otel_emit
import pytest
from inline_snapshot import snapshot
from opentelemetry import baggage, context as otel_context
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.trace import SpanContext, TraceFlags, get_current_span
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec
from pydantic_evals.online import SpanReference

from pydantic_ai_assay import EvaluationOutcome, RunRecord
from pydantic_ai_assay.delivery.events import MAX_TEXT, emit_events
from pydantic_ai_assay.execution.scoring import failure_of

from .samples import a_run, an_attached

SPAN = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
UNSAMPLED = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags.get_default())
SOURCE = EvaluatorSpec(name='Judge', arguments={'rubric': 'Is it polite?', 'strict': True})


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemoryLogRecordExporter:
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(opentelemetry._logs._internal, '_LOGGER_PROVIDER', provider)
    monkeypatch.setattr(pydantic_evals._otel_emit, '_logger', None)
    return exporter


def a_result(value: Any = True, **changes: Any) -> EvaluationResult:
    fields: dict[str, Any] = {'name': 'Polite', 'reason': None, 'source': SOURCE, 'evaluator_version': None}
    return EvaluationResult(value=value, **{**fields, **changes})


def a_failure(**changes: Any) -> EvaluatorFailure:
    fields: dict[str, Any] = {
        'name': 'Judge',
        'error_message': 'ValueError: no',
        'error_stacktrace': '',
        'source': SOURCE,
        'error_type': 'ValueError',
    }
    return EvaluatorFailure(**{**fields, **changes})


def an_outcome(
    results: Sequence[EvaluationResult] = (), failure: EvaluatorFailure | None = None, **changes: Any
) -> EvaluationOutcome:
    fields: dict[str, Any] = {
        'run_id': 'run-1',
        'evaluator': 'Judge',
        'fingerprint': '0123456789abcdef',
        'status': 'scored' if failure is None else 'failed',
        'probability': 0.25,
        'finished_at': datetime(2026, 1, 2, tzinfo=UTC),
        'target': 'support',
        'agent_name': 'support',
        'conversation_id': 'conversation-1',
    }
    return EvaluationOutcome(results=tuple(results), failure=failure, **{**fields, **changes})


def emit(
    exporter: InMemoryLogRecordExporter,
    outcome: EvaluationOutcome,
    run: RunRecord | None = None,
    *,
    include_baggage: bool = True,
) -> list[ReadableLogRecord]:
    exporter.clear()
    emit_events(outcome, a_run(span_context=SPAN) if run is None else run, include_baggage=include_baggage)
    return list(exporter.get_finished_logs())


def emit_theirs(
    exporter: InMemoryLogRecordExporter, outcome: EvaluationOutcome, bag: dict[str, object]
) -> list[ReadableLogRecord]:
    exporter.clear()
    reference = SpanReference(trace_id=format(SPAN.trace_id, '032x'), span_id=format(SPAN.span_id, '016x'))
    context = pydantic_evals._otel_emit.build_parent_context(reference)
    for key, value in bag.items():
        context = baggage.set_baggage(key, value, context)
    assert context is not None
    token = otel_context.attach(context)
    try:
        pydantic_evals._otel_emit.emit_otel_events(
            results=outcome.results,
            failures=[outcome.failure] if outcome.failure is not None else [],
            target=outcome.target,
        )
    finally:
        otel_context.detach(token)
    return list(exporter.get_finished_logs())


OURS = {
    'assay.status',
    'assay.probability',
    'assay.run_id',
    'assay.fingerprint',
    'gen_ai.agent.name',
    'gen_ai.conversation.id',
}


def without_ours(event: ReadableLogRecord) -> dict[str, Any]:
    attributes = dict(event.log_record.attributes or {})
    source = attributes.pop('gen_ai.evaluation.evaluator.source')
    assert isinstance(source, str)
    return {
        'event_name': event.log_record.event_name,
        'body': event.log_record.body,
        'severity': event.log_record.severity_number,
        'trace_id': event.log_record.trace_id,
        'span_id': event.log_record.span_id,
        'attributes': {key: value for key, value in attributes.items() if key not in OURS},
        'source': json.loads(source),
    }


OUTCOMES = {
    'true': an_outcome([a_result(True)]),
    'false': an_outcome([a_result(False)]),
    'an integer': an_outcome([a_result(3)]),
    'a negative number': an_outcome([a_result(-0.25)]),
    'a large number': an_outcome([a_result(1.5e30)]),
    'a label': an_outcome([a_result("it's fine")]),
    'an empty label': an_outcome([a_result('')]),
    'a reason': an_outcome([a_result(True, reason='It said please.')]),
    'an empty reason': an_outcome([a_result(True, reason='')]),
    'a version': an_outcome([a_result(True, evaluator_version='v2')]),
    'several results': an_outcome([a_result(True), a_result(0.5, name='Score'), a_result('calm', name='Tone')]),
    'no results': an_outcome([]),
    'no arguments': an_outcome([a_result(source=EvaluatorSpec(name='Judge', arguments=None))]),
    'one argument': an_outcome([a_result(source=EvaluatorSpec(name='Judge', arguments=('Is it polite?',)))]),
    'a failure': an_outcome(failure=a_failure()),
    'a failure of no type': an_outcome(failure=a_failure(error_type=None)),
    'a failure without words': an_outcome(failure=a_failure(error_message='')),
    'a failure of a version': an_outcome(failure=a_failure(evaluator_version='v2')),
}


@pytest.mark.parametrize('outcome', OUTCOMES.values(), ids=OUTCOMES)
def test_an_event_is_the_one_that_pydantic_evals_emits(
    exporter: InMemoryLogRecordExporter, outcome: EvaluationOutcome
) -> None:
    bag: dict[str, object] = {'tenant': 'a', 'gen_ai.evaluation.name': 'a forgery', 'error.type': 'another'}
    ours = emit(exporter, outcome, a_run(span_context=SPAN, baggage=bag))
    theirs = emit_theirs(exporter, outcome, bag)
    assert [without_ours(event) for event in ours] == [without_ours(event) for event in theirs]
    assert len(ours) == len(outcome.results) + (outcome.failure is not None)


def test_an_event_says_who_judged_what_and_with_what_probability(exporter: InMemoryLogRecordExporter) -> None:
    (event,) = emit(exporter, an_outcome([a_result(True, reason='It said please.', evaluator_version='v2')]))
    assert dict(event.log_record.attributes or {}) == snapshot(
        {
            'gen_ai.evaluation.target': 'support',
            'gen_ai.evaluation.name': 'Polite',
            'gen_ai.evaluation.evaluator.source': '{"name":"Judge","arguments":{"rubric":"Is it polite?","strict":true}}',
            'assay.status': 'scored',
            'assay.probability': 0.25,
            'assay.run_id': 'run-1',
            'gen_ai.evaluation.evaluator.version': 'v2',
            'gen_ai.agent.name': 'support',
            'gen_ai.conversation.id': 'conversation-1',
            'assay.fingerprint': '0123456789abcdef',
            'gen_ai.evaluation.score.value': 1.0,
            'gen_ai.evaluation.score.label': 'pass',
            'gen_ai.evaluation.explanation': 'It said please.',
        }
    )
    assert event.log_record.body == 'evaluation: Polite=True'
    assert event.instrumentation_scope is not None
    assert event.instrumentation_scope.name == 'pydantic-ai-assay'


def test_a_failure_has_no_score_and_is_a_warning(exporter: InMemoryLogRecordExporter) -> None:
    (event,) = emit(exporter, an_outcome(failure=a_failure(), status='timed_out'))
    attributes = dict(event.log_record.attributes or {})
    assert not {name for name in attributes if 'score' in name}
    assert (attributes['error.type'], attributes['assay.status']) == ('ValueError', 'timed_out')
    assert event.log_record.severity_number is SeverityNumber.WARN
    assert event.log_record.body == 'evaluation: Judge failed: ValueError: no'


def test_what_is_not_known_is_left_out(exporter: InMemoryLogRecordExporter) -> None:
    outcome = an_outcome([a_result()], fingerprint=None, agent_name=None, conversation_id=None)
    (event,) = emit(exporter, outcome)
    assert OURS - (event.log_record.attributes or {}).keys() == {
        'assay.fingerprint',
        'gen_ai.agent.name',
        'gen_ai.conversation.id',
    }


def test_evaluations_that_came_to_nothing_emit_nothing(exporter: InMemoryLogRecordExporter) -> None:
    assert emit(exporter, an_outcome([], status='dropped', detail='the queue was full')) == []


def test_nothing_is_emitted_for_a_trace_that_was_not_sampled(exporter: InMemoryLogRecordExporter) -> None:
    assert emit(exporter, an_outcome([a_result()]), a_run(span_context=UNSAMPLED)) == []


def test_without_a_span_events_have_no_parent(exporter: InMemoryLogRecordExporter) -> None:
    (event,) = emit(exporter, an_outcome([a_result()]), a_run())
    assert (event.log_record.trace_id, event.log_record.span_id) == (0, 0)


def test_baggage_can_be_left_out(exporter: InMemoryLogRecordExporter) -> None:
    run = a_run(span_context=SPAN, baggage={'tenant': 'a'})
    with_baggage, without = (
        emit(exporter, an_outcome([a_result()]), run, include_baggage=yes) for yes in (True, False)
    )
    assert (with_baggage[0].log_record.attributes or {})['tenant'] == 'a'
    assert 'tenant' not in (without[0].log_record.attributes or {})


def test_baggage_cannot_pass_for_our_own_attributes(exporter: InMemoryLogRecordExporter) -> None:
    run = a_run(span_context=SPAN, baggage={'assay.probability': '1', 'assay.status': 'scored'})
    (event,) = emit(exporter, an_outcome(failure=a_failure()), run)
    attributes = event.log_record.attributes or {}
    assert (attributes['assay.probability'], attributes['assay.status']) == (0.25, 'failed')


def test_the_baggage_of_the_emitting_thread_is_not_the_runs(exporter: InMemoryLogRecordExporter) -> None:
    token = otel_context.attach(baggage.set_baggage('tenant', 'another'))
    try:
        (event,) = emit(exporter, an_outcome([a_result()]), a_run(span_context=SPAN, baggage={}))
    finally:
        otel_context.detach(token)
    assert 'tenant' not in (event.log_record.attributes or {})


def test_arguments_without_a_json_form_are_shown_by_their_text(exporter: InMemoryLogRecordExporter) -> None:
    class Client:
        def __repr__(self) -> str:
            return 'Client(secret)'

    source = EvaluatorSpec(name='Judge', arguments={'client': Client(), 'limit': float('inf'), 'when': datetime.min})
    (event,) = emit(exporter, an_outcome([a_result(source=source)]))
    assert (event.log_record.attributes or {})['gen_ai.evaluation.evaluator.source'] == snapshot(
        '{"name":"Judge","arguments":{"client":"Client(secret)","limit":Infinity,"when":"0001-01-01T00:00:00"}}'
    )


def test_long_texts_are_shortened_visibly(exporter: InMemoryLogRecordExporter) -> None:
    long = 'a' * (10 * MAX_TEXT)
    source = EvaluatorSpec(name='Judge', arguments={'rubric': long})
    (scored,) = emit(exporter, an_outcome([a_result(reason=long, source=source)]))
    (failed,) = emit(exporter, an_outcome(failure=a_failure(error_message=long)))
    for event in (scored, failed):
        for value in [event.log_record.body, *(event.log_record.attributes or {}).values()]:
            assert not isinstance(value, str) or len(value) < MAX_TEXT + 100
    assert 'characters left out' in str((scored.log_record.attributes or {})['gen_ai.evaluation.explanation'])
    assert 'characters left out' in str(failed.log_record.body)


def test_without_a_logger_provider_nothing_happens() -> None:
    emit_events(an_outcome([a_result()], failure=a_failure()), a_run(span_context=SPAN), include_baggage=True)


def test_a_lone_surrogate_in_an_error_message_does_not_keep_the_batch_from_being_exported(
    exporter: InMemoryLogRecordExporter,
) -> None:
    spoilt = emit(exporter, an_outcome(failure=failure_of(ValueError('\ud800'), an_attached())))
    sound = emit(exporter, an_outcome([a_result()]))
    assert encode_logs([*spoilt, *sound]).ByteSize()


def test_the_context_of_events_holds_the_runs_span_and_baggage_and_nothing_else() -> None:
    context = a_run(span_context=SPAN, baggage={'tenant': 'a'}).telemetry_context
    assert get_current_span(context).get_span_context() == SPAN
    assert baggage.get_all(context) == {'tenant': 'a'}
    assert len(context) == 2
    assert not a_run().telemetry_context
