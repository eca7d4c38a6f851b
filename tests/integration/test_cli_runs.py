"""`assay runs` and `assay show`: which runs are listed, and what is shown of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cli_store import HOSTILE, a_conversation, assay, printed, url
from inline_snapshot import snapshot
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from pydantic_evals.otel import SpanNode
from store_samples import START, a_result, a_run, an_outcome, keep

from pydantic_ai_assay import Judgement, OnlineEvalConfig, OnlineEvaluation, Vote, wait_for_evaluations
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.store.stored_spans import StoredSpans

__all__ = ('url',)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    url = f'sqlite:///{tmp_path_factory.mktemp("store") / "other.db"}'
    migrate(url)
    store = Store(url)
    yield store
    assert store.close()


def location(store: Store) -> str:
    return store.url


def listed(*arguments: str, store: str) -> list[str]:
    return [run['run_id'] for run in json.loads(printed('runs', *arguments, '--json', store=store))['runs']]


def is_harmless(text: str) -> bool:
    return all(character.isprintable() for line in text.split('\n') for character in line)


def test_runs_are_listed_with_what_was_asked_and_answered(url: str) -> None:
    assert printed('runs', '--limit', '3', store=url).splitlines()[:-1] == snapshot(
        [
            'run      started (UTC)      agent     ended       took   asked         answered',
            '────────────────────────────────────────────────────────────────────────────────',
            'run-12   2026-01-02 03:16   support   success   1.50 s   question 12   answer 12',
            'run-11   2026-01-02 03:15   support   success   1.50 s   question 11   answer 11',
            'run-10   2026-01-02 03:14   support   success   1.50 s   question 10   answer 10',
        ]
    )


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (('--failed', '--agent', 'support'), ['run-12', 'run-8', 'run-4']),
        (('--passed', '--limit', '2'), ['run-11', 'run-10']),
        (('--status', 'failed'), ['run-20']),
        (('--outcome', 'error', '--tag', 'vip', '--variant', 'short'), ['run-20']),
        (('--path', 'desk', '--conversation', 'talk-1'), ['run-20']),
        (('--feedback', 'helpful', '--max-feedback', '0'), ['run-20']),
        (('--feedback', 'helpful', '--min-feedback', '1'), []),
        (('--evaluator', 'Words', '--fingerprint', 'w1', '--sort', 'oldest', '--limit', '2'), ['run-1', 'run-2']),
        (('--model', 'gpt-5.2', '--since', '2026-01-02T03:15', '--until', '2026-01-02T03:16:30'), ['run-12', 'run-11']),
        (('--sort', 'costliest'), ['run-20']),
        (('--min-seconds', '1', '--max-seconds', '2', '--limit', '1'), ['run-12']),
        (('--sort', 'slowest', '--limit', '1', '--agent', 'planner'), ['run-20']),
    ],
)
def test_conditions_choose_runs(url: str, arguments: tuple[str, ...], expected: list[str]) -> None:
    assert listed(*arguments, store=url) == expected


def test_a_listing_goes_on_from_its_cursor(url: str) -> None:
    page = json.loads(printed('runs', '--limit', '10', '--json', store=url))
    assert listed('--limit', '10', '--cursor', page['cursor'], store=url) == ['run-2', 'run-1', 'run-20']
    last = printed('runs', '--limit', '10', store=url).splitlines()[-1]
    assert last == f'There are more: --cursor {page["cursor"]}'


def test_where_there_are_no_runs_it_says_so(url: str) -> None:
    assert printed('runs', '--since', '1h', store=url) == 'No runs.\n'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--agent', 'Support '), "There is no agent 'Support '. Did you mean 'support'?"),
        (('--evaluator', 'Wrods'), "There is no evaluator 'Wrods'. Did you mean 'Words'?"),
        (('--status', 'fail'), "There is no status 'fail'. Did you mean 'failed'?"),
        (('--outcome', 'sucess'), "There is no outcome 'sucess'. Did you mean 'success'?"),
        (('--feedback', 'helpfull'), "There is no feedback 'helpfull'. Did you mean 'helpful'?"),
        (('--fingerprint', 'w2'), "There is no fingerprint 'w2'. There is 'f1', 't1', 'w1'."),
        (('--path', 'desk > planer'), "There is no agent path 'desk > planer'. Did you mean 'desk > planner'"),
        (
            ('--since', 'now'),
            "since must say how long ago, such as '7d', '12h' or '90m', or be a date or time such as ",
        ),
        (('--cursor', 'x'), "cursor must come from a page in the same order ('newest'), got 'x'."),
    ],
)
def test_a_mistake_is_answered_with_what_is_allowed(url: str, arguments: tuple[str, ...], message: str) -> None:
    result = assay('runs', *arguments, store=url)
    assert (result.exit_code, result.stdout) == (2, '')
    assert message in result.stderr


@pytest.mark.parametrize('arguments', [('runz',), ('runs', '--sort', 'newst'), ('runs', '--agnet', 'x'), ('show',)])
def test_a_wrong_command_line_is_explained_without_a_traceback(url: str, arguments: tuple[str, ...]) -> None:
    result = assay(*arguments, store=url)
    assert result.exit_code == 2
    assert 'Traceback' not in result.output
    assert any(word in result.stderr for word in ("'runs'", "'newest'", '--agent', 'RUN'))


def test_a_run_is_shown_with_its_conversation_and_why_nothing_was_scored(url: str) -> None:
    assert printed('show', 'run-20', store=url) == snapshot("""\
