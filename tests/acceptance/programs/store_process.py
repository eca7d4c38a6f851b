"""Agents judged in a process of its own, whose store is at `STORE`; how the process goes on is the argument."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Callable

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Contains

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation
from pydantic_ai_assay.store.store import Store

STORE = Store(os.environ['STORE'])
AGENT = Agent(
    TestModel(),
    name='assistant',
    capabilities=[
        OnlineEvaluation(
            evaluators=[Contains('success'), Contains('nonsense', evaluation_name='Nonsense')],
            config=OnlineEvalConfig(default_sink=STORE),
        )
    ],
)


def run_sync() -> None:
    """Runs, and then the end of the process."""
    for number in range(20):
        AGENT.run_sync('Hello', run_id=f'run-{number}')


def run_async() -> None:
    """The same in an event loop."""

    async def main() -> None:
        for number in range(20):
            await AGENT.run('Hello', run_id=f'run-{number}')

    asyncio.run(main())


def exit_sys() -> None:
    """The same, and `sys.exit`."""
    run_async()
    sys.exit(3)


def at_exit() -> None:
    """A count when no thread can be started any more."""
    atexit.register(STORE.count, 'skipped', 'Contains', 'f', 'assistant')


def endless() -> None:
    """Runs until the process is killed."""

    async def main() -> None:
        number = 0
        while True:
            await AGENT.run('Hello', run_id=f'run-{os.getpid()}-{number}')
            number += 1
            if number == 50:
                print('running', flush=True)

    asyncio.run(main())


def fork() -> None:
    """Runs before and after a fork, in both processes."""
    for number in range(3):
        AGENT.run_sync('Hello', run_id=f'before-{number}')
    STORE.count('skipped', 'Contains', 'f', 'assistant')
    child = os.fork()
    who = 'parent' if child else 'child'
    for number in range(3):
        AGENT.run_sync('Hello', run_id=f'{who}-{number}')
    if child:
        assert os.waitpid(child, 0)[1] == 0


HOW: dict[str, Callable[[], None]] = {
    'run_sync': run_sync,
    'asyncio.run': run_async,
    'sys.exit': exit_sys,
    'atexit': at_exit,
    'endless': endless,
    'fork': fork,
}
HOW[sys.argv[1]]()
