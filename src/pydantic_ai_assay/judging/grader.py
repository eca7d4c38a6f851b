"""What a judge, a panel of judges and a cascade of judges have in common: from a case to a verdict."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic_ai.messages import ModelMessage
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from ..checks import check_seconds
from ..errors import ConfigurationError, JudgementError, describe
from ..runs.judgement import current_log
from ..thread_loop import run_on_thread_loop
from .answer import ask_all
from .case import MISSING, JudgeCase
from .cases import Cases, judge_cases
from .report import JudgeReport, JudgeResult
from .verdict import Verdict

__all__ = ('Grader', 'checked_members')

_ASYNCHRONOUS = ('judge', 'judge_many')
TIMEOUT = 60.0
"""Seconds that a judgement has, as those of runs have by default."""


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

    async def judge(
        self,
        *,
        output: Any,
        input: Any = MISSING,
        reference: Any = MISSING,
        messages: Sequence[ModelMessage] = (),
        name: str | None = None,
        timeout: float | None = TIMEOUT,
    ) -> JudgeResult:
        """Judge one output, wherever it comes from.

        Args:
            output: What is judged.
            input: The prompt or the arguments that it answers.
            reference: What the output should have been, where that is known.
            messages: The messages that led to it.
            name: What the case is called in the result.
            timeout: Seconds after which it is given up, or `None`.

        Raises:
            ConfigurationError: If `timeout` is no time.
            JudgementError: If there is no verdict, or not in time. `judge_many` records that instead.
        """
        _check_timeout(timeout)
        case = JudgeCase(output=output, input=input, reference=reference, messages=tuple(messages), name=name)
        (answer,) = await ask_all([self], case, timeout=timeout)
        if isinstance(answer.error, Exception) and not answer.is_late:
            raise answer.error
        if answer.error is not None:
            # Late, or an error that would end more than this call: a `SystemExit`, or a cancellation that the judge made up.
            raise JudgementError(describe(answer.error)) from answer.error
        return JudgeResult.of(answer, case)

    def judge_sync(
        self,
        *,
        output: Any,
        input: Any = MISSING,
        reference: Any = MISSING,
        messages: Sequence[ModelMessage] = (),
        name: str | None = None,
        timeout: float | None = TIMEOUT,
    ) -> JudgeResult:
        """The same as `judge`, for code that is not asynchronous.

        Raises:
            ConfigurationError: If `timeout` is no time.
            JudgementError: If there is no verdict, or not in time.
            RuntimeError: If an event loop runs in this thread.
        """
        given = {'output': output, 'input': input, 'reference': reference, 'messages': messages, 'name': name}
        return run_on_thread_loop(partial(self.judge, **given, timeout=timeout), *_ASYNCHRONOUS)

    async def judge_many(
        self,
        cases: Cases,
        *,
        max_concurrency: int = 10,
        timeout: float | None = TIMEOUT,
        progress: bool | None = None,
    ) -> JudgeReport:
        """Judge many outputs, some at a time.

        A case that is not judged, whatever the reason, is a failed result and touches no other. Cases that come as a list or
        another sequence are checked before the first is judged.

        Args:
            cases: The cases: `JudgeCase`s, or mappings with `output` and, where known, `input`, `reference`, `messages`
                and `name`. They may come from an asynchronous iterator, and are taken from it as they are needed.
            max_concurrency: How many are judged at a time.
            timeout: Seconds that each of them has, or `None`. One that takes longer is a result that timed out.
            progress: Whether a progress bar goes to standard error. Default: if that is a terminal, and there are at
                least 20 cases or it is not known how many.

        Returns:
            The results in the order of the cases, and what they come to.

        Raises:
            ConfigurationError: If there are no cases, one of a sequence is none, or a setting cannot work.
        """
        _check_timeout(timeout)
        return await judge_cases(self, cases, max_concurrency=max_concurrency, progress=progress, timeout=timeout)

    def judge_many_sync(
        self,
        cases: Cases,
        *,
        max_concurrency: int = 10,
        timeout: float | None = TIMEOUT,
        progress: bool | None = None,
    ) -> JudgeReport:
        """The same as `judge_many`, for code that is not asynchronous.

        Raises:
            ConfigurationError: If there are no cases, one of a sequence is none, or a setting cannot work.
            RuntimeError: If an event loop runs in this thread.
        """
        given = {'max_concurrency': max_concurrency, 'timeout': timeout, 'progress': progress}
        return run_on_thread_loop(partial(self.judge_many, cases, **given), *_ASYNCHRONOUS)


def checked_members(members: object, owner: str, name: object) -> tuple[Grader, ...]:
    """The members of a panel or a cascade.

    Args:
        members: What was given as members.
        owner: What they are to be members of.
        name: What that was given as its name.

    Raises:
        ConfigurationError: If there are none, one of them gives no verdicts, two have the same name, or `name` is none.
    """
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise ConfigurationError(f'name must be None or a text that is not empty, got {name!r}.')
    if isinstance(members, str) or not isinstance(members, Iterable):
        raise ConfigurationError(f'{owner} takes a list of judges, got {members!r}.')
    checked: list[Grader] = []
    for member in cast('Iterable[object]', members):
        if not isinstance(member, Grader):
            raise ConfigurationError(f'A member of a {owner} must be a Judge, a Panel or a Cascade, got {member!r}.')
        checked.append(member)
    if not checked:
        raise ConfigurationError(f'{owner} needs at least one judge, got none.')
    counts = Counter(member.get_default_evaluation_name() for member in checked)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ConfigurationError(
            f'Members of a {owner} need names of their own, got {twice[0]!r} {counts[twice[0]]} times; set `name`.'
        )
    return tuple(checked)


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None:
        check_seconds('timeout', timeout)