run           run-20
agent         desk > planner
ended         error: ValueError: no such order
started       2026-01-02 03:04:25 UTC, took 1.50 s
used          2 requests, 300 tokens in, 40 out, $0.0125
variant       short
conversation  talk-1
tags          vip

Conversation
2 earlier messages: --history shows all
user
│ Where is
│ my order?
thinking
│ Look it up.
calls find_order
│ {"number":7}
find_order answers
│ {"state":"lost"}
agent
│ It is lost.

Outcomes
Polite  failed  0.25 s, sampled at 0.5
│ ValueError: no answer

Feedback
helpful  FAIL  2026-01-02 03:04 UTC by Ann
│ It is not
│ lost!
""")


def test_earlier_messages_are_shown_on_request(url: str) -> None:
    assert '│ Good morning.' in printed('show', 'run-20', '--history', store=url).splitlines()


def test_the_reasons_and_the_cost_of_a_judge_are_shown(url: str) -> None:
    shown = printed('show', 'run-4', store=url)
    assert shown[shown.index('Outcomes') :] == snapshot("""\
Outcomes
Polite  FAIL  0.25 s, sampled at 0.5
│ is rude
  1 vote, $0.0020
Words  4  0.25 s
Topic  topic=refund  0.25 s, sampled at 0.5
""")


def test_json_has_all_of_a_run(url: str) -> None:
    document = json.loads(printed('show', 'run-20', '--json', store=url))
    assert len(document['messages']) == len(a_conversation())
    assert document['outcomes'][0]['failure'] == {
        'error_type': 'ValueError',
        'message': 'no answer',
        'stacktrace': 'Traceback',
    }
    assert (document['error'], document['output'], document['tags']) == ('ValueError: no such order', None, ['vip'])
    assert document['feedback'][0]['comment'] == 'It is not\nlost!'
    votes = json.loads(printed('show', 'run-4', '--json', store=url))['outcomes'][0]['judgement']['votes']
    assert votes[0]['usage']['cost'] == '0.002'


def test_the_beginning_of_an_id_is_enough(url: str) -> None:
    assert printed('show', 'run-2', store=url).splitlines()[0].split() == ['run', 'run-2']
    result = assay('show', 'run-1', store=url)
    assert (result.exit_code, result.stdout.splitlines()[0].split()) == (0, ['run', 'run-1'])


@pytest.mark.parametrize(
    ('run', 'message'),
    [
        (
            'run-',
            "More than one run in the store has an id that begins with 'run-'. The latest of them: run-12, run-11,",
        ),
        ('rum-20', "There is no run 'rum-20'. Did you mean 'run-20'"),
        ('', "There is no run ''. The latest: run-12, run-11, run-10."),
        ('nothing', "There is no run 'nothing'. The latest: run-12, run-11, run-10."),
    ],
)
def test_a_run_that_is_not_there_is_answered_with_the_near_ones(url: str, run: str, message: str) -> None:
    for arguments in (('show', run), ('feedback', run, 'helpful', 'up')):
        result = assay(*arguments, store=url)
        assert (result.exit_code, result.stdout) == (2, '')
        assert message in result.stderr


def test_all_kinds_of_messages_are_shown(store: Store) -> None:
    messages = [
        ModelRequest(parts=[SystemPromptPart('Be brief.'), UserPromptPart(['Look:', 'here'])]),
        ModelResponse(
            parts=[ToolCallPart('look', '{"at": 1}', tool_call_id='a'), ToolCallPart('go', tool_call_id='b')]
        ),
        ModelRequest(
            parts=[
                ToolReturnPart('look', 'Nothing.', tool_call_id='a', outcome='failed'),
                ToolReturnPart('go', None, tool_call_id='b'),
                RetryFeedbackPart('Say more.', retry=RetryInfo(cause='no_output')),
            ]
        ),
        ModelResponse(parts=[TextPart('')]),
    ]
    run = a_run(1, messages=tuple(messages))
    keep(store, (run, []))
    shown = printed('show', 'run-1', store=location(store))
    assert shown[shown.index('Conversation') :] == snapshot("""\
