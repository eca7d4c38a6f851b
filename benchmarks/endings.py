"""Programs that end right after their runs: `python -m benchmarks.endings ENDING PACKAGE FILE`.

A sink appends the id of each run that was evaluated to the file.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Agent
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from pydantic_evals.online import SinkPayload

from .packages import PACKAGES, make_agent

__all__ = ('ENDINGS', 'EXIT_CODE', 'RUNS', 'SERVED', 'THREADS')

RUNS = 5
THREADS = 20
SERVED = 50
EXIT_CODE = 3
SECONDS = 0.2
SECONDS_UNDER_SERVER = 1.0


@dataclass
class Slow(Evaluator):
    """An asynchronous evaluator that takes its time."""

    seconds: float

    async def evaluate(self, ctx: EvaluatorContext) -> bool:
        """Wait, then pass the run."""
        # A trio loop never sees this evaluator: agents run on asyncio, under trio in a thread.
        await asyncio.sleep(self.seconds)
        return True


class FileSink:
    """Appends the id of each evaluated run to a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def submit(self, payload: SinkPayload) -> None:
        """Append one line."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f'{payload.context.name}\n'.encode())
        finally:
            os.close(descriptor)


def run_sync(agent: Agent[None, str]) -> None:
    """`run_sync`, again and again, then the end of main."""
    for number in range(RUNS):
        agent.run_sync(f'Question {number}')


def asyncio_run(agent: Agent[None, str]) -> None:
    """`asyncio.run` of some runs, then the end of main."""
    asyncio.run(_run_some(agent))


def threads(agent: Agent[None, str]) -> None:
    """Threads that live for one `run_sync` each."""
    for number in range(THREADS):
        thread = threading.Thread(target=agent.run_sync, args=(f'Question {number}',))
        thread.start()
        thread.join()


def sys_exit(agent: Agent[None, str]) -> None:
    """`sys.exit` in the coroutine that awaited the runs."""

    async def main() -> None:
        await _run_some(agent)
        sys.exit(EXIT_CODE)

    asyncio.run(main())


def sigterm(agent: Agent[None, str]) -> None:
    """Serve over uvicorn until SIGTERM."""
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        result = await agent.run('How are you?')
        headers = [(b'content-type', b'text/plain'), (b'content-length', str(len(result.output)).encode())]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        await send({'type': 'http.response.body', 'body': result.output.encode()})

    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen(128)
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, lifespan='off', log_level='warning')).run(sockets=[listener])


def trio(agent: Agent[None, str]) -> None:
    """Agents in threads of a trio program."""
    import trio

    async def main() -> None:
        for number in range(RUNS):
            await trio.to_thread.run_sync(agent.run_sync, f'Question {number}')

    trio.run(main)


async def _run_some(agent: Agent[None, str]) -> None:
    for number in range(RUNS):
        await agent.run(f'Question {number}')


ENDINGS: dict[str, Callable[[Agent[None, str]], None]] = {
    'run_sync': run_sync,
    'asyncio.run': asyncio_run,
    'threads': threads,
    'sys.exit': sys_exit,
    'SIGTERM': sigterm,
    'trio': trio,
}

if __name__ == '__main__':
    ending, package, path = sys.argv[1:]
    chosen = PACKAGES[package]
    evaluator = Slow(seconds=SECONDS_UNDER_SERVER if ending == 'SIGTERM' else SECONDS)
    ENDINGS[ending](
        make_agent(
            chosen.online_evaluation(
                evaluators=[evaluator], config=chosen.online_eval_config(default_sink=FileSink(path))
            )
        )
    )
