"""The one pipeline: takes the record of a finished run and sees every evaluation of it to its outcome."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from ..budget import Budget
from ..delivery.counters import Counters, EvaluationStats
from ..delivery.events import emit_events
from ..delivery.metrics import EvaluationMetrics
from ..delivery.notices import Notices
from ..delivery.sinks import as_sinks
from ..errors import RedactionError, describe, warn_safely
from ..fork import begin_generation, generation, when_forked
from ..runs.context import OnlineEvaluatorContext, build_context
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from ..runs.size import estimate_size
from ..runs.spans import RECORDER
from ..settings import OnlineEvalConfig, RedactCallback
from .attached import AttachedEvaluator
from .background import BackgroundExecutor
from .chosen import Submission
from .deliveries import Deliveries, callback_of, error_of
from .evaluation import Evaluation
from .keeping import StoreRegistry
from .lanes import running_loop
from .observation import Observation, begin_observing_in_child
from .queue import WaitingQueue
from .report import Report
from .selection import Selection
from .transient import is_loop_conflict
from .work import PROCESS_ENDED, Settlement, Work

__all__ = ('PIPELINE', 'PendingEvaluation', 'Pipeline', 'redacted')

HOPS_BEFORE_START = 8
"""Times the caller's loop goes round before a run's evaluations begin, so that its own `await` returns first.

Measured: `Agent.run` returns 2 rounds after its hooks do."""
MAX_LOOP_RESTARTS = 3


@dataclass(kw_only=True, frozen=True)
class PendingEvaluation:
    """An evaluation that has not ended."""

    evaluator: str
    """The evaluator's name."""
    run_id: str
    """The run it judges."""
    target: str
    """Name of what is evaluated."""


def redacted(redact: RedactCallback, run: RunRecord, metadata: dict[str, Any] | None) -> OnlineEvaluatorContext:
    """What evaluators may see of a run.

    Raises:
        TypeError: If `redact` returned something that is not a run.
    """
    settled: Any = redact(run)
    if not isinstance(settled, RunRecord):
        raise TypeError(f'redact must return a RunRecord, not {type(settled).__name__}')
    return build_context(settled, metadata)


def _is_told(attached: AttachedEvaluator, config: OnlineEvalConfig) -> bool:
    return any(callback_of(attached, config, name) for name in ('on_result', 'on_fail'))


