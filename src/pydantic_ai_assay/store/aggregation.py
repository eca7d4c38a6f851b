"""Sums over any stretch of time, from as few rows as there can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Literal, cast

from sqlalchemy import func, select, union_all

from ..analysis.moments import Moments
from ..errors import ConfigurationError
from ..runs.outcome import EVALUATION_STATUSES
from .entry import micros
from .rows import Aggregate, ResultKind
from .schema import AGGREGATES, CELLS, EVALUATORS
from .stored_run import moment, names_in
from .tally import MOMENT_NAMES, RESOLUTIONS, SUM_NAMES, TAKEN_NAMES
from .text import path_text, short_text

__all__ = ('AggregateBy', 'AggregateFilter', 'Step', 'aggregates_query', 'segments')

Step = Literal['minute', 'hour', 'day']
AggregateBy = Literal[
    'series', 'target', 'agent_path', 'evaluator', 'version', 'fingerprint', 'label', 'variant', 'model', 'tag'
]
_SECONDS: dict[Step, int] = {'minute': 60, 'hour': 3_600, 'day': 86_400}
_COLUMNS: dict[AggregateBy, Any] = {
    'series': CELLS.c.series,
    'target': CELLS.c.target,
    'agent_path': CELLS.c.path,
    'evaluator': EVALUATORS.c.name,
    'version': EVALUATORS.c.version,
    'fingerprint': EVALUATORS.c.fingerprint,
    'label': CELLS.c.label,
    'variant': CELLS.c.variant,
    'model': CELLS.c.model,
    'tag': CELLS.c.tag,
}


@dataclass(kw_only=True, frozen=True)
class AggregateFilter:
    """Conditions that all must hold; those that are `None` do not count."""

    kind: ResultKind | None = None
    name: str | None = None
    """The result's name."""
    series: str | None = ''
    """By default what was judged online alone."""
    target: str | None = None
    agent_path: tuple[str, ...] | None = None
    """The whole agent path."""
    evaluator: str | None = None
    fingerprint: str | None = None
    variant: str | None = None
    model: str | None = None
    tag: str | None = None
    """Only the runs that have it."""

    def conditions(self, by: Sequence[AggregateBy] = ()) -> list[Any]:
        """The conditions on the cells to sum over, where `by` is told apart."""
        wanted: list[tuple[Any, str | None]] = [
            (_COLUMNS[name], getattr(self, name))
            for name in ('series', 'target', 'evaluator', 'fingerprint', 'variant', 'model')
        ]
        wanted += [(CELLS.c.kind, self.kind), (CELLS.c.name, self.name)]
        conditions = [column == short_text(text) for column, text in wanted if text is not None]
        if self.agent_path is not None:
            conditions.append(CELLS.c.path == path_text(self.agent_path))
        return [*conditions, self._tagged('tag' in by)]

    def _tagged(self, is_by_tag: bool) -> Any:
        if self.tag is not None:
            return CELLS.c.tag == short_text(self.tag)
        # What is summed under a tag is part of what is summed under none.
        return CELLS.c.tag != '' if is_by_tag else CELLS.c.tag == ''


def segments(since: int, until: int, coarsest: int) -> list[tuple[int, int, int]]:
    """Cover a stretch of time with days, hours and parts of hours: `(resolution, from, to)`, in seconds.

    Its ends are moved outwards to full minutes.
    """
    start, end = since - since % 60, until + -until % 60
    found: list[tuple[int, int, int]] = []
    while start < end:
        # A minute always fits.
        resolution = max(
            each for each in RESOLUTIONS if each <= coarsest and start % each == 0 and start < end - end % each
        )
        stop = end - end % resolution
        coarser = next((each for each in RESOLUTIONS if resolution < each <= coarsest), None)
        if coarser is not None and start % coarser:
            stop = min(stop, start + -start % coarser)
        found.append((resolution, start, stop))
        start = stop
    return found


