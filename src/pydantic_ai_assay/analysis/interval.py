"""Two numbers with what is estimated between them, at a stated level."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError

__all__ = ('Interval', 'check_level')


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    lower: float
    """Its lower end."""
    upper: float
    """Its upper end."""

    @property
    def width(self) -> float:
        """How far its ends lie apart."""
        return self.upper - self.lower

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


def check_level(level: object) -> float:
    """The level, if it is one.

    Raises:
        ConfigurationError: If it is not a number between 0 and 1.
    """
    if isinstance(level, int | float) and 0.0 < level < 1.0:
        return float(level)
    raise ConfigurationError(f'level must be a number between 0 and 1, such as 0.95, got {level!r}.')
