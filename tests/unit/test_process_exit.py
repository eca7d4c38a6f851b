"""What a guard does when the process ends, and when it is told to. How processes end of it is for the acceptance tests."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

import pytest
from opentelemetry import metrics, trace

from pydantic_ai_assay.execution import process_exit
from pydantic_ai_assay.execution.process_exit import CHECK_SECONDS, ExitGuard, flush_telemetry

from .samples import in_thread


class Provider:
    def __init__(self) -> None:
        self.flushed: list[int] = []

    def force_flush(self, timeout_millis: int) -> bool:
        self.flushed.append(timeout_millis)
        return True


def test_all_providers_that_can_be_are_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    tracers, logs = Provider(), Provider()
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: tracers)
    monkeypatch.setattr(process_exit, 'get_logger_provider', lambda: logs)
    monkeypatch.setattr(metrics, 'get_meter_provider', object)
    flush_telemetry()
    assert (tracers.flushed, logs.flushed) == ([5_000], [5_000])


def test_a_guard_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Any] = []
    drained: list[bool] = []
    monkeypatch.setattr(threading, '_register_atexit', registered.append)
    guard = ExitGuard(lambda: drained.append(True))
    guard.install()
    guard.install()
    (finish,) = registered
    finish()
    finish()
    assert drained == [True]


# Signals

needs_masks = pytest.mark.skipif(not hasattr(signal, 'pthread_sigmask'), reason='the system blocks no signals')


@pytest.fixture
def told() -> list[str]:
    """What was told, in turn."""
    return []


@pytest.fixture
def guard(told: list[str]) -> ExitGuard:
    return ExitGuard(lambda: told.append('drained'))


Handler = Callable[[int, FrameType | None], None]


@pytest.fixture
def handle(told: list[str]) -> Iterator[Handler]:
    """The application's handler of SIGTERM, which is in place."""

    def handle(number: int, frame: FrameType | None) -> None:
        told.append('handled')

    before = signal.signal(signal.SIGTERM, handle)
    yield handle
    # A signal that is still pending is dropped.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if hasattr(signal, 'pthread_sigmask'):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@needs_masks
@pytest.mark.usefixtures('handle')
def test_the_first_signal_is_handled_and_the_second_one_waits_until_all_is_done(
    guard: ExitGuard, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_exit, 'flush_telemetry', lambda: told.append('flushed'))
    guard.defer_termination()
    terminate()
    assert told == ['handled']
    terminate()
    assert told == ['handled']
    guard.loop_ended()
    assert told == ['handled', 'drained', 'flushed', 'handled']


@needs_masks
@pytest.mark.usefixtures('handle')
def test_the_end_of_a_loop_is_the_end_of_the_process_only_where_a_signal_waits(
    guard: ExitGuard, told: list[str]
) -> None:
    guard.defer_termination()
    guard.loop_ended()
    terminate()
    guard.loop_ended()
    assert told == ['handled']
    terminate()

    def end_a_loop_there() -> None:
        # A thread blocks what the one that started it did.
        terminate()
        guard.loop_ended()

    in_thread(end_a_loop_there)
    assert told == ['handled']
    guard.loop_ended()
    assert told == ['handled', 'drained', 'handled']


@needs_masks
@pytest.mark.usefixtures('handle')
def test_a_child_that_is_forked_while_a_signal_waits_can_be_told_to_end(guard: ExitGuard, told: list[str]) -> None:
    guard.defer_termination()
    terminate()
    assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    guard.begin_in_child()
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    terminate()
    assert told == ['handled', 'handled']


@needs_masks
@pytest.mark.usefixtures('handle')
def test_a_signal_that_the_application_blocks_itself_is_left_pending(guard: ExitGuard, told: list[str]) -> None:
    guard.defer_termination()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    terminate()
    guard.loop_ended()
    assert told == []
    assert signal.SIGTERM in signal.sigpending()


@needs_masks
def test_a_handler_of_ours_that_another_one_calls_only_passes_on(
    guard: ExitGuard, told: list[str], handle: Handler, clock: SimpleNamespace
) -> None:
    guard.defer_termination()
    earlier = signal.getsignal(signal.SIGTERM)
    assert callable(earlier)

    def chain(number: int, frame: FrameType | None) -> None:
        told.append('chained')
        earlier(number, frame)

    signal.signal(signal.SIGTERM, chain)
    clock.now += CHECK_SECONDS
    guard.defer_termination()
    later = signal.getsignal(signal.SIGTERM)
    assert len({earlier, chain, later, handle}) == 4
    # The one that is in place is another by now.
    earlier(signal.SIGTERM, None)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    terminate()
    assert told == ['handled', 'chained', 'handled']
    assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is set by hand."""
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(process_exit, 'time', SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@needs_masks
def test_who_handles_the_signal_is_looked_at_again_after_a_while(
    guard: ExitGuard, handle: Handler, clock: SimpleNamespace
) -> None:
    guard.defer_termination()
    ours = signal.signal(signal.SIGTERM, handle)
    assert ours is not handle
    clock.now += CHECK_SECONDS * 0.99
    guard.defer_termination()
    assert signal.getsignal(signal.SIGTERM) is handle
    clock.now += CHECK_SECONDS * 0.02
    guard.defer_termination()
    ours = signal.getsignal(signal.SIGTERM)
    assert ours is not handle
    clock.now += CHECK_SECONDS
    guard.defer_termination()
    assert signal.getsignal(signal.SIGTERM) is ours


def test_only_the_main_thread_handles_signals(guard: ExitGuard, handle: Handler) -> None:
    in_thread(guard.defer_termination)
    assert signal.getsignal(signal.SIGTERM) is handle


@pytest.mark.usefixtures('handle')
@pytest.mark.parametrize('action', [signal.SIG_DFL, signal.SIG_IGN])
def test_a_signal_that_the_application_does_not_handle_is_left_alone(guard: ExitGuard, action: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, action)
    guard.defer_termination()
    assert signal.getsignal(signal.SIGTERM) is action


def test_where_signals_cannot_be_blocked_they_are_left_alone(
    guard: ExitGuard, handle: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(signal, 'pthread_sigmask', raising=False)
        guard.defer_termination()
    assert signal.getsignal(signal.SIGTERM) is handle


@needs_masks
@pytest.mark.usefixtures('handle')
def test_a_guard_that_comes_when_the_interpreter_shuts_down_waits_for_nothing(
    guard: ExitGuard, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(function: Callable[[], object]) -> NoReturn:
        raise RuntimeError("can't register atexit after shutdown")

    monkeypatch.setattr(threading, '_register_atexit', refuse)
    guard.install()
    guard.defer_termination()
    terminate()
    terminate()
    guard.loop_ended()
    assert told == ['handled', 'handled']
