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

# They are in the folder of other tests, where pyright does not look.
SAMPLES: Any = import_module('store_samples')
TERMINAL: Any = import_module('pseudo_terminal')
BOUND: float = SAMPLES.BOUND
INTERRUPTED = 130
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
def running(*arguments: str, url: str, cwd: Path | None = None) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
    )
    with ended(process):
        yield process


def judge(store: Store, number: int, passed: bool) -> None:
    run = SAMPLES.a_run(number)
    SAMPLES.keep(store, (run, [SAMPLES.an_outcome(run, SAMPLES.a_result(passed))]))


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_report_ends_with_1_when_a_bound_is_not_kept(url: str) -> None:
    store = Store(url)
    for number in range(1, 21):
        judge(store, number, number != 7)
    assert store.close()
    window = ('report', '--since', '2026-01-01', '--until', '2026-01-03')
    unmet = assay(*window, '--fail-under', 'Polite=0.7', '--fail-under', 'Polite=0.9', url=url)
    assert (unmet.returncode, unmet.stderr[:30]) == (1, 'unmet: Polite (support) may be')
    assert unmet.stderr.count('unmet') == 1
    assert '0.950' in unmet.stdout


def test_a_mistake_ends_with_2_without_a_traceback(url: str) -> None:
    wrong = assay('show', 'run-1', url=url)
    assert (wrong.returncode, wrong.stdout) == (2, '')
    assert wrong.stderr == "error: There is no run 'run-1'. There is none at all.\n"


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
        assert (process.returncode, stdout, stderr) == (INTERRUPTED, '', '')
    assert store.close()


def test_tail_of_an_empty_store_waits_for_the_first_outcome(url: str) -> None:
    with running('tail', '--interval', '0.05', url=url) as process:
        store = Store(url)
        judge(store, 1, False)
        assert line_of(process).rstrip().endswith('run-1  support  Polite  FAIL')
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=BOUND)
        assert process.returncode == INTERRUPTED
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
        assert (process.returncode, stderr) == (INTERRUPTED, '')
    assert store.close()


JUDGES = """
import asyncio
from pydantic_evals.evaluators import Evaluator

class Endless(Evaluator):
    async def evaluate(self, ctx):
        print('judging', flush=True)
        await asyncio.Event().wait()

endless = Endless()
"""


def test_judging_again_can_be_interrupted(url: str, tmp_path: Path) -> None:
    store = Store(url)
    judge(store, 1, True)
    assert store.close()
    (tmp_path / 'endless_judges.py').write_text(JUDGES)
    arguments = ('evaluate', '--series', 'again', '--evaluator', 'endless_judges:endless', '--no-progress')
    with running(*arguments, url=url, cwd=tmp_path) as process:
        assert line_of(process) == 'judging\n'
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=BOUND)
        assert (process.returncode, stdout.strip(), stderr.strip()) == (INTERRUPTED, '', '')


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
import contextlib, io, json, os, sys
from pydantic_ai_assay.cli.main import main

def ended(arguments):
    sys.argv = ['assay', *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            main()
        except SystemExit as error:
            return [error.code, stdout.getvalue(), stderr.getvalue()]

for name, commands in json.loads(sys.argv[1]):
    if os.fork() == 0:
        sys.modules[name] = None
        os.environ['LOGFIRE_TOKEN'] = 'x' if name == 'logfire' else ''
        for arguments in commands:
            print(json.dumps(ended(arguments)), flush=True)
        sys.exit()
    os.wait()
"""
EVENTS = 'opentelemetry.exporter.otlp.proto.http._log_exporter'
OF_STORE = (['report'], ['runs'], ['show', 'x'], ['tail'], ['prune', '--max-runs', '1'], ['migrate'], ['check'])
MISSING = (
    ('typer', [['--help']], 'cli'),
    ('sqlalchemy', OF_STORE, 'store'),
    ('alembic', [['migrate']], 'store'),
    ('logfire', [['check']], 'logfire'),
    (EVENTS, [['check']], 'logfire'),
)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork')
def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT, json.dumps([case[:2] for case in MISSING])],
        env={
            **environment(f'sqlite:///{tmp_path / "assay.db"}'),
            'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:9',
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    endings = [json.loads(line) for line in done.stdout.splitlines()]
    cases = [(arguments, extra) for _, commands, extra in MISSING for arguments in commands]
    assert len(endings) == len(cases), done.stderr
    for (arguments, extra), (code, stdout, stderr) in zip(cases, endings, strict=True):
        assert (arguments, code, stdout) == (arguments, 2, '')
        # Others may have warned that what is missing is missing.
        said = stderr.splitlines()[-1]
        assert said.startswith('error: ')
        assert said.endswith(f"pip install 'pydantic-ai-assay[{extra}]'`.")
        assert 'Traceback' not in stderr


IN_TURN = """
import json, sys
from pydantic_ai_assay.cli.commands import app

for arguments in json.loads(sys.argv[1]):
    try:
        app(arguments)
    except SystemExit:
        continue
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='there are no pseudo-terminals')
def test_a_terminal_gets_colours_and_a_progress_bar(url: str, tmp_path: Path) -> None:
    store = Store(url)
    for number in range(1, 60):
        judge(store, number, False)
    assert store.close()

    commands = [['tail', '--no-follow'], ['show', 'x'], ['prune', '--max-runs', '1', '--yes'], ['runs', '--json']]
    program = [sys.executable, '-c', IN_TURN, json.dumps(commands)]
    _, seen = TERMINAL.seen_in_terminal(program, env=environment(url), cwd=tmp_path)
    for part in (b'\x1b[31mFAIL', b'\x1b[31merror:\x1b[0m', b'Deleting', b'\n  "runs": [\r\n'):
        assert part in seen