class Pipeline:
    """Everything that happens after a run, for one process."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.notices = Notices()
        self.executor = BackgroundExecutor(on_exit=self._leave_waiting, on_left=self._report_left)
        self.selection = Selection(self.counters, self.notices)
        self._deliveries = Deliveries(self.executor, self.counters, self.notices)
        self._metrics: EvaluationMetrics | None = None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[int, WaitingQueue] = {}
        self._submitted: dict[int, Submission] = {}
        self._evaluations: set[Evaluation] = set()
        self._left = Counter[str]()

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
        self._begin()

    # What is known from outside

    def stats(self) -> EvaluationStats:
        """What has become of evaluations so far."""
        with self._lock:
            waiting = sum(map(len, self._queues.values()))
            waiting_bytes = sum(queue.bytes for queue in self._queues.values())
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

    def _waiting_count(self) -> int:
        with self._lock:
            return sum(map(len, self._queues.values()))

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
            self._metrics = EvaluationMetrics(self.counters, self._waiting_count)
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
            partial(self._expand, submission, home),
            home=home,
            label='sampling',
            on_settled=on_expanded,
            after=HOPS_BEFORE_START,
        )
        executor.expect_signals()

    async def _expand(self, submission: Submission, home: asyncio.AbstractEventLoop | None) -> list[Evaluation]:
        """Turn the candidates of a run into evaluations."""
        run = submission.record()
        evaluations: list[Evaluation] = []
        reports: dict[tuple[int, int], Report] = {}
        contexts: dict[int, OnlineEvaluatorContext] = {}
        for selected in self.selection.select(submission.chosen, run):
            attached, part = selected.attached, selected.part
            config, observation = part.config, part.observation
            source = attached.settings.sink if attached.settings.sink is not None else config.default_sink
            sinks = as_sinks(source)
            if part.store is not None:
                sinks = {**sinks, id(part.store): part.store}
            if observation is not None:
                sinks = {**(sinks if observation.call_sinks else {}), id(observation.sink): observation.sink}
            if not sinks and not config.emit_otel_events and not _is_told(attached, config):
                self.counters.count('skipped', attached.name, run.target)
                continue
            context = contexts.get(id(config))
            if context is None:
                context = contexts[id(config)] = build_context(run, config.metadata)
            evaluation = part.blocked.get(attached.key)
            if evaluation is None:
                evaluation = Evaluation(
                    attached,
                    config,
                    context,
                    probability=selected.probability,
                    home=home,
                    observation=observation,
                    followers=part.followers,
                    admission=selected.admission,
                )
            evaluation.context = context
            for identity, sink in sinks.items():
                # What is redacted for one config is not shown to its sinks by another.
                report = reports.get((identity, id(config.redact)))
                if report is None:
                    report = reports[identity, id(config.redact)] = Report(sink, evaluation)
                report.expect(evaluation)
                evaluation.reports.append(report)
            evaluations.append(evaluation)
        return evaluations

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
        # By identity: what a config holds, such as metadata, need not take a comparison.
        for _, group in groupby(evaluations, key=lambda each: id(each.config)):
            together = tuple(group)
            redact = together[0].config.redact
            if redact is None:
                self._admit_all(together)
            else:
                self._redact(redact, together)
        if not evaluations:
            submission.discard()

    def _redact(self, redact: RedactCallback, evaluations: Sequence[Evaluation]) -> None:
        """Let a run's evaluations begin once it is redacted, in a thread: it takes time and nobody may see it before."""
        first = evaluations[0]
        self.executor.run_sync(
            partial(redacted, redact, first.context.run, first.config.metadata),
            label='redaction',
            on_settled=partial(self._on_redacted, evaluations),
            timeout=first.config.sink_timeout,
        )

    def _on_redacted(self, evaluations: Sequence[Evaluation], settlement: Settlement) -> None:
        config, run = evaluations[0].config, evaluations[0].context.run
        context: OnlineEvaluatorContext | None = settlement.value
        if context is not None:
            for evaluation in evaluations:
                evaluation.context = context
            self._admit_all(evaluations)
            return
        if run.spans is not None:
            run.spans.close()
        withheld = build_context(run.withheld(), config.metadata)
        failed = settlement
        if settlement.left is None:
            failed = Settlement(error=RedactionError(settlement.error or TimeoutError()))
        for evaluation in evaluations:
            evaluation.context = withheld
            self._finish(evaluation, evaluation.outcome(failed))

    def _admit_all(self, evaluations: Iterable[Evaluation]) -> None:
        for evaluation in evaluations:
            if evaluation.settled is not None:
                self._finish(evaluation, evaluation.settled)
                continue
            try:
                self._admit(evaluation)
            except Exception as error:
                self._finish(evaluation, evaluation.outcome(Settlement(error=error)))

    def _give_up(self, submission: Submission, settlement: Settlement) -> None:
        submission.discard()
        for part in submission.chosen:
            for candidate in part.candidates:
                self.selection.pass_over(candidate.attached, 'dropped', submission.target, part.followers, part.store)
                if settlement.left is not None:
                    self._note_left(candidate.attached.name)
        if settlement.left is None:
            self.notices.warn(
                'expand',
                f'The evaluations of run {submission.run_id!r} were dropped: preparing them raised '
                f'{describe(settlement.error)}.',
            )

    # From an evaluation to its outcome

    def _admit(self, evaluation: Evaluation) -> None:
        """Start an evaluation, or let it wait for its turn."""
        attached, config = evaluation.attached, evaluation.config
        size = 0
        if attached.running >= attached.settings.max_concurrency:
            size = estimate_size(evaluation.context.run)
        with self._lock:
            attached.enter(generation())
            if attached.running < attached.settings.max_concurrency:
                attached.running += 1
                dropped = None
            else:
                queue = self._queues.get(id(config.__dict__))
                if queue is None:
                    queue = self._queues[id(config.__dict__)] = WaitingQueue(config)
                dropped = queue.add(evaluation, size)
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

    def start_blocking(self, evaluation: Evaluation, on_settled: Callable[[Settlement], None]) -> Work | None:
        """Run an evaluation at once, for somebody who waits for it and hands it over with its run when that has ended.

        Args:
            evaluation: The evaluation.
            on_settled: Called once, in the thread in which the evaluation ended.

        Returns:
            What runs, if it could be started.
        """
        evaluation.on_settled = on_settled
        return self._start(evaluation)

    def _start(self, evaluation: Evaluation) -> Work | None:
        attached = evaluation.attached
        settings = attached.settings
        evaluation.started = time.monotonic()
        on_settled = partial(self._on_settled, evaluation)
        try:
            label = attached.identity.name
            is_async = evaluation.awaitable is not None or attached.is_async
        except BaseException as error:
            on_settled(Settlement(error=error))
            return None
        if is_async:
            return self.executor.run_async(
                evaluation.run_async,
                home=evaluation.home,
                label=label,
                on_settled=on_settled,
                timeout=settings.timeout,
                in_background=settings.run_in == 'background',
            )
        return self.executor.run_sync(evaluation.run_sync, label=label, on_settled=on_settled, timeout=settings.timeout)

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
            self._start(evaluation)
            return
        if evaluation.on_settled is not None:
            evaluation.on_settled(settlement)
            return
        next_one = self._release(attached)
        self._finish(evaluation, evaluation.outcome(settlement))
        if next_one is not None:
            self._start(next_one)

    def _release(self, attached: AttachedEvaluator) -> Evaluation | None:
        """Give an evaluator's place to the evaluation that has waited longest, if there is one."""
        with self._lock:
            if not attached.waiting:
                attached.running -= 1
                return None
            evaluation = attached.waiting.popleft()
            key = id(evaluation.config.__dict__)
            queue = self._queues[key]
            queue.remove(evaluation)
            if not len(queue):
                del self._queues[key]
            return evaluation

    def _finish(self, evaluation: Evaluation, outcome: EvaluationOutcome) -> None:
        """Count and report an outcome."""
        config, run = evaluation.config, evaluation.context.run
        if not run.record_content:
            outcome = outcome.without_content()
        self.counters.count(outcome.status, outcome.evaluator, outcome.target)
        self._evaluations.discard(evaluation)
        evaluation.settle_budget(outcome)
        if outcome.detail == PROCESS_ENDED:
            self._note_left(outcome.evaluator)
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
        with self._lock:
            waiting = [evaluation for evaluation in self._evaluations if evaluation.is_waiting]
            for evaluation in waiting:
                evaluation.attached.waiting.remove(evaluation)
                self._queues[id(evaluation.config.__dict__)].remove(evaluation)
        for evaluation in waiting:
            self._finish(evaluation, evaluation.dropped(PROCESS_ENDED))

    def _note_left(self, evaluator: str) -> None:
        with self._lock:
            self._left[evaluator] += 1

    def _report_left(self, labels: list[str]) -> None:
        """Name, in one warning, what the end of the process left undone.

        Args:
            labels: What else was under way.
        """
        if self._left:
            listed = ', '.join(f'{name} ({count})' for name, count in sorted(self._left.items()))
            warn_safely(
                f'{self._left.total()} evaluation(s) did not finish within shutdown_timeout='
                f'{self.executor.shutdown_timeout:g} seconds of the end of the process and were left: {listed}.'
            )
        else:
            listed = ', '.join(sorted(set(labels)))
            warn_safely(f'The process ended before all results were delivered; left: {listed}.')


PIPELINE = Pipeline()
"""The pipeline of this process."""
when_forked(PIPELINE.begin_in_child)
