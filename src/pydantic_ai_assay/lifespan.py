"""The lifespan of a server: when it is told to end, what is pending is finished first, for as long as there is time."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import FrameType, TracebackType
from typing import Self

import anyio
import anyio.to_thread

from .errors import ConfigurationError, warn_safely
from .execution.lanes import running_loop
from .execution.pipeline import PIPELINE

__all__ = ('assay_lifespan',)


class assay_lifespan(AbstractAsyncContextManager[None]):
    """Waits for pending evaluations, of the whole process, when an ASGI application shuts down.

    Give it to an application, as `lifespan=assay_lifespan` or `lifespan=assay_lifespan(timeout=30)`, or use it in a
    lifespan of your own, around its `yield`: `async with assay_lifespan(): yield`.

    Args:
        app: The application, which is passed by the framework.
        timeout: Seconds to wait at most, here and at the end of the event loop and the process together. Default: the
            greatest `shutdown_timeout` of the configs in use.

    Raises:
        ConfigurationError: If `timeout` is not a number of seconds.

    Warns:
        AssayWarning: If the time was up, naming what is left; after a SIGTERM at the end of the process, otherwise here.
    """

    def __init__(self, app: object = None, /, *, timeout: float | None = None) -> None:
        _check_timeout(timeout)
        self._timeout = timeout

    def __call__(self, app: object, /) -> Self:
        """Be the lifespan of an application."""
        return self

    async def __aenter__(self) -> None:
        """Begin. There is no state to share with the application's requests."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait, unless the application was cancelled: whoever did that does not want to wait here."""
        executor = PIPELINE.executor
        if executor.is_idle or not (error is None or isinstance(error, Exception)):
            return
        if self._timeout is not None:
            executor.shutdown_timeout = self._timeout
        began = time.monotonic()
        try:
            is_ended = await _wait(executor.shutdown_time_left())
        finally:
            # The ends of the loop and of the process have what is left of the same time.
            executor.shutdown_time_spent(time.monotonic() - began)
        if not is_ended:
            executor.shutdown_time_spent(executor.shutdown_time_left())
            if not _is_termination_held():
                _name_left()


async def _wait(timeout: float) -> bool:
    """Wait until nothing is pending, for at most `timeout` seconds or until Ctrl-C. Returns whether nothing is."""
    executor, loop = PIPELINE.executor, running_loop()
    if loop is None:
        return await anyio.to_thread.run_sync(executor.wait_idle, timeout, abandon_on_cancel=True)
    with anyio.CancelScope() as scope, _on_ctrl_c(lambda: loop.call_soon_threadsafe(scope.cancel)):
        return await executor.wait_idle_async(timeout)
    return False


@contextmanager
def _on_ctrl_c(stop: Callable[[], object]) -> Generator[None]:
    """Call `stop` at Ctrl-C, and then whoever handles it: servers end no lifespan early, however often they are told.

    A repeated SIGTERM means nothing: supervisors send it to a worker, and so does the worker's parent.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop()
        handler(number, frame)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _is_termination_held() -> bool:
    """Whether a SIGTERM is kept from ending the process until what is left has been named, which then comes next."""
    return hasattr(signal, 'pthread_sigmask') and signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def _name_left() -> None:
    left = PIPELINE.pending()
    names = Counter(each.evaluator for each in left)
    listed = ', '.join(f'{name} ({count})' for name, count in sorted(names.items())) or 'deliveries to sinks'
    warn_safely(
        f'{len(left)} evaluation(s) had not ended when the application shut down, and are lost if the process ends: '
        f'{listed}.'
    )


def _check_timeout(timeout: object) -> None:
    if timeout is not None and not (isinstance(timeout, int | float) and 0.0 <= timeout < math.inf):
        raise ConfigurationError(f'timeout must be a number of seconds, 0 or more, got {timeout!r}.')
