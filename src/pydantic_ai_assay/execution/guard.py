"""Evaluators that stand in the way: they judge an agent's output before the run returns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import ModelResponse
from pydantic_ai.tools import RunContext

from .._upstream import EVALUATION_DISABLED, inside_dataset_evaluation
from ..errors import describe
from ..runs.active import GUARDED, ActiveRun
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..runs.rejection import OutputRejected
from ..sampling.choice import Candidate, RunStart, choose_before_run
from ..settings import RedactCallback
from ..switches import current_switches
from .attached import AttachedEvaluator
from .awaited import Awaited
from .blocking import GIVEN_UP, Judging, Refusal, refusal_unasked
from .chosen import Chosen
from .pipeline import PIPELINE
from .redacting import redacted, redaction_error
from .replacement import replacement
from .work import Settlement, Work

if TYPE_CHECKING:
    from .evaluators import AttachedEvaluators

__all__ = ('guard', 'leave_unasked', 'with_guards')

STREAMED = (
    'In `run_stream()` the text may have been streamed already, so that it can be neither asked for again nor replaced: '
    'use `run()`, `iter()` or `run_stream_events()`, or `action="raise"`.'
)


# Who is asked


def with_guards(
    chosen: Chosen | None, evaluators: AttachedEvaluators, active: ActiveRun, start: Callable[[], RunStart]
) -> Chosen | None:
    """Choose the evaluators that hold back outputs, also where nothing was chosen to be evaluated online.

    In a task of `Dataset.evaluate` nothing is. What guards refuse is part of what the agent does there as well, and so of
    what the dataset's own evaluators are to see.

    Args:
        chosen: What was chosen to be evaluated online.
        evaluators: Those of one `OnlineEvaluation`.
        active: The run, which is about to start.
        start: Tells what is known of the run.

    Returns:
        The candidates, or `None` where there is nobody to ask and nobody who could not be asked.
    """
    GUARDED[active.run_id] = active
    if chosen is not None:
        return chosen
    config, switches = evaluators.config, current_switches()
    candidates: list[Candidate[AttachedEvaluator]] = []
    is_enabled = config.enabled and not EVALUATION_DISABLED.get() and switches.evaluations
    if is_enabled and inside_dataset_evaluation():
        blocking = [each for each in evaluators.attached if each.settings.mode == 'block']
        candidates, left_out = choose_before_run(blocking, config, start, cap=switches.sample_rate)
        for attached, error in left_out:
            if error is not None:
                PIPELINE.selection.sampling_failed(attached, config, error, active=active)
    if not candidates and not active.unasked:
        return None
    return Chosen(config, candidates, evaluators=evaluators, record_content=switches.record_content)


def leave_unasked(active: ActiveRun, evaluators: AttachedEvaluators, chosen: Chosen | None, error: Exception) -> None:
    """Note that the evaluators cannot be asked about a run, because of an error of ours.

    Args:
        active: The run.
        evaluators: Those of one `OnlineEvaluation`.
        chosen: What was chosen from them, as far as it came to that.
        error: The error.
    """
    left = evaluators.attached if chosen is None else [candidate.attached for candidate in chosen.candidates]
    active.unasked = [*(active.unasked or ()), *_blocking_with(error, left)]


def _blocking_with(
    error: Exception, attached: Iterable[AttachedEvaluator]
) -> list[tuple[AttachedEvaluator, Exception]]:
    return [(each, error) for each in attached if each.settings.mode == 'block']


def _refusals_unasked(active: ActiveRun, unasked: Iterable[tuple[AttachedEvaluator, Exception]]) -> list[Refusal]:
    found = [refusal_unasked(each, error, active.run_id, active.agent_path[-1]) for each, error in unasked]
    return [refusal for refusal in found if refusal is not None]


# What becomes of an output


class GuardedRun(Protocol):
    """A run being captured whose output is held back."""

    def part_of(self, evaluators: object) -> Chosen | None:
        """What was chosen from these evaluators, if anything was."""
        ...

    def so_far(self, ctx: RunContext[Any], output: Any) -> RunRecord:
        """Make a record of the run as it would be if it ended here with this output."""
        ...


async def guard(active: ActiveRun, evaluators: AttachedEvaluators, ctx: RunContext[Any], output: Any) -> Any:
    """Have an output judged, and do what the evaluators that refuse it are set to do.

    Args:
        active: The run.
        evaluators: Those of one `OnlineEvaluation`.
        ctx: The run, as it stands.
        output: The output.

    Returns:
        The output, or what replaces it.

    Raises:
        ModelRetry: If it is refused, and the model is to try again.
        OutputRejected: If it is refused for good.
    """
    refusals = _refusals_unasked(active, [each for each in active.unasked or () if each[0] in evaluators.attached])
    captured: GuardedRun | None = active.recorded
    part = None if captured is None else captured.part_of(evaluators)
    judging: list[Judging] = []
    run: RunRecord | None = None
    if captured is not None and part is not None:
        try:
            made = captured.so_far(ctx, output)
            refusals += await _judge(part, made, judging)
            run = made
        except Exception as error:
            # Ours. It must not become the run's, and the output must not get through because of it.
            PIPELINE.notices.warn('guard', f'An output of run {active.run_id!r} was not judged: {describe(error)}.')
            asked = [candidate.attached for candidate in part.candidates]
            refusals += _refusals_unasked(active, _blocking_with(error, asked))
    if not refusals:
        return output
    # While a response is streamed, it is not one of the messages yet.
    is_streamed = not isinstance(ctx.messages[-1], ModelResponse)
    output = await _act(refusals, run, evaluators.config.sink_timeout, is_streamed=is_streamed)
    for each in judging:
        each.stand_for(output)
    return output


async def _judge(part: Chosen, run: RunRecord, judging: list[Judging]) -> list[Refusal]:
    """Ask the evaluators that block.

    Args:
        part: What was chosen for the run.
        run: The run so far, with the output.
        judging: Gets those that were asked.
    """
    redaction: Work | None = None
    try:
        for candidate in part.candidates:
            if candidate.attached.settings.mode == 'block':
                judging.append(Judging(part, candidate, run))
        if judging:
            redaction = _show(part, run, judging)
        found = [await each.refusal() for each in judging]
    finally:
        if redaction is not None:
            redaction.stop(Settlement(left=GIVEN_UP))
        for each in judging:
            each.end()
    return [refusal for refusal in found if refusal is not None]


def _show(part: Chosen, run: RunRecord, judging: Iterable[Judging]) -> Work | None:
    """Ask the evaluators, as soon as there is something that they may be shown."""
    config = part.config
    if config.redact is None:
        context = build_context(run, config.metadata)
        for each in judging:
            each.start(context)
        return None

    def on_redacted(future: asyncio.Future[Settlement]) -> None:
        settlement = future.result()
        for each in judging:
            each.start(settlement.value or redaction_error(settlement))

    def show(redact: RedactCallback) -> OnlineEvaluatorContext:
        return build_context(redacted(redact, run), config.metadata)

    redaction = Awaited()
    redaction.future.add_done_callback(on_redacted)
    return PIPELINE.executor.run_sync(
        partial(show, config.redact),
        label='redaction',
        on_settled=redaction.set,
        timeout=config.sink_timeout,
        pool=PIPELINE.executor.guards,
    )


async def _act(refusals: Sequence[Refusal], run: RunRecord | None, timeout: float, *, is_streamed: bool) -> Any:
    outcomes = [refusal.outcome for refusal in refusals]
    actions = [refusal.attached.settings.action for refusal in refusals]
    # Asking again does not help where there was no verdict.
    is_unavailable = any(
        refusal.attached.settings.action == 'retry' and refusal.outcome.status != 'scored' for refusal in refusals
    )
    if 'raise' in actions or is_unavailable or run is None:
        raise OutputRejected(outcomes)
    if is_streamed:
        raise OutputRejected(outcomes, why=STREAMED)
    if 'retry' in actions:
        raise ModelRetry(_complaint(outcomes))
    for action, outcome in zip(actions, outcomes, strict=True):
        assert callable(action)
        try:
            output = await replacement(action, outcome, run, timeout=timeout)
        except Exception as error:
            # The output must not get through because of that.
            raise OutputRejected(outcomes, error=error) from error
        run = replace(run, output=output)
    return run.output


def _complaint(outcomes: Sequence[EvaluationOutcome]) -> str:
    lines = [
        f'- {result.name}: {result.reason or "not met"}'
        for outcome in outcomes
        for result in outcome.results
        if result.value is False
    ]
    return '\n'.join(['Your output was refused. Give one that meets these criteria:', *lines])
