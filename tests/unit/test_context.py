"""What evaluators see of a run: metrics from spans where there are any, else from the run's own usage."""

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluatorContext
from pydantic_evals.otel import SpanTree, SpanTreeRecordingError

from pydantic_ai_assay import NoRunError, OnlineEvaluatorContext, run_of
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.runs.spans import SpanCapture, SpanRecorder

from .samples import a_run


def capture_of(*spans: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> SpanCapture:
    """The spans of a run, each with the attributes given."""
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr('opentelemetry.trace.get_tracer_provider', lambda: provider)
    recorder = SpanRecorder()
    tracer = provider.get_tracer('test')
    with tracer.start_as_current_span('run', attributes={'gen_ai.agent.call.id': 'run-1'}) as span:
        capture = recorder.open(span, is_own=True, parent=None, limit=None)
        for attributes in spans:
            tracer.start_span('inside', attributes=attributes).end()
    return capture


def test_metrics_are_summed_over_the_spans_of_model_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    request = {
        'gen_ai.request.model': 'gpt-test',
        'gen_ai.operation.name': 'chat',
        'gen_ai.usage.input_tokens': 10,
        'gen_ai.usage.details.reasoning_tokens': 2,
        'operation.cost': 0.25,
        'server.port': 443,
        'gen_ai.response.id': 'abc',
    }
    embedding = {'gen_ai.request.model': 'embed-test', 'gen_ai.operation.name': 'embeddings'}
    tool = {'gen_ai.tool.name': 'lookup', 'gen_ai.usage.input_tokens': 99}
    spans = capture_of(request, request, embedding, tool, monkeypatch=monkeypatch)
    run = a_run(spans=spans, recorded_metrics={'lookups': 1}, usage=RunUsage(requests=7, input_tokens=70))
    assert build_context(run, None).metrics == {
        'lookups': 1,
        'requests': 2,
        'input_tokens': 20,
        'reasoning_tokens': 4,
        'cost': 0.5,
    }


def test_without_spans_of_model_requests_they_are_those_of_the_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = RunUsage(requests=2, input_tokens=20, output_tokens=3, details={'reasoning_tokens': 4}, cost=Decimal('0.5'))
    expected = {'requests': 2, 'cost': 0.5, 'input_tokens': 20, 'output_tokens': 3, 'reasoning_tokens': 4}
    assert build_context(a_run(usage=usage), None).metrics == expected
    spans = capture_of({'gen_ai.tool.name': 'lookup'}, monkeypatch=monkeypatch)
    assert build_context(a_run(usage=usage, spans=spans), None).metrics == expected


def test_of_nothing_there_is_no_metric() -> None:
    assert build_context(a_run(), None).metrics == {}


def test_a_run_without_spans_says_so() -> None:
    with pytest.raises(SpanTreeRecordingError, match='The spans of this run were not captured'):
        _ = build_context(a_run(), None).span_tree


def test_a_context_may_be_made_with_a_span_tree() -> None:
    tree = SpanTree()
    fields: dict[str, Any] = {**vars(build_context(a_run(), {'a': 1})), '_span_tree': tree}
    assert OnlineEvaluatorContext(**fields).span_tree is tree


@pytest.mark.parametrize(
    ('of_settings', 'of_run', 'expected'),
    [
        (None, None, None),
        (None, {'a': 1}, {'a': 1}),
        ({'a': 1}, None, {'a': 1}),
        ({'a': 1, 'b': 1}, {'a': 2, 'c': 2}, {'a': 2, 'b': 1, 'c': 2}),
    ],
)
def test_the_runs_own_metadata_wins(of_settings: Any, of_run: Any, expected: Any) -> None:
    assert build_context(a_run(metadata=of_run), of_settings).metadata == expected


def test_the_run_of_a_context_is_the_one_it_was_built_of() -> None:
    run = a_run()
    assert run_of(build_context(run, None)) is run


def test_a_context_of_a_dataset_has_no_run() -> None:
    context = EvaluatorContext(
        name='case',
        inputs='hi',
        output='hello',
        expected_output=None,
        metadata=None,
        duration=1.0,
        attributes={},
        metrics={},
        _span_tree=SpanTree(),
    )
    with pytest.raises(NoRunError, match='needs the run, which a context of type EvaluatorContext does not carry'):
        run_of(context)
