"""The command: what all its parts have in common, and `tail`, `prune`, `migrate` and `check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cli_store import assay, printed, url
from inline_snapshot import snapshot
from store_samples import a_run, keep

from pydantic_ai_assay import EvaluationOutcome
from pydantic_ai_assay.cli import prune as pruning
from pydantic_ai_assay.store.rows import StoreInfo
from pydantic_ai_assay.store.store import Store

__all__ = ('url',)


@pytest.fixture
def new_url(tmp_path: Path) -> str:
    return f'sqlite:///{tmp_path / "new.db"}'


@pytest.fixture(autouse=True)
def nothing_to_send_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('LOGFIRE_TOKEN', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_LOGS_ENDPOINT'):
        monkeypatch.delenv(name, raising=False)


# tail


def test_tail_begins_with_the_last_outcomes(url: str) -> None:
    lines = printed('tail', '--no-follow', '-n', '4', store=url).splitlines()
    assert lines == snapshot(
        [
            '2026-01-02 03:16:07  run-12  support  Polite  FAIL  is rude',
            '2026-01-02 03:16:07  run-12  support  Words  12',
            '2026-01-02 03:16:07  run-12  support  Topic  topic=other',
            '2026-01-02 03:04:27  run-20  planner  Polite  failed  ValueError: no answer',
        ]
    )
    assert printed('tail', '--no-follow', '-n', '0', store=url) == ''


def test_tail_chooses_by_agent_evaluator_and_verdict(url: str) -> None:
    many = ('tail', '--no-follow', '-n', '1000', '--json')
    for arguments, expected in (
        (('--agent', 'planner'), 1),
        (('--evaluator', 'Words'), 12),
        (('--failed',), 4),
        (('--failed', '--evaluator', 'Words'), 0),
    ):
        documents = [json.loads(line) for line in printed(*many, *arguments, store=url).splitlines()]
        assert len(documents) == expected


@pytest.mark.parametrize(
    ('option', 'name', 'near'), [('--agent', 'planer', 'planner'), ('--evaluator', 'Topics', 'Topic')]
)
def test_tail_knows_a_wrong_name(url: str, option: str, name: str, near: str) -> None:
    result = assay('tail', option, name, store=url)
    assert result.exit_code == 2
    assert f"Did you mean '{near}'" in result.stderr


# prune


def keep_old_and_new(url: str) -> None:
    store = Store(url)
    now = datetime.now(UTC)
    nothing: list[EvaluationOutcome] = []
    keep(store, *((a_run(day, started_at=now - timedelta(days=day)), nothing) for day in range(1, 41)))
    assert store.close()


@pytest.mark.parametrize(
    ('arguments', 'deleted'),
    [
        (('--older-than', '30d'), 11),
        (('--max-runs', '5'), 35),
        (('--older-than', '30d', '--max-runs', '5'), 35),
        (('--max-bytes', '1'), 40),
        (('--older-than', '52w', '--max-bytes', '10000000'), 0),
    ],
)
def test_prune_deletes_the_oldest_runs(new_url: str, arguments: tuple[str, ...], deleted: int) -> None:
    keep_old_and_new(new_url)
    assert printed('prune', *arguments, '--yes', store=new_url) == f'Deleted {deleted} of 40 runs.\n'
    document = json.loads(printed('prune', *arguments, '--yes', '--json', store=new_url))
    assert document == {'deleted': 0, 'left': 40 - deleted}


def test_prune_asks_before_it_deletes(new_url: str) -> None:
    keep_old_and_new(new_url)
    refused = assay('prune', '--max-runs', '1', store=new_url, answer='n\n')
    assert (refused.exit_code, 'Deleted' in refused.stdout) == (1, False)
    assert 'Delete runs of the 40 in ' in refused.stderr
    unanswered = assay('prune', '--max-runs', '1', store=new_url)
    assert unanswered.exit_code == 1
    agreed = assay('prune', '--max-runs', '1', store=new_url, answer='y\n')
    assert (agreed.exit_code, agreed.stdout.splitlines()[-1]) == (0, 'Deleted 39 of 40 runs.')


def test_prune_needs_a_bound(url: str) -> None:
    result = assay('prune', '--yes', store=url)
    assert (result.exit_code, result.stderr) == snapshot(
        (2, 'error: Say what to keep: --older-than, --max-runs or --max-bytes.\n')
    )
    assert assay('prune', '--older-than', 'long', store=url).exit_code == 2


def test_prune_narrows_its_bounds_step_by_step_and_ends_with_those_that_are_wanted() -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    info = StoreInfo(url='', is_reachable=True, runs=150, oldest=now - timedelta(days=130), content_bytes=10)
    wanted: dict[str, Any] = {'older_than': timedelta(days=30), 'max_runs': 100, 'max_bytes': 1_000}
    found = list(pruning.steps(info, wanted, now))
    assert found[0] == {'older_than': timedelta(days=128), 'max_runs': 149}
    assert found[-1] == {'older_than': timedelta(days=30), 'max_runs': 100}
    assert len(found) == pruning.STEPS
    empty = StoreInfo(url='', is_reachable=True)
    assert set(map(str, pruning.steps(empty, wanted, now))) == {str(wanted)}


# migrate


def test_migrate_makes_the_tables_once(new_url: str) -> None:
    first = printed('migrate', store=new_url)
    assert first.endswith('new.db has the tables of revision 0001.\n')
    assert printed('migrate', store=new_url) == first
    assert json.loads(printed('migrate', '--json', store=new_url))['revision'] == '0001'
    assert printed('runs', store=new_url) == 'No runs.\n'


# check


def findings(*arguments: str, store: str) -> tuple[int, dict[str, tuple[bool | None, str]]]:
    result = assay('check', *arguments, '--json', store=store)
    document = json.loads(result.stdout)
    assert document['ok'] == (result.exit_code == 0)
    return result.exit_code, {each['name']: (each['is_ok'], each['detail']) for each in document['checks']}


def test_check_finds_all_well(url: str) -> None:
    lines = printed('check', '--no-events', store=url).splitlines()
    assert [line.split()[:2] for line in lines if line.strip('─')] == snapshot(
        [
            ['check', 'result'],
            ['environment', 'ok'],
            ['store', 'ok'],
            ['tables', 'ok'],
            ['content', 'ok'],
            ['All', 'is'],
        ]
    )


def test_check_says_what_is_in_the_store(url: str) -> None:
    exit_code, found = findings(store=url)
    assert (exit_code, found['content'][0], found['events']) == snapshot(
        (
            0,
            True,
            (
                None,
                'Neither LOGFIRE_TOKEN nor OTEL_EXPORTER_OTLP_ENDPOINT is set in this environment.',
            ),
        )
    )
    assert found['content'][1].startswith('13 runs from 2026-01-02 03:04 to 2026-01-02 03:16 UTC, 37 outcomes, ')


def test_check_finds_a_store_that_is_not_there(new_url: str) -> None:
    exit_code, found = findings(store=new_url)
    assert (exit_code, found['store'][0]) == (1, False)
    assert found['store'][1].endswith('the file does not exist.')
    assert 'FAILED' in assay('check', store=new_url).stdout
    assert 'tables' not in found


def test_check_finds_tables_that_are_not_current(tmp_path: Path) -> None:
    (tmp_path / 'bare.db').touch()
    exit_code, found = findings(store=f'sqlite:///{tmp_path}/bare.db')
    assert (exit_code, found['store'][0], found['tables'][0]) == (1, True, False)
    assert 'Run `assay migrate` on it.' in found['tables'][1]


def test_check_of_a_new_store_finds_no_runs(new_url: str) -> None:
    printed('migrate', store=new_url)
    assert findings(store=new_url)[1]['content'] == (None, 'No runs yet.')


def test_check_reads_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', 'most')
    exit_code, found = findings(store=url)
    assert (exit_code, found['environment'][0]) == (1, False)
    assert "ASSAY_SAMPLE_RATE must be a number from 0.0 to 1.0, got 'most'" in found['environment'][1]
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '1')
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'off')
    assert findings(store=url)[1]['environment'] == (False, 'ASSAY_EVALUATIONS switches all evaluations off.')


class Backend(HTTPServer):
    """Takes events, unless it is told not to."""

    status = 200

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Taking)
        self.requests: list[tuple[str, str | None, bytes]] = []

    @property
    def base(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'


class Taking(BaseHTTPRequestHandler):
    # `http.server` types it by its base class; nothing but a `Backend` makes these.
    server: Backend  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.requests.append((self.path, self.headers['Authorization'], body))
        self.send_response(self.server.status)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_check_sends_an_event_where_events_go(url: str, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_ENDPOINT', f'{backend.base}/')
    exit_code, found = findings(store=url)
    assert (exit_code, found['events']) == (0, (True, f'An event was taken by {backend.base}/v1/logs.'))
    ((path, _, body),) = backend.requests
    assert path == '/v1/logs'
    assert b'assay.check' in body
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_LOGS_ENDPOINT', f'{backend.base}/logs')
    assert findings(store=url)[1]['events'] == (True, f'An event was taken by {backend.base}/logs.')


def test_check_sends_an_event_to_logfire(url: str, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LOGFIRE_TOKEN', 'first, second')
    monkeypatch.setenv('LOGFIRE_BASE_URL', backend.base)
    exit_code, found = findings(store=url)
    assert (exit_code, found['events'][0]) == (0, True)
    assert [(path, token) for path, token, _ in backend.requests] == [('/v1/logs', 'first'), ('/v1/logs', 'second')]
    assert 'first' not in str(found)


def test_check_says_why_an_event_was_not_taken(url: str, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.status = 401
    monkeypatch.setenv('OTEL_EXPORTER_OTLP_ENDPOINT', backend.base)
    exit_code, found = findings(store=url)
    assert (exit_code, found['events'][0]) == (1, False)
    assert '401' in found['events'][1]


# What all commands have in common


def test_help_names_every_command(url: str) -> None:
    assert printed('--help', store=url) == snapshot("""\
