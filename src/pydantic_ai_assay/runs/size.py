"""An estimate of the memory that a run's record holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, cast

from .record import RunRecord

__all__ = ('estimate_size',)

_MAX_VISITS = 5_000
_OBJECT = 64


def estimate_size(run: RunRecord) -> int:
    """Bytes held by a run's messages, input, output, metadata and spans, by estimate; dependencies are not counted.

    The walk goes into builtin containers and the attributes of objects, runs no code of theirs, and ends after 5,000
    objects, which takes a few milliseconds.
    """
    total = 0
    seen: set[int] = set()
    stack: list[Any] = [run.attributes, run.metadata, run.messages, run.inputs, run.output]
    if run.spans is not None:
        # Attributes of spans are flat, so that they need no walk.
        total += sum(_flat_size(span.attributes) for span in run.spans.all_spans())
    visits = 0
    while stack and visits < _MAX_VISITS:
        value = stack.pop()
        visits += 1
        if value is None or isinstance(value, bool | int | float) or id(value) in seen:
            continue
        seen.add(id(value))
        total += _OBJECT
        cls = cast('type[Any]', type(value))
        if issubclass(cls, str | bytes | bytearray):
            total += len(value)
        elif cls is dict:
            stack.extend(islice(value.values(), _MAX_VISITS - visits))
        elif cls is list or cls is tuple:
            # Where a sequence is too long, its end counts: what is newest in a conversation.
            stack.extend(cast('Sequence[Any]', value)[visits - _MAX_VISITS :])
        elif cls is set or cls is frozenset:
            stack.extend(islice(cast('Iterable[Any]', value), _MAX_VISITS - visits))
        else:
            attributes = getattr(cls, '__dict__', None) and _attributes_of(value)
            if attributes:
                stack.append(attributes)
    return total


def _attributes_of(value: object) -> dict[str, Any] | None:
    try:
        return object.__getattribute__(value, '__dict__')
    except AttributeError:
        return None


def _flat_size(attributes: Mapping[str, Any] | None) -> int:
    return sum(_OBJECT + len(value) for value in (attributes or {}).values() if isinstance(value, str))
