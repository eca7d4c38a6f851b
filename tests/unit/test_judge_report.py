"""Reports of judgements: what the results come to, how they are printed, and that a file keeps all of it."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from inline_snapshot import snapshot
from pydantic_ai.usage import RunUsage
from rich.console import Console

from pydantic_ai_assay import ConfigurationError, JudgeReport, JudgeResult, Vote


def scored(value: Any, passed: bool | None = None, **fields: Any) -> JudgeResult:
    return JudgeResult(status='scored', value=value, passed=value if isinstance(value, bool) else passed, **fields)


def failed(error: str = 'ValueError: broken') -> JudgeResult:
    return JudgeResult(status='failed', error=error)


def a_report(*results: JudgeResult, **fields: Any) -> JudgeReport:
    numbered = tuple(replace(result, index=index) for index, result in enumerate(results))
    settings: dict[str, Any] = {
        'judge': 'Politeness',
        'duration': 12.34,
        'finished_at': datetime(2026, 1, 2, tzinfo=UTC),
        **fields,
    }
    return JudgeReport(results=numbered, **settings)


def test_numbers_have_statistics() -> None:
    report = a_report(*(scored(score) for score in [5, 1, 2.5, 3]))
    assert (report.mean, report.min, report.max) == (2.875, 1.0, 5.0)
    assert report.std == pytest.approx(1.652, abs=0.001)
    assert (report.p50, report.p95) == (2.75, pytest.approx(4.7))
    assert (report.quantile(0), report.quantile(1)) == (1.0, 5.0)
    assert report.pass_rate is None
    assert report.labels == {}


def test_a_failed_case_lowers_the_coverage_and_not_the_mean() -> None:
    report = a_report(scored(4), scored(2), failed(), failed())
    assert (report.n, report.coverage, report.mean) == (4, 0.5, 3.0)
    assert report.counts == {'scored': 2, 'failed': 2}
    assert [result.index for result in report.failures] == [2, 3]


def test_if_all_failed_there_is_no_mean() -> None:
    report = a_report(failed(), failed())
    assert report.coverage == 0.0
    assert [report.mean, report.min, report.max, report.std, report.p50, report.p95, report.pass_rate] == [None] * 7


def test_one_number_has_no_deviation() -> None:
    report = a_report(scored(3))
    assert (report.mean, report.std, report.p50, report.p95) == (3.0, None, 3.0, 3.0)


def test_passing_or_not_is_no_number() -> None:
    report = a_report(scored(True), scored(True), scored(False), failed())
    assert report.mean is None
    assert report.pass_rate == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ('value', 'score'), [(3, 3), (2.5, 2.5), (0, 0), (True, None), (False, None), ('kind', None), (None, None)]
)
def test_the_score_of_a_result_is_its_value_where_that_is_a_number(value: Any, score: float | None) -> None:
    result = scored(value)
    assert (result.score, type(result.score)) == (score, type(score))


def test_the_model_of_a_result_is_the_one_that_answered() -> None:
    one, other = Vote(judge='a', model='gpt'), Vote(judge='b', model='claude')
    assert scored(1, votes=(one, one, Vote(judge='c', error='ValueError'))).model == 'gpt'
    assert scored(1, votes=(one, other)).model is None
    assert scored(1, votes=(one, other)).models == ('gpt', 'claude')
    assert failed().model is None


def test_a_result_that_timed_out_lowers_the_coverage() -> None:
    late = JudgeResult(status='timed_out', error='TimeoutError: late')
    report = a_report(scored(4), late, failed())
    assert report.counts == {'scored': 1, 'timed_out': 1, 'failed': 1}
    assert [result.status for result in report.failures] == ['timed_out', 'failed']
    assert (report.mean, report.coverage) == (4.0, pytest.approx(1 / 3))
    assert ' timed_out ' in str(report)


def test_labels_are_counted_the_most_frequent_first() -> None:
    report = a_report(scored('rude', False), scored('kind', True), scored('kind'), failed())
    assert list(report.labels.items()) == [('kind', 2), ('rude', 1)]
    assert report.pass_rate == 0.5
    assert report.mean is None


def test_what_the_votes_used_is_added_up() -> None:
    known = Vote(judge='a', model='m', usage=RunUsage(requests=1, input_tokens=10, cost=Decimal('0.25')))
    unknown = Vote(judge='a', model='n', usage=RunUsage(requests=2, input_tokens=5))
    report = a_report(scored(1, votes=(known, unknown)), scored(2, votes=(known,)), failed())
    assert (report.usage.requests, report.usage.input_tokens, report.cost) == (4, 25, Decimal('0.50'))
    first, _, last = report.results
    assert (first.models, first.usage.requests, first.cost) == (('m', 'n'), 3, Decimal('0.25'))
    assert (last.models, last.cost) == ((), None)
    assert a_report(failed()).cost is None


NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.integers(-100, 100), min_size=1, max_size=20)


@given(NUMBERS)
def test_statistics_are_those_of_the_numbers(values: list[float]) -> None:
    report = a_report(*(scored(value) for value in values))
    assert report.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert report.p50 == pytest.approx(statistics.median(values), abs=1e-9)
    assert report.min == min(values)
    assert report.max == max(values)
    quantiles = [report.quantile(share) or 0.0 for share in (0.0, 0.2, 0.5, 0.95, 1.0)]
    assert quantiles == sorted(quantiles)
    assert [quantiles[0], quantiles[-1]] == [min(values), max(values)]


@given(NUMBERS, st.permutations(range(20)))
def test_statistics_do_not_depend_on_the_order(values: list[float], order: Sequence[int]) -> None:
    shuffled = [values[index] for index in order if index < len(values)]
    one, other = (a_report(*(scored(value) for value in each)) for each in (values, shuffled))
    assert (one.mean, one.std, one.p50, one.p95) == (other.mean, other.std, other.p50, other.p95)


@pytest.mark.parametrize('share', [-0.1, 1.1, float('nan')])
def test_a_quantile_is_of_a_share(share: float) -> None:
    with pytest.raises(ConfigurationError, match=f'share must be from 0 to 1, got {share!r}.'):
        a_report(scored(1)).quantile(share)


VOTES = st.builds(
    Vote,
    judge=st.text(),
    value=st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    reason=st.none() | st.text(),
    model=st.none() | st.text(),
    probability=st.floats(0, 1),
    usage=st.builds(
        RunUsage, requests=st.integers(0, 9), cost=st.none() | st.decimals(0, 9, places=6), details=st.just({'x': 1})
    ),
)
RESULTS = st.builds(
    JudgeResult,
    status=st.sampled_from(['scored', 'failed']),
    name=st.none() | st.text(),
    output=st.text(),
    value=st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    passed=st.none() | st.booleans(),
    agreement=st.none() | st.floats(0, 1),
    votes=st.lists(VOTES, max_size=2).map(tuple),
)


@given(st.lists(RESULTS, min_size=1, max_size=3))
def test_what_is_loaded_is_what_was_saved(tmp_path_factory: pytest.TempPathFactory, results: list[JudgeResult]) -> None:
    path = tmp_path_factory.getbasetemp() / 'report.json'
    report = a_report(*results, version='v2')
    report.save(path)
    loaded = JudgeReport.load(str(path))
    assert loaded == report
    assert [type(result.value) for result in loaded.results] == [type(result.value) for result in results]


def test_what_no_file_can_hold_is_replaced(tmp_path: Path) -> None:
    a_report(scored('\ud800'), version='v').save(tmp_path / 'report.json')
    assert JudgeReport.load(tmp_path / 'report.json').labels == {'?': 1}


def test_a_saved_report_is_json_for_others_to_read(tmp_path: Path) -> None:
    path = tmp_path / 'report.json'
    a_report(scored(3, True, output='größer')).save(path)
    document = json.loads(path.read_text(encoding='utf-8'))
    assert document['format'] == 1
    assert document['report']['judge'] == 'Politeness'
    assert document['report']['finished_at'] == '2026-01-02T00:00:00Z'
    assert document['report']['results'][0]['value'] == 3
    assert 'größer' in path.read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is no report of judgements.'),
        (b'\xff', 'is no report of judgements.'),
        (b'[]', 'is no report of judgements.'),
        (b'{}', 'is no report of judgements.'),
        (b'{"format": 1}', 'is no report of judgements: Input should be'),
        (b'{"format": 1, "report": {"results": 5}}', 'is no report of judgements: '),
        (b'{"format": 2, "report": {}}', 'is a report of format 2, and this version of the package reads 1.'),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / 'other.json'
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        JudgeReport.load(path)
    assert str(raised.value).startswith(f'{path} {message}')


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JudgeReport.load(tmp_path / 'nowhere.json')


def test_a_report_prints_as_a_table() -> None:
    used = Vote(judge='Politeness', usage=RunUsage(input_tokens=1200, output_tokens=34, cost=Decimal('0.00125')))
    report = a_report(
        scored(4, True, name='greeting', output='Good morning!', reason='Kind.', agreement=1.0, votes=(used,)),
        scored(1.5, False, output='What?', reason='Curt.\nVery.', agreement=1 / 3),
        failed(),
        version='v2',
    )
    assert report.render(width=100) == snapshot("""\
 case       output          result   passed   agreement   reason
