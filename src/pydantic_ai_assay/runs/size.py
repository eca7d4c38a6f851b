"""An estimate of the memory that a run's record holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, cast

from .record import RunRecord

__all__ = ('estimate_size',)

_MAX_VISITS = 20_000
_OBJECT = 64


def estimate_size(run: RunRecord) -> int:
    """Bytes held by a run's messages, input, output, metadata and spans, by estimate; dependencies are not counted.

    The walk ends after 20,000 objects, so that it takes milliseconds at the most.
    """
    total = 0
    seen: set[int] = set()
    queue: deque[Any] = deque([run.messages, run.inputs, run.output, run.metadata, run.attributes])
    if run.spans is not None:
        queue.extend(span.attributes for span in run.spans.all_spans())
    visits = 0
    while queue and visits < _MAX_VISITS:
        value = queue.popleft()
        visits += 1
        if value is None or isinstance(value, bool | int | float):
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, str | bytes | bytearray):
            total += _OBJECT + len(value)
        elif isinstance(value, Mapping):
            mapping = cast('Mapping[Any, Any]', value)
            total += _OBJECT
            queue.extend(mapping.keys())
            queue.extend(mapping.values())
        elif isinstance(value, list | tuple | set | frozenset):
            total += _OBJECT
            queue.extend(cast('Collection[Any]', value))
        else:
            total += _OBJECT
            queue.append(getattr(value, '__dict__', None))
    return total
