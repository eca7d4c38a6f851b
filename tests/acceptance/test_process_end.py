"""Real processes that end right after their runs: everything that was queued is judged."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import PROGRAMS, ended, run_program, scores_of

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(
    ('how', 'expected', 'code'),
    [
        ('run_sync', 10, 0),
        ('asyncio.run', 10, 0),
        ('threads', 30, 0),
        ('trio', 10, 0),
        ('sys.exit', 10, 3),
        ('sys.exit inside', 10, 3),
        ('exception', 2, 1),
        ('several loops', 22, 0),
    ],
)
def test_everything_is_scored(tmp_path: Path, how: str, expected: int, code: int) -> None:
    done = run_program('ends.py', how, scores=tmp_path / 'scores')
    assert done.returncode == code, done.stderr
    scores = scores_of(tmp_path / 'scores')
    assert len(scores) == expected, done.stderr
    assert all(score.endswith('True') for score in scores)
    # None was completed twice.
    assert len(set(scores)) == expected
    if how != 'exception':
        assert done.stderr == ''


def test_the_threads_that_judge_at_the_end_are_there_where_none_can_be_started_then(tmp_path: Path) -> None:
    done = run_program('threadless.py', scores=tmp_path / 'scores')
    assert (done.returncode, done.stderr) == (0, '')
    assert len(scores_of(tmp_path / 'scores')) == 2


@pytest.mark.parametrize('how', ['run_sync', 'asyncio.run', 'sync evaluator', 'waiting'])
def test_what_does_not_finish_is_named_in_one_warning(tmp_path: Path, how: str) -> None:
    done = run_program('hangs.py', how, scores=tmp_path / 'scores')
    assert done.returncode == 0
    assert done.stderr.count('AssayWarning') == 1, done.stderr
    left = '4 evaluation(s)' if how == 'waiting' else '1 evaluation(s)'
    assert f'{left} did not finish within shutdown_timeout=0.5 seconds' in done.stderr
    assert 'were left: Hang' in done.stderr
    assert f"'dropped': {left[0]}" in done.stdout


def test_what_has_not_begun_at_the_end_is_named_as_well(tmp_path: Path) -> None:
    done = run_program('hangs.py', 'at once', scores=tmp_path / 'scores')
    assert done.returncode == 0
    assert done.stderr.count('AssayWarning') == 1, done.stderr
    assert '1 evaluation(s) did not finish within shutdown_timeout=0 seconds' in done.stderr
    assert "'dropped': 1" in done.stdout


@pytest.mark.parametrize(('how', 'sink'), [('sink', 'Hanging'), ('callback', 'CallbackSink')])
def test_a_sink_that_does_not_end_is_named(tmp_path: Path, how: str, sink: str) -> None:
    done = run_program('undelivered.py', how, scores=tmp_path / 'scores')
    assert done.returncode == 0
    assert f'The process ended before all results were delivered; left: the sink {sink}.' in done.stderr
    assert f'Results were not delivered: the sink {sink} raised AssayError' in done.stderr


@pytest.mark.parametrize(('how', 'expected'), [('at first', 1), ('after a run', 2)])
def test_a_thread_that_outlives_the_main_thread_can_wait_for_its_own(tmp_path: Path, how: str, expected: int) -> None:
    done = run_program('lingering.py', how, scores=tmp_path / 'scores')
    assert done.returncode == 0, done.stderr
    assert len(scores_of(tmp_path / 'scores')) == expected
    assert done.stderr == ''


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def test_a_server_that_is_terminated(tmp_path: Path) -> None:
    """50 requests answered, SIGTERM, an evaluator of one second."""
    port = free_port()
    scores = tmp_path / 'scores'
    scores.touch()
    process = subprocess.Popen(
        [sys.executable, str(PROGRAMS / 'server.py'), str(port)],
        env={**os.environ, 'SCORES': str(scores)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stdout is not None
        assert process.stdout.readline() == 'serving\n'

        def ask(_: int) -> bytes:
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=30) as response:
                return response.read()

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(50))) == {b'hello'}
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert len(scores_of(scores)) == 50, errors
    # It ends as uvicorn lets it end: by the signal.
    assert process.returncode == -signal.SIGTERM
    assert errors == ''
