"""What a judge may say, and what several votes on one scale amount to."""

from __future__ import annotations

import statistics
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeGuard, cast

from pydantic import BaseModel, BeforeValidator, Field, create_model

from ..checks import is_several
from ..errors import ConfigurationError
from ..runs.judgement import Vote

__all__ = ('BinaryScale', 'LabelScale', 'NumberScale', 'Reading', 'Scale', 'make_scale')

MAX = sys.float_info.max
"""The greatest end of a scale."""

_REASON = 'In one to three sentences, what decides the verdict. Written before the verdict.'

Value = bool | int | float | str


@dataclass(frozen=True)
class Reading:
    """What a verdict says."""

    value: Value
    """The score, the label, or whether it passes."""
    passed: bool | None
    """Whether it passes, where the scale says."""
    reason: str
    """Why."""


class Scale(ABC):
    """What a judge may say."""

    key: ClassVar[str]
    """Name of the verdict in what the model answers."""

    def __init__(self, verdict: Any, description: str) -> None:
        fields: dict[str, Any] = {
            'reason': (str, Field(description=_REASON)),
            self.key: (verdict, Field(description=description)),
        }
        self.verdict_type: type[BaseModel] = create_model(
            'Verdict', __doc__='The reason, then the verdict that follows from it.', **fields
        )

    @property
    @abstractmethod
    def question(self) -> str:
        """What the judge is asked for, in words."""

    @abstractmethod
    def check(self, verdict: object) -> str | None:
        """What is wrong with a verdict that somebody else gave, if anything."""

    def read(self, answer: BaseModel) -> Reading:
        """Read what the model answered."""
        fields = dict(answer)
        return self._read(fields[self.key], fields['reason'])

    def _read(self, value: Any, reason: str) -> Reading:
        return Reading(value, self.passes(value), reason)

    @abstractmethod
    def passes(self, value: Any) -> bool | None:
        """Whether a value passes; `None` where that is not said."""

    def approves(self, value: Any) -> bool:
        """Whether a value is a good one, even where nothing says which pass."""
        return bool(self.passes(value))

    def combine(self, votes: Sequence[Vote]) -> Reading:
        """What votes amount to, all of which have a value."""
        if len(votes) == 1:
            (vote,) = votes
            return Reading(cast(Value, vote.value), vote.passed, vote.reason or '')
        return self._combine(votes)

    @abstractmethod
    def _combine(self, votes: Sequence[Vote]) -> Reading:
        """What several votes amount to."""


class ChoiceScale(Scale):
    """One of several answers: most votes decide."""

    def _combine(self, votes: Sequence[Vote]) -> Reading:
        counts = Counter(vote.value for vote in votes)
        value = min(counts, key=lambda each: (-counts[each], *self._rank(each)))
        spokesman = next(vote for vote in votes if vote.value == value)
        reason = f'{counts[value]} of {len(votes)} votes: {spokesman.reason}'
        return Reading(cast(Value, value), self.passes(value), reason)

    @abstractmethod
    def _rank(self, value: Any) -> tuple[int, ...]:
        """Where a value comes among those with equally many votes, the one that counts first."""


class BinaryScale(ChoiceScale):
    """Pass or fail."""

    key = 'passes'

    def __init__(self) -> None:
        super().__init__(bool, 'Whether the output meets the criterion.')

    @property
    def question(self) -> str:
        """What the judge is asked for, in words."""
        return 'Say whether the output meets the criterion: `passes` is true if it does, and false if it does not.'

    def check(self, verdict: object) -> str | None:
        """What is wrong with a verdict that somebody else gave, if anything."""
        return None if isinstance(verdict, bool) else 'it must be True or False'

    def passes(self, value: Any) -> bool:
        """Whether a value passes."""
        return value

    def _rank(self, value: Any) -> tuple[int, ...]:
        return (int(value),)


