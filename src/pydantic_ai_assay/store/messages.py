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
MAX_DEPTH = 32
_INSIDE_PART = 3
"""How deep what is in a part lies: it is in a part, the parts, and a message."""
_NODE = 32
"""Characters that each value in a message is counted as."""


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
    documents, copied = list[bytes](), _Copy(limit)
    for message in reversed(messages):
        if copied.is_full:
            break
        try:
            document = ModelMessagesTypeAdapter.dump_json([cast(ModelMessage, copied(message))])[1:-1]
        except Exception as error:
            reason = f'a message has no JSON form: {describe(error)}'
            break
        limit -= len(document)
        if limit < 0:
            break
        documents.append(document)
    left_out = len(messages) - len(documents)
    return StoredMessages(document=b'[%s]' % b','.join(reversed(documents)), left_out=left_out, refused=reason)


class _Copy:
    """Copies a message with nothing in it that has no JSON form, and with long texts shortened."""

    def __init__(self, limit: int) -> None:
        self._left = limit // _NODE
        self._around: set[int] = set()

    @property
    def is_full(self) -> bool:
        """Whether there is no room for anything more."""
        return self._left <= 0

    def __call__(self, value: Any) -> Any:
        """The copy of a message, or of what is in it."""
        self._left -= 1
        if isinstance(value, str):
            return shorten(value.encode(errors='replace').decode(), MAX_TEXT)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if value.bit_length() <= 64 else hex(value)
        if isinstance(value, BinaryContent) and len(value.data) > MAX_TEXT:
            return TextContent(content=f'[{len(value.data)} bytes of {value.media_type} left out]')
        if isinstance(value, list | tuple | dict) or _is_part(value):
            return self._nested(cast('object', value))
        try:
            to_json(value)
        except Exception:
            return self(safe_repr(value))
        return value

    def _nested(self, value: Any) -> Any:
        if id(value) in self._around:
            return _left_out(value, 'it contains itself')
        if len(self._around) >= MAX_DEPTH:
            return _left_out(value, 'too deep')
        # A message is none without its parts, nor a part without its fields.
        if self.is_full and len(self._around) >= _INSIDE_PART and not _is_part(value):
            return _left_out(value, 'too large')
        self._around.add(id(value))
        try:
            return self._container(value)
        finally:
            self._around.discard(id(value))

    def _container(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self(each) for each in cast('Sequence[Any]', value)]
        if isinstance(value, dict):
            pairs = cast('dict[Any, Any]', value).items()
            return {self(name if isinstance(name, str) else safe_repr(name)): self(each) for name, each in pairs}
        copied = copy.copy(value)
        for each in fields(value):
            object.__setattr__(copied, each.name, self(getattr(value, each.name)))
        return copied


def _left_out(value: object, why: str) -> Any:
    """What stands for a value, of a kind that may stand there."""
    mark = f'[{type(value).__name__} left out: {why}]'
    return {'…': mark} if isinstance(value, dict) else [mark] if isinstance(value, list | tuple) else mark


def _is_part(value: object) -> bool:
    return is_dataclass(value) and type(value).__module__.startswith('pydantic_ai.')


def decode_messages(document: Any) -> tuple[ModelMessage, ...]:
    """The messages of a JSON array.

    Raises:
        ValueError: If this version of Pydantic AI cannot read them.
    """
    try:
        return tuple(ModelMessagesTypeAdapter.validate_json(to_json(document)))
    except ValidationError as error:
        raise ValueError(f'the messages cannot be read: {error.error_count()} errors') from error
