"""Agents and their evaluators on event loops that stand still, go on, take turns, and are closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Collected, Gate
from evaluators import Awaiting, Calling, Context
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, wait_for_evaluations
from pydantic_ai_assay.execution import background
from pydantic_ai_assay.execution.pipeline import PIPELINE

BOUND = 10.0
TAKEOVER = 'assay-takeover'


def evaluating(
    sink: Collected, *evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, model: Any = None, **settings: Any
) -> Agent:
    return Agent(
        TestModel(custom_output_text='hello') if model is None else model,
        name='judged',
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(default_sink=sink, **settings))],
    )


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an event loop waits for nothing. What other tests have set would count as well: the longest wins."""
    monkeypatch.setattr(PIPELINE.executor, 'shutdown_timeout', 0.0)


def all_ended() -> bool:
    return PIPELINE.executor.wait_idle(BOUND)


def here() -> str:
    return threading.current_thread().name


class Ticking:
    """An evaluator that keeps the loop it is on going round until it is told to end, and counts that in our thread."""

    def __init__(self) -> None:
        self.ticks = 0
        self.is_ending = False
        self.is_ticking = threading.Event()
        self.evaluator = Awaiting(self.tick, 'ticking')

    async def tick(self, ctx: Context) -> str:
        while not self.is_ending:
            if here() == TAKEOVER:
                self.ticks += 1
                self.is_ticking.set()
            await asyncio.sleep(0.0001)
        return here()


@pytest.mark.usefixtures('loop_of_run_sync')
def test_while_an_agent_runs_the_loop_that_takes_over_stands_still(collected: Collected) -> None:
    ticking = Ticking()
    during: list[int] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        before = ticking.ticks
        threading.Event().wait(0.02)
        during.append(ticking.ticks - before)
        return ModelResponse(parts=[TextPart('hello')])

    agent = evaluating(collected, ticking.evaluator, model=FunctionModel(answer))
    agent.run_sync('hi')
    assert ticking.is_ticking.wait(BOUND)
    for _ in range(3):
        agent.run_sync('hi')
        ticking.is_ticking.clear()
        assert ticking.is_ticking.wait(BOUND), 'it does not go on after the run'
    assert during == [0, 0, 0, 0]
    ticking.is_ending = True
    assert all_ended()
    assert [result.value for result in collected.results] == [TAKEOVER] * 4


@pytest.mark.usefixtures('loop_of_run_sync')
def test_an_evaluator_that_holds_the_loop_that_takes_over_holds_no_run_for_long(
    collected: Collected, gate: Gate
) -> None:
    """It would have to give way, and cannot: after a quarter of a second the run starts all the same."""
    holding = threading.Event()

    async def hold(ctx: Context) -> str:
        holding.set()
        gate.pass_sync()
        return here()

    agent = evaluating(collected, Awaiting(hold))
    agent.run_sync('hi')
    assert holding.wait(BOUND)
    assert agent.run_sync('hi').output == 'hello'
    assert collected.payloads == []
    gate.open()
    agent.run_sync('hi')
    assert all_ended()
    assert TAKEOVER in [result.value for result in collected.results]
    assert len(collected.results) == 3


@pytest.mark.usefixtures('ends_at_once')
def test_a_run_that_did_not_wait_any_longer_may_be_gone_with_its_loop(collected: Collected, gate: Gate) -> None:
    """The loop that takes over stands still only after the loop that waited for it was closed."""
    holding = threading.Event()

    async def hold(ctx: Context) -> str:
        if here() != TAKEOVER:
            await asyncio.get_running_loop().create_future()
        holding.set()
        gate.pass_sync()
        return here()

    agent = evaluating(collected, Awaiting(hold), shutdown_timeout=0)
    asyncio.run(agent.run('hi'))
    assert holding.wait(BOUND)
    asyncio.run(agent.run('hi'))
    gate.open()
    assert all_ended()
    asyncio.run(agent.run('hi'))
    assert all_ended()
    assert [result.value for result in collected.results] == [TAKEOVER] * 3


