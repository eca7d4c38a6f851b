"""Who an evaluator is: its name, its version, and a fingerprint of what it does."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from pydantic_core import to_json
from pydantic_evals.evaluators import Evaluator, EvaluatorSpec

__all__ = ('EvaluatorIdentity', 'identify')

_MEMORY_ADDRESS = re.compile(rb' at 0x[0-9a-fA-F]+')


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
    name = str(evaluator.get_default_evaluation_name())
    version = evaluator.get_evaluator_version()
    source = evaluator.as_spec()
    cls = type(evaluator)
    # The spec leaves out settings that have their default, and a default may change.
    settings = {field.name: getattr(evaluator, field.name) for field in fields(evaluator)}
    document = to_json(
        {'class': f'{cls.__module__}.{cls.__qualname__}', 'version': version, 'settings': settings},
        serialize_unknown=True,
        inf_nan_mode='constants',
    )
    # Settings without a JSON form are shown by their repr, whose memory address differs in each process.
    fingerprint = sha256(_MEMORY_ADDRESS.sub(b'', document)).hexdigest()[:16]
    return EvaluatorIdentity(name=name, version=version, fingerprint=fingerprint, source=source)
