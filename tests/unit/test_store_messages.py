"""Messages come back as they were; what has no JSON form, or does not fit, is replaced or left out and said to be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from pydantic_ai_assay.store.messages import StoredMessages, decode_messages, encode_messages

LIMIT = 1_000_000


def stored(messages: Sequence[ModelMessage], limit: int = LIMIT) -> tuple[StoredMessages, tuple[ModelMessage, ...]]:
    encoded = encode_messages(messages, limit)
    return encoded, decode_messages(json.loads(encoded.document))


def returned(content: Any) -> ModelRequest:
    return ModelRequest(parts=[ToolReturnPart(tool_name='look_up', content=content, tool_call_id='1')])


def content_of(message: ModelMessage) -> Any:
    part: Any = message.parts[0]
    return part.content


def test_messages_of_all_kinds_come_back_as_they_were() -> None:
    messages: list[ModelMessage] = [
        ModelRequest(
            parts=[
                SystemPromptPart('be kind'),
                UserPromptPart(['look', BinaryContent(b'\xff', media_type='image/png')]),
            ]
        ),
        ModelResponse(
            parts=[ThinkingPart('hm'), TextPart('so'), ToolCallPart('look_up', {'a': [1, None]}, tool_call_id='1')]
        ),
        returned({'found': [1.5, 'x']}),
    ]
    encoded, back = stored(messages)
    assert (encoded.refused, encoded.left_out) == (None, 0)
    assert back[1:] == tuple(messages[1:])
    assert content_of(ModelRequest(parts=[back[0].parts[1]]))[1].data == b'\xff'  # type: ignore[list-item]


@dataclass
class Custom:
    number: int


class Opaque:
    def __repr__(self) -> str:
        return 'Opaque!'


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (Opaque(), 'Opaque!'),
        ({'deep': [Opaque()]}, {'deep': ['Opaque!']}),
        ({Opaque(): 1}, {'Opaque!': 1}),
        ('a \ud800 b', 'a ? b'),
        ({'key': '\ud800', 'ok': (1, 2.5, None, True)}, {'key': '?', 'ok': [1, 2.5, None, True]}),
        ([Opaque(), Custom(1)], ['Opaque!', {'number': 1}]),
        ([Opaque(), 2**70], ['Opaque!', hex(2**70)]),
        ([Opaque(), b'\xff'], ['Opaque!', "b'\\xff'"]),
    ],
)
def test_what_has_no_json_form_is_shown(content: Any, expected: Any) -> None:
    encoded, back = stored([returned('before'), returned(content)])
    assert encoded.refused is not None and 'have no JSON form' in encoded.refused
    assert content_of(back[0]) == 'before'
    assert content_of(back[1]) == expected


def test_what_contains_itself_ends() -> None:
    cycle: list[Any] = ['x']
    cycle.append(cycle)
    _, back = stored([returned(cycle)])
    assert content_of(back[0]) == ['x', ['[list left out: it contains itself]']]


def test_what_lies_too_deep_is_left_out() -> None:
    deep: Any = Opaque()
    for _ in range(100):
        deep = {'deeper': deep}
    _, back = stored([returned(deep)])
    assert 'dict left out: too deep' in str(content_of(back[0]))


def test_what_leads_back_on_many_ways_ends_as_well() -> None:
    nodes: list[dict[str, Any]] = [{'name': str(number)} for number in range(40)]
    for node in nodes:
        node['others'] = list(nodes)
    encoded, back = stored([returned('before'), returned({'graph': nodes}), returned('after')])
    assert 'left out: it contains itself' in str(content_of(back[-2]))
    assert 'left out: too large' in str(content_of(back[-2]))
    assert content_of(back[-1]) == 'after'
    assert encoded.refused is not None and encoded.left_out == 3 - len(back)


def test_what_is_not_sent_to_the_model_may_contain_itself_as_well() -> None:
    node: dict[str, Any] = {'children': []}
    node['children'] = [{'parent': node}, {'parent': node}]
    part = ToolReturnPart(tool_name='look_up', content='found', tool_call_id='1', metadata={'root': node})
    _, back = stored([ModelRequest(parts=[part])])
    (kept,) = back[0].parts
    assert isinstance(kept, ToolReturnPart) and kept.content == 'found'
    assert kept.metadata['root']['children'][1] == {'parent': {'…': '[dict left out: it contains itself]'}}


def test_long_texts_and_large_binaries_are_cut() -> None:
    picture = BinaryContent(b'x' * 900_000, media_type='image/png')
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(['look', picture])]), returned('y' * 900_000)]
    encoded, back = stored(messages)
    assert encoded.refused == 'the messages are larger than 1000000 bytes'
    assert content_of(back[0])[1].content == '[900000 bytes of image/png left out]'
    assert 'characters left out' in content_of(back[1])
    assert len(encoded.document) < LIMIT


def test_where_that_is_not_enough_the_beginning_is_left_out() -> None:
    messages = [returned(str(number) * 1000) for number in range(1, 10)]
    encoded, back = stored(messages, 4000)
    assert encoded.left_out == 9 - len(back) > 0
    assert back == tuple(messages[-len(back) :])


def test_a_message_that_cannot_be_shown_leaves_out_what_is_before_it() -> None:
    broken: Any = object()
    encoded, back = stored([returned('before'), broken, returned('after')])
    assert [content_of(message) for message in back] == ['after']
    assert encoded.left_out == 2
    assert encoded.refused is not None and encoded.refused.startswith('a message has no JSON form')


def test_what_this_version_cannot_read_is_said_to_be_so() -> None:
    with pytest.raises(ValueError, match='the messages cannot be read: 1 errors'):
        decode_messages([{'kind': 'of the future'}])


@given(
    st.recursive(
        st.none()
        | st.integers()
        | st.floats()
        | st.text()
        | st.text(st.characters(categories=['Cs']))
        | st.binary()
        | st.builds(Opaque)
        | st.builds(Custom, st.integers()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.sets(st.integers()),
        max_leaves=10,
    ),
    st.integers(0, 2000),
)
def test_any_content_is_stored_or_left_out_with_a_reason(content: Any, limit: int) -> None:
    encoded, back = stored([returned(content)], limit)
    assert len(back) + encoded.left_out == 1
    assert encoded.left_out == 0 or encoded.refused
