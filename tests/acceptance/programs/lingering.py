"""A program whose thread outlives its main thread, and runs an agent only then."""

import asyncio
import sys
import threading

from pydantic_ai import Agent
from recording import CONFIG, MODEL, SlowSync

from pydantic_ai_assay import OnlineEvaluation, wait_for_evaluations

agent = Agent(MODEL, name='lingering', capabilities=[OnlineEvaluation(evaluators=[SlowSync()], config=CONFIG)])
main_has_ended = threading.Event()


async def run() -> None:
    await agent.run('hi')
    await wait_for_evaluations()


def serve() -> None:
    main_has_ended.wait()
    asyncio.run(run())


if sys.argv[1] == 'after a run':
    agent.run_sync('hi')
threading.Thread(target=serve).start()
threading._register_atexit(main_has_ended.set)  # pyright: ignore
