from __future__ import annotations

from typing import Any

import pytest
from conftest import Collected, counted
from evaluators import Calling, Context, run_of
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_evals.evaluators import Evaluator

from pydantic_ai_assay import (
    AssayWarning,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunRecord,
    SamplingContext,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio


def evaluating(sink: Collected, *evaluators: OnlineEvaluator, **settings: Any) -> Agent:
    config = OnlineEvalConfig(default_sink=sink, **settings)
    return Agent(
        TestModel(custom_output_text='hello'),
        name='sampled',
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)],
    )


def judge(name: str = 'judge', **settings: Any) -> OnlineEvaluator:
    return OnlineEvaluator(evaluator=Calling(lambda ctx: True, name), **settings)


def too_much(_: object) -> float:
    return 2.0


def asks_for_a_refund(run: RunRecord) -> bool:
    return 'refund' in run.inputs


async def judged(agent: Agent, sink: Collected, run_ids: list[str], **kwargs: Any) -> set[str]:
    sink.payloads.clear()
    for run_id in run_ids:
        await agent.run('hi', run_id=run_id, **kwargs)
    await wait_for_evaluations()
    return {outcome.run_id for outcome in sink.outcomes}


async def test_a_rate_draws_the_same_runs_each_time_and_records_its_probability(collected: Collected) -> None:
    run_ids = [f'run-{number}' for number in range(200)]
    first = await judged(evaluating(collected, judge('rate', sample_rate=0.25)), collected, run_ids)
    assert {outcome.probability for outcome in collected.outcomes} == {0.25}
    assert 25 <= len(first) <= 75
    assert await judged(evaluating(collected, judge('rate', sample_rate=0.25)), collected, run_ids) == first
    # Another evaluator draws by itself.
    assert await judged(evaluating(collected, judge('other', sample_rate=0.25)), collected, run_ids) != first
    assert counted('rate') == {'scored': 2 * len(first), 'sampled_out': 2 * (200 - len(first))}


async def test_correlated_sampling_judges_a_subset(collected: Collected) -> None:
    run_ids = [f'run-{number}' for number in range(100)]
    agent = evaluating(
        collected, judge('rare', sample_rate=0.2), judge('common', sample_rate=0.5), sampling_mode='correlated'
    )
    await judged(agent, collected, run_ids)
    rare = {o.run_id for o in collected.outcomes if o.evaluator == 'rare'}
    common = {o.run_id for o in collected.outcomes if o.evaluator == 'common'}
    assert rare < common


async def test_a_conversation_is_judged_whole_or_not_at_all(collected: Collected) -> None:
    agent = evaluating(collected, judge('whole', sample_rate=0.5, sample_by='conversation'))
    for conversation in range(20):
        for _ in range(3):
            await agent.run('hi', conversation_id=f'talk-{conversation}')
    await wait_for_evaluations()
    turns: dict[str | None, int] = {}
    for outcome in collected.outcomes:
        turns[outcome.conversation_id] = turns.get(outcome.conversation_id, 0) + 1
    assert set(turns.values()) == {3}
    assert 2 < len(turns) < 18


async def test_a_callable_rate_knows_what_is_known_before_the_run(collected: Collected) -> None:
    seen: list[SamplingContext] = []

    def rate(context: SamplingContext) -> bool:
        seen.append(context)
        return 'please' in str(context.inputs)

    agent = evaluating(collected, judge(sample_rate=rate), metadata={'team': 'support'})
    await agent.run('now')
    await agent.run('please', conversation_id='talk', deps=None)
    await wait_for_evaluations()
    assert [payload.run.inputs for payload in collected.payloads] == ['please']
    context = seen[1]
    assert (context.agent_name, context.conversation_id) == ('sampled', 'talk')
    assert context.metadata == {'team': 'support'}
    assert context.run_id == collected.run.run_id
    assert 0 <= context.call_seed < 1
    assert collected.outcomes[0].probability == 1.0


