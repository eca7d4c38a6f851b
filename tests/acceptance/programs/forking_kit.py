"""Forks while threads are in the middle of what the testing kit guards, and uses the kit in the child."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

from pydantic_ai_assay import SinkPayload
from pydantic_ai_assay.testing import InMemorySink, SettableClock

# Python 3.12 and later warn of forking with threads, which is what this is about.
warnings.filterwarnings('ignore', 'This process', DeprecationWarning)

MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
# The sink looks at nothing but which payload it is.
PAYLOADS = cast('list[SinkPayload]', [object() for _ in range(1_000)])
sink = InMemorySink()
moved = SettableClock(MORNING)
stop = threading.Event()


def hand_in(payload: SinkPayload) -> None:
    with suppress(StopIteration):
        # Without a loop, so that a thread is in the sink most of the time.
        sink.submit(payload).send(None)


def fill() -> None:
    while not stop.is_set():
        for payload in PAYLOADS:
            hand_in(payload)


class Slow(float):
    """Seconds that are added while another thread forks."""

    adding, forked = threading.Event(), threading.Event()

    def __radd__(self, other: Any) -> float:
        self.adding.set()
        self.forked.wait(30)
        return float(other) + float(self)


def child(use: Callable[[], object]) -> NoReturn:
    signal.alarm(60)
    print(use(), flush=True)
    sys.exit()


def fork(use: Callable[[], object]) -> None:
    pid = os.fork()
    if not pid:
        child(use)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f'the child ended by {status}')


def use_sink() -> int:
    sink.clear()
    hand_in(PAYLOADS[0])
    return len(sink.payloads)


def use_clock() -> float:
    with moved:
        moved.advance(2.5)
    return moved.perf_counter()


filling = threading.Thread(target=fill, daemon=True)
filling.start()
for _ in range(4):
    fork(use_sink)
stop.set()
filling.join()

moving = threading.Thread(target=moved.advance, args=(Slow(1.5),), daemon=True)
moving.start()
Slow.adding.wait(30)
fork(use_clock)
Slow.forked.set()
moving.join()
print(moved.perf_counter())
