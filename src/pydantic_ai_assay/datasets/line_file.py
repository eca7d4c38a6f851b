"""A file of one JSON document a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .plain import plain_json
from .replacement import read_text, replace_text

__all__ = ('LineFile',)


class LineFile:
    """The examples in a file. Two that say the same are one: such files have no place for the id of a run."""

    def __init__(self, path: Path, *, append: bool) -> None:
        """Read what is there.

        Raises:
            ConfigurationError: If there is something that cannot be added to.
        """
        self._path = path
        self._lines = (read_text(path) or '').split('\n') if append else []
        self._lines = [line for line in self._lines if line.strip()]
        self._known = {self._key(number, line) for number, line in enumerate(self._lines, 1)}

    def __len__(self) -> int:
        return len(self._lines)

    def _key(self, number: int, line: str) -> str:
        try:
            return plain_json(json.loads(line))
        except ValueError as error:
            raise ConfigurationError(
                f'{self._path} cannot be added to, for its line {number} is no JSON: {error}.'
            ) from error

    def add(self, example: Any) -> bool:
        """Add an example. Returns whether it was not there yet."""
        key = plain_json(example)
        if key in self._known:
            return False
        self._known.add(key)
        self._lines.append(json.dumps(example, ensure_ascii=False))
        return True

    def write(self) -> None:
        """Write the file."""
        replace_text(self._path, ''.join(f'{line}\n' for line in self._lines))
