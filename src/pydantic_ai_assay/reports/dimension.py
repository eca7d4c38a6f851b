"""What a report tells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from ..errors import ConfigurationError
from ..store.aggregation import AggregateBy, Step
from .names import UnknownNameError

__all__ = ('REPORT_BY', 'ReportBy', 'columns_of', 'dimensions_of', 'step_of')

ReportBy = Literal['agent', 'path', 'evaluator', 'variant', 'model', 'tag', 'minute', 'hour', 'day']
"""What a report can tell apart. Evaluators are always told apart, since their scores do not mean the same. A run with several tags is in
the group of each, and one without tags in none."""
REPORT_BY: tuple[ReportBy, ...] = get_args(ReportBy)

_COLUMNS: Mapping[str, AggregateBy] = {
    'agent': 'target',
    'path': 'agent_path',
    'variant': 'variant',
    'model': 'model',
    'tag': 'tag',
}
_STEPS: Mapping[str, Step] = {'minute': 'minute', 'hour': 'hour', 'day': 'day'}


def dimensions_of(text: str) -> tuple[ReportBy, ...]:
    """What is named in a text such as `'agent,day'`.

    Raises:
        UnknownNameError: If one is not in `ReportBy`.
        ConfigurationError: If there is more than one length of time.
    """
    named = [name.strip() for name in text.split(',') if name.strip()]
    known: dict[str, ReportBy] = {name: name for name in REPORT_BY}
    for name in named:
        if name not in known:
            raise UnknownNameError('dimension', name, known)
    if len(steps := [name for name in named if name in _STEPS]) > 1:
        raise ConfigurationError(f'by can have one of {", ".join(_STEPS)}, got {" and ".join(steps)}.')
    found: list[ReportBy] = []
    for name in [*named, 'evaluator']:
        if known[name] not in found:
            found.append(known[name])
    return tuple(found)


def columns_of(by: Sequence[ReportBy]) -> dict[ReportBy, AggregateBy]:
    """The columns of the sums that hold what is told apart, besides evaluators and times."""
    return {name: _COLUMNS[name] for name in by if name in _COLUMNS}


def step_of(by: Sequence[ReportBy]) -> Step | None:
    """The length of time that is told apart, if one is."""
    return next((_STEPS[name] for name in by if name in _STEPS), None)
