"""What an evaluator returns is a result, or else an error that is the evaluator's own."""

import contextvars
import math
import types
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from inline_snapshot import snapshot
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_evals.evaluators import EvaluationReason, EvaluatorSpec

from pydantic_ai_assay import EvaluatorOutputError
from pydantic_ai_assay.execution.scoring import EvaluatorSpan, call, call_async, failure_of, results_of

from .samples import Always, Named, an_attached

pytestmark = pytest.mark.anyio

EXPECTED = 'expected a bool, a finite number, a string, an `EvaluationReason`, or a mapping of names to those.'


def scores(output: Any) -> dict[str, tuple[Any, str | None]]:
    return {result.name: (result.value, result.reason) for result in results_of(output, an_attached(Named('Judge')))}


def refusal(output: Any) -> str:
    with pytest.raises(EvaluatorOutputError) as caught:
        scores(output)
    return str(caught.value)


@pytest.mark.parametrize('value', [True, False, 0, 7, -3, 0.25, -0.0, 1e308, 'calm', '', 2**1023])
def test_a_scalar_is_one_result_under_the_evaluators_name(value: Any) -> None:
    ((found, reason),) = scores(value).values()
    assert (found, type(found), reason) == (value, type(value), None)


def test_a_reason_comes_with_its_value() -> None:
    assert scores(EvaluationReason(value=False, reason='It shouted.')) == {'Judge': (False, 'It shouted.')}
    assert scores(EvaluationReason(value=0.5)) == {'Judge': (0.5, None)}


def test_a_mapping_is_one_result_for_each_name() -> None:
    output = {'polite': True, 'score': EvaluationReason(0.5, 'Fair.'), 'tone': 'calm'}
    assert scores(output) == {'polite': (True, None), 'score': (0.5, 'Fair.'), 'tone': ('calm', None)}
    assert scores(types.MappingProxyType({'polite': True})) == {'polite': (True, None)}
    assert scores({}) == {}


def test_a_result_names_its_source_and_version() -> None:
    (result,) = results_of(True, an_attached(Named('Judge', 'v2')))
    assert (result.source, result.evaluator_version) == (
        EvaluatorSpec(name='Named', arguments={'name': 'Judge', 'version': 'v2'}),
        'v2',
    )


@pytest.mark.parametrize(
    'output',
    [
        None,
        math.nan,
        math.inf,
        -math.inf,
        [True],
        {'outer': {'inner': True}},
        {'score': math.nan},
        {'score': None},
        {1: True},
        EvaluationReason(value=math.nan),
        EvaluationReason(value=None),  # pyright: ignore[reportArgumentType]
        EvaluationReason(value=True, reason=7),  # pyright: ignore[reportArgumentType]
        {'score': EvaluationReason(value=math.inf, reason='Endless.')},
    ],
    ids=repr,
)
def test_what_is_no_result_is_refused_and_shown(output: Any) -> None:
    assert refusal(output) == f'Judge returned {output!r}; {EXPECTED}'


def test_an_object_is_refused_and_shown() -> None:
    assert refusal(object()).startswith('Judge returned <object object at 0x')


def test_an_object_that_cannot_be_shown_is_refused_all_the_same() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError('no')

    assert refusal(Shy()) == f'Judge returned <Shy whose repr raised RuntimeError>; {EXPECTED}'


def test_of_a_large_object_only_a_part_is_shown() -> None:
    assert 'characters left out' in (message := refusal([0] * 1_000_000))
    assert len(message) < 500


@pytest.mark.parametrize('output', ['a' * 10_000_000, {'tone': 'a' * 1_025}, EvaluationReason('a' * 1_025)])
def test_a_label_has_a_length(output: Any) -> None:
    assert refusal(output) in snapshot(
        [
            'Judge returned a label of 10,000,000 characters; at most 1,024 are taken. Put long text into the `reason` of an `EvaluationReason`.',
            'Judge returned a label of 1,025 characters; at most 1,024 are taken. Put long text into the `reason` of an `EvaluationReason`.',
        ]
    )
    assert scores('a' * 1_024)


def test_a_result_name_has_a_length() -> None:
    assert refusal({'a' * 1_025: True}).startswith('Judge returned a result name of 1,025 characters; at most 1,024')


@pytest.mark.parametrize('number', [2**1024, -(10**400), 10**5_000], ids=lambda number: f'{number.bit_length()} bits')
def test_an_integer_beyond_all_floats_is_refused(number: int) -> None:
    assert refusal(number) == (f'Judge returned an integer of {number.bit_length()} bits, too large for a score.')


def test_results_have_a_number() -> None:
    assert len(scores({str(number): True for number in range(1_000)})) == 1_000
    too_many = {str(number): True for number in range(1_001)}
    assert refusal(too_many) == 'Judge returned 1001 results; at most 1000 are taken.'


