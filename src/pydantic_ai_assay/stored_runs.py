"""Going through the runs of a store, any number of them, while others write to it and delete from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast

from .runs.clock import TIMEKEEPER

if TYPE_CHECKING:
    from .store.rows import RunSummary
    from .store.run_filter import RunFilter, RunOrder
    from .store.store import Store

__all__ = ('each_run', 'up_to_now', 'unless_gone')

PAGE = 500

_T = TypeVar('_T')


def up_to_now(where: RunFilter | None) -> RunFilter:
    """The conditions, and that the run had started by now: going through the runs comes to an end."""
    from .store.run_filter import RunFilter

    where = where or RunFilter()
    if where.until is not None:
        return where
    # The run that started in this very moment is meant as well.
    return replace(where, until=datetime.fromtimestamp(TIMEKEEPER.clock.time() + 1e-6, UTC))


def each_run(store: Store, where: RunFilter, *, order: RunOrder = 'oldest') -> Iterator[RunSummary]:
    """The runs for which conditions hold, a page of them in memory at a time.

    Raises:
        StoreError: If the store cannot be read.
    """
    cursor: str | None = None
    while True:
        page = store.runs(where, order=order, limit=PAGE, cursor=cursor)
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def unless_gone(question: Callable[[str], _T], run_id: str) -> _T | None:
    """What a store answers about a run, or `None` where the run was deleted in the meantime."""
    from .store.errors import UnknownRunError

    try:
        answer = question(run_id)
    except UnknownRunError:
        return None
    return None if _is_of_another(answer, run_id) else answer


def _is_of_another(answer: object, run_id: str) -> bool:
    """Whether an answer is about a run whose id merely begins so: a store takes the beginning of an id as well."""
    from .store.rows import StoredOutcome, StoredRun

    if isinstance(answer, StoredRun):
        return answer.summary.run_id != run_id
    first = next(iter(cast('tuple[object, ...]', answer)), None) if isinstance(answer, tuple) else None
    return isinstance(first, StoredOutcome) and first.outcome.run_id != run_id
