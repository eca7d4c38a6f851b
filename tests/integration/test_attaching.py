from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Collected, counted
from evaluators import Calling, Context, NotEmpty, run_of
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import FunctionToolset
from pydantic_evals import Case, Dataset, online as upstream
from pydantic_evals.evaluators import Evaluator

from pydantic_ai_assay import (
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    configure,
    disable_evaluation,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def config(collected: Collected) -> OnlineEvalConfig:
    return OnlineEvalConfig(default_sink=collected)


@pytest.fixture
def agent(config: OnlineEvalConfig) -> Agent:
    return Agent(
        TestModel(custom_output_text='hello'),
        name='greeter',
        capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=config)],
    )


async def test_run(agent: Agent, collected: Collected) -> None:
    result = await agent.run('hi')
    assert result.output == 'hello'
    assert await wait_for_evaluations() == ()
    assert collected.values == {'NotEmpty': True}
    assert collected.payloads[0].target == 'greeter'
    assert collected.run.inputs == 'hi'


async def test_run_stream(agent: Agent, collected: Collected) -> None:
    async with agent.run_stream('hi') as stream:
        assert await stream.get_output() == 'hello'
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True}
    assert collected.run.outcome == 'success'


async def test_run_stream_events(agent: Agent, collected: Collected) -> None:
    async with agent.run_stream_events('hi') as events:
        async for _ in events:
            pass
    await wait_for_evaluations()
    assert collected.run.output == 'hello'


async def test_iter(agent: Agent, collected: Collected) -> None:
    async with agent.iter('hi') as run:
        async for _ in run:
            pass
    await wait_for_evaluations()
    assert collected.run.output == 'hello'


@pytest.mark.usefixtures('loop_of_run_sync')
def test_run_sync(agent: Agent, collected: Collected) -> None:
    agent.run_sync('hi')
    asyncio.run(_wait())
    assert collected.values == {'NotEmpty': True}


async def _wait() -> None:
    assert await wait_for_evaluations() == ()


async def test_an_agent_without_a_name_is_called_agent(config: OnlineEvalConfig, collected: Collected) -> None:
    await Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=config)]).run(
        'hi', infer_name=False
    )
    await wait_for_evaluations()
    assert collected.run.target == 'agent'
    assert collected.run.agent_name is None


async def test_several_on_one_agent_and_on_the_run_all_count(config: OnlineEvalConfig, collected: Collected) -> None:
    def named(name: str) -> OnlineEvaluation[Any]:
        return OnlineEvaluation(evaluators=[Calling(_one, name)], config=config)

    agent = Agent(TestModel(), capabilities=[named('first'), named('second')])
    await agent.run('hi', capabilities=[named('third')])
    await wait_for_evaluations()
    assert collected.values == {'first': 1, 'second': 1, 'third': 1}
    # They share the run's record, its spans and its sink.
    assert len({id(payload.run) for payload in collected.payloads}) == 1
    assert len(collected.payloads) == 1


async def test_the_same_evaluator_attached_twice_judges_a_run_once(
    config: OnlineEvalConfig, collected: Collected
) -> None:
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[NotEmpty(), NotEmpty()], config=config)])
    await agent.run('hi', capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=config)])
    await wait_for_evaluations()
    assert [result.name for result in collected.results] == ['NotEmpty']


async def test_evaluators_with_settings_of_different_configs_report_to_their_own_sinks() -> None:
    first, second, third = Collected(), Collected(), Collected()
    agent = Agent(
        TestModel(),
        capabilities=[
            OnlineEvaluation(
                evaluators=[NotEmpty(), OnlineEvaluator(evaluator=Calling(_one, 'own'), sink=third)],
                config=OnlineEvalConfig(default_sink=first, metadata={'from': 'first'}),
            ),
            OnlineEvaluation(
                evaluators=[Calling(_metadata, 'other')],
                config=OnlineEvalConfig(default_sink=second, metadata={'from': 'second', 'kept': 'yes'}),
            ),
        ],
    )
    await agent.run('hi', metadata={'kept': 'no, the run has the last word'})
    await wait_for_evaluations()
    assert first.values == {'NotEmpty': True}
    assert second.values == {'other': 'second, no, the run has the last word'}
    assert third.values == {'own': 1}


def _one(ctx: Context) -> int:
    return 1


def _metadata(ctx: Context) -> str:
    assert ctx.metadata is not None
    return ', '.join(str(value) for value in ctx.metadata.values())


@pytest.fixture
def delegating(config: OnlineEvalConfig) -> Agent:
    """An agent whose tool asks another agent; both are evaluated."""
    expert = Agent(
        TestModel(custom_output_text='42'),
        name='expert',
        capabilities=[OnlineEvaluation(evaluators=[Calling(_output, 'expert_output')], config=config)],
    )
    toolset: FunctionToolset[object] = FunctionToolset()

    @toolset.tool
    async def ask_expert(ctx: RunContext[object], question: str) -> str:
        result = await expert.run(question)
        return str(result.output)

    return Agent(
        TestModel(),
        name='asker',
        toolsets=[toolset],
        capabilities=[OnlineEvaluation(evaluators=[Calling(_output, 'asker_output')], config=config)],
    )


