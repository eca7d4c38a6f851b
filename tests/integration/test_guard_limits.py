"""`mode='block'` at its limits: guards that are late, that cannot be asked, and that are switched off."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from guarding import MODEL, Refuses, RefusesSync, Told, blocking, guarded, replaced, run
from pydantic_ai import Agent
from pydantic_ai.usage import RunUsage
from pydantic_evals import Case, Dataset, set_eval_attribute
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext, EvaluatorOutput

from pydantic_ai_assay import (
    AssayWarning,
    EvaluationOutcome,
    OnlineEvaluation,
    OnlineEvaluator,
    OutputRejected,
    RunRecord,
    SamplingContext,
    disable_evaluation,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio

Context = EvaluatorContext[Any, Any, Any]


@dataclass
class Held(Evaluator[Any, Any, Any]):
    """Judges, in its thread, when the gate is open."""

    gate: Gate

    def evaluate(self, ctx: Context) -> bool:
        self.gate.pass_sync()
        return True


async def until_arrived(gate: Gate) -> None:
    async with asyncio.timeout(10):
        while not gate.arrived:
            await asyncio.sleep(0)


# Time


async def test_the_time_of_a_guard_runs_while_the_threads_of_guards_are_busy(collected: Collected, gate: Gate) -> None:
    first = asyncio.create_task(run(guarded(blocking(Held(gate)))))
    await until_arrived(gate)
    late = {'timeout': 0.001, 'retries': 0}
    assert await run(guarded(blocking(RefusesSync(), **late), default_sink=collected)) == 'reply 0'
    closed = guarded(blocking(RefusesSync(), on_unavailable='closed', **late), default_sink=collected)
    with pytest.raises(OutputRejected, match=r'RefusesSync gave no verdict \(TimeoutError\)'):
        await run(closed)
    assert not first.done()
    await wait_for_evaluations_of(collected, 2)
    assert [outcome.status for outcome in collected.outcomes] == ['timed_out', 'timed_out']
    gate.open()
    assert await first == 'reply 0'


async def wait_for_evaluations_of(collected: Collected, runs: int) -> None:
    async with asyncio.timeout(10):
        while len(collected.payloads) < runs:
            await asyncio.sleep(0)


async def test_evaluators_in_the_background_do_not_keep_guards_waiting(gate: Gate) -> None:
    assert await run(guarded(Held(gate))) == 'reply 0'
    await until_arrived(gate)
    with pytest.raises(OutputRejected):
        await run(guarded(blocking(RefusesSync(), timeout=5)))
    gate.open()


async def test_the_time_of_a_guard_runs_while_the_run_is_redacted(collected: Collected, gate: Gate) -> None:
    def slowly(run: RunRecord) -> RunRecord:
        gate.pass_sync()
        return run

    patient, hasty = Refuses(('other',)), RefusesSync()
    agent = guarded(
        blocking(hasty, timeout=0.01, on_unavailable='closed', action=replaced),
        blocking(patient, timeout=10),
        redact=slowly,
        default_sink=collected,
    )
    task = asyncio.create_task(run(agent))
    await until_arrived(gate)
    # Long enough for the one that is late, which the other one has no part in.
    await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.05)
    gate.open()
    assert await task == 'replaced, timed_out'
    await wait_for_evaluations()
    assert patient.seen == ['reply 0']
    assert collected.statuses == {'RefusesSync': 'timed_out', 'Refuses': 'scored'}


async def test_a_guard_that_turns_out_to_be_asynchronous_has_its_time_once(collected: Collected) -> None:
    ended: list[str] = []

    async def hang() -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append('judge')
        return True

    @dataclass
    class Turns(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: Context) -> EvaluatorOutput | Coroutine[Any, Any, bool]:
            return hang()

    agent = guarded(blocking(Turns(), timeout=0.05, on_unavailable='closed'), default_sink=collected)
    with pytest.raises(OutputRejected, match=r'Turns gave no verdict \(TimeoutError\)'):
        await run(agent)
    await wait_for_evaluations()
    assert collected.statuses == {'Turns': 'timed_out'}
    assert ended == ['judge']


async def test_a_guard_on_the_loop_in_a_thread_is_cancelled_there(collected: Collected) -> None:
    ended = threading.Event()
    arrived = threading.Event()

    @dataclass
    class Waits(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: Context) -> bool:
            arrived.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return True

    guard = blocking(Waits(), run_in='background', timeout=None)
    task = asyncio.create_task(run(guarded(guard, default_sink=collected)))
    assert await asyncio.to_thread(arrived.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 10)
    await wait_for_evaluations()
    assert counted('Waits') == {'dropped': 1}


async def test_what_guards_had_said_when_the_run_was_cancelled_is_recorded() -> None:
    told = Told()
    arrived = asyncio.Event()

    @dataclass
    class Waits(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: Context) -> bool:
            arrived.set()
            await asyncio.Event().wait()
            return True

    agent = guarded(blocking(Waits()), blocking(Refuses(('other',))), on_result=told)
    task = asyncio.create_task(run(agent))
    await asyncio.wait_for(arrived.wait(), 10)
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for_evaluations()
    assert [(outcome.evaluator, outcome.passed) for outcome, _ in told.calls] == [('Refuses', True)]
    assert counted('Waits') == {'dropped': 1}


def test_what_a_thread_says_when_the_loop_has_been_closed_nobody_hears(gate: Gate) -> None:
    loop = asyncio.new_event_loop()
    problems: list[str] = []
    loop.set_exception_handler(lambda _, context: problems.append(context['message']))
    task = loop.create_task(run(guarded(blocking(Held(gate)))))

    async def arrived() -> None:
        await until_arrived(gate)

    loop.run_until_complete(arrived())
    loop.close()
    gate.open()
    assert PIPELINE.executor.wait_idle(10)
    assert not task.done()
    del task
    gc.collect()
    assert set(problems) <= {'Task was destroyed but it is pending!'}


# Guards that cannot be asked


def broken_rate(context: SamplingContext) -> float:
    raise ZeroDivisionError('no rate')


@pytest.mark.parametrize('action', ['raise', 'retry'])
async def test_where_sampling_raises_open_lets_the_output_pass_and_closed_refuses_it(action: Any) -> None:
    told: list[str] = []
    evaluator = Refuses()

    def note(error: Exception, evaluator: object) -> None:
        told.append(type(error).__name__)

    def guard(**settings: Any) -> OnlineEvaluator:
        return blocking(evaluator, sample_rate=broken_rate, action=action, on_sampling_error=note, **settings)

    assert await run(guarded(guard())) == 'reply 0'
    with pytest.raises(
        OutputRejected, match=r'^The output was refused: Refuses gave no verdict \(ZeroDivisionError\)\.$'
    ):
        await run(guarded(guard(on_unavailable='closed')))
    await wait_for_evaluations()
    assert evaluator.seen == []
    assert told == ['ZeroDivisionError', 'ZeroDivisionError']
    assert counted('Refuses') == {'skipped': 2}


async def test_where_sampling_raises_a_function_replaces_the_output(collected: Collected) -> None:
    runs: list[RunRecord] = []

    def instead(outcome: EvaluationOutcome, run: RunRecord) -> str:
        runs.append(run)
        return f'{outcome.evaluator} of {outcome.target}: {outcome.status}, refused {outcome.refused}'

    guard = blocking(Refuses(), sample_rate=broken_rate, on_unavailable='closed', action=instead)
    with pytest.warns(AssayWarning, match='Sampling for Refuses raised ZeroDivisionError: no rate'):
        assert await run(guarded(guard, default_sink=collected)) == 'Refuses of guarded: failed, refused 1'
        assert (
            await run(guarded(guard, RefusesSync(), default_sink=collected)) == 'Refuses of guarded: failed, refused 1'
        )
    await wait_for_evaluations()
    assert [run.output for run in runs] == ['reply 0', 'reply 0']
    assert collected.values == {'RefusesSync': True}


async def test_a_guard_that_a_rate_leaves_out_is_not_asked_and_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Refuses()
    assert await run(guarded(blocking(evaluator, sample_rate=0.0, on_unavailable='closed'))) == 'reply 0'
    assert await run(guarded(blocking(evaluator, sample_rate=never, on_unavailable='closed'))) == 'reply 0'
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0')
    assert await run(guarded(blocking(evaluator, on_unavailable='closed'))) == 'reply 0'
    await wait_for_evaluations()
    assert evaluator.seen == []
    assert counted('Refuses') == {'sampled_out': 3}


def never(context: SamplingContext) -> float:
    return 0.0


class Uncopied(RunUsage):
    """A usage object of the user's own that cannot be copied."""

    def __copy__(self) -> RunUsage:
        raise LookupError('no copy')


