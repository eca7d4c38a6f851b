"""The messages of a run as JSON, and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_ai.messages import BinaryContent, ModelMessage, ModelMessagesTypeAdapter, TextContent
from pydantic_core import to_json

from ..errors import describe
from ..runs.spans import shorten
from .text import safe_repr

__all__ = ('StoredMessages', 'decode_messages', 'encode_messages')

MAX_TEXT = 200_000
"""Characters of one text in messages that are too large together."""
_MAX_DEPTH = 32


@dataclass(kw_only=True, frozen=True)
class StoredMessages:
    """Messages as a JSON array."""

    document: bytes
    left_out: int = 0
    """How many messages from the beginning are not there."""
    refused: str | None = None
    """Why some are not, or not whole."""


def encode_messages(messages: Sequence[ModelMessage], limit: int) -> StoredMessages:
    """The JSON of messages, of at most about `limit` bytes.

    What has no JSON form is replaced by its `repr`, and long texts are shortened. Where that is not enough, the messages at
    the beginning are left out.
    """
    try:
        document = ModelMessagesTypeAdapter.dump_json(list(messages))
    except Exception as error:
        reason = f'parts of the messages have no JSON form: {describe(error)}'
    else:
        if len(document) <= limit:
            return StoredMessages(document=document)
        reason = f'the messages are larger than {limit} bytes'
    return _encode_one_by_one(messages, limit, reason)


def _encode_one_by_one(messages: Sequence[ModelMessage], limit: int, reason: str) -> StoredMessages:
    documents: list[bytes] = []
    for message in reversed(messages):
        try:
            document = ModelMessagesTypeAdapter.dump_json([cast(ModelMessage, _plain(message, 0))])[1:-1]
        except Exception as error:
            reason = f'a message has no JSON form: {describe(error)}'
            break
        limit -= len(document)
        if limit < 0:
            break
        documents.append(document)
    left_out = len(messages) - len(documents)
    return StoredMessages(document=b'[%s]' % b','.join(reversed(documents)), left_out=left_out, refused=reason)


def _plain(value: Any, depth: int) -> Any:
    """A copy of a message, or of what is in it, with nothing that has no JSON form and with long texts shortened."""
    if isinstance(value, str):
        return shorten(value.encode(errors='replace').decode(), MAX_TEXT)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= 64 else hex(value)
    if isinstance(value, BinaryContent) and len(value.data) > MAX_TEXT:
        return TextContent(content=f'[{len(value.data)} bytes of {value.media_type} left out]')
    if depth >= _MAX_DEPTH:
        return f'[{type(value).__name__} left out: too deep]'
    if isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in cast('Sequence[Any]', value)]
    if isinstance(value, dict):
        pairs = cast('dict[Any, Any]', value).items()
        return {
            _plain(name if isinstance(name, str) else safe_repr(name), depth): _plain(each, depth + 1)
            for name, each in pairs
        }
    if _is_part(value):
        return _plain_part(value, depth)
    try:
        to_json(value)
    except Exception:
        return _plain(safe_repr(value), depth)
    return value


def _is_part(value: object) -> bool:
    return is_dataclass(value) and type(value).__module__.startswith('pydantic_ai.')


def _plain_part(part: Any, depth: int) -> Any:
    plain = copy.copy(part)
    for each in fields(part):
        object.__setattr__(plain, each.name, _plain(getattr(part, each.name), depth + 1))
    return plain


def decode_messages(document: Any) -> tuple[ModelMessage, ...]:
    """The messages of a JSON array.

    Raises:
        ValueError: If this version of Pydantic AI cannot read them.
    """
    try:
        return tuple(ModelMessagesTypeAdapter.validate_json(to_json(document)))
    except ValidationError as error:
        raise ValueError(f'the messages cannot be read: {error.error_count()} errors') from error
