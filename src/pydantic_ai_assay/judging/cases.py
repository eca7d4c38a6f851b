"""Judging many cases, a bounded number at a time, from wherever they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence, Sized
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import anyio

from ..checks import check_count
from ..errors import ConfigurationError
from ..runs.clock import TIMEKEEPER
from ..runs.identity import identify
from ..runs.task_group import task_group
from .answer import ask
from .case import JudgeCase
from .progress import Counting, progress_of
from .report import JudgeReport, JudgeResult

if TYPE_CHECKING:
    from .grader import Grader

__all__ = ('Cases', 'judge_cases')

Cases = Iterable[JudgeCase | Mapping[str, Any]] | AsyncIterable[JudgeCase | Mapping[str, Any]]
"""What `judge_many` takes."""


async def judge_cases(
    grader: Grader, cases: Cases, *, max_concurrency: int, progress: bool | None, timeout: float | None
) -> JudgeReport:
    """Judge cases; see `Grader.judge_many`."""
    check_count('max_concurrency', max_concurrency, 1)
    total = _check_cases(cases)
    identity = identify(grader)
    name = grader.get_default_evaluation_name()
    clock = TIMEKEEPER.clock
    started = clock.perf_counter()
    with progress_of(name, total, progress) as counting:
        results = await _Batch(grader, max_concurrency, timeout, counting).judge(cases)
    if not results:
        raise _no_cases()
    return JudgeReport(
        judge=name,
        version=identity.version,
        fingerprint=identity.fingerprint,
        results=results,
        duration=clock.perf_counter() - started,
        finished_at=datetime.fromtimestamp(clock.time(), UTC),
    )


class _Batch:
    """The cases of one call, of which no more than a number are held at a time."""

    def __init__(self, grader: Grader, max_concurrency: int, timeout: float | None, counting: Counting) -> None:
        self._grader = grader
        self._timeout = timeout
        self._places = anyio.Semaphore(max_concurrency)
        self._counting = counting
        self._results: dict[int, JudgeResult] = {}

    async def judge(self, cases: Cases) -> tuple[JudgeResult, ...]:
        """Judge all of them, and return the results in the order of the cases."""
        # Where the cases come from may be broken, and what it raises ends all that runs.
        async with task_group() as group:
            await self._places.acquire()
            async for index, values in _numbered(cases):
                group.start_soon(self._judge_one, index, values)
                await self._places.acquire()
        return tuple(self._results[index] for index in range(len(self._results)))

    async def _judge_one(self, index: int, values: object) -> None:
        try:
            case = JudgeCase.from_values(values)
        except Exception as error:
            result = JudgeResult.without_case(error, index)
        else:
            result = JudgeResult.of(await ask(self._grader, case, timeout=self._timeout), case, index)
        self._results[index] = result
        self._places.release()
        self._counting.count(failed=result.status != 'scored')


async def _numbered(cases: Cases) -> AsyncIterator[tuple[int, object]]:
    index = 0
    if isinstance(cases, AsyncIterable):
        async for case in cases:
            yield index, case
            index += 1
    else:
        for case in cases:
            yield index, case
            index += 1


def _check_cases(cases: object) -> int | None:
    """Check what can be checked before anything is judged, and return how many cases there are, if that is known."""
    name = type(cases).__name__
    if isinstance(cases, str | bytes | Mapping) or not isinstance(cases, Iterable | AsyncIterable):
        raise ConfigurationError(f'cases must be a list or another iterable of cases, got a {name}.')
    if isinstance(cases, Sequence):
        for index, values in enumerate(cast('Sequence[object]', cases)):
            try:
                JudgeCase.from_values(values)
            except ConfigurationError as error:
                raise ConfigurationError(f'cases[{index}]: {error}') from None
    total = len(cast('Sized', cases)) if isinstance(cases, Sized) else None
    if total == 0:
        raise _no_cases()
    return total


def _no_cases() -> ConfigurationError:
    return ConfigurationError('There are no cases to judge.')
