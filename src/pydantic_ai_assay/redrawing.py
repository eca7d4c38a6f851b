"""Which evaluators judge a stored run again in a series, and with what probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .execution.attached import AttachedEvaluator
from .runs.draw import uniform_draw
from .runs.outcome import EvaluationOutcome

if TYPE_CHECKING:
    from .store.rows import StoredOutcome

__all__ = ('Drawing',)


@dataclass(kw_only=True, frozen=True)
class Drawing:
    """Which evaluators judge a run in a series, and with what probability."""

    series: str
    sample: float
    sampled_as: str | None
    retry: str | None

    def is_there(self, attached: AttachedEvaluator, outcomes: Sequence[StoredOutcome]) -> bool:
        """Whether the series has an outcome of the evaluator.

        Raises:
            ConfigurationError: If that was drawn with another probability.
        """
        found = _outcome_in(self.series, attached, outcomes)
        expected = self.probability(attached, outcomes)
        if found is None or expected is None or abs(found.probability - expected) <= 1e-9 * expected:
            return found is not None
        begun = self.sample * found.probability / expected
        raise ConfigurationError(
            f'sample must be {begun:g}, with which the series {self.series!r} was begun, got {self.sample:g}; choose '
            'another series.'
        )

    def probability(self, attached: AttachedEvaluator, outcomes: Sequence[StoredOutcome]) -> float | None:
        """With what probability the run is judged; `None` if it is none of those that can be."""
        if self.retry is not None:
            earlier = _outcome_in(self.retry, attached, outcomes)
            return None if earlier is None else earlier.probability
        if self.sampled_as is None:
            return self.sample
        online = (each.outcome for each in outcomes if not each.series and each.outcome.evaluator == self.sampled_as)
        # What does not apply to a run was not drawn for it.
        drawn = next((outcome for outcome in online if outcome.status != 'skipped'), None)
        return None if drawn is None else drawn.probability * self.sample

    def is_drawn(self, run_id: str) -> bool:
        """Whether the run is one of the sample."""
        return uniform_draw(run_id, f'rejudge {self.series}') < self.sample

    def score_to_take_over(
        self, attached: AttachedEvaluator, outcomes: Sequence[StoredOutcome]
    ) -> EvaluationOutcome | None:
        """What the evaluator has scored in the series that is judged again."""
        earlier = None if self.retry is None else _outcome_in(self.retry, attached, outcomes)
        return earlier if earlier is not None and earlier.status == 'scored' else None


def _outcome_in(
    series: str, attached: AttachedEvaluator, outcomes: Sequence[StoredOutcome]
) -> EvaluationOutcome | None:
    wanted = series, attached.identity.name, attached.identity.fingerprint
    for each in outcomes:
        if (each.series, each.outcome.evaluator, each.outcome.fingerprint) == wanted:
            return each.outcome
    return None
