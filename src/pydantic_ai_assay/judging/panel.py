"""Several judges asked at once, and one verdict made of what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from math import isfinite
from statistics import mean
from typing import Any, Literal, cast, get_args

from ..checks import check_choice, check_seconds
from ..errors import ConfigurationError, JudgementError
from ..runs.judgement import cause_of
from .answer import Answer, ask
from .callbacks import CALLBACKS, check_callbacks
from .cascade import Cascade
from .case import JudgeCase
from .grader import Grader, checked_members
from .judge import Judge, JudgeCallback
from .poll import Poll, Seated
from .verdict import Verdict, agreement_of

__all__ = ('Combine', 'Panel')

Combine = Literal['majority', 'mean', 'all', 'any']
"""How a panel makes one verdict of several.

- `'majority'`: what more than half of those that answered say. Half is not more than half: an even tie is a fail. Where
  all of them give labels, the label most of them give; among labels that equally many give, one that does not pass goes
  before one that does, then the alphabet decides.
- `'mean'`: the mean of their numbers. It passes if it is at least `threshold`.
- `'all'`: it passes if all of those that answered say so.
- `'any'`: it passes if one of those that answered says so.
"""


@dataclass(repr=False)
class Panel(Grader):
    """Several judges that are asked at once, and whose verdicts are combined into one.

    A member that gives no verdict, or none in time, is a vote with an error. The panel itself fails where fewer than
    `quorum` members answered, or where what they answered cannot be combined. Cancelling it cancels its members.
    """

    members: Sequence[Grader]
    """Who is asked: judges, and other panels and cascades. Each needs a name of its own."""
    _: KW_ONLY
    combine: Combine = 'majority'
    """How one verdict is made of theirs; see `Combine`."""
    quorum: int | None = None
    """How many must answer. Default: more than half."""
    threshold: float | None = None
    """The mean from which on the case passes; for `combine='mean'` alone."""
    name: str | None = None
    """What results go by. Default: `Panel`."""
    vote_timeout: float | None = None
    """Seconds that each member may take. Default: no limit of its own.

    In any case, where the evaluation is about to time out and `quorum` members have answered, the panel answers without
    the others.
    """
    on_fail: JudgeCallback | None = field(default=None, compare=False)
    """Called when a run that was judged online does not pass."""
    on_result: JudgeCallback | None = field(default=None, compare=False)
    """Called with every result of a run that was judged online."""

    def __post_init__(self) -> None:
        self.members = checked_members(self.members, 'Panel', self.name)
        if self.vote_timeout is not None:
            check_seconds('vote_timeout', self.vote_timeout)
        check_callbacks(self, self.members)
        check_choice('combine', self.combine, get_args(Combine))
        self._check_quorum()
        self._check_threshold()
        self._check_kinds()

    def _check_quorum(self) -> None:
        quorum: Any = self.quorum
        count = len(self.members)
        if quorum is None:
            return
        if not isinstance(quorum, int) or isinstance(quorum, bool) or not 1 <= quorum <= count:
            raise ConfigurationError(f'quorum must be an integer from 1 to {count}, got {quorum!r}.')

    def _check_threshold(self) -> None:
        threshold: Any = self.threshold
        if threshold is None:
            return
        if self.combine != 'mean':
            raise ConfigurationError(f"threshold goes with combine='mean' alone, got combine={self.combine!r}.")
        if not _is_number(threshold) or not isfinite(threshold):
            raise ConfigurationError(f'threshold must be a finite number, got {threshold!r}.')

    def _check_kinds(self) -> None:
        """Check what is known of the members' verdicts before they are asked."""
        kinds = {member.get_default_evaluation_name(): _kind_of(member) for member in self.members}
        known = {name: kind for name, kind in kinds.items() if kind is not None}
        if self.combine == 'mean':
            self._require({name: kind.value == 'number' for name, kind in known.items()}, 'give numbers')
            ends = {kind.ends for kind in known.values() if kind.ends is not None}
            if len(ends) > 1:
                listed = ', '.join(f'{low} to {high}' for low, high in sorted(ends))
                raise ConfigurationError(f"combine='mean' needs members with one scale, got {listed}.")
        elif self.combine != 'majority' or any(kind.value != 'label' for kind in known.values()):
            self._require({name: kind.says_passed for name, kind in known.items()}, 'say whether a case passes')

    def _require(self, fitting: Mapping[str, bool], needed: str) -> None:
        other = [name for name, fits in fitting.items() if not fits]
        if other:
            raise ConfigurationError(f'combine={self.combine!r} needs members that {needed}; {other[0]!r} does not.')

    def get_default_evaluation_name(self) -> str:
        """The panel's name."""
        return self.name or self.get_serialization_name()

    def fingerprint_settings(self) -> dict[str, Any]:
        """What tells this panel from one that may come to other verdicts."""
        return {
            'members': self.members,
            'versions': [member.get_evaluator_version() for member in self.members],
            'combine': self.combine,
            'quorum': self.quorum,
            'threshold': self.threshold,
        }

    def build_serialization_arguments(self) -> dict[str, Any]:
        """The settings, with the members as specs and without callbacks."""
        arguments = super().build_serialization_arguments()
        arguments['members'] = [member.as_spec() for member in self.members]
        return {name: value for name, value in arguments.items() if name not in CALLBACKS}

    async def grade(self, case: JudgeCase) -> Verdict:
        """Ask all members at once, and combine what they say.

        Raises:
            JudgementError: If fewer than `quorum` members answered, or their answers cannot be combined.
        """
        voters = [partial(ask, Seated(member), case) for member in self.members]
        poll = Poll(quorum=self._needed, vote_timeout=self.vote_timeout)
        answers = await poll.take(voters, lambda answer: answer.error is None)
        self._check_answered(answers)
        value, passed = self._combined([answer.verdict for answer in answers if answer.verdict is not None])
        votes = tuple(answer.vote for answer in answers)
        return Verdict(
            value=value,
            passed=passed,
            reason='\n'.join(_line(answer) for answer in answers),
            votes=votes,
            agreement=agreement_of(votes),
        )

    @property
    def _needed(self) -> int:
        return len(self.members) // 2 + 1 if self.quorum is None else self.quorum

    def _check_answered(self, answers: Sequence[Answer]) -> None:
        errors = [answer.error for answer in answers if answer.error is not None]
        answered = len(answers) - len(errors)
        if answered < self._needed:
            failed = ', '.join(f'{a.vote.judge} ({a.vote.error})' for a in answers if a.error is not None)
            raise JudgementError(
                f'{self.get_default_evaluation_name()}: {answered} of {len(answers)} members gave a verdict, and quorum '
                f'is {self._needed}. Without a verdict: {failed}.'
            ) from cause_of(errors)

    def _combined(self, verdicts: Sequence[Verdict]) -> tuple[bool | float | str, bool | None]:
        if self.combine == 'mean':
            return self._mean(verdicts)
        if self.combine == 'majority' and all(isinstance(verdict.value, str) for verdict in verdicts):
            return _most_frequent_label(verdicts)
        passes = [verdict.passed for verdict in verdicts if verdict.passed is not None]
        if len(passes) < len(verdicts):
            raise self._cannot_combine(verdicts, 'members that say whether a case passes')
        passed = {'all': all(passes), 'any': any(passes), 'majority': 2 * sum(passes) > len(passes)}[self.combine]
        return passed, passed

    def _mean(self, verdicts: Sequence[Verdict]) -> tuple[float, bool | None]:
        numbers = [verdict.value for verdict in verdicts if _is_number(verdict.value)]
        if len(numbers) < len(verdicts):
            raise self._cannot_combine(verdicts, 'members that give numbers')
        # Computed exactly and rounded once, so that the order of the members does not show.
        value = float(mean(cast('list[float]', numbers)))
        return value, None if self.threshold is None else value >= self.threshold

    def _cannot_combine(self, verdicts: Sequence[Verdict], needed: str) -> JudgementError:
        kinds = ', '.join(sorted({type(verdict.value).__name__ for verdict in verdicts}))
        return JudgementError(
            f'{self.get_default_evaluation_name()}: combine={self.combine!r} needs {needed}, got values of type {kinds}.'
        )


