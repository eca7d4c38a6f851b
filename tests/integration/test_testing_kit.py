"""The testing kit: evaluations in memory, captured wherever they start, and a clock that is moved on by hand."""

import asyncio
import contextvars
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from conftest import Collected, Gate
from opentelemetry._logs import LogRecord
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    AssayError,
    AssayWarning,
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunRecord,
    evaluate,
    submit,
    wait_for_evaluations,
)
from pydantic_ai_assay.delivery import events
from pydantic_ai_assay.testing import (
    CapturedEvaluations,
    InMemorySink,
    SettableClock,
    UnfinishedEvaluationsError,
    capture_evaluations,
)

pytestmark = pytest.mark.anyio

MORNING = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


@dataclass
class Says(Evaluator):
    """Says what it was made with; waits for a gate where it has one."""

    value: Any = True
    evaluation_name: str | None = None
    gate: Gate | None = field(default=None, repr=False)

    def get_default_evaluation_name(self) -> str:
        return self.evaluation_name or 'Says'

    async def evaluate(self, ctx: EvaluatorContext) -> Any:
        if self.gate is not None:
            await self.gate.pass_async()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def an_agent(*evaluators: Evaluator | OnlineEvaluator, name: str = 'assistant', **config: Any) -> Agent[None, str]:
    return Agent(
        TestModel(),
        name=name,
        capabilities=[OnlineEvaluation(evaluators=list(evaluators) or [Says()], config=OnlineEvalConfig(**config))],
    )


def in_thread_without_context(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=lambda: contextvars.Context().run(function))
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive()


# Captured


async def test_what_runs_in_the_block_is_captured_beside_the_configured_sinks(collected: Collected) -> None:
    agent = an_agent(Says(0.5), default_sink=collected)
    async with capture_evaluations() as captured:
        await agent.run('Hello', run_id='run-1')
    assert captured.values == collected.values == {'Says': 0.5}
    assert captured.statuses == {'Says': 'scored'}
    assert captured.counts == {'Says': {'scored': 1}}
    assert captured.run is collected.run
    assert [run.run_id for run in captured.runs] == ['run-1']
    assert captured.payloads == collected.payloads
    assert captured.outcomes == collected.outcomes
    assert captured.failures == []
    await agent.run('Hello again')
    await wait_for_evaluations()
    assert len(captured.payloads) == 1
    assert len(collected.payloads) == 2


async def test_configured_sinks_are_left_out_on_demand(collected: Collected) -> None:
    own = Collected()
    agent = an_agent(OnlineEvaluator(evaluator=Says(1), sink=own), Says(2, 'other'), default_sink=collected)
    async with capture_evaluations(call_sinks=False) as captured:
        await agent.run('Hello')
    assert captured.values == {'Says': 1, 'other': 2}
    assert own.payloads == collected.payloads == []


async def test_an_evaluator_without_any_destination_is_captured_where_elsewhere_it_is_skipped() -> None:
    agent = an_agent(emit_otel_events=False)
    async with capture_evaluations() as captured:
        await agent.run('Hello')
    assert captured.statuses == {'Says': 'scored'}


@pytest.mark.parametrize(
    ('configured', 'asked_for', 'emitted'),
    [(True, None, 1), (True, False, 0), (False, True, 1), (False, None, 0), (True, True, 1), (False, False, 0)],
)
async def test_events_are_emitted_as_configured_or_as_asked_for(
    monkeypatch: pytest.MonkeyPatch, configured: bool, asked_for: bool | None, emitted: int
) -> None:
    class Logger:
        def emit(self, record: LogRecord) -> None:
            records.append(record)

    def get_logger(name: str) -> Logger:
        return Logger()

    records: list[LogRecord] = []
    monkeypatch.setattr(events, 'get_logger', get_logger)
    agent = an_agent(emit_otel_events=configured)
    async with capture_evaluations(emit_otel_events=asked_for) as captured:
        await agent.run('Hello')
    assert captured.statuses == {'Says': 'scored'}
    assert len(records) == emitted


async def test_failures_are_captured_as_failures() -> None:
    async with capture_evaluations() as captured:
        await an_agent(Says(ValueError('no')), Says(1, 'fine')).run('Hello')
    assert captured.statuses == {'Says': 'failed', 'fine': 'scored'}
    assert captured.values == {'fine': 1}
    (failure,) = captured.failures
    assert failure.error_message == 'ValueError: no'


