"""An agent in a workflow of Temporal. Its module is imported anew in the sandbox of each workflow."""

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic_ai import Agent
    from pydantic_ai.durable_exec.temporal import TemporalDurability
    from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel
    from pydantic_evals.evaluators import Evaluator, EvaluatorContext


with nullcontext() if os.environ.get('IN_SANDBOX') else workflow.unsafe.imports_passed_through():
    from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, SinkPayload, run_of

SCORES = Path(os.environ['SCORES'])


@dataclass
class Quick(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        run = run_of(ctx)
        return ctx.output == {'text': '42'} and run.tools_called == ('look_up', 'final_result') and run.deps is None


@dataclass
class Careful(Evaluator[Any, Any, Any]):
    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> float:
        return ctx.duration


class FileSink:
    async def submit(self, payload: SinkPayload) -> None:
        with SCORES.open('a') as file:
            for outcome in payload.outcomes:
                values = ' '.join(str(result.value) for result in outcome.results)
                file.write(f'{outcome.run_id} {outcome.evaluator} {outcome.status} {values}\n')


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[ToolCallPart('final_result', {'text': str(last.content)})])
    return ModelResponse(parts=[ToolCallPart('look_up', {})])


@dataclass
class Answer:
    text: str


agent = Agent(
    FunctionModel(answer),
    name='support',
    output_type=Answer,
    deps_type=str,
    capabilities=[
        TemporalDurability(),
        OnlineEvaluation(
            id='quality',
            evaluators=[
                Quick(),
                OnlineEvaluator(evaluator=Careful(), sample_rate=lambda context: bool(context.inputs)),
            ],
            config=OnlineEvalConfig(default_sink=FileSink()),
        ),
    ],
)


@agent.tool_plain
async def look_up() -> str:
    return '42'


@workflow.defn
class Support:
    @workflow.run
    async def run(self, question: str) -> str:
        result = await agent.run(question, deps='the deps')
        return result.output.text
