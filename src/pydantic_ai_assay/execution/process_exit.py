"""The end of the process: the moment at which threads, thread pools and name look-up still work, and signals.

`atexit` is too late: by then the interpreter has shut the thread pools down, and with them the name look-up of every
event loop. `threading` has callbacks that run first, which `concurrent.futures` itself is built on.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

from .keeping import flush_stores

__all__ = ('ExitGuard', 'flush_telemetry')

Handler = Callable[[int, FrameType | None], Any]

FLUSH_MILLISECONDS = 5_000
CHECK_SECONDS = 1.0
"""Seconds between looks at who handles SIGTERM."""


class ExitGuard:
    """Calls `drain` once when the process ends, whether its main thread ends or a handled SIGTERM ends it."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain
        self._is_installed = False
        self._is_drained = False
        self._installed: Handler | None = None
        self._is_signal_blocked = False
        self._next_check = 0.0

    def install(self) -> None:
        """Register for the end of the process."""
        if self._is_installed:
            return
        # Callbacks run in reverse order: thread pools shut down after ours if their module was imported before.
        assert concurrent.futures.thread
        register = getattr(threading, '_register_atexit', atexit.register)
        try:
            register(self._finish)
        except RuntimeError:
            # The interpreter is shutting down already, past the point where anything could be waited for.
            self._is_drained = True
        # Only now: a child that is forked in between registers once more, which does no harm.
        self._is_installed = True

    def begin_in_child(self) -> None:
        """Guard the end of a forked child, which has inherited what was registered and installed."""
        self._is_drained = False
        self._next_check = 0.0
        if self._is_signal_blocked:
            # The signal that the parent keeps waiting is not pending here.
            self._is_signal_blocked = False
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def defer_termination(self) -> None:
        """Keep a SIGTERM that the application handles from ending the process before its event loop has ended.

        Servers such as uvicorn handle SIGTERM by shutting down in good order, and then restore the default action and
        raise the signal again, which ends the process on the spot. So the first SIGTERM is passed to the server's
        handler and blocked in the main thread from then on; the second one stays pending until what is pending has
        been drained. A signal without a handler is left alone.
        """
        now = time.monotonic()
        if now < self._next_check or threading.current_thread() is not threading.main_thread():
            return
        self._next_check = now + CHECK_SECONDS
        current = signal.getsignal(signal.SIGTERM)
        if current is self._installed or not callable(current) or not hasattr(signal, 'pthread_sigmask'):
            return
        self._installed = self._in_front_of(current)
        signal.signal(signal.SIGTERM, self._installed)

    def _in_front_of(self, handler: Handler) -> Handler:
        """A handler that blocks the signal and then calls `handler`.

        A library's handler may call the one it found, which may be an earlier one of ours: that one only passes on.
        """

        def on_signal(number: int, frame: FrameType | None) -> None:
            if on_signal is self._installed and not self._is_signal_blocked:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                self._is_signal_blocked = True
            handler(number, frame)

        return on_signal

    def loop_ended(self) -> None:
        """If a SIGTERM is pending, drain what other loops and threads have left, and let the signal through."""
        if (
            self._is_signal_blocked
            and threading.current_thread() is threading.main_thread()
            and signal.SIGTERM in signal.sigpending()
        ):
            self._finish()

    def _finish(self) -> None:
        if not self._is_drained:
            self._is_drained = True
            self._drain()
        if self._is_signal_blocked:
            # The signal ends the process before the exit handlers that usually do this.
            flush_stores()
            flush_telemetry()
            self._is_signal_blocked = False
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def flush_telemetry() -> None:
    """Export what OpenTelemetry's providers hold back for batches."""
    for provider in (trace.get_tracer_provider(), get_logger_provider(), metrics.get_meter_provider()):
        flush = getattr(provider, 'force_flush', None)
        if flush is not None:
            flush(FLUSH_MILLISECONDS)