Conversation
system
│ Be brief.
user
│ Look:
│ here
calls look
│ {"at": 1}
calls go
│
look failed
│ Nothing.
go answers
│
retry-feedback
│ Say more.
agent
│
""")


def test_a_run_without_messages_is_shown_by_its_input_and_output(store: Store) -> None:
    keep(store, (a_run(1, inputs={'a': 1}, output=[1, 'two']), []))
    keep(store, (a_run(2, outcome='error', output=ValueError('x'), error=ValueError('x')), []))
    shown = printed('show', 'run-1', store=location(store))
    assert shown[shown.index('Conversation') :] == 'Conversation\ninput\n│ {"a":1}\noutput\n│ 1\n│ two\n'
    assert 'output\n' not in printed('show', 'run-2', store=location(store))


def test_where_content_is_not_recorded_it_says_so(store: Store) -> None:
    keep(store, (a_run(1, record_content=False), []))
    assert printed('show', 'run-1', store=location(store)).endswith('Conversation\nContent was not recorded.\n')


def test_long_texts_are_cut_visibly_and_whole_on_request(store: Store) -> None:
    keep(store, (a_run(1, inputs='a' * 3_000, output='b'), []))
    shown = printed('show', 'run-1', store=location(store))
    assert '… [1,000 characters left out; --full shows them]' in shown
    assert printed('show', 'run-1', '--full', store=location(store)).count('a') > 3_000


def test_outcomes_tell_of_attempts_samples_series_and_votes(store: Store) -> None:
    run = a_run(1)
    votes = (
        Vote(judge='first', value=True, passed=True, reason='kind', usage=RunUsage(cost=Decimal('1.5'))),
        Vote(judge='second', error='TimeoutError'),
    )
    judged = an_outcome(run, judgement=Judgement(votes=votes, agreement=0.5), attempts=2)
    several = an_outcome(
        run, a_result(1.25, name='score'), a_result('late', name='topic', reason='r'), evaluator='Both', probability=1.0
    )
    dropped = an_outcome(run, evaluator='Slow', status='dropped', detail='the queue was full', fingerprint='s')
    silent = an_outcome(run, evaluator='Silent', fingerprint='n')
    keep(store, (run, [judged, several, dropped, replace(silent, results=())]))
    store.add_outcomes('run-1', [an_outcome(run, a_result(False))], series='new rubric')
    store.add_feedback('stars', 4, run_id='run-1', at=START)
    assert store.flush(20)
    shown = printed('show', 'run-1', store=location(store))
    assert shown[shown.index('Outcomes') :] == snapshot("""\
Outcomes
Polite  pass  0.25 s, sampled at 0.5, 2 attempts
  2 votes, agreement 50.0 %, $1.50
  first: pass  kind
  second: TimeoutError
Both  score=1.25, topic=late  0.25 s
│ r
Slow  dropped  0.25 s, sampled at 0.5
│ the queue was full
Silent  no result  0.25 s, sampled at 0.5
Polite  FAIL  0.25 s, sampled at 0.5, judged later: new rubric