async def test_what_is_dropped_is_captured_though_no_sink_hears_of_it(gate: Gate) -> None:
    judge = OnlineEvaluator(evaluator=Says(gate=gate), max_concurrency=1, on_max_concurrency=lambda ctx: None)
    agent = an_agent(judge, queue_size=1)
    async with capture_evaluations() as captured:
        for number in range(3):
            await agent.run('Hello', run_id=f'run-{number}')
        await asyncio.get_running_loop().run_in_executor(None, wait_until, lambda: len(captured.outcomes) == 1)
        assert captured.statuses == {'Says': 'dropped'}
        assert captured.payloads == []
        gate.open()
    assert captured.counts == {'Says': {'dropped': 1, 'scored': 2}}
    assert sorted(run.run_id for run in captured.runs) == ['run-0', 'run-1']


class Forgetful(TestModel):
    """A model that does not know its name any more when the run is over."""

    is_over = False

    @property
    def model_name(self) -> str:
        if self.is_over:
            raise LookupError('no name')
        return 'forgetful'


async def test_a_run_of_which_no_record_can_be_made_is_captured_as_dropped() -> None:
    model = Forgetful()
    with pytest.warns(AssayWarning, match='preparing them raised LookupError: no name'):
        async with capture_evaluations() as captured:
            await an_agent().run('Hello', model=model)
            model.is_over = True
    assert captured.statuses == {'Says': 'dropped'}
    assert captured.outcomes == []


