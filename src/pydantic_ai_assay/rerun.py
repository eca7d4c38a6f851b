"""Running evaluators on a context that exists already, such as one rebuilt from a stored run."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import anyio.to_thread
from pydantic_evals.evaluators import EvaluationResult, Evaluator, EvaluatorContext, EvaluatorFailure

from .execution.attached import AttachedEvaluator, attach
from .execution.scoring import EvaluatorSpan, failure_of, results_of
from .runs.cancellation import is_cancelled
from .runs.task_group import task_group

__all__ = ('run_evaluators',)


async def run_evaluators(
    evaluators: Sequence[Evaluator[Any, Any, Any]], context: EvaluatorContext[Any, Any, Any]
) -> tuple[list[EvaluationResult], list[EvaluatorFailure]]:
    """Run evaluators on a context, all at once, and return what they said.

    Synchronous evaluators run in threads. Whatever an evaluator raises, of whatever kind, is its own failure.

    Args:
        evaluators: The evaluators.
        context: What they are to judge.

    Returns:
        The results and the failures, in the order of the evaluators.
    """
    outcomes: list[tuple[EvaluationResult, ...] | EvaluatorFailure] = [()] * len(evaluators)

    async def run(index: int, attached: AttachedEvaluator) -> None:
        try:
            with EvaluatorSpan(attached):
                outcomes[index] = results_of(await _evaluate(attached, context), attached)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or is_cancelled(error):
                raise
            outcomes[index] = failure_of(error, attached)

    attached = [attach(evaluator) for evaluator in evaluators]
    async with task_group() as group:
        for index, each in enumerate(attached):
            group.start_soon(run, index, each)

    results = [result for outcome in outcomes if not isinstance(outcome, EvaluatorFailure) for result in outcome]
    return results, [outcome for outcome in outcomes if isinstance(outcome, EvaluatorFailure)]


async def _evaluate(attached: AttachedEvaluator, context: EvaluatorContext[Any, Any, Any]) -> Any:
    if attached.is_async:
        return await attached.evaluator.evaluate_async(context)
    output, error = await anyio.to_thread.run_sync(_call, attached.evaluator, context, abandon_on_cancel=True)
    if error is not None:
        raise error
    return await output if inspect.isawaitable(output) else output


def _call(
    evaluator: Evaluator[Any, Any, Any], context: EvaluatorContext[Any, Any, Any]
) -> tuple[Any, BaseException | None]:
    """Call a synchronous evaluator in a thread.

    What it returns or raises comes back wrapped: trio takes no coroutine from a thread, and a `GeneratorExit` from one
    would close the coroutines that wait for it.
    """
    try:
        return evaluator.evaluate(context), None
    except BaseException as error:
        return None, error
