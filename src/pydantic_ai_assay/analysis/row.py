"""One evaluation as the analysis sees it: a score, or the reason why there is none, and what to group it by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..errors import ConfigurationError
from ..runs.outcome import EVALUATION_STATUSES, EvaluationOutcome, EvaluationStatus
from .identity import EvaluatorIdentity

__all__ = ('EvaluationRow', 'rows_of')


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """One result of one evaluation of one run, or an evaluation that has none."""

    evaluator: EvaluatorIdentity
    """Which evaluator it was."""
    status: EvaluationStatus
    """How it ended."""
    probability: float
    """The probability with which the run was chosen, in (0, 1]."""
    at: datetime
    """When it ended."""
    result: str | None = None
    """The name of the result, if it has one."""
    value: bool | int | float | str | None = None
    """The score, if `status` is `'scored'`."""
    agent: str | None = None
    """The name of the agent, or of the function."""
    agent_path: tuple[str, ...] = ()
    """Names of the runs around it, from the outermost to itself."""
    conversation: str | None = None
    """The conversation that the run belongs to."""
    variant: str | None = None
    """Which variant of the agent it was: of a prompt, say."""
    model: str | None = None
    """The model's name."""
    tags: tuple[str, ...] = ()
    """Names the run was given."""

    def __post_init__(self) -> None:
        if self.status not in EVALUATION_STATUSES:
            raise ConfigurationError(f'a status must be one of {", ".join(EVALUATION_STATUSES)}, got {self.status!r}.')
        if not 0.0 < self.probability <= 1.0:
            raise ConfigurationError(f'a probability must be in (0, 1], got {self.probability!r}.')
        if self.at.tzinfo is None:
            raise ConfigurationError(f'a time must have a time zone, got {self.at!r}.')
        if (self.status == 'scored') != (self.value is not None and self.result is not None):
            raise ConfigurationError(
                f'a row has a result and a value if it is scored and only then, got {self.status!r} with '
                f'{self.result!r} and {self.value!r}.'
            )


def rows_of(
    outcome: EvaluationOutcome, *, variant: str | None = None, model: str | None = None, tags: tuple[str, ...] = ()
) -> Iterator[EvaluationRow]:
    """The rows of an outcome: one for each result, or one that says why there is none.

    Args:
        outcome: What became of the evaluation.
        variant: Which variant of the agent it was.
        model: The model's name.
        tags: Names the run was given.
    """
    for name, value in [(result.name, result.value) for result in outcome.results] or [(None, None)]:
        if outcome.status == 'scored' and name is None:
            # An evaluator that returns no result has said nothing.
            return
        yield EvaluationRow(
            evaluator=EvaluatorIdentity(
                name=outcome.evaluator, version=outcome.evaluator_version, fingerprint=outcome.fingerprint
            ),
            status=outcome.status,
            probability=outcome.probability,
            at=outcome.finished_at,
            result=name,
            value=value,
            agent=outcome.agent_name or outcome.target,
            agent_path=outcome.agent_path,
            conversation=outcome.conversation_id,
            variant=variant,
            model=model,
            tags=tags,
        )
