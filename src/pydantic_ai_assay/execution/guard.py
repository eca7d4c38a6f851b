"""Evaluators that stand in the way: they judge an agent's output before the run returns it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_ai.exceptions import ModelRetry

from ..errors import EvaluatorOutputError, RedactionError
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.judgement import JudgementLog
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..runs.rejection import OutputRejected
from ..sampling.choice import Candidate
from .attached import AttachedEvaluator
from .chosen import Chosen
from .evaluation import Evaluation
from .pipeline import PIPELINE, redacted
from .work import Settlement, Work

__all__ = ('guard',)

STREAMED = (
    'In `run_stream()` the text may have been streamed already, so that it can be neither asked for again nor replaced: '
    'use `run()`, `iter()` or `run_stream_events()`, or `action="raise"`.'
)
CANCELLED = 'the run was cancelled'


@dataclass(kw_only=True, frozen=True)
class _Refusal:
    attached: AttachedEvaluator
    outcome: EvaluationOutcome


async def guard(part: Chosen, run: RunRecord, *, is_streamed: bool) -> Any:
    """Have an output judged, and do what the evaluators that refuse it are set to do.

    Args:
        part: The evaluators that were chosen for the run.
        run: The run so far, with the output.
        is_streamed: Whether the output may have been shown to somebody already.

    Returns:
        The output, or what replaces it.

    Raises:
        ModelRetry: If it is refused, and the model is to try again.
        OutputRejected: If it is refused for good.
    """
    blocking = [each for each in part.candidates if each.attached.settings.mode == 'block']
    judging = [_Judging(part, candidate, run) for candidate in blocking]
    refusals: list[_Refusal] = []
    try:
        context = await _shown(part, run)
        for each in judging:
            each.start(context)
        for each in judging:
            refusal = await each.refusal()
            if refusal is not None:
                refusals.append(refusal)
    except asyncio.CancelledError:
        for each in judging:
            each.cancel()
        raise
    return await _act(refusals, run, is_streamed=is_streamed) if refusals else run.output


async def _shown(part: Chosen, run: RunRecord) -> OnlineEvaluatorContext | RedactionError:
    """What evaluators may see of the run so far."""
    config = part.config
    if config.redact is None:
        return build_context(run, config.metadata)
    settled = _Settled()
    PIPELINE.executor.run_sync(
        lambda redact=config.redact: redacted(redact, run, config.metadata),
        label='redaction',
        on_settled=settled.set,
        timeout=config.sink_timeout,
    )
    settlement = await settled.future
    return settlement.value or RedactionError(settlement.error or TimeoutError())


class _Settled:
    """A settlement that the current event loop awaits, from whatever thread it comes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Settlement] = self._loop.create_future()

    def set(self, settlement: Settlement) -> None:
        """Note the settlement. Nobody waits for it where the loop has been closed in the meantime."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, settlement)

    def _resolve(self, settlement: Settlement) -> None:
        if not self.future.done():
            self.future.set_result(settlement)


class _Judging:
    """One evaluator judging one output."""

    def __init__(self, part: Chosen, candidate: Candidate[AttachedEvaluator], run: RunRecord) -> None:
        self._part = part
        self._attached = candidate.attached
        self._settled = _Settled()
        self._work: Work | None = None
        before = part.blocked.get(self._attached.key)
        # The context is set when there is one to show.
        self._evaluation = Evaluation(
            self._attached,
            part.config,
            build_context(run.withheld(), None),
            probability=candidate.rate,
            home=asyncio.get_running_loop(),
            observation=part.observation,
            followers=part.followers,
            judgements=JudgementLog() if before is None else before.judgements,
        )
        self._refused = 0 if before is None or before.settled is None else before.settled.refused

    def start(self, context: OnlineEvaluatorContext | RedactionError) -> None:
        if isinstance(context, RedactionError):
            self._settled.set(Settlement(error=context))
            return
        self._evaluation.context = context
        self._work = PIPELINE.start_blocking(self._evaluation, self._settled.set)

    async def refusal(self) -> _Refusal | None:
        settlement = await self._settled.future
        outcome = self._evaluation.outcome(settlement)
        if outcome.status == 'scored' and outcome.passed is None:
            outcome = self._evaluation.outcome(Settlement(error=_no_verdict(self._attached)))
        is_refused = self._refuses(outcome)
        self._keep(replace(outcome, refused=self._refused + is_refused))
        return _Refusal(attached=self._attached, outcome=outcome) if is_refused else None

    def cancel(self) -> None:
        if self._work is not None:
            task = self._work.task
            self._work.settle(self._work.epoch, Settlement(left=CANCELLED))
            if task is not None:
                task.cancel()
        self._keep(replace(self._evaluation.dropped(CANCELLED), refused=self._refused))

    def _refuses(self, outcome: EvaluationOutcome) -> bool:
        if outcome.status == 'scored':
            return outcome.passed is False
        return self._attached.settings.on_unavailable == 'closed'

    def _keep(self, outcome: EvaluationOutcome) -> None:
        self._evaluation.settled = outcome
        self._part.blocked[self._attached.key] = self._evaluation


def _no_verdict(attached: AttachedEvaluator) -> EvaluatorOutputError:
    return EvaluatorOutputError(
        f"{attached.name} returned no bool, so that it can refuse nothing; with mode='block' an evaluator must return one: "
        'a `Judge` with numbers needs a `threshold`, one with labels `passing` ones.'
    )


async def _act(refusals: Sequence[_Refusal], run: RunRecord, *, is_streamed: bool) -> Any:
    outcomes = [refusal.outcome for refusal in refusals]
    actions = [refusal.attached.settings.action for refusal in refusals]
    # Asking again does not help where there was no verdict.
    is_unavailable = any(
        refusal.attached.settings.action == 'retry' and refusal.outcome.status != 'scored' for refusal in refusals
    )
    if 'raise' in actions or is_unavailable:
        raise OutputRejected(outcomes)
    if is_streamed:
        raise OutputRejected(outcomes, why=STREAMED)
    if 'retry' in actions:
        raise ModelRetry(_complaint(outcomes))
    for action, outcome in zip(actions, outcomes, strict=True):
        assert callable(action)
        try:
            output = action(outcome, run)
            run = replace(run, output=await output if inspect.isawaitable(output) else output)
        except Exception as error:
            # The output must not get through because of that.
            raise OutputRejected(outcomes, error=error) from error
    return run.output


def _complaint(outcomes: Sequence[EvaluationOutcome]) -> str:
    lines = [
        f'- {result.name}: {result.reason or "not met"}'
        for outcome in outcomes
        for result in outcome.results
        if result.value is False
    ]
    return '\n'.join(['Your output was refused. Give one that meets these criteria:', *lines])
