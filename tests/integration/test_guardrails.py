"""`mode='block'`: an output is judged before the run returns it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from guarding import Refuses, RefusesSync, Reply, blocking, guarded, replaced, run, text_of
from inline_snapshot import snapshot
from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, RetryFeedbackPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    ConfigurationError,
    EvaluationOutcome,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    OutputRejected,
    RunRecord,
    evaluate,
    map_text,
    run_of,
    submit,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio


async def run_iter(agent: Agent[None, Any]) -> Any:
    async with agent.iter('hi') as steps:
        async for _ in steps:
            pass
    assert steps.result is not None
    return steps.result.output


async def run_stream_events(agent: Agent[None, Any]) -> Any:
    async with agent.run_stream_events('hi') as events:
        return [event.result.output async for event in events if isinstance(event, AgentRunResultEvent)][0]


async def run_stream(agent: Agent[None, Any]) -> Any:
    async with agent.run_stream('hi') as stream:
        return await stream.get_output()


async def run_stream_text(agent: Agent[None, Any]) -> Any:
    async with agent.run_stream('hi') as stream:
        return [text async for text in stream.stream_text()][-1]


NOT_STREAMED = [run, run_iter, run_stream_events]
Runner = Callable[[Agent[None, Any]], Awaitable[Any]]


def withhold(run: RunRecord) -> RunRecord:
    return map_text(run, lambda text: text.replace('reply 0', 'redacted'))


# What is done


@pytest.mark.parametrize('output_type', [str, Reply])
@pytest.mark.parametrize('how', NOT_STREAMED)
@pytest.mark.parametrize('evaluator', [Refuses(), RefusesSync()])
async def test_retry_tells_the_model_the_reason_and_the_next_output_is_judged(
    collected: Collected, how: Runner, output_type: type[Any], evaluator: Evaluator[Any, Any, Any]
) -> None:
    agent = guarded(blocking(evaluator, action='retry'), default_sink=collected, output_type=output_type)
    assert text_of(await how(agent)) == 'reply 1'
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.status, outcome.passed, outcome.refused) == ('scored', True, 1)
    assert text_of(collected.run.output) == 'reply 1'
    assert collected.run.outcome == 'success'


async def test_the_reason_is_sent_as_one_of_the_agents_output_retries() -> None:
    result = await guarded(blocking(Refuses(), action='retry')).run('hi')
    retries = [
        part.content
        for message in result.all_messages()
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, RetryFeedbackPart)
    ]
    assert retries == snapshot(
        [
            """\
