"""Real processes that end, fork and are killed while they write to a store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import (  # pyright: ignore[reportMissingImports]
    database_url,  # pyright: ignore[reportUnknownVariableType]
    postgres_url,  # pyright: ignore[reportUnknownVariableType]
    sqlite_url,  # pyright: ignore[reportUnknownVariableType]
)
from processes import PROGRAMS, ended

from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url')

pytestmark = pytest.mark.acceptance


def end(how: str, *urls: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-W', 'ignore::DeprecationWarning', str(PROGRAMS / 'store_ending.py'), how, *urls],
        capture_output=True,
        text=True,
        timeout=100,
    )


def run(how: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-W', 'ignore::DeprecationWarning', str(PROGRAMS / 'store_process.py'), how],
        env={**os.environ, 'STORE': url},
        capture_output=True,
        text=True,
        timeout=100,
    )


def counted(store: Store) -> dict[str, int]:
    """Evaluations by status, from the sums."""
    total: dict[str, int] = {}
    for each in store.aggregates(timedelta(days=1), by=('evaluator',), where=AggregateFilter(kind='outcome')):
        for status, count in each.statuses.items():
            total[status] = total.get(status, 0) + count
    return total


@pytest.mark.parametrize(('how', 'code'), [('run_sync', 0), ('asyncio.run', 0), ('sys.exit', 3)])
def test_what_waits_at_the_end_of_the_process_is_written(database_url: str, how: str, code: int) -> None:
    migrate(database_url)
    done = run(how, database_url)
    assert (done.returncode, done.stderr) == (code, '')
    store = Store(database_url)
    assert (store.info().runs, store.info().outcomes) == (20, 40)
    assert counted(store) == {'scored': 40}
    assert store.close()


def test_what_comes_when_no_thread_starts_any_more_is_written(database_url: str) -> None:
    migrate(database_url)
    done = run('atexit', database_url)
    assert (done.returncode, done.stderr) == (0, '')
    store = Store(database_url)
    assert counted(store) == {'skipped': 1}
    assert store.close()


def test_whoever_ends_while_the_database_is_away_is_told_how_many_runs_are_not_stored(tmp_path: Path) -> None:
    done = end('ends', f'sqlite:///{tmp_path}/none/assay.db')
    assert done.returncode == 0
    assert 'Not stored in sqlite:///' in done.stderr
    assert 'runs: 5, evaluations that were only counted: 0. The store' in done.stderr
    assert 'unable to open database file' in done.stderr


def test_a_database_that_is_away_does_not_take_the_time_of_another(tmp_path: Path) -> None:
    away = [f'sqlite:///{tmp_path}/none/{name}.db' for name in 'abc']
    here = f'sqlite:///{tmp_path}/here.db'
    done = end('ends late', *away[:2], here, away[2])
    assert done.returncode == 0
    assert done.stderr.count('runs: 0, evaluations that were only counted: 1. The store') == 3
    store = Store(here)
    assert counted(store) == {'skipped': 1}
    assert store.close()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='This system does not fork.')
@pytest.mark.parametrize(('how', 'runs'), [('fork', 9), ('forks', 12)])
def test_what_forked_children_of_multiprocessing_judged_is_written(database_url: str, how: str, runs: int) -> None:
    assert_children_write(database_url, how, runs)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='This system does not fork.')
@pytest.mark.parametrize('how', ['forkserver', 'spawn'])
def test_what_started_children_of_multiprocessing_judged_is_written(sqlite_url: str, how: str) -> None:
    assert_children_write(sqlite_url, how, 9)


def assert_children_write(database_url: str, how: str, runs: int) -> None:
    migrate(database_url)
    done = end(how, database_url)
    assert (done.returncode, done.stderr) == (0, '')
    store = Store(database_url)
    assert (store.info().runs, store.info().outcomes, counted(store)) == (runs, runs, {'scored': runs})
    assert store.close()


def test_processes_that_write_first_at_once_lose_nothing(database_url: str) -> None:
    if database_url.startswith('postgres'):
        migrate(database_url)
    command = [sys.executable, '-W', 'ignore::DeprecationWarning', str(PROGRAMS / 'store_ending.py'), 'first']
    pipes: dict[str, Any] = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
    with ExitStack() as stack:
        processes = [subprocess.Popen([*command, database_url], text=True, **pipes) for _ in range(4)]
        for process in processes:
            stack.enter_context(ended(process))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == 'ready\n', process.communicate()[1]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write('go\n')
            process.stdin.flush()
        for process in processes:
            assert process.communicate(timeout=60) == ('', '')
    store = Store(database_url)
    assert (store.info().runs, store.info().outcomes, len(store.feedback())) == (200, 200, 4)
    assert counted(store) == {'scored': 200}
    assert store.close()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='This system does not fork.')
def test_both_sides_of_a_fork_write_their_own_once(database_url: str) -> None:
    migrate(database_url)
    done = run('fork', database_url)
    assert (done.returncode, done.stderr) == (0, '')
    store = Store(database_url)
    found = sorted(run.run_id for run in store.runs().items)
    assert found == sorted(f'{who}-{number}' for who in ('before', 'child', 'parent') for number in range(3))
    assert counted(store) == {'scored': 18, 'skipped': 1}
    assert store.close()


@pytest.mark.skipif(not hasattr(signal, 'SIGKILL'), reason='This system has no SIGKILL.')
def test_a_killed_process_leaves_no_run_without_its_outcomes(database_url: str) -> None:
    migrate(database_url)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / 'store_process.py'), 'endless'],
            env={**os.environ, 'STORE': database_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with ended(process):
            assert process.stdout is not None
            assert process.stdout.readline() == 'running\n', process.communicate()[1]
            # In the middle of its writing.
            store = Store(database_url)
            before = store.info().runs
            while store.info().runs == before:
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=30)
        info = store.info()
        assert info.runs > 0
        assert info.outcomes == 2 * info.runs
        runs, cursor = 0, None
        while runs == 0 or cursor is not None:
            page = store.runs(limit=500, cursor=cursor)
            for each in page.items:
                assert len(store.outcomes(each.run_id)) == 2
            runs, cursor = runs + len(page.items), page.cursor
        assert runs == info.runs
        assert counted(store) == {'scored': info.outcomes}
        assert store.close()
