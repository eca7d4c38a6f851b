"""What takes the place of an output that was refused."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from contextvars import copy_context
from functools import partial
from typing import Any

from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..settings import ReplaceCallback
from .awaited import Awaited
from .deliveries import error_of, is_asynchronous
from .pipeline import PIPELINE
from .work import Settlement

__all__ = ('replacement',)

LABEL = '`action`'


async def replacement(action: ReplaceCallback, outcome: EvaluationOutcome, run: RunRecord, *, timeout: float) -> Any:
    """Have an output replaced: on the run's event loop if the function is asynchronous, else in a thread.

    Either way it is called in the run's own context.

    Args:
        action: The function.
        outcome: What refused the output.
        run: The run so far, with the output.
        timeout: Seconds it may take.

    Raises:
        Exception: Whatever the function raises.
        TimeoutError: If it takes too long.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    if is_asynchronous(action):
        output = action(outcome, run)
    else:
        output = await _in_thread(action, outcome, run, timeout)
    return await _awaited(output, deadline) if inspect.isawaitable(output) else output


async def _in_thread(action: ReplaceCallback, outcome: EvaluationOutcome, run: RunRecord, timeout: float) -> Any:
    answer = Awaited(timeout)
    work = PIPELINE.executor.run_sync(
        partial(copy_context().run, lambda: action(outcome, run)),
        label=LABEL,
        on_settled=answer.set,
        timeout=timeout,
        pool=PIPELINE.executor.guards,
    )
    try:
        settlement = await answer.future
    finally:
        work.stop(answer.end() or Settlement(left='the run was cancelled'))
    return _value_of(settlement)


async def _awaited(output: Awaitable[Any], deadline: float) -> Any:
    within = asyncio.timeout_at(deadline)
    try:
        async with within:
            return await output
    except TimeoutError:
        if within.expired():
            return _value_of(Settlement(timed_out=True))
        raise


def _value_of(settlement: Settlement) -> Any:
    error = error_of(settlement, LABEL)
    if error is not None:
        raise error
    return settlement.value
