"""What becomes of an evaluation when the API of the judge's model fails it, over real connections."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread
import pytest
from conftest import Collected
from httpx2 import AsyncClient, Limits
from openai import AsyncOpenAI
from openai_server import (
    Answer,
    OpenAIServer,
    hang,
    no_choices,
    openai_server,
    prose,
    raw,
    reset,
    status,
    tool_call,
    verdict,
)
from pydantic_ai import Agent
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.openai import OpenAIProvider

from pydantic_ai_assay import (
    EvaluationOutcome,
    Judge,
    Judgement,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    Panel,
    wait_for_evaluations,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.anyio]

MEGABYTE = 1_000_000
TRUNCATED = tool_call('{"reason": "It says')
"""Arguments that break off, and a server that does not say why."""
CUT_OFF = tool_call('{"reason": "It says', finish_reason='length')
"""The same, where the limit of tokens is named as the cause."""
NO_SUCH_TOOL = tool_call('{}', name='nonesuch')
ONE_REQUEST = (1, 10, 2)
CUT_SHORT = 1.0
"""Seconds, time enough for all that is answered."""


@asynccontextmanager
async def model_on(
    server: OpenAIServer, *, max_retries: int = 0, http_client: AsyncClient | None = None
) -> AsyncGenerator[OpenAIChatModel]:
    """A model on the server, whose client does not try again by itself unless told to."""
    async with AsyncOpenAI(
        base_url=server.url, api_key='key', max_retries=max_retries, http_client=http_client
    ) as client:
        yield OpenAIChatModel('gpt-4o', provider=OpenAIProvider(openai_client=client))


async def judged(judge: Judge | Panel, *, retries: int = 2, timeout: float = 30.0) -> EvaluationOutcome:
    """The outcome of one run of an agent to which a judge is attached."""
    collected = Collected()
    evaluator = OnlineEvaluator(evaluator=judge, retries=retries, retry_wait=0.01, timeout=timeout)
    online = OnlineEvaluation(evaluators=[evaluator], config=OnlineEvalConfig(default_sink=collected))
    agent = Agent(TestModel(custom_output_text='Eight.'), name='answering', capabilities=[online])
    result = await agent.run('How many legs does a spider have?')
    assert result.output == 'Eight.'
    await wait_for_evaluations(timeout=30.0)
    (outcome,) = collected.outcomes
    return outcome


async def judged_on(server: OpenAIServer, *, retries: int = 2, max_retries: int = 0) -> EvaluationOutcome:
    async with model_on(server, max_retries=max_retries) as model:
        return await judged(Judge('It is right', model=model, retries=2), retries=retries)


def judgement_of(outcome: EvaluationOutcome) -> Judgement:
    assert outcome.judgement is not None
    return outcome.judgement


def counted_of(judgement: Judgement) -> tuple[int, int, int]:
    usage = judgement.usage
    return usage.requests, usage.input_tokens, usage.output_tokens


def cause_of(outcome: EvaluationOutcome) -> str:
    """The type of the error behind a judge without a verdict, as the failure names it."""
    failure = outcome.failure
    assert failure is not None
    assert failure.error_type == 'JudgementError'
    start = 'JudgementError: it_is_right gave no verdict: '
    assert failure.error_message.startswith(start)
    return failure.error_message.removeprefix(start).partition(':')[0]


async def test_a_verdict_over_http_is_a_score() -> None:
    with openai_server(verdict()) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('scored', 1, 1)
    assert [(result.value, result.reason) for result in outcome.results] == [(True, 'It says so.')]
    judgement = judgement_of(outcome)
    assert (judgement.models, counted_of(judgement)) == (('gpt-4o',), ONE_REQUEST)
    assert judgement.cost


# Errors that can pass are met with `OnlineEvaluator(retries=)`


@pytest.mark.parametrize(
    ('answer', 'error'),
    [
        (status(429, retry_after='1'), 'ModelRateLimitError'),
        (status(500), 'ModelServerError'),
        (status(503), 'ModelUnavailableError'),
        (reset, 'ModelConnectionError'),
        (raw(b'{"id": "chatcmpl-'), 'ModelAPIError'),
    ],
    ids=['429', '500', '503', 'reset', 'malformed'],
)
async def test_what_can_pass_is_tried_again_as_often_as_it_is_set(answer: Answer, error: str) -> None:
    with openai_server(answer) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('failed', 3, 3)
    assert cause_of(outcome) == error
    judgement = judgement_of(outcome)
    assert [vote.error for vote in judgement.votes] == [error] * 3
    assert counted_of(judgement) == (0, 0, 0)

    with openai_server(answer, verdict()) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('scored', 2, 2)
    judgement = judgement_of(outcome)
    assert [(vote.value, vote.error) for vote in judgement.votes] == [(None, error), (True, None)]
    assert counted_of(judgement) == ONE_REQUEST


async def test_the_retries_of_the_client_are_those_of_each_attempt() -> None:
    with openai_server(status(500, retry_after_ms='1')) as server:
        outcome = await judged_on(server, max_retries=2)
    assert (outcome.status, outcome.attempts, server.requests) == ('failed', 3, 9)
    assert len(judgement_of(outcome).votes) == 3


async def test_what_another_model_has_to_answer_for_is_tried_again_when_all_fail() -> None:
    with openai_server(status(429)) as busy, openai_server(status(401), status(401), verdict()) as other:
        async with model_on(busy) as first, model_on(other) as second:
            outcome = await judged(Judge('It is right', model=FallbackModel(first, second)))
    assert (outcome.status, outcome.attempts) == ('scored', 3)
    assert (busy.requests, other.requests) == (3, 3)


# Errors that stay are not


@pytest.mark.parametrize(
    ('answer', 'error'),
    [
        (status(400), 'ModelRequestRejectedError'),
        (status(401), 'ModelAuthenticationError'),
        (raw(b'<html>Come back later.</html>', content_type='text/html'), 'UnexpectedModelBehavior'),
        (raw(b'x' * MEGABYTE, content_type='text/plain'), 'UnexpectedModelBehavior'),
        (raw(b'{"hello": "world"}'), 'UnexpectedModelBehavior'),
        (raw(b'null'), 'UnexpectedModelBehavior'),
        (no_choices, 'IndexError'),
    ],
    ids=['400', '401', 'HTML', '1 MB of text', 'another protocol', 'null', 'no choices'],
)
async def test_what_stays_is_a_failure_at_once(answer: Answer, error: str) -> None:
    with openai_server(answer) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('failed', 1, 1)
    assert cause_of(outcome) == error
    (vote,) = judgement_of(outcome).votes
    assert (vote.value, vote.error, vote.usage.requests) == (None, error, 0)


# Answers that are no verdict are met with `Judge(retries=)`


@pytest.mark.parametrize(
    ('answer', 'error'),
    [
        (prose(), 'UnexpectedModelBehavior'),
        (prose(''), 'UnexpectedModelBehavior'),
        (prose('x' * MEGABYTE), 'UnexpectedModelBehavior'),
        (TRUNCATED, 'UnexpectedModelBehavior'),
        (CUT_OFF, 'IncompleteToolCall'),
        (NO_SUCH_TOOL, 'UnexpectedModelBehavior'),
        (tool_call('{"reason": "It says so."}'), 'UnexpectedModelBehavior'),
        (tool_call('{"reason": "It says so.", "passes": "maybe"}'), 'UnexpectedModelBehavior'),
        (tool_call('{"reason": "\\ud800", "passes": true}'), 'UnexpectedModelBehavior'),
    ],
    ids=['prose', 'nothing', '1 MB', 'truncated', 'cut off', 'no such tool', 'no verdict', 'another', 'surrogate'],
)
async def test_an_answer_that_is_no_verdict_is_asked_for_again_by_the_judge_alone(answer: Answer, error: str) -> None:
    with openai_server(answer) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('failed', 1, 3)
    assert cause_of(outcome) == error
    judgement = judgement_of(outcome)
    assert [(vote.value, vote.error, vote.model) for vote in judgement.votes] == [(None, error, 'gpt-4o')]
    assert counted_of(judgement) == (3, 30, 6)

    with openai_server(answer, verdict()) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('scored', 1, 2)
    assert counted_of(judgement_of(outcome)) == (2, 20, 4)


async def test_each_attempt_begins_with_all_the_retries_of_the_judge() -> None:
    with openai_server(prose(), prose(), status(500), prose(), TRUNCATED, verdict()) as server:
        outcome = await judged_on(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('scored', 2, 6)
    assert [vote.usage.requests for vote in judgement_of(outcome).votes] == [2, 3]


async def test_without_retries_one_answer_has_to_do() -> None:
    for answer in (prose(), TRUNCATED, CUT_OFF, NO_SUCH_TOOL):
        with openai_server(answer) as server:
            async with model_on(server) as model:
                outcome = await judged(Judge('It is right', model=model, retries=0))
        assert (outcome.status, outcome.attempts, server.requests) == ('failed', 1, 1)


async def test_a_reason_of_a_megabyte_is_shortened_and_says_so() -> None:
    with openai_server(verdict(reason=f'Begin {"x" * MEGABYTE} end')) as server:
        outcome = await judged_on(server)
    assert (outcome.status, server.requests) == ('scored', 1)
    (result,), (vote,) = outcome.results, judgement_of(outcome).votes
    assert result.reason == vote.reason
    assert result.reason is not None
    assert len(result.reason) < 21_000
    assert result.reason.startswith('Begin x')
    assert result.reason.endswith('x end')
    assert '… [980010 characters left out] …' in result.reason


async def test_an_error_of_a_megabyte_is_shortened() -> None:
    body = json.dumps({'error': {'message': 'x' * MEGABYTE}}).encode()
    with openai_server(lambda exchange: exchange.send(body, status=400)) as server:
        outcome = await judged_on(server)
    assert outcome.failure is not None
    assert len(outcome.failure.error_message) < 70_000
    assert outcome.failure.error_stacktrace is not None
    assert len(outcome.failure.error_stacktrace) < 70_000


# Servers that do not answer


async def hung_up(server: OpenAIServer) -> bool:
    """Whether the client has hung up on a request that is not answered."""
    return await anyio.to_thread.run_sync(partial(server.hung_up.wait, 10.0))


async def test_a_judge_that_hangs_times_out_and_lets_go_of_its_connection() -> None:
    with openai_server(prose(), hang, verdict()) as server:
        one = AsyncClient(limits=Limits(max_connections=1))
        async with model_on(server, http_client=one) as model:
            judge = Judge('It is right', model=model)
            late = await judged(judge, timeout=CUT_SHORT)
            assert await hung_up(server)
            # There is one connection only, so this takes the place of the other.
            next_one = await judged(judge)
    assert (late.status, late.attempts) == ('timed_out', 1)
    assert CUT_SHORT <= late.duration < 10.0
    assert late.failure is not None
    assert late.failure.error_type == 'TimeoutError'
    assert next_one.status == 'scored'


async def test_calls_that_were_cut_short_are_votes_with_what_they_had_used() -> None:
    with openai_server(prose(), hang) as server:
        async with model_on(server) as model:
            outcome = await judged(Judge('It is right', model=model), timeout=CUT_SHORT)
            judgement = judgement_of(outcome)
            assert await hung_up(server)
    (vote,) = judgement.votes
    assert (vote.value, vote.error, vote.model) == (None, 'unfinished', 'gpt-4o')
    assert 0.0 < vote.duration <= outcome.duration
    assert counted_of(judgement) == ONE_REQUEST
    assert judgement.cost
    # What the cancellation did to the call in the meantime is not the outcome's any more.
    assert outcome.judgement == judgement


async def test_of_several_votes_those_that_were_cast_in_time_are_kept_with_those_that_were_not() -> None:
    with openai_server(verdict(), hang) as server:
        async with model_on(server) as model:
            outcome = await judged(Judge('It is right', model=model, samples=3), timeout=CUT_SHORT)
            assert await hung_up(server)
    assert outcome.status == 'timed_out'
    judgement = judgement_of(outcome)
    assert sorted((str(vote.value), str(vote.error)) for vote in judgement.votes) == [
        ('None', 'unfinished'),
        ('None', 'unfinished'),
        ('True', 'None'),
    ]
    assert counted_of(judgement) == ONE_REQUEST


async def test_of_a_panel_the_members_that_were_not_done_are_named() -> None:
    with openai_server(verdict()) as quick, openai_server(prose(), hang) as slow:
        async with model_on(quick) as first, model_on(slow) as second:
            members = [
                Judge('It is right', model=first, name='done'),
                Judge('It is right', model=second, name='not done'),
            ]
            outcome = await judged(
                Panel([Panel(members, name='inner'), Judge('It is kind', model=first)]), timeout=CUT_SHORT
            )
            assert await hung_up(slow)
    assert outcome.status == 'timed_out'
    judgement = judgement_of(outcome)
    assert {vote.judge: vote.error for vote in judgement.votes} == {
        'done': None,
        'it_is_kind': None,
        'not done': 'unfinished',
    }
    assert counted_of(judgement) == (3, 30, 6)


async def test_the_timeout_holds_for_all_attempts_together() -> None:
    with openai_server(status(500), hang) as server:
        async with model_on(server) as model:
            outcome = await judged(Judge('It is right', model=model), timeout=CUT_SHORT)
            assert await hung_up(server)
    assert (outcome.status, outcome.attempts, server.requests) == ('timed_out', 2, 2)
    assert [vote.error for vote in judgement_of(outcome).votes] == ['ModelServerError', 'unfinished']
