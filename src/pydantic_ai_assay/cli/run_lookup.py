"""The run that somebody means by an id, or by the beginning of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..store.reader import Reader
    from ..store.rows import StoredRun

__all__ = ('find_run',)

RECENT = 1_000
"""Runs among which one with a similar id is looked for."""
LISTED = 3
"""Ids that are named where none is similar, or several begin so. They are long."""


def find_run(reader: Reader, run_id: str) -> StoredRun:
    """The run.

    Raises:
        UnknownRunError: If there is none, or more than one, with the ids that may be meant.
        UnknownNameError: If there is none, and no run at all or one with a similar id.
    """
    from ..reports.names import UnknownNameError, near
    from ..store.errors import UnknownRunError

    try:
        return reader.run(run_id)
    except UnknownRunError as error:
        recent = [each.run_id for each in reader.runs(limit=RECENT).items]
        meant = [each for each in recent if each.startswith(run_id)] if run_id else []
        if not recent or (not meant and near(run_id, recent)):
            raise UnknownNameError('run', run_id, recent) from error
        what = str(error) if meant else f'There is no run {run_id!r}.'
        listed = ', '.join((meant or recent)[:LISTED])
        raise UnknownRunError(f'{what} The latest{" of them" if meant else ""}: {listed}.') from error
