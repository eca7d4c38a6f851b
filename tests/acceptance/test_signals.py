"""Real processes that are told to end by a signal, and what they finish before they do."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from processes import run_program, scores_of

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(
    ('how', 'least', 'code'), [('leaves', 6, 3), ('goes on', 12, 0), ('is handled later', 8, 3), ('is chained', 8, 3)]
)
def test_a_program_that_handles_the_signal_finishes_what_is_pending(
    tmp_path: Path, how: str, least: int, code: int
) -> None:
    done = run_program('signalled.py', how, scores=tmp_path / 'scores')
    assert done.returncode == code, done.stderr
    scores = scores_of(tmp_path / 'scores')
    assert len(scores) >= least
    # Each run has the scores of both evaluators.
    assert {sum(score.split()[0] == run for score in scores) for run in {score.split()[0] for score in scores}} == {2}
    assert done.stderr == ''
    if how == 'goes on':
        assert done.stdout == 'told 2 times\n'


def test_a_program_that_passes_the_signal_on_ends_by_it_when_all_is_done(tmp_path: Path) -> None:
    """As uvicorn does. The exit handlers do not run, so that what OpenTelemetry holds back is exported before."""
    done = run_program('signalled.py', 'passes on', scores=tmp_path / 'scores')
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert len(scores_of(tmp_path / 'scores')) == 6
    spans = (tmp_path / 'spans').read_text().splitlines()
    assert spans.count('the last words') == 1
    assert spans.count('evaluator: {evaluator_name}') == 6
    assert done.stderr == ''


def test_a_signal_that_the_program_does_not_handle_is_left_alone(tmp_path: Path) -> None:
    done = run_program('signalled.py', 'is killed', scores=tmp_path / 'scores')
    assert done.returncode == -signal.SIGTERM


def test_ctrl_c_ends_the_wait_and_what_is_left_is_named(tmp_path: Path) -> None:
    done = run_program('signalled.py', 'is interrupted while waiting', scores=tmp_path / 'scores')
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('AssayWarning') == 1, done.stderr
    assert '1 evaluation(s) did not finish' in done.stderr
    assert 'were left: Slow (1).' in done.stderr
