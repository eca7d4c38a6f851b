"""Names that somebody asks a store for: one that it has not is answered with those that are near."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .reports.names import require_known

if TYPE_CHECKING:
    from .store.run_filter import RunFilter
    from .store.store import Store

__all__ = ('require_conditions', 'require_evaluator', 'require_feedback')

MAX_FEEDBACK = 10_000
"""How much of the latest feedback is looked through for the names that there are."""


def require_evaluator(store: Store, name: str) -> None:
    """See that an evaluator has outcomes in a store.

    Raises:
        UnknownNameError: If it has not.
    """
    require_known('evaluator', name, (each.name for each in store.evaluators()))


def require_feedback(store: Store, name: str) -> None:
    """See that there is feedback of a name in a store.

    Raises:
        UnknownNameError: If there is not.
    """
    if not store.feedback(name=name, limit=1):
        require_known('feedback', name, (each.name for each in store.feedback(limit=MAX_FEEDBACK)))


def require_conditions(store: Store, where: RunFilter | None) -> None:
    """See that the names in conditions are those of something in a store.

    Raises:
        UnknownNameError: If one is not.
    """
    if where is not None and where.evaluator is not None:
        require_evaluator(store, where.evaluator)
    if where is not None and where.feedback is not None:
        require_feedback(store, where.feedback)