Your output was refused. Give one that meets these criteria:
- Refuses: about reply 0\
"""
        ]
    )


async def test_where_the_retries_are_used_up_the_run_ends_as_pydantic_ai_ends_it(collected: Collected) -> None:
    agent = guarded(blocking(Refuses(('reply 0', 'reply 1')), action='retry'), default_sink=collected)
    with pytest.raises(UnexpectedModelBehavior, match='[Ee]xceeded maximum.* retries'):
        await agent.run('hi')
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused, collected.run.outcome) == (False, 2, 'error')


@pytest.mark.parametrize('output_type', [str, Reply])
@pytest.mark.parametrize('how', [*NOT_STREAMED, run_stream, run_stream_text])
async def test_raise_ends_the_run_with_the_results(collected: Collected, how: Runner, output_type: type[Any]) -> None:
    if how is run_stream_text and output_type is Reply:
        pytest.skip('structured output has no text')
    agent = guarded(blocking(Refuses()), default_sink=collected, output_type=output_type)
    with pytest.raises(OutputRejected) as rejected:
        await how(agent)
    assert str(rejected.value) == 'The output was refused: Refuses says no (about reply 0).'
    assert [(result.name, result.value) for result in rejected.value.results] == [('Refuses', False)]
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.status, outcome.passed, outcome.refused) == ('scored', False, 1)
    assert collected.run.error is rejected.value


@pytest.mark.parametrize('how', NOT_STREAMED)
async def test_a_function_returns_what_replaces_the_output(collected: Collected, how: Runner) -> None:
    def apologise(outcome: EvaluationOutcome, run: RunRecord) -> str:
        return f'Sorry, not {run.output!r}: {outcome.results[0].reason}'

    agent = guarded(blocking(Refuses(), action=apologise), default_sink=collected)
    assert await how(agent) == "Sorry, not 'reply 0': about reply 0"
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused) == (False, 1)
    assert collected.run.output == "Sorry, not 'reply 0': about reply 0"


async def test_an_asynchronous_function_is_awaited_and_several_follow_each_other() -> None:
    async def shout(outcome: EvaluationOutcome, run: RunRecord) -> str:
        return str(run.output).upper()

    def quote(outcome: EvaluationOutcome, run: RunRecord) -> str:
        return f'"{run.output}"'

    agent = guarded(blocking(Refuses(), action=shout), blocking(RefusesSync(), action=quote))
    assert await run(agent) == '"REPLY 0"'


async def test_a_function_that_raises_lets_nothing_through() -> None:
    def broken(outcome: EvaluationOutcome, run: RunRecord) -> str:
        raise KeyError('template')

    with pytest.raises(OutputRejected, match=r"replacement could not be made: KeyError: 'template'\.$"):
        await run(guarded(blocking(Refuses(), action=broken)))


async def test_raising_comes_before_asking_again_and_that_before_replacing() -> None:
    retry = blocking(Refuses(), action='retry')
    replace = blocking(RefusesSync(), action=replaced)
    assert await run(guarded(replace, retry)) == 'reply 1'
    with pytest.raises(OutputRejected, match=r'Refuses says no \(about reply 0\); RefusesSync says no\.$'):
        await run(guarded(retry, blocking(RefusesSync())))


@pytest.mark.parametrize('action', ['retry', replaced])
@pytest.mark.parametrize('how', [run_stream, run_stream_text])
async def test_what_may_have_been_streamed_is_refused_for_good(how: Runner, action: Any) -> None:
    with pytest.raises(OutputRejected, match=r'In `run_stream\(\)` the text may have been streamed already'):
        await how(guarded(blocking(Refuses(), action=action)))
    assert await how(guarded(blocking(Refuses(('other',)), action=action))) == 'reply 0'


# Who judges, and what


async def test_an_output_that_passes_is_returned_and_recorded(collected: Collected) -> None:
    evaluator = Refuses(('other',))
    assert await run(guarded(blocking(evaluator), default_sink=collected)) == 'reply 0'
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.status, outcome.passed, outcome.refused, outcome.attempts) == ('scored', True, 0, 1)
    assert evaluator.seen == ['reply 0']
    assert counted('Refuses') == {'scored': 1}


async def test_an_evaluator_sees_the_run_so_far() -> None:
    seen: list[RunRecord] = []

    @dataclass
    class Looks(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            seen.append(run_of(ctx))
            return True

    result = await guarded(blocking(Looks())).run('hi')
    (record,) = seen
    assert (record.outcome, record.inputs, record.output, record.agent_name) == ('success', 'hi', 'reply 0', 'guarded')
    assert record.messages == tuple(result.all_messages())
    assert record.run_id == result.run_id
    assert record.usage.requests == 1
    assert 0 <= record.duration < 60


async def test_background_and_blocking_evaluators_mix(collected: Collected) -> None:
    background = RefusesSync()
    agent = guarded(blocking(Refuses(), action='retry'), background, default_sink=collected)
    assert await run(agent) == 'reply 1'
    await wait_for_evaluations()
    assert collected.values == {'Refuses': True, 'RefusesSync': True}


async def test_two_capabilities_have_guards_of_their_own(collected: Collected) -> None:
    agent = guarded(blocking(Refuses(), action='retry'), default_sink=collected)
    second = OnlineEvaluation[object](
        evaluators=[blocking(RefusesSync(), action='retry')], config=OnlineEvalConfig(default_sink=collected)
    )
    result = await agent.run('hi', capabilities=[second])
    assert result.output == 'reply 1'
    await wait_for_evaluations()
    assert collected.values == {'Refuses': True, 'RefusesSync': True}


async def test_a_run_that_is_not_sampled_is_not_held_up(collected: Collected) -> None:
    evaluator = Refuses()
    assert await run(guarded(blocking(evaluator, sample_rate=0.0), default_sink=collected)) == 'reply 0'
    assert evaluator.seen == []
    assert counted('Refuses') == {'sampled_out': 1}


async def test_a_run_without_an_output_is_skipped(collected: Collected) -> None:
    agent = guarded(blocking(Refuses()), default_sink=collected)

    def fails(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise RuntimeError('no model')

    with pytest.raises(RuntimeError, match='no model'):
        await agent.run('hi', model=FunctionModel(fails))
    await wait_for_evaluations()
    assert counted('Refuses') == {'skipped': 1}


async def test_a_redacted_run_is_judged_redacted_and_returned_whole(collected: Collected) -> None:
    evaluator = Refuses(('[0]',))
    agent = guarded(
        blocking(evaluator),
        default_sink=collected,
        redact=withhold,
    )
    assert await run(agent) == 'reply 0'
    await wait_for_evaluations()
    assert evaluator.seen == ['redacted']
    assert collected.run.output == 'redacted'


# Where there is no verdict


@dataclass
class Broken(Evaluator[Any, Any, Any]):
    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        raise ConnectionError('judge is away')


@dataclass
class Scores(Evaluator[Any, Any, Any]):
    """Gives no verdict that could refuse anything."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> float:
        return 0.0


@dataclass
class Nameless(Evaluator[Any, Any, Any]):
    def get_default_evaluation_name(self) -> str:
        raise LookupError('no name')

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return True


