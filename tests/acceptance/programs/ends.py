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


def main(how: str) -> None:
    if how == 'run_sync':
        for _ in range(5):
            agent.run_sync('hi')
    elif how == 'asyncio.run':
        asyncio.run(five_runs())
    elif how == 'threads':
        in_threads(15)
    elif how == 'trio':
        import trio

        async def runs() -> None:
            for _ in range(5):
                await trio.to_thread.run_sync(agent.run_sync, 'hi')

        trio.run(runs)
    elif how == 'sys.exit':
        asyncio.run(five_runs())
        sys.exit(3)
    elif how == 'sys.exit inside':

        async def runs() -> None:
            await five_runs()
            sys.exit(3)

        asyncio.run(runs())
    elif how == 'exception':
        agent.run_sync('hi')
        raise RuntimeError('main failed')
    elif how == 'several loops':
        asyncio.run(five_runs())
        asyncio.run(five_runs())
        agent.run_sync('hi')
    else:
        raise SystemExit(f'unknown way to end: {how}')


main(sys.argv[1])
