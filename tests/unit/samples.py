"""Runs, evaluators and what comes between them, as the unit tests need them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import OnlineEvaluator, RunRecord
from pydantic_ai_assay.execution.attached import AttachedEvaluator, attach

BOUND = 10.0
"""Seconds after which waiting for something that must happen is given up."""


def a_run(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        'run_id': 'run-1',
        'target': 'support',
        'outcome': 'success',
        'inputs': 'a question',
        'output': 'an answer',
        'started_at': datetime(2026, 1, 2, tzinfo=UTC),
        'duration': 1.5,
    }
    return RunRecord(**{**fields, **changes})


@dataclass
class Always(Evaluator):
    """Says the same of every run."""

    value: Any = True

    def evaluate(self, ctx: EvaluatorContext) -> Any:
        return self.value


@dataclass
class Named(Evaluator):
    """Goes by a name and a version of its own."""

    name: str
    version: str | None = None

    def evaluate(self, ctx: EvaluatorContext) -> bool:
        return True

    def get_default_evaluation_name(self) -> str:
        return self.name

    def get_evaluator_version(self) -> str | None:
        return self.version


def an_attached(evaluator: Evaluator | None = None, **settings: Any) -> AttachedEvaluator:
    return attach(OnlineEvaluator(evaluator=Always() if evaluator is None else evaluator, **settings))


def in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own, and return what it returns."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(function()))
    thread.start()
    thread.join(BOUND)
    return returned[0]