def _output(ctx: Context) -> str:
    return f'{ctx.output}'


async def test_an_agent_called_from_a_tool_is_evaluated_too(delegating: Agent, collected: Collected) -> None:
    await delegating.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'expert_output': '42', 'asker_output': '{"ask_expert":"42"}'}
    runs = {payload.target: payload.run for payload in collected.payloads}
    assert runs['expert'].parent_run_id == runs['asker'].run_id
    assert runs['asker'].parent_run_id is None


async def test_nothing_is_dispatched_inside_a_dataset_evaluation(agent: Agent, collected: Collected) -> None:
    async def task(question: str) -> str:
        return (await agent.run(question)).output

    dataset: Dataset[str, str, None] = Dataset(name='greetings', cases=[Case(inputs='hi')])
    await dataset.evaluate(task, progress=False)
    assert await wait_for_evaluations() == ()
    assert collected.payloads == []


async def test_disable_evaluation_of_either_package(agent: Agent, collected: Collected) -> None:
    with disable_evaluation():
        await agent.run('hi')
    with upstream.disable_evaluation():
        await agent.run('hi')
    assert await wait_for_evaluations() == ()
    assert collected.payloads == []
    await agent.run('hi')
    await wait_for_evaluations()
    assert len(collected.payloads) == 1


async def test_a_disabled_config(collected: Collected) -> None:
    config = OnlineEvalConfig(default_sink=collected, enabled=False)
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=config)])
    await agent.run('hi')
    config.enabled = True
    await agent.run('hi')
    await wait_for_evaluations()
    assert len(collected.payloads) == 1


@pytest.fixture
def default_sink(collected: Collected) -> Iterator[Collected]:
    configure(default_sink=collected, metadata={'team': 'support'})
    yield collected
    configure(default_sink=None, metadata=None)


async def test_the_default_config_is_used_and_can_be_changed_later(default_sink: Collected) -> None:
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[Calling(_metadata)])])
    await agent.run('hi')
    await wait_for_evaluations()
    assert default_sink.values == {'Calling': 'support'}


async def test_objects_of_pydantic_evals_are_accepted_as_they_are(collected: Collected) -> None:
    config = upstream.OnlineEvalConfig(metadata={'a': 'upstream'})
    evaluator = upstream.OnlineEvaluator(evaluator=Calling(_metadata), max_concurrency=3)
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[evaluator], config=config)])
    # Later changes show through, as they do there.
    vars(config)['default_sink'] = collected
    await agent.run('hi')
    evaluator.sample_rate = 0.0
    await agent.run('hi')
    await wait_for_evaluations()
    assert [result.value for result in collected.results] == ['upstream']


async def test_evaluators_with_nowhere_to_report_to_are_skipped() -> None:
    @dataclass
    class Nowhere(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: Context) -> bool:
            raise AssertionError('not run')

    config = OnlineEvalConfig(emit_otel_events=False)
    await Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[Nowhere()], config=config)]).run('hi')
    await wait_for_evaluations()
    assert counted('Nowhere') == {'skipped': 1}


async def test_what_is_no_evaluator_is_refused_when_it_is_attached() -> None:
    with pytest.raises(ConfigurationError, match=r"got the class 'NotEmpty'; call it to make one"):
        OnlineEvaluation(evaluators=[NotEmpty])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match=r"got 'NotEmpty'"):
        OnlineEvaluation(evaluators=['NotEmpty'])  # pyright: ignore[reportArgumentType]


async def test_the_run_carries_the_conversation(config: OnlineEvalConfig, collected: Collected) -> None:
    def texts(ctx: Context) -> str:
        run = run_of(ctx)
        return f'{len(run.messages)} messages, {len(run.new_messages)} of this run, from {run.conversation_id}'

    agent = Agent(
        TestModel(custom_output_text='hello'),
        deps_type=object,
        capabilities=[OnlineEvaluation(evaluators=[Calling(texts)], config=config)],
    )
    deps = {'database': object()}
    first = await agent.run('hi', conversation_id='talk-1', deps=deps)
    usage = first.usage
    await agent.run('again', message_history=first.all_messages(), conversation_id='talk-1', deps=deps, usage=usage)
    await wait_for_evaluations()
    assert [result.value for result in collected.results] == [
        '2 messages, 2 of this run, from talk-1',
        '4 messages, 2 of this run, from talk-1',
    ]
    runs = [payload.run for payload in collected.payloads]
    # The second run shares the first one's usage object, and still has a usage of its own.
    assert [run.usage.requests for run in runs] == [1, 1]
    assert runs[0].deps is deps
    assert runs[0].model_name == 'test'
    assert runs[0].span_reference is None or runs[0].span_reference.trace_id
