"""What a judge, or several together, said of one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from pydantic_evals.evaluators import EvaluationReason

from ..runs.judgement import Vote

__all__ = ('Verdict', 'agreement_of')


@dataclass(kw_only=True, frozen=True)
class Verdict:
    """What was said of one case."""

    value: bool | int | float | str
    """The score, the label, or for a binary judge whether the case passes."""
    passed: bool | None = None
    """Whether the case passes; `None` where a number has no threshold or labels have no passing ones."""
    reason: str | None = None
    """Why."""
    votes: tuple[Vote, ...] = ()
    """What each judge or sample said, those that gave no verdict included."""
    agreement: float | None = None
    """The share of the pairs of votes that agree, where more than one voted."""

    def results(self, name: str) -> Mapping[str, EvaluationReason]:
        """The results under the names that pydantic-evals' `LLMJudge` gives them.

        One result goes by `name`. A number with a threshold is two, `<name>_score` and `<name>_pass`, and a label where
        some pass is two, `<name>_label` and `<name>_pass`.
        """
        if isinstance(self.value, bool) or self.passed is None:
            return {name: EvaluationReason(value=self.value, reason=self.reason)}
        kind = 'label' if isinstance(self.value, str) else 'score'
        return {
            f'{name}_{kind}': EvaluationReason(value=self.value, reason=self.reason),
            f'{name}_pass': EvaluationReason(value=self.passed, reason=self.reason),
        }


def agreement_of(votes: tuple[Vote, ...]) -> float | None:
    """The share of the pairs of votes that agree: on passing, where that is known, else on the value.

    `None` for fewer than two votes. This is the observed agreement of Fleiss (1971) for one case.
    """
    said = [vote.value if vote.passed is None else vote.passed for vote in votes if vote.value is not None]
    pairs = [one == other for one, other in combinations(said, 2)]
    return sum(pairs) / len(pairs) if pairs else None
