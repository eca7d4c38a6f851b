"""Telling a cancellation from the outside from one that somebody's own code raised."""

from __future__ import annotations

import asyncio

import anyio

__all__ = ('is_cancelled',)


def is_cancelled(error: BaseException) -> bool:
    """Whether an error says that the current task is cancelled, rather than that what it called raised a cancellation.

    On trio it always does: nothing but trio can raise one there.
    """
    if not isinstance(error, anyio.get_cancelled_exc_class()):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is None or bool(task.cancelling())
