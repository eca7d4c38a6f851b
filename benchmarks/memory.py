"""Memory: what an evaluation that waits holds, and what runs leave behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import logfire
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import WrapRunHandler
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import RunContext
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from .child import measure_in_child
from .packages import PACKAGES, Package, Trivial, configure_logfire, make_agent
from .table import Row, Target

__all__ = ('measure', 'rows')

DOCUMENT = 1_000_000
WARM_UP = 5
BATCH = 50
BATCHES_OF_WARM_UP = 4
PATIENCE = 30


@dataclass
class Keep(AbstractCapability[Any]):
    """Holds results, as an application might: what an evaluation that waits cannot do without."""

    kept: list[AgentRunResult[Any]] = field(default_factory=list[AgentRunResult[Any]])

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent and keep what it returns."""
        result = await handler()
        self.kept.append(result)
        return result


@dataclass
class Blocked(Evaluator):
    """An asynchronous evaluator that waits until it is told otherwise."""

    def __post_init__(self) -> None:
        """Block."""
        self.started = 0
        self.released = asyncio.Event()

    async def evaluate(self, ctx: EvaluatorContext) -> bool:
        """Wait, then pass the run."""
        self.started += 1
        await self.released.wait()
        return True


def measure(*, what: str, **settings: int) -> dict[str, Any]:
    """Measure in this process, one subject after the other."""
    configure_logfire()
    return asyncio.run((_all_waiting if what == 'waiting' else _all_left_behind)(**settings))


async def _all_waiting(*, runs: int) -> dict[str, float]:
    return {'keep': await _waiting(None, runs), **{name: await _waiting(PACKAGES[name], runs) for name in PACKAGES}}


async def _all_left_behind(*, runs: int, traced: int) -> dict[str, dict[str, float]]:
    return {name: await _left_behind(PACKAGES[name], runs, traced) for name in PACKAGES}


async def _waiting(package: Package | None, runs: int) -> float:
    """Bytes held per run while its evaluation waits, or while its result is kept."""
    evaluator = Blocked()
    # Without room for all of them upstream would drop evaluations instead of letting them wait.
    capability = package.attach([evaluator], max_concurrency=10_000) if package is not None else Keep()
    agent = make_agent(capability, FunctionModel(_read_then_answer))
    documents = iter(range(1_000_000))

    @agent.tool_plain
    def read() -> str:
        return f'{next(documents):010d}' * (DOCUMENT // 10)

    async def run(number: int, expected: int) -> None:
        await agent.run(f'Question {number}')
        if package is not None:
            await _until(lambda: evaluator.started == expected)

    for number in range(WARM_UP):
        await run(number, number + 1)
    gc.collect()
    tracemalloc.start()
    for number in range(runs):
        await run(number, WARM_UP + number + 1)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    evaluator.released.set()
    if package is not None:
        await package.wait_for_evaluations(timeout=PATIENCE)
    return held / runs


def _read_then_answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if len(messages) == 1:
        return ModelResponse(parts=[ToolCallPart('read', {})])
    return ModelResponse(parts=[TextPart('It is long.')])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def _left_behind(package: Package, runs: int, traced: int) -> dict[str, float]:
    """Memory that has grown per run when all is over, each run having started a task whose span ended after it."""
    agent = make_agent(package.attach([Trivial()], max_concurrency=10_000))
    late = LateTasks()
    agent.instructions(late.start)

    async def run_batch() -> None:
        for _ in range(BATCH):
            await agent.run('How are you?')
        await late.end()
        await package.wait_for_evaluations(timeout=PATIENCE)
        gc.collect()

    async def blocks_per_run() -> float:
        before = sys.getallocatedblocks()
        await run_batch()
        return (sys.getallocatedblocks() - before) / BATCH

    async def bytes_per_run() -> float:
        before = tracemalloc.get_traced_memory()[0]
        await run_batch()
        return (tracemalloc.get_traced_memory()[0] - before) / BATCH

    for _ in range(BATCHES_OF_WARM_UP):
        await run_batch()
    # What is there by now stays, and need not be walked after every batch.
    gc.freeze()
    blocks = [await blocks_per_run() for _ in range(runs // BATCH)]
    tracemalloc.start()
    # What is replaced in steady state looks like growth until all of it has been traced.
    for _ in range(BATCHES_OF_WARM_UP):
        await run_batch()
    held = [await bytes_per_run() for _ in range(traced // BATCH)]
    tracemalloc.stop()
    gc.unfreeze()
    # A cache or a table of the interpreter that grows does so in few of the batches; what leaks does in all of them.
    return {'bytes': median(held), 'blocks': median(blocks)}


class LateTasks:
    """Tasks that runs start, and whose spans end when the runs have long returned."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._may_end = asyncio.Event()

    async def start(self) -> str:
        """Start one; its span begins before the run goes on."""
        has_begun = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._run(has_begun)))
        await has_begun.wait()
        return 'Answer.'

    async def end(self) -> None:
        """Let all of them end."""
        self._may_end.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        self._may_end.clear()

    async def _run(self, has_begun: asyncio.Event) -> None:
        with logfire.span('late'):
            has_begun.set()
            await self._may_end.wait()


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    return [_waiting_row(quick=quick), *_left_behind_rows(quick=quick)]


def _waiting_row(*, quick: bool) -> Row:
    measured = measure_in_child('memory', what='waiting', runs=10 if quick else 50)
    held = {subject: bytes_held / 1e6 for subject, bytes_held in measured.items()}
    ours, upstream = (held[name] - held['keep'] for name in PACKAGES)
    return Row(
        measure='memory per waiting evaluation of a run with a 1 MB tool result, beyond what the result itself holds',
        ours=ours,
        upstream=upstream,
        unit='MB',
        ratio=ours / upstream,
        target=Target(of='ratio', must=0.3, aim=0.1),
        remark=f'the result itself holds {held["keep"]:.2f} MB',
    )


def _left_behind_rows(*, quick: bool) -> list[Row]:
    runs, traced = (300, 100) if quick else (20_000, 1000)
    left = measure_in_child('memory', what='left_behind', runs=runs, traced=traced)
    # "Nothing" in figures: any object kept per run would be a block at least, and what refers to it some more bytes.
    return [
        Row(
            measure='memory left behind per run with a background task whose span ends late',
            ours=left['ours']['bytes'],
            upstream=left['upstream']['bytes'],
            unit='B',
            target=Target(of='ours', must=100),
            remark=f'median of batches of {BATCH}, over {traced:,} runs',
        ),
        Row(
            measure='memory blocks left behind per such run',
            ours=left['ours']['blocks'],
            upstream=left['upstream']['blocks'],
            target=Target(of='ours', must=0.5),
            remark=f'median of batches of {BATCH}, over {runs:,} runs',
        ),
    ]
