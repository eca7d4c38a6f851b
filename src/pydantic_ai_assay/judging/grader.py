"""What a judge, a panel of judges and a cascade of judges have in common: from a case to a verdict."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from ..runs.judgement import current_log
from .case import JudgeCase
from .verdict import Verdict

__all__ = ('Grader',)


@dataclass(repr=False)
class Grader(Evaluator[object, object, object]):
    """An evaluator that gives verdicts: online, in `Dataset.evaluate`, as a guardrail, and on its own."""

    @abstractmethod
    async def grade(self, case: JudgeCase) -> Verdict:
        """Give a verdict on a case, and note every vote in the log of the current evaluation.

        Raises:
            JudgementError: If there is no verdict.
        """

    async def evaluate(self, ctx: EvaluatorContext[object, object, object]) -> Mapping[str, EvaluationReason]:
        """Judge a run, or a case of a dataset.

        Raises:
            JudgementError: If there is no verdict.
        """
        verdict = await self.grade(JudgeCase.of(ctx))
        log = current_log()
        if log is not None:
            log.agree(verdict.agreement)
        return verdict.results(self.get_default_evaluation_name())
