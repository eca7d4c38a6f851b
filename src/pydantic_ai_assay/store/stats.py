"""What has become of what a store was handed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ('StoreStats',)


@dataclass(kw_only=True, frozen=True)
class StoreStats:
    """What has become of what a store was handed in this process. A snapshot."""

    submitted: int = 0
    """Runs handed over; one that is handed over in parts counts as often."""
    written_runs: int = 0
    """Runs written that were not there."""
    written_outcomes: int = 0
    """Outcomes written that were not there."""
    waiting: int = 0
    """Runs that wait to be written."""
    waiting_bytes: int = 0
    """Bytes that those hold which are ready to be written, by estimate."""
    given_up: int = 0
    """Runs that were given up because too many waited."""
    refused: int = 0
    """Runs that could not be stored, or outcomes of runs that are not in the store."""
    last_error: str | None = None
    """What the last attempt to write ended with; `None` if it succeeded."""
