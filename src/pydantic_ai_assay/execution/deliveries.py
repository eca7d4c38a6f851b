"""From outcomes to sinks and callbacks: each timed out, isolated, and told of when it fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic_evals.online import CallbackSink, OnErrorLocation

from ..delivery.counters import Counters
from ..delivery.notices import Notices
from ..errors import AssayError, describe
from .attached import AttachedEvaluator
from .background import BackgroundExecutor
from .report import Report
from .work import Settlement

__all__ = ('Deliveries', 'error_of')


class Deliveries:
    """Calls what the user gave us to call."""

    def __init__(self, executor: BackgroundExecutor, counters: Counters, notices: Notices) -> None:
        self._executor = executor
        self._counters = counters
        self._notices = notices

    def deliver(self, report: Report) -> None:
        """Hand the outcomes of a run to their sinks."""
        payload = report.payload()
        if payload is None:
            return
        for sink in report.sinks:
            label = f'the sink {type(sink).__name__}'

            def on_settled(settlement: Settlement, label: str = label) -> None:
                error = error_of(settlement, label)
                if error is not None:
                    self._sink_failed(report, label, error)

            if isinstance(sink, CallbackSink):
                function = partial(sink.callback, payload.results, payload.failures, payload.context)
                self.call(function, sink.callback, report, label, on_settled)
            else:
                self.call(partial(sink.submit, payload), sink.submit, report, label, on_settled)

    def _sink_failed(self, report: Report, label: str, error: Exception) -> None:
        self._counters.count_sink_error()
        handlers = report.error_handlers()
        if not handlers:
            self._notices.warn(f'sink:{label}', f'Results were not delivered: {label} raised {describe(error)}.')
        for handler, attached in handlers:
            self._call_handler(handler, report, attached, error, 'sink')

    def tell_on_error(
        self, report: Report, attached: AttachedEvaluator, error: Exception, location: OnErrorLocation
    ) -> None:
        """Tell an evaluator's `on_error` of an error in delivery, or warn where there is none."""
        self._counters.count_sink_error()
        handler = attached.settings.on_error or report.config.on_error
        if handler is None:
            self._notices.warn(f'{location}:{attached.key}', f'{location} of {attached.name} raised {describe(error)}.')
        else:
            self._call_handler(handler, report, attached, error, location)

    def _call_handler(
        self, handler: Any, report: Report, attached: AttachedEvaluator, error: Exception, location: OnErrorLocation
    ) -> None:
        def on_settled(settlement: Settlement) -> None:
            second = error_of(settlement, '`on_error`')
            if second is not None:
                self._counters.count_sink_error()
                self._notices.warn('on_error', f'`on_error` raised {describe(second)} when told of {describe(error)}.')

        function = partial(handler, error, report.context, attached.evaluator, location)
        self.call(function, handler, report, '`on_error`', on_settled)

    def call(
        self,
        function: Callable[[], Any],
        original: Callable[..., Any],
        report: Report,
        label: str,
        on_settled: Callable[[Settlement], None],
    ) -> None:
        """Call a sink or a callback of the user: on the run's event loop if it is asynchronous, else in a thread."""
        timeout = report.config.sink_timeout

        def run_async(function: Callable[[], Any], on_settled: Callable[[Settlement], None]) -> None:
            self._executor.run_async(
                partial(_await_result, function), home=report.home, label=label, on_settled=on_settled, timeout=timeout
            )

        if inspect.iscoroutinefunction(original) or inspect.iscoroutinefunction(getattr(original, '__call__', None)):
            run_async(function, on_settled)
            return

        def on_called(settlement: Settlement) -> None:
            if inspect.isawaitable(settlement.value):
                awaitable = settlement.value
                run_async(lambda: awaitable, on_settled)
            else:
                on_settled(settlement)

        self._executor.run_sync(function, label=label, on_settled=on_called, timeout=timeout)


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
