"""What the programs share: an evaluator that takes its time, and a sink that appends to a file."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import OnlineEvalConfig, SinkPayload

SCORES = Path(os.environ['SCORES'])


@dataclass
class Slow(Evaluator[Any, Any, Any]):
    seconds: float = 0.05

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        await asyncio.sleep(self.seconds)
        # Name look-up goes through the loop's thread pool, which must still work when the process is ending.
        await asyncio.get_running_loop().getaddrinfo('localhost', 80)
        return True


@dataclass
class SlowSync(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return bool(ctx.output)


class FileSink:
    async def submit(self, payload: SinkPayload) -> None:
        with SCORES.open('a') as file:
            for result in payload.results:
                file.write(f'{payload.run.run_id} {result.name} {result.value}\n')


CONFIG = OnlineEvalConfig(default_sink=FileSink())


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart('hello')])


MODEL = FunctionModel(answer)
