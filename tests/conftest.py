from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio
import pytest
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure

from pydantic_ai_assay import EvaluationOutcome, RunRecord, SinkPayload, stats
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


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Every test ends with an idle pipeline, so that none hears of another's evaluations."""
    PIPELINE.notices.forget()
    yield
    assert PIPELINE.executor.wait_idle(10.0), PIPELINE.pending()
    assert stats().pending == 0


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
