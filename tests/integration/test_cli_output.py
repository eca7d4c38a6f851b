"""What the command prints: tables as wide as there is room, in any encoding, to readers that go away."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest
from cli_store import WINDOW, assay, printed, url
from inline_snapshot import snapshot
from store_samples import START, a_run, an_outcome, keep

from pydantic_ai_assay.cli.main import main
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

__all__ = ('url',)

ID = '01a1ff8e-3fe9-7781-ab2e-78dcbd081d65'


@pytest.fixture
def long_url(tmp_path: Path) -> str:
    """A store with a run whose id is long, and whose text is wide."""
    url = f'sqlite:///{tmp_path / "long.db"}'
    migrate(url)
    store = Store(url)
    run = a_run(1, run_id=ID, started_at=START, inputs='Wo ist meine Bestellung?', output='日本語' * 20)
    keep(store, (run, [an_outcome(run)]))
    assert store.close()
    return url


# Tables


def test_an_id_is_whole_and_a_run_is_on_a_line(long_url: str) -> None:
    assert printed('runs', store=long_url, width=115) == snapshot("""\
run                                    started (UTC)      agent     ended       took   asked          answered
───────────────────────────────────────────────────────────────────────────────────────────────────────────────────
01a1ff8e-3fe9-7781-ab2e-78dcbd081d65   2026-01-02 03:04   support   success   1.50 s   Wo ist mein…   日本語日本語…
""")
    assert printed('runs', store=long_url, width=100) == snapshot("""\
run                                    started (UTC)      agent     ended       took   asked
────────────────────────────────────────────────────────────────────────────────────────────────────
01a1ff8e-3fe9-7781-ab2e-78dcbd081d65   2026-01-02 03:04   support   success   1.50 s   Wo ist meine…
""")
    assert printed('runs', store=long_url, width=84) == snapshot("""\
run                                    started (UTC)      agent     ended       took
────────────────────────────────────────────────────────────────────────────────────
01a1ff8e-3fe9-7781-ab2e-78dcbd081d65   2026-01-02 03:04   support   success   1.50 s
""")


def test_where_a_row_has_no_room_it_is_a_list(long_url: str, url: str) -> None:
    assert printed('runs', store=long_url, width=50) == snapshot("""\
run            01a1ff8e-3fe9-7781-ab2e-78dcbd081d65
started (UTC)  2026-01-02 03:04
agent          support
ended          success
took           1.50 s
asked          Wo ist meine Bestellung?
answered       日本語日本語日本語日本語日本語日本
               語日本語日本語日本語日本語日本語日
               本語日本語日本語日本語日本語日…
""")
    lines = printed('report', *WINDOW, store=url, width=40).splitlines()
    assert lines[2:10] == snapshot(
        [
            'agent          planner',
            'evaluator      Polite',
            'estimate       none',
            '95 % interval  none',
            'scores         0',
            'coverage       0.0 %',
            '',
            'agent          support',
        ]
    )


def test_names_go_on_below_where_there_is_no_room(tmp_path: Path) -> None:
    url = f'sqlite:///{tmp_path / "names.db"}'
    migrate(url)
    store = Store(url)
    run = a_run(1, target='support of last resort')
    keep(store, (run, [an_outcome(run, evaluator='Answers the question that was asked')]))
    assert store.close()
    assert printed('report', *WINDOW, store=url, width=80).splitlines()[2:7] == snapshot(
        [
            'agent       evaluator   result  kind  estimate   95 % interval  scores  coverage',
            '────────────────────────────────────────────────────────────────────────────────',
            'support of  Answers     Polite  rate     1.000  0.050 to 1.000       1   100.0 %',
            'last        the',
            'resort      question',
        ]
    )


def test_what_goes_to_no_terminal_is_not_cut(long_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # That is where Python looks for the size of a terminal.
    monkeypatch.setattr(sys, '__stdout__', None)
    lines = assay('runs', store=long_url, width=None).stdout.splitlines()
    assert len(lines) == 3
    assert 'Wo ist meine Bestellung?' in lines[2]


# Streams


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int | str | None]]:
    """Runs the command with an output, and says how it ends; closes the output."""

    def run(stdout: TextIO, stderr: TextIO, *arguments: str) -> int | str | None:
        monkeypatch.setattr(sys, 'argv', ['assay', *arguments])
        monkeypatch.setattr(sys, 'stdout', stdout)
        monkeypatch.setattr(sys, 'stderr', stderr)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    yield run


def test_what_an_encoding_has_no_character_for_is_printed_as_something_like_it(
    long_url: str, run_main: Callable[..., int]
) -> None:
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding='ascii', newline='\n') for _ in range(2))
    assert run_main(stdout, stderr, 'show', ID, '--store', long_url) == 0
    shown = stdout.buffer.getvalue().decode()
    assert '| Wo ist meine Bestellung?\n' in shown
    assert '| \\u65e5\\u672c\\u8a9e' in shown


def test_main_ends_with_the_code_of_what_went_wrong(
    long_url: str, run_main: Callable[..., int], tmp_path: Path
) -> None:
    for code, arguments in (
        (0, ('runs', '--store', long_url)),
        (1, ('report', *WINDOW, '--store', long_url, '--fail-under', 'Polite=0.9')),
        (2, ('runs', '--limit', 'many')),
        (2, ('show', 'x', '--store', long_url)),
        (3, ('runs', '--store', f'sqlite:///{tmp_path / "none.db"}')),
    ):
        stderr = io.StringIO()
        assert run_main(io.StringIO(), stderr, *arguments) == code
        assert 'Traceback' not in stderr.getvalue()


def test_an_output_without_an_encoding_is_left_as_it_is(run_main: Callable[..., int]) -> None:
    stdout = io.StringIO()
    assert run_main(stdout, io.StringIO(), '--help') == 0
    assert stdout.getvalue().startswith('Usage: assay')


@pytest.mark.parametrize('arguments', [('runs',), ('runs', '--json'), ('report', *WINDOW), ('tail', '--no-follow')])
def test_a_reader_that_went_away_ends_it_as_it_ends_other_commands(
    long_url: str, run_main: Callable[..., int], arguments: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stderr = io.StringIO()
    with open(writer, 'w', encoding='utf-8') as stdout:
        assert run_main(stdout, stderr, *arguments, '--store', long_url) == 141
    assert stderr.getvalue() == ''


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='there is no device that is always full')
@pytest.mark.parametrize('arguments', [('runs',), ('report', *WINDOW)])
def test_a_full_disk_is_said(long_url: str, run_main: Callable[..., int], arguments: tuple[str, ...]) -> None:
    stderr = io.StringIO()
    with open('/dev/full', 'w', encoding='utf-8') as stdout:
        assert run_main(stdout, stderr, *arguments, '--store', long_url) == 4
    assert stderr.getvalue() == 'error: The output cannot be written: No space left on device.\n'