def wait_until(condition: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(1000):
        if condition():
            return
        ended.wait(0.01)
    raise AssertionError('it did not come true')


async def test_clear_forgets_what_there_is() -> None:
    agent = an_agent(Says(), OnlineEvaluator(evaluator=Says(evaluation_name='never'), sample_rate=0.0))
    async with capture_evaluations() as captured:
        await agent.run('Hello')
        await captured.wait_async()
        assert captured.statuses == {'Says': 'scored', 'never': 'sampled_out'}
        captured.clear()
        assert (captured.payloads, captured.outcomes, captured.statuses) == ([], [], {})
        await agent.run('Hello', run_id='second')
    assert captured.run.run_id == 'second'


async def test_switched_off_is_switched_off_in_the_block_too() -> None:
    async with capture_evaluations(sample_rate=1.0) as captured:
        await an_agent(enabled=False).run('Hello')
    assert captured.counts == {}


async def test_one_run_is_asked_for_where_there_is_another_number() -> None:
    agent = an_agent()
    async with capture_evaluations() as captured:
        with pytest.raises(AssertionError, match=r'^Expected results of one run, got those of 0\.$'):
            captured.run
        await agent.run('Hello', run_id='a')
        await agent.run('Hello', run_id='b')
    with pytest.raises(AssertionError, match=r"^Expected results of one run, got those of 2: '\w', '\w'\.$"):
        captured.run


# Sampling


async def test_what_was_sampled_out_or_skipped_is_captured() -> None:
    def broken(run: RunRecord) -> bool:
        raise ValueError('no')

    def ignore(error: Exception, evaluator: Evaluator) -> None:
        return

    agent = an_agent(
        OnlineEvaluator(evaluator=Says(evaluation_name='rate'), sample_rate=0.0),
        OnlineEvaluator(evaluator=Says(evaluation_name='when'), when=lambda run: False),
        OnlineEvaluator(evaluator=Says(evaluation_name='outcome'), run_on=['error']),
        OnlineEvaluator(evaluator=Says(evaluation_name='broken'), when=broken),
        OnlineEvaluator(evaluator=Says(evaluation_name='broken rate'), sample_rate=lambda context: 2.0),
        on_sampling_error=ignore,
    )
    async with capture_evaluations() as captured:
        await agent.run('Hello')
    assert captured.statuses == {
        'rate': 'sampled_out',
        'when': 'sampled_out',
        'outcome': 'skipped',
        'broken': 'skipped',
        'broken rate': 'skipped',
    }
    assert captured.outcomes == []


async def test_a_sample_rate_of_one_shows_every_run_to_every_evaluator() -> None:
    def never_called(context: object) -> float:
        raise AssertionError

    agent = an_agent(
        OnlineEvaluator(evaluator=Says(evaluation_name='rate'), sample_rate=0.0),
        OnlineEvaluator(evaluator=Says(evaluation_name='callable'), sample_rate=never_called),
        OnlineEvaluator(evaluator=Says(evaluation_name='when'), when=lambda run: False),
        OnlineEvaluator(evaluator=Says(evaluation_name='outcome'), run_on=['error']),
        Says(),
        default_sample_rate=0.0,
    )
    async with capture_evaluations(sample_rate=1.0) as captured:
        for _ in range(3):
            await agent.run('Hello')
    scored = {'rate', 'callable', 'when', 'Says'}
    assert captured.counts == {**{name: {'scored': 3} for name in scored}, 'outcome': {'skipped': 3}}
    assert {outcome.probability for outcome in captured.outcomes} == {1.0}


@pytest.mark.parametrize('rate', [0.5, 0.0, 2.0, float('nan'), 'all'])
def test_any_other_sample_rate_is_an_error(rate: Any) -> None:
    with pytest.raises(ConfigurationError, match=f'^sample_rate must be 1.0 or None, got {rate!r}'):
        capture_evaluations(sample_rate=rate)


# Isolation


async def test_tasks_at_once_do_not_see_the_runs_of_each_other() -> None:
    agent = an_agent()
    all_in_block = asyncio.Barrier(3)

    async def a_test(name: str, runs: int) -> list[str]:
        async with capture_evaluations() as captured:
            await all_in_block.wait()
            await asyncio.gather(*(agent.run('Hello', run_id=f'{name}-{number}') for number in range(runs)))
        return sorted(run.run_id for run in captured.runs)

    async def without() -> None:
        await all_in_block.wait()
        await agent.run('Hello', run_id='outside')

    a, b, _ = await asyncio.gather(a_test('a', 2), a_test('b', 3), without())
    assert a == ['a-0', 'a-1']
    assert b == ['b-0', 'b-1', 'b-2']


async def test_leaving_waits_for_no_evaluation_of_another_block(gate: Gate) -> None:
    slow, fast = an_agent(Says(gate=gate)), an_agent()
    left_first = asyncio.Event()

    async def a_slow_test() -> None:
        async with capture_evaluations() as captured:
            await slow.run('Hello')
            await left_first.wait()
            gate.open()
        assert captured.statuses == {'Says': 'scored'}

    async def a_fast_test() -> None:
        async with capture_evaluations() as captured:
            await fast.run('Hello')
        assert captured.statuses == {'Says': 'scored'}
        left_first.set()

    await asyncio.gather(a_slow_test(), a_fast_test())


async def test_threads_that_are_given_the_context_are_captured_and_others_are_not() -> None:
    agent = an_agent()

    def run(run_id: str) -> None:
        asyncio.run(agent.run('Hello', run_id=run_id))

    with anyio.from_thread.start_blocking_portal() as portal:
        async with capture_evaluations() as captured:
            await asyncio.to_thread(run, 'asyncio')
            await anyio.to_thread.run_sync(run, 'anyio')
            await asyncio.to_thread(lambda: portal.call(lambda: agent.run('Hello', run_id='portal')))
            await asyncio.to_thread(in_thread_without_context, lambda: run('of its own'))
    assert sorted(run.run_id for run in captured.runs) == ['anyio', 'asyncio', 'portal']
    await wait_for_evaluations()


async def test_the_scope_of_the_process_captures_other_threads_too_but_not_other_blocks() -> None:
    agent = an_agent()

    def of_its_own() -> None:
        async def run() -> None:
            await agent.run('Hello', run_id='in no block')
            async with capture_evaluations() as inner:
                await agent.run('Hello', run_id='in a block of its own')
            assert inner.run.run_id == 'in a block of its own'

        asyncio.run(run())

    async with capture_evaluations(scope='process') as captured:
        await asyncio.to_thread(in_thread_without_context, of_its_own)
        await agent.run('Hello', run_id='here')
    assert sorted(run.run_id for run in captured.runs) == ['here', 'in no block']


async def test_the_innermost_block_captures() -> None:
    agent = an_agent()
    async with capture_evaluations() as outer:
        async with capture_evaluations() as inner:
            await agent.run('Hello', run_id='inner')
        await agent.run('Hello', run_id='outer')
    assert (inner.run.run_id, outer.run.run_id) == ('inner', 'outer')


async def test_a_task_that_outlives_the_block_is_captured_no_more() -> None:
    agent, left = an_agent(), asyncio.Event()

    async def later() -> None:
        await left.wait()
        await agent.run('Hello', run_id='later')

    async with capture_evaluations() as outer:
        async with capture_evaluations() as inner:
            task = asyncio.create_task(later())
        left.set()
        await task
    assert inner.runs == []
    assert outer.run.run_id == 'later'


async def test_a_block_left_in_another_context_captures_no_more() -> None:
    agent = an_agent()
    captured = capture_evaluations()
    captured.__enter__()
    await asyncio.create_task(captured.__aexit__(None, None, None))
    await agent.run('Hello')
    await wait_for_evaluations()
    assert captured.payloads == []


async def test_runs_within_runs_are_captured_with_them() -> None:
    inner = an_agent(Says(1, 'inner'), name='inner')
    outer: Agent[None, str] = an_agent(Says(2, 'outer'), name='outer')

    @outer.tool_plain
    async def ask() -> str:
        return (await inner.run('Hello')).output

    async with capture_evaluations() as captured:
        await outer.run('Hello')
    assert captured.values == {'inner': 1, 'outer': 2}
    assert {run.agent_path for run in captured.runs} == {('outer',), ('outer', 'inner')}


@pytest.mark.parametrize(('broken', 'status'), [(False, 'scored'), (True, 'failed')])
async def test_what_is_redacted_is_captured_redacted_and_waited_for(broken: bool, status: str) -> None:
    def redact(run: RunRecord) -> RunRecord:
        if broken:
            raise ValueError('no')
        return replace(run, inputs='[redacted]')

    async with capture_evaluations() as captured:
        await an_agent(redact=redact).run('my secret')
    assert captured.statuses == {'Says': status}
    assert captured.run.inputs != 'my secret'


# Waiting


async def test_leaving_waits_for_deliveries_to_the_configured_sinks(gate: Gate) -> None:
    delivered: list[str] = []

    def slow_sink(results: object, failures: object, context: Any) -> None:
        gate.pass_sync()
        delivered.append(context.run.run_id)

    captured = capture_evaluations(timeout=0.05)
    with pytest.raises(UnfinishedEvaluationsError, match='^Not ended after 0.05 seconds: deliveries to sinks or'):
        async with captured:
            await an_agent(default_sink=slow_sink).run('Hello', run_id='run-1')
    assert captured.values == {'Says': True}
    gate.open()
    await captured.wait_async(10.0)
    assert delivered == ['run-1']


async def test_what_has_not_ended_in_time_is_named(gate: Gate) -> None:
    agent = an_agent(Says(gate=gate), Says(gate=gate, evaluation_name='other'), Says(evaluation_name='fine'))
    with pytest.raises(UnfinishedEvaluationsError) as raised:
        async with capture_evaluations(timeout=0.2):
            await agent.run('Hello')
            await agent.run('Hello')
    assert str(raised.value) == 'Not ended after 0.2 seconds: 4 evaluation(s) by Says (2), other (2).'
    assert isinstance(raised.value, AssertionError)
    assert isinstance(raised.value, AssayError)
    gate.open()


async def test_what_fails_in_the_block_is_not_hidden_by_what_has_not_ended(gate: Gate) -> None:
    with pytest.raises(ZeroDivisionError):
        async with capture_evaluations(timeout=0.05):
            await an_agent(Says(gate=gate)).run('Hello')
            raise ZeroDivisionError
    gate.open()


def test_what_fails_in_a_block_without_async_is_not_hidden_either() -> None:
    with pytest.raises(ZeroDivisionError):
        with capture_evaluations(timeout=0.05):
            asyncio.run(an_agent().run('Hello'))
            raise ZeroDivisionError


def test_the_block_is_used_without_async_around_synchronous_code(loop_of_run_sync: None) -> None:
    agent = an_agent(Says('fine'))
    with capture_evaluations() as captured:
        agent.run_sync('Hello')
        captured.wait()
        assert captured.values == {'Says': 'fine'}
        asyncio.run(agent.run('Hello'))
    assert captured.counts == {'Says': {'scored': 2}}


async def test_a_block_without_async_says_so_where_it_would_block_the_event_loop() -> None:
    agent = an_agent()
    with pytest.raises(UnfinishedEvaluationsError, match='Use `async with capture_evaluations') as raised:
        with capture_evaluations():
            await agent.run('Hello')
    assert str(raised.value).startswith(
        'Not ended, and would not while this blocks the event loop: 1 evaluation(s) by Says'
    )
    with capture_evaluations() as captured:
        await agent.run('Hello')
        await captured.wait_async()
    assert captured.statuses == {'Says': 'scored'}


async def test_a_block_is_entered_once_at_a_time() -> None:
    captured = capture_evaluations()
    async with captured:
        with pytest.raises(ConfigurationError, match='being captured already'):
            captured.__enter__()
    async with captured:
        await an_agent().run('Hello')
    assert captured.statuses == {'Says': 'scored'}


def test_a_scope_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="^scope must be one of 'context', 'process', got 'thread'"):
        capture_evaluations(scope='thread')  # pyright: ignore[reportArgumentType]


