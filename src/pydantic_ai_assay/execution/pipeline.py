"""The one pipeline: takes the record of a finished run and sees every evaluation of it to its outcome."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from ..budget import Budget
from ..delivery.counters import Counters, EvaluationStats
from ..delivery.events import emit_events
from ..delivery.metrics import EvaluationMetrics
from ..delivery.notices import Notices
from ..errors import describe
from ..fork import begin_generation, generation, when_forked
from ..runs.outcome import EvaluationOutcome
from ..runs.spans import RECORDER
from .attached import AttachedEvaluator
from .background import BackgroundExecutor
from .chosen import Submission
from .deliveries import Deliveries, error_of
from .evaluation import Evaluation
from .expansion import Expansion
from .keeping import StoreRegistry
from .lanes import running_loop
from .leftovers import Leftovers
from .observation import Observation, begin_observing_in_child
from .places import Places
from .redacting import redact_for
from .selection import Selection
from .transient import is_loop_conflict
from .work import PROCESS_ENDED, Settlement, Work

__all__ = ('PIPELINE', 'PendingEvaluation', 'Pipeline')

HOPS_BEFORE_START = 8
"""Times the caller's loop goes round before a run's evaluations begin, so that its own `await` returns first.

Measured: `Agent.run` returns 2 rounds after its hooks do."""
MAX_LOOP_RESTARTS = 12
"""How often an evaluation is started anew because a client it used was taken to another event loop in between.

Each agent run in another thread that comes in the middle of an evaluation may cost it one.
"""


@dataclass(kw_only=True, frozen=True)
class PendingEvaluation:
    """An evaluation that has not ended."""

    evaluator: str
    """The evaluator's name."""
    run_id: str
    """The run it judges."""
    target: str
    """Name of what is evaluated."""