@pytest.mark.parametrize(
    ('requests', 'warning'),
    [
        (1, "Run 'run-1' is not evaluated: choosing raised LookupError: no copy"),
        (0, "An output of run 'run-1' was not judged: LookupError: no copy"),
    ],
)
@pytest.mark.filterwarnings("ignore:Run 'run-1' was not captured:pydantic_ai_assay.AssayWarning")
async def test_where_a_run_cannot_be_captured_open_lets_the_output_pass_and_closed_refuses_it(
    requests: int, warning: str
) -> None:
    evaluator = Refuses()
    left_out = blocking(RefusesSync(), sample_rate=0.0, on_unavailable='closed')
    with pytest.warns(AssayWarning, match=warning):
        agent = guarded(blocking(evaluator), left_out)
        result = await agent.run('hi', run_id='run-1', usage=Uncopied(requests=requests))
    assert result.output == 'reply 0'
    PIPELINE.notices.forget()
    agent = guarded(blocking(evaluator, on_unavailable='closed', action=replaced))
    with (
        pytest.warns(AssayWarning, match=warning),
        pytest.raises(OutputRejected, match=r'Refuses gave no verdict \(LookupError\)'),
    ):
        await agent.run('hi', run_id='run-1', usage=Uncopied(requests=requests))
    await wait_for_evaluations()
    assert evaluator.seen == []


