"""The two packages that are compared, and the agents they are compared on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import WrapRunHandler
from pydantic_ai.models import Model
from pydantic_ai.models.test import TestModel
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import RunContext
from pydantic_evals import online, online_capability
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

import pydantic_ai_assay

__all__ = (
    'OURS',
    'PACKAGES',
    'UPSTREAM',
    'NoOp',
    'Package',
    'PackageName',
    'Settling',
    'Trivial',
    'configure_logfire',
    'make_agent',
)

PackageName = Literal['ours', 'upstream']


@dataclass(kw_only=True, frozen=True)
class Package:
    """One of the two packages, by the names both have."""

    name: PackageName
    online_evaluation: Callable[..., AbstractCapability[Any]]
    online_evaluator: Callable[..., online.OnlineEvaluator]
    online_eval_config: Callable[..., online.OnlineEvalConfig]
    wait_for_evaluations: Callable[..., Awaitable[object]]

    def attach(self, evaluators: Sequence[Evaluator], **settings: Any) -> AbstractCapability[Any]:
        """Attach evaluators with settings of their own, or with the defaults where there are none."""
        if not settings:
            return self.online_evaluation(evaluators=evaluators)
        return self.online_evaluation(
            evaluators=[self.online_evaluator(evaluator=evaluator, **settings) for evaluator in evaluators]
        )


OURS = Package(
    name='ours',
    online_evaluation=pydantic_ai_assay.OnlineEvaluation,
    online_evaluator=pydantic_ai_assay.OnlineEvaluator,
    online_eval_config=pydantic_ai_assay.OnlineEvalConfig,
    wait_for_evaluations=pydantic_ai_assay.wait_for_evaluations,
)
UPSTREAM = Package(
    name='upstream',
    online_evaluation=online_capability.OnlineEvaluation,
    online_evaluator=online.OnlineEvaluator,
    online_eval_config=online.OnlineEvalConfig,
    wait_for_evaluations=online.wait_for_evaluations,
)
PACKAGES: dict[str, Package] = {package.name: package for package in (OURS, UPSTREAM)}


@dataclass
class NoOp(AbstractCapability[Any]):
    """What every capability with a `wrap_run` costs: the mark that both packages are measured from."""

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent."""
        return await handler()


@dataclass
class Settling(AbstractCapability[Any]):
    """Runs between the subjects, and is none of them.

    The interpreter specializes the code it runs for the classes it last saw there; a subject must not be spared that.
    """

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent."""
        return await handler()


@dataclass
class Trivial(Evaluator):
    """An asynchronous evaluator that does nothing. The index makes many of them different from one another."""

    index: int = 0

    async def evaluate(self, ctx: EvaluatorContext) -> bool:
        """Pass every run."""
        return True

    def get_default_evaluation_name(self) -> str:
        """A name of its own for each."""
        return f'Trivial {self.index}'


def make_agent(capability: AbstractCapability[Any], model: Model | None = None) -> Agent[None, str]:
    """Make an agent with one capability, on a model that answers at once."""
    return Agent(model or TestModel(), name='benchmark', capabilities=[capability])


def configure_logfire() -> None:
    """Configure Logfire as an application would, without sending anything."""
    import logfire

    logfire.configure(send_to_logfire=False, console=False)
    logfire.instrument_pydantic_ai()
