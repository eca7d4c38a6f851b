"""Importing the package does nothing that anybody could notice."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

CHILD = """
import atexit, json, logging, os, signal, socket, sys, threading, warnings, gc

import opentelemetry._logs, opentelemetry.metrics, opentelemetry.trace
import pydantic_ai, pydantic_evals, pydantic_evals.online, pydantic_evals.online_capability
import opentelemetry.sdk.trace

def state():
    gc.collect()
    return {
        'threads': sorted(thread.name for thread in threading.enumerate()),
        'sockets': sum(isinstance(each, socket.socket) for each in gc.get_objects()),
        'files': sorted(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else [],
        'handlers': [len(logging.getLogger(name).handlers) for name in ('', 'pydantic_ai_assay')],
        'levels': [logging.getLogger(name).level for name in ('', 'pydantic_ai_assay')],
        'tracer provider': type(opentelemetry.trace.get_tracer_provider()).__name__,
        'meter provider': type(opentelemetry.metrics.get_meter_provider()).__name__,
        'logger provider': type(opentelemetry._logs.get_logger_provider()).__name__,
        'SIGTERM': repr(signal.getsignal(signal.SIGTERM)),
        'exit handlers': atexit._ncallbacks(),
        'warning filters': len(warnings.filters),
    }

before = state()
import pydantic_ai_assay
after = state()
print(json.dumps([before, after]))
"""


@pytest.fixture(scope='module')
def states() -> tuple[dict[str, Any], dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', CHILD], env=os.environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, '')
    before, after = json.loads(done.stdout)
    return before, after


def test_nothing_of_the_process_changes(states: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, after = states
    assert after == before


def test_there_is_one_thread_and_no_telemetry(states: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, after = states
    assert after['threads'] == ['MainThread']
    assert after['sockets'] == 0
    assert after['tracer provider'] == 'ProxyTracerProvider'
    assert after['handlers'] == [0, 0]
