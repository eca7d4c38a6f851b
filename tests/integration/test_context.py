from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import logfire
import pytest
from conftest import Collected
from evaluators import Awaiting, Calling, Context, run_of
from logfire.testing import CaptureLogfire
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.test import TestModel
from pydantic_evals.dataset import increment_eval_metric, set_eval_attribute
from pydantic_evals.evaluators import HasMatchingSpan, MaxToolCalls
from pydantic_evals.otel import SpanTree

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, wait_for_evaluations
from pydantic_ai_assay.runs.spans import RECORDER

pytestmark = pytest.mark.anyio


@pytest.fixture
async def traced(capfire: CaptureLogfire) -> AsyncIterator[CaptureLogfire]:
    logfire.instrument_pydantic_ai()
    yield capfire
    assert await wait_for_evaluations() == ()
    Agent.instrument_all(False)
    assert len(RECORDER) == 0


def evaluated(sink: Collected, *functions: Any, name: str = 'agent', **settings: Any) -> Agent:
    config = OnlineEvalConfig(default_sink=sink, **settings)
    evaluators = [Calling(function, function.__name__) for function in functions]
    return Agent(TestModel(), name=name, capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)])


def names(tree: SpanTree) -> list[str]:
    return sorted(node.name for node in tree)


async def test_the_span_tree_holds_the_runs_own_span_and_is_built_once(
    traced: CaptureLogfire, collected: Collected
) -> None:
    trees: list[SpanTree] = []

    def spans(ctx: Context) -> str:
        trees.append(ctx.span_tree)
        return ', '.join(names(ctx.span_tree))

    def again(ctx: Context) -> str:
        trees.append(ctx.span_tree)
        return ctx.span_tree.roots[0].name

    agent = evaluated(collected, spans, again, name='support')

    @agent.tool_plain
    def look_up(order: str) -> str:
        with logfire.span('inside the tool'):
            return 'found'

    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {
        'spans': 'chat test, chat test, execute_tool look_up, inside the tool, invoke_agent support, running tools'
        if _has_running_tools(trees[0])
        else 'chat test, chat test, execute_tool look_up, inside the tool, invoke_agent support',
        'again': 'invoke_agent support',
    }
    assert trees[0] is trees[1]


def _has_running_tools(tree: SpanTree) -> bool:
    return any(node.name == 'running tools' for node in tree)


async def test_a_nested_agent_has_its_own_subtree_and_is_in_its_callers_tree(
    traced: CaptureLogfire, collected: Collected
) -> None:
    def tree(ctx: Context) -> str:
        return ', '.join(name for name in names(ctx.span_tree) if 'agent' in name or 'tool' in name)

    def requests(ctx: Context) -> int:
        return int(ctx.metrics['requests'])

    expert = evaluated(collected, tree, requests, name='expert agent')
    expert.tool_plain(name='remember')(lambda: 'known')
    asker = evaluated(collected, tree, requests, name='asking agent')

    @asker.tool
    async def ask(ctx: RunContext[object]) -> str:
        return (await expert.run('what?')).output

    await asker.run('hi')
    await wait_for_evaluations()
    values = {(p.target, r.name): r.value for p in collected.payloads for r in p.results}
    inner = 'execute_tool remember, invoke_agent expert agent'
    outer = f'execute_tool ask, {inner[:21]}, invoke_agent asking agent, invoke_agent expert agent'
    assert str(values['expert agent', 'tree']).replace(', running tools', '') == inner
    assert str(values['asking agent', 'tree']).replace(', running tools', '') == outer
    # As pydantic-evals counts: a run's metrics include its nested agents' requests.
    assert values['expert agent', 'requests'] == 2
    assert values['asking agent', 'requests'] == 4


async def test_evaluators_of_pydantic_evals_read_it_as_they_are(traced: CaptureLogfire, collected: Collected) -> None:
    config = OnlineEvalConfig(default_sink=collected)
    evaluators = [HasMatchingSpan(query={'name_contains': 'execute_tool'}), MaxToolCalls(max_calls=3)]
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)])
    agent.tool_plain(name='tool')(lambda: 'x')
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'HasMatchingSpan': True, 'MaxToolCalls': True}


async def test_attributes_and_metrics_that_the_run_records(traced: CaptureLogfire, collected: Collected) -> None:
    def recorded(ctx: Context) -> str:
        return f'{ctx.attributes} {ctx.metrics["looked_up"]} {ctx.name == run_of(ctx).run_id} {ctx.duration > 0}'

    inner = evaluated(collected, name='inner')
    outer = evaluated(collected, recorded)

    @inner.tool_plain
    def deep() -> str:
        increment_eval_metric('looked_up', 2)
        return 'x'

    @outer.tool
    async def look_up(ctx: RunContext[object]) -> str:
        set_eval_attribute('source', 'cache')
        increment_eval_metric('looked_up', 1)
        return (
            await inner.run('deeper', capabilities=[OnlineEvaluation(evaluators=[Calling(recorded, 'inner')])])
        ).output

    await outer.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'recorded': "{'source': 'cache'} 3 True True"}


async def test_long_span_attributes_are_shortened_visibly(traced: CaptureLogfire, collected: Collected) -> None:
    def longest(ctx: Context) -> int:
        return max(len(v) for node in ctx.span_tree for v in node.attributes.values() if isinstance(v, str))

    def told(ctx: Context) -> bool:
        return any('characters left out' in str(node.attributes) for node in ctx.span_tree)

    def whole(ctx: Context) -> bool:
        return 'x' * 100_000 in str(run_of(ctx).messages)

    agent = evaluated(collected, longest, told, whole, span_attribute_limit=1_000)
    agent.tool_plain(name='verbose')(lambda: 'x' * 100_000)
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values['told'] is True
    assert collected.values['whole'] is True
    longest_value = collected.values['longest']
    assert isinstance(longest_value, int)
    assert longest_value < 1_100