def test_a_long_reason_is_shortened_visibly() -> None:
    ((_, reason),) = scores(EvaluationReason(True, 'a' * 10_000_000)).values()
    assert reason is not None
    assert 65_536 < len(reason) < 65_536 + 100
    assert '[9934464 characters left out]' in reason


# An exporter that meets a lone surrogate loses the attribute, or the whole batch with everybody else's events.


@pytest.mark.parametrize(
    ('output', 'what'),
    [
        ('calm \ud800', r"a label that is not valid Unicode text: 'calm \ud800'"),
        ({'tone': '\ud800'}, r"a label that is not valid Unicode text: '\ud800'"),
        ({'\ud800': True}, r"a result name that is not valid Unicode text: '\ud800'"),
    ],
    ids=['label', 'label of a name', 'name'],
)
def test_text_that_cannot_be_encoded_is_refused(output: Any, what: str) -> None:
    assert refusal(output) == f'Judge returned {what}.'


def test_text_beyond_ascii_is_text() -> None:
    assert scores({'Höflichkeit': 'ruhig \U0001f600'}) == {'Höflichkeit': ('ruhig \U0001f600', None)}


def test_in_a_reason_and_in_a_message_what_cannot_be_encoded_is_replaced() -> None:
    assert scores(EvaluationReason(True, 'a \ud800 b')) == {'Judge': (True, 'a ? b')}
    failure = failure_of(raised(ValueError('a \ud800 b')), an_attached())
    assert failure.error_message == 'ValueError: a ? b'
    assert failure.error_stacktrace.encode()


def test_numbers_of_other_types_are_taken_as_pydantic_evals_takes_them() -> None:
    assert scores(Decimal('0.5')) == {'Judge': (0.5, None)}


# Failures


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_failure_names_the_error_and_where_it_was_raised() -> None:
    failure = failure_of(raised(ValueError('no verdict')), an_attached(Named('Judge', 'v2')))
    assert (failure.name, failure.error_message, failure.error_type, failure.evaluator_version) == (
        'Judge',
        'ValueError: no verdict',
        'ValueError',
        'v2',
    )
    assert 'in raised' in failure.error_stacktrace
    assert failure.source == EvaluatorSpec(name='Named', arguments={'name': 'Judge', 'version': 'v2'})


class Unspeakable(Exception):
    """An error whose text raises."""

    def __init__(self, second: BaseException) -> None:
        self.second = second

    def __str__(self) -> str:
        raise self.second


def test_an_error_whose_text_raises_is_named_all_the_same() -> None:
    failure = failure_of(raised(Unspeakable(KeyError('no'))), an_attached())
    assert failure.error_message == 'Unspeakable (its text raised KeyError)'
    assert failure.error_type == 'Unspeakable'


def test_an_error_whose_text_ends_the_process_does_not() -> None:
    failure = failure_of(raised(Unspeakable(SystemExit(3))), an_attached())
    assert failure.error_message == 'Unspeakable (its text raised SystemExit)'


