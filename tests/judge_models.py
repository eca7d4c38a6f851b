"""Models that judge, and keep what they were asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, UserContent, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.usage import RequestUsage


@dataclass
class Asked:
    """A model that answers what it is told to, in turn; the last answer stays."""

    answers: list[Any] = field(default_factory=lambda: [{'reason': 'It is right.', 'passes': True}])
    """What it answers: arguments of the verdict, an error to raise, or a function of the messages."""
    profile: ModelProfile | None = None
    name: str = 'judging-model'
    calls: list[tuple[list[ModelMessage], AgentInfo]] = field(
        default_factory=list[tuple[list[ModelMessage], AgentInfo]]
    )

    @property
    def model(self) -> FunctionModel:
        return FunctionModel(self._answer, model_name=self.name, profile=self.profile)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        answer: Any = self.answers[min(len(self.calls), len(self.answers) - 1)]
        self.calls.append((messages, info))
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = answer(messages)
        if isinstance(answer, ModelResponse):
            return answer
        usage = RequestUsage(input_tokens=100, output_tokens=10)
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)], usage=usage)

    @property
    def instructions(self) -> str:
        """What the last call was told."""
        return self.calls[-1][1].instructions or ''

    @property
    def content(self) -> list[UserContent]:
        """What the last call was shown."""
        (part,) = [
            part
            for message in self.calls[-1][0][:1]
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, UserPromptPart)
        ]
        return [part.content] if isinstance(part.content, str) else list(part.content)

    @property
    def shown(self) -> str:
        """The text of what the last call was shown."""
        return ''.join(item for item in self.content if isinstance(item, str))

    @property
    def key(self) -> str:
        """The key of the fence of the last call."""
        return self.instructions.split('The key of this message is ')[1].split(';')[0]
