"""Which of the runs that conditions hold for are exported: all, a share, or so many of each group."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import ConfigurationError
from ..runs.draw import uniform_draw

if TYPE_CHECKING:
    from ..store.rows import RunSummary

__all__ = ('GroupBy', 'check_choice', 'chosen_runs')

GroupBy = Literal['target', 'path', 'variant', 'model', 'outcome', 'conversation', 'day']
"""What a group of runs has in common."""

_DRAW = 'export'
_GROUPS: Mapping[GroupBy, Callable[[RunSummary], object]] = {
    'target': lambda run: run.target,
    'path': lambda run: run.agent_path,
    'variant': lambda run: run.variant,
    'model': lambda run: run.model_name,
    'outcome': lambda run: run.outcome,
    'conversation': lambda run: run.conversation_id,
    'day': lambda run: run.started_at.date(),
}


def check_choice(sample: object, per_group: object, group_by: object) -> None:
    """See that runs can be chosen so.

    Raises:
        ConfigurationError: If they cannot.
    """
    if isinstance(sample, bool) or not isinstance(sample, int | float) or not 0 < sample <= 1:
        raise ConfigurationError(f'sample must be a probability above 0 and up to 1, got {sample!r}.')
    if per_group is not None and (isinstance(per_group, bool) or not isinstance(per_group, int) or per_group < 1):
        raise ConfigurationError(f'per_group must be an integer of at least 1, got {per_group!r}.')
    if group_by is not None and group_by not in get_args(GroupBy):
        allowed = ', '.join(map(repr, get_args(GroupBy)))
        raise ConfigurationError(f'group_by must be one of {allowed}, got {group_by!r}.')
    if group_by is not None and per_group is None:
        raise ConfigurationError(f'group_by={group_by!r} needs per_group, the number of runs of each group.')


def chosen_runs(
    runs: Iterable[RunSummary], *, sample: float, per_group: int | None, group_by: GroupBy | None
) -> list[str]:
    """The ids of the runs that are exported, in the order in which they come.

    What is drawn depends on nothing but the ids, so that it is the same again.

    Args:
        runs: The runs that conditions hold for.
        sample: The share of them that is taken.
        per_group: How many of each group at most.
        group_by: What a group has in common; without it, all runs are one.
    """
    drawn = ((run, uniform_draw(run.run_id, _DRAW)) for run in runs)
    taken = ((run, draw) for run, draw in drawn if draw < sample)
    if per_group is None:
        return [run.run_id for run, _ in taken]
    groups: dict[object, list[tuple[float, int, str]]] = {}
    for place, (run, draw) in enumerate(taken):
        group = groups.setdefault(None if group_by is None else _GROUPS[group_by](run), [])
        # The runs with the least draws stay; the heap begins with the greatest of them.
        heapq.heappush(group, (-draw, place, run.run_id))
        if len(group) > per_group:
            heapq.heappop(group)
    kept = [(place, run_id) for group in groups.values() for _, place, run_id in group]
    return [run_id for _, run_id in sorted(kept)]