@pytest.mark.usefixtures('ends_at_once')
def test_with_agents_on_several_loops_none_stands_still(collected: Collected) -> None:
    """They share no client between loops that run at once, or they would fail already."""
    ticking = Ticking()
    agent = evaluating(collected, ticking.evaluator, shutdown_timeout=0)
    asyncio.run(agent.run('hi'))
    assert ticking.is_ticking.wait(BOUND)
    both = threading.Barrier(2)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        both.wait(BOUND)
        ticking.is_ticking.clear()
        assert ticking.is_ticking.wait(BOUND)
        both.wait(BOUND)
        return ModelResponse(parts=[TextPart('hello')])

    plain = Agent(FunctionModel(answer), capabilities=[OnlineEvaluation(evaluators=[])])
    outputs: list[str] = []
    threads = [threading.Thread(target=lambda: outputs.append(asyncio.run(plain.run('hi')).output)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * BOUND)
    assert outputs == ['hello', 'hello']
    ticking.is_ending = True
    assert all_ended()


@pytest.mark.usefixtures('loop_of_run_sync')
def test_an_agent_that_does_not_stop_running_keeps_no_evaluation_from_going_on(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken over goes back to the loop that runs: there, too, a shared client is used from one loop."""
    monkeypatch.setattr(background, 'HELD_TOO_LONG', 0.05)
    is_judged = threading.Event()
    places: list[str] = []

    async def judge(ctx: Context) -> str:
        places.append(here())
        if len(places) == 1:
            taken_over.set()
            await asyncio.get_running_loop().create_future()
        is_judged.set()
        return here()

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        while not is_judged.is_set():
            await asyncio.sleep(0.001)
        return ModelResponse(parts=[TextPart('hello')])

    taken_over = threading.Event()
    evaluating(collected, Awaiting(judge)).run_sync('hi')
    assert taken_over.wait(BOUND)
    busy = Agent(FunctionModel(answer), capabilities=[OnlineEvaluation(evaluators=[])])
    assert busy.run_sync('hi').output == 'hello'
    assert all_ended()
    assert places == [TAKEOVER, 'MainThread']


@pytest.mark.usefixtures('loop_of_run_sync')
@pytest.mark.parametrize('error', [SystemExit, KeyboardInterrupt])
def test_a_task_of_an_evaluator_that_ends_the_process_ends_itself(
    collected: Collected, error: type[BaseException]
) -> None:
    """asyncio lets it through to the thread of the loop, which goes on for the others."""

    async def leave() -> None:
        raise error

    async def judge(ctx: Context) -> bool:
        await asyncio.create_task(leave())
        return True

    async def other(ctx: Context) -> str:
        await asyncio.sleep(0.001)
        return here()

    evaluating(collected, Awaiting(judge, 'leaving'), Awaiting(other, 'other')).run_sync('hi')
    assert all_ended()
    assert collected.values == {'other': TAKEOVER}
    assert [(failure.name, failure.error_type) for failure in collected.failures] == [('leaving', error.__name__)]


@pytest.mark.usefixtures('ends_at_once')
def test_a_run_that_is_cancelled_while_it_waits_for_the_standstill(collected: Collected, gate: Gate) -> None:
    holding = threading.Event()

    async def hold(ctx: Context) -> str:
        if here() != TAKEOVER:
            await asyncio.get_running_loop().create_future()
        holding.set()
        gate.pass_sync()
        return here()

    agent = evaluating(collected, Awaiting(hold), shutdown_timeout=0)
    asyncio.run(agent.run('hi'))
    assert holding.wait(BOUND)

    async def begin_and_cancel() -> None:
        task = asyncio.create_task(agent.run('hi'))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(begin_and_cancel())
    gate.open()
    assert all_ended()
    asyncio.run(agent.run('hi'))
    assert all_ended()
    assert [result.value for result in collected.results] == [TAKEOVER] * 2


class Elsewhere:
    """An evaluator that hangs on the loop it is started on first, and answers on any other."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.first: asyncio.AbstractEventLoop | None = None
        self.cancelled = 0
        self.evaluator = Awaiting(self.judge, 'elsewhere')

    async def judge(self, ctx: Context) -> str:
        if self.first is None:
            self.first = asyncio.get_running_loop()
            self.begun.set()
            try:
                await self.first.create_future()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return here()


def begin(agent: Agent, elsewhere: Elsewhere, loop: asyncio.AbstractEventLoop) -> None:
    """Run an agent on a loop that then stands still in the middle of its evaluation."""

    async def main() -> None:
        await agent.run('hi')
        await elsewhere.begun.wait()

    loop.run_until_complete(main())


def test_an_evaluation_whose_loop_stands_still_is_taken_over(
    collected: Collected, loop: asyncio.AbstractEventLoop
) -> None:
    elsewhere = Elsewhere()
    begin(evaluating(collected, elsewhere.evaluator), elsewhere, loop)
    assert all_ended()
    assert [result.value for result in collected.results] == [TAKEOVER]
    assert [outcome.attempts for outcome in collected.outcomes] == [2]
    assert elsewhere.cancelled == 0
    # When the loop goes on, what it was in the middle of is cancelled and counts no more.
    loop.run_until_complete(asyncio.sleep(0.001))
    assert elsewhere.cancelled == 1
    assert len(collected.outcomes) == 1


def test_an_evaluation_whose_loop_was_closed_is_taken_over(
    collected: Collected, loop: asyncio.AbstractEventLoop
) -> None:
    elsewhere = Elsewhere()
    begin(evaluating(collected, elsewhere.evaluator), elsewhere, loop)
    loop.close()
    assert all_ended()
    assert [result.value for result in collected.results] == [TAKEOVER]


def test_evaluations_of_a_loop_that_is_closed_before_they_start(
    collected: Collected, loop: asyncio.AbstractEventLoop
) -> None:
    async def where(ctx: Context) -> str:
        return here()

    loop.run_until_complete(evaluating(collected, Calling(lambda ctx: here(), 'sync'), Awaiting(where)).run('hi'))
    loop.close()
    assert all_ended()
    assert collected.values == {'sync': 'assay-worker', 'Awaiting': TAKEOVER}


@pytest.mark.usefixtures('loop_of_run_sync')
def test_run_sync_again_and_again_with_an_evaluation_in_flight(collected: Collected, gate: Gate) -> None:
    """Each time the loop goes on it may take the evaluation further, or find that it was taken over."""
    arrived = threading.Event()

    async def judge(ctx: Context) -> str:
        arrived.set()
        await gate.pass_async()
        return 'judged'

    agent = evaluating(collected, Awaiting(judge))
    agent.run_sync('hi')
    assert arrived.wait(BOUND)
    for _ in range(10):
        agent.run_sync('hi')
    gate.open()
    assert all_ended()
    assert [result.value for result in collected.results] == ['judged'] * 11


def conflicting(times: int, started: list[str]) -> Awaiting:
    """An evaluator whose client says so many times that it belongs to another loop."""

    async def judge(ctx: Context) -> int:
        started.append(here())
        if len(started) <= times:
            raise RuntimeError('<asyncio.locks.Event object> is bound to a different event loop')
        return len(started)

    return Awaiting(judge, 'conflicting')


@pytest.mark.anyio
async def test_an_evaluation_that_met_a_client_of_another_loop_starts_anew(collected: Collected) -> None:
    started: list[str] = []
    await evaluating(collected, conflicting(12, started)).run('hi')
    await wait_for_evaluations()
    assert [(outcome.status, outcome.attempts) for outcome in collected.outcomes] == [('scored', 13)]


@pytest.mark.anyio
async def test_a_conflict_that_stays_is_a_failure(collected: Collected) -> None:
    started: list[str] = []
    await evaluating(collected, conflicting(13, started)).run('hi')
    await wait_for_evaluations()
    assert [(outcome.status, outcome.attempts) for outcome in collected.outcomes] == [('failed', 13)]
    assert 'different event loop' in collected.failures[0].error_message


def test_ctrl_c_in_an_evaluator_on_the_main_threads_loop_ends_that_loop(collected: Collected) -> None:
    """As it would in any other task of the application."""

    async def interrupt(ctx: Context) -> bool:
        raise KeyboardInterrupt

    agent = evaluating(collected, Awaiting(interrupt))

    async def main() -> None:
        await agent.run('hi')
        await asyncio.get_running_loop().create_future()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert all_ended()
    assert [failure.error_type for failure in collected.failures] == ['KeyboardInterrupt']
