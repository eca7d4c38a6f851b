"""Properties that are computed once."""

from __future__ import annotations

import functools
from typing import Any, TypeVar, overload

__all__ = ('cached_property',)

_T = TypeVar('_T')


class cached_property(functools.cached_property[_T]):
    """That of `functools`, without the lock that it has in Python 3.11.

    All objects of a class share that lock, and a thread that holds it in the moment of a fork leaves it held in the child.
    Where two threads compute a value at once, one of the two stays, as from Python 3.12 on.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> cached_property[_T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> _T: ...

    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> cached_property[_T] | _T:
        """Compute the value, and keep it where it is found before this is asked again."""
        if instance is None:
            return self
        assert self.attrname is not None
        return vars(instance).setdefault(self.attrname, self.func(instance))
