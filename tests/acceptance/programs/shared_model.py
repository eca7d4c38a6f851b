"""An agent and a judge that share one model object, used in the way the argument says. Counts the agent's failures."""

import asyncio
import os
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from recording import CONFIG

from pydantic_ai_assay import OnlineEvaluation

model = OpenAIChatModel('gpt-test', provider=OpenAIProvider(base_url=os.environ['BASE_URL'], api_key='not-a-key'))
judge_agent = Agent(model, name='judge')


@dataclass
class HttpJudge(Evaluator[Any, Any, Any]):
    calls: int = 2

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        answers = [(await judge_agent.run('Is it fine?')).output for _ in range(self.calls)]
        return set(answers) == {'fine'}


agent = Agent(model, name='judged', capabilities=[OnlineEvaluation(evaluators=[HttpJudge()], config=CONFIG)])
failures = 0
pause = threading.Event().wait


def run_sync() -> None:
    global failures
    try:
        agent.run_sync('hi')
    except Exception:
        failures += 1
        traceback.print_exc()


async def run() -> None:
    global failures
    try:
        await agent.run('hi')
    except Exception:
        failures += 1
        traceback.print_exc()


def in_a_row(rounds: int) -> None:
    for _ in range(rounds):
        run_sync()


def with_pauses(rounds: int) -> None:
    for number in range(rounds):
        run_sync()
        # The user thinks: sometimes long enough for the judge to be taken over, and to be in the middle of it.
        pause((number % 7) * 0.025)


def in_loops(rounds: int) -> None:
    for _ in range(rounds):
        asyncio.run(run())


def in_one_loop(rounds: int) -> None:
    async def runs() -> None:
        for _ in range(rounds // 5):
            await asyncio.gather(*(run() for _ in range(5)))

    asyncio.run(runs())


def in_threads(rounds: int) -> None:
    for number in range(rounds):
        thread = threading.Thread(target=run_sync)
        thread.start()
        thread.join()
        pause((number % 5) * 0.025)


def mixed(rounds: int) -> None:
    for number in range(rounds):
        if number % 2:
            asyncio.run(run())
        else:
            run_sync()
        pause((number % 3) * 0.04)


WAYS = {
    'run_sync': in_a_row,
    'run_sync with pauses': with_pauses,
    'asyncio.run': in_loops,
    'one loop': in_one_loop,
    'threads': in_threads,
    'mixed': mixed,
}

WAYS[sys.argv[1]](int(sys.argv[2]))
print(f'failures={failures}', file=sys.stderr)
