"""The end of a process, which waits for what its stores have not written, and the beginning of a forked one."""

from __future__ import annotations

import atexit
import multiprocessing
import threading
import time
import weakref
from contextlib import suppress
from typing import ClassVar

from ..fork import when_forked
from .migration import MigrationTurns
from .writer import Writer

__all__ = ('EXIT_SECONDS', 'WRITERS', 'flush_stores')

EXIT_SECONDS = 10.0
"""Seconds for which the end of the process waits for what is not written."""
LATE_SECONDS = 0.5
"""Seconds for which it waits, once those are over, for what has come meanwhile."""

WRITERS: weakref.WeakSet[Writer] = weakref.WeakSet()
"""Those of all stores of this process."""


class _Waited:
    """How long the end of this process has waited: it is told of it more than once, and must not wait as long each time."""

    seconds: ClassVar[float] = 0.0


def flush_stores(timeout: float = EXIT_SECONDS) -> None:
    """Write what waits in any store of this process as it ends, as far as there is time, and warn of what is left."""
    deadline = time.monotonic() + timeout
    # One whose database is away must not take the time of the others.
    writers = sorted([each for each in WRITERS if not each.is_idle], key=lambda each: each.is_failing)
    for index, writer in enumerate(writers):
        writer.flush(max(0.0, deadline - time.monotonic()) / (len(writers) - index))
    for writer in writers:
        writer.tell_what_is_left()


def _finish() -> None:
    begun = time.monotonic()
    flush_stores(max(LATE_SECONDS, EXIT_SECONDS - _Waited.seconds))
    _Waited.seconds += time.monotonic() - begun
    for writer in list(WRITERS):
        writer.disconnect()


def _finish_child() -> None:
    # Any other process calls what is registered with `atexit`.
    if multiprocessing.parent_process() is not None:
        _finish()


def _begin_in_child() -> None:
    MigrationTurns.lock = threading.Lock()
    _Waited.seconds = 0.0
    for writer in list(WRITERS):
        writer.begin_in_child()


# After the callbacks of `threading`, in which the pipeline hands over what it has left.
atexit.register(_finish)
# A child that `multiprocessing` forks has forgotten that. Callbacks run in reverse order: this one after the pipeline's, which
# comes with the first run. Where the interpreter is shutting down already, it is too late for both.
with suppress(RuntimeError):
    getattr(threading, '_register_atexit', atexit.register)(_finish_child)
when_forked(_begin_in_child)
