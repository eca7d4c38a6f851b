"""`assay report`: what it prints, what it tells apart, and how it ends in CI."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cli_store import HOSTILE, WINDOW, assay, printed, url
from inline_snapshot import snapshot
from store_samples import START, a_result, a_run, an_outcome, keep

from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

__all__ = ('url',)


@pytest.fixture
def empty(tmp_path: Path) -> str:
    url = f'sqlite:///{tmp_path / "empty.db"}'
    migrate(url)
    return url


def test_a_report_has_rates_means_and_shares_with_intervals_coverage_and_cost(url: str) -> None:
    assert printed('report', *WINDOW, store=url) == snapshot("""\
Runs that started from 2026-01-01 00:00 to 2026-01-03 00:00 UTC

agent     evaluator   result          kind    estimate    95 % interval   scores   coverage
───────────────────────────────────────────────────────────────────────────────────────────
planner   Polite                                  none             none        0      0.0 %
support   Polite                      rate       0.750   0.459 to 0.932       12    100.0 %
support   Topic       topic: other    share      0.333   0.116 to 0.623       12    100.0 %
support   Topic       topic: refund   share      0.667   0.377 to 0.884       12    100.0 %
support   Words                       mean       6.500   4.209 to 8.791       12    100.0 %

agent     evaluator   scored   failed   judge cost     took
───────────────────────────────────────────────────────────
planner   Polite           0        1                0.25 s
support   Polite          12        0      $0.0240   3.00 s
support   Topic           12        0                3.00 s
support   Words           12        0                3.00 s
""")


def test_a_report_fits_a_narrow_terminal(url: str) -> None:
    lines = printed('report', *WINDOW, '--evaluator', 'Polite', store=url, width=70).splitlines()
    assert max(map(len, lines)) <= 70


def test_by_tells_apart_what_is_named_in_its_order(url: str) -> None:
    assert printed(
        'report', *WINDOW, '--by', 'hour,variant,model,path', '--evaluator', 'Polite', store=url
    ) == snapshot("""\
Runs that started from 2026-01-01 00:00 to 2026-01-03 00:00 UTC

hour               variant   model     path             evaluator   kind   estimate    95 % interval   scores   coverage
────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
2026-01-02 03:00   short     -         desk > planner   Polite                 none             none        0      0.0 %
2026-01-02 03:00   -         gpt-5.2   support          Polite      rate      0.750   0.459 to 0.932       12    100.0 %

