"""Every private name of pydantic-ai and pydantic-evals that this package relies on, each with its reason.

`tests/unit/test_upstream.py` fails when one of them changes its shape.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pydantic_graph

# Inside a tool this is the calling run, which is how a nested run knows its parent.
from pydantic_ai._run_context import get_current_run_context

# Describes evaluators in the JSON schema of agent specs as they are described in that of dataset files.
from pydantic_ai._spec import build_schema_types
from pydantic_ai.agent import AbstractAgent, WrapperAgent
from pydantic_ai.models import Model

# `disable_evaluation()` of pydantic-evals sets this; sharing it makes either package's switch work for both.
from pydantic_evals._online import EVALUATION_DISABLED

# `set_eval_attribute` and `increment_eval_metric` write to the current `TaskRun`, and `Dataset.evaluate` sets one:
# it is the only way to receive the former and to notice the latter.
from pydantic_evals._task_run import CURRENT_TASK_RUN, TaskRun

# `set_default_judge_model` sets the default of all judges here, and nothing public reads it.
from pydantic_evals.evaluators import llm_as_a_judge

__all__ = (
    'CURRENT_TASK_RUN',
    'EVALUATION_DISABLED',
    'OnlineTaskRun',
    'UncalledInRealtime',
    'build_schema_types',
    'default_judge_model',
    'get_current_run_context',
    'inside_dataset_evaluation',
    'is_run_synchronously',
    'instructions_of',
)


class OnlineTaskRun(TaskRun):
    """Collects what a run's own code records, and hands it on to the run that encloses it.

    Being a type of our own tells an online run from `Dataset.evaluate`, inside which nothing is evaluated online.
    """

    def __init__(self, enclosing: TaskRun | None) -> None:
        super().__init__()
        self.enclosing = enclosing

    def release(self) -> tuple[dict[str, Any], dict[str, int | float]]:
        """Hand over what was recorded, and record no more for anybody: contexts can outlive their run."""
        recorded = self.attributes, self.metrics
        self.attributes, self.metrics, self.enclosing = {}, {}, None
        return recorded

    def increment_metric(self, name: str, amount: float) -> None:
        super().increment_metric(name, amount)
        if self.enclosing is not None:
            self.enclosing.increment_metric(name, amount)

    def record_attribute(self, name: str, value: object) -> None:
        super().record_attribute(name, value)
        if self.enclosing is not None:
            self.enclosing.record_attribute(name, value)


def inside_dataset_evaluation() -> bool:
    """Whether the current context is a task of `Dataset.evaluate` (or of pydantic-evals' own online evaluation)."""
    task_run = CURRENT_TASK_RUN.get()
    return task_run is not None and not isinstance(task_run, OnlineTaskRun)


_PYDANTIC_GRAPH = str(Path(pydantic_graph.__file__).parent)


def is_run_synchronously() -> bool:
    """Whether `run_sync` or one of its like drives the event loop: it goes no further than the run then.

    Nothing but the function of pydantic-graph in which they do so tells them from `asyncio.run`.
    """
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == 'run_until_complete' and code.co_filename.startswith(_PYDANTIC_GRAPH):
            return True
        frame = frame.f_back
    return False


class UncalledInRealtime:
    """Says that the hooks of a capability that realtime sessions never call are not missed there.

    Realtime sessions warn about them otherwise; all that is lost is the message list of a session that failed.
    """

    def missed_in_realtime(self) -> tuple[str, ...]:
        """Names of those that are missed after all."""
        return ()

    def _realtime_uncalled_hooks(self) -> tuple[str, ...]:
        return self.missed_in_realtime()


def default_judge_model() -> Model | str:
    """The model that judges without one of their own use now."""
    return llm_as_a_judge._default_model  # pyright: ignore[reportPrivateUsage]


def instructions_of(agent: AbstractAgent[Any, Any]) -> list[Any]:
    """The instructions and system prompts of an agent, texts and functions: the fingerprint of a judge has them.

    Nothing public tells them. What a wrapped agent has, its wrapper has.
    """
    while isinstance(agent, WrapperAgent):
        agent = agent.wrapped
    functions: list[Any] = [each.function for each in getattr(agent, '_system_prompt_functions', ())]
    instructions: list[Any] = [each.instruction for each in getattr(agent, '_instructions', ())]
    return [*getattr(agent, '_system_prompts', ()), *functions, *instructions]