# Fixtures


@pytest.fixture
def in_fixture() -> Iterator[CapturedEvaluations]:
    with capture_evaluations() as captured:
        yield captured


@pytest.fixture
async def in_async_fixture() -> AsyncIterator[CapturedEvaluations]:
    async with capture_evaluations() as captured:
        yield captured


async def test_a_fixture_captures_for_an_asynchronous_test(in_fixture: CapturedEvaluations) -> None:
    await an_agent().run('Hello')
    await in_fixture.wait_async()
    assert in_fixture.statuses == {'Says': 'scored'}


async def test_an_asynchronous_fixture_captures_for_a_test(in_async_fixture: CapturedEvaluations) -> None:
    await an_agent().run('Hello')
    await in_async_fixture.wait_async()
    assert in_async_fixture.statuses == {'Says': 'scored'}


PAGE = Path(__file__).parents[2] / 'docs' / 'testing.md'


def test_the_tests_that_the_page_shows_pass(tmp_path: Path) -> None:
    snippets = re.findall(r'```python\n(.*?)```', PAGE.read_text(encoding='utf-8'), flags=re.S)
    for number, snippet in enumerate(snippets):
        name = 'conftest.py' if 'def anyio_backend' in snippet else f'test_snippet_{number}.py'
        (tmp_path / name).write_text(snippet, encoding='utf-8')
    functions = sum(len(re.findall(r'^(?:async )?def test_', snippet, flags=re.M)) for snippet in snippets)
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-W',
            'error::pydantic_ai_assay.AssayWarning',
            '-p',
            'no:cacheprovider',
            str(tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    passed = re.search(r'(\d+) passed', done.stdout)
    assert done.returncode == 0 and passed is not None, done.stdout + done.stderr
    assert int(passed[1]) >= functions > 0


# The sink by itself


async def test_the_sink_is_one_like_any_other() -> None:
    sink = InMemorySink()
    agent = an_agent(Says(0.5), Says(ValueError('no'), 'broken'), default_sink=sink)
    await agent.run('Hello', run_id='run-1')
    await wait_for_evaluations()
    assert sink.values == {'Says': 0.5}
    assert [failure.name for failure in sink.failures] == ['broken']
    assert sink.statuses == {'Says': 'scored', 'broken': 'failed'}
    assert sink.run.run_id == 'run-1'
    (payload,) = sink.payloads
    assert sink.outcomes == list(payload.outcomes)
    await sink.submit(payload)
    assert sink.counts == {'Says': {'scored': 1}, 'broken': {'failed': 1}}
    sink.clear()
    assert (sink.payloads, sink.counts) == ([], {})


# The clock


def a_model_that_takes(clock: SettableClock, seconds: float) -> FunctionModel:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        clock.advance(seconds)
        return ModelResponse(parts=[TextPart('Done.')])

    return FunctionModel(answer)


@pytest.mark.parametrize(('seconds', 'status'), [(19.0, 'sampled_out'), (30.0, 'scored')])
async def test_a_run_takes_as_long_as_the_clock_is_moved_on(seconds: float, status: str) -> None:
    clock = SettableClock(MORNING)
    judge = OnlineEvaluator(evaluator=Says(), when=lambda run: run.duration > 20)
    agent = an_agent(judge)
    async with capture_evaluations(clock=clock) as captured:
        await agent.run('Hello', model=a_model_that_takes(clock, seconds))
        clock.advance(3600)
    assert captured.statuses == {'Says': status}
    assert clock.now == MORNING + timedelta(hours=1, seconds=seconds)


async def test_records_and_outcomes_show_the_time_of_the_clock() -> None:
    clock = SettableClock(MORNING)
    async with capture_evaluations(clock=clock) as captured:
        clock.advance(60)
        await an_agent().run('Hello', model=a_model_that_takes(clock, 30))
        await captured.wait_async()
        clock.advance(86_400)
        await an_agent(Says(evaluation_name='next day')).run('Hello', run_id='next day')
    first, second = captured.runs
    assert (first.started_at, first.duration) == (MORNING + timedelta(seconds=60), 30.0)
    assert (second.started_at, second.duration) == (MORNING + timedelta(days=1, seconds=90), 0.0)
    assert [outcome.finished_at for outcome in captured.outcomes] == [
        MORNING + timedelta(seconds=90),
        MORNING + timedelta(days=1, seconds=90),
    ]


async def test_a_run_that_goes_on_when_the_clock_comes_or_goes_keeps_its_own() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        started.set()
        await go_on.wait()
        return ModelResponse(parts=[TextPart('Done.')])

    async with capture_evaluations() as captured:
        before = asyncio.create_task(an_agent().run('Hello', model=FunctionModel(answer)))
        await started.wait()
        with SettableClock(MORNING) as clock:
            clock.advance(1e9)
            started.clear()
            within = asyncio.create_task(an_agent().run('Hello', model=FunctionModel(answer), run_id='within'))
            await started.wait()
            clock.advance(5)
        go_on.set()
        await asyncio.gather(before, within)
    durations = {run.run_id: run.duration for run in captured.runs}
    assert durations.pop('within') == 5.0
    (duration,) = durations.values()
    assert 0 <= duration < 60


async def test_what_is_submitted_is_captured_and_ended_when_the_clock_says_so() -> None:
    async with capture_evaluations(clock=SettableClock(MORNING)) as captured:
        submit(Says(), inputs='a question', output='an answer', target='elsewhere', duration=30)
    assert captured.statuses == {'Says': 'scored'}
    assert (captured.run.target, captured.run.started_at) == ('elsewhere', MORNING - timedelta(seconds=30))


async def test_functions_are_captured_like_agents() -> None:
    clock = SettableClock(MORNING)

    @evaluate(Says())
    def answer(question: str) -> str:
        clock.advance(7)
        return question.upper()

    async with capture_evaluations(clock=clock) as captured:
        answer('why')
    assert captured.statuses == {'Says': 'scored'}
    assert (captured.run.output, captured.run.duration) == ('WHY', 7.0)


@pytest.mark.parametrize(('rate', 'status'), [(None, 'sampled_out'), (1.0, 'scored')])
async def test_a_sample_rate_of_one_goes_before_the_cap_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, rate: float | None, status: str
) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0')
    async with capture_evaluations(sample_rate=rate) as captured:
        await an_agent().run('Hello')
    assert captured.statuses == {'Says': status}


