"""Evaluations that a process has to finish because it ends right after its runs."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .child import ChildError, start_module
from .endings import EXIT_CODE, RUNS, SERVED, THREADS
from .packages import PackageName
from .table import Row, Target

__all__ = ('rows',)

TIMEOUT = 60
CLIENTS = 10


@dataclass(kw_only=True, frozen=True)
class Ending:
    """A way to end."""

    name: str
    text: str
    expected: int
    exit_code: int = 0


ENDINGS = (
    Ending(name='run_sync', text=f'{RUNS} × run_sync', expected=RUNS),
    Ending(name='asyncio.run', text=f'asyncio.run of {RUNS} runs', expected=RUNS),
    Ending(name='threads', text=f'{THREADS} short-lived threads', expected=THREADS),
    Ending(name='sys.exit', text=f'sys.exit after {RUNS} runs', expected=RUNS, exit_code=EXIT_CODE),
    Ending(
        name='SIGTERM',
        text=f'SIGTERM under uvicorn, {SERVED} requests answered, evaluator of 1 s',
        expected=SERVED,
        exit_code=-signal.SIGTERM,
    ),
    Ending(name='trio', text=f'trio, {RUNS} runs', expected=RUNS),
)


@dataclass(kw_only=True, frozen=True)
class Ended:
    """What a process left behind."""

    run_ids: list[str]
    exit_code: int
    errors: str


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table; a short run leaves upstream out, since each case takes a process of its own."""
    return [_row(ending, _end(ending, 'ours'), None if quick else _end(ending, 'upstream')) for ending in ENDINGS]


def _row(ending: Ending, ours: Ended, upstream: Ended | None) -> Row:
    return Row(
        measure=f'the process ends right after the runs, {ending.text}: scored',
        ours=len(set(ours.run_ids)),
        upstream=len(set(upstream.run_ids)) if upstream is not None else None,
        target=Target(of='count', must=ending.expected),
        fault=_fault(ending, ours),
    )


def _fault(ending: Ending, ended: Ended) -> str | None:
    if len(ended.run_ids) != len(set(ended.run_ids)):
        return f'{len(ended.run_ids) - len(set(ended.run_ids))} runs were reported twice'
    if ended.exit_code != ending.exit_code:
        last_line = next(reversed(ended.errors.splitlines()), 'it wrote no error')
        return f'the process ended with {ended.exit_code} instead of {ending.exit_code}: {last_line}'
    return None


def _end(ending: Ending, package: PackageName) -> Ended:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'evaluated')
        process = start_module('endings', ending.name, package, str(path))
        try:
            if ending.name == 'SIGTERM':
                _serve(process)
                process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=TIMEOUT)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        run_ids = path.read_text().split() if path.exists() else []
    return Ended(run_ids=run_ids, exit_code=process.returncode, errors=errors)


def _serve(process: subprocess.Popen[str]) -> None:
    """Let the server answer."""
    assert process.stdout is not None
    url = f'http://127.0.0.1:{process.stdout.readline().strip()}/'
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(_: int) -> int:
        with opener.open(url, timeout=TIMEOUT) as response:
            response.read()
            return response.status

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(ask, range(SERVED)))
    if answers != [200] * SERVED:
        raise ChildError(f'The server answered {answers}.')
