"""What waits to be written, within a bound of bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .entry import Entry

__all__ = ('Spool',)


class Spool:
    """Entries in the order in which they came. Used by one thread."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self.ready_bytes = 0
        """Bytes of the entries that have not been taken out, by estimate."""
        self.bytes = 0
        """Bytes of those as well that were taken out and are not written."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> bool:
        """Add an entry, if it still fits. Returns whether it does."""
        if self.bytes + entry.size > self._max_bytes:
            return False
        self._entries.append(entry)
        self.bytes += entry.size
        self.ready_bytes += entry.size
        return True

    def take(self, *, entries: int, size: int) -> Sequence[Entry]:
        """Take the oldest entries out: at least one, if there is any, and no more than fit into a batch."""
        taken: list[Entry] = []
        while self._entries and len(taken) < entries and (not taken or size >= self._entries[0].size):
            entry = self._entries.popleft()
            self.ready_bytes -= entry.size
            size -= entry.size
            taken.append(entry)
        return taken

    def let_go(self, entries: Sequence[Entry]) -> None:
        """Forget entries that were taken out: they are written, or never will be."""
        self.bytes -= sum([entry.size for entry in entries])
