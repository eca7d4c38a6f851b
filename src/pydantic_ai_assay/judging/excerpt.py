"""What a judge is shown of a value: all of it, or both its ends with a mark that says how much is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from functools import partial
from json import JSONEncoder
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

__all__ = ('Excerpt', 'Form', 'both_ends', 'encode')

Form = Literal['text', 'empty text', 'JSON', 'JSON lines', 'error']
"""How a section is written. It tells the text `None` from the value."""

MAX_DEPTH = 20
"""Levels of a value that are shown; one that contains itself has no end."""
MAX_MEDIA = 10
"""Images and other media of one section that are shown."""
MAX_KEY = 200
MIN_CUT = 64
"""Characters below which a text that is cut would be little more than the mark."""
MAX_BITS = 4_096

_PROMPT_TYPES = (TextContent, CachePoint, *MULTI_MODAL_CONTENT_TYPES)

_CONTAINERS = (dict, list)

S = TypeVar('S')

encode: Callable[[object], str] = JSONEncoder(ensure_ascii=False).encode
"""Write a text or a number as JSON."""


class _TooLong(Exception):
    """There is less room than a value takes."""


class _Pairs(list[tuple[str, Any]]):
    """A mapping whose keys are texts, of which two may be equal."""


class Excerpt:
    """One section of what a judge is shown, as it is being written: characters are counted before they are copied."""

    def __init__(self, limit: int, takes: Callable[[MultiModalContent], bool], key: str) -> None:
        """Begin a section.

        Args:
            limit: Characters that the section has at most, marks included.
            takes: Whether the judge's model takes an image or another medium.
            key: Stands in each note, and in nothing that is judged: what is judged cannot forge one.
        """
        self.limit = limit
        self.media: list[MultiModalContent] = []
        self._takes = takes
        self._key = key

    def write(self, value: object) -> tuple[str, Form]:
        """Write a value: a text or a prompt as it is, an exception as its type and text, anything else as JSON."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, BaseException):
            return self.cut(describe(value), self.limit), 'error'
        if is_prompt(value):
            return self._text('\n'.join(self.prompt_texts(value)))
        return self._written(value, self.limit), 'JSON'

    def note(self, text: str) -> str:
        """A note about what is not shown."""
        return f'[{self._key}: {text}]'

    def left_out(self, count: int, what: str) -> str:
        """The mark that stands where so much is missing."""
        return f'… {self.note(f"{count} {what} left out")} …'

    def cut(self, text: str, limit: int) -> str:
        """Cut a text from its middle, so that it has no more than so many characters with the mark."""
        if len(text) <= limit:
            return text
        kept = max(limit - len(self.left_out(len(text), 'characters')), 0)
        head = kept * 2 // 3
        mark = self.left_out(len(text) - kept, 'characters')
        return f'{text[:head]}{mark}{text[len(text) - (kept - head) :]}'

    def _text(self, text: str) -> tuple[str, Form]:
        return self.cut(text, self.limit), 'text' if text else 'empty text'

    def prompt_texts(self, prompt: object) -> list[str]:
        """The texts of a prompt, with a note for each image or other medium."""
        items = cast('Sequence[object]', prompt) if isinstance(prompt, list | tuple) else [prompt]
        return [self._prompt_text(item) for item in items if not isinstance(item, CachePoint)]

    def _prompt_text(self, item: object) -> str:
        if isinstance(item, str):
            return item
        if isinstance(item, TextContent):
            return item.content
        return self._note_medium(item) if is_multi_modal_content(item) else self._written(item, self.limit)

    def _written(self, value: object, limit: int) -> str:
        written = self.json(value, limit)
        # So many characters are enough for a mark, whatever the value is.
        assert written is not None
        return written

    def json(self, value: object, limit: int) -> str | None:
        """Write a value as JSON of at most so many characters; `None` where nothing of it can be shown in these."""
        return self._part(value, limit, MAX_DEPTH)

    def _part(self, value: object, room: int, depth: int) -> str | None:
        shown = len(self.media)
        if type(value) not in _CONTAINERS:
            # Once: it may take long to find a form that JSON has.
            value = self._simple(value)
        try:
            return self._whole(value, room, depth)
        except _TooLong:
            part = self._ends(self._simple(value), room, depth - 1)
        if part is None:
            del self.media[shown:]
        return part

    def _simple(self, value: object) -> Any:
        """A value as one of the few kinds that are written: a text, a number, `None`, a list, or a mapping."""
        if value is None or isinstance(value, str | bool | float | list | tuple | Set | _Pairs):
            return cast(Any, value)
        if isinstance(value, int):
            return value if value.bit_length() <= MAX_BITS else self.note(f'integer of {value.bit_length()} bits')
        if isinstance(value, Mapping):
            items = cast('Mapping[Any, Any]', value).items()
            return _Pairs((key if isinstance(key, str) else str(_plain(key)), item) for key, item in items)
        if isinstance(value, bytes | bytearray):
            return self.note(f'{len(value)} bytes')
        if is_multi_modal_content(value):
            return self._note_medium(value)
        if is_dataclass(value) and not isinstance(value, type | BaseModel):
            return _Pairs((field.name, getattr(value, field.name, None)) for field in fields(value))
        return self._simple(_plain(value))

    def _whole(self, value: Any, room: int, depth: int) -> str:
        """All of a value.

        Raises:
            _TooLong: If it takes more characters than there are.
        """
        if depth and type(value) in _CONTAINERS and _is_flat(value, room):
            written = encode(value)
        else:
            value = self._simple(value)
            if isinstance(value, str):
                written = encode(value) if len(value) + 2 <= room else None
            elif not isinstance(value, list | tuple | Set):
                written = encode(value)
            elif depth == 0:
                written = encode(self.note('more levels'))
            else:
                return self._whole_of_several(cast('Sequence[Any]', value), room, depth - 1)
        if written is None or len(written) > room:
            raise _TooLong
        return written

    def _whole_of_several(self, items: Sequence[Any], room: int, depth: int) -> str:
        shown = len(self.media)
        left = room - 2
        parts: list[str] = []
        keys = _Keys(self, items)
        try:
            # Each takes at least one character, and a separator of two.
            if max(3 * len(items) - 2, 0) > left:
                raise _TooLong
            for item in items:
                key, item = keys.part(item)
                part = key + self._whole(item, left - len(key), depth)
                left -= len(part) + 2
                parts.append(part)
        except _TooLong:
            del self.media[shown:]
            raise
        return keys.join(parts)

    def _ends(self, value: Any, room: int, depth: int) -> str | None:
        """What can be shown of a simple value that is too long."""
        if isinstance(value, list | tuple | Set):
            return None if depth < 0 else self._ends_of_several(value, room, depth)
        if room < MIN_CUT:
            return None
        text = value if isinstance(value, str) else encode(value)
        mark = len(self.left_out(len(text), 'characters')) + 2
        kept = room - mark
        while True:
            written = encode(self.cut(text, kept + mark - 2))
            if len(written) <= room:
                return written
            # Characters that are escaped count for several.
            kept = min(kept - 1, kept * (room - mark) // (len(written) - mark))

    def _ends_of_several(self, value: Any, room: int, depth: int) -> str | None:
        items = value if isinstance(value, _Pairs) else list(cast('Sequence[Any]', value))
        keys = _Keys(self, items)

        def render(item: Any, room: int) -> str | None:
            key, item = keys.part(item)
            part = self._part(item, room - len(key), depth)
            return None if part is None else key + part

        def left_out(count: int) -> str:
            return keys.mark(encode(self.left_out(count, 'items')))

        parts = both_ends(items, room - 2, 2, render, left_out)
        return None if parts is None else keys.join(parts)

    def _note_medium(self, item: MultiModalContent) -> str:
        kind = getattr(item, 'media_type', item.kind) if item.kind == 'binary' else item.kind
        if isinstance(item, UploadedFile) or not self._takes(item):
            return self.note(f'{kind}, which the judge cannot be shown')
        if len(self.media) == MAX_MEDIA:
            return self.note(f'{kind}, left out')
        self.media.append(item)
        return self.note(f'{kind}: attachment {len(self.media)} of this section')


class _Keys:
    """The keys of one mapping as they are shown, no two of them alike; a list has none."""

    def __init__(self, excerpt: Excerpt, items: object) -> None:
        self._excerpt = excerpt
        self._shown: dict[str, int] | None = {} if isinstance(items, _Pairs) else None

    def part(self, item: Any) -> tuple[str, Any]:
        """How an item begins, and what is yet to be written of it."""
        if self._shown is None:
            return '', item
        key, value = cast('tuple[str, Any]', item)
        key = self._excerpt.cut(key, MAX_KEY)
        times = self._shown[key] = self._shown.get(key, 0) + 1
        if times > 1:
            # Two keys that are shortened to the same text, or a number and the text of it.
            key = f'{key} {self._excerpt.note(f"key {times} that is shown like this")}'
        return f'{encode(key)}: ', value

    def mark(self, text: str) -> str:
        """What stands for the items that are missing."""
        return text if self._shown is None else f'{text}: null'

    def join(self, parts: Sequence[str]) -> str:
        """The whole."""
        joined = ', '.join(parts)
        return f'[{joined}]' if self._shown is None else f'{{{joined}}}'


def both_ends(
    items: Sequence[S],
    limit: int,
    separator: int,
    render: Callable[[S, int], str | None],
    left_out: Callable[[int], str],
) -> list[str] | None:
    """Render items from both ends inwards as far as the characters last.

    Args:
        items: The items.
        limit: Characters that there are.
        separator: Characters that stand between two of them.
        render: Renders one in at most so many characters; `None` if that cannot be.
        left_out: Renders the mark for so many items that are missing.

    Returns:
        What was rendered, or `None` where there is no room for the mark alone.
    """
    first: list[str] = []
    last: list[str] = []
    left = limit
    reserve = len(left_out(len(items))) + separator
    for number in range(len(items)):
        remaining = len(items) - number
        end, item = (last, items[-1 - len(last)]) if number % 2 else (first, items[len(first)])
        rendered = render(item, left if remaining == 1 else (left - reserve) // 2)
        if rendered is None:
            mark = left_out(remaining)
            return [*first, mark, *reversed(last)] if len(mark) <= left else None
        end.append(rendered)
        left -= len(rendered) + separator
    return [*first, *reversed(last)]


def is_prompt(value: object) -> bool:
    """Whether a value is a user's prompt that is more than a text."""
    items = cast('Sequence[object]', value) if isinstance(value, list | tuple) else [value]
    # By their types, of which there are few, where there can be many items.
    return any(issubclass(cls, _PROMPT_TYPES) for cls in set(map(type, items)))


def _is_flat(value: dict[Any, Any] | list[Any], room: int) -> bool:
    """Whether a value is JSON of one level as it is, and not so long that it cannot be written at once."""
    if isinstance(value, dict) and not all(type(key) is str and len(key) <= MAX_KEY for key in value):
        return False
    items = cast('Iterable[object]', value.values() if isinstance(value, dict) else value)
    for item in items:
        if type(item) is str:
            room -= len(item)
        elif type(item) is int and item.bit_length() <= MAX_BITS:
            room -= item.bit_length() // 4
        elif type(item) is not float and type(item) is not bool and item is not None:
            return False
        room -= 2
        if room < 0:
            return False
    return True


def _plain(value: object) -> Any:
    """A form of something that JSON can hold, whatever it does when it is asked for one."""
    for form in (partial(to_jsonable_python, value), partial(repr, value)):
        try:
            return form()
        except Exception:
            continue
    return f'<{type(value).__name__}>'
