"""From outcomes to sinks and callbacks: each timed out, isolated, and told of when it fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic_evals.online import CallbackSink, OnErrorCallback, OnErrorLocation

from ..delivery.counters import Counters
from ..delivery.notices import Notices
from ..errors import AssayError, describe
from ..runs.outcome import EvaluationOutcome
from ..settings import OnlineEvalConfig, ResultCallback
from .attached import AttachedEvaluator
from .background import BackgroundExecutor
from .evaluation import Evaluation
from .report import Report
from .work import Settlement

__all__ = ('Deliveries', 'callback_of', 'error_of', 'is_asynchronous', 'is_told')


class Deliveries:
    """Calls what the user gave us to call."""

    def __init__(self, executor: BackgroundExecutor, counters: Counters, notices: Notices) -> None:
        self._executor = executor
        self._counters = counters
        self._notices = notices

    def deliver(self, report: Report) -> None:
        """Hand the outcomes of a run to the sink they are for."""
        payload = report.payload()
        if payload is None:
            return
        sink = report.sink
        label = f'the sink {type(sink).__name__}'

        def on_settled(settlement: Settlement) -> None:
            error = error_of(settlement, label)
            if error is not None:
                self._sink_failed(report, label, error)

        if isinstance(sink, CallbackSink):
            function = partial(sink.callback, payload.results, payload.failures, payload.context)
            self.call(function, sink.callback, report.first, label, on_settled)
        else:
            self.call(partial(sink.submit, payload), sink.submit, report.first, label, on_settled)

    def _sink_failed(self, report: Report, label: str, error: Exception) -> None:
        self._counters.count_sink_error()
        handlers = report.error_handlers()
        if not handlers:
            self._notices.warn(f'sink:{label}', f'Results were not delivered: {label} raised {describe(error)}.')
        for handler, evaluation in handlers:
            self._call_handler(handler, evaluation, error, 'sink')

    def tell_result(self, evaluation: Evaluation, outcome: EvaluationOutcome) -> None:
        """Call `on_result`, and `on_fail` if the outcome is one, of those that they are set for."""
        if outcome.status != 'scored':
            return
        self._tell(evaluation, outcome, 'on_result')
        if outcome.passed is False:
            self._tell(evaluation, outcome, 'on_fail')

    def tell_superseded(self, evaluation: Evaluation) -> None:
        """Call `on_fail` with the outcomes of the outputs that were refused before the one that the run ended with."""
        for each in evaluation.superseded:
            outcome = each.settled
            assert outcome is not None
            self._tell(each, outcome if each.context.run.record_content else outcome.without_content(), 'on_fail')

    def _tell(self, evaluation: Evaluation, outcome: EvaluationOutcome, name: str) -> None:
        callback = callback_of(evaluation.attached, evaluation.config, name)
        if callback is not None:
            self._tell_result(evaluation, outcome, callback, f'`{name}`')

    def _tell_result(
        self, evaluation: Evaluation, outcome: EvaluationOutcome, callback: ResultCallback, label: str
    ) -> None:
        def on_settled(settlement: Settlement) -> None:
            error = error_of(settlement, label)
            if error is not None:
                # To the handlers of errors, whose places pydantic-evals fixes, it is one more sink.
                self.tell_on_error(evaluation, error, 'sink', label=label)

        run = evaluation.context.run
        shown = run if run.record_content else run.without_content()
        self.call(partial(callback, outcome, shown), callback, evaluation, label, on_settled)

    def tell_on_error(
        self, evaluation: Evaluation, error: Exception, location: OnErrorLocation, *, label: str | None = None
    ) -> None:
        """Tell an evaluator's `on_error` of an error in delivery, or warn where there is none."""
        self._counters.count_sink_error()
        attached = evaluation.attached
        handler = attached.settings.on_error or evaluation.config.on_error
        if handler is None:
            what = label or location
            self._notices.warn(f'{what}:{attached.key}', f'{what} of {attached.name} raised {describe(error)}.')
        else:
            self._call_handler(handler, evaluation, error, location)

    def _call_handler(
        self, handler: OnErrorCallback, evaluation: Evaluation, error: Exception, location: OnErrorLocation
    ) -> None:
        def on_settled(settlement: Settlement) -> None:
            second = error_of(settlement, '`on_error`')
            if second is not None:
                self._counters.count_sink_error()
                self._notices.warn('on_error', f'`on_error` raised {describe(second)} when told of {describe(error)}.')

        function = partial(handler, error, evaluation.context, evaluation.attached.evaluator, location)
        self.call(function, handler, evaluation, '`on_error`', on_settled)

    def call(
        self,
        function: Callable[[], Any],
        original: Callable[..., Any],
        evaluation: Evaluation,
        label: str,
        on_settled: Callable[[Settlement], None],
    ) -> None:
        """Call a sink or a callback of the user: on the run's event loop if it is asynchronous, else in a thread."""
        timeout = evaluation.config.sink_timeout
        for follower in evaluation.followers:
            on_settled = follower.until(on_settled)

        def run_async(function: Callable[[], Any], on_settled: Callable[[Settlement], None]) -> None:
            self._executor.run_async(
                partial(_await_result, function),
                home=evaluation.home,
                label=label,
                on_settled=on_settled,
                timeout=timeout,
            )

        if is_asynchronous(original):
            run_async(function, on_settled)
            return

        def on_called(settlement: Settlement) -> None:
            if inspect.isawaitable(settlement.value):
                awaitable = settlement.value
                run_async(lambda: awaitable, on_settled)
            else:
                on_settled(settlement)

        self._executor.run_sync(
            function, label=label, on_settled=on_called, timeout=timeout, pool=self._executor.callbacks
        )


def callback_of(attached: AttachedEvaluator, config: OnlineEvalConfig, name: str) -> ResultCallback | None:
    """The `on_result` or `on_fail` that holds for an evaluator: its settings', else its own, else the config's."""
    for owner in (attached.settings, attached.evaluator, config):
        callback: ResultCallback | None = getattr(owner, name, None)
        if callback is not None:
            return callback
    return None


def is_told(attached: AttachedEvaluator, config: OnlineEvalConfig) -> bool:
    """Whether somebody is called with what becomes of an evaluator's evaluations."""
    return any(callback_of(attached, config, name) for name in ('on_result', 'on_fail'))


def is_asynchronous(function: Callable[..., Any]) -> bool:
    """Whether a function, or an object that is called like one, is known to be asynchronous."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, '__call__', None))


async def _await_result(function: Callable[[], Any]) -> None:
    result = function()
    if inspect.isawaitable(result):
        await result


def error_of(settlement: Settlement, label: str) -> Exception | None:
    """The error a callback ended with, in a form that an `on_error` callback takes."""
    if settlement.timed_out:
        return TimeoutError(f'{label} did not finish within sink_timeout.')
    if settlement.left is not None:
        return AssayError(f'{label} was left: {settlement.left}.')
    error = settlement.error
    if error is None or isinstance(error, Exception):
        return error
    wrapped = AssayError(f'{label} raised {describe(error)}')
    wrapped.__cause__ = error
    return wrapped
