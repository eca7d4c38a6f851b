"""What one evaluator said of the outputs of one run, before the run returned one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..runs.judgement import JudgementLog
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..runs.rejection import OutputRejected

if TYPE_CHECKING:
    from .evaluation import Evaluation

__all__ = ('History',)


class History:
    """The evaluations of the outputs of one run, in order. Several can be under way: a response may have two outputs."""

    def __init__(self) -> None:
        self.judgements = JudgementLog()
        """The votes of all of them."""
        self._outputs: dict[Evaluation, Any] = {}

    def add(self, evaluation: Evaluation, output: Any) -> None:
        """Add an evaluation of an output, or note what took the output's place.

        Args:
            evaluation: The evaluation.
            output: The output that it stands for.
        """
        self._outputs[evaluation] = output

    @property
    def refused(self) -> int:
        """How many outputs were refused so far."""
        return sum(outcome.refused > 0 for _, outcome in self._settled())

    def conclude(self, run: RunRecord) -> Evaluation:
        """The evaluation that stands for the run, which has ended: that of the output with which it did.

        Its outcome counts what was refused, and has the votes on all outputs. The others that refused one are `superseded`.
        """
        settled = self._settled()
        found, outcome = self._standing(settled, run)
        found.settled = replace(outcome, refused=self.refused, judgement=self.judgements.judgement)
        found.superseded = tuple(each for each, other in settled if each is not found and other.passed is False)
        return found

    def _settled(self) -> list[tuple[Evaluation, EvaluationOutcome]]:
        return [(each, each.settled) for each in self._outputs if each.settled is not None]

    def _standing(
        self, settled: list[tuple[Evaluation, EvaluationOutcome]], run: RunRecord
    ) -> tuple[Evaluation, EvaluationOutcome]:
        error = run.error
        fatal = error.outcomes if isinstance(error, OutputRejected) else ()
        returned = [
            each
            for each in settled
            if self._outputs[each[0]] is run.output or any(each[1] is outcome for outcome in fatal)
        ]
        # What others made of the output since can be another object.
        let_through = [each for each in settled if run.outcome == 'success' and not each[1].refused]
        return (returned or let_through or settled)[-1]