@dataclass(frozen=True)
class _Kind:
    """What is known of verdicts before they are given."""

    value: Literal['passed', 'number', 'label']
    says_passed: bool = True
    ends: tuple[float, float] | None = None


def _kind_of(grader: Grader) -> _Kind | None:
    """What kind of verdict a grader gives; `None` where that shows only when it is asked."""
    if isinstance(grader, Judge):
        if grader.labels is not None:
            return _Kind('label', grader.passing is not None)
        if isinstance(grader.scale, tuple):
            return _Kind('number', grader.threshold is not None, grader.scale)
        return _Kind('passed')
    if isinstance(grader, Cascade):
        kinds = {_kind_of(step) for step in grader.steps}
        return kinds.pop() if len(kinds) == 1 else None
    return _kind_of_panel(grader) if isinstance(grader, Panel) else None


def _kind_of_panel(panel: Panel) -> _Kind | None:
    kinds = {_kind_of(member) for member in panel.members}
    if panel.combine == 'mean':
        # They have one scale, as far as they are known.
        ends = next((kind.ends for kind in kinds if kind is not None and kind.ends is not None), None)
        return _Kind('number', panel.threshold is not None, ends)
    if panel.combine == 'majority' and any(kind is None or kind.value == 'label' for kind in kinds):
        return kinds.pop() if len(kinds) == 1 else None
    return _Kind('passed')


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _most_frequent_label(verdicts: Sequence[Verdict]) -> tuple[str, bool | None]:
    counts = Counter(cast('str', verdict.value) for verdict in verdicts)
    passing = {label: _passes(label, verdicts) for label in counts}
    label = min(counts, key=lambda each: (-counts[each], passing[each] is True, each))
    return label, passing[label]


def _passes(label: str, verdicts: Sequence[Verdict]) -> bool | None:
    """Whether a label is a pass: not if one of those that gave it says so, not known if one of them does not know."""
    said = [verdict.passed for verdict in verdicts if verdict.value == label]
    return False if False in said else None if None in said else True


def _line(answer: Answer) -> str:
    """What one member said, for the reason of the panel's verdict."""
    vote = answer.vote
    if answer.verdict is None:
        return f'{vote.judge}: no verdict ({vote.error})'
    return f'{vote.judge}: {vote.value}' if vote.reason is None else f'{vote.judge}: {vote.value}, {vote.reason}'
