"""A program that ends right after its runs, in the way its argument says."""

import asyncio
import sys
import threading

from pydantic_ai import Agent
from recording import CONFIG, MODEL, Slow, SlowSync

from pydantic_ai_assay import OnlineEvaluation

agent = Agent(MODEL, name='ending', capabilities=[OnlineEvaluation(evaluators=[Slow(), SlowSync()], config=CONFIG)])


async def five_runs() -> None:
    await asyncio.gather(*(agent.run('hi') for _ in range(5)))


def in_threads(count: int) -> None:
    for _ in range(count):
        thread = threading.Thread(target=agent.run_sync, args=('hi',))
        thread.start()
        thread.join()


def run_sync() -> None:
    for _ in range(5):
        agent.run_sync('hi')


def in_trio() -> None:
    import trio

    async def runs() -> None:
        for _ in range(5):
            await trio.to_thread.run_sync(agent.run_sync, 'hi')

    trio.run(runs)


def exit_afterwards() -> None:
    asyncio.run(five_runs())
    sys.exit(3)


def exit_inside() -> None:
    async def runs() -> None:
        await five_runs()
        sys.exit(3)

    asyncio.run(runs())


def fail() -> None:
    agent.run_sync('hi')
    raise RuntimeError('main failed')


def several_loops() -> None:
    asyncio.run(five_runs())
    asyncio.run(five_runs())
    agent.run_sync('hi')


WAYS = {
    'run_sync': run_sync,
    'asyncio.run': lambda: asyncio.run(five_runs()),
    'threads': lambda: in_threads(15),
    'trio': in_trio,
    'sys.exit': exit_afterwards,
    'sys.exit inside': exit_inside,
    'exception': fail,
    'several loops': several_loops,
}

WAYS[sys.argv[1]]()
