"""What an agent raises whose output was refused."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_evals.evaluators import EvaluationResult

from ..errors import AssayError, describe
from .outcome import EvaluationOutcome

__all__ = ('OutputRejected',)


class OutputRejected(AssayError):
    """A blocking evaluator refused an agent's output, or could not be asked and fails closed."""

    def __init__(self, outcomes: Sequence[EvaluationOutcome], *, why: str = '', error: Exception | None = None) -> None:
        self.outcomes = tuple(outcomes)
        """The outcomes of the evaluators that refused the output."""
        refusals = '; '.join(f'{outcome.evaluator} {_reason(outcome)}' for outcome in outcomes)
        raised = '' if error is None else f' Its replacement could not be made: {describe(error).rstrip(".")}.'
        super().__init__(f'The output was refused: {refusals}.{why and f" {why}"}{raised}')

    @property
    def results(self) -> list[EvaluationResult]:
        """What the evaluators that refused the output returned."""
        return [result for outcome in self.outcomes for result in outcome.results]


def _reason(outcome: EvaluationOutcome) -> str:
    if outcome.failure is not None:
        return f'gave no verdict ({outcome.failure.error_type})'
    reasons = [result.reason for result in outcome.results if result.value is False and result.reason]
    return f'says no ({" ".join(reasons)})' if reasons else 'says no'
