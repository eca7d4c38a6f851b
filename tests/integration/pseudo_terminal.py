"""What a command prints to a terminal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ('seen_in_terminal',)


def seen_in_terminal(command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> tuple[int, bytes]:
    """How a command ends, and all that it prints, where both its outputs are a terminal."""
    import pty

    ours, theirs = pty.openpty()
    output = b''
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env, cwd=cwd) as process:
        os.close(theirs)
        try:
            while chunk := os.read(ours, 65_536):
                output += chunk
        except OSError:
            # That is how Linux says that the other end is closed.
            pass
        finally:
            os.close(ours)
    return process.returncode, output
