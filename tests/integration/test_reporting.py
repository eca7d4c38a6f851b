from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import logfire
import pytest
from conftest import Collected, counted
from evaluators import Awaiting, Calling, Context, NotEmpty, score_one
from inline_snapshot import snapshot
from logfire.testing import CaptureLogfire
from opentelemetry import baggage, context as otel_context
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import EvaluationReason

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, stats, wait_for_evaluations

pytestmark = pytest.mark.anyio


@pytest.fixture
async def traced(capfire: CaptureLogfire) -> AsyncIterator[CaptureLogfire]:
    logfire.instrument_pydantic_ai()
    yield capfire
    assert await wait_for_evaluations() == ()
    Agent.instrument_all(False)


def events(capfire: CaptureLogfire) -> list[dict[str, Any]]:
    exported = capfire.log_exporter.exported_logs_as_dicts()
    return sorted(
        (
            event
            for event in exported
            if event['attributes'].get('event.name', '') or 'assay.status' in event['attributes']
        ),
        key=lambda event: str(event['attributes']['gen_ai.evaluation.name']),
    )


async def test_each_result_is_an_event_under_the_runs_span(traced: CaptureLogfire) -> None:
    def explained(ctx: Context) -> EvaluationReason:
        return EvaluationReason(value='polite', reason='It says please.')

    def broken(ctx: Context) -> bool:
        raise ValueError('no such order')

    agent = Agent(
        TestModel(),
        name='support',
        capabilities=[
            OnlineEvaluation(evaluators=[NotEmpty(), Calling(explained, 'tone'), Calling(broken, 'broken')]),
        ],
    )
    token = otel_context.attach(baggage.set_baggage('tenant', 'acme'))
    await agent.run('hi', conversation_id='talk-1', run_id='run-1')
    otel_context.detach(token)
    await wait_for_evaluations()
    spans = traced.exporter.exported_spans_as_dict()
    (run_span,) = [span for span in spans if span['name'] == 'invoke_agent support']
    evaluator_spans = [span for span in spans if span['name'] == 'evaluator: {evaluator_name}']
    assert {span['parent']['span_id'] for span in evaluator_spans if span['parent']} == {run_span['context']['span_id']}
    found = events(traced)
    assert {(event['trace_id'], event['span_id']) for event in found} == {
        (run_span['context']['trace_id'], run_span['context']['span_id'])
    }
    for event in found:
        del event['attributes']['gen_ai.evaluation.evaluator.source']
    assert [(event['body'], event['severity_number'], event['attributes']) for event in found] == snapshot(
        [
            (
                'evaluation: NotEmpty=True',
                None,
                {
                    'tenant': 'acme',
                    'gen_ai.agent.name': 'support',
                    'gen_ai.agent.call.id': 'run-1',
                    'gen_ai.conversation.id': 'talk-1',
                    'gen_ai.evaluation.target': 'support',
                    'gen_ai.evaluation.name': 'NotEmpty',
                    'assay.status': 'scored',
                    'assay.probability': 1.0,
                    'assay.run_id': 'run-1',
                    'assay.fingerprint': 'a0f4b45d09e2d4f5',
                    'assay.agent_path': 'support',
                    'gen_ai.evaluation.score.value': 1.0,
                    'gen_ai.evaluation.score.label': 'pass',
                },
            ),
            (
                'evaluation: broken failed: ValueError: no such order',
                13,
                {
                    'tenant': 'acme',
                    'gen_ai.agent.name': 'support',
                    'gen_ai.agent.call.id': 'run-1',
                    'gen_ai.conversation.id': 'talk-1',
                    'gen_ai.evaluation.target': 'support',
                    'gen_ai.evaluation.name': 'broken',
                    'assay.status': 'failed',
                    'assay.probability': 1.0,
                    'assay.run_id': 'run-1',
                    'assay.fingerprint': '0cda46f6001c30de',
                    'assay.agent_path': 'support',
                    'error.type': 'ValueError',
                    'gen_ai.evaluation.explanation': 'ValueError: no such order',
                },
            ),
            (
                "evaluation: tone='polite'",
                None,
                {
                    'tenant': 'acme',
                    'gen_ai.agent.name': 'support',
                    'gen_ai.agent.call.id': 'run-1',
                    'gen_ai.conversation.id': 'talk-1',
                    'gen_ai.evaluation.target': 'support',
                    'gen_ai.evaluation.name': 'tone',
                    'assay.status': 'scored',
                    'assay.probability': 1.0,
                    'assay.run_id': 'run-1',
                    'assay.fingerprint': 'a746c687dd1fac2b',
                    'assay.agent_path': 'support',
                    'gen_ai.evaluation.score.label': 'polite',
                    'gen_ai.evaluation.explanation': 'It says please.',
                },
            ),
        ]
    )


