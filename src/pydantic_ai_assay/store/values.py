"""Any value that an agent can take or return, as JSON, and back."""

from __future__ import annotations

import base64
import dataclasses
import math
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    CachePoint,
    DocumentUrl,
    ImageUrl,
    StructuredContent,
    TextContent,
    UploadedFile,
    UserContent,
    VideoUrl,
)
from pydantic_core import to_json

from ..errors import describe
from .stand_in import Restoring, StoredError, StoredValue, class_name, fields_in, stand_in, stored_error
from .text import safe_repr, type_name

__all__ = ('StoredError', 'StoredValue', 'ValueEncoder', 'cut_in', 'decode')

MARK = '$'
"""The key that tells an object that stands for something else."""
COMPARED = 2_000_000
"""Characters of an object that are compared with one that was stored."""
MAX_DEPTH = 64
MAX_INTEGER_BITS = 4_096
MAX_WRITTEN_BITS = 14_000
"""Longer ones could not even be shown: Python refuses to write them in decimal, for the time it takes."""
_NODE = 8
"""What each value is counted as, besides its text."""
_USER_CONTENT = TypeAdapter[Any](UserContent)
_USER_CONTENT_TYPES = (
    ImageUrl,
    AudioUrl,
    DocumentUrl,
    VideoUrl,
    UploadedFile,
    TextContent,
    StructuredContent,
    CachePoint,
)
_WRITTEN: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    datetime: ('datetime', datetime.isoformat, datetime.fromisoformat),
    date: ('date', date.isoformat, date.fromisoformat),
    time: ('time', time.isoformat, time.fromisoformat),
    UUID: ('uuid', str, UUID),
    Decimal: ('decimal', str, Decimal),
}
"""Types with a text that they can be read from."""
_ITEMS_OF_DICT: Callable[[Any], Iterable[tuple[Any, Any]]] = cast(Any, dict).items
_COPY_OF_LIST: Callable[[Any], list[Any]] = cast(Any, list).copy
_COLLECTIONS: tuple[tuple[type[Any], str, Callable[[Any], Iterable[Any]]], ...] = (
    (tuple, 'tuple', cast(Any, tuple).__iter__),
    (set, 'set', cast(Any, set).copy),
    (frozenset, 'frozenset', cast(Any, frozenset).__iter__),
    (deque, 'deque', cast(Any, deque).__iter__),
)
_READ = {name: read for name, _, read in _WRITTEN.values()}