async def test_a_callable_that_raises_skips_the_evaluator_and_not_the_run(collected: Collected) -> None:
    def broken(context: SamplingContext) -> float:
        raise LookupError('no such tenant')

    agent = evaluating(collected, judge('broken', sample_rate=broken), judge('fine'))
    with pytest.warns(AssayWarning, match='Sampling for broken raised LookupError: no such tenant'):
        assert (await agent.run('hi')).output == 'hello'
    await wait_for_evaluations()
    assert collected.statuses == {'fine': 'scored'}
    assert counted('broken') == {'skipped': 1}


async def test_on_sampling_error_hears_of_rates_and_conditions(collected: Collected) -> None:
    heard: list[tuple[str, str]] = []

    def hear(error: Exception, evaluator: Evaluator[Any, Any, Any]) -> None:
        heard.append((str(error), evaluator.get_default_evaluation_name()))

    def broken(_: object) -> float:
        raise LookupError('broken')

    agent = evaluating(
        collected,
        judge('rate', sample_rate=broken),
        judge('condition', when=broken),
        judge('too much', when=too_much),
        on_sampling_error=hear,
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert heard == [
        ('broken', 'rate'),
        ('broken', 'condition'),
        ('when gave 2.0; expected a bool or a probability from 0.0 to 1.0.', 'too much'),
    ]
    assert collected.payloads == []


async def test_on_sampling_error_that_raises_is_warned_about(collected: Collected) -> None:
    def worse(error: Exception, evaluator: Evaluator[Any, Any, Any]) -> None:
        raise ValueError('worse')

    agent = evaluating(collected, judge('worse', sample_rate=too_much, on_sampling_error=worse))
    with pytest.warns(AssayWarning, match='`on_sampling_error` raised ValueError: worse'):
        await agent.run('hi')


def failing(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise ConnectionError('model unreachable')


async def test_when_always_judges_what_it_chooses_beside_the_rate(collected: Collected) -> None:
    run_ids = [f'run-{number}' for number in range(60)]

    def tenth(run: RunRecord) -> bool:
        return run.run_id.endswith('7')

    agent = evaluating(collected, judge('mixed', sample_rate=0.2, when=tenth))
    chosen = await judged(agent, collected, run_ids)
    certain = {run_id for run_id in run_ids if run_id.endswith('7')}
    assert certain < chosen < set(run_ids)
    probabilities = {outcome.run_id: outcome.probability for outcome in collected.outcomes}
    assert {probabilities[run_id] for run_id in certain} == {1.0}
    assert {probability for run_id, probability in probabilities.items() if run_id not in certain} == {0.2}


async def test_when_alone_judges_nothing_else(collected: Collected) -> None:
    agent = evaluating(collected, judge('picky', when=asks_for_a_refund))
    await agent.run('hi')
    await agent.run('refund!')
    await wait_for_evaluations()
    assert [payload.run.inputs for payload in collected.payloads] == ['refund!']
    assert counted('picky') == {'scored': 1, 'sampled_out': 1}


async def test_when_may_look_at_everything_a_run_left_behind(collected: Collected) -> None:
    seen: list[dict[str, Any]] = []

    def look(run: RunRecord) -> float:
        seen.append(
            {
                'error': type(run.error).__name__,
                'slow': run.duration > 60,
                'cost': run.cost,
                'tools': list(run.tools_called),
                'output': type(run.output).__name__,
                'metadata': run.metadata,
            }
        )
        return 0.0

    config = OnlineEvalConfig(default_sink=collected)
    evaluators = [judge('look', when=look, run_on=['success', 'error'])]
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)])

    @agent.tool_plain
    def search(query: str) -> str:
        return 'nothing'

    await agent.run('hi', metadata={'tenant': 'a'})
    with pytest.raises(ConnectionError):
        await agent.run('hi', model=FunctionModel(failing))
    await wait_for_evaluations()
    assert seen == [
        {
            'error': 'NoneType',
            'slow': False,
            'cost': None,
            'tools': ['search'],
            'output': 'str',
            'metadata': {'tenant': 'a'},
        },
        {
            'error': 'ConnectionError',
            'slow': False,
            'cost': None,
            'tools': [],
            'output': 'ConnectionError',
            'metadata': None,
        },
    ]
    assert counted('look') == {'sampled_out': 2}


