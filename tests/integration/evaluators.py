"""Evaluators that the tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import OnlineEvaluatorContext, RunRecord

Context = EvaluatorContext[Any, Any, Any]


def run_of(ctx: Context) -> RunRecord:
    assert isinstance(ctx, OnlineEvaluatorContext)
    return ctx.run


@dataclass
class NotEmpty(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: Context) -> bool:
        return bool(ctx.output)


@dataclass
class Calling(Evaluator[Any, Any, Any]):
    """Calls a function of the test in a worker thread."""

    function: Callable[[Context], Any]
    name: str = 'Calling'

    def get_default_evaluation_name(self) -> str:
        return self.name

    def evaluate(self, ctx: Context) -> Any:
        return self.function(ctx)


@dataclass
class Awaiting(Evaluator[Any, Any, Any]):
    """Awaits a coroutine function of the test on an event loop."""

    function: Callable[[Context], Any]
    name: str = 'Awaiting'

    def get_default_evaluation_name(self) -> str:
        return self.name

    async def evaluate(self, ctx: Context) -> Any:
        return await self.function(ctx)


async def score_one(ctx: Context) -> float:
    await asyncio.sleep(0)
    return 1.0
