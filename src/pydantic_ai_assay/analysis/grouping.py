"""Rows by what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import product
from typing import Literal, get_args

from ..errors import ConfigurationError
from .row import EvaluationRow

__all__ = ('Dimension', 'bucket_start', 'group_rows')

Dimension = Literal['agent', 'agent_path', 'evaluator', 'variant', 'model', 'tag', 'conversation', 'time']
"""What rows can be grouped by. `'evaluator'` is its name alone."""

FIRST_MONDAY = datetime(1969, 12, 29)
"""Where buckets are counted from, so that weeks begin on Mondays."""
DAY = timedelta(days=1)


def group_rows(
    rows: Iterable[EvaluationRow],
    by: Sequence[Dimension],
    *,
    bucket: timedelta | None = None,
    zone: tzinfo = UTC,
) -> dict[tuple[Hashable, ...], list[EvaluationRow]]:
    """Put rows into groups.

    A row with several tags is in the group of each of them; one without tags is in that of `None`. Groups come in the
    order in which they are met; there is none for a bucket of time without rows.

    Args:
        rows: The rows.
        by: What to group by; the key of a group has the values in this order.
        bucket: With `'time'`: how long a bucket of time is. Its value is its start in UTC.
        zone: With buckets of whole days: where they begin at midnight. A day there may have 23 or 25 hours.

    Raises:
        ConfigurationError: If a dimension is unknown, or `'time'` and `bucket` are not given together, or a bucket that is
            not of whole days has a zone.
    """
    if unknown := [each for each in by if each not in get_args(Dimension)]:
        raise ConfigurationError(f'rows can be grouped by {", ".join(get_args(Dimension))}, got {unknown[0]!r}.')
    if ('time' in by) != (bucket is not None):
        raise ConfigurationError(f"'time' and a bucket belong together, got {tuple(by)!r} and {bucket!r}.")
    readers = [_reader(dimension, bucket, zone) for dimension in by]
    groups: dict[tuple[Hashable, ...], list[EvaluationRow]] = {}
    for row in rows:
        for key in product(*(reader(row) for reader in readers)):
            groups.setdefault(key, []).append(row)
    return groups


def _reader(
    dimension: Dimension, bucket: timedelta | None, zone: tzinfo
) -> Callable[[EvaluationRow], Sequence[Hashable]]:
    if bucket is not None and dimension == 'time':
        return lambda row: (bucket_start(row.at, bucket, zone),)
    if dimension == 'evaluator':
        return lambda row: (row.evaluator.name,)
    if dimension == 'tag':
        return lambda row: tuple(dict.fromkeys(row.tags)) or (None,)
    return lambda row: (getattr(row, dimension),)


def bucket_start(at: datetime, bucket: timedelta, zone: tzinfo = UTC) -> datetime:
    """The start of the bucket that a time falls into, in UTC. Buckets are counted from a Monday at midnight.

    Args:
        at: The time.
        bucket: How long a bucket is.
        zone: If it is of whole days: where it begins at midnight.

    Raises:
        ConfigurationError: If the time has no zone, the bucket no length, or one that is not of whole days has a zone.
    """
    if bucket <= timedelta(0):
        raise ConfigurationError(f'a bucket must be longer than nothing, got {bucket!r}.')
    if at.tzinfo is None:
        raise ConfigurationError(f'a time must have a time zone, got {at!r}.')
    if zone is not UTC and bucket % DAY:
        raise ConfigurationError(f'a zone is for buckets of whole days, got {zone} for {bucket!r}.')
    # By the clock on the wall: not all days there are of one length.
    wall = at.astimezone(zone).replace(tzinfo=None, fold=0)
    start = FIRST_MONDAY + (wall - FIRST_MONDAY) // bucket * bucket
    return start.replace(tzinfo=zone).astimezone(UTC)
