"""The demo: real runs of an offline agent, evaluated while it goes on answering."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from pseudo_terminal import seen_in_terminal

DEMO = Path(__file__).parents[2] / 'examples' / 'demo.py'


def environment() -> dict[str, str]:
    """This process's environment without anything that a real model or Logfire would need, or that colours output."""
    unwanted = ('OPENAI_API_KEY', 'LOGFIRE_TOKEN', 'NO_COLOR', 'ASSAY_STORE', 'COLUMNS')
    return {name: value for name, value in os.environ.items() if name not in unwanted}


@pytest.fixture(scope='module')
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    done = subprocess.run(
        [sys.executable, '-W', 'error', str(DEMO)],
        cwd=tmp_path_factory.mktemp('demo'),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert '\x1b' not in done.stdout
    return done.stdout.splitlines()


def test_every_customer_is_answered_but_one(lines: list[str]) -> None:
    agent = [line.split()[0::2][:2] for line in lines if re.match(r'run-\d +agent ', line)]
    assert agent == snapshot(
        [
            ['run-1', 'answered'],
            ['run-2', 'answered'],
            ['run-3', 'answered'],
            ['run-4', 'answered'],
            ['run-5', 'answered'],
            ['run-6', 'raised'],
            ['run-7', 'answered'],
            ['run-8', 'answered'],
        ]
    )


def test_results_come_after_the_answer_they_judge_and_before_the_last_one(lines: list[str]) -> None:
    answered = {line.split()[0]: place for place, line in enumerate(lines) if re.match(r'run-\d +agent ', line)}
    judged = [(line.split()[0], place) for place, line in enumerate(lines) if re.match(r'run-\d +(?!agent )\w', line)]
    assert all(answered[run] < place for run, place in judged)
    assert min(place for _, place in judged) < answered['run-8']


def test_the_judge_gives_its_reasons(lines: list[str]) -> None:
    assert sorted(line for line in lines if ' Polite ' in line and line.startswith('run-')) == snapshot(
        [
            "run-1   Polite    pass      says 'thank you'",
            "run-2   Polite    pass      says 'gladly'",
            'run-3   Polite    FAIL      sends the customer away without a kind word',
            "run-4   Polite    pass      says 'thank you'",
            "run-5   Polite    pass      says 'would you like'",
            "run-7   Polite    pass      says 'thank you'",
            "run-8   Polite    pass      says 'please'",
        ]
    )


def test_the_run_that_raised_and_the_slow_run_are_looked_into(lines: list[str]) -> None:
    trouble = [line for line in lines if ' Trouble ' in line]
    assert any(re.fullmatch(r'run-5 +Trouble +slow +took \d\.\d s', line) for line in trouble)
    assert any(re.fullmatch(r'run-6 +Trouble +error +ConnectionError: the order .*', line) for line in trouble)


def test_the_summary_counts_each_evaluation_once(lines: list[str]) -> None:
    summary = lines[next(place for place, line in enumerate(lines) if line.startswith('evaluations')) :]
    summary = summary[: summary.index('')]
    rows = {line.split()[0]: line.split()[1:] for line in summary if line.startswith(('evaluations', '  '))}
    assert {name: row for name, row in rows.items() if name not in ('Trouble', 'all')} == snapshot(
        {
            'evaluations': ['scored', 'sampled_out', 'skipped', 'failed', 'dropped'],
            'Ending': ['4', '4', '0', '0', '0'],
            'Polite': ['7', '0', '1', '0', '0'],
            'Words': ['7', '0', '1', '0', '0'],
        }
    )
    assert all(sum(map(int, row)) == 8 for name, row in rows.items() if name not in ('evaluations', 'all'))
    assert sum(map(int, rows['all'])) == 32


def after(lines: list[str], command: str) -> list[str]:
    """What a command printed, as far as the next one."""
    start = lines.index(f'$ {command} --store sqlite:///assay-demo.db')
    rest = lines[start + 1 :]
    end = next((place for place, line in enumerate(rest) if line.startswith(('$ ', 'To go on'))), len(rest))
    return rest[:end]


def test_a_report_is_made_from_the_store(lines: list[str]) -> None:
    report = [line.split() for line in after(lines, 'assay report') if line.startswith('support')]
    rates = {tuple(row[1:-1]) for row in report if 'rate' in row or 'share' in row}
    assert rates == snapshot(
        {
            ('Ending', 'question', 'share', '0.250', '0.013', 'to', '0.758', '4', '100.0'),
            ('Ending', 'statement', 'share', '0.750', '0.242', 'to', '0.987', '4', '100.0'),
            ('Polite', 'rate', '0.857', '0.470', 'to', '0.993', '7', '100.0'),
            ('Trouble', 'error', 'share', '0.500', '0.025', 'to', '0.975', '2', '100.0'),
            ('Trouble', 'slow', 'share', '0.500', '0.025', 'to', '0.975', '2', '100.0'),
        }
    )
    counted = {row[1]: row[2:5] for row in report[len(report) // 2 :] if row[-1] == 's'}
    assert counted == snapshot(
        {
            'Ending': ['4', '4', '0'],
            'Polite': ['7', '0', '1'],
            'Trouble': ['2', '6', '0'],
            'Words': ['7', '0', '1'],
        }
    )


def test_a_run_that_failed_is_shown_with_the_reason(lines: list[str]) -> None:
    shown = after(lines, 'assay show run-3')
    assert '│ My parcel arrived broken!' in shown
    assert '│ sends the customer away without a kind word' in shown
    assert any(line.startswith('Polite  FAIL') for line in shown)


def test_it_ends_with_what_to_type_next(lines: list[str]) -> None:
    steps = lines[lines.index('To go on:') + 1 :]
    for step, command in zip(steps, ('runs --failed', 'show run-6'), strict=False):
        assert step.endswith(f'assay {command} --store sqlite:///assay-demo.db')
    assert 'docs/quickstart.md' in steps[2]
    assert 'OPENAI_API_KEY' in steps[3]
    assert 'logfire.configure()' in steps[4]
    assert len(steps) == 5


def test_no_line_is_longer_than_a_wide_terminal(lines: list[str]) -> None:
    assert max(map(len, lines)) <= 120


@pytest.mark.skipif(sys.platform == 'win32', reason='there are no pseudo-terminals')
def test_a_terminal_gets_colours(tmp_path: Path) -> None:
    returncode, output = seen_in_terminal([sys.executable, str(DEMO)], env=environment(), cwd=tmp_path)
    assert returncode == 0
    assert b'\x1b[32mpass ' in output
    assert b'\x1b[31mFAIL ' in output