class NumberScale(Scale):
    """A score from `low` to `high`, whole if both ends are."""

    key = 'score'

    def __init__(self, low: float, high: float, threshold: float | None) -> None:
        self.low = low
        self.high = high
        self.threshold = threshold
        self.is_whole = isinstance(low, int) and isinstance(high, int)
        number = int if self.is_whole else Annotated[float, Field(allow_inf_nan=False)]
        super().__init__(
            Annotated[number, BeforeValidator(_not_a_bool)], f'{self._kind} from {low} (worst) to {high} (best).'
        )

    @property
    def _kind(self) -> str:
        return 'A whole number' if self.is_whole else 'A number'

    @property
    def question(self) -> str:
        """What the judge is asked for, in words."""
        return (
            f'Score how well the output meets the criterion. `score` is {self._kind.lower()} from {self.low}, which says '
            f'that it does not meet it at all, to {self.high}, which says that it could not meet it better.'
        )

    def check(self, verdict: object) -> str | None:
        """What is wrong with a verdict that somebody else gave, if anything."""
        fits = (
            _is_number(verdict) and self.low <= verdict <= self.high and (not self.is_whole or verdict == int(verdict))
        )
        return None if fits else f'it must be {self._kind.lower()} from {self.low} to {self.high}'

    def _read(self, value: Any, reason: str) -> Reading:
        score = min(max(value, self.low), self.high)
        if score != value:
            shown = value if abs(value) < 10**15 else f'{"-" if value < 0 else ""}10^15 or more'
            reason = f'{reason} [The judge said {shown}, which the scale limits to {score}.]'
        return Reading(score, self.passes(score), reason)

    def passes(self, value: Any) -> bool | None:
        """Whether a score reaches the threshold; `None` without one."""
        return None if self.threshold is None else value >= self.threshold

    def approves(self, value: Any) -> bool:
        """Whether a score reaches the threshold, or else lies in the upper half of the scale."""
        passes = self.passes(value)
        return value > (self.low + self.high) / 2 if passes is None else passes

    def _combine(self, votes: Sequence[Vote]) -> Reading:
        scores = [cast(float, vote.value) for vote in votes]
        # Exact, or three scores of 0.7 would miss a threshold of 0.7.
        mean = float(statistics.mean(scores))
        spokesman = min(votes, key=lambda vote: abs(cast(float, vote.value) - mean))
        listed = ', '.join(f'{score:g}' for score in scores)
        return Reading(mean, self.passes(mean), f'Mean of {listed}: {spokesman.reason}')


class LabelScale(ChoiceScale):
    """One of several labels."""

    key = 'label'

    def __init__(self, labels: Sequence[str], passing: frozenset[str] | None) -> None:
        self.labels = tuple(labels)
        self.passing = passing
        super().__init__(Literal[self.labels], 'The label that fits the output best.')

    @property
    def question(self) -> str:
        """What the judge is asked for, in words."""
        listed = '\n'.join(f'- {label}' for label in self.labels)
        return f'Say which label fits the output best by the criterion. `label` is one of:\n{listed}'

    def check(self, verdict: object) -> str | None:
        """What is wrong with a verdict that somebody else gave, if anything."""
        return None if verdict in self.labels else f'it must be one of {", ".join(map(repr, self.labels))}'

    def passes(self, value: Any) -> bool | None:
        """Whether a label is one of those that pass; `None` where none is named."""
        return None if self.passing is None else value in self.passing

    def _rank(self, value: Any) -> tuple[int, ...]:
        return (int(self.passes(value) or False), self.labels.index(value))


def make_scale(
    scale: object, *, threshold: float | None, labels: Sequence[str] | None, passing: Sequence[str] | None
) -> Scale:
    """Make the scale that a judge's settings describe.

    Raises:
        ConfigurationError: If they describe none.
    """
    if labels is not None:
        return _label_scale(scale, threshold, labels, passing)
    if passing is not None:
        raise ConfigurationError(f'passing must be some of `labels`, and there are none; got {passing!r}.')
    if isinstance(scale, tuple):
        return _number_scale(cast('tuple[Any, ...]', scale), threshold)
    if scale != 'binary':
        raise ConfigurationError(f"scale must be 'binary' or two numbers (low, high), got {scale!r}.")
    if threshold is not None:
        raise ConfigurationError(f'threshold must be None for a binary scale, got {threshold!r}.')
    return BinaryScale()


def _label_scale(
    scale: object, threshold: float | None, labels: Sequence[str], passing: Sequence[str] | None
) -> LabelScale:
    if scale != 'binary':
        raise ConfigurationError(f'scale must be left out where there are labels, got {scale!r}.')
    if threshold is not None:
        raise ConfigurationError(
            f'threshold must be None where there are labels, got {threshold!r}; name those that pass in `passing`.'
        )
    # A set has no order, and a tie goes to the label that comes first.
    if not is_several(labels) or not isinstance(labels, Sequence) or len(labels) < 2 or not all(map(_is_label, labels)):
        raise ConfigurationError(f'labels must be a list of at least two texts that are not blank, got {labels!r}.')
    if len(set(labels)) < len(labels):
        raise ConfigurationError(f'labels must all differ, got {labels!r}.')
    if passing is None:
        return LabelScale(labels, None)
    if not is_several(passing) or not passing or not all(each in labels for each in passing):
        raise ConfigurationError(
            f'passing must be None or one or more of the labels {list(labels)!r}, in a list, got {passing!r}.'
        )
    return LabelScale(labels, frozenset(passing))


def _number_scale(scale: tuple[Any, ...], threshold: object) -> NumberScale:
    if len(scale) != 2 or not all(map(_is_number, scale)) or not scale[0] < scale[1]:
        raise ConfigurationError(f'scale must be two finite numbers (low, high) with low < high, got {scale!r}.')
    low, high = scale
    if threshold is not None and not (_is_number(threshold) and low <= threshold <= high):
        raise ConfigurationError(f'threshold must be a number from {low} to {high}, got {threshold!r}.')
    return NumberScale(low, high, threshold)


def _is_label(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> TypeGuard[float]:
    # An integer beyond what a float can hold is above or below all floats.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError('A score must be a number.')
    return value
