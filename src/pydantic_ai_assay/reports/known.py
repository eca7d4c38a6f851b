"""Names that occur in a store."""

from __future__ import annotations

from datetime import UTC, datetime

from ..store.aggregation import AggregateBy, AggregateFilter
from ..store.reader import Reader
from .names import require_known

__all__ = ('require_names',)

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def require_names(
    reader: Reader,
    *,
    agent: str | None = None,
    evaluator: str | None = None,
    variant: str | None = None,
    model: str | None = None,
    series: str | None = None,
) -> None:
    """See that names occur in a store, among the runs of which any evaluation ended: where nothing was found, to say why.

    Raises:
        UnknownNameError: If one does not; it says which names are near.
    """
    require_known('evaluator', evaluator, [each.name for each in reader.evaluators()])
    wanted: list[tuple[str, str | None, AggregateBy]] = [
        ('agent', agent, 'target'),
        ('variant', variant, 'variant'),
        ('model', model, 'model'),
        ('series', series, 'series'),
    ]
    columns: list[AggregateBy] = [column for _, name, column in wanted if name is not None]
    if not columns:
        return
    every = AggregateFilter(kind='outcome', series=None)
    sums = reader.aggregates(_BEGINNING, datetime.now(UTC), by=columns, where=every)
    for what, name, column in wanted:
        require_known(what, name, {getattr(each, column) for each in sums} - {'', None})
