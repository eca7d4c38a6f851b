"""One evaluator judging one output, while the run waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ..errors import EvaluatorOutputError, RedactionError
from ..runs.clock import TIMEKEEPER
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..sampling.choice import Candidate
from .attached import AttachedEvaluator
from .awaited import Awaited
from .chosen import Chosen
from .evaluation import Evaluation
from .history import History
from .pipeline import PIPELINE
from .scoring import failure_of
from .work import Settlement

__all__ = ('Judging', 'Refusal', 'refusal_unasked')

GIVEN_UP = 'the run did not wait any longer'


@dataclass(kw_only=True, frozen=True)
class Refusal:
    """An output that an evaluator refused, or could not judge and fails closed."""

    attached: AttachedEvaluator
    outcome: EvaluationOutcome


class Judging:
    """One evaluator judging one output. Its `timeout` runs from when it is made, whatever it then has to wait for."""

    def __init__(self, part: Chosen, candidate: Candidate[AttachedEvaluator], run: RunRecord) -> None:
        """Begin the time that the evaluator has.

        Args:
            part: What it was chosen with.
            candidate: The evaluator.
            run: The run so far, with the output.
        """
        self._attached = candidate.attached
        first = part.blocked.get(self._attached.key)
        self._history = History() if first is None or first.history is None else first.history
        # The context is set when there is one to show.
        self._evaluation = Evaluation(
            self._attached,
            part.config,
            build_context(run.withheld(), None),
            probability=candidate.rate,
            home=asyncio.get_running_loop(),
            observation=part.observation,
            followers=part.followers,
            history=self._history,
        )
        part.blocked.setdefault(self._attached.key, self._evaluation)
        self.stand_for(run.output)
        self._answer = Awaited(self._attached.settings.timeout)

    def stand_for(self, output: Any) -> None:
        """Note the output that is judged, or what takes its place."""
        self._history.add(self._evaluation, output)

    def start(self, context: OnlineEvaluatorContext | RedactionError) -> None:
        """Ask the evaluator, unless its time is over.

        Args:
            context: What it is shown, or why there is nothing that it may be shown.
        """
        if self._answer.future.done():
            return
        if isinstance(context, RedactionError):
            self._answer.set(Settlement(error=context))
            return
        self._evaluation.context = context
        PIPELINE.start_blocking(self._evaluation, self._answer.set)

    async def refusal(self) -> Refusal | None:
        """Wait for the verdict. Returns the refusal, if it is one."""
        outcome = self._outcome(await self._answer.future)
        is_refused = self._refuses(outcome)
        if is_refused:
            outcome = replace(outcome, refused=self._history.refused + 1)
        self._evaluation.settled = outcome
        return Refusal(attached=self._attached, outcome=outcome) if is_refused else None

    def end(self) -> None:
        """Wait no longer, and stop what was begun where there was no verdict in time."""
        settlement = self._answer.end()
        self._evaluation.stop(settlement or Settlement(left=GIVEN_UP))
        if self._evaluation.settled is None:
            self._evaluation.settled = self._outcome(settlement or Settlement(left=GIVEN_UP))

    def _outcome(self, settlement: Settlement) -> EvaluationOutcome:
        outcome = self._evaluation.outcome(settlement)
        if outcome.status == 'scored' and outcome.passed is None:
            return self._evaluation.outcome(Settlement(error=_no_verdict(self._attached)))
        return outcome

    def _refuses(self, outcome: EvaluationOutcome) -> bool:
        if outcome.status == 'scored':
            return outcome.passed is False
        return self._attached.settings.on_unavailable == 'closed'


def _no_verdict(attached: AttachedEvaluator) -> EvaluatorOutputError:
    return EvaluatorOutputError(
        f"{attached.name} returned no bool, so that it can refuse nothing; with mode='block' an evaluator must return one: "
        'a `Judge` with numbers needs a `threshold`, one with labels `passing` ones.'
    )


def refusal_unasked(attached: AttachedEvaluator, error: Exception, run_id: str, target: str) -> Refusal | None:
    """The refusal of an evaluator that could not even be asked, if it fails closed.

    Args:
        attached: The evaluator.
        error: Why it could not be asked.
        run_id: The run.
        target: Name of what runs.
    """
    if attached.settings.on_unavailable != 'closed':
        return None
    identity = attached.known_identity
    outcome = EvaluationOutcome(
        run_id=run_id,
        evaluator=attached.name,
        evaluator_version=None if identity is None else identity.version,
        fingerprint=None if identity is None else identity.fingerprint,
        status='failed',
        probability=1.0,
        failure=failure_of(error, attached),
        finished_at=datetime.fromtimestamp(TIMEKEEPER.clock.time(), UTC),
        target=target,
        refused=1,
    )
    return Refusal(attached=attached, outcome=outcome)
