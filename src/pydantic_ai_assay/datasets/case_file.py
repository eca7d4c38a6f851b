"""A dataset file of pydantic-evals: what it has, and what is added to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic_evals import Dataset

from ..errors import ConfigurationError, describe
from .case import RUN_KEY
from .plain import plain_json
from .replacement import read_text, replace_text

__all__ = ('CaseFile',)

_SafeDumper: Any = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)
_SafeLoader: Any = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


class _Dumper(_SafeDumper):
    """Writes texts of several lines as lines, and the same thing twice where it is there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar('tag:yaml.org,2002:str', text, style='|' if '\n' in text else None)


_Dumper.add_representer(str, _represent_text)


def _entry(mapping: Any, name: str) -> Any:
    return cast('dict[str, Any]', mapping).get(name) if isinstance(mapping, dict) else None


class CaseFile:
    """The cases in a file, by name."""

    def __init__(self, path: Path, *, name: str | None, append: bool, distinct_inputs: bool) -> None:
        """Read what is there.

        Raises:
            ConfigurationError: If there is something that cannot be added to.
        """
        self._path = path
        self._is_yaml = path.suffix.lower() in ('.yaml', '.yml')
        self._distinct_inputs = distinct_inputs
        self._comments = ''
        self._document: dict[str, Any] = {'name': name or path.stem, 'cases': []}
        text = read_text(path) if append else None
        if text is not None:
            self._document = self._read(text)
            if name is not None:
                self._document['name'] = name
        self._known = {key for case in self._cases for key in self._keys(case)}

    @property
    def _cases(self) -> list[dict[str, Any]]:
        return self._document['cases']

    def __len__(self) -> int:
        return len(self._cases)

    def add(self, case: dict[str, Any]) -> bool:
        """Add a case. Returns whether it was not there yet."""
        keys = self._keys(case)
        if not self._known.isdisjoint(keys):
            return False
        self._known.update(keys)
        self._cases.append(case)
        return True

    def write(self) -> None:
        """Write the file."""
        if self._is_yaml:
            text = self._comments + yaml.dump(
                self._document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
            )
        else:
            text = json.dumps(self._document, ensure_ascii=False, indent=2) + '\n'
        replace_text(self._path, text)

    def _keys(self, case: Mapping[str, Any]) -> set[str]:
        """What must be there once only. A case that somebody has renamed still knows its run."""
        run_id = _entry(_entry(case.get('metadata'), RUN_KEY), 'run_id')
        keys = {f'run {name}' for name in (case.get('name'), run_id) if name is not None}
        if self._distinct_inputs:
            keys.add(f'inputs {plain_json(case.get("inputs"))}')
        return keys

    def _read(self, text: str) -> dict[str, Any]:
        try:
            document: Any = yaml.load(text, Loader=_SafeLoader) if self._is_yaml else json.loads(text)
            # As it will be read; evaluators of one's own need not be known for that.
            cases: list[dict[str, Any]] = [{**case, 'evaluators': []} for case in document['cases']]
            Dataset[Any, Any, Any].from_dict({'name': self._path.stem, 'cases': cases})
        except Exception as error:
            raise ConfigurationError(
                f'{self._path} cannot be added to, for it is no dataset of pydantic-evals: {describe(error)}'
            ) from error
        lines = text.splitlines(keepends=True) if self._is_yaml else []
        while lines and lines[0].startswith('#'):
            self._comments += lines.pop(0)
        return cast('dict[str, Any]', document)
