"""Which evaluator a score comes from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ('EvaluatorIdentity',)


@dataclass(frozen=True, kw_only=True)
class EvaluatorIdentity:
    """Name, version and fingerprint of an evaluator. Scores of evaluators that differ in one of them are not alike."""

    name: str
    """The evaluator's name."""
    version: str | None = None
    """The version it gives itself."""
    fingerprint: str | None = None
    """Hash of what it does: class, settings, rubric, model."""

    def __str__(self) -> str:
        version = '' if self.version is None else f' {self.version}'
        fingerprint = '' if self.fingerprint is None else f' ({self.fingerprint})'
        return f'{self.name}{version}{fingerprint}'
