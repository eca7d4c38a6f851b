from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio
import pytest
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure

from pydantic_ai_assay import EvaluationOutcome, EvaluationStatus, RunRecord, SinkPayload, stats
from pydantic_ai_assay.execution.pipeline import PIPELINE


@pytest.fixture
def anyio_backend() -> str:
    return 'asyncio'


@dataclass
class Collected:
    """A sink that keeps what it is given."""

    payloads: list[SinkPayload] = field(default_factory=list[SinkPayload])

    async def submit(self, payload: SinkPayload) -> None:
        self.payloads.append(payload)

    @property
    def results(self) -> list[EvaluationResult]:
        return [result for payload in self.payloads for result in payload.results]

    @property
    def failures(self) -> list[EvaluatorFailure]:
        return [failure for payload in self.payloads for failure in payload.failures]

    @property
    def outcomes(self) -> list[EvaluationOutcome]:
        return [outcome for payload in self.payloads for outcome in payload.outcomes]

    @property
    def values(self) -> dict[str, object]:
        return {result.name: result.value for result in self.results}

    @property
    def statuses(self) -> dict[str, str]:
        return {outcome.evaluator: outcome.status for outcome in self.outcomes}

    @property
    def run(self) -> RunRecord:
        (payload,) = self.payloads
        return payload.run


@pytest.fixture
def collected() -> Collected:
    return Collected()


_COUNTED_BEFORE: dict[str, dict[EvaluationStatus, int]] = {}


def counted(evaluator: str) -> dict[EvaluationStatus, int]:
    """What `stats()` counted for an evaluator since the test began."""
    before = _COUNTED_BEFORE.get(evaluator, {})
    counts = stats().by_evaluator.get(evaluator, {})
    return {status: count - before.get(status, 0) for status, count in counts.items() if count > before.get(status, 0)}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Every test ends with an idle pipeline, so that none hears of another's evaluations."""
    PIPELINE.notices.forget()
    _COUNTED_BEFORE.clear()
    _COUNTED_BEFORE.update({name: dict(counts) for name, counts in stats().by_evaluator.items()})
    yield
    assert PIPELINE.executor.wait_idle(10.0), PIPELINE.pending()
    assert stats().pending == 0


@pytest.fixture
def loop_of_run_sync() -> Iterator[None]:
    """The event loop that `run_sync` makes and leaves open, closed in the end."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


class Gate:
    """Opened from any thread; passed by evaluators on any loop."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self.arrived = 0

    def open(self) -> None:
        self._opened.set()

    async def pass_async(self) -> None:
        self.arrived += 1
        await anyio.to_thread.run_sync(self._opened.wait, 10.0, abandon_on_cancel=True)

    def pass_sync(self) -> None:
        self.arrived += 1
        assert self._opened.wait(10.0)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()
