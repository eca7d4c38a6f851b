"""What stands for objects that a store does not keep as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pydantic_core import SchemaSerializer, core_schema

from .text import clean_text, type_name

__all__ = ('Restoring', 'StoredError', 'StoredValue', 'class_name', 'fields_in', 'stand_in', 'stored_error')

_OWN = '$'
"""Where an object keeps what is not a field: no field is called so."""


class StoredValue:
    """Stands for an object that has no JSON form: it shows what the object showed, and has its fields as attributes.

    Its class goes by the name of the object's. Where there are fields, it equals what has the same ones and a class of that
    name, and serializes as the object would, so that evaluators see in it what they saw in the object.
    """

    type_name: str
    """The module and name of the object's class."""
    shown: str
    """The object's `repr`, or why it was left out."""
    fields: Mapping[str, Any]
    """The fields of a dataclass, a named tuple or a model. One of them that is called `fields`, `shown` or `type_name` takes
    the place of the attribute."""
    __is_model_like__ = False

    def __init__(self, *, type_name: str, shown: str, fields: Mapping[str, Any] | None = None) -> None:
        # Apart from the fields, whatever they are called.
        self.__dict__[_OWN] = {'type_name': type_name, 'shown': shown, 'fields': fields or {}}

    def __getattr__(self, name: str) -> Any:
        own: dict[str, Any] = self.__dict__[_OWN]
        fields = own['fields']
        if name in fields:
            return fields[name]
        if name in own:
            return own[name]
        raise AttributeError(f'The stored {own["type_name"]} has no field {name!r}.')

    def __repr__(self) -> str:
        return self.__dict__[_OWN]['shown']

    def __eq__(self, other: object) -> bool:
        own: dict[str, Any] = self.__dict__[_OWN]
        if self is other or not own['fields']:
            return self is other
        if not isinstance(other, StoredValue):
            other = Restoring.once_stored(other)
        if not isinstance(other, StoredValue):
            return False
        others: dict[str, Any] = other.__dict__[_OWN]
        return (own['type_name'], own['fields']) == (others['type_name'], others['fields'])

    def __hash__(self) -> int:
        return hash(self.__dict__[_OWN]['type_name'])

    def __reduce__(self) -> tuple[Callable[..., StoredValue], tuple[Any, ...]]:
        return stand_in, tuple(self.__dict__[_OWN].values())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return _SERIALIZED

    __pydantic_serializer__: ClassVar[SchemaSerializer]


class Restoring:
    """How objects become what stands for them."""

    once_stored: ClassVar[Callable[[object], object]] = type
    """Returns what a value comes back as; a class, which equals no stand-in, where values are not read or written."""


def fields_in(value: StoredValue) -> dict[str, Any]:
    """The fields of the object that it stands for, whatever they are called."""
    return dict(value.__dict__[_OWN]['fields'])


def class_name(value: object) -> str:
    """The module and name of the class of an object, or of that which it stands for."""
    if isinstance(value, StoredValue):
        return value.__dict__[_OWN]['type_name']
    return value.type_name if isinstance(value, StoredError) else type_name(type(value))


def _serialized(value: StoredValue) -> dict[str, Any]:
    return fields_in(value) or dict(value.__dict__[_OWN])


_SERIALIZED = core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(_serialized))
StoredValue.__pydantic_serializer__ = SchemaSerializer(_SERIALIZED)


def stand_in(type_name: str, shown: str, fields: Mapping[str, Any]) -> StoredValue:
    """What stands for an object of a class."""
    return _class_for(StoredValue, type_name, bool(fields))(type_name=type_name, shown=shown, fields=fields)


@lru_cache(maxsize=1_000)
def _class_for(cls: type[Any], type_name: str, is_model_like: bool = False) -> type[Any]:
    """A class by the name of another, which evaluators may ask for."""
    head, bracket, parameters = clean_text(type_name).partition('[')
    name = f'{head.rpartition(".")[2]}{bracket}{parameters}'
    return type(name, (cls,), {'__module__': __name__, '__is_model_like__': is_model_like})


class StoredError(Exception):
    """Stands for the error that a run ended with. Its class goes by the name of the error's."""

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(text)
        self.type_name = type_name
        """The module and name of the error's class."""

    def __repr__(self) -> str:
        return f'{self.type_name.rpartition(".")[2]}({str(self)!r})'

    def __reduce__(self) -> tuple[Callable[..., StoredError], tuple[Any, ...]]:
        return stored_error, (self.type_name, str(self))


def stored_error(type_name: str, text: str) -> StoredError:
    """What stands for an error of a class."""
    return _class_for(StoredError, type_name)(type_name, text)
