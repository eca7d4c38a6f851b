"""Messages in the chat form that models are trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import (
    BaseToolReturnPart,
    BinaryContent,
    CachePoint,
    CompactionPart,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SpeechPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserContent,
    UserPromptPart,
)

if TYPE_CHECKING:
    from ..runs.record import RunRecord

__all__ = ('ChatMessage', 'UnsupportedContentError', 'chat_of', 'require_pairs', 'tools_of')

ChatMessage = dict[str, Any]


class UnsupportedContentError(Exception):
    """Something in the messages has no chat form."""


def chat_of(messages: Sequence[ModelMessage], instructions: str | None = None) -> list[ChatMessage]:
    """The chat form of messages.

    What a model thought, and what Pydantic AI notes for itself, is left out.

    Args:
        messages: The messages.
        instructions: What the first message of the system says.

    Raises:
        UnsupportedContentError: If there is audio without a transcript, video, a document, a tool that the provider ran,
            or a summary in place of earlier messages.
    """
    chat: list[ChatMessage] = [] if instructions is None else [{'role': 'system', 'content': instructions}]
    for message in messages:
        chat.extend(_request(message) if isinstance(message, ModelRequest) else _response(message))
    return chat


def require_pairs(chat: Iterable[ChatMessage]) -> None:
    """See that right after each call of a tool there is what it returned, and nowhere else, as providers demand.

    The calls with which it ends may be open. Where somebody shortened the history, one of the two may be gone.

    Raises:
        UnsupportedContentError: If one is without the other.
    """
    called: set[str] = set()
    for message in chat:
        if message['role'] != 'tool':
            if called:
                raise UnsupportedContentError('a call without what the tool returned')
            called = {call['id'] for call in message.get('tool_calls', ())}
        elif message['tool_call_id'] in called:
            called.remove(message['tool_call_id'])
        else:
            raise UnsupportedContentError('what a tool returned, without the call')


def _request(message: ModelRequest) -> Iterable[ChatMessage]:
    # What tools returned must follow their calls; the sort leaves the rest in order.
    for part in sorted(message.parts, key=lambda part: not isinstance(part, BaseToolReturnPart)):
        if isinstance(part, SystemPromptPart):
            yield {'role': 'system', 'content': part.content}
        elif isinstance(part, UserPromptPart):
            yield {'role': 'user', 'content': _user_content(part.content)}
        elif isinstance(part, BaseToolReturnPart):
            yield {'role': 'tool', 'tool_call_id': part.tool_call_id, 'content': part.model_response_str()}
        elif isinstance(part, RetryFeedbackPart):
            yield {'role': 'user', 'content': part.model_response()}
        elif isinstance(part, SpeechPart):
            yield {'role': 'user', 'content': _transcript(part)}
        elif isinstance(part, CompactionPart):
            raise UnsupportedContentError(type(part).__name__)


def _transcript(part: SpeechPart) -> str:
    if part.transcript is None:
        raise UnsupportedContentError('SpeechPart without a transcript')
    return part.transcript


def _user_content(content: str | Sequence[UserContent]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    # A mark of what may be cached says nothing.
    return [_user_part(each) for each in content if not isinstance(each, CachePoint)]


def _user_part(part: UserContent) -> dict[str, Any]:
    if isinstance(part, str):
        return {'type': 'text', 'text': part}
    if isinstance(part, TextContent):
        return {'type': 'text', 'text': part.content}
    if isinstance(part, ImageUrl):
        return {'type': 'image_url', 'image_url': {'url': part.url}}
    if isinstance(part, BinaryContent) and part.is_image:
        return {'type': 'image_url', 'image_url': {'url': part.data_uri}}
    raise UnsupportedContentError(type(part).__name__)


def _response(message: ModelResponse) -> Iterable[ChatMessage]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            texts.append(part.content)
        elif isinstance(part, SpeechPart):
            texts.append(_transcript(part))
        elif isinstance(part, ToolCallPart):
            function = {'name': part.tool_name, 'arguments': part.args_as_json_str()}
            calls.append({'id': part.tool_call_id, 'type': 'function', 'function': function})
        elif not isinstance(part, ThinkingPart):
            raise UnsupportedContentError(type(part).__name__)
    said: ChatMessage = {'role': 'assistant'}
    if any(texts) or not calls:
        said['content'] = ''.join(texts)
    if calls:
        said['tool_calls'] = calls
    if any(texts) or calls:
        yield said


def tools_of(record: RunRecord) -> list[dict[str, Any]]:
    """The tools that the model was offered, where the spans of the run say so."""
    for span in () if record.spans is None else record.spans.all_spans():
        shown = (span.attributes or {}).get('gen_ai.tool.definitions')
        if isinstance(shown, str):
            definitions: list[dict[str, Any]] = json.loads(shown)
            return [
                {'type': 'function', 'function': {name: each for name, each in tool.items() if name != 'type'}}
                for tool in definitions
            ]
    return []