class Untraceable(Exception):
    """An error whose notes end the process when they are asked for."""

    @property
    def __notes__(self) -> list[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise SystemExit(3)


def test_an_error_whose_stack_trace_raises_is_described_all_the_same() -> None:
    failure = failure_of(raised(Untraceable('no verdict')), an_attached())
    assert failure.error_message == 'Untraceable: no verdict'
    assert failure.error_stacktrace == 'Untraceable: no verdict (its stack trace raised SystemExit)'


@pytest.mark.parametrize('error', [SystemExit(2), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_errors_that_are_no_exceptions_are_failures_as_well(error: BaseException) -> None:
    failure = failure_of(raised(error), an_attached())
    assert failure.error_message == f'{type(error).__name__}: {error}'


def test_a_long_message_is_shortened_visibly() -> None:
    failure = failure_of(raised(ValueError('a' * 10_000_000)), an_attached())
    for text in (failure.error_message, failure.error_stacktrace):
        assert len(text) < 65_536 + 100
        assert 'characters left out' in text


def test_an_evaluator_that_cannot_say_who_it_is_fails_under_its_class_name() -> None:
    class Shy(Always):
        def get_evaluator_version(self) -> str | None:
            raise RuntimeError('no version')

    failure = failure_of(raised(ValueError('no')), an_attached(Shy()))
    assert (failure.name, failure.evaluator_version, failure.source) == (
        'Shy',
        None,
        EvaluatorSpec(name='Shy', arguments=None),
    )


# The span of an evaluator's call


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    return exporter


def judge_in_span(
    exporter: InMemorySpanExporter, evaluate: Callable[[], object], parent: Context | None = None
) -> ReadableSpan:
    """Call a function inside the span of an evaluator, in a context of its own as the pipeline does."""

    def run() -> None:
        with EvaluatorSpan(an_attached(Named('Judge')), parent):
            evaluate()

    exporter.clear()
    try:
        contextvars.Context().run(run)
    except BaseException as error:
        assert isinstance(error, Unspeakable | ValueError | GeneratorExit)
    (span,) = exporter.get_finished_spans()
    return span


def test_the_span_is_named_as_pydantic_evals_names_it(exporter: InMemorySpanExporter) -> None:
    span = judge_in_span(exporter, lambda: None)
    assert span.name == 'evaluator: {evaluator_name}'
    assert dict(span.attributes or {}) == {
        'evaluator_name': 'Judge',
        'logfire.msg_template': 'Calling evaluator: {evaluator_name}',
        'logfire.msg': 'Calling evaluator: Judge',
    }
    assert span.parent is None
    assert span.status.is_ok


def test_the_span_is_current_inside_and_has_the_parent_it_is_given(exporter: InMemorySpanExporter) -> None:
    inside: list[trace.SpanContext] = []
    parent = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))
    span = judge_in_span(
        exporter,
        lambda: inside.append(trace.get_current_span().get_span_context()),
        trace.set_span_in_context(trace.NonRecordingSpan(parent), Context()),
    )
    assert inside == [span.context]
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (0xABC, 0xDEF)


def fail_with(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def test_the_span_notes_an_error(exporter: InMemorySpanExporter) -> None:
    span = judge_in_span(exporter, fail_with(ValueError('no verdict')))
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, 'ValueError')
    (event,) = span.events
    attributes = dict(event.attributes or {})
    assert 'in fail' in str(attributes.pop('exception.stacktrace'))
    assert (event.name, attributes) == (
        'exception',
        {'exception.type': 'ValueError', 'exception.message': 'ValueError: no verdict'},
    )


def test_a_call_that_is_dropped_half_way_is_no_error(exporter: InMemorySpanExporter) -> None:
    span = judge_in_span(exporter, fail_with(GeneratorExit()))
    assert (span.status.is_ok, span.events) == (True, ())


def test_an_error_whose_text_raises_ends_the_span_and_stays_the_error(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(Unspeakable), EvaluatorSpan(an_attached()):
        raise Unspeakable(KeyError('no'))
    assert [span.status.description for span in exporter.get_finished_spans()] == ['Unspeakable']


# Retries


class Flaky:
    """Fails with each of some errors in turn, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.attempts = 0

    def count(self) -> None:
        self.attempts += 1

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return 'answer'

    async def later(self) -> str:
        return self()


async def attempt(flaky: Flaky, way: str, **settings: Any) -> str:
    attached = an_attached(**settings)
    if way == 'async':
        return await call_async(attached, flaky.later, attempted=flaky.count)
    return call(attached, flaky, attempted=flaky.count)


WAYS = pytest.mark.parametrize('way', ['sync', 'async'])
SOON = {'retry_wait': 1e-6}


@WAYS
async def test_without_retries_there_is_one_attempt(way: str) -> None:
    flaky = Flaky(TimeoutError())
    with pytest.raises(TimeoutError):
        await attempt(flaky, way)
    assert flaky.attempts == 1
    assert await attempt(flaky, way) == 'answer'


@WAYS
async def test_an_error_that_can_pass_is_tried_again(way: str) -> None:
    flaky = Flaky(TimeoutError(), ConnectionError())
    assert await attempt(flaky, way, retries=2, **SOON) == 'answer'
    assert flaky.attempts == 3


@WAYS
async def test_the_last_error_comes_out_as_it_is(way: str) -> None:
    last = ConnectionError('the last one')
    flaky = Flaky(TimeoutError(), last, TimeoutError())
    with pytest.raises(ConnectionError) as caught:
        await attempt(flaky, way, retries=1, **SOON)
    assert caught.value is last
    assert flaky.attempts == 2


@WAYS
async def test_an_error_that_stays_is_not_tried_again(way: str) -> None:
    flaky = Flaky(ValueError('no'))
    with pytest.raises(ValueError, match='no'):
        await attempt(flaky, way, retries=5, **SOON)
    assert flaky.attempts == 1


def is_value_error(error: BaseException) -> bool:
    return isinstance(error, ValueError)


@WAYS
async def test_which_errors_can_pass_can_be_said(way: str) -> None:
    flaky = Flaky(ValueError('no'))
    assert await attempt(flaky, way, retries=1, retry_on=is_value_error, **SOON) == 'answer'
    again = Flaky(TimeoutError())
    with pytest.raises(TimeoutError):
        await attempt(again, way, retries=1, retry_on=is_value_error, **SOON)
    assert again.attempts == 1


@WAYS
async def test_what_ends_a_process_or_a_task_is_not_tried_again(way: str) -> None:
    flaky = Flaky(SystemExit(1))
    with pytest.raises(SystemExit):
        await attempt(flaky, way, retries=5, **SOON)
    assert flaky.attempts == 1
