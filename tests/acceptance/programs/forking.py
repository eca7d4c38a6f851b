"""A program that forks, in the way its argument says. Each evaluation leaves the process it happened in, and its run's."""

import asyncio
import gc
import multiprocessing
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, cast

from pydantic_ai import Agent, _uuid
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from recording import MODEL, SCORES

from pydantic_ai_assay import (
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    SinkPayload,
    evaluate,
    stats,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE
from pydantic_ai_assay.testing import capture_evaluations

# pydantic-ai 2.62 makes its run ids under a lock that it does not renew in a child.
os.register_at_fork(after_in_child=lambda: setattr(_uuid, '_lock_v7', threading.Lock()))
# Nor does Python 3.11 those of its cached properties, of which pydantic-ai has some.
LOCKED: list[Any] = [each for each in gc.get_objects() if isinstance(each, cached_property) and 'lock' in vars(each)]


def unlock() -> None:
    for each in LOCKED:
        each.lock = threading.RLock()


os.register_at_fork(after_in_child=unlock)
# Python 3.12 and later warn of forking with threads, which is what this is about.
warnings.filterwarnings('ignore', 'This process', DeprecationWarning)

FILE = os.open(SCORES, os.O_WRONLY | os.O_APPEND)


class AppendingSink:
    """Appends lines that processes do not write into each other's."""

    async def submit(self, payload: SinkPayload) -> None:
        inputs = payload.run.inputs
        known_by: object = cast('dict[str, object]', inputs)['parent'] if isinstance(inputs, dict) else inputs
        for result in payload.results:
            line = f'{os.getpid()} {result.name} {known_by} {payload.run.run_id}\n'
            os.write(FILE, line.encode())
        for failure in payload.failures:
            say('failed', failure)


@dataclass
class Brief(Evaluator[Any, Any, Any]):
    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        await asyncio.sleep(0.002)
        # The judge's thread pool is one of the process.
        return await asyncio.to_thread(lambda: True)


@dataclass
class BriefSync(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return not threading.Event().wait(0.001)


CONFIG = OnlineEvalConfig(default_sink=AppendingSink(), shutdown_timeout=60)
EVALUATORS = [
    # So few that most of them wait at any moment, and that a child which took over what ran would never start one.
    OnlineEvaluator(evaluator=Brief(), max_concurrency=2),
    OnlineEvaluator(evaluator=BriefSync(), max_concurrency=2),
]
agent = Agent(MODEL, name='forking', capabilities=[OnlineEvaluation(evaluators=EVALUATORS, config=CONFIG)])


async def runs(count: int) -> None:
    await asyncio.gather(*(agent.run(str(os.getpid())) for _ in range(count)))


def say(*words: object) -> None:
    os.write(1, f'{" ".join(map(str, words))}\n'.encode())


def in_child(work: Callable[[], None], end: Callable[[int], NoReturn] = sys.exit) -> int:
    """Do something in a forked child."""
    pid = os.fork()
    if pid:
        return pid
    if PIPELINE.pending() or stats().by_status:
        say('inherited', stats())
    work()
    return end(0)


def succeeded(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] == 0


def three_runs() -> None:
    asyncio.run(runs(3))
    say('ran', os.getpid(), 3)


def three_runs_without_a_loop() -> None:
    for _ in range(3):
        agent.run_sync(str(os.getpid()))
    say('ran', os.getpid(), 3)


def three_runs_and_wait() -> None:
    async def main() -> None:
        await runs(3)
        assert await wait_for_evaluations() == ()

    asyncio.run(main())
    assert stats().by_status == {'scored': 6}
    say('ran', os.getpid(), 3)


def under_load() -> None:
    """Fork again and again while threads submit runs."""
    is_ending = threading.Event()
    ran: Counter[int] = Counter()

    def submit(number: int) -> None:
        while not is_ending.is_set():
            asyncio.run(runs(2))
            ran[number] += 2

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while len(ran) < len(threads):
        threading.Event().wait(0.001)
    children: list[int] = []
    for number in range(20):
        if number % 4 == 3:
            # Not `os._exit`: what measures coverage saves there, under a lock that a thread of the parent may have held.
            children.append(in_child(three_runs_and_wait))
        elif number % 4 == 1:
            children.append(in_child(three_runs_without_a_loop))
        else:
            children.append(in_child(three_runs))
        # Between forks the threads go on.
        before = ran.total()
        while ran.total() == before:
            threading.Event().wait(0.001)
    is_ending.set()
    for thread in threads:
        thread.join()
    assert all(map(succeeded, children))
    say('ran', os.getpid(), ran.total())


def from_a_thread() -> None:
    """Fork in another thread than the main one, which is the child's only one."""
    asyncio.run(runs(2))
    children: list[int] = []

    def fork() -> None:
        children.append(in_child(three_runs_and_wait, os._exit))

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    assert succeeded(children[0])
    say('ran', os.getpid(), 2)


def of_a_child() -> None:
    """Fork in a child, and go on with the threads of the parent when the children have ended."""

    def fork_again() -> None:
        three_runs()
        assert succeeded(in_child(three_runs))

    def three_runs_on_a_loop_that_stands_still() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(runs(3))
        assert PIPELINE.executor.wait_idle(60)
        loop.close()

    three_runs_on_a_loop_that_stands_still()
    assert succeeded(in_child(fork_again))
    three_runs_on_a_loop_that_stands_still()
    say('ran', os.getpid(), 6)


def processes() -> None:
    """Start processes of multiprocessing, one by one and in a pool."""
    asyncio.run(runs(2))
    context = multiprocessing.get_context('fork')
    started = [context.Process(target=three_runs) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    pool = context.Pool(2)
    pool.apply(three_runs_and_wait)
    # Not `terminate`: where a program handles SIGTERM, as one whose coverage is measured does, a worker may miss the signal
    # that comes just before it waits.
    pool.close()
    pool.join()
    say('ran', os.getpid(), 2)


def in_the_middle() -> None:
    """Fork in a function, from which both the parent and the child return."""

    @evaluate(*EVALUATORS, config=CONFIG)
    def fork(parent: int) -> int:
        return os.fork()

    parent = os.getpid()
    pid = fork(parent)
    if not pid:
        assert PIPELINE.pending() == ()
        assert stats().by_status == {}
        three_runs_and_wait()
        os._exit(0)
    assert succeeded(pid)
    say('ran', parent, 1)


def in_a_block() -> None:
    """Fork in a test's block, with evaluations of the parent that have not ended."""
    with capture_evaluations(call_sinks=True) as captured:
        asyncio.run(runs(2))
        pid = os.fork()
        if not pid:
            assert captured.outcomes == []
            three_runs()
            captured.wait(timeout=60)
            assert len(captured.outcomes) == 6
            os._exit(0)
        assert succeeded(pid)
        captured.wait(timeout=60)
        assert len(captured.outcomes) == 4
    say('ran', os.getpid(), 2)


def in_a_tool() -> None:
    """Fork in a tool, in which the child runs agents of its own and ends."""

    def call_a_tool(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        for part in messages[-1].parts:
            if isinstance(part, ToolReturnPart):
                return ModelResponse(parts=[TextPart(str(part.content))])
        return ModelResponse(parts=[ToolCallPart('fork')])

    outer = Agent(
        FunctionModel(call_a_tool),
        name='outer',
        capabilities=[OnlineEvaluation(evaluators=EVALUATORS, config=CONFIG)],
    )

    @outer.tool_plain
    async def fork() -> bool:
        return succeeded(in_child(three_runs_and_wait, os._exit))

    async def main() -> str:
        # Evaluations that have begun on this very loop when it forks, and some that wait.
        await runs(3)
        await asyncio.sleep(0.002)
        return (await outer.run(str(os.getpid()))).output

    assert asyncio.run(main()) == 'True'
    say('ran', os.getpid(), 4)


WAYS = {
    'under load': under_load,
    'from a thread': from_a_thread,
    'of a child': of_a_child,
    'processes': processes,
    'in the middle': in_the_middle,
    'in a block': in_a_block,
    'in a tool': in_a_tool,
}

WAYS[sys.argv[1]]()
