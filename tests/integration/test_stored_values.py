"""What agents take and return goes into both databases and comes out the same, and evaluators say the same of it."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import logfire
import pytest
from conftest import Collected
from databases import database_url, postgres_url, sqlite_url, store
from judge_models import Asked
from opentelemetry import baggage, context as otel_context
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext, ToolReturn
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage
from pydantic_evals import increment_eval_metric, set_eval_attribute
from pydantic_evals.evaluators import (
    Contains,
    Equals,
    EqualsExpected,
    Evaluator,
    EvaluatorContext,
    HasMatchingSpan,
    IsInstance,
    LLMJudge,
    MaxDuration,
)
from store_samples import BOUND, a_run, keep

from pydantic_ai_assay import Judge, OnlineEvalConfig, OnlineEvaluation, run_evaluators, wait_for_evaluations
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.runs.record import RunRecord
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


class Colour(Enum):
    RED = 'red'


class Item(BaseModel):
    name: str
    fields: list[str] = []


class Answer(BaseModel):
    text: str
    items: list[Item]
    colour: Colour = Colour.RED
    at: date = date(2026, 1, 2)


@dataclass
class Point:
    x: int
    y: tuple[int, ...]


class Opaque:
    def __repr__(self) -> str:
        return 'Opaque!'


class Unpicklable(Exception):
    def __init__(self, code: int, *, needed: object) -> None:
        super().__init__(f'failed with {code}')

    def __reduce__(self) -> Any:
        raise TypeError('cannot be pickled')


def an_answer() -> Answer:
    return Answer(text='why', items=[Item(name='a', fields=['x']), Item(name='b')])


# A whole run


def of_model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    usage = RequestUsage(input_tokens=20, output_tokens=7, details={'reasoning_tokens': 3}, cost=Decimal('0.0125'))
    if len(messages) > 3:
        return ModelResponse(parts=[TextPart('done')], usage=usage, model_name='a-model')
    return ModelResponse(parts=[ToolCallPart('look_up', {'word': 'a'}, tool_call_id='call-1')], usage=usage)


@dataclass
class Says(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> Any:
        return {'good': True, 'score': 0.5, 'label': 'fine'}


@dataclass
class Fails(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        raise Unpicklable(5, needed=object())


@pytest.fixture
def instrumented() -> Iterator[None]:
    logfire.configure(send_to_logfire=False, console=False)
    logfire.instrument_pydantic_ai()
    yield
    Agent.instrument_all(False)


def test_every_part_of_an_agents_run_comes_back_as_it_was(
    store: Store, collected: Collected, instrumented: None
) -> None:
    inner = Agent(FunctionModel(lambda messages, info: ModelResponse(parts=[TextPart('found')])), name='inner')
    judge = Judge('It is done', name='Done', model=Asked().model)
    config = OnlineEvalConfig(default_sink=[store, collected])
    agent: Agent[Any, str] = Agent(
        FunctionModel(of_model, model_name='a-model'),
        name='outer',
        metadata={'variant': 'b', 'tags': ['x', 'ü'], 'since': datetime(2026, 1, 2, tzinfo=UTC), 'n': {1: (2, {3})}},
        capabilities=[OnlineEvaluation(evaluators=[Says(), Fails(), judge], config=config)],
    )

    @agent.tool
    async def look_up(ctx: RunContext[Any], word: str) -> ToolReturn[Any]:
        set_eval_attribute('word', {word, 'b'})
        increment_eval_metric('looked_up', 2)
        found = await inner.run(word)
        return ToolReturn({'word': word, 'found': found.output}, metadata={'seconds': 1.5})

    file = BinaryContent(b'\x00\xff', media_type='application/pdf')
    history = [ModelRequest.user_text_prompt('before'), ModelResponse(parts=[TextPart('yes\x00')])]

    async def main() -> None:
        token = otel_context.attach(baggage.set_baggage('tenant', 'acme'))
        with logfire.span('request'):
            await agent.run(['look \x00 at', file], message_history=history, conversation_id='talk-1', run_id='run-1')
        otel_context.detach(token)
        await wait_for_evaluations()

    asyncio.run(main())
    assert store.flush(BOUND)
    stored, run = store.run('run-1'), collected.run
    assert stored.refused == {}
    same = {each.name for each in fields(RunRecord)} - {'deps', 'spans', 'span_context', 'messages', 'baggage'}
    assert {name: getattr(stored.record, name) for name in same} == {name: getattr(run, name) for name in same}
    assert stored.record.messages == run.messages
    assert stored.record.cost == Decimal('0.025') and stored.record.usage.details == {'reasoning_tokens': 6}
    assert stored.record.recorded_metrics == {'looked_up': 2} and stored.record.attributes == {'word': {'a', 'b'}}
    assert dict(stored.record.baggage) == dict(run.baggage) and 'tenant' in run.baggage
    assert stored.record.span_reference == run.span_reference is not None
    assert stored.summary.span == run.span_reference
    assert (stored.summary.cost, stored.summary.requests, stored.summary.input_tokens) == (0.025, 2, 40)
    assert (stored.record.new_messages, stored.record.tools_called) == (run.new_messages, ('look_up',))
    assert build_context(stored.record, None).metrics == build_context(run, None).metrics

    assert run.spans is not None and stored.record.spans is not None
    trees = [
        [root.repr_xml(include_span_id=True) for root in each.tree().roots] for each in (run.spans, stored.record.spans)
    ]
    assert trees[0] == trees[1] and 'inner' in trees[0][0]

    for mine, theirs in zip(
        sorted((each.outcome for each in stored.outcomes), key=lambda each: each.evaluator),
        sorted(collected.outcomes, key=lambda each: each.evaluator),
        strict=True,
    ):
        assert mine == theirs
    assert {each.outcome.evaluator: each.outcome.status for each in stored.outcomes} == {
        'Says': 'scored',
        'Fails': 'failed',
        'Done': 'scored',
    }
    sources = {
        each.evaluator: each.results[0].source if each.failure is None else each.failure.source
        for each in collected.outcomes
    }
    assert {each.name: each.spec for each in store.evaluators()} == sources


# Values


CYCLE: list[Any] = ['x']
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ('output', 'shown', 'refused'),
    [
        (Opaque(), 'Opaque!', None),
        ('a\x00b\ud800c', repr('a\x00b\ud800c'), None),
        ('x' * 50_000_000, 'characters left out', '48000008 characters of a text are left out'),
        (BinaryContent(b'\xff\x00', media_type='image/png'), "data=b'\\xff\\x00'", None),
        (b'\x00' * 50_000_000, 'bytes are too large', 'a builtins.bytes is left out: 50000000 bytes are too large'),
        (CYCLE, "['x', [the builtins.list around it]]", None),
        (Unpicklable(5, needed=object()), "Unpicklable('failed with 5')", None),
        ({'deep': [Opaque(), Decimal('1.5'), {1}]}, "{'deep': [Opaque!, Decimal('1.5'), {1}]}", None),
        (lambda: 1, '<function <lambda>', None),
        (10**5_000, 'left out', 'a builtins.int is left out: 16610 bits are too large'),
    ],
    ids=['opaque', 'text', 'large text', 'binary', 'large bytes', 'cycle', 'error', 'nested', 'function', 'integer'],
)
def test_whatever_an_agent_returns_is_kept_or_said_to_be_left_out(
    store: Store, output: Any, shown: str, refused: str | None
) -> None:
    def answer() -> Any:
        return output

    agent: Agent[None, Any] = Agent(
        TestModel(),
        output_type=answer,
        capabilities=[OnlineEvaluation(evaluators=[Says()], config=OnlineEvalConfig(store=store))],
    )

    async def main() -> None:
        await agent.run('Hello\x00\ud800', run_id='run-1')
        await wait_for_evaluations()

    asyncio.run(main())
    assert store.flush(BOUND)
    assert store.stats().refused == 0
    stored = store.run('run-1')
    assert shown in repr(stored.record.output)
    assert stored.refused.get('output') == refused
    assert stored.record.inputs == 'Hello\x00\ud800'
    assert [each.outcome.status for each in stored.outcomes] == ['scored']


def test_what_a_tool_keeps_to_itself_may_lead_back_to_itself(store: Store) -> None:
    parent: dict[str, Any] = {'children': []}
    parent['children'] = [{'parent': parent}, {'parent': parent}]
    config = OnlineEvalConfig(store=store)
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[Says()], config=config)])

    @agent.tool_plain
    def look_up() -> ToolReturn[Any]:
        return ToolReturn('found', metadata=parent)

    async def main() -> None:
        await agent.run('Hello', run_id='run-1')
        await wait_for_evaluations()

    asyncio.run(main())
    assert store.flush(BOUND)
    stored = store.run('run-1')
    assert stored.refused['messages'].startswith('parts of the messages have no JSON form')
    parts = [part for message in stored.record.messages for part in message.parts if isinstance(part, ToolReturnPart)]
    assert [part.content for part in parts] == ['found']


# What evaluators say


OUTPUTS: list[Any] = [
    an_answer(),
    Point(1, (2, 3)),
    {'answer': an_answer(), 'n': 1},
    [Point(1, ()), Point(2, ())],
    (1, 'x'),
    'text',
    b'\x00',
    None,
]


@pytest.mark.parametrize('output', OUTPUTS, ids=repr)
def test_evaluators_of_pydantic_evals_say_of_a_stored_run_what_they_said_of_it(store: Store, output: Any) -> None:
    asked, other = Asked(answers=[{'reason': 'It is right.', 'pass': True, 'score': 1.0}]), Asked()
    evaluators: list[Evaluator[Any, Any, Any]] = [
        Equals(output, evaluation_name='same'),
        Equals('another', evaluation_name='another'),
        EqualsExpected(),
        Contains({'text': 'why'}, evaluation_name='text'),
        Contains({'x': 1}, evaluation_name='x'),
        Contains('answer', evaluation_name='key'),
        Contains(1, evaluation_name='member'),
        IsInstance(type(output).__name__, evaluation_name='its class'),
        IsInstance('Other'),
        MaxDuration(1),
        HasMatchingSpan({'name_equals': 'none'}),
        LLMJudge('Is it right?', model=asked.model, include_input=True, include_expected_output=True),
        Judge('Is it right?', model=other.model),
    ]
    run = a_run(1, inputs=output, output=output, expected_output=copy.deepcopy(output), duration=0.5)
    keep(store, (run, []))

    async def judged(context: EvaluatorContext[Any, Any, Any]) -> dict[str, Any]:
        results, failures = await run_evaluators(evaluators, context)
        return {each.name: each.value for each in results} | {each.name: each.error_type for each in failures}

    before = asyncio.run(judged(build_context(run, None)))
    after = asyncio.run(judged(store.context('run-1')))
    assert after == before
    for each in (asked, other):
        first, second = (shown_to(messages) for messages, _ in each.calls)
        assert first == second


def shown_to(messages: list[ModelMessage]) -> str:
    text = '\n'.join(str(getattr(part, 'content', '')) for message in messages for part in message.parts)
    # What marks the ends of texts in the prompt is drawn anew each time.
    return re.sub('[0-9a-f]{16}', '-', text)
