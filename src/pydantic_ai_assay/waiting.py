"""Waiting for evaluations, from wherever."""

from __future__ import annotations

import warnings
from collections import Counter

import anyio.to_thread

from .delivery.counters import EvaluationStats
from .errors import AssayWarning
from .execution.lanes import running_loop
from .execution.pipeline import PIPELINE, PendingEvaluation

__all__ = ('stats', 'wait_for_evaluations')


async def wait_for_evaluations(*, timeout: float = 30.0) -> tuple[PendingEvaluation, ...]:
    """Wait until every evaluation of this process has ended and its results are delivered.

    Works on every event loop (asyncio and trio) and in every thread, whatever loop the evaluations belong to.

    Args:
        timeout: Seconds to wait at most, for all of them together. Default: 30.

    Returns:
        The evaluations that have not ended; empty unless the time was up. They go on.

    Warns:
        AssayWarning: If the time was up, naming what is left.
    """
    executor = PIPELINE.executor
    if executor.is_idle:
        return ()
    if running_loop() is not None:
        idle = await executor.wait_idle_async(timeout)
    else:
        idle = await anyio.to_thread.run_sync(executor.wait_idle, timeout, abandon_on_cancel=True)
    if idle:
        return ()
    left = PIPELINE.pending()
    names = Counter(each.evaluator for each in left)
    listed = ', '.join(f'{name} ({count})' for name, count in sorted(names.items())) or 'deliveries to sinks'
    warnings.warn(
        f'{len(left)} evaluation(s) had not ended after {timeout:g} seconds: {listed}.', AssayWarning, stacklevel=2
    )
    return left


def stats() -> EvaluationStats:
    """What has become of the evaluations of this process so far, and what is pending. Cheap; call it from anywhere."""
    return PIPELINE.stats()
