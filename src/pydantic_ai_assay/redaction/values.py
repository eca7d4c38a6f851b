"""Copies of values in which every text is mapped."""

from __future__ import annotations

import dataclasses
import ipaddress
import numbers
import types
import typing
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Literal, TypeAlias, cast, get_args
from uuid import UUID

from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest, ModelResponse
from pydantic_ai.usage import UsageBase

from .exceptions import error_or_none, new_error, restatements, text_of

__all__ = ('MarkedNames', 'TextFunction', 'ValueMapper')

TextFunction: TypeAlias = Callable[[str], str]
"""Gets a text and returns what to put in its place."""
MarkedNames: TypeAlias = Callable[[str], str | None]
"""Gets a name, and returns what all text under it becomes, or `None` where it is mapped as any other."""

MAX_DEPTH = 100
"""How deep values may be nested; what lies deeper is withheld."""
_CONSTANTS = (date, time, timedelta, tzinfo, UUID, type, types.NoneType, types.EllipsisType, slice, range)
_WRITTEN = (PurePath, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network)
_IDS = frozenset({'run_id', 'conversation_id'})


class ValueMapper:
    """Copies values with their text mapped. What is one object stays one, so that cycles end."""

    def __init__(self, function: TextFunction, marked: MarkedNames | None) -> None:
        self._function = function
        self._marked = marked
        # The original is kept, for its id to stay its own.
        self._seen: dict[int, tuple[object, Any]] = {}
        self._texts: dict[str, str] = {}
        self._depth = 0

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if isinstance(value, Enum) else self.text(str.__str__(value))
        if isinstance(value, _CONSTANTS) or _is_number(value):
            return cast(Any, value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(bytes(cast('bytes', value)))
        if (seen := self._seen.get(id(value))) is not None:
            return seen[1]
        if self._depth >= MAX_DEPTH:
            return _withheld(value)
        self._depth += 1
        try:
            return self._container(value)
        finally:
            self._depth -= 1

    def text(self, text: str) -> str:
        """Map a text."""
        result = self._texts.get(text)
        if result is None:
            result = self._function(text)
            if not isinstance(cast(object, result), str):
                raise TypeError(f'A text must be mapped to a str, not to {type(result).__name__}.')
            self._texts[text] = result
        return result

    def _bytes(self, value: bytes) -> bytes:
        try:
            return self.text(value.decode()).encode()
        except UnicodeError:
            return b''

    def _container(self, value: Any) -> Any:
        if isinstance(value, dict | types.MappingProxyType):
            return self._mapping(cast('Mapping[Any, Any]', value))
        if isinstance(value, list):
            entries = cast('list[Any]', value)
            items: list[Any] = self._remember(entries, [])
            items.extend(map(self, entries))
            return items
        if isinstance(value, tuple):
            return self._tuple(cast('tuple[Any, ...]', value))
        if isinstance(value, set | frozenset):
            return self._set(cast('set[Any] | frozenset[Any]', value))
        if isinstance(value, deque):
            queue = cast('deque[Any]', value)
            copy: deque[Any] = self._remember(queue, deque(maxlen=queue.maxlen))
            copy.extend(map(self, queue))
            return copy
        if isinstance(value, BaseException):
            return self._error(value)
        return self._object(value)

    def _set(self, value: set[Any] | frozenset[Any]) -> set[Any] | frozenset[Any]:
        if isinstance(value, frozenset):
            return frozenset(map(self, value))
        return set(map(self, value))

    def _remember(self, value: object, copy: Any) -> Any:
        self._seen[id(value)] = (value, copy)
        return copy

    def _mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        copy: dict[Any, Any] = OrderedDict() if isinstance(value, OrderedDict) else {}
        self._remember(value, copy)
        for key, each in value.items():
            name: Any = self(key)
            if name in copy:
                # Keys that become the same must not hide each other's values.
                name = next(other for n in range(2, len(copy) + 3) if (other := f'{name} ({n})') not in copy)
            copy[name] = self._under(key, each)
        return copy

    def _under(self, name: object, value: Any) -> Any:
        """Map what a name stands for."""
        if self._marked is not None and isinstance(name, str) and (mark := self._marked(name)) is not None:
            return ValueMapper(lambda _: mark, None)(value)
        return self(value)

    def _tuple(self, value: tuple[Any, ...]) -> Any:
        cls = type(value)
        names = cast('tuple[str, ...]', getattr(cls, '_fields', ()))
        is_named = len(names) == len(value) and bool(names)
        items: list[Any] = list(map(self._under, names, value)) if is_named else list(map(self, value))
        if (seen := self._seen.get(id(value))) is not None:
            # It holds itself, by way of something else, and was copied there.
            return seen[1]
        return self._remember(value, cast(Any, tuple).__new__(cls, items) if is_named else tuple(items))

    def _error(self, error: BaseException) -> BaseException:
        text = self.text(text_of(error))
        # Until there is a copy: an error may be one of its own arguments.
        self._remember(error, _withheld(error))
        arguments: tuple[Any, ...] = tuple(map(self, error.args))
        cls = type(error)
        copy = new_error((cls, *restatements(cls)), arguments)
        self._fill(error, copy)
        if text_of(copy) != text:
            # Its text comes from somewhere else than its arguments and attributes.
            copy = new_error(restatements(cls), arguments)
            self._fill(error, copy)
            object.__setattr__(copy, '_restated', text)
        # The traceback is left out: its frames hold the variables of the code.
        copy.__cause__ = error_or_none(self(error.__cause__))
        copy.__context__ = error_or_none(self(error.__context__))
        copy.__suppress_context__ = error.__suppress_context__
        return copy

    def _object(self, value: Any) -> Any:
        cls = cast('type[Any]', type(value))
        if isinstance(value, Enum | UsageBase):
            return value
        if isinstance(value, _WRITTEN) or callable(getattr(cls, 'unicode_string', None)):
            return self._written(value)
        if hasattr(cls, '__del__') or not (
            dataclasses.is_dataclass(cls) or issubclass(cls, BaseModel) or hasattr(cls, '__attrs_attrs__')
        ):
            # A copy could close what it shares with the original, and a walk could go through the whole application.
            return _withheld(value)
        try:
            copy: Any = object.__new__(cls)
        except TypeError:
            return _withheld(value)
        self._fill(value, copy)
        return copy

    def _written(self, value: object) -> Any:
        text = str(value)
        mapped = self.text(text)
        if mapped == text:
            return value
        try:
            return cast('Callable[[str], Any]', type(value))(mapped)
        except ValueError:
            return mapped

    def _fill(self, value: Any, copy: Any) -> None:
        """Give a copy the attributes of its original, without running code of theirs."""
        self._remember(value, copy)
        cls = cast('type[Any]', type(value))
        literals = _literals_of(cls)
        is_message = isinstance(value, ModelRequest | ModelResponse)
        for name, each in _attributes_of(value):
            if name == '__pydantic_fields_set__':
                fields = _field_names(cls)
                mapped: Any = {each_name if each_name in fields else self(each_name) for each_name in each}
            elif is_message and name == 'history_digest':
                # A digest lets guesses at the text be tested.
                mapped = None
            elif (is_message and name in _IDS) or (isinstance(each, str) and each in literals.get(name, ())):
                mapped = each
            else:
                mapped = self._under(name, each)
            object.__setattr__(copy, name, mapped)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Number) and not getattr(value, '__dict__', None)


