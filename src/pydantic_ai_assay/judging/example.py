"""A graded example: what a judge is shown to grade alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, cast

from ..errors import ConfigurationError
from .case import MISSING

__all__ = ('Example',)


@dataclass(frozen=True)
class Example:
    """A case that was graded correctly, for `Judge(examples=[...])`."""

    output: Any
    """What was judged."""
    verdict: bool | int | float | str
    """What the judge should say: whether it passes, a score on the judge's scale, or one of its labels."""
    _: KW_ONLY
    reason: str | None = None
    """Why."""
    input: Any = field(default_factory=lambda: MISSING)
    """The prompt that the output answers."""
    reference: Any = field(default_factory=lambda: MISSING)
    """What the output should have been."""

    def __post_init__(self) -> None:
        """Check the reason; the verdict is checked by the judge."""
        reason = cast(object, self.reason)
        if reason is not None and not isinstance(reason, str):
            raise ConfigurationError(f'The reason of an example must be None or a text, got {reason!r}.')

    @classmethod
    def of(cls, value: object) -> Example:
        """An example, or one made of a mapping as a YAML file has it.

        Raises:
            ConfigurationError: If it is neither.
        """
        if isinstance(value, Example):
            return value
        names = [each.name for each in fields(cls)]
        if isinstance(value, Mapping):
            given = dict(cast('Mapping[Any, Any]', value))
            if {'output', 'verdict'} <= given.keys() and given.keys() <= set(names):
                return cls(**given)
        raise ConfigurationError(
            f'examples must be `Example` objects, or mappings with output, verdict and any of {", ".join(names[2:])}; '
            f'got {value!r}.'
        )

    def as_data(self) -> dict[str, Any]:
        """What was given, as a mapping."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: value for name, value in given.items() if value is not MISSING and (name, value) != ('reason', None)
        }
