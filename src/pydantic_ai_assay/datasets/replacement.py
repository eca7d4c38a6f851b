"""Replacing a file as a whole: whoever reads it sees what was there before, or all that is there now."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ('read_text', 'replace_text')


def replace_text(path: Path, text: str) -> None:
    """Write a file beside the one that is there, and put it in its place. A link stays one.

    Raises:
        ConfigurationError: If it cannot be written.
    """
    target = path.resolve()
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        handle, name = tempfile.mkstemp(prefix=f'.{target.name}.', suffix='.tmp', dir=target.parent)
        try:
            with os.fdopen(handle, 'w', encoding='utf-8', newline='') as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # What a run contains is not for everybody: a new file is its owner's alone.
            if mode is not None:
                os.chmod(name, mode)
            os.replace(name, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise ConfigurationError(f'{path} cannot be written: {error.strerror}.') from error


def read_text(path: Path) -> str | None:
    """What is in a file, or `None` where there is none.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    try:
        return path.read_bytes().decode('utf-8')
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f'{path} cannot be read: {error}.') from error
