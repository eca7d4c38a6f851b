"""Judges asked one after the other, the costly ones only where the cheap ones are not enough."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from pydantic_core import to_json

from ..errors import ConfigurationError, JudgementError
from ..runs.draw import uniform_draw
from .answer import Answer, ask_all
from .case import MISSING, JudgeCase
from .grader import Grader, checked_members
from .verdict import Verdict, agreement_of

__all__ = ('AskNext', 'Cascade', 'unsure')

AskNext = Callable[[Verdict], float | bool]
"""Whether the next judge is asked after this verdict: yes or no, or the probability with which it is."""

_MEMORY_ADDRESS = re.compile(rb' at 0x[0-9a-fA-F]+')


def unsure(verdict: Verdict) -> bool:
    """Whether those that voted disagree: the samples of one judge, or the members of a panel."""
    return verdict.agreement is not None and verdict.agreement < 1.0


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

    def __post_init__(self) -> None:
        self.steps = checked_members(self.steps, 'Cascade', self.name)
        when: Any = self.when
        if inspect.iscoroutinefunction(when):
            raise ConfigurationError(f'when must not be asynchronous, got {_named(when)}.')
        if not callable(when) and not _is_probability(when):
            raise ConfigurationError(
                f'when must be a function of a Verdict or a probability from 0 to 1, got {when!r}.'
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
        """The settings, with the steps as specs and the condition by its name."""
        arguments = super().build_serialization_arguments()
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
        for step in self.steps:
            if answers:
                share = self._share(answers[-1])
                if not _is_drawn(case, share, f'cascade:{name}:{len(answers)}'):
                    break
                probability *= share
            answers += await ask_all([step], case, probability=probability)
        last = answers[-1]
        if last.verdict is None:
            raise JudgementError(f'{name}: the last step, {last.vote.judge}, gave no verdict.') from last.error
        votes = tuple(answer.vote for answer in answers)
        agreement = agreement_of(votes)
        return replace(last.verdict, votes=votes, agreement=last.verdict.agreement if agreement is None else agreement)

    def _share(self, answer: Answer) -> float:
        """The probability with which the step after this answer is asked."""
        if answer.verdict is None:
            return 1.0
        if not callable(self.when):
            return float(self.when)
        condition = f'{self.get_default_evaluation_name()}: the condition {_named(self.when)}'
        try:
            share = self.when(answer.verdict)
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