@pytest.mark.parametrize(
    ('evaluator', 'error'),
    [(Broken(), 'ConnectionError'), (Scores(), 'EvaluatorOutputError'), (Nameless(), 'LookupError')],
)
async def test_without_a_verdict_open_lets_the_output_pass_and_closed_refuses_it(
    collected: Collected, evaluator: Evaluator[Any, Any, Any], error: str
) -> None:
    assert await run(guarded(blocking(evaluator), default_sink=collected)) == 'reply 0'
    agent = guarded(blocking(evaluator, on_unavailable='closed', action='retry'), default_sink=collected)
    with pytest.raises(OutputRejected, match=rf'gave no verdict \({error}\)'):
        await run(agent)
    await wait_for_evaluations()
    assert [(outcome.status, outcome.refused) for outcome in collected.outcomes] == [('failed', 0), ('failed', 1)]


async def test_closed_with_a_function_replaces_what_could_not_be_judged() -> None:
    guard = blocking(Broken(), on_unavailable='closed', action=replaced)
    assert await run(guarded(guard)) == 'replaced, failed'


async def test_a_judge_that_is_late_is_timed_out(collected: Collected, gate: Gate) -> None:
    @dataclass
    class Late(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            await gate.pass_async()
            return True

    assert await run(guarded(blocking(Late(), timeout=0.05), default_sink=collected)) == 'reply 0'
    with pytest.raises(OutputRejected, match=r'Late gave no verdict \(TimeoutError\)'):
        await run(guarded(blocking(Late(), timeout=0.05, on_unavailable='closed'), default_sink=collected))
    await wait_for_evaluations()
    assert [outcome.status for outcome in collected.outcomes] == ['timed_out', 'timed_out']


async def test_where_redaction_raises_nobody_judges(collected: Collected) -> None:
    def broken(run: RunRecord) -> RunRecord:
        raise ValueError('secret')

    evaluator = Refuses()
    assert await run(guarded(blocking(evaluator), default_sink=collected, redact=broken)) == 'reply 0'
    with pytest.raises(OutputRejected, match=r'gave no verdict \(RedactionError\)'):
        await run(guarded(blocking(evaluator, on_unavailable='closed'), default_sink=collected, redact=broken))
    await wait_for_evaluations()
    assert evaluator.seen == []
    assert [outcome.status for outcome in collected.outcomes] == ['failed', 'failed']


async def test_a_run_that_is_cancelled_while_it_is_judged_cancels_the_judge(collected: Collected) -> None:
    ended: list[str] = []
    arrived = asyncio.Event()

    @dataclass
    class Waits(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            arrived.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append('judge')
            return True

    task = asyncio.create_task(run(guarded(blocking(Waits()), blocking(RefusesSync()), default_sink=collected)))
    await asyncio.wait_for(arrived.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for_evaluations()
    assert ended == ['judge']
    assert counted('Waits') == {'dropped': 1}


# Where a mode cannot be kept


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'mode': 'stop'}, "mode must be one of 'background', 'block', got 'stop'."),
        (
            {'mode': 'block', 'action': 'ask'},
            "action must be one of 'retry', 'raise', a function that returns a replacement, got 'ask'.",
        ),
        (
            {'mode': 'block', 'on_unavailable': 'shut'},
            "on_unavailable must be one of 'open', 'closed', got 'shut'.",
        ),
        (
            {'mode': 'block', 'run_on': ['error']},
            "run_on is about how a run ended, and mode='block' judges the output before that, got ['error'].",
        ),
        (
            {'mode': 'block', 'run_on_errors': True},
            "run_on_errors is about how a run ended, and mode='block' judges the output before that, got True.",
        ),
        (
            {'action': 'retry'},
            "action and on_unavailable are for mode='block', got mode='background', action='retry', on_unavailable='open'.",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        OnlineEvaluator(evaluator=Refuses(), **settings)
    assert str(refused.value) == message


def test_functions_and_submitted_results_have_no_output_to_hold_back() -> None:
    with pytest.raises(ConfigurationError, match=r"mode='block' .* Refuses"):

        @evaluate(blocking(Refuses()))
        def function() -> str:
            raise AssertionError('not called')

    with pytest.raises(ConfigurationError, match=r"mode='block' .* Refuses"):
        submit(blocking(Refuses()), target='f', inputs=None, output='x')


def test_a_run_that_ends_while_it_is_redacted_is_not_judged_any_more(collected: Collected, gate: Gate) -> None:
    """What the thread of the redaction says afterwards, when the loop has been closed, nobody hears."""
    ended = threading.Event()

    def slowly(run: RunRecord) -> RunRecord:
        gate.pass_sync()
        ended.set()
        return run

    async def main() -> None:
        task = asyncio.create_task(run(guarded(blocking(Refuses()), redact=slowly, shutdown_timeout=0)))
        while gate.arrived == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert counted('Refuses') == {}
    gate.open()
    assert ended.wait(10)
    assert PIPELINE.executor.wait_idle(10)
    assert counted('Refuses') == {'dropped': 1}
