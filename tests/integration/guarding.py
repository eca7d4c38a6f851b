"""Agents whose outputs are judged before they return them, and evaluators that refuse some."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext, EvaluatorOutput

from pydantic_ai_assay import EvaluationOutcome, OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, RunRecord


class Reply(BaseModel):
    """A structured output."""

    text: str


def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer with the number of answers so far."""
    text = f'reply {sum(isinstance(message, ModelResponse) for message in messages)}'
    if info.output_tools:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {'text': text})])
    return ModelResponse(parts=[TextPart(text)])


async def respond_in_pieces(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    text = f'reply {sum(isinstance(message, ModelResponse) for message in messages)}'
    if info.output_tools:
        yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args='{"text": "')}
        yield {0: DeltaToolCall(json_args=f'{text}"}}')}
    else:
        yield text[:3]
        yield text[3:]


MODEL = FunctionModel(respond, stream_function=respond_in_pieces)


def text_of(output: Any) -> str:
    return output.text if isinstance(output, Reply) else str(output)


@dataclass
class Refuses(Evaluator[Any, Any, Any]):
    """Refuses the outputs that it is told to."""

    outputs: tuple[str, ...] = ('reply 0',)
    seen: list[Any] = field(default_factory=list[Any], compare=False)

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluatorOutput:
        self.seen.append(ctx.output)
        text = text_of(ctx.output)
        return EvaluationReason(value=text not in self.outputs, reason=f'about {text}')


@dataclass
class RefusesSync(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return text_of(ctx.output) != 'reply 0'


def guarded(*evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, **settings: Any) -> Agent[None, Any]:
    output_type = settings.pop('output_type', str)
    retries = settings.pop('retries', 1)
    return Agent(
        MODEL,
        name='guarded',
        output_type=output_type,
        retries=retries,
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(**settings))],
    )


def blocking(evaluator: Evaluator[Any, Any, Any], **settings: Any) -> OnlineEvaluator:
    return OnlineEvaluator(evaluator=evaluator, mode='block', **settings)


async def run(agent: Agent[None, Any]) -> Any:
    return (await agent.run('hi')).output


def replaced(outcome: EvaluationOutcome, run: RunRecord) -> str:
    return f'replaced, {outcome.status}'


@dataclass
class Told:
    """A callback that keeps what it is told."""

    calls: list[tuple[EvaluationOutcome, RunRecord]] = field(default_factory=list[tuple[EvaluationOutcome, RunRecord]])

    threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def __call__(self, outcome: EvaluationOutcome, run: RunRecord) -> None:
        self.calls.append((outcome, run))
        self.threads.append(threading.current_thread())

    @property
    def values(self) -> list[object]:
        return [result.value for outcome, _ in self.calls for result in outcome.results]

    @property
    def outputs(self) -> list[Any]:
        return [run.output for _, run in self.calls]

    @property
    def refused(self) -> list[int]:
        return [outcome.refused for outcome, _ in self.calls]

    @property
    def reasons(self) -> list[str | None]:
        return [outcome.results[0].reason for outcome, _ in self.calls]
