"""Starting the programs of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path(__file__).parent / 'programs'


def run_program(name: str, *args: str, scores: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    scores.touch()
    return subprocess.run(
        [sys.executable, str(PROGRAMS / name), *args],
        env={**os.environ, 'SCORES': str(scores), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


def scores_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Generator[None]:
    """Whatever happens, the process does not outlive the test."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
