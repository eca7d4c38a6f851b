"""One evaluation: one evaluator, one run, from the moment it was chosen to its outcome."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic_evals.evaluators import EvaluationResult

from ..budget import Admission
from ..judging.terms import Terms
from ..runs.clock import TIMEKEEPER
from ..runs.context import OnlineEvaluatorContext
from ..runs.judgement import JudgementLog
from ..runs.outcome import EvaluationOutcome, EvaluationStatus
from ..settings import OnlineEvalConfig
from .attached import AttachedEvaluator
from .following import Follower
from .observation import Observation
from .scoring import EvaluatorSpan, call, call_async, failure_of, results_of
from .work import Settlement, Work

if TYPE_CHECKING:
    from .history import History
    from .report import Report

__all__ = ('Evaluation',)


class Evaluation:
    """One evaluator about to judge, judging, or having judged one run."""

    __slots__ = (
        'admission',
        'attached',
        'attempts',
        'awaitable',
        'config',
        'context',
        'followers',
        'history',
        'home',
        'is_waiting',
        'judgements',
        'observation',
        'on_settled',
        'probability',
        'reports',
        'restarts',
        'settled',
        'started',
        'submitted',
        'superseded',
        'terms',
        'works',
    )

    def __init__(
        self,
        attached: AttachedEvaluator,
        config: OnlineEvalConfig,
        context: OnlineEvaluatorContext,
        *,
        probability: float,
        home: asyncio.AbstractEventLoop | None,
        observation: Observation | None = None,
        history: History | None = None,
        followers: tuple[Follower, ...] = (),
        admission: Admission | None = None,
    ) -> None:
        self.attached = attached
        self.config = config
        self.context = context
        self.probability = probability
        self.reports: list[Report] = []
        self.home = home
        self.observation = observation
        self.followers = followers
        self.admission = admission
        self.attempts = 0
        self.restarts = 0
        self.awaitable: Awaitable[Any] | None = None
        self.is_waiting = False
        self.history = history
        self.judgements = JudgementLog() if history is None else history.judgements
        self.superseded: tuple[Evaluation, ...] = ()
        """Those of earlier outputs of the run that were refused."""
        self.settled: EvaluationOutcome | None = None
        self.on_settled: Callable[[Settlement], None] | None = None
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.terms = Terms()
        self.works: list[Work] = []
        """What was begun for it, where somebody waits for it."""

    async def run_async(self) -> tuple[EvaluationResult, ...]:
        """Run the evaluator on the current event loop.

        Raises:
            BaseException: Whatever the evaluator raises, and `EvaluatorOutputError` for what is not a result.
        """
        self.judgements.enter()
        self.terms.begin(self.attached.settings.timeout)
        with self._span():
            output = await call_async(self.attached, self._attempt_async, attempted=self._count_attempt)
            return results_of(output, self.attached)

    def _span(self) -> EvaluatorSpan:
        run = self.context.run
        return EvaluatorSpan(self.attached, run.telemetry_context, record_content=run.record_content)

    async def _attempt_async(self) -> Any:
        awaitable, self.awaitable = self.awaitable, None
        if awaitable is not None:
            return await awaitable
        return await self.attached.evaluator.evaluate_async(self.context)

    def run_sync(self) -> tuple[EvaluationResult, ...] | Awaitable[Any]:
        """Run a synchronous evaluator in the current thread.

        Returns:
            The results, or an awaitable if that is what the evaluator returned: it needs an event loop after all.

        Raises:
            BaseException: Whatever the evaluator raises, and `EvaluatorOutputError` for what is not a result.
        """
        self.judgements.enter()
        with self._span():
            output = call(self.attached, self._attempt_sync, attempted=self._count_attempt)
            return output if inspect.isawaitable(output) else results_of(output, self.attached)

    def _attempt_sync(self) -> Any:
        return self.attached.evaluator.evaluate(self.context)

    def _count_attempt(self) -> None:
        self.attempts += 1

    def stop(self, settlement: Settlement) -> None:
        """End what was begun for it, where somebody waits for it and does so no longer."""
        for work in tuple(self.works):
            work.stop(settlement)

    def settle_budget(self, outcome: EvaluationOutcome) -> None:
        """Tell the budget what the evaluation cost, or that it never ran."""
        budget = self.attached.settings.budget or self.config.budget
        if budget is None or self.admission is None:
            return
        if outcome.status == 'dropped' and not outcome.attempts:
            budget.release(self.admission)
        else:
            budget.settle(self.admission, outcome.judgement, aside=self.terms.aside)

    def outcome(self, settlement: Settlement) -> EvaluationOutcome:
        """The outcome that a settlement stands for."""
        if settlement.left is not None:
            return self._outcome('dropped', detail=settlement.left)
        if settlement.timed_out:
            timeout = self.attached.settings.timeout
            error = TimeoutError(f'{self.attached.name} did not finish within timeout={timeout} seconds.')
            return self._outcome('timed_out', error=error)
        if settlement.error is not None:
            return self._outcome('failed', error=settlement.error)
        return self._outcome('scored', results=settlement.value)

    def dropped(self, reason: str) -> EvaluationOutcome:
        """The outcome of an evaluation that never ran."""
        return self._outcome('dropped', detail=reason)

    def _outcome(
        self,
        status: EvaluationStatus,
        *,
        results: tuple[EvaluationResult, ...] = (),
        error: BaseException | None = None,
        detail: str | None = None,
    ) -> EvaluationOutcome:
        run = self.context.run
        now = time.monotonic()
        started = now if self.started is None else self.started
        identity = self.attached.known_identity
        return EvaluationOutcome(
            run_id=run.run_id,
            evaluator=self.attached.name,
            evaluator_version=identity.version if identity is not None else None,
            fingerprint=identity.fingerprint if identity is not None else None,
            status=status,
            probability=self.probability,
            results=results,
            failure=failure_of(error, self.attached) if error is not None else None,
            detail=detail,
            attempts=self.attempts,
            duration=now - started,
            waited=started - self.submitted,
            finished_at=datetime.fromtimestamp(TIMEKEEPER.clock.time(), UTC),
            target=run.target,
            agent_name=run.agent_name,
            agent_path=run.agent_path,
            parent_run_id=run.parent_run_id,
            conversation_id=run.conversation_id,
            judgement=self.judgements.judgement,
        )