hour               variant   model     path             evaluator   scored   failed   judge cost     took
─────────────────────────────────────────────────────────────────────────────────────────────────────────
2026-01-02 03:00   short     -         desk > planner   Polite           0        1                0.25 s
2026-01-02 03:00   -         gpt-5.2   support          Polite          12        0      $0.0240   3.00 s
""")
    assert '2026-01-02 ' in printed('report', *WINDOW, '--by', 'day', store=url)


def test_a_level_is_that_of_all_intervals(url: str) -> None:
    assert '99.9 % interval' in printed('report', *WINDOW, '--level', '0.999', store=url)
    result = assay('report', '--level', '95', store=url)
    assert (result.exit_code, result.stderr) == snapshot(
        (2, 'error: level must be a number between 0 and 1, such as 0.95, got 95.0.\n')
    )


def test_json_has_the_numbers_unrounded(url: str) -> None:
    document = json.loads(
        printed('report', *WINDOW, '--agent', 'support', '--evaluator', 'Polite', '--json', store=url)
    )
    (section,) = document['sections']
    (result,) = section['results']
    assert (result['value'], result['count'], section['coverage']['share']) == (0.75, 12, 1.0)
    assert round(section['effort']['judge_cost'], 6) == 0.024


def test_path_and_variant_and_model_choose_runs(url: str) -> None:
    for option, value in (('--path', 'desk > planner'), ('--variant', 'short'), ('--agent', 'planner')):
        document = json.loads(printed('report', *WINDOW, option, value, '--json', store=url))
        assert [section['group']['agent'] for section in document['sections']] == ['planner']
    document = json.loads(printed('report', *WINDOW, '--model', 'gpt-5.2', '--fingerprint', 'w1', '--json', store=url))
    assert [section['evaluator'] for section in document['sections']] == ['Words']


def test_an_empty_window_is_said(url: str) -> None:
    assert 'No evaluations in this window.' in printed(
        'report', '--since', '2025-01-01', '--until', '2025-02-01', store=url
    )


@pytest.mark.parametrize(
    ('option', 'name', 'near'),
    [
        ('--agent', 'suport', "There is no agent 'suport'. Did you mean 'support'?"),
        ('--evaluator', 'polit', "There is no evaluator 'polit'. Did you mean 'Polite'?"),
        ('--variant', 'shrt', "There is no variant 'shrt'. Did you mean 'short'?"),
        ('--model', 'gpt-5', "There is no model 'gpt-5'. Did you mean 'gpt-5.2'?"),
        ('--series', 'later', "There is no series 'later'. There is none at all."),
        ('--fingerprint', 'w2', "There is no fingerprint 'w2'. There is 'f1', 't1', 'w1'."),
        ('--path', 'desk', "There is no agent path 'desk'. Did you mean 'desk > planner'?"),
        ('--by', 'agnet', "There is no dimension 'agnet'. Did you mean 'agent'?"),
        ('--fail-under', 'polite=0.5', "There is no result or evaluator 'polite'. Did you mean 'Polite'?"),
    ],
)
def test_a_wrong_name_is_answered_with_the_near_ones(url: str, option: str, name: str, near: str) -> None:
    result = assay('report', *WINDOW, option, name, store=url)
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (2, '', f'error: {near}')


@pytest.mark.parametrize(
    ('arguments', 'exit_code', 'stderr'),
    [
        (('--fail-under', 'Polite=0.4', '--agent', 'support'), 0, ''),
        (('--fail-under', 'topic:refund=0.3', '--fail-under', 'Words=1'), 0, ''),
        (('--min-coverage', '0.95', '--agent', 'support'), 0, ''),
        (
            ('--fail-under', 'Polite=0.5', '--agent', 'support'),
            1,
            'unmet: Polite (support) may be as low as 0.4588, which is below 0.5\n',
        ),
        (('--min-coverage', '0.95'), 1, 'unmet: Polite (planner) has a coverage of 0.0%, which is below 95.0%\n'),
        (
            ('--fail-under', 'Polite=0.1', '--agent', 'planner'),
            1,
            'unmet: Polite (planner) has no number, since nothing was scored, and must reach 0.1\n',
        ),
        (
            ('--fail-under', 'Polite=0.1', '--evaluator', 'Words'),
            1,
            'unmet: Polite has no number in this window, and must reach 0.1\n',
        ),
    ],
)
def test_bounds_decide_how_it_ends(url: str, arguments: tuple[str, ...], exit_code: int, stderr: str) -> None:
    for json_or_not in ((), ('--json',)):
        result = assay('report', *WINDOW, *arguments, *json_or_not, store=url)
        assert (result.exit_code, result.stderr) == (exit_code, stderr)
    assert bool(json.loads(result.stdout)['unmet']) == bool(exit_code)


def test_a_scale_gives_a_mean_of_equal_scores_an_interval(empty: str) -> None:
    store = Store(empty)
    runs = [a_run(number) for number in range(20)]
    keep(store, *((run, [an_outcome(run, a_result(5, name='stars'), evaluator='Stars')]) for run in runs))
    store.close()
    arguments = ('report', '--since', '2026-01-01', '--until', '2026-01-03', '--fail-under', 'stars=4')
    assert assay(*arguments, store=empty).exit_code == 1
    assert assay(*arguments, '--scale', 'stars=1..5', store=empty).exit_code == 0
    for wrong in ('stars', 'stars=1', 'stars=5..1', '=1..5', 'stars=a..b', 'stars=1..inf'):
        result = assay(*arguments, '--scale', wrong, store=empty)
        assert result.exit_code == 2 and repr(wrong) in result.stderr


def test_a_change_of_the_evaluator_is_said_and_its_scores_are_kept_apart(empty: str) -> None:
    store = Store(empty)
    for number in range(1, 21):
        run = a_run(number, started_at=START + timedelta(minutes=number))
        keep(store, (run, [an_outcome(run, a_result(number <= 10), fingerprint=f'f{(number > 10) + 1}')]))
    assert store.close()
    assert printed('report', *WINDOW, store=empty) == snapshot("""\
Runs that started from 2026-01-01 00:00 to 2026-01-03 00:00 UTC

agent     evaluator   fingerprint   kind   estimate    95 % interval   scores   coverage
────────────────────────────────────────────────────────────────────────────────────────
support   Polite      f1            rate      1.000   0.741 to 1.000       10    100.0 %
support   Polite      f2            rate      0.000   0.000 to 0.259       10    100.0 %