async def test_nothing_is_exported_for_a_trace_that_was_not_sampled(
    capfire: CaptureLogfire, collected: Collected
) -> None:
    config = OnlineEvalConfig(default_sink=collected)
    agent = Agent(
        TestModel(), capabilities=[OnlineEvaluation(evaluators=[Awaiting(score_one), NotEmpty()], config=config)]
    )
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

    unsampled = SpanContext(trace_id=1, span_id=2, is_remote=True, trace_flags=TraceFlags(0))
    with use_span(NonRecordingSpan(unsampled)):
        await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': 1.0, 'NotEmpty': True}
    assert events(capfire) == []
    assert capfire.exporter.exported_spans_as_dict() == []


async def test_events_can_be_switched_off_and_baggage_left_out(traced: CaptureLogfire, collected: Collected) -> None:
    silent = OnlineEvalConfig(default_sink=collected, emit_otel_events=False)
    plain = OnlineEvalConfig(include_baggage=False)
    token = otel_context.attach(baggage.set_baggage('tenant', 'acme'))
    await Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=silent)]).run('hi')
    await wait_for_evaluations()
    assert events(traced) == []
    await Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=plain)]).run('hi')
    otel_context.detach(token)
    await wait_for_evaluations()
    (event,) = events(traced)
    assert 'tenant' not in event['attributes']


async def test_metrics_and_stats_count_by_status(traced: CaptureLogfire) -> None:
    def broken(ctx: Context) -> bool:
        raise ValueError('no')

    before = dict(stats().by_status)
    agent = Agent(
        TestModel(),
        name='counted',
        capabilities=[
            OnlineEvaluation(
                evaluators=[
                    Calling(lambda ctx: 1, 'good'),
                    Calling(broken, 'bad'),
                    OnlineEvaluator(evaluator=Calling(broken, 'never'), sample_rate=0.0),
                ]
            )
        ],
    )
    for _ in range(3):
        await agent.run('hi')
    await wait_for_evaluations()
    after = stats()
    assert {status: count - before.get(status, 0) for status, count in after.by_status.items()} == {
        **{status: 0 for status in after.by_status},
        'scored': 3,
        'failed': 3,
        'sampled_out': 3,
    }
    assert (after.pending, after.waiting, after.waiting_bytes) == (0, 0, 0)
    assert counted('good') == {'scored': 3}
    metrics = {metric['name']: metric for metric in traced.get_collected_metrics()}
    exported = {
        (point['attributes']['assay.status'], point['attributes']['gen_ai.evaluation.name']): point['value']
        for point in metrics['assay.evaluations']['data']['data_points']
        if point['attributes']['gen_ai.evaluation.target'] == 'counted'
    }
    assert exported == {('scored', 'good'): 3, ('failed', 'bad'): 3, ('sampled_out', 'never'): 3}
    assert [point['value'] for point in metrics['assay.queue.depth']['data']['data_points']] == [0]
    assert 'assay.sink.errors' in metrics
    assert metrics['assay.evaluation.duration']['unit'] == 's'