Feedback
stars  4  2026-01-02 03:04 UTC
""")


def test_what_agents_wrote_cannot_change_the_page(store: Store) -> None:
    parts: dict[str, Any] = {
        name: HOSTILE for name in ('run_id', 'target', 'inputs', 'output', 'model_name', 'conversation_id')
    }
    run = a_run(1, **parts, agent_path=(HOSTILE,), metadata={'tags': [HOSTILE], 'variant': HOSTILE})
    outcome = an_outcome(run, a_result(HOSTILE, name=HOSTILE, reason=HOSTILE), evaluator=HOSTILE)
    keep(store, (run, [outcome]))
    store.add_feedback(HOSTILE, HOSTILE, run_id=run.run_id, comment=HOSTILE, by=HOSTILE, at=START)
    for arguments in (('runs',), ('show', HOSTILE[:4]), ('tail', '--no-follow')):
        text = printed(*arguments, store=location(store), width=200)
        assert is_harmless(text)
        assert '[red]b[/red]' in text.replace('\n', '')
        # A line that an agent wrote is never one of ours.
        assert not any(line.startswith(('run   forged', 'run forged')) for line in text.splitlines())
        assert printed(*arguments, '--json', store=location(store)).isascii()
    result = assay('show', 'evil', store=location(store))
    assert is_harmless(result.stderr)


def a_span(number: int, parent: int | None, **changes: Any) -> SpanNode:
    fields: dict[str, Any] = {
        'name': f'step {number}',
        'trace_id': 1,
        'span_id': number,
        'parent_span_id': parent,
        'start_timestamp': START + timedelta(seconds=number),
        'end_timestamp': START + timedelta(seconds=number, milliseconds=250),
        'attributes': {'size': number},
        'status': 'ok',
    }
    return SpanNode(**{**fields, **changes})


def test_the_spans_of_a_run_are_a_tree(store: Store) -> None:
    spans = [
        a_span(4, 2, name=HOSTILE),
        a_span(2, 1),
        a_span(3, 1, status='error', end_timestamp=START + timedelta(seconds=5)),
        a_span(1, 99),
    ]
    keep(store, (a_run(1, spans=StoredSpans(spans)), []))
    shown = printed('show', 'run-1', store=location(store))
    assert shown[shown.index('Spans') :] == snapshot("""\
Spans
│ step 1  250 ms
│   step 2  250 ms
│     \\x1b[2J\\x1b]0;owned\\x07[red]b[/red] :smile: \\u202eevil\\u2066 run forged \\x00  250 ms
│   step 3  2,000 ms ERROR
""")
    document = json.loads(printed('show', 'run-1', '--json', store=location(store)))
    assert [(span['span_id'], span['parent_span_id']) for span in document['spans']] == [
        (f'{1:016x}', f'{99:016x}'),
        (f'{2:016x}', f'{1:016x}'),
        (f'{3:016x}', f'{1:016x}'),
        (f'{4:016x}', f'{2:016x}'),
    ]


def test_spans_may_be_as_deep_as_they_like(store: Store) -> None:
    spans = [a_span(number, number - 1 or None, start_timestamp=START) for number in range(1, 1_500)]
    keep(store, (a_run(1, spans=StoredSpans(spans)), []))
    assert printed('show', 'run-1', store=location(store)).splitlines()[-1].endswith(' step 1499  1,499,250 ms')


def test_what_was_not_kept_is_said(store: Store) -> None:
    message = ModelResponse(parts=[ToolCallPart('look', {'at': object()}, tool_call_id='a')])
    keep(store, (a_run(1, messages=(message,)), []))
    shown = printed('show', 'run-1', store=location(store))
    assert 'Not kept\nmessages: parts of the messages have no JSON form: ' in shown


def test_what_an_evaluator_raised_is_named_once(tmp_path: Path) -> None:
    @dataclass
    class Broken(Evaluator):
        def evaluate(self, ctx: EvaluatorContext[object, object, object]) -> bool:
            raise ValueError('no answer')

    store = Store(f'sqlite:///{tmp_path / "assay.db"}')
    config = OnlineEvalConfig(store=store, emit_otel_events=False)
    agent = Agent(TestModel(), name='support', capabilities=[OnlineEvaluation(evaluators=[Broken()], config=config)])

    async def run() -> None:
        await agent.run('Hello', run_id='run-1')
        await wait_for_evaluations()

    asyncio.run(run())
    assert store.close()
    url = store.url
    assert printed('tail', '--no-follow', store=url).endswith(
        '  run-1  support  Broken  failed  ValueError: no answer\n'
    )
    assert '│ ValueError: no answer\n' in printed('show', 'run-1', store=url)
