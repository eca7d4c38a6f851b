"""The command as a process of its own: exit codes, following, Ctrl-C, closed pipes, and a missing extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from processes import ended

from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

pytestmark = pytest.mark.acceptance

# It is in the folder of other tests, where pyright does not look.
SAMPLES: Any = import_module('store_samples')
BOUND: float = SAMPLES.BOUND
COMMAND = (sys.executable, '-W', 'error', '-m', 'pydantic_ai_assay.cli')


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f'sqlite:///{tmp_path / "assay.db"}'
    migrate(url)
    return url


def environment(url: str) -> dict[str, str]:
    unwanted = ('NO_COLOR', 'FORCE_COLOR', 'COLUMNS', 'LOGFIRE_TOKEN')
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, 'ASSAY_STORE': url, 'PYTHONUNBUFFERED': '1'}


def assay(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def running(*arguments: str, url: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with ended(process):
        yield process


def judge(store: Store, number: int, passed: bool) -> None:
    run = SAMPLES.a_run(number)
    SAMPLES.keep(store, (run, [SAMPLES.an_outcome(run, SAMPLES.a_result(passed))]))


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_report_ends_with_1_when_a_bound_is_not_kept_and_with_0_when_it_is(url: str) -> None:
    store = Store(url)
    for number in range(1, 21):
        judge(store, number, number != 7)
    assert store.close()
    window = ('report', '--since', '2026-01-01', '--until', '2026-01-03')
    kept = assay(*window, '--fail-under', 'Polite=0.7', '--min-coverage', '0.95', url=url)
    assert (kept.returncode, kept.stderr) == (0, '')
    assert '0.950' in kept.stdout
    unmet = assay(*window, '--fail-under', 'Polite=0.9', url=url)
    assert (unmet.returncode, unmet.stderr[:30]) == (1, 'unmet: Polite (support) may be')


def test_a_mistake_ends_with_2_and_a_missing_store_with_3_without_a_traceback(url: str, tmp_path: Path) -> None:
    wrong = assay('show', 'run-1', url=url)
    assert (wrong.returncode, wrong.stdout) == (2, '')
    assert wrong.stderr == "error: There is no run 'run-1'. There is none at all.\n"
    missing = assay('runs', url=f'sqlite:///{tmp_path / "none.db"}')
    assert (missing.returncode, missing.stdout) == (3, '')
    assert assay('runs', '--limit', 'many', url=url).returncode == 2
    assert 'Traceback' not in wrong.stderr + missing.stderr


def test_tail_follows_until_it_is_interrupted(url: str) -> None:
    store = Store(url)
    judge(store, 1, True)
    with running('tail', '--interval', '0.05', '--json', url=url) as process:
        assert json.loads(line_of(process))['run_id'] == 'run-1'
        for number in (2, 3):
            judge(store, number, False)
            assert json.loads(line_of(process))['run_id'] == f'run-{number}'
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=BOUND)
        assert (process.returncode, stdout, stderr) == (0, '', '')
    assert store.close()


def test_tail_of_an_empty_store_waits_for_the_first_outcome(url: str) -> None:
    with running('tail', '--interval', '0.05', url=url) as process:
        store = Store(url)
        judge(store, 1, False)
        assert line_of(process).rstrip().endswith('run-1  support  Polite  FAIL')
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=BOUND)
        assert process.returncode == 0
    assert store.close()


def test_tail_goes_on_when_the_store_is_back(url: str, tmp_path: Path) -> None:
    store = Store(url)
    judge(store, 1, True)
    assert store.close()
    database, away = tmp_path / 'assay.db', tmp_path / 'away'
    with running('tail', '--interval', '0.05', url=url) as process:
        assert 'run-1' in line_of(process)
        away.mkdir()
        for file in tmp_path.glob('assay.db*'):
            file.rename(away / file.name)
        assert process.stderr is not None
        assert 'It is tried again until it is back.' in process.stderr.readline()
        for file in away.iterdir():
            file.rename(tmp_path / file.name)
        assert database.exists()
        store = Store(url)
        judge(store, 2, False)
        assert 'run-2' in line_of(process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=BOUND)
        assert (process.returncode, stderr) == (0, '')
    assert store.close()


def test_a_reader_that_goes_away_is_no_error(url: str) -> None:
    store = Store(url)
    for number in range(1, 40):
        judge(store, number, True)
    assert store.close()
    with running('runs', '--limit', '1000', url=url) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(BOUND)
        assert process.stderr is not None
        with process.stderr as stderr:
            assert 'Traceback' not in stderr.read()


WITHOUT = """
import sys
for name in {names!r}:
    sys.modules[name] = None
sys.argv = ['assay', *{arguments!r}]
from pydantic_ai_assay.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ('names', 'arguments', 'extra'),
    [
        (['typer'], ['--help'], 'cli'),
        (['sqlalchemy'], ['report'], 'store'),
        (['sqlalchemy'], ['runs'], 'store'),
        (['sqlalchemy'], ['show', 'x'], 'store'),
        (['sqlalchemy'], ['tail'], 'store'),
        (['sqlalchemy'], ['prune', '--max-runs', '1'], 'store'),
        (['alembic'], ['migrate'], 'store'),
        (['sqlalchemy'], ['migrate'], 'store'),
        (['sqlalchemy'], ['check'], 'store'),
        (['logfire'], ['check'], 'logfire'),
        (['opentelemetry.exporter.otlp.proto.http._log_exporter'], ['check'], 'logfire'),
    ],
)
def test_a_missing_extra_is_named(names: list[str], arguments: list[str], extra: str, tmp_path: Path) -> None:
    program = WITHOUT.format(names=names, arguments=arguments)
    done = subprocess.run(
        [sys.executable, '-c', program],
        env={
            **environment(f'sqlite:///{tmp_path / "assay.db"}'),
            'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:9',
            **({'LOGFIRE_TOKEN': 'x'} if 'logfire' in names else {}),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, '')
    # Others may have warned that what is missing is missing.
    said = done.stderr.splitlines()[-1]
    assert said.startswith('error: ')
    assert said.endswith(f"pip install 'pydantic-ai-assay[{extra}]'`.")
    assert 'Traceback' not in done.stderr


@pytest.mark.skipif(sys.platform == 'win32', reason='there are no pseudo-terminals')
def test_a_terminal_gets_colours_and_a_progress_bar(url: str) -> None:
    import pty

    store = Store(url)
    for number in range(1, 60):
        judge(store, number, False)
    assert store.close()

    def seen(*arguments: str) -> bytes:
        ours, theirs = pty.openpty()
        output = b''
        process = subprocess.Popen([*COMMAND, *arguments], env=environment(url), stdout=theirs, stderr=theirs)
        os.close(theirs)
        try:
            while chunk := os.read(ours, 65_536):
                output += chunk
        except OSError:
            # That is how Linux says that the other end is closed.
            pass
        finally:
            os.close(ours)
        process.wait(BOUND)
        return output

    assert b'\x1b[31mFAIL' in seen('tail', '--no-follow')
    assert b'\x1b[31merror:\x1b[0m' in seen('show', 'x')
    assert b'Deleting' in seen('prune', '--max-runs', '1', '--yes')
    assert b'\n  "runs": [\r\n' in seen('runs', '--json')