def test_a_clock_shows_what_it_was_given_in_utc() -> None:
    there = timezone(timedelta(hours=2))
    assert SettableClock(datetime(2026, 3, 1, 10, 0, tzinfo=there)).now == MORNING
    assert SettableClock(datetime(2026, 3, 1, 10, 0, tzinfo=there)).now.tzinfo is UTC
    before = datetime.now(UTC)
    assert before <= SettableClock().now <= datetime.now(UTC)


def test_a_clock_without_a_time_zone_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match='^start must have a time zone, got datetime'):
        SettableClock(datetime(2026, 3, 1))


@pytest.mark.parametrize('seconds', [-1, float('nan'), float('inf')])
def test_a_clock_moves_forward_only(seconds: float) -> None:
    clock = SettableClock(MORNING)
    with pytest.raises(ConfigurationError, match='^seconds must be a number of at least 0, got '):
        clock.advance(seconds)
    assert clock.now == MORNING


def test_the_process_goes_by_one_settable_clock_at_a_time() -> None:
    with SettableClock(MORNING) as clock:
        with pytest.raises(ConfigurationError, match='one at a time'):
            SettableClock().__enter__()
        captured = capture_evaluations(clock=clock)
        with pytest.raises(ConfigurationError, match='one at a time'):
            captured.__enter__()
    with captured:
        pass
    with clock:
        clock.advance(1)
    assert clock.now == MORNING + timedelta(seconds=1)
