"""The durable unit: one evaluator judging one run in the process's pipeline, waited for to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from ..execution.chosen import Chosen
from ..execution.completion import Completion
from ..execution.evaluators import AttachedEvaluators
from ..execution.keeping import store_of
from ..execution.observation import current_observation
from ..execution.pipeline import PIPELINE
from ..runs.record import RunRecord
from ..switches import current_switches
from .run import DurableRun
from .start import Assignment

__all__ = ('judge', 'showing')

_LIVE: ContextVar[RunRecord | None] = ContextVar('pydantic_ai_assay.durable_run', default=None)
"""The record of the run that ends in this context: where the process has not changed, nothing of it need be lost."""


@contextmanager
def showing(record: RunRecord) -> Generator[None]:
    """Let units that are started from here, and run in this process, see the record itself."""
    token = _LIVE.set(record)
    try:
        yield
    finally:
        _LIVE.reset(token)


class _Submission:
    def __init__(self, record: RunRecord, chosen: Chosen) -> None:
        self.run_id = record.run_id
        self.target = record.target
        self.chosen = [chosen]
        self._record = record

    def record(self) -> RunRecord:
        return self._record

    def discard(self) -> None:
        if self._record.spans is not None:
            self._record.spans.close()


async def judge(
    evaluators: AttachedEvaluators | None, assignment: Assignment, run: DurableRun, *, outlasts_loop: bool = False
) -> str:
    """Let one evaluator judge a run, and wait until it has and its results are delivered.

    Args:
        evaluators: The evaluators of the capability, if it is known in this process.
        assignment: The evaluator.
        run: What the run left behind.
        outlasts_loop: Whether a cancellation has nothing to say but that the event loop ends. Then the time the pipeline
            has to finish what is pending is waited for, since what is finished and not recorded would be done again.

    Returns:
        What became of it.
    """
    attached = evaluators.find(assignment.key) if evaluators is not None else None
    if evaluators is None or attached is None:
        PIPELINE.counters.count('dropped', assignment.name, run.target)
        PIPELINE.notices.warn(
            f'durable:{assignment.key}',
            f'Run {run.run_id!r} is not evaluated by {assignment.name}: no such evaluator, with the settings it had when the run '
            'started, is attached to the agent in this process.',
        )
        return 'dropped'
    record = _LIVE.get()
    if record is None or record.run_id != run.run_id:
        record = run.record()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def on_complete() -> None:
        with contextlib.suppress(RuntimeError):
            # Of a loop that has been closed, nobody waits any more.
            loop.call_soon_threadsafe(ended.set)

    completion = Completion(on_complete)
    chosen = Chosen(
        evaluators.config,
        [assignment.candidate(attached)],
        record_content=record.record_content,
        observation=current_observation(),
        store=store_of(evaluators.config, current_switches().store),
        completion=completion,
    )
    PIPELINE.submit(_Submission(record, chosen))
    try:
        await ended.wait()
    except asyncio.CancelledError:
        if outlasts_loop:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), PIPELINE.executor.shutdown_time_left())
        if not (outlasts_loop and ended.is_set()):
            raise
    return completion.status
