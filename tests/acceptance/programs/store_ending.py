"""A process that ends while runs wait; how is the first argument, and its stores are at the others."""

from __future__ import annotations

import asyncio
import atexit
import multiprocessing
import os
import sys
from collections.abc import Callable

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Contains

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation
from pydantic_ai_assay.store.store import Store

STORES = [Store(url) for url in sys.argv[2:]]


def judged(number: int) -> None:
    """Runs of an agent, a few for each store."""
    for store in STORES:
        config = OnlineEvalConfig(default_sink=store)
        judged = OnlineEvaluation(evaluators=[Contains('success')], config=config)
        agent = Agent(TestModel(), name='assistant', capabilities=[judged])
        for each in range(number):
            agent.run_sync('Hello', run_id=f'run-{os.getpid()}-{each}')


def ends() -> None:
    """Runs, and the end of the process."""
    judged(5)


def ends_late() -> None:
    """Counts that come when no thread can be started any more."""
    for store in STORES:
        atexit.register(store.count, 'skipped', 'Contains', 'f', 'assistant')


def in_children(method: str) -> None:
    """Runs in the children of `multiprocessing`, whose end is one of its own."""
    multiprocessing.set_start_method(method)
    children = [multiprocessing.Process(target=judged, args=(3,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0


def forks() -> None:
    """The parent has judged runs, which still wait."""
    judged(3)
    in_children('fork')


async def used() -> None:
    """All at once, in an event loop, with the file not there yet."""
    (store,) = STORES
    print('ready', flush=True)
    sys.stdin.readline()
    store.add_feedback('helpful', True, run_id=f'run-{os.getpid()}-0')
    config = OnlineEvalConfig(default_sink=store)
    judged = OnlineEvaluation(evaluators=[Contains('success')], config=config)
    agent = Agent(TestModel(), name='assistant', capabilities=[judged])
    await asyncio.gather(*(agent.run('Hello', run_id=f'run-{os.getpid()}-{each}') for each in range(50)))


HOW: dict[str, Callable[[], object]] = {
    'ends': ends,
    'ends late': ends_late,
    'fork': lambda: in_children('fork'),
    'spawn': lambda: in_children('spawn'),
    'forkserver': lambda: in_children('forkserver'),
    'forks': forks,
    'first': lambda: asyncio.run(used()),
}
if __name__ == '__main__':
    HOW[sys.argv[1]]()
