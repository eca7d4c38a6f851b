"""Running asynchronous code to its end in a thread that has no running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ('run_on_thread_loop',)

_T = TypeVar('_T')


def run_on_thread_loop(start: Callable[[], Coroutine[Any, Any, _T]], *instead: str) -> _T:
    """Run something to its end on the event loop of the thread.

    That is the loop which the `run_sync` of agents uses: the clients of models belong to one.

    Args:
        start: What to run.
        instead: What to await where an event loop runs in this thread, one of these.

    Raises:
        RuntimeError: If one does.
    """
    task = _thread_loop(instead).create_task(start())
    loop = task.get_loop()
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            # Ctrl-C leaves the loop, and the task where it was.
            task.cancel()
            with suppress(asyncio.CancelledError, KeyboardInterrupt):
                loop.run_until_complete(task)
        # Ctrl-C may have left the loop before it told those who wait for the task to end, such as worker threads, and they
        # would keep the process from ending.
        loop.run_until_complete(asyncio.sleep(0))
        raise


def _thread_loop(instead: Sequence[str]) -> asyncio.AbstractEventLoop:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        awaited = ' or '.join(f'`{each}`' for each in instead)
        raise RuntimeError(f'An event loop runs in this thread: await {awaited} instead.')
    # A thread may have none yet.
    with suppress(RuntimeError):
        loop = asyncio.get_event_loop()
        if not loop.is_closed():
            return loop
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