def _withheld(value: object) -> str:
    return f'<{type(value).__name__} withheld>'


def _attributes_of(value: object) -> Iterator[tuple[str, Any]]:
    """The attributes in an object's slots and its `__dict__`."""
    for cls in type(value).__mro__:
        slots: str | Iterable[str] = vars(cls).get('__slots__', ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot in ('__dict__', '__weakref__'):
                continue
            if slot.startswith('__') and not slot.endswith('__'):
                slot = f'_{cls.__name__.lstrip("_")}{slot}'
            try:
                yield slot, object.__getattribute__(value, slot)
            except AttributeError:
                continue
    yield from list(cast('dict[str, Any]', getattr(value, '__dict__', {})).items())


def _field_names(cls: type[Any]) -> Collection[str]:
    return cls.model_fields if issubclass(cls, BaseModel) else ()


@lru_cache(maxsize=512)
def _literals_of(cls: type[Any]) -> Mapping[str, frozenset[str]]:
    """The texts that a class's annotations name as possible values of its fields, such as discriminators."""
    try:
        hints = typing.get_type_hints(cls)
    except Exception:
        # An annotation that cannot be read names nothing.
        return {}
    found = {name: frozenset(_literals_in(hint)) for name, hint in hints.items()}
    return {name: texts for name, texts in found.items() if texts}


def _literals_in(hint: Any) -> Iterator[str]:
    arguments = get_args(hint)
    if typing.get_origin(hint) is Literal:
        yield from (each for each in arguments if isinstance(each, str))
    elif isinstance(hint, typing.TypeVar):
        yield from _literals_in(getattr(hint, '__default__', None))
    elif typing.get_origin(hint) in (typing.Union, types.UnionType, typing.Annotated):
        for each in arguments:
            yield from _literals_in(each)
