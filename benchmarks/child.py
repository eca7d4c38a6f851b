"""A measurement in a process of its own: `python -m benchmarks.child NAME JSON` prints its result as JSON."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ('ROOT', 'ChildError', 'measure_in_child', 'start_module')

ROOT = Path(__file__).parent.parent
TIMEOUT = 900


class ChildError(Exception):
    """A child process failed. The message has what it wrote."""


def start_module(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module of the benchmarks in a process of its own."""
    return subprocess.Popen(
        [sys.executable, '-m', f'benchmarks.{module}', *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def measure_in_child(module: str, **settings: Any) -> Any:
    """Call `measure(**settings)` of a module in a fresh process and return its result.

    Raises:
        ChildError: If the process fails or does not end.
    """
    process = start_module('child', module, json.dumps(settings))
    try:
        output, errors = process.communicate(timeout=TIMEOUT)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise ChildError(f'{module} {settings} ended with {process.returncode}:\n{errors}')
    return json.loads(output.splitlines()[-1])


if __name__ == '__main__':
    measured = importlib.import_module(f'benchmarks.{sys.argv[1]}').measure(**json.loads(sys.argv[2]))
    print(json.dumps(measured))
