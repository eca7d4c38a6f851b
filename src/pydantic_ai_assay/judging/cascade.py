"""Judges asked one after the other, the costly ones only where the cheap ones are not enough."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from ..checks import check_function, check_seconds
from ..errors import ConfigurationError, JudgementError
from ..runs.draw import uniform_draw
from .answer import Answer, ask
from .callbacks import CALLBACKS, check_callbacks
from .case import MISSING, JudgeCase
from .grader import Grader, checked_members
from .judge import Judge, JudgeCallback
from .poll import Poll, Seated
from .terms import Terms
from .verdict import Verdict, agreement_of

__all__ = ('AskNext', 'Cascade', 'unsure')

AskNext = Callable[[Verdict], float | bool]
"""Whether the next judge is asked after this verdict: yes or no, or the probability with which it is."""

_MEMORY_ADDRESS = re.compile(rb' at 0x[0-9a-fA-F]+')


def unsure(verdict: Verdict, step: Grader | None = None) -> bool:
    """Whether a verdict is in doubt, from what is known of it.

    - Several votes are in doubt where they disagree: the samples of one judge, the members of a panel, the steps of a cascade.
    - A score is in doubt near the threshold, or near the middle of a scale without one: within a tenth of the scale, and for
      whole numbers at least the two scores that it lies between.
    - Any other single vote is in doubt where it does not pass.

    Args:
        verdict: The verdict.
        step: Who gave it, where that is known: only a judge's scale tells what is near its threshold.
    """
    if verdict.agreement is not None and verdict.agreement < 1.0:
        return True
    if isinstance(step, Judge) and isinstance(step.scale, tuple) and step.labels is None:
        return _is_near(float(verdict.value), step.scale, step.threshold)
    return verdict.agreement is None and verdict.passed is False


def _is_near(value: float, scale: tuple[float, float], threshold: float | None) -> bool:
    low, high = scale
    limit = (low + high) / 2 if threshold is None else threshold
    margin = (high - low) / 10
    if isinstance(low, int) and isinstance(high, int):
        # What passes begins halfway between two scores; in the middle of a scale, a score there may be either.
        limit = math.ceil(limit) - 0.5 if threshold is not None else limit
        margin = max(margin, 0.5)
    # A bit more, so that rounding does not decide about a score at the very margin.
    return abs(value - limit) <= margin * (1 + 1e-9)


@dataclass(repr=False)
class Cascade(Grader):
    """Judges that are asked one after the other, as long as the one before is unsure or gives no verdict.

    The verdict is that of the last one that was asked. Where that gives none the cascade gives none, whatever those before
    it said: they were doubted.
    """

    steps: Sequence[Grader]
    """Who is asked, the cheapest first. Each needs a name of its own."""
    _: KW_ONLY
    when: AskNext | float = unsure
    """Whether the next one is asked, from the verdict of the one before, or a probability. Default: `unsure`.

    After a step that gave no verdict the next one is always asked. A probability below 1 is drawn by a hash of the run's
    id, or of the case where there is no run, so that the same case is always decided alike.
    """
    name: str | None = None
    """What results go by. Default: `Cascade`."""
    vote_timeout: float | None = None
    """Seconds that a step may take; then it has given no verdict.

    Default: an equal share, with the steps after it, of the time that the evaluation has left; without a timeout, no limit.
    The last step is limited by the evaluation alone.
    """
    on_fail: JudgeCallback | None = field(default=None, compare=False)
    """Called when a run that was judged online does not pass."""
    on_result: JudgeCallback | None = field(default=None, compare=False)
    """Called with every result of a run that was judged online."""

    def __post_init__(self) -> None:
        self.steps = checked_members(self.steps, 'Cascade', self.name)
        if self.vote_timeout is not None:
            check_seconds('vote_timeout', self.vote_timeout)
        check_callbacks(self, self.steps)
        self._check_when()

    def _check_when(self) -> None:
        when: Any = self.when
        if not _is_probability(when):
            what = 'a function of a Verdict or a probability from 0 to 1'
            if when is None:
                raise ConfigurationError(f'when must be {what}, got None.')
            check_function('when', when, what, synchronous=True)
        if when is not unsure:
            return
        for step in self.steps[:-1]:
            # What is in doubt is told by other votes, by a threshold, or by what passes.
            if isinstance(step, Judge) and step.labels is not None and step.passing is None and step.samples == 1:
                raise ConfigurationError(
                    f'Nothing tells whether {step.get_default_evaluation_name()!r} is unsure: it gives one label, and none '
                    'is said to pass. Set its passing or samples, or the when of the Cascade.'
                )

    def get_default_evaluation_name(self) -> str:
        """The cascade's name."""
        return self.name or self.get_serialization_name()

    def fingerprint_settings(self) -> dict[str, Any]:
        """What tells this cascade from one that may come to other verdicts. A function is told by its name."""
        when: Any = self.when
        return {
            'steps': self.steps,
            'versions': [step.get_evaluator_version() for step in self.steps],
            'when': _named(when) if hasattr(when, '__qualname__') else when,
        }

    def build_serialization_arguments(self) -> dict[str, Any]:
        """The settings, with the steps as specs, the condition by its name, and without callbacks."""
        arguments = {
            name: value for name, value in super().build_serialization_arguments().items() if name not in CALLBACKS
        }
        arguments['steps'] = [step.as_spec() for step in self.steps]
        if callable(arguments.get('when')):
            arguments['when'] = _named(arguments['when'])
        return arguments

    async def grade(self, case: JudgeCase) -> Verdict:
        """Ask the steps until one is sure.

        Raises:
            JudgementError: If the last step that was asked gives no verdict, or the condition raises.
        """
        name = self.get_default_evaluation_name()
        answers: list[Answer] = []
        probability = 1.0
        for index, step in enumerate(self.steps):
            if answers:
                share = self._share(answers[-1], self.steps[index - 1])
                if not _is_drawn(case, share, f'cascade:{name}:{index}'):
                    break
                probability *= share
            poll = Poll(quorum=1, vote_timeout=self._time_for(index))
            answers += await poll.take([partial(ask, Seated(step), case, probability=probability)], bool)
        last = answers[-1]
        if last.verdict is None:
            raise JudgementError(f'{name}: the last step, {last.vote.judge}, gave no verdict.') from last.error
        votes = tuple(answer.vote for answer in answers)
        agreement = agreement_of(votes)
        return replace(last.verdict, votes=votes, agreement=last.verdict.agreement if agreement is None else agreement)

    def _time_for(self, index: int) -> float | None:
        """Seconds that a step may take: one that hangs must leave time for those after it."""
        after = len(self.steps) - index - 1
        if self.vote_timeout is not None or not after:
            return self.vote_timeout
        left = Terms.current().time_left
        return None if left is None else left / (after + 1)

    def _share(self, answer: Answer, step: Grader) -> float:
        """The probability with which the step after this one's answer is asked."""
        if answer.verdict is None:
            return 1.0
        if not callable(self.when):
            return float(self.when)
        condition = f'{self.get_default_evaluation_name()}: the condition {_named(self.when)}'
        try:
            share = unsure(answer.verdict, step) if self.when is unsure else self.when(answer.verdict)
        except Exception as error:
            raise JudgementError(f'{condition} raised {type(error).__name__}.') from error
        if not _is_probability(share):
            raise JudgementError(f'{condition} gave {share!r}; expected a bool or a probability from 0 to 1.')
        return float(share)


def _is_drawn(case: JudgeCase, share: float, step: str) -> bool:
    # Most conditions are a plain yes or no, and need no hash of the case.
    return share == 1.0 or (share > 0.0 and uniform_draw(_unit_of(case), step) < share)


def _is_probability(value: object) -> bool:
    return isinstance(value, bool | int | float) and 0.0 <= value <= 1.0


def _named(function: Callable[..., object]) -> str:
    """What a condition is called: its qualified name, or the class of an object that can be called."""
    if isinstance(function, partial):
        return _named(function.func)
    named = function if hasattr(function, '__qualname__') else type(function)
    return f'{named.__module__}.{named.__qualname__}'


def _unit_of(case: JudgeCase) -> str:
    """What a case is drawn by: the run's id, or a hash of what is judged."""
    if case.run_id is not None:
        return case.run_id
    content = [None if each is MISSING else each for each in (case.output, case.input, case.reference)]
    try:
        text = to_json(content, serialize_unknown=True, bytes_mode='base64', inf_nan_mode='strings')
    except Exception:
        # Not every value has a JSON form, a list that contains itself for one.
        text = repr(content).encode(errors='surrogatepass')
    return blake2b(_MEMORY_ADDRESS.sub(b'', text), digest_size=16).hexdigest()
