"""Messages of a conversation as a person reads them: who said what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    ModelMessage,
    ModelRequestPart,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    UserPromptPart,
)
from pydantic_core import to_json

__all__ = ('said_in', 'text_of')


def said_in(messages: Sequence[ModelMessage]) -> Iterator[tuple[str, str]]:
    """Who said what, part by part."""
    for message in messages:
        for part in message.parts:
            yield _said(part)


def _said(part: ModelRequestPart | ModelResponsePart) -> tuple[str, str]:
    match part:
        case SystemPromptPart():
            return 'system', part.content
        case UserPromptPart():
            return 'user', text_of(part.content)
        case TextPart():
            return 'agent', part.content
        case ThinkingPart():
            return 'thinking', part.content
        case BaseToolCallPart():
            return f'calls {part.tool_name}', text_of(part.args)
        case BaseToolReturnPart():
            how = 'answers' if part.outcome == 'success' else part.outcome
            return f'{part.tool_name} {how}', text_of(part.content)
        case _:
            # Pydantic AI adds kinds of parts; what most of them say is in their content.
            return part.part_kind, text_of(getattr(part, 'content', part))


def text_of(value: object) -> str:
    """A value as text: as it is, or as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return '\n'.join(map(text_of, cast(Sequence[object], value)))
    if value is None:
        return ''
    return to_json(value, serialize_unknown=True, inf_nan_mode='constants', bytes_mode='base64').decode(
        errors='replace'
    )