class ValueEncoder:
    """Makes JSON of values, up to a size. It never raises, and runs no code of theirs but `repr`."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._around: set[int] = set()

    def __call__(self, value: Any) -> Any:
        """The JSON form of a value; what does not fit is marked as left out."""
        return self._value(value)

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits."""
        return self._left <= 0

    def text(self, text: str) -> Any:
        """The JSON form of a text: itself, or as much of it as fits."""
        if len(text) <= self._left:
            self._left -= len(text)
            return text
        head, self._left = text[: max(0, self._left)], 0
        return {MARK: 'text', 'v': head, 'left_out': len(text) - len(head)}

    def _value(self, value: Any) -> Any:
        try:
            return self._form(value)
        except BaseException as error:
            # Properties may raise anything; what is around the value is kept.
            if isinstance(error, KeyboardInterrupt):
                raise
            return _left_out(value, f'it raised {describe(error)}')

    def _form(self, value: Any) -> Any:
        self._left -= _NODE
        if value is None or value is True or value is False:
            return value
        cls = cast('type[Any]', type(value))
        if cls is str:
            return self.text(value)
        if self._left <= 0:
            return _left_out(value, 'too large')
        if isinstance(value, Enum):
            return {MARK: 'enum', 'type': type_name(cls), 'name': value.name, 'v': self._value(value.value)}
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, int):
            return _integer(int.__index__(value))
        if isinstance(value, float):
            number = float.__float__(value)
            return number if math.isfinite(number) else {MARK: 'float', 'v': repr(number)}
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(cast('bytes', value))
        if cls in _WRITTEN:
            name, write, _ = _WRITTEN[cls]
            return {MARK: name, 'v': write(value)}
        if cls is timedelta:
            return {MARK: 'timedelta', 'v': [value.days, value.seconds, value.microseconds]}
        return self._nested(value)

    def _bytes(self, value: bytes | bytearray | memoryview) -> Any:
        size = value.nbytes if isinstance(value, memoryview) else len(value)
        if size * 4 // 3 > self._left:
            return _left_out(value, f'{size} bytes are too large')
        self._left -= size * 4 // 3
        return {MARK: 'bytes', 'v': base64.b64encode(bytes(value)).decode()}

    def _nested(self, value: Any) -> Any:
        if id(value) in self._around:
            return {MARK: 'cycle', 'type': type_name(cast('type[Any]', type(value)))}
        if len(self._around) >= MAX_DEPTH:
            return _left_out(value, 'too deep')
        self._around.add(id(value))
        try:
            return self._container(value)
        finally:
            self._around.discard(id(value))

    def _container(self, value: Any) -> Any:
        # Methods of the builtin types, for those of a subclass may do anything.
        if isinstance(value, dict):
            return self._mapping(list(_ITEMS_OF_DICT(value)))
        if isinstance(value, types.MappingProxyType):
            return self._mapping(list(cast('Mapping[Any, Any]', value).items()))
        if isinstance(value, list):
            return self._items(_COPY_OF_LIST(value))
        for cls, name, members in _COLLECTIONS:
            if isinstance(value, cls) and not hasattr(cast(object, value), '_fields'):
                return {MARK: name, 'v': self._items(members(value))}
        if isinstance(value, BaseException):
            return {MARK: 'error', 'type': class_name(value), 'v': self.text(_text_of(value))}
        return self._object(value)

    def _items(self, values: Iterable[Any]) -> list[Any]:
        items: list[Any] = []
        rest = iter(values)
        for each in rest:
            if self._left <= 0:
                items.append({MARK: 'rest', 'left_out': 1 + sum(1 for _ in rest)})
                break
            items.append(self._value(each))
        return items

    def _mapping(self, pairs: list[tuple[Any, Any]]) -> Any:
        if all(type(name) is str and name != MARK for name, _ in pairs):
            document: dict[str, Any] = {}
            for number, (name, each) in enumerate(pairs):
                if self._left <= len(name):
                    return {MARK: 'fewer', 'v': document, 'left_out': len(pairs) - number}
                self._left -= len(name)
                document[name] = self._value(each)
            return document
        return {MARK: 'dict', 'v': self._items(list(pair) for pair in pairs)}

    def _object(self, value: Any) -> Any:
        if isinstance(value, BinaryContent) and len(value.data) * 4 // 3 > self._left:
            return _left_out(value, f'{len(value.data)} bytes of {value.media_type} are too large')
        if isinstance(value, (*_USER_CONTENT_TYPES, BinaryContent)):
            return {MARK: 'user_content', 'v': self._counted(_USER_CONTENT.dump_python(value, mode='json'))}
        if isinstance(value, PurePath):
            return {MARK: 'path', 'v': self.text(str(value))}
        document: dict[str, Any] = {MARK: 'object', 'type': class_name(value)}
        fields = {name: self._value(each) for name, each in _fields_of(value)}
        if fields:
            document['fields'] = fields
        # The text of an object with fields would say the same once more.
        document['shown'] = f'<{cast("type[Any]", type(value)).__name__}>' if fields else self.text(safe_repr(value))
        return document

    def _counted(self, document: Any) -> Any:
        self._left -= sum(len(each) for each in document.values() if isinstance(each, str))
        return document


def _integer(value: int) -> Any:
    if value.bit_length() <= MAX_INTEGER_BITS:
        return value
    if value.bit_length() > MAX_WRITTEN_BITS:
        return {MARK: 'left_out', 'type': 'builtins.int', 'why': f'{value.bit_length()} bits are too large'}
    return {MARK: 'int', 'v': hex(value)}


def cut_in(document: Any) -> str | None:
    """Why a JSON form is not the whole value, if it is not."""
    rest = [document]
    while rest:
        each = rest.pop()
        if isinstance(each, list):
            rest.extend(cast('list[Any]', each))
        elif isinstance(each, dict):
            marked = cast('dict[str, Any]', each)
            kind = marked.get(MARK)
            if isinstance(kind, str) and kind in _CUT:
                return _CUT[kind](marked)
            rest.extend(marked.values())
    return None


def _left_out(value: object, why: str) -> dict[str, Any]:
    return {MARK: 'left_out', 'type': type_name(type(value)), 'why': why}


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:
        return f'(its text raised {type(second).__name__})'


