"""Every private name of pydantic-ai and pydantic-evals that this package relies on, each with its reason.

`tests/unit/test_upstream.py` fails when one of them changes its shape.
"""

from __future__ import annotations

from typing import Any

# Inside a tool this is the calling run, which is how a nested run knows its parent.
from pydantic_ai._run_context import get_current_run_context

# Describes evaluators in the JSON schema of agent specs as they are described in that of dataset files.
from pydantic_ai._spec import build_schema_types

# `disable_evaluation()` of pydantic-evals sets this; sharing it makes either package's switch work for both.
from pydantic_evals._online import EVALUATION_DISABLED

# `set_eval_attribute` and `increment_eval_metric` write to the current `TaskRun`, and `Dataset.evaluate` sets one:
# it is the only way to receive the former and to notice the latter.
from pydantic_evals._task_run import CURRENT_TASK_RUN, TaskRun

__all__ = (
    'CURRENT_TASK_RUN',
    'EVALUATION_DISABLED',
    'OnlineTaskRun',
    'UncalledInRealtime',
    'build_schema_types',
    'get_current_run_context',
    'inside_dataset_evaluation',
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


class UncalledInRealtime:
    """Says that the hooks of a capability that realtime sessions never call are not missed there.

    Realtime sessions warn about them otherwise; all that is lost is the message list of a session that failed.
    """

    def missed_in_realtime(self) -> tuple[str, ...]:
        """Names of those that are missed after all."""
        return ()

    def _realtime_uncalled_hooks(self) -> tuple[str, ...]:
        return self.missed_in_realtime()