async def test_a_run_that_is_driven_on_in_another_context_is_guarded() -> None:
    agent = guarded(blocking(Refuses()))
    async with agent.iter('hi') as steps:

        async def drive() -> None:
            async for _ in steps:
                pass

        with pytest.raises(OutputRejected, match='Refuses says no'):
            await asyncio.create_task(drive(), context=contextvars.Context())


async def test_an_evaluation_that_is_attached_twice_judges_an_output_by_its_own_guards() -> None:
    evaluator = Refuses()
    evaluation = OnlineEvaluation[object](evaluators=[blocking(evaluator, action='retry')])
    agent = Agent(MODEL, name='twice', capabilities=[evaluation])
    assert (await agent.run('hi', capabilities=[evaluation])).output == 'reply 1'
    await wait_for_evaluations()
    assert counted('Refuses') == {'scored': 1}


# Switched off


def off_by_variable(monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    return nullcontext()


def off_in_a_block(monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    return disable_evaluation()


def not_off(monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.mark.parametrize(
    ('switch', 'settings'), [(off_by_variable, {}), (off_in_a_block, {}), (not_off, {'enabled': False})]
)
@pytest.mark.parametrize('in_dataset', [False, True])
async def test_who_switches_evaluation_off_switches_guards_off(
    switch: Any, settings: dict[str, Any], in_dataset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = Refuses()
    agent = guarded(blocking(evaluator, on_unavailable='closed'), **settings)
    with switch(monkeypatch):
        if in_dataset:
            assert await outputs_in_dataset(agent) == ['reply 0']
        else:
            assert await run(agent) == 'reply 0'
    assert evaluator.seen == []


async def outputs_in_dataset(agent: Agent[None, Any]) -> list[Any]:
    async def task(inputs: str) -> Any:
        return (await agent.run(inputs)).output

    dataset: Dataset[str, Any, None] = Dataset(name='guarded', cases=[Case(inputs='hi')])
    report = await dataset.evaluate(task, progress=False)
    assert [failure.error_message for failure in report.failures] == []
    return [case.output for case in report.cases]


async def test_in_a_dataset_evaluation_guards_act_and_nothing_is_recorded(collected: Collected) -> None:
    told = Told()
    evaluator, background = Refuses(), RefusesSync()
    agent = guarded(
        blocking(evaluator, action='retry'),
        background,
        default_sink=collected,
        on_fail=told,
    )
    before = PIPELINE.stats().by_status
    assert await outputs_in_dataset(agent) == ['reply 1']
    await wait_for_evaluations()
    assert evaluator.seen == ['reply 0', 'reply 1']
    assert (collected.payloads, told.calls) == ([], [])
    assert PIPELINE.stats().by_status == before


async def test_in_a_dataset_evaluation_guards_of_several_evaluations_act() -> None:
    second = OnlineEvaluation[object](evaluators=[blocking(Refuses(('reply 1',)), action='retry')])
    first = OnlineEvaluation[object](evaluators=[blocking(RefusesSync(), action='retry')])
    agent = Agent(MODEL, deps_type=type(None), retries=2, capabilities=[first, second])
    assert await outputs_in_dataset(agent) == ['reply 2']


async def test_in_a_dataset_evaluation_a_refused_output_is_a_failure_of_the_case() -> None:
    async def task(inputs: str) -> Any:
        return (await guarded(blocking(Refuses())).run(inputs)).output

    dataset: Dataset[str, Any, None] = Dataset(name='guarded', cases=[Case(inputs='hi')])
    report = await dataset.evaluate(task, progress=False)
    assert [failure.error_message.partition(':')[0] for failure in report.failures] == ['OutputRejected']


async def test_in_a_dataset_evaluation_the_rates_of_guards_hold() -> None:
    evaluator = Refuses()
    assert await outputs_in_dataset(guarded(blocking(evaluator, sample_rate=0.0))) == ['reply 0']
    guard = blocking(evaluator, sample_rate=broken_rate, on_unavailable='closed', action=replaced)
    with pytest.warns(AssayWarning, match='Sampling for Refuses raised'):
        assert await outputs_in_dataset(guarded(guard)) == ['replaced, failed']
    assert evaluator.seen == []


async def test_in_a_dataset_evaluation_what_a_guarded_run_records_is_the_datasets() -> None:
    @dataclass
    class Attributes(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: Context) -> EvaluationReason:
            return EvaluationReason(value=ctx.attributes == {'tone': 'warm'}, reason=str(ctx.attributes))

    agent = guarded(blocking(Refuses(('other',))))

    @agent.instructions
    def note() -> str:
        set_eval_attribute('tone', 'warm')
        return 'Be warm.'

    async def task(inputs: str) -> Any:
        return (await agent.run(inputs)).output

    dataset = Dataset[str, Any, None](name='guarded', cases=[Case(inputs='hi')], evaluators=[Attributes()])
    report = await dataset.evaluate(task, progress=False)
    assert {name: result.value for name, result in report.cases[0].assertions.items()} == {'Attributes': True}
