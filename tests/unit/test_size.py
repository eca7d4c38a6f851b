"""An estimate of what a run holds in memory."""

from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolReturnPart, UserPromptPart

from pydantic_ai_assay.runs import size
from pydantic_ai_assay.runs.size import estimate_size
from pydantic_ai_assay.runs.spans import SpanRecorder

from .samples import a_run

MEGABYTE = 1_000_000


def sized(**changes: Any) -> int:
    """How much more a run holds for a change."""
    nothing: dict[str, Any] = {'inputs': None, 'output': None}
    return estimate_size(a_run(**{**nothing, **changes})) - estimate_size(a_run(**nothing))


@pytest.mark.parametrize('name', ['inputs', 'output', 'metadata', 'attributes', 'messages'])
def test_long_texts_count_wherever_they_are(name: str) -> None:
    text = 'a' * MEGABYTE
    value: Any = {
        'messages': (ModelRequest(parts=[UserPromptPart(text)]),),
        'metadata': {'a': text},
        'attributes': {'a': text},
    }.get(name, text)
    assert MEGABYTE <= sized(**{name: value}) < MEGABYTE + 2_000


@pytest.mark.parametrize('value', [b'a' * MEGABYTE, bytearray(MEGABYTE), ['a' * MEGABYTE], {'a' * MEGABYTE}])
def test_bytes_and_collections_count(value: Any) -> None:
    assert MEGABYTE <= sized(output=value) < MEGABYTE + 1_000


def test_the_fields_of_an_object_count() -> None:
    @dataclass
    class Answer:
        text: str

    assert sized(output=Answer('a' * MEGABYTE)) >= MEGABYTE


class Slotted:
    __slots__ = ('text',)

    def __init__(self) -> None:
        self.text = 'a' * MEGABYTE


class Lazy:
    """Runs code for attributes that it does not have yet."""

    def __init__(self) -> None:
        self.text = 'a' * MEGABYTE

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)

    @property
    def answer(self) -> str:
        raise AssertionError


def test_objects_are_looked_into_without_running_their_code() -> None:
    assert sized(output=Lazy()) >= MEGABYTE
    assert sized(output=Slotted()) < 1_000


@pytest.mark.parametrize('value', [None, True, 3, 0.5])
def test_small_values_count_nothing(value: Any) -> None:
    assert sized(output=value) == 0


def test_what_occurs_twice_counts_once() -> None:
    text = 'a' * MEGABYTE
    assert sized(inputs=text, output=[text, {'again': text}]) < MEGABYTE + 1_000


def test_what_contains_itself_is_counted_and_left() -> None:
    circle: list[Any] = ['a' * MEGABYTE]
    circle.append(circle)
    assert MEGABYTE <= sized(output=circle) < MEGABYTE + 1_000


def test_dependencies_are_not_counted() -> None:
    assert sized(deps='a' * MEGABYTE) == 0


def test_a_conversation_with_a_large_tool_result_counts_it_once() -> None:
    messages = (
        ModelRequest(parts=[UserPromptPart('Search.')]),
        ModelResponse(parts=[TextPart('Searching.')]),
        ModelRequest(parts=[ToolReturnPart(tool_name='search', content='a' * MEGABYTE, tool_call_id='1')]),
    )
    assert MEGABYTE <= sized(messages=messages) < MEGABYTE + 10_000


def test_the_walk_ends_after_so_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, '_MAX_VISITS', 100)
    texts = [str(number) * 10 for number in range(10_000)]
    assert sized(output=texts) < 100 * 200


def test_the_attributes_of_spans_count(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    tracer = provider.get_tracer('test')
    with tracer.start_as_current_span('run', attributes={'gen_ai.agent.call.id': 'run-1'}) as span:
        capture = SpanRecorder().open(span, is_own=True, parent=None, limit=None)
        with tracer.start_as_current_span('chat', attributes={'gen_ai.input.messages': 'a' * MEGABYTE}):
            pass
    assert MEGABYTE <= sized(spans=capture) < MEGABYTE + 2_000
