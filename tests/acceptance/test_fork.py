"""Real processes that fork: each evaluates its own runs, and none of another's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import PROGRAMS, ended, run_program, scores_of
from test_process_end import free_port

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not hasattr(os, 'fork'), reason='the system does not fork'),
]


@pytest.mark.parametrize(
    ('how', 'processes'),
    [
        ('under load', 21),
        ('from a thread', 2),
        ('of a child', 3),
        ('processes', 5),
        ('in the middle', 2),
        ('in a block', 2),
        ('in a tool', 2),
    ],
)
def test_each_process_evaluates_what_ran_in_it(tmp_path: Path, how: str, processes: int) -> None:
    done = run_program('forking.py', how, scores=tmp_path / 'scores')
    assert (done.returncode, done.stderr) == (0, ''), done.stdout
    said = [line.split() for line in done.stdout.splitlines()]
    ran = {pid: int(count) for _, pid, count in said}
    assert [word for word, *_ in said] == ['ran'] * processes
    assert len(ran) == processes
    scores = scores_of(tmp_path / 'scores')
    # None was judged twice, by one process or by two.
    assert len(set(scores)) == len(scores)
    assert Counter(tuple(score.split()[:3]) for score in scores) == {
        (pid, name, pid): count for pid, count in ran.items() for name in ('Brief', 'BriefSync')
    }


def test_the_testing_kit_works_in_a_child_though_threads_were_using_it(tmp_path: Path) -> None:
    done = run_program('forking_kit.py', scores=tmp_path / 'scores')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.split() == [*['1'] * 4, '2.5', '1.5']


@pytest.mark.parametrize(('worker', 'app'), [('sync', 'wsgi'), ('gthread', 'wsgi'), ('asgi', 'asgi')])
def test_workers_of_a_server_that_preloads_the_application(tmp_path: Path, worker: str, app: str) -> None:
    """The agent has run before the fork. All that was answered is judged, by who answered, though SIGTERM comes first."""
    pytest.importorskip('gunicorn')
    port = free_port()
    scores = tmp_path / 'scores'
    scores.touch()
    options = ['--preload', '--workers=2', f'--worker-class={worker}', '--threads=4', f'--bind=127.0.0.1:{port}']
    process = subprocess.Popen(
        [sys.executable, '-m', 'gunicorn', *options, '--log-level=info', '--no-control-socket', f'preloaded:{app}'],
        env={**os.environ, 'SCORES': str(scores)},
        cwd=PROGRAMS,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stderr is not None
        booted = 0
        while booted < 2:
            line = process.stderr.readline()
            assert line, process.wait(30)
            booted += 'Booting worker' in line

        def ask(number: int) -> str:
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/{number}', timeout=30) as response:
                return response.read().decode()

        with ThreadPoolExecutor(8) as pool:
            answered = list(pool.map(ask, range(30)))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    found = Counter(scores_of(scores))
    master = f'{process.pid} {process.pid}'
    expected = [master, *(f'{known_by.partition("/")[0]} {known_by}' for known_by in answered)]
    assert found == Counter(f'{each} {name}' for each in expected for name in ('Slow', 'SlowSync')), errors
