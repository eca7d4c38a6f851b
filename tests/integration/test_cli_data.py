"""`assay feedback`, `assay agreement`, `assay evaluate` and `assay export`, as somebody types them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli_store import assay, printed
from databases import sqlite_url
from pydantic_evals import Dataset
from store_samples import START, a_failure, a_result, a_run, an_outcome, keep

from pydantic_ai_assay import Judgement, Vote
from pydantic_ai_assay.cli.conditions import where_of
from pydantic_ai_assay.cli.feedback import value_of
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store

__all__ = ('sqlite_url',)


@pytest.fixture
def url(sqlite_url: str) -> str:
    """A store with two runs, one of which failed."""
    store = Store(sqlite_url)
    first, second = a_run(1), a_run(2)
    keep(store, (first, [an_outcome(first)]), (second, [an_outcome(second, a_result(False))]))
    store.close()
    return sqlite_url


def refused(*arguments: str, store: str) -> str:
    result = assay(*arguments, store=store)
    assert result.exit_code == 2, result.output
    return result.stderr


# Conditions


def test_conditions_are_those_of_the_store() -> None:
    given = ['agent=a', 'path=a > b', 'passed=No', 'min_duration=2.5', 'conversation=c', 'since=2026-01-02', 'tag=x=y']
    assert where_of(given) == RunFilter(
        target='a',
        path=('a', 'b'),
        passed=False,
        min_duration=2.5,
        conversation_id='c',
        since=datetime(2026, 1, 2, tzinfo=UTC),
        tag='x=y',
    )
    assert where_of(None) is None


@pytest.mark.parametrize(
    ('condition', 'message'),
    [
        ('passd=true', "no condition 'passd'. Did you mean 'passed'?"),
        ('passed', 'must be NAME=VALUE'),
        ('passed=maybe', "passed must be true or false, got 'maybe'"),
        ('min_duration=long', "min_duration must be a number, got 'long'"),
        ('min_duration=nan', "min_duration must be a number, got 'nan'"),
        ('since=then', 'since must say how long ago'),
        ('status=odd', 'status must be one of'),
        ('tag=twice', "a condition can be given once, got 'tag' again"),
    ],
)
def test_a_wrong_condition_is_said_in_a_line(url: str, tmp_path: Path, condition: str, message: str) -> None:
    error = refused('export', str(tmp_path / 'a.json'), '--where', 'tag=once', '--where', condition, store=url)
    assert message in error


@pytest.mark.parametrize(
    'arguments',
    [
        ('export', 'new.json'),
        ('evaluate', '--series', 'again', '--evaluator', 'judged_near:EVALUATORS'),
        ('agreement', 'Polite', '--feedback', 'helpful'),
    ],
)
def test_conditions_with_a_name_that_there_is_not_are_answered_with_the_near_ones(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'judged_near.py').write_text(
        'from pydantic_evals.evaluators import Contains\n\nEVALUATORS = [Contains("a")]\n', encoding='utf-8'
    )
    printed('feedback', 'run-1', 'helpful', 'up', store=url)
    assert "no agent 'suport'. Did you mean 'support'?" in refused(*arguments, '--where', 'agent=suport', store=url)
    assert not (tmp_path / 'new.json').exists()


def test_agreement_says_that_there_is_nothing_to_compare(url: str) -> None:
    printed('feedback', 'run-1', 'helpful', 'up', store=url)
    arguments = ('agreement', 'Polite', '--feedback', 'helpful')
    assert "There is no series 'again'." in refused(*arguments, '--series', 'again', store=url)
    nothing = printed(*arguments, '--where', 'since=2031-01-01', store=url)
    assert nothing == 'No evaluations by Polite of such runs.\n'


# Feedback


@pytest.mark.parametrize(
    ('text', 'value'), [('up', True), ('NO', False), ('4', 4), ('4.5', 4.5), ('fine', 'fine'), ('true', True)]
)
def test_what_somebody_types_is_a_thumb_a_number_or_a_text(text: str, value: Any) -> None:
    assert value_of(text) == value and type(value_of(text)) is type(value)


def test_feedback_is_kept_with_the_run(url: str) -> None:
    assert printed('feedback', 'run-1', 'helpful', 'down', '--by', 'ann', store=url) == 'run-1: helpful = False\n'
    document = json.loads(printed('feedback', 'run-2', 'zip', '01234', '--text', '--json', store=url))
    assert document == {'run_id': 'run-2', 'name': 'zip', 'value': '01234', 'comment': None, 'by': None}
    store = Store(url)
    assert [(said.name, said.value, said.by) for said in store.run('run-1').feedback] == [('helpful', False, 'ann')]
    store.close()
    assert "no run 'run-9'" in refused('feedback', 'run-9', 'helpful', 'up', store=url)


# Agreement


def test_agreement_is_shown_with_what_to_read(url: str) -> None:
    printed('feedback', 'run-1', 'helpful', 'up', store=url)
    assert 'differ' not in printed('agreement', 'Polite', '--feedback', 'helpful', store=url)
    printed('feedback', 'run-2', 'helpful', 'up', store=url)
    shown = printed('agreement', 'Polite', '--feedback', 'helpful', store=url)
    assert 'Polite 1 (f1): 2 runs with helpful, 2 judged' in shown
    for name in ('same as people', 'kappa', 'rate by the evaluator', 'rate by the labels', 'rate, corrected'):
        assert name in shown
    assert 'run-2: False, people True' in shown
    (document,) = json.loads(printed('agreement', 'Polite', '--feedback', 'helpful', '--json', store=url))
    assert document['agreement']['accuracy']['value'] == 0.5
    assert document['corrected']['raw']['value'] == 0.5
    assert document['confusion'] == [
        {'label': True, 'verdict': True, 'runs': 1},
        {'label': True, 'verdict': False, 'runs': 1},
    ]
    assert [run['run_id'] for run in document['disagreements']] == ['run-2']
    assert "Did you mean 'helpful'" in refused('agreement', 'Polite', '--feedback', 'helpfull', store=url)


def test_many_disagreements_votes_and_both_orders_are_summed_up(url: str) -> None:
    store = Store(url)
    votes = Judgement(votes=(Vote(judge='a', value=True), Vote(judge='a', value=True)))
    for number in range(10, 25):
        run = a_run(number)
        other = an_outcome(run, evaluator='Swapped', judgement=votes)
        keep(store, (run, [an_outcome(run, judgement=votes), other]))
        store.add_feedback('helpful', number == 10, run_id=run.run_id, at=START)
    broken = a_run(30)
    keep(store, (broken, [a_failure(broken)]))
    store.add_outcomes('run-1', [an_outcome(a_run(1))], series='again')
    store.close()
    shown = printed('agreement', 'Polite', '--feedback', 'helpful', '--swapped', 'Swapped', store=url)
    assert 'Without a verdict, and in none of these numbers: 1 evaluation.' in shown
    assert 'They differ on 14 runs:' in shown and 'and 4 more' in shown
    assert 'votes that agree' in shown and 'same in both orders' in shown
    assert 'series again: 0 runs' in shown and 'No run has both' in shown
    document = json.loads(
        printed('agreement', 'Polite', '--feedback', 'helpful', '--swapped', 'Swapped', '--json', store=url)
    )
    assert document[0]['position_consistency']['value'] == 1.0


def test_scores_and_labels_have_the_numbers_that_they_can_have(url: str) -> None:
    store = Store(url)
    for number, (stars, kind) in enumerate([(1, 'a'), (2, 'b'), (4, 'a')], 40):
        run = a_run(number)
        scored = an_outcome(run, a_result(stars), evaluator='Stars', fingerprint='s')
        keep(store, (run, [scored, an_outcome(run, a_result(kind), evaluator='Kind', fingerprint='k')]))
        store.add_feedback('stars', 3, run_id=run.run_id)
        store.add_feedback('kind', 'a', run_id=run.run_id)
    store.close()
    shown = printed('agreement', 'Stars', '--feedback', 'stars', store=url)
    assert 'mean, corrected' in shown and 'kappa' in shown and 'passes more often' not in shown
    shown = printed('agreement', 'Kind', '--feedback', 'kind', store=url)
    assert 'corrected' not in shown
    (document,) = json.loads(printed('agreement', 'Kind', '--feedback', 'kind', '--json', store=url))
    assert document['corrected'] is None
    store = Store(url)
    store.add_feedback('helpful', True, run_id='run-40')
    store.close()
    shown = printed('agreement', 'Stars', '--feedback', 'helpful', store=url)
    assert 'a number is a verdict with --threshold' in shown


# Evaluate


def test_stored_runs_are_judged_again_with_the_evaluators_of_a_file(url: str, tmp_path: Path) -> None:
    spec = tmp_path / 'judges.yaml'
    spec.write_text('evaluators:\n- Contains: "1"\n- {evaluator: {MaxDuration: 1.0}, timeout: 5}\n')
    shown = printed('evaluate', '--spec', str(spec), '--series', 'again', '--no-progress', store=url)
    assert '2 runs in' in shown and 'series again' in shown
    assert 'Contains' in shown and 'MaxDuration' in shown
    shown = printed('evaluate', '--spec', str(spec), '--series', 'again', store=url)
    assert '4 evaluations were in the series already' in shown
    spec.write_text('["IsInstance"]')
    assert 'evaluators[0]' in refused('evaluate', '--spec', str(spec), '--series', 'x', store=url)
    spec.write_text('[')
    assert 'cannot be read' in refused('evaluate', '--spec', str(spec), '--series', 'x', store=url)


def test_stored_runs_are_judged_again_with_the_evaluators_of_a_module(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'our_judges.py').write_text(
        'from pydantic_evals.evaluators import Contains\nOne = Contains("1")\nall_of_them = [One]\n'
    )
    (tmp_path / 'our_broken_judges.py').write_text('raise ValueError("no")\n')
    (tmp_path / 'our_ending_judges.py').write_text('raise SystemExit(0)\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    arguments = ['evaluate', '--series', 'again', '--where', 'passed=false', '--json', '--evaluator']
    document = json.loads(printed(*arguments, 'our_judges:One', store=url))
    assert (document['runs'], document['statuses']) == (1, {'Contains': {'scored': 1}})
    document = json.loads(printed(*arguments, 'our_judges:all_of_them', store=url))
    assert document['already'] == 1
    assert "Did you mean 'our_judges:One'" in refused(*arguments, 'our_judges:Ona', store=url)
    assert 'must be MODULE:OBJECT' in refused(*arguments, 'our_judges', store=url)
    assert 'cannot be imported: ValueError: no' in refused(*arguments, 'our_broken_judges:x', store=url)
    assert 'cannot be imported: SystemExit: 0' in refused(*arguments, 'our_ending_judges:x', store=url)
    assert 'There are no evaluators' in refused('evaluate', '--series', 'again', store=url)


def test_what_failed_in_a_series_is_judged_again_in_another(url: str, tmp_path: Path) -> None:
    spec = tmp_path / 'judges.yaml'
    spec.write_text('["Contains: 1"]'.replace('"', '').replace('Contains: 1', '{Contains: "1"}'))
    printed('evaluate', '--spec', str(spec), '--series', 'first', '--no-progress', store=url)
    shown = printed('evaluate', '--spec', str(spec), '--series', 'second', '--retry', 'first', store=url)
    assert '2 scores were taken over' in shown
    assert "'firs'" in refused('evaluate', '--spec', str(spec), '--series', 'x', '--retry', 'firs', store=url)
    sampled = ('evaluate', '--spec', str(spec), '--series', 'third', '--sampled-as')
    assert "Did you mean 'Polite'" in refused(*sampled, 'Polit', store=url)
    assert '2 runs in' in printed(*sampled, 'Polite', store=url)


# Export


def test_failed_runs_are_exported_to_a_dataset(url: str, tmp_path: Path) -> None:
    path = tmp_path / 'failed.yaml'
    arguments = ('export', str(path), '--where', 'evaluator=Polite', '--where', 'passed=false')
    assert printed(*arguments, store=url) == f'{path}: 1 new cases, 1 in all\n'
    assert '1 was there already' in printed(*arguments, '--append', store=url)
    assert [case.name for case in Dataset[Any, Any, Any].from_file(path).cases] == ['run-2']
    document = json.loads(printed('export', str(tmp_path / 'a.csv'), '--json', store=url))
    assert (document['format'], document['total'], document['left_out']) == ('csv', 2, {})
    shown = printed(
        'export', str(tmp_path / 'a.jsonl'), '--rejected', 'passed=false', '--format', 'preferences', store=url
    )
    assert '1 run left out: there is no better answer to the same prompt' in shown
    assert 'group_by must be one of' in refused(
        'export', str(path), '--per-group', '1', '--group-by', 'mood', store=url
    )
