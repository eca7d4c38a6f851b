"""Bounds that the numbers of a report must keep, for CI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from ..errors import ConfigurationError
from .names import UnknownNameError
from .report import Report, ReportResult, ReportSection

__all__ = ('Bound', 'Unmet', 'bound_of', 'scale_of', 'unmet_bounds', 'unmet_coverage')

_Number = tuple[str, ReportSection, ReportResult]


@dataclass(kw_only=True, frozen=True)
class Bound:
    """A number must not be below another one."""

    name: str
    """The result's name, or its evaluator's; of the share of a label `RESULT:LABEL`."""
    least: float
    """What the lower end of its interval must reach."""


@dataclass(kw_only=True, frozen=True)
class Unmet:
    """A bound that does not hold, or that nothing shows to hold."""

    section: ReportSection | None
    """Where; `None` if there is nothing that could keep it."""
    result: ReportResult | None
    """The number that does not keep it; `None` if it is the coverage."""
    reason: str
    """Why."""


def bound_of(text: str) -> Bound:
    """A bound such as `'polite=0.9'`.

    Raises:
        ConfigurationError: If it is none.
    """
    name, _, least = text.rpartition('=')
    try:
        number = float(least)
    except ValueError:
        number = float('nan')
    if not name.strip() or not isfinite(number):
        raise ConfigurationError(f"a bound must be a name and a number, such as 'polite=0.9', got {text!r}.")
    return Bound(name=name.strip(), least=number)


def scale_of(text: str) -> tuple[str, tuple[float, float]]:
    """The least and the greatest number that a result can have, such as `'stars=1..5'`, with the result's name.

    Raises:
        ConfigurationError: If it is none.
    """
    name, _, ends = text.rpartition('=')
    least, _, greatest = ends.partition('..')
    try:
        scale = float(least), float(greatest)
    except ValueError:
        scale = float('nan'), float('nan')
    if not name.strip() or not (isfinite(scale[0]) and isfinite(scale[1]) and scale[0] < scale[1]):
        raise ConfigurationError(
            f"a scale must be a name, the least and a greater number, such as 'stars=1..5', got {text!r}."
        )
    return name.strip(), scale


def unmet_bounds(report: Report, bounds: Sequence[Bound], evaluators: Iterable[str] = ()) -> tuple[Unmet, ...]:
    """The bounds that the lower ends of the intervals do not keep. A number that is not there keeps none.

    Args:
        report: The report.
        bounds: The bounds; each is for all numbers of its name.
        evaluators: Names of the evaluators that there are besides those in the report.

    Raises:
        UnknownNameError: If there is neither a result nor an evaluator of a name.
    """
    by_result = [(_name(section, result), section, result) for section, result in _numbers(report)]
    by_evaluator = [(section.evaluator, section, result) for _, section, result in by_result if result.label is None]
    in_report = {section.evaluator for section in report.sections}
    known = {name for name, _, _ in by_result + by_evaluator} | (set(evaluators) - in_report)
    unmet: list[Unmet] = []
    for bound in bounds:
        if bound.name not in known:
            raise UnknownNameError('result or evaluator', bound.name, known)
        meant = _of_name(by_result, bound.name) or _of_name(by_evaluator, bound.name)
        if not meant:
            reason = f'{bound.name} has no number in this window, and must reach {bound.least:g}'
            unmet.append(Unmet(section=None, result=None, reason=reason))
        for section, result in meant:
            if (reason := _shortfall(section, result, bound)) is not None:
                unmet.append(Unmet(section=section, result=result, reason=reason))
    return tuple(unmet)


def unmet_coverage(report: Report, least: float) -> tuple[Unmet, ...]:
    """Where too small a share of the evaluations that were due have a score.

    Raises:
        ConfigurationError: If the least share is not between 0 and 1.
    """
    if not 0 <= least <= 1:
        raise ConfigurationError(f'the least coverage must be a number from 0 to 1, got {least!r}.')
    shares = [(section, section.coverage.share) for section in report.sections]
    if all(share is None for _, share in shares):
        return (Unmet(section=None, result=None, reason='no evaluation was due in this window'),)
    return tuple(
        Unmet(
            section=section,
            result=None,
            reason=f'{section.evaluator}{_where(section)} has a coverage of {_shown(share)}, which is below {least:.1%}',
        )
        for section, share in shares
        if share is not None and share < least
    )


def _shown(share: float) -> str:
    """Rounded down, as tables show it: what is below a bound is not shown as it."""
    return f'{int(share * 1_000 + 1e-9) / 10:.1f}%'


def _numbers(report: Report) -> Iterator[tuple[ReportSection, ReportResult]]:
    for section in report.sections:
        for result in section.results:
            yield section, result


def _name(section: ReportSection, result: ReportResult) -> str:
    name = section.evaluator if result.name is None else result.name
    return name if result.label is None else f'{name}:{result.label}'


def _of_name(numbers: Iterable[_Number], wanted: str) -> list[tuple[ReportSection, ReportResult]]:
    return [(section, result) for name, section, result in numbers if name == wanted]


def _where(section: ReportSection) -> str:
    """The group, in brackets, where a report tells any apart."""
    values = [value for value in section.group.values() if value is not None]
    texts = [' > '.join(value) if isinstance(value, tuple) else str(value) for value in values]
    return f' ({", ".join(texts)})' if texts else ''


def _shortfall(section: ReportSection, result: ReportResult, bound: Bound) -> str | None:
    estimate, name = result.estimate, f'{bound.name}{_where(section)}'
    if estimate.value is None:
        return f'{name} has no number, since nothing was scored, and must reach {bound.least:g}'
    if estimate.interval is None:
        return f'{name} is {estimate.value:.4g} without an interval, and its lower end must reach {bound.least:g}'
    if estimate.interval.lower < bound.least:
        return f'{name} may be as low as {estimate.interval.lower:.4g}, which is below {bound.least:g}'
    return None
