"""A real server whose application has a lifespan, and which is told to end under load."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes import PROGRAMS, ended, scores_of
from test_process_end import free_port

pytestmark = pytest.mark.acceptance

CLIENTS = 8
BEFORE = 200
"""Requests that are answered before the server is told to end."""


@dataclass
class Clients:
    """Ask until the server answers no more, and keep the ids of the runs that it answered with."""

    url: str
    answered: list[str] = field(default_factory=list[str])
    enough: threading.Event = field(default_factory=threading.Event)

    def ask_on(self) -> None:
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=30) as response:
                    self.answered.append(response.read().decode())
            except (OSError, http.client.HTTPException):
                return
            finally:
                if len(self.answered) >= BEFORE:
                    self.enough.set()


@dataclass
class Served:
    process: subprocess.Popen[str]
    clients: Clients

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def answer_under_load_until(self, *signals: signal.Signals) -> list[str]:
        """The runs that were answered, of clients that are in the middle of asking when the signals come."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            asking = [pool.submit(self.clients.ask_on) for _ in range(CLIENTS)]
            assert self.clients.enough.wait(60)
            for each in signals:
                self.process.send_signal(each)
            for client in asking:
                client.result(60)
        return self.clients.answered


@contextmanager
def served(scores: Path, how: str, *, seconds: float, timeout: float | None = None, warn: str) -> Generator[Served]:
    port = free_port()
    scores.touch()
    arguments = [how, str(port), str(seconds), *([str(timeout)] if timeout is not None else [])]
    process = subprocess.Popen(
        [sys.executable, '-W', warn, str(PROGRAMS / 'served.py'), *arguments],
        env={**os.environ, 'SCORES': str(scores)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        server = Served(process, Clients(f'http://127.0.0.1:{port}/'))
        assert server.line() == 'serving\n'
        yield server


def named_in(errors: str) -> Counter[str]:
    """The evaluators that the one warning names, each with its count."""
    assert errors.count('AssayWarning') == 1, errors
    (warning,) = [line for line in errors.splitlines() if 'AssayWarning' in line]
    named = Counter({name: int(count) for name, count in re.findall(r'(\w+) \((\d+)\)', warning)})
    assert f': {named.total()} evaluation(s) ' in warning
    return named


def evaluators_of(scores: list[str]) -> Counter[str]:
    # None was scored twice.
    assert len(set(scores)) == len(scores)
    return Counter(score.split()[1] for score in scores)


@pytest.mark.parametrize(
    ('how', 'timeout'), [('sink', None), ('sink', 60.0), ('in threads', 60.0)], ids=['plain', 'own', 'in threads']
)
def test_all_that_was_answered_is_scored(tmp_path: Path, how: str, timeout: float | None) -> None:
    """A second SIGTERM changes nothing: a supervisor tells a worker, and so does the worker's parent."""
    scores = tmp_path / 'scores'
    with served(scores, how, seconds=0.3, timeout=timeout, warn='error') as server:
        answered = server.answer_under_load_until(signal.SIGTERM, signal.SIGTERM)
        _, errors = server.process.communicate(timeout=60)
    assert len(answered) >= BEFORE
    assert Counter(scores_of(scores)) == {f'{run} {name} True': 1 for run in answered for name in ('Slow', 'SlowSync')}
    assert errors == ''
    # It ends as uvicorn lets it end: by the signal.
    assert server.process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(('how', 'is_held'), [('events', True), ('events in threads', False)])
def test_what_is_not_scored_in_time_is_named(tmp_path: Path, how: str, is_held: bool) -> None:
    """Where the signal is not held, what is named may still be scored in the moment before it ends the process."""
    scores = tmp_path / 'scores'
    with served(scores, how, seconds=0.3, timeout=0.05, warn='default') as server:
        answered = server.answer_under_load_until(signal.SIGTERM)
        _, errors = server.process.communicate(timeout=60)
    named = named_in(errors)
    assert named['Slow'] > 0
    scored = evaluators_of(scores_of(scores))
    for name in ('Slow', 'SlowSync'):
        assert scored[name] <= len(answered)
        twice = scored[name] + named[name] - len(answered)
        assert twice == 0 if is_held else 0 <= twice <= named[name]
    assert server.process.returncode == -signal.SIGTERM


def test_a_second_ctrl_c_ends_the_wait_and_what_is_left_is_named(tmp_path: Path) -> None:
    scores = tmp_path / 'scores'
    with served(scores, 'events', seconds=3_600, timeout=3_600, warn='default') as server:
        answered = server.answer_under_load_until(signal.SIGINT)
        assert server.line() == 'waiting\n'
        server.process.send_signal(signal.SIGINT)
        assert server.line() == 'closed\n'
        _, errors = server.process.communicate(timeout=60)
    assert 'did not finish within' in errors, errors
    assert f'Slow ({len(answered)})' in errors
