"""Names that somebody asks a store for: one that it has not is answered with those that are near."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .names import require_known

if TYPE_CHECKING:
    from ..store.aggregation import AggregateBy
    from ..store.reader import Reader
    from ..store.run_filter import RunFilter
    from ..store.store import Store

__all__ = ('require_conditions', 'require_evaluator', 'require_feedback', 'require_names')

MAX_FEEDBACK = 10_000
"""How much of the latest feedback is looked through for the names that there are."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def require_evaluator(store: Store | Reader, name: str | None) -> None:
    """See that an evaluator has outcomes in a store.

    Raises:
        UnknownNameError: If it has not.
    """
    if name is not None:
        require_known('evaluator', name, (each.name for each in store.evaluators()))


def require_feedback(store: Store | Reader, name: str | None) -> None:
    """See that there is feedback of a name in a store.

    Raises:
        UnknownNameError: If there is not.
    """
    if name is not None and not store.feedback(name=name, limit=1):
        require_known('feedback', name, (each.name for each in store.feedback(limit=MAX_FEEDBACK)))


def require_conditions(store: Store | Reader, where: RunFilter | None) -> None:
    """See that the names of evaluators and feedback in conditions are those of something in a store.

    Raises:
        UnknownNameError: If one is not.
    """
    if where is not None:
        require_evaluator(store, where.evaluator)
        require_feedback(store, where.feedback)


def require_names(
    reader: Reader,
    *,
    agent: str | None = None,
    evaluator: str | None = None,
    variant: str | None = None,
    model: str | None = None,
    tag: str | None = None,
    series: str | None = None,
) -> None:
    """See that names occur in a store, among the runs of which any evaluation ended: where nothing was found, to say why.

    Raises:
        UnknownNameError: If one does not; it says which names are near.
    """
    from ..store.aggregation import AggregateFilter

    require_evaluator(reader, evaluator)
    wanted: list[tuple[str, str | None, AggregateBy]] = [
        ('agent', agent, 'target'),
        ('variant', variant, 'variant'),
        ('model', model, 'model'),
        ('tag', tag, 'tag'),
        ('series', series, 'series'),
    ]
    every = AggregateFilter(kind='outcome', series=None)
    for what, name, column in wanted:
        if name is not None:
            sums = reader.aggregates(_BEGINNING, datetime.now(UTC), by=[column], where=every)
            require_known(what, name, {getattr(each, column) for each in sums} - {'', None})
