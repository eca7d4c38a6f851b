"""`submit()`: evaluation of what was run elsewhere, or by something that is no agent of pydantic-ai."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from opentelemetry import baggage, trace
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from .capture import begin_run, outcome_of
from .errors import ConfigurationError, describe
from .execution.chosen import Chosen
from .execution.evaluators import AttachedEvaluators
from .execution.pipeline import PIPELINE
from .runs.clock import TIMEKEEPER
from .runs.record import RunRecord
from .sampling.choice import RunStart
from .settings import OnlineEvaluator

__all__ = ('submit',)


def submit(
    *evaluators: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator,
    inputs: Any,
    output: Any = None,
    target: str,
    error: BaseException | None = None,
    expected_output: Any = None,
    metadata: Mapping[str, Any] | None = None,
    duration: float = 0.0,
    run_id: str | None = None,
    conversation_id: str | None = None,
    config: upstream.OnlineEvalConfig | None = None,
) -> str:
    """Hand over something that was run, to be evaluated in the background like the run of an agent.

    For agents of other frameworks, for results that exist already, and wherever a decorator does not fit. Results are
    reported under the current span. Works in synchronous and asynchronous code, and returns at once.

    Args:
        *evaluators: The evaluators: bare ones, or with settings of their own as `OnlineEvaluator`.
        inputs: What was asked.
        output: What came of it.
        target: Name of what is evaluated.
        error: The exception it ended with, if it did; evaluators see it as `ctx.output`, if their `run_on` lets them.
        expected_output: What the output should have been, where that is known.
        metadata: Anything else evaluators, conditions and sinks should know.
        duration: How long it took, in seconds. Default: 0.
        run_id: What to know it by. The draw depends on it, so a result that is submitted again under its id is chosen or
            left out again. Default: a new one.
        conversation_id: The conversation it belongs to. Default: that of the run around it.
        config: Settings for all of the evaluators. Default: `DEFAULT_CONFIG`.

    Returns:
        The run's id.

    Raises:
        ConfigurationError: If one of the evaluators is none, or a setting has a value that cannot work. Never because of
            what is submitted or of the state of the queue.
    """
    if not target:
        raise ConfigurationError(f'target must name what is evaluated, got {target!r}.')
    if not duration >= 0 or not math.isfinite(duration):
        raise ConfigurationError(f'duration must be a number of seconds, 0 or more, got {duration!r}.')
    settled = [_settings_of(_Identity(each)) if isinstance(each, Evaluator) else each for each in evaluators]
    attached = AttachedEvaluators(settled, config)
    active = begin_run(run_id or str(uuid4()), target, conversation_id)

    def start() -> RunStart:
        return RunStart(
            run_id=active.run_id,
            conversation_id=active.conversation_id,
            target=target,
            agent_name=None,
            inputs=inputs,
            deps=None,
        )

    try:
        chosen = attached.choose(target, start)
        if chosen is not None:
            span_context = trace.get_current_span().get_span_context()
            run = RunRecord(
                run_id=active.run_id,
                target=target,
                outcome=outcome_of(error),
                inputs=inputs,
                output=output if error is None else error,
                started_at=datetime.fromtimestamp(TIMEKEEPER.clock.time() - duration, UTC),
                duration=duration,
                parent_run_id=active.parent_run_id,
                agent_path=active.agent_path,
                conversation_id=active.conversation_id,
                expected_output=expected_output,
                error=error,
                metadata=dict(metadata) if metadata is not None else None,
                span_context=span_context if span_context.is_valid else None,
                baggage=dict(baggage.get_all()),
                record_content=chosen.record_content,
            )
            PIPELINE.submit(_Submitted(run, chosen))
    except Exception as own_error:
        PIPELINE.notices.warn('submit', f'{target!r} is not evaluated: submitting it raised {describe(own_error)}.')
    return active.run_id


class _Submitted:
    """A run whose record exists already."""

    def __init__(self, run: RunRecord, chosen: Chosen) -> None:
        self.run_id = run.run_id
        self.target = run.target
        self.chosen = [chosen]
        self._run = run

    def record(self) -> RunRecord:
        """The run's record."""
        return self._run

    def discard(self) -> None:
        """There is nothing to let go of."""


class _Identity:
    """An evaluator as a key: evaluators are equal where their settings are, and have no hash."""

    def __init__(self, evaluator: Evaluator[Any, Any, Any]) -> None:
        self.evaluator = evaluator

    def __hash__(self) -> int:
        return id(self.evaluator)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.evaluator is self.evaluator


@lru_cache(maxsize=256)
def _settings_of(identity: _Identity) -> OnlineEvaluator:
    """The settings of a bare evaluator, the same each time it is passed, so that its evaluations share one limit."""
    return OnlineEvaluator(evaluator=identity.evaluator)
