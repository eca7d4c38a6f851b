"""`mode='block'` where a run has several outputs: asked for again, or in one response; and what takes their place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from conftest import Collected, Gate, counted
from guarding import Refuses, RefusesSync, Reply, Told, blocking, guarded, run
from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    EvaluationOutcome,
    OnlineEvalConfig,
    OnlineEvaluation,
    OutputRejected,
    RunRecord,
    map_text,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio

Context = EvaluatorContext[Any, Any, Any]
EndStrategy = Literal['early', 'graceful', 'exhaustive']


class Letter(Reply):
    """Another structured output."""


@dataclass
class NotBad(Evaluator[Any, Any, Any]):
    """Refuses texts that begin with `bad`."""

    async def evaluate(self, ctx: Context) -> EvaluationReason:
        return EvaluationReason(value=not ctx.output.text.startswith('bad'), reason=f'about {ctx.output.text}')


@dataclass
class Seen:
    """What happened in the course of a run, in order."""

    steps: list[str] = field(default_factory=list[str])
    failed: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def on_fail(self, outcome: EvaluationOutcome, run: RunRecord) -> None:
        self.failed.append((run.output.text, outcome.refused))


def answering(*responses: list[tuple[str, str]]) -> FunctionModel:
    """A model that gives these responses, each a list of the tools that it calls with a text."""
    left: Iterator[list[tuple[str, str]]] = iter(responses)

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart(name, {'text': text}) for name, text in next(left)])

    return FunctionModel(respond)


def writer(
    model: FunctionModel, end_strategy: EndStrategy, seen: Seen, collected: Collected, *, action: Any = 'retry'
) -> Agent[None, Any]:
    guard = blocking(NotBad(), action=action)
    config = OnlineEvalConfig(default_sink=collected, on_fail=seen.on_fail)
    agent = Agent[None, Any](
        model,
        name='writer',
        deps_type=type(None),
        output_type=[ToolOutput(Reply, name='reply'), ToolOutput(Letter, name='letter')],
        end_strategy=end_strategy,
        retries={'output': 1},
        capabilities=[OnlineEvaluation(evaluators=[guard], config=config)],
    )

    @agent.tool_plain
    async def look(text: str) -> str:
        seen.steps.append(f'looked at {text}')
        return 'nothing there'

    @agent.output_validator
    async def validate(ctx: RunContext[None], output: Any) -> Any:
        seen.steps.append(f'validated {output.text}, retry {ctx.retry}')
        if output.text == 'invalid':
            raise ModelRetry('not valid')
        return output

    return agent


STRATEGIES: list[EndStrategy] = ['early', 'graceful', 'exhaustive']


@pytest.mark.parametrize('end_strategy', STRATEGIES)
async def test_a_tool_called_beside_a_refused_output_is_run_and_the_refusal_is_one_retry(
    end_strategy: EndStrategy, collected: Collected
) -> None:
    seen = Seen()
    model = answering([('look', 'a'), ('reply', 'bad')], [('reply', 'good')])
    result = await writer(model, end_strategy, seen, collected).run('hi')
    await wait_for_evaluations()
    assert result.output == Reply(text='good')
    assert sorted(seen.steps) == ['looked at a', 'validated bad, retry 0', 'validated good, retry 1']
    assert seen.steps[-1] == 'validated good, retry 1'
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused) == (True, 1)
    assert seen.failed == [('bad', 1)]


@pytest.mark.parametrize('end_strategy', STRATEGIES)
@pytest.mark.parametrize('texts', [('good', 'bad'), ('bad', 'good')])
async def test_of_two_outputs_in_one_response_the_outcome_is_that_of_the_one_that_is_returned(
    texts: tuple[str, str], end_strategy: EndStrategy, collected: Collected
) -> None:
    seen = Seen()
    model = answering([('reply', texts[0]), ('letter', texts[1])])
    result = await writer(model, end_strategy, seen, collected).run('hi')
    await wait_for_evaluations()
    assert result.output.text == 'good'
    (outcome,) = collected.outcomes
    # The second of them is judged if the first one was refused, or the strategy asks for it.
    is_refused = texts[0] == 'bad' or end_strategy == 'exhaustive'
    assert (outcome.status, outcome.passed, outcome.refused) == ('scored', True, int(is_refused))
    assert seen.failed == [('bad', 1)] * is_refused


@pytest.mark.parametrize('end_strategy', STRATEGIES)
async def test_where_both_outputs_of_a_response_are_refused_the_model_is_asked_again_once(
    end_strategy: EndStrategy, collected: Collected
) -> None:
    seen = Seen()
    model = answering([('reply', 'bad 1'), ('letter', 'bad 2')], [('reply', 'good')])
    result = await writer(model, end_strategy, seen, collected).run('hi')
    await wait_for_evaluations()
    assert result.output == Reply(text='good')
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused) == (True, 2)
    assert seen.failed == [('bad 1', 1), ('bad 2', 2)]


@pytest.mark.parametrize('texts', [('bad', 'good'), ('good', 'bad')])
async def test_where_one_output_of_a_response_ends_the_run_the_outcome_is_that_of_it(
    texts: tuple[str, str], collected: Collected
) -> None:
    model = answering([('reply', texts[0]), ('letter', texts[1])])
    with pytest.raises(OutputRejected):
        await writer(model, 'exhaustive', Seen(), collected, action='raise').run('hi')
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused) == (False, 1)


async def test_of_two_outputs_one_can_be_replaced(collected: Collected) -> None:
    seen = Seen()

    def instead(outcome: EvaluationOutcome, run: RunRecord) -> Reply:
        return Reply(text='replaced')

    model = answering([('reply', 'bad'), ('letter', 'good')])
    result = await writer(model, 'exhaustive', seen, collected, action=instead).run('hi')
    await wait_for_evaluations()
    assert result.output == Reply(text='replaced')
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused) == (False, 1)


async def test_output_validators_come_first_and_share_the_retries_with_guards(collected: Collected) -> None:
    seen = Seen()
    model = answering([('reply', 'invalid')], [('reply', 'bad')])
    with pytest.raises(UnexpectedModelBehavior, match='[Ee]xceeded maximum.* retries'):
        await writer(model, 'graceful', seen, collected).run('hi')
    await wait_for_evaluations()
    assert seen.steps == ['validated invalid, retry 0', 'validated bad, retry 1']
    (outcome,) = collected.outcomes
    assert (outcome.passed, outcome.refused) == (False, 1)


async def test_a_guard_judges_what_output_validators_made_of_the_output() -> None:
    evaluator = Refuses(('other',))
    agent = guarded(blocking(evaluator, action='retry'))

    @agent.output_validator
    async def shout(output: Any) -> Any:
        return output.upper()

    assert await run(agent) == 'REPLY 0'
    assert evaluator.seen == ['REPLY 0']


# Who is told


async def test_on_fail_is_told_of_each_output_that_was_refused_and_on_result_of_the_last() -> None:
    failed, judged = Told(), Told()
    agent = guarded(
        blocking(Refuses(('reply 0', 'reply 1')), action='retry'),
        retries=2,
        on_fail=failed,
        on_result=judged,
    )
    assert await run(agent) == 'reply 2'
    await wait_for_evaluations()
    assert (failed.outputs, failed.refused) == (['reply 0', 'reply 1'], [1, 2])
    assert (judged.outputs, judged.refused) == (['reply 2'], [2])


async def test_on_fail_is_told_once_of_the_output_that_ends_the_run() -> None:
    failed = Told()
    agent = guarded(
        blocking(Refuses(('reply 0', 'reply 1')), action='retry'),
        on_fail=failed,
    )
    with pytest.raises(UnexpectedModelBehavior):
        await run(agent)
    await wait_for_evaluations()
    assert failed.reasons == ['about reply 0', 'about reply 1']
    assert [run.outcome for _, run in failed.calls] == ['success', 'error']


async def test_what_may_not_be_recorded_is_kept_from_on_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', 'false')
    failed = Told()
    agent = guarded(blocking(Refuses(), action='retry'), on_fail=failed)
    assert await run(agent) == 'reply 1'
    await wait_for_evaluations()
    assert (failed.outputs, failed.reasons) == ([None], [None])


# What they are shown


async def test_each_record_is_redacted_once_that_of_each_judged_output_and_that_of_the_finished_run(
    collected: Collected,
) -> None:
    records: list[RunRecord] = []

    def redact(run: RunRecord) -> RunRecord:
        records.append(run)
        return map_text(run, lambda text: text.replace('reply', 'answer'))

    failed = Told()
    first, second = Refuses(('answer 0',)), RefusesSync()
    agent = guarded(
        blocking(first, action='retry'),
        blocking(second, action='retry'),
        NotShort(),
        redact=redact,
        default_sink=collected,
        on_fail=failed,
    )
    assert await run(agent) == 'reply 1'
    await wait_for_evaluations()
    assert [record.output for record in records] == ['reply 0', 'reply 1', 'reply 1']
    assert len({id(record) for record in records}) == 3
    assert first.seen == ['answer 0', 'answer 1']
    assert failed.outputs == ['answer 0']
    assert {payload.run.output for payload in collected.payloads} == {'answer 1'}


async def test_evaluations_with_one_redaction_share_what_it_makes_of_a_run(collected: Collected) -> None:
    records: list[RunRecord] = []

    def redact(run: RunRecord) -> RunRecord:
        records.append(run)
        return run

    @dataclass
    class Says(NotShort):
        name: str = ''

        def get_default_evaluation_name(self) -> str:
            return self.name

    def evaluation(name: str, **settings: Any) -> OnlineEvaluation[Any]:
        config = OnlineEvalConfig(default_sink=collected, **settings)
        return OnlineEvaluation(evaluators=[Says(name=name)], config=config)

    agent = guarded(redact=redact, default_sink=collected)
    others = [evaluation('a', redact=redact, metadata={'of': 'a'}), evaluation('b'), evaluation('c', redact=redact)]
    await agent.run('hi', capabilities=others)
    await wait_for_evaluations()
    assert len(records) == 1
    assert sorted(len(payload.outcomes) for payload in collected.payloads) == [1, 2]


@dataclass
class NotShort(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: Context) -> bool:
        return len(str(ctx.output)) > 3


# What takes the place of an output

REQUEST: ContextVar[str] = ContextVar('request', default='none')


async def test_a_synchronous_function_that_takes_long_does_not_hold_the_event_loop(gate: Gate) -> None:
    def slowly(outcome: EvaluationOutcome, run: RunRecord) -> str:
        gate.pass_sync()
        return f'for {REQUEST.get()}'

    token = REQUEST.set('ada')
    task = asyncio.create_task(run(guarded(blocking(Refuses(), action=slowly))))
    REQUEST.reset(token)
    async with asyncio.timeout(10):
        while not gate.arrived:
            await asyncio.sleep(0)
    gate.open()
    assert await task == 'for ada'


async def test_a_synchronous_function_can_return_what_is_to_be_awaited() -> None:
    async def sorry() -> str:
        return 'sorry'

    def start(outcome: EvaluationOutcome, run: RunRecord) -> Awaitable[str]:
        return sorry()

    assert await run(guarded(blocking(Refuses(), action=start))) == 'sorry'


async def test_a_function_that_takes_too_long_lets_nothing_through(gate: Gate) -> None:
    def slowly(outcome: EvaluationOutcome, run: RunRecord) -> str:
        gate.pass_sync()
        return 'too late'

    async def hangs(outcome: EvaluationOutcome, run: RunRecord) -> str:
        return await asyncio.Event().wait() and 'never'

    late = r'could not be made: TimeoutError: `action` did not finish within sink_timeout\.$'
    for action in (slowly, hangs):
        with pytest.raises(OutputRejected, match=late):
            await run(guarded(blocking(Refuses(), action=action), sink_timeout=0.05))


async def test_a_function_that_is_out_of_a_time_of_its_own_says_so() -> None:
    async def fetch(outcome: EvaluationOutcome, run: RunRecord) -> str:
        raise TimeoutError('no template')

    with pytest.raises(OutputRejected, match='TimeoutError: no template'):
        await run(guarded(blocking(Refuses(), action=fetch)))


async def test_a_run_that_is_cancelled_while_its_output_is_replaced_does_not_wait(gate: Gate) -> None:
    def slowly(outcome: EvaluationOutcome, run: RunRecord) -> str:
        gate.pass_sync()
        return 'too late'

    task = asyncio.create_task(run(guarded(blocking(Refuses(), action=slowly))))
    async with asyncio.timeout(10):
        while not gate.arrived:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for_evaluations()
    assert counted('Refuses') == {'scored': 1}
