"""Workflows of real engines: a process that is killed and recovered, and a workflow in its sandbox."""

from __future__ import annotations

import ast
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import PROGRAMS, ended, run_program, scores_of

pytestmark = pytest.mark.acceptance

COMPLETE = [
    ['pydantic_ai_assay.evaluate', 'SUCCESS', 'scored'],
    ['pydantic_ai_assay.evaluate', 'SUCCESS', 'scored'],
    ['support', 'SUCCESS', '42'],
]
"""The workflows of one run with two evaluators, by name."""


def kill_when_stopped(where: str, tmp_path: Path) -> None:
    """Start the workflow, and kill its process where it stops."""
    (tmp_path / 'scores').touch()
    process = subprocess.Popen(
        [sys.executable, str(PROGRAMS / 'durable_workflow.py'), str(tmp_path / 'dbos.sqlite'), 'start', where],
        env={**os.environ, 'SCORES': str(tmp_path / 'scores')},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stdout is not None
        assert process.stdout.readline() == 'stopped\n'
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
        _, errors = process.communicate()
        assert errors == ''


def workflows_after(action: str, where: str, tmp_path: Path) -> Any:
    """Run or recover the workflow to its end, and tell what the engine has recorded."""
    done = run_program('durable_workflow.py', str(tmp_path / 'dbos.sqlite'), action, where, scores=tmp_path / 'scores')
    assert (done.returncode, done.stderr) == (0, '')
    return json.loads(done.stdout) if done.stdout else None


def scores_by_evaluator(tmp_path: Path) -> dict[str, str]:
    """What the sink was given, each run and evaluator once."""
    scores = [score.split(' ', 2) for score in scores_of(tmp_path / 'scores')]
    assert len({run for run, _, _ in scores}) == 1
    assert Counter(evaluator for _, evaluator, _ in scores).most_common(1)[0][1] == 1
    return {evaluator: rest for _, evaluator, rest in scores}


def attempts(tmp_path: Path) -> Counter[str]:
    """How often the model was asked, and each evaluator called."""
    return Counter(scores_of(tmp_path / 'scores.attempts'))


def stored(tmp_path: Path) -> list[str]:
    """The evaluators of which a sink that stores each result once has one."""
    with closing(sqlite3.connect(tmp_path / 'scores.sqlite')) as connection:
        return [row[0] for row in connection.execute('SELECT evaluator FROM scores ORDER BY evaluator')]


def test_a_run_that_is_not_interrupted_is_evaluated_beside_its_workflow(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    assert workflows_after('start', 'nowhere', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored with deps'}


def test_a_synchronous_workflow_waits_for_the_evaluations_of_its_run(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    where = 'nowhere, synchronously'
    assert workflows_after('start', where, tmp_path) == [['support_synchronously', 'SUCCESS', '42']]
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored with deps'}


def test_a_process_killed_in_the_middle_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    kill_when_stopped('in the run', tmp_path)
    assert scores_of(tmp_path / 'scores') == []
    assert workflows_after('recover', 'in the run', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored with deps'}
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 1}


def test_a_process_killed_after_the_run_and_before_its_evaluation(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    kill_when_stopped('after the run', tmp_path)
    assert attempts(tmp_path) == {'model': 2}
    assert workflows_after('recover', 'after the run', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored with deps'}
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 1}


def test_a_process_killed_after_the_run_and_before_the_evaluation_has_ended(tmp_path: Path) -> None:
    """The evaluation that had ended is not repeated, and the other one is taken up."""
    pytest.importorskip('dbos')
    kill_when_stopped('in the evaluation', tmp_path)
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True'}
    assert workflows_after('recover', 'in the evaluation', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored without deps'}
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 2}


def test_a_process_killed_after_the_score_and_before_the_sink_has_it(tmp_path: Path) -> None:
    """The evaluator is called again, and the sink once."""
    pytest.importorskip('dbos')
    kill_when_stopped('before the sink', tmp_path)
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True'}
    assert workflows_after('recover', 'before the sink', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored without deps'}
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 2}


def test_a_process_killed_after_the_sink_has_the_score_and_before_that_is_recorded(tmp_path: Path) -> None:
    """The sink gets it twice, and knows by run, evaluator and fingerprint that it is the same."""
    pytest.importorskip('dbos')
    kill_when_stopped('after the sink', tmp_path)
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored with deps'}
    assert workflows_after('recover', 'after the sink', tmp_path) == COMPLETE
    evaluators = Counter(score.split(' ')[1] for score in scores_of(tmp_path / 'scores'))
    assert evaluators == {'Quick': 1, 'Careful': 2}
    assert stored(tmp_path) == ['Careful', 'Quick']
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 2}


def test_a_process_killed_after_the_evaluation_and_before_the_workflow_has_ended(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    kill_when_stopped('in the workflow', tmp_path)
    before = scores_by_evaluator(tmp_path)
    assert before == {'Quick': 'scored True', 'Careful': 'scored with deps'}
    assert workflows_after('recover', 'in the workflow', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == before
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 1}


def test_a_process_that_ends_without_waiting_records_what_it_finishes(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    assert workflows_after('start', 'nowhere, and does not wait', tmp_path) is None
    before, attempts_before = scores_by_evaluator(tmp_path), attempts(tmp_path)
    assert before == {'Quick': 'scored True', 'Careful': 'scored with deps'}
    assert workflows_after('recover', 'nowhere, and does not wait', tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == before
    assert attempts(tmp_path) == attempts_before


def test_a_process_that_ends_without_time_leaves_the_evaluation_to_the_recovery(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    where = 'nowhere, and has no time'
    program = ('durable_workflow.py', str(tmp_path / 'dbos.sqlite'), 'start', where)
    done = run_program(*program, scores=tmp_path / 'scores')
    # Where its event loop has ended, it is begun again elsewhere, if the process has not ended before that.
    assert (done.returncode, done.stdout.replace('stopped\n' * 2, 'stopped\n')) == (0, 'stopped\n')
    assert 'did not finish within shutdown_timeout=0 seconds' in done.stderr
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True'}
    assert workflows_after('recover', where, tmp_path) == COMPLETE
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored without deps'}
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 1 + done.stdout.count('stopped')}


def test_a_test_that_captures_waits_for_the_evaluations_of_a_workflow(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    assert workflows_after('start', 'nowhere, captured', tmp_path) == [['support', 'SUCCESS', '42']]
    assert attempts(tmp_path) == {'model': 2, 'Quick': 1, 'Careful': 1}
    assert scores_of(tmp_path / 'scores') == []


def test_in_the_code_of_a_workflow_no_clock_is_read_and_nothing_is_started(tmp_path: Path) -> None:
    pytest.importorskip('dbos')
    done = run_program('durable_hook.py', str(tmp_path / 'dbos.sqlite'), 'start', 'nowhere', scores=tmp_path / 'scores')
    assert (done.returncode, done.stderr) == (0, '')
    _, in_workflow, outside = done.stdout.splitlines()
    assert ast.literal_eval(in_workflow) == ['_run_durably']
    # What is looked for is found where it is.
    assert {'perf_counter', 'call_later', 'background.py:run_async', 'lanes.py:post'} <= set(ast.literal_eval(outside))


@pytest.mark.parametrize('is_imported', [{}, {'IN_SANDBOX': '1'}], ids=['outside', 'in the sandbox'])
def test_a_workflow_of_temporal_keeps_to_the_rules_of_its_sandbox(tmp_path: Path, is_imported: dict[str, str]) -> None:
    """Its commands are the same in a replay, in which the evaluations are not repeated."""
    pytest.importorskip('temporalio')
    done = run_program('temporal_sandbox.py', scores=tmp_path / 'scores', **is_imported)
    assert (done.returncode, done.stderr) == (0, '')
    commands, replay = done.stdout.splitlines()
    assert replay == 'replayed'
    assert [name.rpartition('__')[2] for name in ast.literal_eval(commands)] == [
        'begin',
        'model_request',
        'call_tool',
        'model_request',
        'judge',
        'judge',
    ]
    assert scores_by_evaluator(tmp_path) == {'Quick': 'scored True', 'Careful': 'scored 4.0'}
