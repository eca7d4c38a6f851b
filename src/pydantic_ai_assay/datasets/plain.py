"""Values of runs as others read them: made of texts, numbers, lists and mappings."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, cast

from pydantic_core import to_jsonable_python

__all__ = ('plain', 'plain_json', 'plain_text')


def plain(value: Any) -> Any:
    """A value of nothing but texts, numbers, lists and mappings; what has no such form is the text that it shows."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        # Lone surrogates fit into no file.
        return value.encode(errors='replace').decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(each) for name, each in cast('Mapping[Any, Any]', value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in cast('Collection[Any]', value)]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    from ..store.stand_in import StoredValue, fields_in

    if isinstance(value, StoredValue):
        return plain(fields_in(value) or repr(value))
    if isinstance(value, BaseException):
        return plain(repr(value))
    return plain(to_jsonable_python(value, fallback=repr, bytes_mode='base64', inf_nan_mode='strings'))


def plain_json(value: Any) -> str:
    """A plain value as JSON: the same for the same value."""
    return json.dumps(plain(value), ensure_ascii=False, sort_keys=True)


def plain_text(value: Any) -> str:
    """A value as one text: itself where it is one, else JSON."""
    made = plain(value)
    return made if isinstance(made, str) else '' if made is None else json.dumps(made, ensure_ascii=False)