async def test_no_limit_on_span_attributes(traced: CaptureLogfire, collected: Collected) -> None:
    def told(ctx: Context) -> bool:
        return any('characters left out' in str(node.attributes) for node in ctx.span_tree)

    agent = evaluated(collected, told, span_attribute_limit=None)
    agent.tool_plain(name='verbose')(lambda: 'x' * 100_000)
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'told': False}


async def test_spans_of_an_agent_that_is_not_instrumented(capfire: CaptureLogfire, collected: Collected) -> None:
    def spans(ctx: Context) -> str:
        return ', '.join(names(ctx.span_tree))

    async def metrics(ctx: Context) -> int:
        return int(ctx.metrics['requests'])

    agent = evaluated(collected, spans)

    @agent.tool_plain
    def look_up() -> str:
        with logfire.span('inside the tool'):
            return 'found'

    evaluation = OnlineEvaluation(
        evaluators=[Awaiting(metrics, 'requests')], config=OnlineEvalConfig(default_sink=collected)
    )
    with logfire.span('request'):
        with logfire.span('not of the run'):
            pass
        await agent.run('hi', capabilities=[evaluation])
    await wait_for_evaluations()
    assert collected.values == {'spans': 'inside the tool', 'requests': 2}


async def test_late_spans_and_contexts_leave_nothing_behind(traced: CaptureLogfire, collected: Collected) -> None:
    """Tasks that outlive their run keep its context; their spans start and end when the run is long over."""
    config = OnlineEvalConfig(default_sink=lambda results, failures, context: None)
    agent = Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[Calling(lambda ctx: True)], config=config)])
    release = asyncio.Event()
    late: list[asyncio.Task[None]] = []

    async def outlive() -> None:
        with logfire.span('ends late'):
            await release.wait()
        with logfire.span('starts late'):
            set_eval_attribute('late', 'x' * 1000)

    @agent.tool_plain
    async def start() -> str:
        late.append(asyncio.create_task(outlive()))
        await asyncio.sleep(0)
        return 'x'

    before = _count_of('SpanCapture'), _count_of('RunRecord')
    for _ in range(20):
        await agent.run('hi')
    await wait_for_evaluations()
    traced.exporter.clear()
    assert len(RECORDER) == 0
    # The thread that delivered the last result may still be on its way back.
    with anyio.fail_after(10):
        while (_count_of('SpanCapture'), _count_of('RunRecord')) > before:
            await asyncio.sleep(0.01)
    release.set()
    await asyncio.gather(*late)
    assert len(RECORDER) == 0


def _count_of(type_name: str) -> int:
    gc.collect()
    return sum(type(each).__name__ == type_name for each in gc.get_objects())


def program(body: str) -> str:
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PROGRAM = """
import asyncio
from evaluators import Calling
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.otel import SpanTreeRecordingError
from pydantic_ai_assay import OnlineEvaluation, wait_for_evaluations
{setup}
def look(ctx):
    try:
        ctx.span_tree
    except SpanTreeRecordingError as error:
        print('error:', error)
    print('metrics:', ctx.metrics)
    return True

async def main():
    await Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=[Calling(look)]), *{capabilities}]).run('hi')
    await wait_for_evaluations()

asyncio.run(main())
"""


def test_without_a_tracer_provider_the_error_names_the_remedy() -> None:
    output = program(PROGRAM.format(setup='', capabilities='[]'))
    assert 'you need to call `logfire.configure(...)` or `opentelemetry.trace.set_tracer_provider(...)`' in output
    assert "metrics: {'requests': 1, 'input_tokens': 51, 'output_tokens': 4}" in output


def test_head_sampling_at_zero_leaves_the_metrics() -> None:
    setup = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry import trace
from pydantic_ai.capabilities import Instrumentation
trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
"""
    output = program(PROGRAM.format(setup=setup, capabilities='[Instrumentation()]'))
    assert 'raise the head sampling rate' in output
    assert "metrics: {'requests': 1, 'input_tokens': 51, 'output_tokens': 4}" in output


def test_a_provider_that_takes_no_span_processor() -> None:
    setup = """
from opentelemetry import trace
class Custom(trace.TracerProvider):
    def get_tracer(self, *args, **kwargs):
        return trace.NoOpTracer()
trace.set_tracer_provider(Custom())
"""
    output = program(PROGRAM.format(setup=setup, capabilities='[]'))
    assert 'The current TracerProvider (Custom) does not support `add_span_processor`' in output


async def test_an_evaluator_with_settings_sees_the_same_context(traced: CaptureLogfire, collected: Collected) -> None:
    contexts: list[Context] = []

    async def keep(ctx: Context) -> bool:
        contexts.append(ctx)
        return True

    config = OnlineEvalConfig(default_sink=collected)
    evaluators = [OnlineEvaluator(evaluator=Awaiting(keep, 'one')), OnlineEvaluator(evaluator=Awaiting(keep, 'two'))]
    await Agent(TestModel(), capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)]).run('hi')
    await wait_for_evaluations()
    assert contexts[0] is contexts[1]
    with pytest.raises(AttributeError, match="no attribute 'spam'"):
        contexts[0].spam  # pyright: ignore
