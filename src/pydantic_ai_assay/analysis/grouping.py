"""Rows by what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Literal, get_args

from ..errors import ConfigurationError
from .row import EvaluationRow

__all__ = ('Dimension', 'bucket_start', 'group_rows')

Dimension = Literal['agent', 'agent_path', 'evaluator', 'variant', 'model', 'tag', 'conversation', 'time']
"""What rows can be grouped by. `'evaluator'` is its name alone."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def group_rows(
    rows: Iterable[EvaluationRow], by: Sequence[Dimension], *, bucket: timedelta | None = None
) -> dict[tuple[Hashable, ...], list[EvaluationRow]]:
    """Put rows into groups.

    A row with several tags is in the group of each of them; one without tags is in that of `None`. Groups come in the
    order in which they are met.

    Args:
        rows: The rows.
        by: What to group by; the key of a group has the values in this order.
        bucket: With `'time'`: how long a bucket of time is. Its value is its start in UTC.

    Raises:
        ConfigurationError: If a dimension is unknown, or `'time'` and `bucket` are not given together.
    """
    if unknown := [each for each in by if each not in get_args(Dimension)]:
        raise ConfigurationError(f'rows can be grouped by {", ".join(get_args(Dimension))}, got {unknown[0]!r}.')
    if ('time' in by) != (bucket is not None):
        raise ConfigurationError(f"'time' and a bucket belong together, got {tuple(by)!r} and {bucket!r}.")
    readers = [_reader(dimension, bucket) for dimension in by]
    groups: dict[tuple[Hashable, ...], list[EvaluationRow]] = {}
    for row in rows:
        for key in product(*(reader(row) for reader in readers)):
            groups.setdefault(key, []).append(row)
    return groups


def _reader(dimension: Dimension, bucket: timedelta | None) -> Callable[[EvaluationRow], Sequence[Hashable]]:
    if bucket is not None and dimension == 'time':
        return lambda row: (bucket_start(row.at, bucket),)
    if dimension == 'evaluator':
        return lambda row: (row.evaluator.name,)
    if dimension == 'tag':
        return lambda row: tuple(dict.fromkeys(row.tags)) or (None,)
    return lambda row: (getattr(row, dimension),)


def bucket_start(at: datetime, bucket: timedelta) -> datetime:
    """The start of the bucket that a time falls into, in UTC. Buckets are counted from 1970.

    Raises:
        ConfigurationError: If the time has no zone, or the bucket no length.
    """
    if bucket <= timedelta(0):
        raise ConfigurationError(f'a bucket must be longer than nothing, got {bucket!r}.')
    if at.tzinfo is None:
        raise ConfigurationError(f'a time must have a time zone, got {at!r}.')
    return EPOCH + (at - EPOCH) // bucket * bucket
