"""What a command line names, beside what a store has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..store.aggregation import AggregateFilter
    from ..store.reader import Reader
    from ..store.run_filter import RunFilter

__all__ = ('path_of', 'require_runs', 'require_what_runs_name', 'require_what_sums_name')

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def path_of(text: str | None) -> tuple[str, ...] | None:
    """An agent path, from its names between `>`."""
    return None if text is None else tuple(name.strip() for name in text.split('>') if name.strip())


def require_what_sums_name(reader: Reader, where: AggregateFilter) -> None:
    """Say which of the names there is not, where nothing was found.

    Raises:
        UnknownNameError: If there is one.
    """
    from ..reports.known import require_names

    require_names(
        reader,
        agent=where.target,
        evaluator=where.evaluator,
        variant=where.variant,
        model=where.model,
        tag=where.tag,
        series=where.series or None,
    )
    _require_fingerprint(reader, where.fingerprint)
    _require_path(where.agent_path, _paths(reader))


def require_what_runs_name(reader: Reader, where: RunFilter) -> None:
    """Say which of the names there is not, where nothing was found.

    Raises:
        UnknownNameError: If there is one.
    """
    from ..reports.known import require_feedback, require_names
    from ..reports.names import require_known

    require_names(reader, agent=where.target, evaluator=where.evaluator, variant=where.variant, model=where.model)
    require_feedback(reader, where.feedback)
    require_known('tag', where.tag, reader.tags())
    _require_fingerprint(reader, where.fingerprint)
    beginnings = {path[:length] for path in _paths(reader) for length in range(1, len(path) + 1)}
    _require_path(where.path, beginnings)


def require_runs(reader: Reader, *conditions: RunFilter | None) -> None:
    """Where no run is as it should be, say which of the names there is not.

    Raises:
        UnknownNameError: If there is one.
    """
    for where in conditions:
        if where is not None and not reader.runs(where, limit=1).items:
            require_what_runs_name(reader, where)


def _require_fingerprint(reader: Reader, fingerprint: str | None) -> None:
    from ..reports.names import require_known

    require_known('fingerprint', fingerprint, (each.fingerprint for each in reader.evaluators() if each.fingerprint))


def _require_path(path: tuple[str, ...] | None, known: set[tuple[str, ...]]) -> None:
    from ..reports.names import require_known

    require_known('agent path', None if path is None else ' > '.join(path), map(' > '.join, known))


def _paths(reader: Reader) -> set[tuple[str, ...]]:
    """The paths of agents of which any evaluation ended."""
    from ..store.aggregation import AggregateFilter

    every = AggregateFilter(kind='outcome', series=None)
    sums = reader.aggregates(_BEGINNING, datetime.now(UTC), by=['agent_path'], where=every)
    return {each.agent_path for each in sums if each.agent_path}
