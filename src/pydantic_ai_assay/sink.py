"""Where results go: what a sink and a store are, and what they are handed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from pydantic_evals import online as upstream
from pydantic_evals.online import SinkCallback

from .runs.outcome import EvaluationOutcome, EvaluationStatus
from .runs.record import RunRecord

__all__ = ('EvaluationSink', 'ResultStore', 'SinkPayload', 'SinkSource')


@dataclass(kw_only=True, frozen=True)
class SinkPayload(upstream.SinkPayload):
    """What a sink is handed: the results of one run, and the run itself."""

    outcomes: Sequence[EvaluationOutcome] = ()
    """What became of each evaluation, the ones that were dropped included."""
    run: RunRecord
    """The run that was evaluated."""


@runtime_checkable
class EvaluationSink(Protocol):
    """Where results go besides OpenTelemetry. A sink of pydantic-evals is one, too."""

    async def submit(self, payload: SinkPayload) -> None:
        """Take the results of one run.

        It is called on the run's event loop while that runs, and timed out after `sink_timeout`. Where the loop stands
        still in the middle of it, it is called again with the same payload on another one.

        Args:
            payload: The results, and the run they are about.
        """
        ...


@runtime_checkable
class ResultStore(EvaluationSink, Protocol):
    """What keeps every judged run and every outcome, such as a `Store`."""

    takes_all: ClassVar[bool]
    """Whether it is handed the runs as well of which no evaluation has a result or a failure."""

    def count(self, status: EvaluationStatus, evaluator: str, fingerprint: str | None, target: str, n: int = 1) -> None:
        """Count evaluations that have no outcome, such as those that were sampled out. Must return at once."""
        ...


SinkSource = EvaluationSink | Sequence[EvaluationSink | SinkCallback] | SinkCallback
"""What can be given as a sink."""
