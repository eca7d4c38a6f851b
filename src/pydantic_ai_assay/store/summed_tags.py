"""The tags that sums are kept of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from .schema import CELLS

__all__ = ('MAX_SUMMED_TAGS', 'OTHER_TAGS', 'SummedTags')

MAX_SUMMED_TAGS = 1_000
"""Different tags in a store that have sums of their own. Tags that are new for every run would make more sums than runs, and
sums are kept for good."""
OTHER_TAGS = '(other tags)'
"""What the runs of all further tags are summed under."""


class SummedTags:
    """Which tags have sums of their own, as far as one writer knows. Those that have some keep having them."""

    def __init__(self) -> None:
        self._own: set[str] = set()

    def forget(self) -> None:
        """Forget what is known of the database."""
        self._own.clear()

    def admit(self, connection: Connection, tags: Iterable[str]) -> None:
        """Let new tags have sums of their own, in their order, while there is room."""
        new = [tag for tag in dict.fromkeys(tags) if tag not in self._own]
        if not new or len(self._own) >= MAX_SUMMED_TAGS:
            return
        there = connection.execute(select(CELLS.c.tag).where(CELLS.c.tag.not_in(('', OTHER_TAGS))).distinct())
        self._own.update(there.scalars())
        self._own.update([tag for tag in new if tag not in self._own][: max(0, MAX_SUMMED_TAGS - len(self._own))])

    def of(self, tags: Iterable[str]) -> Iterable[str]:
        """What a run with these tags is summed under, each once."""
        return dict.fromkeys(tag if tag in self._own else OTHER_TAGS for tag in tags)
