"""Copies of exceptions that keep their kind and not their text."""

from __future__ import annotations

import types
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

__all__ = ('error_or_none', 'new_error', 'restatements', 'text_of')


def error_or_none(value: object) -> BaseException | None:
    """The value, if it is an exception: one that lies too deep was withheld."""
    return value if isinstance(value, BaseException) else None


def text_of(error: BaseException) -> str:
    """What an error says, whatever its text does when it is asked for."""
    try:
        return str(error)
    except Exception as second:
        return f'(its text raised {type(second).__name__})'


def new_error(classes: Sequence[type[BaseException]], arguments: tuple[Any, ...]) -> BaseException:
    """Make an error of the first of the classes that allows it, as the last one does, without running code of its own."""
    first, *others = classes
    try:
        return _new(first, arguments)
    except (TypeError, ValueError):
        return new_error(others, arguments)


def _new(cls: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    new = next(new for each in cls.__mro__ if isinstance(new := vars(each).get('__new__'), types.BuiltinFunctionType))
    error = cast(BaseException, new(cls, *arguments))
    error.args = arguments
    return error


@lru_cache(maxsize=512)
def restatements(cls: type[BaseException]) -> tuple[type[BaseException], ...]:
    """Classes that go by the name of `cls` and show a given text, the one nearest to it in kind first, a bare one last."""
    namespace: dict[str, Any] = {
        '__module__': cls.__module__,
        '__qualname__': cls.__qualname__,
        '__str__': _restated_text,
        '__repr__': _restated_repr,
    }
    return tuple(
        type(cls.__name__, (each,), dict(namespace))
        for each in cls.__mro__
        # Deriving a class from another may run code of that one, which could take it for one of the application's.
        if issubclass(each, BaseException)
        and type(each) is type
        and not isinstance(each.__init_subclass__, types.MethodType)
    )


def _restated_text(error: BaseException) -> str:
    return vars(error).get('_restated', '')


def _restated_repr(error: BaseException) -> str:
    return f'{type(error).__name__}({_restated_text(error)!r})'
