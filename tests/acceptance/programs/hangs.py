"""A program whose evaluators never end. It ends all the same, and says what it left."""

import asyncio
import atexit
import sys
import threading
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Agent
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from recording import MODEL

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, stats


@dataclass
class Hang(Evaluator[Any, Any, Any]):
    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        await asyncio.Event().wait()
        return True


@dataclass
class HangInThread(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return threading.Event().wait()


how = sys.argv[1]
evaluator = OnlineEvaluator(evaluator=HangInThread() if how == 'sync evaluator' else Hang(), max_concurrency=2)
config = OnlineEvalConfig(shutdown_timeout=0 if how == 'at once' else 0.5)
agent = Agent(MODEL, name='hanging', capabilities=[OnlineEvaluation(evaluators=[evaluator], config=config)])
atexit.register(lambda: print(dict(stats().by_status)))


async def four_runs() -> None:
    await asyncio.gather(*(agent.run('hi') for _ in range(4)))


if how == 'asyncio.run':
    asyncio.run(agent.run('hi'))
elif how == 'waiting':
    asyncio.run(four_runs())
else:
    agent.run_sync('hi')
