"""Judges that say what they are told to."""

import inspect
from dataclasses import dataclass
from typing import Any

from pydantic_ai_assay.judging.case import JudgeCase
from pydantic_ai_assay.judging.grader import Grader
from pydantic_ai_assay.judging.verdict import Verdict
from pydantic_ai_assay.runs.judgement import Vote, current_log


@dataclass(repr=False)
class Scripted(Grader):
    """Gives a verdict, or a value as one, or raises; a function is called with the case and may be asynchronous."""

    says: Any = True
    name: str = 'a'
    criterion: str = ''
    calls: tuple[Vote, ...] = ()
    """What it notes in the log."""

    def get_default_evaluation_name(self) -> str:
        return self.name

    async def grade(self, case: JudgeCase) -> Verdict:
        log = current_log()
        for call in self.calls:
            assert log is not None
            log.add(call)
        says: Any = self.says
        if callable(says):
            says = says(case)
        if inspect.isawaitable(says):
            says = await says
        if isinstance(says, BaseException):
            raise says
        return (
            says if isinstance(says, Verdict) else Verdict(value=says, passed=says if isinstance(says, bool) else None)
        )


class Versioned(Scripted):
    """Has a version that is no setting."""

    def __init__(self, says: Any, name: str, version: str = 'v1') -> None:
        super().__init__(says, name)
        self._version = version

    def get_evaluator_version(self) -> str:
        return self._version


class Nameless(Scripted):
    """Loses its name when it says so."""

    is_lost = False

    def get_default_evaluation_name(self) -> str:
        if self.is_lost:
            raise LookupError('no name')
        return self.name


def scripted(*says: Any) -> list[Scripted]:
    """One for each of what is to be said, named a, b, c and so on."""
    return [Scripted(each, name=chr(ord('a') + index)) for index, each in enumerate(says)]
