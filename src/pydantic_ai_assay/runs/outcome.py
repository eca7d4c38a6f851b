"""What became of one evaluation: one evaluator, one run, exactly one status."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure

from .judgement import Judgement

__all__ = ('EVALUATION_STATUSES', 'EvaluationOutcome', 'EvaluationStatus')

EvaluationStatus = Literal['scored', 'failed', 'timed_out', 'dropped', 'over_budget', 'sampled_out', 'skipped']
"""The one status in which every evaluation ends. A status is never a score: a failed evaluation is not a 0.

- `'scored'`: the evaluator returned its results.
- `'failed'`: the evaluator (or its name, version or output) raised; `failure` says how.
- `'timed_out'`: it did not finish within its `timeout`.
- `'dropped'`: it never finished, because the queue was full or the process ended.
- `'over_budget'`: a budget kept it from running.
- `'sampled_out'`: the draw left this run out.
- `'skipped'`: it does not apply to this run (`run_on`), has nowhere to report to, or its sampling raised.
"""

EVALUATION_STATUSES: tuple[EvaluationStatus, ...] = get_args(EvaluationStatus)


@dataclass(kw_only=True, frozen=True)
class EvaluationOutcome:
    """What became of one evaluation of one run."""

    run_id: str
    """The run that was evaluated."""
    evaluator: str
    """The evaluator's name."""
    fingerprint: str | None
    """Hash of the evaluator's class, settings and version; `None` if they could not be read."""
    status: EvaluationStatus
    """How the evaluation ended."""
    probability: float
    """The probability with which this run was chosen for this evaluator, in (0, 1]."""
    evaluator_version: str | None = None
    """The evaluator's version, if it has one."""
    results: tuple[EvaluationResult, ...] = ()
    """What the evaluator returned, when `status` is `'scored'`."""
    failure: EvaluatorFailure | None = None
    """What went wrong, when `status` is `'failed'` or `'timed_out'`."""
    detail: str | None = None
    """Why the evaluation did not run, when `status` is `'dropped'`."""
    attempts: int = 0
    """How many times the evaluator was called, retries included."""
    duration: float = 0.0
    """How long the evaluation ran, retries included, in seconds."""
    waited: float = 0.0
    """How long it waited before it ran, in seconds."""
    finished_at: datetime
    """When it ended (UTC)."""
    target: str = 'agent'
    """Name of what was evaluated."""
    agent_name: str | None = None
    """The agent's name, if it has one."""
    agent_path: tuple[str, ...] = ()
    """Names of the runs around the one that was evaluated, from the outermost to itself."""
    parent_run_id: str | None = None
    """The id of the run in which the one that was evaluated was started, if any."""
    conversation_id: str | None = None
    """The conversation the run belongs to."""
    refused: int = 0
    """How many outputs of the run this evaluator refused, with `mode='block'`."""
    judgement: Judgement | None = None
    """What judges said and used, where the evaluator is a `Judge`, a `Panel` or a `Cascade`."""

    @property
    def passed(self) -> bool | None:
        """Whether no result is `False`; `None` where none is a `bool`, as with a score alone, or there are no results."""
        assertions = [result.value for result in self.results if isinstance(result.value, bool)]
        return all(assertions) if assertions else None

    def without_content(self) -> EvaluationOutcome:
        """The outcome without reasons and error texts, which may quote the run."""
        failure, judgement = self.failure, self.judgement
        return replace(
            self,
            results=tuple(replace(result, reason=None) for result in self.results),
            failure=None if failure is None else replace(failure, error_message='(withheld)', error_stacktrace=''),
            judgement=None if judgement is None else judgement.without_content(),
        )