class Pipeline:
    """Everything that happens after a run, for one process."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.notices = Notices()
        self.executor = BackgroundExecutor(on_exit=self._leave_waiting, on_left=self._report_left)
        self.selection = Selection(self.counters, self.notices)
        self._deliveries = Deliveries(self.executor, self.counters, self.notices)
        self._metrics: EvaluationMetrics | None = None
        self._places = Places()
        self._leftovers = Leftovers()
        self._begin()

    def _begin(self) -> None:
        self._submitted: dict[int, Submission] = {}
        self._evaluations: set[Evaluation] = set()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: what was handed in before the fork, and counted, is the parent's.

        In place, since others hold on to these objects; and with new locks, since a thread that held one did not come along.
        """
        begin_generation()
        Work.claim = threading.Lock()
        AttachedEvaluator.attaching = threading.Lock()
        self.executor.begin_in_child()
        self.counters.__init__()
        self.notices.__init__()
        RECORDER.begin_in_child()
        begin_observing_in_child()
        Budget.begin_in_child()
        StoreRegistry.lock = threading.Lock()
        self._places.begin()
        self._leftovers.begin()
        self._begin()

    # What is known from outside

    def stats(self) -> EvaluationStats:
        """What has become of evaluations so far."""
        waiting, waiting_bytes = self._places.waiting()
        return self.counters.stats(pending=self._pending_count(), waiting=waiting, waiting_bytes=waiting_bytes)

    def pending(self, observation: Observation | None = None) -> tuple[PendingEvaluation, ...]:
        """The evaluations that have not ended: all of them, or those that an observation follows."""
        waiting_to_start = [
            PendingEvaluation(evaluator=candidate.attached.name, run_id=submission.run_id, target=submission.target)
            for submission in list(self._submitted.values())
            for part in submission.chosen
            if observation is None or part.observation is observation
            for candidate in part.candidates
        ]
        started = [
            PendingEvaluation(
                evaluator=evaluation.attached.name,
                run_id=evaluation.context.run.run_id,
                target=evaluation.context.run.target,
            )
            for evaluation in list(self._evaluations)
            if observation is None or evaluation.observation is observation
        ]
        return (*waiting_to_start, *started)

    def _pending_count(self) -> int:
        submitted = list(self._submitted.values())
        return len(self._evaluations) + sum(len(part.candidates) for each in submitted for part in each.chosen)

    # From a run to its evaluations

    def submit(self, submission: Submission) -> None:
        """Hand over a finished run, from where it ran: its evaluators run on that event loop, if there is one.

        Returns at once.
        """
        if submission.chosen[0].generation != generation():
            # This process was forked in the middle of the run, whose evaluation is the parent's.
            submission.discard()
            return
        if self._metrics is None:
            self._metrics = EvaluationMetrics(self.counters, self._places.waiting_count)
        executor = self.executor
        for part in submission.chosen:
            if part.config.shutdown_timeout > executor.shutdown_timeout:
                executor.shutdown_timeout = part.config.shutdown_timeout
        executor.keep_open()
        home = running_loop()
        self._submitted[id(submission)] = submission
        on_expanded: Callable[[Settlement], None] = partial(self._on_expanded, submission)
        for part in submission.chosen:
            for follower in part.followers:
                on_expanded = follower.until(on_expanded)
        executor.run_async(
            Expansion(submission, self.selection, home).expand,
            home=home,
            label='sampling',
            on_settled=on_expanded,
            after=HOPS_BEFORE_START,
        )
        executor.expect_signals()

    def _on_expanded(self, submission: Submission, settlement: Settlement) -> None:
        del self._submitted[id(submission)]
        evaluations: list[Evaluation] | None = settlement.value
        if evaluations is None:
            self._give_up(submission, settlement)
            return
        self._evaluations.update(evaluations)
        for evaluation in evaluations:
            for follower in evaluation.followers:
                follower.begin()
        # By identity: what a config holds need not take a comparison. Whoever is shown a run after one `redact` shares it.
        together: dict[int, list[Evaluation]] = {}
        for evaluation in evaluations:
            together.setdefault(id(evaluation.config.redact), []).append(evaluation)
        for group in together.values():
            if group[0].config.redact is None:
                self._admit_all(group)
            else:
                redact_for(group, self.executor, then=self._admit_all, or_else=self._settle)
        if not evaluations:
            submission.discard()

    def _admit_all(self, evaluations: Iterable[Evaluation]) -> None:
        for evaluation in evaluations:
            if evaluation.settled is not None:
                self._finish(evaluation, evaluation.settled)
                continue
            try:
                self._admit(evaluation)
            except Exception as error:
                self._settle(evaluation, Settlement(error=error))

    def _settle(self, evaluation: Evaluation, settlement: Settlement) -> None:
        self._finish(evaluation, evaluation.outcome(settlement))

    def _give_up(self, submission: Submission, settlement: Settlement) -> None:
        submission.discard()
        for part in submission.chosen:
            for candidate in part.candidates:
                self.selection.pass_over(candidate.attached, 'dropped', submission.target, part.followers, part.store)
                if settlement.left is not None:
                    self._leftovers.note(candidate.attached.name)
        if settlement.left is None:
            self.notices.warn(
                'expand',
                f'The evaluations of run {submission.run_id!r} were dropped: preparing them raised '
                f'{describe(settlement.error)}.',
            )

    # From an evaluation to its outcome

    def _admit(self, evaluation: Evaluation) -> None:
        """Start an evaluation, or let it wait for its turn."""
        dropped = self._places.take(evaluation)
        if dropped is None:
            self._start(evaluation)
            return
        for each in dropped:
            self._drop(each)

    def _drop(self, evaluation: Evaluation) -> None:
        config, attached = evaluation.config, evaluation.attached
        self._finish(
            evaluation,
            evaluation.dropped(
                f'the queue was full (queue_size={config.queue_size}, queue_bytes={config.queue_bytes})'
            ),
        )
        handler = attached.settings.on_max_concurrency or config.on_max_concurrency
        if handler is None:
            self.notices.warn(
                f'dropped:{attached.key}',
                f'An evaluation by {attached.name} was dropped because the queue was full '
                f'(queue_size={config.queue_size}, queue_bytes={config.queue_bytes}). Raise max_concurrency, lower '
                'the sample rate, or set `on_max_concurrency` to hear of each one.',
            )
            return

        def on_settled(settlement: Settlement) -> None:
            error = error_of(settlement, '`on_max_concurrency`')
            if error is not None:
                self._deliveries.tell_on_error(evaluation, error, 'on_max_concurrency')

        self._deliveries.call(
            partial(handler, evaluation.context), handler, evaluation, '`on_max_concurrency`', on_settled
        )

    def start_blocking(self, evaluation: Evaluation, on_settled: Callable[[Settlement], None]) -> None:
        """Run an evaluation at once, for somebody who waits for it and hands it over with its run when that has ended.

        Args:
            evaluation: The evaluation.
            on_settled: Called once, in the thread in which the evaluation ended.
        """
        evaluation.on_settled = on_settled
        self._start(evaluation)

    def _start(self, evaluation: Evaluation) -> None:
        attached = evaluation.attached
        settings = attached.settings
        evaluation.started = time.monotonic()
        on_settled = partial(self._on_settled, evaluation)
        try:
            label = attached.identity.name
            is_async = evaluation.awaitable is not None or attached.is_async
        except BaseException as error:
            on_settled(Settlement(error=error))
            return
        executor = self.executor
        if is_async:
            work = executor.run_async(
                evaluation.run_async,
                home=evaluation.home,
                label=label,
                on_settled=on_settled,
                timeout=settings.timeout,
                in_background=settings.run_in == 'background',
            )
        else:
            work = executor.run_sync(
                evaluation.run_sync,
                label=label,
                on_settled=on_settled,
                timeout=settings.timeout,
                pool=executor.workers if evaluation.on_settled is None else executor.guards,
            )
        if evaluation.on_settled is not None:
            evaluation.works.append(work)

    def _on_settled(self, evaluation: Evaluation, settlement: Settlement) -> None:
        attached = evaluation.attached
        if inspect.isawaitable(settlement.value):
            attached.needs_event_loop()
            # One attempt has two parts here.
            evaluation.attempts -= 1
            evaluation.awaitable = settlement.value
            self._start(evaluation)
            return
        if (
            settlement.error is not None
            and evaluation.restarts < MAX_LOOP_RESTARTS
            and is_loop_conflict(settlement.error)
        ):
            evaluation.restarts += 1
            if evaluation.restarts > 1:
                # Its loop may be ending, or have others that use the client all the time.
                evaluation.home = None
            self._start(evaluation)
            return
        if evaluation.on_settled is not None:
            evaluation.on_settled(settlement)
            return
        next_one = self._places.pass_on(attached)
        self._settle(evaluation, settlement)
        if next_one is not None:
            self._start(next_one)

    def _finish(self, evaluation: Evaluation, outcome: EvaluationOutcome) -> None:
        """Count and report an outcome."""
        config, run = evaluation.config, evaluation.context.run
        if not run.record_content:
            outcome = outcome.without_content()
        self.counters.count(outcome.status, outcome.evaluator, outcome.target)
        self._evaluations.discard(evaluation)
        evaluation.settle_budget(outcome)
        if outcome.detail == PROCESS_ENDED:
            self._leftovers.note(outcome.evaluator)
        if self._metrics is not None and outcome.status in ('scored', 'failed', 'timed_out'):
            self._metrics.record_duration(outcome.duration, outcome.status, outcome.evaluator)
        for follower in evaluation.followers:
            follower.keep(outcome)
        observation = evaluation.observation
        emit = config.emit_otel_events
        if observation is not None:
            emit = emit if observation.emit_otel_events is None else observation.emit_otel_events
        if emit:
            try:
                emit_events(outcome, run, include_baggage=config.include_baggage)
            except Exception as error:
                self._deliveries.tell_on_error(evaluation, error, 'sink')
        self._deliveries.tell_superseded(evaluation)
        self._deliveries.tell_result(evaluation, outcome)
        for report in evaluation.reports:
            if report.add(evaluation, outcome):
                self._deliveries.deliver(report)
        if run.spans is not None:
            # The run is long over; what its background tasks still do belongs to nobody.
            run.spans.close()
        for follower in evaluation.followers:
            follower.end()

    def _leave_waiting(self) -> None:
        for evaluation in self._places.give_up(list(self._evaluations)):
            self._finish(evaluation, evaluation.dropped(PROCESS_ENDED))

    def _report_left(self, labels: list[str]) -> None:
        self._leftovers.report(labels, self.executor.shutdown_timeout)


PIPELINE = Pipeline()
"""The pipeline of this process."""
when_forked(PIPELINE.begin_in_child)