─────────────────────────────────────────────────────────────────────────────
 greeting   Good morning!   4        True     1           Kind.
 1          What?           1.5      False    0.3333      Curt. Very.
 2                          failed                        ValueError: broken

 Politeness          v2
────────────────────────
 cases                3
 scored               2
 failed               1
 coverage         66.7%
 pass rate        50.0%
 mean              2.75
 std              1.768
 min                1.5
 p50               2.75
 p95              3.875
 max                  4
 tokens           1,234
 cost         $0.001250
 duration        12.3 s\
""")


def test_columns_and_rows_that_would_be_empty_are_left_out() -> None:
    assert a_report(scored(True, output='yes'), scored(False, output='no')).render() == snapshot("""\
 case   output   result
────────────────────────
 0      yes      True
 1      no       False

 Politeness
─────────────────────
 cases             2
 scored            2
 coverage     100.0%
 pass rate     50.0%
 duration     12.3 s\
""")


def test_labels_are_listed_with_their_counts() -> None:
    text = str(a_report(scored('kind'), scored('rude'), scored('kind')))
    assert ' labels       kind: 2, rude: 1\n' in text


def test_only_so_many_rows_are_printed() -> None:
    report = a_report(*(scored(number) for number in range(120)))
    assert '… and 70 more' in str(report)
    assert '… and 118 more' in report.render(rows=2)
    assert '\n 1      1\n' in report.render(rows=2)
    assert 'more' not in report.render(rows=120)


HOSTILE = '[bold red]x[/bold red] [link=file:///]y \x1b[31m \x9b31m \u202e \x07 \ud800 ' + 'long ' * 1000


def test_what_was_judged_is_printed_as_it_is_and_commands_no_terminal() -> None:
    result = scored(HOSTILE, name=HOSTILE, output=HOSTILE, reason=HOSTILE)
    report = a_report(result, failed(HOSTILE), judge=HOSTILE, version=HOSTILE)
    for text in (report.render(width=400), printed_by_rich(report)):
        assert text.replace('\n', '').isprintable()
        assert '[bold red]x[/bold red]' in text
        assert r'\x1b[31m \x9b31m \u202e \x07 \ud800' in text
        assert len(text) < 5000


def printed_by_rich(report: JudgeReport) -> str:
    console = Console(file=StringIO(), width=400)
    with console.capture() as captured:
        console.print(report)
    return captured.get()


def test_colours_of_the_environment_are_not_in_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('TTY_COMPATIBLE', '1')
    assert '\x1b' not in str(a_report(scored(1)))


def test_the_representation_of_a_report_leaves_its_results_out() -> None:
    assert repr(a_report(scored(1))) == snapshot(
        "JudgeReport(judge='Politeness', version=None, fingerprint=None, duration=12.34, finished_at=datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc))"
    )
