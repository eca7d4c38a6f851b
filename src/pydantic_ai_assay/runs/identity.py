"""Who an evaluator is: its name, its version, and a fingerprint of what it does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from hashlib import sha256
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from pydantic_evals.evaluators import Evaluator, EvaluatorSpec, LLMJudge

__all__ = ('EvaluatorIdentity', 'identify')

_MEMORY_ADDRESS = re.compile(r' at 0x[0-9a-fA-F]+')


@dataclass(kw_only=True, frozen=True)
class EvaluatorIdentity:
    """An evaluator's name, version, fingerprint and spec."""

    name: str
    """The name results are reported under."""
    version: str | None
    """The version the evaluator gives itself, if any."""
    fingerprint: str
    """The first 16 hex digits of SHA-256 over class, settings and version: equal if and only if those are."""
    source: EvaluatorSpec
    """The evaluator's class name and settings."""


def identify(evaluator: Evaluator[Any, Any, Any]) -> EvaluatorIdentity:
    """Read an evaluator's identity.

    Raises:
        Exception: Whatever the evaluator's own naming, versioning or serialization raises.
    """
    name = _name_of(evaluator)
    version = evaluator.get_evaluator_version()
    source = evaluator.as_spec()
    cls = type(evaluator)
    settings = _settings_of(evaluator)
    document = json.dumps(
        [f'{cls.__module__}.{cls.__qualname__}', version, _canonical(settings)], sort_keys=True, default=str
    )
    # Settings without a JSON form are shown by their repr, whose memory address differs in each process.
    fingerprint = sha256(_MEMORY_ADDRESS.sub('', document).encode()).hexdigest()[:16]
    return EvaluatorIdentity(name=name, version=version, fingerprint=fingerprint, source=source)


def _name_of(evaluator: Evaluator[Any, Any, Any]) -> str:
    if isinstance(evaluator, LLMJudge):
        # Its results go by the names in these, and two judges with different names are no namesakes.
        for settings in (evaluator.assertion, evaluator.score):
            name = settings.get('evaluation_name') if settings else None
            if name:
                return name
    return str(evaluator.get_default_evaluation_name())


def _settings_of(value: Any) -> dict[str, Any]:
    """What tells an evaluator, or something that it holds, from others of its class.

    Whatever has a method `fingerprint_settings` says so itself; else it is the fields that are passed when it is made.
    """
    own = getattr(value, 'fingerprint_settings', None)
    if callable(own):
        return dict(cast('Mapping[str, Any]', own()))
    # Not the spec, which leaves out settings that have their default: a default may change.
    return {field.name: getattr(value, field.name) for field in fields(value) if field.init}


def _canonical(value: Any) -> Any:
    """A JSON form that does not depend on the order of sets and mappings."""
    if isinstance(value, BaseModel):
        return _canonical({'': type(value).__qualname__, **dict(value)})
    if is_dataclass(value) and not isinstance(value, type):
        return _canonical({'': type(value).__qualname__, **_settings_of(value)})
    if isinstance(value, Mapping):
        items = cast('Mapping[Any, Any]', value).items()
        return {str(key): _canonical(item) for key, item in items}
    if isinstance(value, set | frozenset):
        members = cast('Set[Any]', value)
        return sorted(json.dumps(_canonical(member), sort_keys=True, default=str) for member in members)
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in cast('Sequence[Any]', value)]
    return to_jsonable_python(value, serialize_unknown=True, inf_nan_mode='strings')