def aggregates_query(
    since: datetime, until: datetime, by: Sequence[AggregateBy], step: Step | None, where: AggregateFilter
) -> Any:
    """A query for sums, or `None` where the time is none.

    Raises:
        ConfigurationError: If `by` or `step` has something else than what there is.
    """
    unknown = [name for name in by if name not in _COLUMNS]
    if unknown:
        raise ConfigurationError(f'by must be of {", ".join(map(repr, _COLUMNS))}, got {unknown[0]!r}.')
    if step is not None and step not in _SECONDS:
        raise ConfigurationError(f'step must be one of {", ".join(map(repr, _SECONDS))}, got {step!r}.')
    coarsest = RESOLUTIONS[-1] if step is None else _SECONDS[step]
    parts = [
        select(AGGREGATES).where(
            AGGREGATES.c.resolution == resolution, AGGREGATES.c.start >= start, AGGREGATES.c.start < stop
        )
        for resolution, start, stop in segments(_seconds(since), _seconds(until, up=True), coarsest)
    ]
    if not parts:
        return None
    rows = union_all(*parts).subquery('parts')
    wanted = select(CELLS.c.id).join(EVALUATORS, EVALUATORS.c.id == CELLS.c.evaluator).where(*where.conditions(by))
    starts = [] if step is None else [(rows.c.start - rows.c.start % coarsest).label('step')]
    # Added up by number first: names are only looked at for what is left.
    per_cell = (
        select(rows.c.cell, *starts, *_sums_of(rows))
        .where(rows.c.cell.in_(wanted))
        .group_by(rows.c.cell, *starts)
        .subquery('per_cell')
    )
    keys: list[Any] = [CELLS.c.kind, CELLS.c.name, *(_COLUMNS[name].label(f'by_{name}') for name in by)]
    if step is not None:
        keys.append(per_cell.c.step)
    joined = per_cell.join(CELLS, CELLS.c.id == per_cell.c.cell).join(EVALUATORS, EVALUATORS.c.id == CELLS.c.evaluator)
    return select(*keys, *_sums_of(per_cell)).select_from(joined).group_by(*keys).order_by(*keys)


def _sums_of(rows: Any) -> list[Any]:
    sums: list[Any] = [func.sum(rows.c[name]).label(name) for name in SUM_NAMES]
    sums += [func.min(rows.c[name]).label(name) for name in ('minimum', 'first_at')]
    return [*sums, *(func.max(rows.c[name]).label(name) for name in ('maximum', 'last_at'))]


def _seconds(when: datetime, *, up: bool = False) -> int:
    seconds, rest = divmod(micros(when), 1_000_000)
    return seconds + 1 if up and rest else seconds


def aggregate_of(row: Any, by: Sequence[AggregateBy], step: Step | None) -> Aggregate:
    """The sums in a row."""
    known: dict[str, Any] = {name: getattr(row, f'by_{name}') for name in by}
    if 'agent_path' in known:
        known['agent_path'] = names_in(known['agent_path'])
    if 'fingerprint' in known:
        known['fingerprint'] = known['fingerprint'] or None
    moments = {name: getattr(row, name) for name in MOMENT_NAMES}
    taken = {name: getattr(row, name) for name in TAKEN_NAMES}
    # Sums of whole numbers come as decimals from PostgreSQL.
    whole = {'count', 'attempts', 'judge_requests', 'judge_input_tokens', 'judge_output_tokens'}
    for sums in (moments, taken):
        sums.update({name: int(value) if name in whole else float(value) for name, value in sums.items()})
    return Aggregate(
        kind=row.kind,
        name=row.name,
        start=None if step is None else datetime.fromtimestamp(int(row.step), UTC),
        statuses={status: int(number) for status in EVALUATION_STATUSES if (number := getattr(row, status))},
        moments=Moments(
            **cast(Any, moments),
            minimum=inf if row.minimum is None else row.minimum,
            maximum=-inf if row.maximum is None else row.maximum,
        ),
        first_at=moment(row.first_at),
        last_at=moment(row.last_at),
        **known,
        **taken,
    )
