"""What the evaluations of a run are shown of it, where something must not leave the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..errors import RedactionError
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.record import RunRecord
from ..settings import RedactCallback
from .background import BackgroundExecutor
from .evaluation import Evaluation
from .work import Settlement

__all__ = ('redact_for', 'redacted', 'redaction_error')


def redacted(redact: RedactCallback, run: RunRecord) -> RunRecord:
    """What may be seen of a run.

    Raises:
        TypeError: If `redact` returned something that is not a run.
    """
    settled: Any = redact(run)
    if not isinstance(settled, RunRecord):
        raise TypeError(f'redact must return a RunRecord, not {type(settled).__name__}')
    return settled


def redaction_error(settlement: Settlement) -> RedactionError:
    """Why there is nothing to see of a run."""
    return RedactionError(settlement.error or TimeoutError())


def redact_for(
    evaluations: Sequence[Evaluation],
    executor: BackgroundExecutor,
    *,
    then: Callable[[Sequence[Evaluation]], None],
    or_else: Callable[[Evaluation, Settlement], None],
) -> None:
    """Redact a run once for those of its evaluations that have one `redact`, before any of them begins.

    It is done in a thread, since it takes time, and nobody may see the run before.

    Args:
        evaluations: The evaluations.
        executor: Has the threads.
        then: Called with the evaluations when they may be shown the run.
        or_else: Called with each of them if they may not, and why. What it is shown by then holds no content.
    """
    first = evaluations[0]
    run, redact = first.context.run, first.config.redact
    assert redact is not None

    def on_settled(settlement: Settlement) -> None:
        shown: RunRecord | None = settlement.value
        if shown is not None:
            _show(shown, evaluations)
            then(evaluations)
            return
        if run.spans is not None:
            run.spans.close()
        _show(run.withheld(), evaluations)
        failed = settlement if settlement.left is not None else Settlement(error=redaction_error(settlement))
        for evaluation in evaluations:
            or_else(evaluation, failed)

    executor.run_sync(
        partial(redacted, redact, run), label='redaction', on_settled=on_settled, timeout=first.config.sink_timeout
    )


def _show(run: RunRecord, evaluations: Sequence[Evaluation]) -> None:
    contexts: dict[int, OnlineEvaluatorContext] = {}
    for evaluation in evaluations:
        config = evaluation.config
        context = contexts.get(id(config))
        if context is None:
            context = contexts[id(config)] = build_context(run, config.metadata)
        evaluation.context = context
