"""What a store is handed is there, once and as it was, on both databases."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from databases import database_url, postgres_url, sqlite_url, store
from opentelemetry.trace import SpanContext, TraceFlags
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import Contains, Evaluator, EvaluatorContext, MaxDuration
from pydantic_evals.online import OnlineEvalConfig as UpstreamConfig, SpanReference
from pydantic_evals.online_capability import OnlineEvaluation as UpstreamEvaluation
from sqlalchemy import select
from store_samples import BOUND, START, a_failure, a_result, a_run, an_outcome, keep, submit

from pydantic_ai_assay import (
    ConfigurationError,
    EvaluationSink,
    OnlineEvalConfig,
    OnlineEvaluation,
    run_evaluators,
    wait_for_evaluations,
)
from pydantic_ai_assay.runs.judgement import Judgement, Vote
from pydantic_ai_assay.runs.run_spans import RunSpans
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.database import Database
from pydantic_ai_assay.store.errors import SchemaError, StoreUnavailableError, UnknownRunError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.reader import Reader
from pydantic_ai_assay.store.rows import Page, StoredOutcome
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store, flush_stores

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')

SPAN = SpanContext(0xA1, 0xB2, is_remote=False, trace_flags=TraceFlags(1))
REFERENCE = SpanReference(trace_id=format(0xA1, '032x'), span_id=format(0xB2, '016x'))


def ids(store: Store, where: RunFilter | None = None, **options: Any) -> list[str]:
    return [run.run_id for run in store.runs(where, **options).items]


# What is kept


def test_the_runs_of_an_agent_are_kept_with_their_outcomes(store: Store) -> None:
    agent = Agent(
        TestModel(),
        name='assistant',
        metadata={'variant': 'b', 'tags': ['beta', 'vip']},
        capabilities=[
            OnlineEvaluation(
                evaluators=[Contains('success'), Contains('nonsense', evaluation_name='Nonsense')],
                config=OnlineEvalConfig(default_sink=store),
            )
        ],
    )

    async def main() -> None:
        await agent.run('Hello', run_id='run-1', conversation_id='talk-1')
        await wait_for_evaluations()

    asyncio.run(main())
    assert store.flush(BOUND)
    stored = store.run('run-1')
    assert stored.record.inputs == 'Hello'
    assert stored.record.output == 'success (no tool calls)'
    assert [message.kind for message in stored.record.messages] == ['request', 'response']
    assert stored.record.usage.requests == 1
    assert stored.record.metadata == {'variant': 'b', 'tags': ['beta', 'vip']}
    assert (stored.tags, stored.summary.variant) == (('beta', 'vip'), 'b')
    assert stored.summary.conversation_id == 'talk-1'
    assert (stored.summary.prompt, stored.summary.answer) == ('Hello', 'success (no tool calls)')
    assert stored.refused == {}
    passed = {each.outcome.evaluator: each.outcome.passed for each in stored.outcomes}
    assert passed == {'Contains': True, 'Nonsense': False}
    by_name = {each.name: each for each in store.evaluators()}
    spec = by_name['Contains'].spec
    assert spec is not None and spec.arguments == ('success',)
    assert by_name['Contains'].fingerprint == next(
        each.outcome.fingerprint for each in stored.outcomes if each.outcome.evaluator == 'Contains'
    )


def test_a_store_is_a_sink_that_wants_everything(store: Store) -> None:
    assert isinstance(store, EvaluationSink)
    assert store.takes_all


def test_a_run_comes_back_as_it_was(store: Store) -> None:
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart('before')]),
        ModelResponse(parts=[TextPart('earlier')]),
        ModelRequest(parts=[UserPromptPart('question')]),
        ModelResponse(parts=[TextPart('answer')], model_name='m'),
    ]
    usage = RunUsage(requests=2, input_tokens=30, output_tokens=4, details={'reasoning': 1})
    usage.cost = Decimal('0.00123')
    run = a_run(
        parent_run_id='outer',
        agent_path=('planner', 'support'),
        conversation_id='talk',
        expected_output={'x': (1, 2)},
        messages=tuple(messages),
        new_message_index=2,
        usage=usage,
        model_name='gpt',
        metadata={'variant': 3, 'when': datetime(2026, 1, 1, tzinfo=UTC)},
        attributes={'a': {1, 2}},
        recorded_metrics={'m': 1.5},
        span_context=SPAN,
        baggage={'tenant': 't'},
        deps=object(),
    )
    keep(store, (run, [an_outcome(run)]))
    record = store.run('run-1').record
    for name in [
        'run_id',
        'target',
        'outcome',
        'inputs',
        'output',
        'started_at',
        'duration',
        'agent_name',
        'parent_run_id',
        'agent_path',
        'conversation_id',
        'expected_output',
        'messages',
        'new_message_index',
        'usage',
        'model_name',
        'metadata',
        'attributes',
        'recorded_metrics',
        'baggage',
        'record_content',
        'cost',
        'span_reference',
        'new_messages',
    ]:
        assert getattr(record, name) == getattr(run, name), name
    assert record.deps is None
    assert store.run('run-1').summary.variant == '3'


def test_an_outcome_comes_back_as_it_was(store: Store) -> None:
    run = a_run(parent_run_id='outer', conversation_id='talk')
    votes = (
        Vote(judge='a', value=True, passed=True, reason='good', model='m', usage=RunUsage(requests=1, input_tokens=5)),
        Vote(judge='b', error='TimeoutError', duration=2.0, probability=0.5),
    )
    judged = an_outcome(
        run,
        a_result(True, reason='kind'),
        a_result(0.5, name='Score'),
        a_result('warm', name='Tone'),
        judgement=Judgement(votes=votes, agreement=0.75),
        refused=1,
    )
    others = [
        a_failure(run, evaluator='Fails', fingerprint=None),
        an_outcome(run, status='dropped', detail='the queue was full', fingerprint='f2'),
    ]
    keep(store, (run, [judged, *others]))
    stored = [each.outcome for each in store.outcomes('run-1')]
    assert stored[0] == judged
    assert stored[1].failure == others[0].failure
    assert (stored[1].status, stored[1].fingerprint) == ('failed', None)
    assert stored[2] == others[1]


def test_results_whose_version_differs_from_the_evaluators_keep_it(store: Store) -> None:
    run = a_run()
    outcome = an_outcome(run, a_result(), evaluator_version='2')
    keep(store, (run, [outcome]))
    assert store.outcomes('run-1')[0].outcome == outcome


def test_what_is_written_twice_is_there_once(store: Store) -> None:
    run = a_run()
    keep(store, (run, [an_outcome(run)]))
    before = store.aggregates(START - timedelta(days=1), START + timedelta(days=1))
    keep(store, (run, [an_outcome(run), an_outcome(run, fingerprint='f2')]), (run, [an_outcome(run)]))
    assert len(ids(store)) == 1
    assert [each.outcome.fingerprint for each in store.outcomes('run-1')] == ['f1', 'f2']
    after = store.aggregates(START - timedelta(days=1), START + timedelta(days=1))
    assert [each for each in after if each.fingerprint == 'f1'] == list(before)
    assert (store.info().runs, store.info().outcomes) == (1, 2)


def test_the_content_of_a_run_that_must_not_be_recorded_is_not_in_the_store(store: Store) -> None:
    secret = 'the secret'
    run = a_run(
        record_content=False,
        inputs=secret,
        output=ValueError(secret),
        error=ValueError(secret),
        outcome='error',
        expected_output=secret,
        attributes={'a': secret},
        messages=(ModelRequest(parts=[UserPromptPart(secret)]),),
    )
    outcomes = [an_outcome(run, a_result(reason=secret)), a_failure(run, evaluator='Fails')]
    keep(store, (run.without_content(), outcomes))
    keep(store, (a_run(2, **{**vars(run), 'run_id': 'run-2'}), [an_outcome(run, run_id='run-2')]))
    for run_id in ('run-1', 'run-2'):
        stored = store.run(run_id)
        assert secret not in repr(stored)
        assert stored.record.messages == ()
        assert stored.record.inputs is None
        assert stored.summary.prompt is None
        assert 'withheld' in str(stored.record.error)
        assert stored.summary.outcome == 'error'
    assert store.outcomes('run-1')[0].outcome.results[0].reason is None


def test_what_upstreams_online_evaluation_hands_over_is_kept(store: Store) -> None:
    agent = Agent(
        TestModel(),
        name='assistant',
        capabilities=[
            UpstreamEvaluation(
                evaluators=[Contains('success'), Contains('nonsense', evaluation_name='Nonsense'), Raising()],
                config=UpstreamConfig(default_sink=store),
            )
        ],
    )

    async def main() -> None:
        from pydantic_evals.online import wait_for_evaluations as wait

        await agent.run('Hello')
        await wait()

    asyncio.run(main())
    assert store.flush(BOUND)
    runs = store.runs().items
    assert {run.target for run in runs} == {'assistant'}
    outcomes = {each.outcome.evaluator: each.outcome for run in runs for each in store.outcomes(run.run_id)}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        'Contains': 'scored',
        'Nonsense': 'scored',
        'Raising': 'failed',
    }
    assert outcomes['Nonsense'].passed is False
    assert len({outcome.fingerprint for outcome in outcomes.values()}) == 3


class Raising(Evaluator):
    def evaluate(self, ctx: EvaluatorContext) -> bool:
        raise ValueError('broken')


# What is asked


def several(store: Store) -> None:
    parts: list[Any] = []
    for number in range(1, 8):
        run = a_run(
            number,
            target='even' if number % 2 == 0 else 'odd',
            agent_path=('top', 'even') if number % 2 == 0 else ('top',),
            duration=float(10 - number),
            metadata={'variant': 'a' if number < 4 else 'b', 'tags': ['third'] if number % 3 == 0 else 'other'},
            model_name='m1' if number == 1 else 'm2',
            conversation_id=f'talk-{number // 4}',
            usage=RunUsage(requests=1),
            outcome='error' if number == 7 else 'success',
            span_context=SpanContext(number, number, is_remote=False),
        )
        if number > 5:
            run.usage.cost = Decimal(number)
        polite = an_outcome(run, a_result(number != 4))
        other = a_failure(run, evaluator='Other', fingerprint='f2') if number == 5 else None
        parts.append((run, [polite] if other is None else [polite, other]))
    keep(store, *parts)


@pytest.mark.parametrize(
    ('where', 'expected'),
    [
        ({}, [7, 6, 5, 4, 3, 2, 1]),
        ({'target': 'even'}, [6, 4, 2]),
        ({'path': ('top',)}, [7, 6, 5, 4, 3, 2, 1]),
        ({'path': ('top', 'even')}, [6, 4, 2]),
        ({'path': ('even',)}, []),
        ({'path': ('%',)}, []),
        ({'path': ()}, [7, 6, 5, 4, 3, 2, 1]),
        ({'evaluator': 'Polite', 'passed': False}, [4]),
        ({'passed': False}, [4]),
        ({'evaluator': 'Polite', 'passed': True}, [7, 6, 5, 3, 2, 1]),
        ({'evaluator': 'Other'}, [5]),
        ({'evaluator': 'Nobody'}, []),
        ({'fingerprint': 'f2'}, [5]),
        ({'evaluator': 'Polite', 'fingerprint': 'f2'}, []),
        ({'status': 'failed'}, [5]),
        ({'status': 'scored', 'target': 'even', 'tag': 'third'}, [6]),
        ({'tag': 'third'}, [6, 3]),
        ({'tag': 'other', 'variant': 'b'}, [7, 5, 4]),
        ({'variant': 'a'}, [3, 2, 1]),
        ({'model': 'm1'}, [1]),
        ({'outcome': 'error'}, [7]),
        ({'conversation_id': 'talk-1'}, [7, 6, 5, 4]),
        ({'min_duration': 4.0, 'max_duration': 6.0}, [6, 5, 4]),
        ({'since': START + timedelta(seconds=3), 'until': START + timedelta(seconds=5)}, [4, 3]),
        ({'tag': 'third', 'since': START + timedelta(seconds=4)}, [6]),
        ({'passed': True, 'until': START + timedelta(seconds=3)}, [2, 1]),
        ({'feedback': 'helpful'}, [3, 2]),
        ({'feedback': 'helpful', 'min_feedback': 0.5}, [2]),
        ({'max_feedback': 0.5}, [3]),
    ],
    ids=str,
)
def test_runs_are_found_by_what_is_asked_for(store: Store, where: dict[str, Any], expected: list[int]) -> None:
    several(store)
    store.add_feedback('helpful', True, run_id='run-2')
    store.add_feedback('helpful', False, span=SpanReference(trace_id=format(3, '032x'), span_id=format(3, '016x')))
    store.add_feedback('words', 'well done', run_id='run-6', comment='really', by='me', at=START)
    assert ids(store, RunFilter(**where)) == [f'run-{number}' for number in expected]
    assert store.count_runs(RunFilter(**where)) == len(expected)


def test_a_run_is_found_by_the_span_that_its_results_are_attached_to(store: Store) -> None:
    run = a_run(span_context=SPAN)
    keep(store, (run, [an_outcome(run)]))
    found = store.ask(lambda reader: reader.run_of_span(REFERENCE.trace_id, REFERENCE.span_id))
    assert found.record.run_id == run.run_id
    with pytest.raises(UnknownRunError, match="no run of span '1234567890abcdef' in trace"):
        store.ask(lambda reader: reader.run_of_span('0' * 32, '1234567890abcdef'))


def test_a_forked_child_leaves_the_connections_to_its_parent(database_url: str) -> None:
    migrate(database_url)
    database = Database(database_url)
    with database.reading() as connection:
        database.begin_in_child()
        with database.reading() as anew:
            assert anew is not connection and anew.engine is not connection.engine
        assert connection.execute(select(1)).scalar() == 1
    database.close()


def test_what_is_left_where_no_thread_starts_any_more_is_written_by_whoever_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    run = a_run()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', start)
        submit(store, (run, [an_outcome(run)]))
        assert store.flush(30)
    assert store.run(run.run_id).record.output == run.output


@pytest.mark.parametrize(
    ('order', 'expected'),
    [
        ('newest', [7, 6, 5, 4, 3, 2, 1]),
        ('oldest', [1, 2, 3, 4, 5, 6, 7]),
        ('slowest', [1, 2, 3, 4, 5, 6, 7]),
        ('costliest', [7, 6]),
    ],
)
@pytest.mark.parametrize('where', [RunFilter(), RunFilter(evaluator='Polite')], ids=['all', 'judged'])
def test_pages_follow_one_another_in_every_order(
    store: Store, order: Any, expected: list[int], where: RunFilter
) -> None:
    several(store)
    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = store.runs(where, order=order, limit=3, cursor=cursor)
        found += [run.run_id for run in page.items]
        cursor, pages = page.cursor, pages + 1
    assert found == [f'run-{number}' for number in expected]
    assert pages == -(-len(expected) // 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'limit': 0}, 'limit must be an integer from 1 to 10000, got 0'),
        ({'order': 'best'}, "order must be one of 'newest', 'oldest', 'slowest', 'costliest', got 'best'"),
        ({'cursor': 'nonsense'}, r"cursor must come from a page in the same order \('newest'\)"),
        ({'cursor': 'WyJvbGRlc3QiLCAxLCAyXQ=='}, 'cursor must come from a page in the same order'),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(store: Store, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        store.runs(**arguments)


@pytest.mark.parametrize(
    ('conditions', 'message'),
    [
        ({'status': 'good'}, "status must be one of 'scored', .* got 'good'"),
        ({'outcome': 'good'}, "outcome must be one of 'success', .* got 'good'"),
        ({'status': 'failed', 'passed': True}, "An evaluation with the status 'failed' neither passed nor failed"),
    ],
)
def test_a_condition_that_no_run_can_meet_is_refused(conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RunFilter(**conditions)


def test_runs_are_counted_without_reading_them(store: Store) -> None:
    assert store.count_runs() == 0
    several(store)
    assert store.count_runs() == store.count_runs(RunFilter()) == 7
    # By either evaluator: a run that both judged is one.
    assert store.count_runs(RunFilter(status='scored')) == len(ids(store, RunFilter(status='scored')))


@pytest.mark.parametrize('limit', [1, 2, 100])
def test_the_outcomes_of_an_evaluator_are_read_page_by_page(store: Store, limit: int) -> None:
    several(store)
    judged = a_run(8)
    score = an_outcome(judged, a_result(0.25))
    keep(store, (judged, [score, an_outcome(judged, evaluator='Other', fingerprint='f3')]))
    found: list[StoredOutcome] = []
    cursor, is_first = None, True
    while is_first or cursor is not None:
        page = store.evaluations('Polite', limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        found += page.items
        cursor, is_first = page.cursor, False
    assert [each.outcome.run_id for each in found] == [f'run-{number}' for number in (8, 7, 6, 5, 4, 3, 2, 1)]
    assert found[0].outcome == store.outcomes('run-8')[0].outcome
    others = store.evaluations('Other')
    assert [each.outcome.run_id for each in others.items] == ['run-8', 'run-5']
    (failed,) = store.evaluations('Other', status='failed').items
    assert failed.outcome.fingerprint == 'f2'
    assert store.evaluations('Other', fingerprint='f3').items == others.items[:1]
    assert store.evaluations('Nobody') == Page(items=(), cursor=None)


def test_the_tags_of_runs_are_listed_with_their_numbers(store: Store) -> None:
    assert store.tags() == {}
    several(store)
    assert store.tags() == {'other': 5, 'third': 2}
    store.prune(max_runs=1)
    assert sum(store.tags().values()) <= 1


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    keep(store, (a_run(1, run_id='abc-1'), []), (a_run(2, run_id='abd-2'), []))
    assert store.run('abc').summary.run_id == 'abc-1'
    with pytest.raises(UnknownRunError, match="More than one run in the store has an id that begins with 'ab'"):
        store.run('ab')
    for unknown in ('x', '', '%'):
        with pytest.raises(UnknownRunError, match='There is no run'):
            store.run(unknown)
    with pytest.raises(UnknownRunError, match='There is no run'):
        store.outcomes('x')


def test_the_tail_goes_on_from_the_last_outcome_that_is_known(store: Store) -> None:
    several(store)
    assert [each.outcome.run_id for each in store.tail(limit=2)] == ['run-6', 'run-7']
    first = store.tail(0, limit=3)
    assert [each.outcome.run_id for each in first] == ['run-1', 'run-2', 'run-3']
    rest = store.tail(first[-1].number)
    assert [each.outcome.run_id for each in rest] == ['run-4', 'run-5', 'run-5', 'run-6', 'run-7']
    run = a_run(8)
    keep(store, (run, [an_outcome(run)]))
    assert [each.outcome.run_id for each in store.tail(rest[-1].number)] == ['run-8']


def test_feedback_is_read_with_its_run_and_by_itself(store: Store) -> None:
    store.add_feedback('stars', 4, run_id='run-1', at=START)
    run = a_run(span_context=SPAN)
    keep(store, (run, []))
    store.add_feedback('helpful', True, span=REFERENCE, comment='thanks', by='user', at=START + timedelta(1))
    stored = store.run('run-1')
    assert [(each.name, each.value) for each in stored.feedback] == [('stars', 4), ('helpful', True)]
    assert stored.feedback[1].span == REFERENCE
    assert [each.name for each in store.feedback()] == ['helpful', 'stars']
    assert [each.value for each in store.feedback(run_id='run-1')] == [4]
    assert [each.comment for each in store.feedback(name='helpful')] == ['thanks']


def test_feedback_is_read_page_by_page(store: Store) -> None:
    for number in range(5):
        # Some at the same time.
        store.add_feedback('stars', number, run_id=f'run-{number % 2}', at=START + timedelta(seconds=number // 2))
    first = store.feedback_page(limit=2)
    second = store.feedback_page(limit=2, cursor=first.cursor)
    third = store.feedback_page(limit=2, cursor=second.cursor)
    assert [each.value for page in (first, second, third) for each in page.items] == [4, 3, 2, 1, 0]
    assert third.cursor is None
    of_run = store.feedback_page(run_id='run-1', name='stars', limit=1)
    assert [each.value for each in store.feedback_page(run_id='run-1', limit=1, cursor=of_run.cursor).items] == [1]
    with pytest.raises(ConfigurationError, match="in the same order .'feedback'"):
        store.feedback_page(cursor=store.runs(limit=1).cursor or 'nonsense')


@pytest.mark.parametrize('value', [float('nan'), float('inf'), None, []])
def test_feedback_that_is_no_value_is_refused(sqlite_url: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match='The value of feedback must be'):
        Store(sqlite_url).add_feedback('x', value, run_id='run-1')
    with pytest.raises(ConfigurationError, match='Feedback must be about a run'):
        Store(sqlite_url).add_feedback('x', 1)


def test_questions_are_asked_asynchronously_as_well(store: Store) -> None:
    several(store)

    async def main() -> list[str]:
        page = await store.ask_async(Reader.runs, RunFilter(target='even'), limit=2)
        return [run.run_id for run in page.items]

    assert asyncio.run(main()) == ['run-6', 'run-4']


# What is summed


def test_sums_are_those_of_the_outcomes_weighted_by_their_probability(store: Store) -> None:
    parts: list[Any] = []
    for number in range(1, 5):
        run = a_run(number, metadata={'variant': 'v'}, model_name='m')
        results = (
            a_result(number > 1),
            a_result(float(number), name='Score'),
            a_result('warm' if number < 4 else 'cold', name='Tone'),
            a_result(10**200, name='Huge'),
        )
        votes = (Vote(judge='j', usage=RunUsage(requests=1, input_tokens=5, output_tokens=2)),)
        votes[0].usage.cost = Decimal('0.5')
        parts.append((run, [an_outcome(run, *results, judgement=Judgement(votes=votes))]))
    run = a_run(5, metadata={'variant': 'v'}, model_name='m')
    parts.append((run, [a_failure(run)]))
    keep(store, *parts)
    store.count('sampled_out', 'Polite', 'f1', 'support', 3)
    store.count('sampled_out', 'Polite', 'f1', 'support')
    assert store.flush(BOUND)
    found = store.aggregates(
        START - timedelta(hours=1),
        START + timedelta(hours=1),
        by=('series', 'target', 'agent_path', 'evaluator', 'version', 'fingerprint', 'label', 'variant', 'model'),
    )
    by_result = {(each.kind, each.name, each.label): each for each in found}
    assert set(by_result) == {
        ('outcome', '', ''),
        ('assertion', 'Polite', ''),
        ('score', 'Score', ''),
        ('score', 'Huge', '(out of range)'),
        ('label', 'Tone', 'warm'),
        ('label', 'Tone', 'cold'),
    }
    outcomes = by_result['outcome', '', '']
    assert outcomes.statuses == {'scored': 4, 'failed': 1}
    assert (outcomes.attempts, outcomes.duration, outcomes.waited) == (5, 1.25, 0.625)
    judged = (outcomes.judge_cost, outcomes.judge_requests, outcomes.judge_input_tokens, outcomes.judge_output_tokens)
    assert judged == (2.0, 4, 20, 8)
    assert (outcomes.target, outcomes.agent_path, outcomes.variant, outcomes.model) == (
        'support',
        ('support',),
        'v',
        'm',
    )
    assert (outcomes.evaluator, outcomes.version, outcomes.fingerprint, outcomes.series) == ('Polite', '1', 'f1', '')
    assert (outcomes.first_at, outcomes.last_at) == (START + timedelta(seconds=3), START + timedelta(seconds=7))
    score = by_result['score', 'Score', ''].moments
    assert (score.count, score.sum_w, score.sum_w2, score.sum_wx) == (4, 8.0, 16.0, 20.0)
    assert (score.sum_w2x, score.sum_w2x2, score.minimum, score.maximum) == (40.0, 120.0, 1.0, 4.0)
    assert by_result['assertion', 'Polite', ''].moments.mean == 0.75
    assert by_result['label', 'Tone', 'warm'].moments.sum_w == 6.0
    now = store.aggregates(timedelta(hours=1), by=('evaluator',))
    assert [each.statuses for each in now] == [{'sampled_out': 4}]


def test_sums_over_any_stretch_of_time_are_those_of_its_runs(store: Store) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    minutes = [0, 1, 59, 60, 61, 24 * 60 - 1, 24 * 60, 25 * 60 + 30, 3 * 24 * 60 + 5, 4 * 24 * 60]
    runs = [a_run(number, started_at=day + timedelta(minutes=minute)) for number, minute in enumerate(minutes)]
    keep(store, *((run, [an_outcome(run, a_result(float(number)))]) for number, run in enumerate(runs)))
    ends = [0, 1, 2, 60, 62, 1439, 1440, 1441, 2881, 5760, 5761]
    for start in ends:
        for stop in ends:
            expected = [number for number, minute in enumerate(minutes) if start <= minute < stop]
            found = store.aggregates(
                day + timedelta(minutes=start),
                day + timedelta(minutes=stop),
                by=(),
                where=AggregateFilter(kind='score'),
            )
            assert [(each.moments.count, each.moments.sum_wx) for each in found] == (
                [(len(expected), 2.0 * sum(expected))] if expected else []
            )


@pytest.mark.parametrize(('step', 'counts'), [('minute', [2, 1, 1, 1]), ('hour', [3, 1, 1]), ('day', [4, 1])])
def test_sums_are_told_apart_by_minute_hour_and_day(store: Store, step: Any, counts: list[int]) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    runs = [a_run(n, started_at=day + timedelta(seconds=s)) for n, s in enumerate([0, 59, 60, 3600, 86400])]
    keep(store, *((run, [an_outcome(run)]) for run in runs))
    found = store.aggregates(day, day + timedelta(days=2), by=(), step=step, where=AggregateFilter(kind='outcome'))
    assert [each.statuses['scored'] for each in found] == counts
    starts = [each.start for each in found]
    assert starts[0] == day and starts[-1] == day + timedelta(days=1)


def test_sums_are_of_what_is_asked_for(store: Store) -> None:
    several(store)
    for where, scored in (
        (AggregateFilter(target='even'), 3),
        (AggregateFilter(agent_path=('top', 'even')), 3),
        (AggregateFilter(agent_path=('even',)), 0),
        (AggregateFilter(evaluator='Polite', fingerprint='f1'), 7),
        (AggregateFilter(evaluator='Other'), 0),
        (AggregateFilter(variant='a', model='m2'), 2),
        (AggregateFilter(series='other'), 0),
        (AggregateFilter(series=None, name=''), 7),
    ):
        found = store.aggregates(START - timedelta(days=1), START + timedelta(days=1), by=(), where=where)
        assert sum(each.statuses.get('scored', 0) for each in found) == scored, where


def test_sums_by_what_there_is_not_are_refused(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="by must be of 'series', .* got 'colour'"):
        store.aggregates(timedelta(days=1), by=('colour',))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="step must be one of 'minute', 'hour', 'day', got 'week'"):
        store.aggregates(timedelta(days=1), step='week')  # type: ignore[arg-type]


# Judged again


def test_stored_runs_are_judged_again_and_their_new_outcomes_are_beside_the_old(store: Store) -> None:
    run = a_run(span_context=SPAN)
    keep(store, (run, [an_outcome(run)]))

    async def main() -> Any:
        by_span = await store.fetch_many([REFERENCE])
        assert by_span[0].inputs == 'question 1'
        return await run_evaluators([Contains('answer'), MaxDuration(seconds=1)], store.context('run-1'))

    results, failures = asyncio.run(main())
    assert ([result.value for result in results], failures) == ([True, False], [])
    later = an_outcome(run, *results, evaluator='Contains', fingerprint='f9', probability=1.0)
    store.add_outcomes('run-1', [later, an_outcome(run)], series='again')
    assert store.flush(BOUND)
    stored = store.outcomes('run-1')
    assert [(each.series, each.outcome.evaluator) for each in stored] == [
        ('', 'Polite'),
        ('again', 'Contains'),
        ('again', 'Polite'),
    ]
    assert [result.value for result in stored[1].outcome.results] == [True, False]
    stretch = START - timedelta(days=1), START + timedelta(days=1)
    online = store.aggregates(*stretch, by=('series',), where=AggregateFilter(kind='outcome'))
    assert [(each.series, each.statuses) for each in online] == [('', {'scored': 1})]
    again = store.aggregates(*stretch, by=('series',), where=AggregateFilter(kind='outcome', series='again'))
    assert [(each.series, each.statuses) for each in again] == [('again', {'scored': 2})]


def test_later_outcomes_need_a_stored_run_and_a_name(store: Store) -> None:
    run = a_run()
    with pytest.raises(UnknownRunError):
        store.add_outcomes('run-1', [an_outcome(run)], series='again')
    with pytest.raises(ConfigurationError, match='series must be a name'):
        store.add_outcomes('run-1', [an_outcome(run)], series='')

    async def main() -> None:
        with pytest.raises(UnknownRunError, match='There is no run of span'):
            await store.fetch(REFERENCE)

    asyncio.run(main())


def test_the_spans_of_a_stored_run_are_a_tree_again(store: Store) -> None:
    import logfire

    logfire.configure(send_to_logfire=False, console=False)
    agent = Agent(
        TestModel(),
        name='assistant',
        capabilities=[OnlineEvaluation(evaluators=[Contains('success')], config=OnlineEvalConfig(default_sink=store))],
    )

    @agent.tool_plain
    def look_up(word: str) -> str:
        with logfire.span('searching', word=word):
            return 'found'

    async def main() -> None:
        with logfire.span('outside'):
            await agent.run('Hello', run_id='run-1')
        await wait_for_evaluations()

    asyncio.run(main())
    assert store.flush(BOUND)
    context = store.context('run-1')
    found = context.span_tree.find({'name_equals': 'searching'})
    assert [node.attributes['word'] for node in found] == ['a']
    assert found[0].duration >= timedelta()
    assert context.run.spans is not None
    spans: RunSpans = context.run.spans
    assert len(list(spans.all_spans())) >= 1
    spans.close()


def test_spans_that_were_not_recorded_say_why(store: Store) -> None:
    agent = Agent(
        TestModel(),
        name='assistant',
        capabilities=[OnlineEvaluation(evaluators=[Contains('success')], config=OnlineEvalConfig(default_sink=store))],
    )

    async def main() -> None:
        await agent.run('Hello', run_id='run-1')
        await wait_for_evaluations()

    asyncio.run(main())
    assert store.flush(BOUND)
    assert store.run('run-1').record.spans is not None


# How it is


def test_info_tells_how_much_there_is(store: Store) -> None:
    assert (store.info().runs, store.info().oldest, store.info().newest) == (0, None, None)
    several(store)
    info = store.info()
    assert (info.is_reachable, info.is_current, info.revision, info.error) == (True, True, '0001', None)
    assert (info.runs, info.outcomes) == (7, 8)
    assert (info.oldest, info.newest) == (START + timedelta(seconds=1), START + timedelta(seconds=7))
    assert 0 < info.content_bytes < info.database_bytes


def test_a_database_without_tables_is_told_from_one_that_is_away(database_url: str, tmp_path: Any) -> None:
    if database_url.startswith('sqlite'):
        (tmp_path / 'assay.db').touch()
    store = Store(database_url)
    with pytest.raises(SchemaError, match='has no tables yet. Run `assay migrate` on it'):
        store.runs()
    info = store.info()
    assert (info.is_reachable, info.is_current, info.revision) == (True, False, None)
    assert store.close()
    for url in (f'sqlite:///{tmp_path}/none.db', 'postgresql://nobody:hunter2@127.0.0.1:1/none'):
        away = Store(url)
        with pytest.raises(StoreUnavailableError) as raised:
            away.runs()
        info = away.info()
        assert not info.is_reachable
        for text in (str(raised.value), str(info), repr(away), away.url, str(away.stats())):
            assert 'hunter2' not in text
        assert away.close()


def test_every_store_of_the_process_can_be_flushed(store: Store) -> None:
    run = a_run()
    submit(store, (run, [an_outcome(run)]))
    flush_stores(BOUND)
    assert store.stats().waiting == 0
    assert ids(store) == ['run-1']


@pytest.mark.parametrize('inputs', [{'a': '\ud800'}, ['\ud800', {'b': '\x00'}], {'c': float('nan')}, {'d': object()}])
def test_a_prompt_of_which_a_list_cannot_show_the_beginning_as_it_is_is_kept(store: Store, inputs: Any) -> None:
    run = a_run(1, inputs=inputs)
    keep(store, (run, [an_outcome(run)]))
    (summary,) = store.runs().items
    assert summary.run_id == run.run_id
    assert (store.stats().refused, summary.prompt is None) == (0, False)