async def test_run_on_decides_which_outcomes_an_evaluator_sees(collected: Collected) -> None:
    def outcome(ctx: Context) -> str:
        return f'{run_of(ctx).outcome}: {type(ctx.output).__name__}'

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if 'fail' in str(messages[0]):
            raise ConnectionError('model unreachable')
        if 'defer' in str(messages[0]):
            return ModelResponse(parts=[ToolCallPart('approve', {})])
        return ModelResponse(parts=[TextPart('done')])

    agent = Agent(
        FunctionModel(model),
        output_type=[str, DeferredToolRequests],
        capabilities=[
            OnlineEvaluation(
                evaluators=[
                    OnlineEvaluator(evaluator=Calling(outcome, 'default')),
                    OnlineEvaluator(evaluator=Calling(outcome, 'errors'), run_on_errors=True),
                    OnlineEvaluator(evaluator=Calling(outcome, 'bad'), run_on=['error', 'cancelled', 'deferred']),
                ],
                config=OnlineEvalConfig(default_sink=collected),
            )
        ],
    )

    @agent.tool_plain(requires_approval=True)
    def approve() -> str:
        raise AssertionError('not approved')

    await agent.run('hi')
    with pytest.raises(ConnectionError):
        await agent.run('fail')
    await agent.run('defer')
    await wait_for_evaluations()
    assert sorted((result.name, str(result.value)) for result in collected.results) == [
        ('bad', 'deferred: DeferredToolRequests'),
        ('bad', 'error: ConnectionError'),
        ('default', 'success: str'),
        ('errors', 'error: ConnectionError'),
        ('errors', 'success: str'),
    ]
    assert counted('bad') == {'scored': 2, 'skipped': 1}


async def test_a_failed_run_carries_the_messages_it_got_to(collected: Collected) -> None:
    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) > 4:
            raise ConnectionError('model unreachable')
        return ModelResponse(parts=[ToolCallPart('look_up', {'name': 'x'})])

    agent = Agent(
        FunctionModel(model),
        capabilities=[
            OnlineEvaluation(
                evaluators=[OnlineEvaluator(evaluator=Calling(lambda ctx: 'seen', 'failed'), run_on=['error'])],
                config=OnlineEvalConfig(default_sink=collected),
            )
        ],
    )

    @agent.tool(retries=5)
    def look_up(ctx: RunContext[object], name: str) -> str:
        raise ModelRetry('try another name')

    first = await Agent(TestModel(custom_output_text='hello')).run('earlier')
    with pytest.raises(ConnectionError):
        await agent.run('now', message_history=first.all_messages())
    await wait_for_evaluations()
    run = collected.run
    assert len(run.messages) == 5
    assert [message.kind for message in run.new_messages] == ['request', 'response', 'request']
    assert list(run.tools_called) == ['look_up']
    assert run.usage.requests == 1


async def test_an_evaluator_attached_twice_with_draws_of_its_own_each_time_is_told_of(collected: Collected) -> None:
    """What is judged is more than the probability says, and whoever reads the numbers must know."""
    evaluator = Calling(lambda ctx: True, 'twice')
    together = OnlineEvaluation[object](
        evaluators=[OnlineEvaluator(evaluator=evaluator, sample_rate=0.9)],
        config=OnlineEvalConfig(default_sink=collected, sampling_mode='correlated'),
    )
    agent = evaluating(collected, OnlineEvaluator(evaluator=evaluator, sample_rate=0.9))
    with pytest.warns(AssayWarning, match='twice is attached more than once with another sampling_mode or sample_by'):
        await judged(agent, collected, [f'run-{number}' for number in range(20)], capabilities=[together])


async def test_of_two_attachments_the_greater_probability_counts(collected: Collected) -> None:
    """Their draw is the same, so a run that either would judge is judged with that probability."""
    evaluator = Calling(lambda ctx: True, 'both')
    second = OnlineEvaluation[object](
        evaluators=[OnlineEvaluator(evaluator=evaluator, sample_rate=0.9)],
        config=OnlineEvalConfig(default_sink=collected),
    )
    agent = evaluating(collected, OnlineEvaluator(evaluator=evaluator, sample_rate=0.5))
    runs = await judged(agent, collected, [f'run-{number}' for number in range(100)], capabilities=[second])
    assert {outcome.probability for outcome in collected.outcomes} == {0.9}
    assert 80 <= len(runs) <= 98
