"""A stretch of time, as a person says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import ConfigurationError
from ..store.retention import duration_of

__all__ = ('Window', 'moment_of')


@dataclass(kw_only=True, frozen=True)
class Window:
    """From one time to another."""

    since: datetime
    """The runs started at this time or later."""
    until: datetime
    """And before this time."""

    @classmethod
    def of(cls, since: str, until: str | None = None, *, now: datetime | None = None) -> Window:
        """A window between two times, each as `moment_of` takes it.

        Args:
            since: Where it begins.
            until: Where it ends; now if left out.
            now: What is now.

        Raises:
            ConfigurationError: If one of them is no time, or it ends before it begins.
        """
        now = datetime.now(UTC) if now is None else now
        window = cls(
            since=moment_of('since', since, now=now), until=now if until is None else moment_of('until', until, now=now)
        )
        if window.until <= window.since:
            raise ConfigurationError(
                f'the window must end after it begins, got {window.since.isoformat()} to {window.until.isoformat()}.'
            )
        return window


def moment_of(name: str, text: str, *, now: datetime) -> datetime:
    """A time: how long ago, such as `'7d'`, or a date, with or without a time. Without a time zone it is UTC.

    Raises:
        ConfigurationError: If it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            ago = duration_of(name, text)
            assert ago is not None
            return now - ago
        except (ConfigurationError, OverflowError):
            raise ConfigurationError(
                f"{name} must say how long ago, such as '7d', '12h' or '90m', or be a date or time such as "
                f"'2026-05-04' or '2026-05-04T12:00', got {text!r}."
            ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
