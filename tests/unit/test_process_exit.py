"""What is flushed at the end, and that one guard guards once. The rest takes real processes: see the acceptance tests."""

import threading
from typing import Any

import pytest
from opentelemetry import metrics, trace

from pydantic_ai_assay.execution import process_exit
from pydantic_ai_assay.execution.process_exit import ExitGuard, flush_telemetry


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
