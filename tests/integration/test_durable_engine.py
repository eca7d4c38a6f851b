"""Runs in the workflow of an engine: what is decided and judged there is a step, which a replay does not repeat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from journal import Journal, JournalDurability
from opentelemetry.trace import SpanContext, TraceFlags
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext
from pydantic_evals.online import disable_evaluation

from pydantic_ai_assay import (
    AssayWarning,
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RestoredRunError,
    RunRecord,
    stats,
    wait_for_evaluations,
)
from pydantic_ai_assay.durable.run import DurableRun
from pydantic_ai_assay.durable.start import Assignment
from pydantic_ai_assay.durable.unit import judge
from pydantic_ai_assay.execution.evaluators import AttachedEvaluators
from pydantic_ai_assay.testing import SettableClock, capture_evaluations

pytestmark = pytest.mark.anyio


@dataclass
class Says(Evaluator[Any, Any, Any]):
    what: str = 'yes'

    def get_default_evaluation_name(self) -> str:
        return 'Says' if self.what == 'yes' else f'Says {self.what}'

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> str:
        return f'{self.what} to {ctx.output!r}'


def evaluated(*evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, sink: Collected, **settings: Any) -> Any:
    config = OnlineEvalConfig(default_sink=sink, **settings)
    return OnlineEvaluation(id='quality', evaluators=evaluators, config=config)


async def test_a_replay_evaluates_nothing_again(collected: Collected) -> None:
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    journal = Journal()
    for _ in range(3):
        with journal.workflow():
            result = await agent.run('hi')
        # The run has waited for it.
        assert collected.values == {'Says': f'yes to {result.output!r}'}
    assert journal.names == ['begin', 'request', 'judge']
    assert counted('Says') == {'scored': 1}


async def test_a_run_that_is_recovered_half_way_is_evaluated_once(collected: Collected) -> None:
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    journal = Journal()
    with journal.workflow():
        await agent.run('hi')
    started_at, duration = collected.run.started_at, collected.run.duration
    journal.steps[2:] = []
    with journal.workflow():
        await agent.run('hi')
    first, second = collected.payloads
    assert first.run.run_id == second.run.run_id == 'run-1'
    assert (second.run.started_at, second.run.duration) == (started_at, duration)
    assert journal.names == ['begin', 'request', 'judge']


async def test_what_was_decided_when_the_run_started_holds_in_a_replay(collected: Collected) -> None:
    rates = iter([True, False])
    sampled = OnlineEvaluator(evaluator=Says(), sample_rate=lambda _: next(rates))
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(sampled, sink=collected)])
    journal = Journal()
    with journal.workflow():
        await agent.run('hi')
    journal.steps[1:] = []
    with journal.workflow():
        await agent.run('hi')
    assert len(collected.payloads) == 2
    assert next(rates) is False


async def test_a_run_that_is_not_chosen_costs_one_step(collected: Collected) -> None:
    sampled = OnlineEvaluator(evaluator=Says(), sample_rate=0.0)
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(sampled, sink=collected)])
    journal = Journal()
    for _ in range(2):
        with journal.workflow():
            await agent.run('hi')
    assert journal.names == ['begin', 'request']
    assert counted('Says') == {'sampled_out': 1}


async def test_disabling_evaluation_reaches_into_the_step(collected: Collected) -> None:
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    journal = Journal()
    with journal.workflow(), disable_evaluation():
        await agent.run('hi')
    assert journal.names == ['begin', 'request']
    assert collected.payloads == []


async def test_an_evaluator_that_is_attached_twice_judges_once(collected: Collected) -> None:
    first = evaluated(Says(), Says('no'), sink=collected)
    second = OnlineEvaluation(id='more', evaluators=[Says(), Says('maybe')], config=first.config)
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), first, second])
    journal = Journal()
    with journal.workflow():
        await agent.run('hi')
    assert journal.names == ['begin', 'begin', 'request', 'judge', 'judge', 'judge']
    assert sorted(str(result.value).split()[0] for result in collected.results) == ['maybe', 'no', 'yes']


async def test_a_run_that_fails_is_evaluated_if_it_is_to_be(collected: Collected) -> None:
    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ValueError('no')

    sees_errors = OnlineEvaluator(evaluator=Says(), run_on=['error'])
    agent = Agent(
        FunctionModel(fail), name='agent', capabilities=[JournalDurability(), evaluated(sees_errors, sink=collected)]
    )
    journal = Journal()
    for _ in range(2):
        with journal.workflow(), pytest.raises(ValueError, match='no'):
            await agent.run('hi')
    assert journal.names == ['begin', 'request', 'judge']
    assert collected.run.outcome == 'error'
    assert collected.run.duration == 0.0


async def test_a_run_that_runs_out_of_time_is_evaluated_and_one_that_is_interrupted_is_not(
    collected: Collected,
) -> None:
    async def hang(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.Event().wait()
        raise AssertionError

    sees_all = OnlineEvaluator(evaluator=Says(), run_on=['cancelled', 'error', 'success'])
    agent = Agent(
        FunctionModel(hang), name='agent', capabilities=[JournalDurability(), evaluated(sees_all, sink=collected)]
    )
    with Journal().workflow(), pytest.raises(TimeoutError):
        await agent.run('hi', timeout=0.05)
    assert len(collected.payloads) == 1
    journal = Journal()
    with journal.workflow():
        task = asyncio.create_task(agent.run('hi'))
        while journal.names != ['begin']:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    # The workflow may be recovered, and the run be taken up again.
    assert len(collected.payloads) == 1


@pytest.mark.parametrize('step', ['begin', 'judge'])
async def test_an_engine_that_fails_at_a_step_of_ours_does_not_fail_the_run(collected: Collected, step: str) -> None:
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    journal = Journal()
    journal.fails = step
    with journal.workflow(), pytest.warns(AssayWarning, match='is not evaluated.*ConnectionError: no database'):
        await agent.run('hi')
    assert collected.payloads == []
    assert counted('Says') == ({'dropped': 1} if step == 'judge' else {})


async def test_an_evaluator_that_has_gone_is_named(collected: Collected) -> None:
    journal = Journal()
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    with journal.workflow():
        await agent.run('hi')
    journal.steps[2:] = []
    other = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(sink=collected)])
    with journal.workflow(), pytest.warns(AssayWarning, match='not evaluated by Says: no such evaluator'):
        await other.run('hi')
    assert len(collected.payloads) == 1
    assert journal.names == ['begin', 'request', 'judge']
    assert counted('Says') == {'scored': 1, 'dropped': 1}


async def test_an_evaluation_that_fails_or_is_not_wanted_after_all_ends_the_wait_too(collected: Collected) -> None:
    class Raises(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            raise ValueError('no')

    unwanted = OnlineEvaluator(evaluator=Says(), when=lambda run: run.outcome == 'error')
    capability = evaluated(Raises(), unwanted, sink=collected)
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), capability])
    journal = Journal()
    with journal.workflow():
        await agent.run('hi')
    assert [json.loads(str(payload))['value'] for _, payload in journal.steps[2:]] == ['failed', 'sampled_out']
    assert counted('Raises') == {'failed': 1}
    assert counted('Says') == {'sampled_out': 1}


async def test_outside_of_a_workflow_nothing_is_different(collected: Collected) -> None:
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    await agent.run('hi')
    assert stats().pending == 1
    await wait_for_evaluations()
    assert len(collected.payloads) == 1


async def test_a_nested_run_knows_its_caller(collected: Collected) -> None:
    inner = Agent(TestModel(), name='inner', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    outer = Agent(TestModel(), name='outer', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    journal = Journal()

    @outer.tool_plain(metadata={'journal': False})
    async def ask() -> str:
        return (await inner.run('hi', run_id='run-2')).output

    with journal.workflow():
        await outer.run('hi')
    await wait_for_evaluations()
    paths = {payload.run.run_id: payload.run.agent_path for payload in collected.payloads}
    assert paths == {'run-1': ('outer',), 'run-2': ('outer', 'inner')}


async def test_what_the_environment_said_when_the_run_started_holds_in_a_replay(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Explains(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluationReason:
            return EvaluationReason(value=True, reason=f'because of {ctx.output}')

    capability = evaluated(OnlineEvaluator(evaluator=Explains(), sample_rate=0.9), sink=collected)
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), capability])
    journal = Journal()
    with monkeypatch.context() as environment:
        environment.setenv('ASSAY_RECORD_CONTENT', 'false')
        environment.setenv('ASSAY_SAMPLE_RATE', '0.8')
        with journal.workflow():
            await agent.run('hi', run_id='run-2')
    journal.steps[2:] = []
    with journal.workflow():
        await agent.run('hi', run_id='run-2')
    assert [(each.probability, each.results[0].reason) for each in collected.outcomes] == [(0.8, None), (0.8, None)]
    assert [payload.run.record_content for payload in collected.payloads] == [False, False]


async def test_the_environment_switches_evaluation_off(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Says(), sink=collected)])
    journal = Journal()
    with journal.workflow():
        await agent.run('hi')
    assert journal.names == ['begin', 'request']


async def test_evaluators_and_sinks_see_the_redacted_run(collected: Collected) -> None:
    def redact(run: RunRecord) -> RunRecord:
        return replace(run, inputs='[gone]', output='[gone]')

    capability = evaluated(Says(), sink=collected, redact=redact)
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), capability])
    with Journal().workflow():
        await agent.run('hi')
    assert collected.values == {'Says': "yes to '[gone]'"}
    assert collected.run.inputs == '[gone]'


async def test_a_test_captures_the_evaluations_of_a_workflow(collected: Collected) -> None:
    never, unwanted = (
        OnlineEvaluator(evaluator=Says(), sample_rate=0.0),
        OnlineEvaluator(evaluator=Says('no'), run_on=['error']),
    )
    capability = evaluated(never, unwanted, sink=collected)
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), capability])
    began = datetime(2026, 1, 1, tzinfo=UTC)
    async with capture_evaluations(sample_rate=1.0, call_sinks=False, clock=SettableClock(began)) as captured:
        with Journal().workflow():
            await agent.run('hi')
    assert captured.statuses == {'Says': 'scored', 'Says no': 'skipped'}
    assert captured.run.started_at == began
    assert collected.payloads == []


async def test_a_capability_of_a_single_run_is_named_and_starts_nothing(collected: Collected) -> None:
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability()])
    journal = Journal()
    with pytest.warns(AssayWarning, match='that it was given alone: give the agent one, with an `id`') as warned:
        for _ in range(2):
            with journal.workflow():
                await agent.run('hi', capabilities=[evaluated(Says(), sink=collected)])
    assert len(warned) == 1
    assert journal.names == ['request']
    assert collected.payloads == []


async def test_a_run_that_is_cancelled_while_it_waits_for_an_evaluation_is_not_held_up(
    collected: Collected, gate: Gate
) -> None:
    @dataclass
    class Waits(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            await gate.pass_async()
            return True

    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(Waits(), sink=collected)])
    journal = Journal()
    with journal.workflow():
        task = asyncio.create_task(agent.run('hi'))
        while not gate.arrived:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert journal.names == ['begin', 'request']
    gate.open()
    assert await wait_for_evaluations() == ()


async def test_a_run_that_cannot_be_captured_is_told_of_and_not_failed(collected: Collected) -> None:
    journal = Journal()

    class WithAClock(JournalDurability):
        def get_run_clock(self) -> Callable[[], datetime]:
            return self.now

        def now(self) -> datetime:
            if len(journal.steps) == 2:
                raise ValueError('no time')
            return datetime(2026, 1, 1, tzinfo=UTC)

    agent = Agent(TestModel(), name='agent', capabilities=[WithAClock(), evaluated(Says(), sink=collected)])
    with journal.workflow(), pytest.warns(AssayWarning, match='was not captured: ValueError: no time'):
        await agent.run('hi')
    assert journal.names == ['begin', 'request']
    assert counted('Says') == {'dropped': 1}


def test_an_agent_with_durability_needs_an_id() -> None:
    with pytest.raises(UserError, match=r"Construct it as `OnlineEvaluation\(id='...'\)`"):
        Agent(TestModel(), name='agent', capabilities=[JournalDurability(), OnlineEvaluation(evaluators=[Says()])])


def record(**values: Any) -> RunRecord:
    known: dict[str, Any] = {
        'run_id': 'run',
        'target': 'agent',
        'outcome': 'success',
        'inputs': 'hi',
        'output': {'a': 1},
        'started_at': datetime(2026, 1, 1, tzinfo=UTC),
        'duration': 1.5,
    }
    return RunRecord(**{**known, **values})


def test_what_is_written_down_is_read_again_as_it_was() -> None:
    messages = (ModelRequest.user_text_prompt('hi'), ModelResponse(parts=[TextPart('there')]))
    span = SpanContext(2**100, 2**50, False, TraceFlags(1))
    before = record(
        agent_path=('a', 'b'), messages=messages, new_message_index=1, span_context=span, baggage={'tenant': 't'}
    )
    after = DurableRun.read(fields_of(DurableRun.of(before))).record()
    for field in fields(RunRecord):
        if field.name not in ('deps', 'spans', 'span_context'):
            assert getattr(after, field.name) == getattr(before, field.name), field.name
    assert after.span_reference == before.span_reference


def test_only_the_text_of_an_error_is_written_down() -> None:
    error = ValueError('no')
    after = DurableRun.of(record(outcome='error', output=error, error=error)).record()
    assert isinstance(after.error, RestoredRunError)
    assert after.output is after.error
    assert str(after.error) == 'ValueError: no'


def test_all_of_a_record_is_written_down_but_what_belongs_to_its_process() -> None:
    of_record = {field.name for field in fields(RunRecord)}
    assert of_record - {field.name for field in fields(DurableRun)} == {'deps', 'spans', 'span_context'}


async def test_a_run_that_was_read_again_and_is_not_wanted_after_all_is_skipped(collected: Collected) -> None:
    unwanted = OnlineEvaluator(evaluator=Says(), run_on=['error'])
    evaluators = AttachedEvaluators([unwanted], OnlineEvalConfig(default_sink=collected))
    assignment = Assignment(key=evaluators.attached[0].key, rate=1.0, draw=0.0)
    assert await judge(evaluators, assignment, DurableRun.of(record())) == 'skipped'
    assert counted('Says') == {'skipped': 1}


def fields_of(run: DurableRun) -> dict[str, Any]:
    return {field.name: getattr(run, field.name) for field in fields(run)}


async def test_an_output_cannot_be_held_back_in_a_workflow(collected: Collected) -> None:
    guard = OnlineEvaluator(evaluator=Says(), mode='block')
    agent = Agent(TestModel(), name='agent', capabilities=[JournalDurability(), evaluated(guard, sink=collected)])
    with Journal().workflow(), pytest.raises(ConfigurationError, match="whose code may not wait .* mode='block'"):
        await agent.run('hi')