Usage: assay [OPTIONS] COMMAND [ARGS]...

  What the runs of your agents are worth: reports, runs and their outcomes, from
  a store.

Options:
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  -h, --help            Show this message and exit.

Commands:
  agreement  How well an evaluator agrees with people, and the rate that...
  check      Whether the store can be reached, its tables are current, and...
  evaluate   Judge stored runs again; what is said is kept beside what was...
  export     Write stored runs to a dataset, to examples for fine-tuning,...
  feedback   Keep what somebody says of a run.
  migrate    Make the tables of this version, or bring them to it.
  prune      Delete old runs with their outcomes and feedback.
  report     Rates and means with intervals, coverage and cost, over a...
  runs       Runs, by what they were judged to be, how they ended, and how...
  show       One run: its conversation with tool calls, its outcomes with...
  tail       Outcomes as they arrive, until Ctrl-C.
""")
    assert printed('-h', store=url) == printed('--help', store=url)


@pytest.mark.parametrize('command', ['report', 'runs', 'show', 'tail', 'prune', 'migrate', 'check'])
def test_every_command_has_help_json_and_a_store(url: str, command: str) -> None:
    text = printed(command, '--help', store=url)
    assert '--json' in text
    assert '--store URL' in text
    assert 'ASSAY_STORE' in text
    assert 'secret' not in text


def test_a_package_that_is_missing_for_no_known_reason_is_no_mistake_of_the_user(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'pydantic_ai_assay.reports.window', None)
    result = assay('report', store=url)
    assert isinstance(result.exception, ModuleNotFoundError)


def test_the_store_may_be_given_by_the_environment_or_an_option(url: str, new_url: str) -> None:
    assert assay('runs', store=new_url).exit_code == 3
    assert assay('runs', '--store', url, store=new_url).exit_code == 0