def _fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a model, a dataclass, a named tuple or a class of attrs."""
    cls = cast('type[Any]', type(value))
    if issubclass(cls, StoredValue):
        yield from fields_in(value).items()
        return
    if issubclass(cls, BaseModel):
        attributes: dict[str, Any] = object.__getattribute__(value, '__dict__')
        yield from list(attributes.items())
        extra: dict[str, Any] = value.__pydantic_extra__ or {}
        yield from list(extra.items())
        return
    if dataclasses.is_dataclass(cls):
        names = [each.name for each in dataclasses.fields(cls)]
    else:
        names = [
            str(getattr(each, 'name', each)) for each in getattr(cls, '__attrs_attrs__', getattr(cls, '_fields', ()))
        ]
    for name in names:
        try:
            yield name, object.__getattribute__(value, name)
        except AttributeError:
            continue


def decode(document: Any) -> Any:
    """The value that a JSON form stands for."""
    if isinstance(document, list):
        return _decode_items(cast('list[Any]', document))
    if not isinstance(document, dict):
        return document
    marked = cast('dict[str, Any]', document)
    if MARK not in marked:
        return {name: decode(each) for name, each in marked.items()}
    try:
        return _DECODERS.get(marked[MARK], _decode_unknown)(marked)
    except (KeyError, TypeError, ValueError):
        # It was written by a version that knew more, or with a value this version of Pydantic AI refuses.
        return _decode_unknown(marked)


def _decode_items(documents: list[Any]) -> list[Any]:
    return [decode(each) for each in documents]


def _decode_unknown(document: dict[str, Any]) -> StoredValue:
    """What a later version wrote."""
    return StoredValue(type_name=str(document[MARK]), shown='[of a kind this version does not know]')


def _decode_text(document: dict[str, Any]) -> str:
    return f'{document["v"]}… [{document["left_out"]} characters left out]'


def _decode_object(document: dict[str, Any]) -> StoredValue:
    fields = {name: decode(each) for name, each in document.get('fields', {}).items()}
    shown = str(decode(document['shown']))
    if fields:
        shown = f'{shown[1:-1]}({", ".join(f"{name}={safe_repr(each)}" for name, each in fields.items())})'
    return stand_in(document['type'], shown, fields)


def _decode_left_out(document: dict[str, Any]) -> StoredValue:
    return StoredValue(type_name=document['type'], shown=f'[{document["type"]} left out: {document["why"]}]')


def _decode_cycle(document: dict[str, Any]) -> StoredValue:
    return StoredValue(type_name=document['type'], shown=f'[the {document["type"]} around it]')


def _decode_set(document: dict[str, Any]) -> Any:
    items = _decode_items(document['v'])
    try:
        return frozenset(items) if document[MARK] == 'frozenset' else set(items)
    except TypeError:
        # What stands for one of its members is a list or a dictionary.
        return items


def _decode_dict(document: dict[str, Any]) -> Any:
    pairs = _decode_items(document['v'])
    decoded: dict[Any, Any] = {}
    for pair in pairs:
        if isinstance(pair, list):
            name, each = cast('list[Any]', pair)
        else:
            name, each = MARK, pair
        try:
            decoded[name] = each
        except TypeError:
            decoded[repr(name)] = each
    return decoded


def _decode_rest(document: dict[str, Any]) -> StoredValue:
    return StoredValue(type_name='rest', shown=f'[{document["left_out"]} more left out]')


def _decode_fewer(document: dict[str, Any]) -> dict[str, Any]:
    fewer: dict[str, Any] = decode(document['v'])
    return {**fewer, '…': _decode_rest(document)}


def _decode_text_form(read: Callable[[Any], Any], document: dict[str, Any]) -> Any:
    return read(document['v'])


_CUT: dict[str, Callable[[dict[str, Any]], str]] = {
    'text': lambda document: f'{document["left_out"]} characters of a text are left out',
    'rest': lambda document: f'{document["left_out"]} members of a collection are left out',
    'fewer': lambda document: f'{document["left_out"]} entries of a mapping are left out',
    'left_out': lambda document: f'a {document["type"]} is left out: {document["why"]}',
}
"""What stands for something that is not there, and how that is said."""
_DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    'text': _decode_text,
    'float': lambda document: float(document['v']),
    'int': lambda document: int(document['v'], 16),
    'bytes': lambda document: base64.b64decode(document['v']),
    'timedelta': lambda document: timedelta(*document['v']),
    'enum': lambda document: decode(document['v']),
    'path': lambda document: decode(document['v']),
    'tuple': lambda document: tuple(_decode_items(document['v'])),
    'set': _decode_set,
    'frozenset': _decode_set,
    'deque': lambda document: deque(_decode_items(document['v'])),
    'dict': _decode_dict,
    'fewer': _decode_fewer,
    'rest': _decode_rest,
    'error': lambda document: stored_error(document['type'], decode(document['v'])),
    'user_content': lambda document: _USER_CONTENT.validate_json(to_json(document['v'])),
    'object': _decode_object,
    'left_out': _decode_left_out,
    'cycle': _decode_cycle,
    **{name: partial(_decode_text_form, read) for name, read in _READ.items()},
}


def _once_stored(value: object) -> object:
    return decode(ValueEncoder(COMPARED)(value))


Restoring.once_stored = _once_stored
