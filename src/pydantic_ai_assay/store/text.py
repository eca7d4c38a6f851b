"""Texts in a form that every database takes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from .schema import SHORT

__all__ = ('clean_text', 'path_text', 'preview_text', 'safe_repr', 'short_text', 'type_name')

PREVIEW = 500
"""Characters of a prompt or an output that lists show."""
MAX_REPR = 2_000
MAX_PATH = 50
_UNSTORABLE = re.compile('[\x00\ud800-\udfff]')
_DIGITS = 32


def clean_text(text: str) -> str:
    """The text with NUL and lone surrogates, which PostgreSQL refuses, written as escapes."""
    if text.isascii() and '\x00' not in text:
        return text
    return _UNSTORABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def short_text(text: str) -> str:
    """A name, a label or an id, shortened where it is too long, so that different ones stay different."""
    if len(text) <= SHORT and text.isascii() and '\x00' not in text:
        return text
    cleaned = clean_text(text)
    if len(cleaned) <= SHORT:
        return cleaned
    digest = sha256(text.encode(errors='surrogatepass')).hexdigest()[:_DIGITS]
    return f'{cleaned[: SHORT - _DIGITS - 1]}…{digest}'


def preview_text(text: str) -> str:
    """The beginning of a text."""
    return clean_text(text if len(text) <= PREVIEW else f'{text[: PREVIEW - 1]}…')


def path_text(path: Sequence[str]) -> str:
    """An agent path as one text, of which the path of an agent further out is the beginning."""
    return _path_text(tuple(map(short_text, path[:MAX_PATH])))


@lru_cache(maxsize=1_000)
def _path_text(names: tuple[str, ...]) -> str:
    return json.dumps(names, ensure_ascii=False)


def safe_repr(value: object) -> str:
    """What a value shows of itself, shortened, whatever happens when it is asked for it."""
    try:
        shown = repr(value)
    except BaseException as error:
        return f'<{type(value).__name__}, whose repr raised {type(error).__name__}>'
    return shown if len(shown) <= MAX_REPR else f'{shown[:MAX_REPR]}… [{len(shown) - MAX_REPR} characters left out]'


def type_name(cls: type) -> str:
    """A class's module and name."""
    return f'{cls.__module__}.{cls.__qualname__}'
