"""Tasks that end together."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

__all__ = ('task_group',)


@asynccontextmanager
async def task_group() -> AsyncGenerator[TaskGroup]:
    """A task group that what is raised in it leaves as itself, and in no group.

    It is for tasks that keep their errors. What they let through besides a cancellation is Ctrl-C, which nobody expects in a
    group.
    """
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