agent     evaluator   scored     took
─────────────────────────────────────
support   Polite          20   5.00 s

Polite of support changed at 2026-01-02 03:15 UTC, from version 1 (f1) to version 1 (f2).
""")
    assert printed('report', *WINDOW, '--pool', '--by', 'evaluator', store=empty) == snapshot("""\
Runs that started from 2026-01-01 00:00 to 2026-01-03 00:00 UTC

evaluator   fingerprint   kind   estimate    95 % interval   scores   coverage
──────────────────────────────────────────────────────────────────────────────
Polite      f1 + f2       rate      0.500   0.289 to 0.711       20    100.0 %

evaluator   scored     took
───────────────────────────
Polite          20   5.00 s

Polite changed at 2026-01-02 03:15 UTC, from version 1 (f1) to version 1 (f2).
""")


def test_an_evaluator_that_runs_beside_another_of_its_name_is_said_to(empty: str) -> None:
    store = Store(empty)
    for number in range(1, 5):
        run = a_run(number, started_at=START + timedelta(minutes=number))
        changes = {'fingerprint': None, 'evaluator_version': None} if number % 2 else {}
        keep(store, (run, [an_outcome(run, a_result(), **changes)]))
    assert store.close()
    assert printed('report', *WINDOW, store=empty).splitlines()[-1] == snapshot(
        'Polite of support changed at 2026-01-02 03:06 UTC, from (unknown) to version 1 (f1), while the one before was still at work.'
    )


def test_scores_beyond_all_bounds_are_said_to_be_left_out(empty: str) -> None:
    store = Store(empty)
    run, other = a_run(1), a_run(2)
    keep(store, (run, [an_outcome(run, a_result(1e300))]), (other, [an_outcome(other, a_result(250_000.0))]))
    assert store.close()
    report = printed('report', *WINDOW, store=empty)
    assert 'Polite: 1 scores are too great to be part of the mean.' in report
    assert ' 250,000 ' in report


def test_names_that_agents_chose_cannot_change_the_page(empty: str) -> None:
    store = Store(empty)
    run = a_run(1, target=HOSTILE, agent_path=(HOSTILE,))
    results = (a_result(True, name=HOSTILE), a_result(HOSTILE, name='topic'))
    keep(store, (run, [an_outcome(run, *results, evaluator=f'E{HOSTILE}', target=HOSTILE)]))
    assert store.close()
    report = printed('report', *WINDOW, '--by', 'agent,path', store=empty, width=300)
    assert all(character.isprintable() for line in report.split('\n') for character in line)
    assert '[red]b[/red] :smile: \\u202eevil' in report
    result = assay('report', *WINDOW, '--agent', 'evil', store=empty)
    assert all(character.isprintable() for line in result.stderr.split('\n') for character in line)
    assert result.stderr.count('\n') == 1
    assert printed('report', *WINDOW, '--json', store=empty).isascii()


def test_where_everything_was_sampled_out_there_are_counts_alone(empty: str) -> None:
    store = Store(empty)
    store.count('sampled_out', 'Polite', None, 'support', 12)
    assert store.close()
    lines = printed('report', '--since', '1h', store=empty).splitlines()
    assert [line.split() for line in lines if line.startswith('support')] == [
        ['support', 'Polite', '0', '12', '0.00', 's']
    ]
    unmet = assay('report', '--min-coverage', '0.5', store=empty)
    assert (unmet.exit_code, unmet.stderr) == (1, 'unmet: no evaluation was due in this window\n')


def test_without_a_store_it_says_where_it_looked(tmp_path: Path) -> None:
    result = assay('report', store=f'sqlite:///{tmp_path}/none.db')
    assert (result.exit_code, result.stdout) == (3, '')
    assert result.stderr.startswith('error: There is no store at ')
    assert 'none.db' in result.stderr
    assert result.stderr.endswith('the file does not exist.\n')


def test_a_database_without_tables_asks_for_a_migration(tmp_path: Path) -> None:
    (tmp_path / 'bare.db').touch()
    result = assay('report', store=f'sqlite:///{tmp_path}/bare.db')
    assert result.exit_code == 3
    assert 'Run `assay migrate` on it.' in result.stderr


@pytest.mark.parametrize('url', ['nonsense', 'mysql://user:secret@host/db', 'sqlite://'])
def test_what_is_no_store_is_refused(url: str) -> None:
    result = assay('report', store=url)
    assert (result.exit_code, result.stderr[:13]) == (2, 'error: store ')
    assert 'secret' not in result.stderr
