"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ('counted', 'shown_cost', 'shown_count', 'shown_moment', 'shown_number', 'shown_seconds', 'shown_share')


def shown_number(number: float | None) -> str:
    """A rate or a mean."""
    if number is None:
        return 'none'
    return f'{number:.3f}' if abs(number) < 1_000 else f'{number:,.0f}'


def shown_count(number: float) -> str:
    """How many; not always a whole number."""
    return f'{number:,.0f}'


def counted(number: int, what: str) -> str:
    """How many of what, such as `'2 requests'`."""
    return f'{number:,} {what}' if number == 1 else f'{number:,} {what}s'


def shown_share(share: float | None) -> str:
    """A share of a whole, rounded down: what is not all is not shown as 100 %."""
    return 'none due' if share is None else f'{int(share * 1_000 + 1e-9) / 10:.1f} %'


def shown_cost(cost: float | None) -> str:
    """A cost in USD; empty where there is none."""
    if not cost:
        return ''
    return f'${cost:,.2f}' if cost >= 1 else f'${cost:.4f}'


def shown_seconds(seconds: float) -> str:
    """A length of time."""
    return f'{seconds:.2f} s' if seconds < 100 else f'{seconds:,.0f} s'


def shown_moment(moment: datetime, *, seconds: bool = False) -> str:
    """A time, in UTC."""
    return moment.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M')
