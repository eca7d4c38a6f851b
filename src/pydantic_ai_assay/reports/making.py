"""Making a report from sums: of a store's, by a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..analysis.coverage import Coverage
from ..analysis.estimate import LEVEL
from ..analysis.identity import EvaluatorIdentity
from ..analysis.interval import check_level
from ..analysis.moments import Moments
from ..analysis.series import Series, estimate_series
from ..store.aggregation import AggregateFilter
from ..store.reader import Reader
from ..store.rows import Aggregate, ResultKind
from .dimension import ReportBy, columns_of, step_of
from .report import Effort, GroupValue, Report, ReportChange, ReportResult, ReportSection
from .window import Window

__all__ = ('DEFAULT_BY', 'make_report', 'read_report')

DEFAULT_BY: tuple[ReportBy, ...] = ('agent', 'evaluator')

Bounds = Mapping[str, tuple[float, float]]
"""The least and the greatest score that are possible, by the name of the result."""

_Key = tuple[GroupValue, ...]


def read_report(
    reader: Reader,
    window: Window,
    *,
    by: Sequence[ReportBy] = DEFAULT_BY,
    where: AggregateFilter | None = None,
    level: float = LEVEL,
    pool: bool = False,
    bounds: Bounds | None = None,
) -> Report:
    """Make a report from what is in a store: `store.ask(read_report, window)`, or `await store.ask_async(...)`.

    Args:
        reader: Answers questions to the store.
        window: When the runs started; to the minute.
        by: What to tell apart.
        where: What to report on.
        level: The level of the intervals.
        pool: Whether to take scores of different fingerprints together.
        bounds: For results that are numbers, the least and the greatest that are possible, by the name of the result. With
            them the interval of a mean holds for few scores, and there is one where all scores are the same.

    Raises:
        ConfigurationError: If the level is none, or a score lies outside its bounds.
    """
    check_level(level)
    columns = ('evaluator', 'version', 'fingerprint', 'label', *columns_of(by).values())
    sums = reader.aggregates(window.since, window.until, by=columns, step=step_of(by), where=where)
    return make_report(sums, window, by=by, level=level, pool=pool, bounds=bounds)


def make_report(
    sums: Iterable[Aggregate],
    window: Window,
    *,
    by: Sequence[ReportBy] = DEFAULT_BY,
    level: float = LEVEL,
    pool: bool = False,
    bounds: Bounds | None = None,
) -> Report:
    """Make a report from sums in which at least what `by` names, evaluators, fingerprints and labels are told apart."""
    groups: dict[_Key, list[Aggregate]] = {}
    for each in sums:
        groups.setdefault(_key_of(each, by), []).append(each)
    ordered = sorted(groups.items(), key=lambda item: tuple(map(_rank, item[0])))
    return Report(
        window=window,
        by=tuple(by),
        level=level,
        is_pooled=pool,
        sections=tuple(
            _section(dict(zip(by, key, strict=True)), group, level, pool, bounds or {}) for key, group in ordered
        ),
        changes=tuple(_changes([each for group in groups.values() for each in group], 'agent' in by)),
    )


def _key_of(sums: Aggregate, by: Sequence[ReportBy]) -> _Key:
    columns = columns_of(by)
    key: list[GroupValue] = []
    for name in by:
        if name in columns:
            key.append(getattr(sums, columns[name]) or None)
        else:
            key.append(sums.evaluator if name == 'evaluator' else sums.start)
    return tuple(key)


def _rank(value: GroupValue) -> tuple[Any, ...]:
    """Makes values of one dimension comparable: those that are unknown come last."""
    return (value is None, value if isinstance(value, tuple | datetime) else (value or ''))


def _section(
    group: Mapping[ReportBy, GroupValue], sums: Sequence[Aggregate], level: float, pool: bool, bounds: Bounds
) -> ReportSection:
    ended = [each for each in sums if each.kind == 'outcome']
    return ReportSection(
        group={name: value for name, value in group.items() if name != 'evaluator'},
        evaluator=str(group['evaluator']),
        coverage=sum((_coverage(each) for each in ended), Coverage()),
        results=tuple(_results(sums, level, pool, bounds)),
        effort=sum(map(_effort, ended), Effort()),
    )


def _results(sums: Sequence[Aggregate], level: float, pool: bool, bounds: Bounds) -> Iterable[ReportResult]:
    results: dict[tuple[str, ResultKind], list[Aggregate]] = {}
    for each in sums:
        if each.kind != 'outcome':
            results.setdefault((each.name, each.kind), []).append(each)
    with_results = {_identity(each) for of_one in results.values() for each in of_one}
    ended = _ended_series(sums)
    silent = [each for each in ended if each.evaluator not in with_results]
    for (name, kind), of_one in results.items():
        theirs = {_identity(each) for each in of_one}
        lost = [_lost(each) for each in ended if each.evaluator in theirs] + silent
        left_out = sum(each.moments.count for each in of_one if kind == 'score' and each.label)
        scored = [_scored_series(each) for each in of_one if kind == 'label' or not each.label]
        labels = sorted({each.label or '' for each in of_one}) if kind == 'label' else [None]
        for label in labels:
            made = estimate_series(
                [*scored, *lost], result=name, label=label, pool=pool, bounds=bounds.get(name), level=level
            )
            for estimate in made.estimates:
                yield ReportResult(name=name, label=label, estimate=estimate, left_out=left_out)
    if not results:
        for estimate in estimate_series(silent, pool=pool, level=level).estimates:
            yield ReportResult(name=None, estimate=estimate)


def _identity(sums: Aggregate) -> EvaluatorIdentity:
    return EvaluatorIdentity(name=sums.evaluator or '', version=sums.version, fingerprint=sums.fingerprint)


def _coverage(sums: Aggregate) -> Coverage:
    return Coverage(**dict(sums.statuses))


def _effort(sums: Aggregate) -> Effort:
    return Effort(**{name: getattr(sums, name) for name in Effort.__dataclass_fields__})


def _ended_series(sums: Sequence[Aggregate]) -> list[Series]:
    """What became of evaluations, for each evaluator that had one to do.

    Of one whose runs were all sampled out not even the fingerprint may be known.
    """
    every = [
        Series(
            evaluator=_identity(each),
            result=None,
            coverage=_coverage(each),
            first_at=each.first_at,
            last_at=each.last_at,
        )
        for each in sums
        if each.kind == 'outcome'
    ]
    due = {each.evaluator for each in every if each.coverage.share is not None}
    return [each for each in every if each.evaluator in due]


def _lost(series: Series) -> Series:
    """The evaluations that have no result."""
    return replace(series, coverage=replace(series.coverage, scored=0))


def _scored_series(sums: Aggregate) -> Series:
    """One result of the evaluations that have it."""
    is_label = sums.kind == 'label'
    return Series(
        evaluator=_identity(sums),
        result=sums.name,
        is_rate=sums.kind == 'assertion',
        moments=Moments() if is_label else sums.moments,
        labels={sums.label or '': sums.moments} if is_label else {},
        coverage=Coverage(scored=sums.moments.count),
        first_at=sums.first_at,
        last_at=sums.last_at,
    )


def _changes(sums: Sequence[Aggregate], by_agent: bool) -> Iterable[ReportChange]:
    evaluators: dict[tuple[str | None, str], list[Aggregate]] = {}
    for each in sums:
        key = (each.target if by_agent else None, each.evaluator or '')
        evaluators.setdefault(key, []).append(each)
    for (agent, evaluator), of_one in sorted(evaluators.items(), key=lambda item: (item[0][0] or '', item[0][1])):
        for change in estimate_series(_ended_series(of_one)).changes:
            yield ReportChange(agent=agent, evaluator=evaluator, change=change)
