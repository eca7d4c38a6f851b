"""Who called whom: the parent and the agent path of a run, on its record, its outcomes and its events."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import Collected
from evaluators import NotEmpty
from logfire.testing import CaptureLogfire
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Contains

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, RunRecord, wait_for_evaluations

pytestmark = pytest.mark.anyio


def an_agent(name: str, collected: Collected | None, **settings: Any) -> Agent[None, str]:
    capabilities: list[OnlineEvaluation[None]] = []
    if collected is not None:
        evaluator = OnlineEvaluator(evaluator=NotEmpty(), **settings)
        capabilities = [OnlineEvaluation(evaluators=[evaluator], config=OnlineEvalConfig(default_sink=collected))]
    return Agent(TestModel(), name=name, deps_type=type(None), capabilities=capabilities)


def calls(caller: Agent[None, str], called: Agent[None, str]) -> None:
    async def ask(ctx: RunContext[None]) -> str:
        return (await called.run('the details', usage=ctx.usage)).output

    caller.tool(ask)


def paths(collected: Collected) -> dict[tuple[str, ...], RunRecord]:
    return {payload.run.agent_path: payload.run for payload in collected.payloads}


async def test_a_run_knows_the_runs_it_was_called_from(collected: Collected) -> None:
    planner, researcher, librarian = (an_agent(name, collected) for name in ('planner', 'researcher', 'librarian'))
    calls(planner, researcher)
    calls(researcher, librarian)
    await planner.run('a question')
    await librarian.run('directly')
    await wait_for_evaluations()

    found = paths(collected)
    assert set(found) == {
        ('planner',),
        ('planner', 'researcher'),
        ('planner', 'researcher', 'librarian'),
        ('librarian',),
    }
    assert found[('planner',)].parent_run_id is None
    assert found[('planner', 'researcher')].parent_run_id == found[('planner',)].run_id
    deepest = found[('planner', 'researcher', 'librarian')]
    assert deepest.parent_run_id == found[('planner', 'researcher')].run_id
    assert [(outcome.agent_path, outcome.parent_run_id) for outcome in collected.outcomes] == [
        (payload.run.agent_path, payload.run.parent_run_id) for payload in collected.payloads
    ]


async def test_runs_that_are_not_sampled_are_in_the_path(collected: Collected) -> None:
    planner, researcher, librarian = (
        an_agent('planner', collected, sample_rate=0.0),
        an_agent('researcher', collected, sample_rate=0.0),
        an_agent('librarian', collected),
    )
    calls(planner, researcher)
    calls(researcher, librarian)
    await planner.run('a question')
    await wait_for_evaluations()
    assert set(paths(collected)) == {('planner', 'researcher', 'librarian')}


@pytest.mark.parametrize('place', ['tool', 'instructions', 'output validator', 'body of iter', 'hook'])
async def test_a_run_that_is_not_sampled_is_known_wherever_it_calls_from(collected: Collected, place: str) -> None:
    chief, planner, librarian = (
        an_agent('chief', collected, sample_rate=0.0),
        an_agent('planner', collected, sample_rate=0.0),
        an_agent('librarian', collected),
    )
    calls(chief, planner)

    async def ask() -> str:
        return (await librarian.run('the details')).output

    class Asking(AbstractCapability[None]):
        async def before_run(self, ctx: RunContext[None]) -> None:
            await ask()

    if place == 'tool':
        planner.tool_plain(ask)
    elif place == 'instructions':
        planner.instructions(ask)
    elif place == 'output validator':

        @planner.output_validator
        async def _(output: str) -> str:
            await ask()
            return output

    if place == 'body of iter':
        async with planner.iter('a question') as run:
            await ask()
            async for _node in run:
                pass
    else:
        await chief.run('a question')
        if place == 'hook':
            await planner.run('a question', capabilities=[Asking()])
    await wait_for_evaluations()
    above = {'body of iter': ('planner',), 'hook': ('planner',)}.get(place, ('chief', 'planner'))
    assert set(paths(collected)) == {(*above, 'librarian')}
    assert None not in {payload.run.parent_run_id for payload in collected.payloads}


async def test_what_two_capabilities_attach_is_one_run_whichever_is_sampled(collected: Collected) -> None:
    config = OnlineEvalConfig(default_sink=collected)
    never = OnlineEvaluator(evaluator=Contains(value='never'), sample_rate=0.0)
    always = OnlineEvaluator(evaluator=NotEmpty())
    for pair in ([never, always], [always, never]):
        capabilities = [OnlineEvaluation(evaluators=[each], config=config) for each in pair]
        agent = Agent(TestModel(), name='both', capabilities=capabilities)
        await agent.run('hi')
    await wait_for_evaluations()
    assert [(outcome.evaluator, outcome.agent_path) for outcome in collected.outcomes] == [('NotEmpty', ('both',))] * 2


async def test_an_agent_without_evaluators_that_calls_is_in_the_path(collected: Collected) -> None:
    planner, researcher, librarian = (
        an_agent('planner', collected),
        an_agent('researcher', None),
        an_agent('librarian', collected),
    )
    calls(planner, researcher)
    calls(researcher, librarian)
    result = await planner.run('a question')
    await wait_for_evaluations()
    found = paths(collected)
    assert set(found) == {('planner',), ('planner', 'researcher', 'librarian')}
    parent = found[('planner', 'researcher', 'librarian')].parent_run_id
    assert parent not in (None, result.run_id)


async def test_the_path_is_on_the_event(collected: Collected, capfire: CaptureLogfire) -> None:
    planner, researcher = an_agent('planner', collected), an_agent('researcher', collected)
    calls(planner, researcher)
    await planner.run('a question')
    await wait_for_evaluations()
    events = [log['attributes'] for log in capfire.log_exporter.exported_logs_as_dicts()]
    found = {
        event['gen_ai.agent.name']: (event['assay.agent_path'], event.get('assay.parent_run_id')) for event in events
    }
    parent = paths(collected)[('planner',)].run_id
    assert found == {'planner': ('planner', None), 'researcher': ('planner > researcher', parent)}


async def test_runs_that_start_each_other_in_tasks_of_their_own_do_not_grow_the_path_for_ever(
    collected: Collected,
) -> None:
    agent = an_agent('relay', collected)
    done = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    @agent.tool_plain
    async def pass_on() -> str:
        if len(tasks) < 30:
            tasks.append(asyncio.create_task(agent.run('go on')))
        else:
            done.set()
        return 'passed on'

    await agent.run('start')
    await asyncio.wait_for(done.wait(), 30)
    await asyncio.gather(*tasks)
    await wait_for_evaluations()
    lengths = sorted(len(payload.run.agent_path) for payload in collected.payloads)
    assert lengths == [*range(1, 16), *[16] * 16]


async def test_two_evaluations_on_one_agent_see_one_run(collected: Collected) -> None:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart('ask', {})])
        return ModelResponse(parts=[TextPart('done')])

    config = OnlineEvalConfig(default_sink=collected)
    researcher = an_agent('researcher', collected)
    unsampled = OnlineEvaluation[None](
        evaluators=[OnlineEvaluator(evaluator=NotEmpty(), sample_rate=0.0)], config=config
    )
    sampled = OnlineEvaluation[None](evaluators=[NotEmpty()], config=config)
    planner = Agent(FunctionModel(answer), name='planner', deps_type=type(None), capabilities=[unsampled, sampled])
    calls(planner, researcher)
    await planner.run('a question')
    await wait_for_evaluations()
    assert set(paths(collected)) == {('planner',), ('planner', 'researcher')}


async def test_of_agents_without_evaluators_in_a_row_the_path_names_the_last(collected: Collected) -> None:
    """Nothing of an agent without an `OnlineEvaluation` is there to be asked once another such agent runs within it."""
    planner, librarian = an_agent('planner', collected), an_agent('librarian', collected)
    researcher, archivist = an_agent('researcher', None), an_agent('archivist', None)
    runs: dict[str, str | None] = {}

    @archivist.instructions
    def note(ctx: RunContext[None]) -> str:
        runs['archivist'] = ctx.run_id
        return 'Ask the librarian.'

    calls(planner, researcher)
    calls(researcher, archivist)
    calls(archivist, librarian)
    await planner.run('a question')
    await wait_for_evaluations()
    found = paths(collected)
    assert set(found) == {('planner',), ('planner', 'archivist', 'librarian')}
    assert found[('planner', 'archivist', 'librarian')].parent_run_id == runs['archivist']


async def test_an_agent_with_an_evaluation_of_nothing_is_always_in_the_path(collected: Collected) -> None:
    def noted(name: str) -> Agent[None, str]:
        nothing = OnlineEvaluation[None](evaluators=[])
        return Agent(TestModel(), name=name, deps_type=type(None), capabilities=[nothing])

    planner, librarian = noted('planner'), an_agent('librarian', collected)
    researcher, archivist = noted('researcher'), noted('archivist')
    calls(planner, researcher)
    calls(researcher, archivist)
    calls(archivist, librarian)
    await planner.run('a question')
    await wait_for_evaluations()
    assert set(paths(collected)) == {('planner', 'researcher', 'archivist', 'librarian')}
