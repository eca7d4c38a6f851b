"""What a judge is shown of a value: all of it, or both its ends with a mark that says how much is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel
from pydantic_ai.messages import (
    MULTI_MODAL_CONTENT_TYPES,
    CachePoint,
    MultiModalContent,
    TextContent,
    UploadedFile,
    is_multi_modal_content,
)
from pydantic_core import to_jsonable_python

from ..errors import describe
from ..runs.spans import shorten

__all__ = ('Excerpt', 'Form', 'both_ends')

Form = Literal['text', 'empty text', 'JSON', 'JSON lines', 'error']
"""How a section is written. It tells the text `None` from the value."""

MAX_DEPTH = 20
"""Levels of a value that are shown; one that contains itself has no end."""
MAX_MEDIA = 10
"""Images and other media of one section that are shown."""
MAX_KEY = 200
MIN_PART = 16
"""Characters below which a part of a value is not worth showing."""
MAX_BITS = 4_096

_PROMPT_TYPES = (TextContent, CachePoint, *MULTI_MODAL_CONTENT_TYPES)

T = TypeVar('T')
S = TypeVar('S')


class Excerpt:
    """One section of what a judge is shown, as it is being written: characters are counted before they are copied."""

    def __init__(self, limit: int, takes: Callable[[MultiModalContent], bool]) -> None:
        """Begin a section.

        Args:
            limit: Characters to which the section is shortened.
            takes: Whether the judge's model takes an image or another medium.
        """
        self.limit = limit
        self.media: list[MultiModalContent] = []
        self._takes = takes

    def write(self, value: object) -> tuple[str, Form]:
        """Write a value: a text or a prompt as it is, an exception as its type and text, anything else as JSON."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, BaseException):
            return describe(value), 'error'
        if is_prompt(value):
            return self._text('\n'.join(self.prompt_texts(value)))
        return self.json(value, self.limit), 'JSON'

    def _text(self, text: str) -> tuple[str, Form]:
        return shorten(text, self.limit), 'text' if text else 'empty text'

    def prompt_texts(self, prompt: object) -> list[str]:
        """The texts of a prompt, with a note for each image or other medium."""
        items = cast('Sequence[object]', prompt) if isinstance(prompt, list | tuple) else [prompt]
        return [self._prompt_text(item) for item in items if not isinstance(item, CachePoint)]

    def _prompt_text(self, item: object) -> str:
        if isinstance(item, str):
            return item
        if isinstance(item, TextContent):
            return item.content
        return self._note(item) if is_multi_modal_content(item) else self.json(item, self.limit)

    def json(self, value: object, limit: int) -> str:
        """Write a value as JSON of about so many characters."""
        part, _ = self._part(value, limit, MAX_DEPTH)
        # Escaped characters count for several.
        return shorten(json.dumps(part, ensure_ascii=False), 2 * limit)

    def _part(self, value: object, limit: int, depth: int) -> tuple[Any, int]:
        """A part of a value that has a JSON form, and about how long that is."""
        if isinstance(value, str):
            text = shorten(str(value), limit)
            return text, len(text) + 2
        if value is None or isinstance(value, bool | float):
            return value, 5
        if isinstance(value, int):
            return (value, 10) if value.bit_length() <= MAX_BITS else (f'[integer of {value.bit_length()} bits]', 30)
        if depth == 0:
            return '[…]', 5
        return self._compound(value, limit, depth - 1)

    def _compound(self, value: object, limit: int, depth: int) -> tuple[Any, int]:
        if isinstance(value, Mapping):
            return self._mapping(cast('Mapping[Any, Any]', value), limit, depth)
        if isinstance(value, list | tuple | Set):
            items = list(cast('Sequence[Any]', value))
            parts, size = both_ends(items, limit, lambda item, room: self._part(item, room, depth), _items_left_out)
            return parts, size + 2
        if is_multi_modal_content(value):
            note = self._note(value)
            return note, len(note)
        if isinstance(value, bytes | bytearray):
            return f'[{len(value)} bytes]', 20
        if is_dataclass(value) and not isinstance(value, type | BaseModel):
            return self._mapping(
                {field.name: getattr(value, field.name, None) for field in fields(value)}, limit, depth
            )
        return self._part(_plain(value), limit, depth)

    def _mapping(self, mapping: Mapping[Any, Any], limit: int, depth: int) -> tuple[Any, int]:
        def pair(item: tuple[Any, Any], room: int) -> tuple[tuple[str, Any], int]:
            key = shorten(_key(item[0]), MAX_KEY)
            part, size = self._part(item[1], room, depth)
            return (key, part), size + len(key) + 4

        pairs, size = both_ends(list(mapping.items()), limit, pair, lambda count: ('…', _items_left_out(count)))
        return dict(pairs), size + 2

    def _note(self, item: MultiModalContent) -> str:
        kind = getattr(item, 'media_type', item.kind) if item.kind == 'binary' else item.kind
        if isinstance(item, UploadedFile) or not self._takes(item):
            return f'[{kind}, which the judge cannot be shown]'
        if len(self.media) == MAX_MEDIA:
            return f'[{kind}, left out]'
        self.media.append(item)
        return f'[{kind}: attachment {len(self.media)} of this section]'


def both_ends(
    items: Sequence[S], limit: int, render: Callable[[S, int], tuple[T, int]], left_out: Callable[[int], T]
) -> tuple[list[T], int]:
    """Render items from both ends inwards as far as the characters last.

    Args:
        items: The items.
        limit: Characters that there are.
        render: Renders one, given the characters it may have, and says how many it took.
        left_out: Renders the mark for so many items that are missing.

    Returns:
        What was rendered, and how many characters it took.
    """
    first: list[T] = []
    last: list[T] = []
    spent = 0
    for number in range(len(items)):
        remaining = len(items) - number
        room = limit - spent if remaining == 1 else (limit - spent) // 2
        if room < MIN_PART and remaining > 1:
            return [*first, left_out(remaining), *reversed(last)], spent
        end, item = (last, items[-1 - len(last)]) if number % 2 else (first, items[len(first)])
        rendered, size = render(item, max(room, MIN_PART))
        end.append(rendered)
        spent += size
    return list(chain(first, reversed(last))), spent


def is_prompt(value: object) -> bool:
    """Whether a value is a user's prompt that is more than a text."""
    items = cast('Sequence[object]', value) if isinstance(value, list | tuple) else [value]
    # By their types, of which there are few, where there can be many items.
    return any(issubclass(cls, _PROMPT_TYPES) for cls in set(map(type, items)))


def _items_left_out(count: int) -> str:
    return f'… [{count} items left out] …'


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(_plain(key))


def _plain(value: object) -> Any:
    """A form of something that JSON can hold, whatever it does when it is asked for one."""
    for form in (partial(to_jsonable_python, value), partial(repr, value)):
        try:
            return form()
        except Exception:
            continue
    return f'<{type(value).__name__}>'
