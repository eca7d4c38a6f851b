"""What people say of runs: where it goes, and how well an evaluator agrees with it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import logfire
import pytest
from databases import database_url, postgres_url, sqlite_url, store
from logfire.testing import TestExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanContext, TraceFlags
from pydantic_evals.evaluators import EvaluationResult
from pydantic_evals.online import SpanReference
from store_samples import START, a_failure, a_result, a_run, an_outcome, keep, warned

from pydantic_ai_assay import DEFAULT_CONFIG, ConfigurationError, EvaluationOutcome, RunRecord
from pydantic_ai_assay.agreement import judge_agreement
from pydantic_ai_assay.feedback import record_feedback, record_feedback_async
from pydantic_ai_assay.reports.names import UnknownNameError
from pydantic_ai_assay.runs.judgement import Judgement, Vote
from pydantic_ai_assay.store.errors import StoreUnavailableError
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')

LLMBAR = Path(__file__).parents[3] / 'shared' / 'data' / 'llmbar'
SPAN = SpanContext(0xA1, 0xB2, is_remote=False, trace_flags=TraceFlags(1))
REFERENCE = SpanReference(trace_id=format(0xA1, '032x'), span_id=format(0xB2, '016x'))


@pytest.fixture
def local(sqlite_url: str) -> Iterator[Store]:
    store = Store(sqlite_url)
    yield store
    assert store.close()


# Recording


def test_feedback_by_run_is_kept_with_the_run(store: Store) -> None:
    keep(store, (a_run(), []))
    record_feedback(run_id='run-1', name='helpful', value=False, comment='It did not answer.', by='ann', store=store)
    (said,) = store.run('run-1').feedback
    assert (said.name, said.value, said.comment, said.by) == ('helpful', False, 'It did not answer.', 'ann')


@pytest.mark.parametrize('span', [REFERENCE, f'00-{REFERENCE.trace_id}-{REFERENCE.span_id}-01'])
def test_feedback_by_span_is_kept_with_its_run_also_when_the_run_comes_later(
    store: Store, span: SpanReference | str
) -> None:
    record_feedback(span=span, name='stars', value=4, store=store)
    keep(store, (a_run(span_context=SPAN), []))
    (said,) = store.run('run-1').feedback
    assert (said.name, said.value, said.run_id) == ('stars', 4, None)


@pytest.mark.anyio
async def test_feedback_can_be_awaited(local: Store) -> None:
    await record_feedback_async(run_id='run-1', name='helpful', value='somewhat', store=local)
    assert [said.value for said in local.feedback(run_id='run-1')] == ['somewhat']


def test_the_store_is_the_configured_one_the_one_of_the_environment_or_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [f'sqlite:///{tmp_path / name}.db' for name in ('given', 'configured', 'environment')]
    record_feedback(run_id='run-1', name='helpful', value=True, store=urls[0])
    monkeypatch.setenv('ASSAY_STORE', urls[2])
    record_feedback(run_id='run-1', name='helpful', value=True)
    monkeypatch.setattr(DEFAULT_CONFIG, 'store', urls[1])
    record_feedback(run_id='run-1', name='helpful', value=True)
    for url in urls:
        store = Store(url)
        assert len(store.feedback()) == 1
        store.close()


def test_without_a_store_the_error_names_the_ways_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('ASSAY_STORE', raising=False)
    with pytest.raises(ConfigurationError, match=r'There is no store: .*ASSAY_STORE'):
        record_feedback(run_id='run-1', name='helpful', value=True)
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match='must be a Store or a URL .*got 5'):
        record_feedback(run_id='run-1', name='helpful', value=True, store=wrong)


def test_without_the_packages_of_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'pydantic_ai_assay.store.store', None)
    with pytest.raises(ImportError, match=r"pip install 'pydantic-ai-assay\[store\]'"):
        record_feedback(run_id='run-1', name='helpful', value=True, store='sqlite:///assay.db')


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({'name': ' '}, 'name must say what the feedback is about'),
        ({'name': None}, 'name must say what the feedback is about, .*, got None'),
        ({'run_id': ' '}, "run_id must be the whole id of a run, got ' '"),
        ({'run_id': 7}, 'run_id must be the whole id of a run, got 7'),
        ({'by': 7}, 'by must be a text, got 7'),
        ({'comment': b'no'}, "comment must be a text, got b'no'"),
        ({'span': 7}, 'span must be a SpanReference or a traceparent such as .*, got 7'),
        ({'value': 10**400}, 'a number that fits into a float, got one of 1329 bits'),
        ({'run_id': None}, 'give its run_id, or its span'),
        ({'span': 'not a span'}, "a traceparent such as .*, got 'not a span'"),
        ({'value': float('nan')}, 'must be a bool, a finite number or a text, got nan'),
        ({'value': None}, 'must be a bool, a finite number or a text, got None'),
    ],
)
def test_what_cannot_be_feedback_is_refused(local: Store, given: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {'run_id': 'run-1', 'name': 'helpful', 'value': True, 'store': local}
    with pytest.raises(ConfigurationError, match=message):
        record_feedback(**{**arguments, **given})


def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    store = Store(f'sqlite:///{tmp_path / "no" / "such" / "folder" / "assay.db"}')
    with pytest.raises(StoreUnavailableError):
        record_feedback(run_id='run-1', name='helpful', value=True, store=store)


# Logfire


@pytest.fixture
def annotated(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestExporter]:
    """Logfire, configured, and what is sent to it."""
    exporter = TestExporter()
    monkeypatch.setenv('LOGFIRE_IGNORE_NO_CONFIG', '1')
    logfire.configure(
        send_to_logfire=False,
        console=False,
        metrics=False,
        additional_span_processors=[SimpleSpanProcessor(exporter)],
        inspect_arguments=False,
    )
    yield exporter
    logfire.shutdown()
    vars(logfire.DEFAULT_LOGFIRE_INSTANCE.config)['_initialized'] = False


def sent(exporter: TestExporter) -> list[dict[str, Any]]:
    return [
        {'trace': format(span.context.trace_id, '032x'), **(span.attributes or {})}
        for span in exporter.exported_spans
        if span.context is not None
    ]


@pytest.mark.parametrize('by_run', [True, False])
def test_where_logfire_is_configured_the_span_of_the_run_is_annotated(
    local: Store, annotated: TestExporter, by_run: bool
) -> None:
    keep(local, (a_run(span_context=SPAN), []))
    which: dict[str, Any] = {'run_id': 'run-1'} if by_run else {'span': REFERENCE}
    record_feedback(**which, name='helpful', value=False, comment='No.', by='ann', store=local)
    (annotation,) = sent(annotated)
    assert annotation['trace'] == REFERENCE.trace_id
    assert annotation['logfire.span_type'] == 'annotation'
    assert annotation['logfire.feedback.name'] == 'helpful'
    assert annotation['helpful'] is False
    assert annotation['logfire.feedback.comment'] == 'No.'
    assert annotation['assay.feedback.by'] == 'ann'


@pytest.mark.parametrize('run_id', ['run-2', 'run'])
def test_a_run_without_a_span_or_that_is_not_there_yet_is_not_annotated(
    local: Store, annotated: TestExporter, run_id: str
) -> None:
    keep(local, (a_run(span_context=SPAN), []), (a_run(2), []))
    record_feedback(run_id=run_id, name='helpful', value=True, store=local)
    record_feedback(run_id='elsewhere', name='helpful', value=True, store=local)
    assert sent(annotated) == []
    assert len(local.feedback()) == 2


def test_the_beginning_of_an_id_is_no_span(local: Store, annotated: TestExporter) -> None:
    keep(local, (a_run(span_context=SPAN), []))
    record_feedback(run_id='run-', name='helpful', value=True, store=local)
    assert sent(annotated) == []


def test_what_logfire_cannot_take_is_stored_all_the_same(local: Store, annotated: TestExporter) -> None:
    with warned("Feedback 'assay.feedback.by' was stored, but could not be sent to Logfire: AssertionError"):
        record_feedback(span=REFERENCE, name='assay.feedback.by', value=True, by='ann', store=local)
    assert len(local.feedback()) == 1
    assert sent(annotated) == []


def test_logfire_that_is_not_configured_is_left_alone(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('LOGFIRE_IGNORE_NO_CONFIG', raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        record_feedback(span=REFERENCE, name='helpful', value=True, store=local)


# Agreement


def judged(number: int, *results: EvaluationResult, **changes: Any) -> tuple[RunRecord, list[EvaluationOutcome]]:
    run = a_run(number)
    return run, [an_outcome(run, *results, probability=1.0, **changes)]


def say(store: Store, number: int, value: Any, *, name: str = 'helpful', by: str | None = None, later: int = 0) -> None:
    store.add_feedback(name, value, run_id=f'run-{number}', by=by, at=START + timedelta(days=1, seconds=later))


def test_thumbs_are_compared_with_whether_the_run_passed(store: Store) -> None:
    verdicts = [True] * 6 + [False] * 4
    labels = [True] * 5 + [False] * 4
    keep(store, *(judged(number, a_result(verdict)) for number, verdict in enumerate(verdicts)))
    for number, label in enumerate(labels):
        say(store, number, label, by='ann')
    (found,) = judge_agreement('Polite', 'helpful', store=store)
    assert (found.kind, found.judged, found.without_verdict, len(found.runs)) == ('pass', 10, 0, 9)
    assert found.agreement.accuracy.value == pytest.approx(8 / 9)
    assert found.agreement.confusion == {(True, True): 5, (False, True): 1, (False, False): 3}
    assert found.corrected is not None
    assert found.corrected.raw.value == 0.6
    assert found.corrected.labels_only.value == pytest.approx(5 / 9)
    assert found.corrected.corrected.value == pytest.approx(0.6 * 5 / 6)
    assert [(run.run_id, run.label, run.verdict, run.by) for run in found.disagreements] == [
        ('run-5', False, True, 'ann')
    ]


def test_the_latest_feedback_counts_and_one_persons_can_be_asked_for(local: Store) -> None:
    keep(local, judged(1))
    say(local, 1, False, by='ann', later=2)
    say(local, 1, True, by='bob', later=1)
    say(local, 1, 'no idea', name='other', by='bob', later=3)
    (latest,) = judge_agreement('Polite', 'helpful', store=local)
    (of_bob,) = judge_agreement('Polite', 'helpful', store=local, by='bob')
    (of_nobody,) = judge_agreement('Polite', 'helpful', store=local, by='eve')
    assert [run.label for run in latest.runs] == [False]
    assert [run.label for run in of_bob.runs] == [True]
    assert of_nobody.runs == ()
    assert of_nobody.agreement.accuracy.value is None
    assert of_nobody.corrected is not None and of_nobody.corrected.corrected.value is None


def test_each_fingerprint_and_series_is_a_judge_of_its_own(local: Store) -> None:
    first, second = judged(1), judged(2, a_result(False), fingerprint='f2')
    keep(local, first, second)
    local.add_outcomes('run-1', [an_outcome(first[0], a_result(False))], series='again')
    assert local.flush()
    say(local, 1, True)
    found = judge_agreement('Polite', 'helpful', store=local)
    assert [(each.evaluator.fingerprint, each.series, len(each.runs)) for each in found] == [
        ('f1', '', 1),
        ('f1', 'again', 1),
        ('f2', '', 0),
    ]
    (again,) = judge_agreement('Polite', 'helpful', store=local, series='again')
    assert [run.agrees for run in again.runs] == [False]
    (of_week,) = judge_agreement('Polite', 'helpful', store=local, where=RunFilter(until=START + timedelta(seconds=2)))[
        :1
    ]
    assert of_week.judged == 1


def test_evaluations_without_a_verdict_are_counted_and_in_no_number(local: Store) -> None:
    failed = a_run(3)
    keep(local, judged(1), judged(2, a_result('a label')), judged(4, a_result(3)), (failed, [a_failure(failed)]))
    for number in (1, 2, 3, 4):
        say(local, number, True)
    (found,) = judge_agreement('Polite', 'helpful', store=local)
    assert (found.judged, found.without_verdict, len(found.runs)) == (1, 3, 1)


def test_scores_are_compared_as_numbers(local: Store) -> None:
    scores = [(1, 2), (2, 2), (3, 4), (5, 5)]
    parts = [judged(n, a_result(True), a_result(score, name='score')) for n, (_, score) in enumerate(scores)]
    keep(local, *parts, judged(9, a_result(4)))
    for number, (label, _) in enumerate(scores):
        say(local, number, label)
    (found,) = judge_agreement('Polite', 'helpful', store=local)
    assert (found.kind, found.judged) == ('number', 5)
    assert found.agreement.kappa.value == pytest.approx(0.9, abs=0.05)
    assert found.corrected is not None and found.corrected.raw.value == pytest.approx(3.4)
    assert found.corrected.corrected.kind == 'mean'


def test_a_threshold_makes_scores_comparable_with_thumbs(local: Store) -> None:
    keep(local, judged(1, a_result(True)), judged(2, a_result(False)), judged(3, a_result(4)), judged(4, a_result(2)))
    for number, stars in ((1, 5), (2, 4), (3, 4), (4, 1)):
        say(local, number, stars)
    (found,) = judge_agreement('Polite', 'helpful', store=local, threshold=4)
    assert [(run.label, run.verdict) for run in found.runs] == [
        (True, True),
        (True, False),
        (True, True),
        (False, False),
    ]


def test_ones_and_zeros_are_thumbs(local: Store) -> None:
    keep(local, judged(1), judged(2, a_result(False)))
    say(local, 1, 1)
    say(local, 2, 1.0)
    (found,) = judge_agreement('Polite', 'helpful', store=local)
    assert (found.kind, found.agreement.accuracy.value) == ('pass', 0.5)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ((5, 1), 'is a score and the verdict is none: say with threshold'),
        ((5, True), 'is both thumbs and scores: say with threshold'),
        (('good', True), 'is both numbers and texts'),
    ],
)
def test_what_cannot_be_compared_is_refused(local: Store, values: Sequence[Any], message: str) -> None:
    keep(local, judged(0), judged(1))
    for number, value in enumerate(values):
        say(local, number, value)
    with pytest.raises(ConfigurationError, match=message):
        judge_agreement('Polite', 'helpful', store=local)


def test_labels_are_compared_as_they_are_and_have_a_rate_where_one_of_them_is_a_pass(local: Store) -> None:
    parts = [judged(n, a_result(True), a_result(label, name='kind')) for n, label in enumerate('aabb')]
    keep(local, *parts)
    for number, label in enumerate('aaab'):
        say(local, number, label)
    (found,) = judge_agreement('Polite', 'helpful', store=local)
    assert (found.kind, found.agreement.accuracy.value, found.corrected) == ('label', 0.75, None)
    (of_a,) = judge_agreement('Polite', 'helpful', store=local, positive='a', result='kind')
    assert of_a.corrected is not None
    assert (of_a.corrected.raw.value, of_a.corrected.labels_only.value) == (0.5, 0.75)


def test_one_of_several_results_can_be_the_verdict(local: Store) -> None:
    keep(local, judged(1, a_result(True, name='short'), a_result(False, name='polite')))
    say(local, 1, True)
    (by_both,) = judge_agreement('Polite', 'helpful', store=local)
    (by_one,) = judge_agreement('Polite', 'helpful', store=local, result='short')
    assert [run.verdict for run in (*by_both.runs, *by_one.runs)] == [False, True]


def test_votes_of_one_judge_about_one_run_are_compared_with_each_other(local: Store) -> None:
    def votes(*values: bool | None) -> Judgement:
        return Judgement(votes=tuple(Vote(judge='Polite', value=value) for value in values))

    keep(
        local,
        judged(1, judgement=votes(True, True, None)),
        judged(2, judgement=votes(True, False)),
        judged(3, judgement=Judgement(votes=(Vote(judge='a', value=True), Vote(judge='b', value=False)))),
    )
    say(local, 1, True)
    (found,) = judge_agreement('Polite', 'helpful', store=local)
    assert (found.self_consistency.value, found.self_consistency.count) == (0.5, 2)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('Polit', 'helpful'), "no evaluator 'Polit'. Did you mean 'Polite'?"),
        (('Polite', 'helpfull'), "no feedback 'helpfull'. Did you mean 'helpful'?"),
    ],
)
def test_a_wrong_name_is_answered_with_the_near_ones(local: Store, arguments: tuple[str, str], message: str) -> None:
    keep(local, judged(1))
    say(local, 1, True)
    with pytest.raises(UnknownNameError, match=message):
        judge_agreement(*arguments, store=local)
    with pytest.raises(UnknownNameError, match="no result 'Politee'. Did you mean 'Polite'?"):
        judge_agreement('Polite', 'helpful', result='Politee', store=local)


def test_runs_must_not_be_chosen_by_what_is_compared(local: Store) -> None:
    with pytest.raises(ConfigurationError, match='which are compared, got passed=True'):
        judge_agreement('Polite', 'helpful', store=local, where=RunFilter(passed=True))


# Recorded judges


def published(judge: str) -> tuple[int, int, int]:
    lines = (LLMBAR / 'published_statistics.jsonl').read_text(encoding='utf-8').splitlines()
    rows = [row for row in map(json.loads, lines) if row['evaluator'] == judge]
    counts = [sum(row[name] for row in rows) for name in ('correct_False', 'equal', 'n')]
    return counts[0], counts[1], counts[2]


@pytest.mark.skipif(
    not (LLMBAR / 'pairs.jsonl').is_file(),
    reason='the verdicts of the judges are not there: ../shared/data/llmbar, seen from the checkout',
)
@pytest.mark.parametrize('judge', ['GPT-4/Metrics_Reference', 'ChatGPT/Vanilla'])
def test_verdicts_and_labels_in_a_store_give_the_published_agreement(local: Store, judge: str) -> None:
    pairs = [json.loads(line) for line in (LLMBAR / 'pairs.jsonl').read_text(encoding='utf-8').splitlines()]
    parts: list[tuple[RunRecord, list[EvaluationOutcome]]] = []
    for number, pair in enumerate(pairs):
        run = a_run(number)
        outcomes = [
            an_outcome(run, a_result(winner, name=name), evaluator=name, probability=1.0)
            for name, winner in zip((judge, f'{judge} swapped'), pair['winners'][judge], strict=True)
        ]
        parts.append((run, outcomes))
    keep(local, *parts)
    for number, pair in enumerate(pairs):
        say(local, number, str(pair['label']), name='better')
    (found,) = judge_agreement(judge, 'better', store=local, positive='1', swapped=f'{judge} swapped')
    correct, equal, count = published(judge)
    assert (len(found.runs), found.judged) == (count, count) == (419, 419)
    assert found.agreement.accuracy.value == pytest.approx(correct / count, abs=1e-12)
    assert found.position_consistency is not None
    assert found.position_consistency.value == pytest.approx(equal / count, abs=1e-12)
    assert found.corrected is not None
    # All are labelled, so that nothing is left to the judge.
    share = sum(pair['label'] == 1 for pair in pairs) / count
    assert found.corrected.corrected.value == pytest.approx(share, abs=1e-12)
