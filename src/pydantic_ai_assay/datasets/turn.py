"""One job at a time that adds to the files of a folder."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ('turn_in',)


@contextmanager
def turn_in(folder: Path) -> Generator[None]:
    """Wait until no other process or thread has its turn in a folder, and have it.

    The lock is one of the operating system, which ends with the process and leaves no file behind. Where there is none, as
    on Windows and on some network drives, nobody waits.
    """
    handle = _locked(folder)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    try:
        from fcntl import LOCK_EX, flock

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        # If it is the folder, writing there will say what is wrong.
        return None
    with suppress(OSError):
        flock(handle, LOCK_EX)
    return handle
