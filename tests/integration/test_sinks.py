from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from conftest import Collected, Gate
from evaluators import Awaiting, Calling, Context, NotEmpty, score_one
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator
from pydantic_evals.online import SinkPayload as UpstreamPayload

from pydantic_ai_assay import (
    AssayWarning,
    CallbackSink,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    stats,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio


def evaluating(*evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, **settings: Any) -> Agent:
    config = OnlineEvalConfig(**settings)
    return Agent(TestModel(), name='told', capabilities=[OnlineEvaluation(evaluators=evaluators, config=config)])


async def test_one_submit_per_run_and_sink_when_all_is_done(collected: Collected, gate: Gate) -> None:
    async def slow(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    def broken(ctx: Context) -> bool:
        raise ValueError('no')

    agent = evaluating(Awaiting(slow), NotEmpty(), Calling(broken, 'broken'), default_sink=[collected])
    await agent.run('hi')
    while not gate.arrived:
        await asyncio.sleep(0.001)
    assert collected.payloads == []
    gate.open()
    await wait_for_evaluations()
    (payload,) = collected.payloads
    assert {result.name for result in payload.results} == {'Awaiting', 'NotEmpty'}
    assert [failure.name for failure in payload.failures] == ['broken']
    assert payload.target == 'told'
    assert isinstance(payload, UpstreamPayload)


async def test_callbacks_of_all_kinds(collected: Collected) -> None:
    told: list[tuple[str, int, str]] = []

    def plain(results: Any, failures: Any, context: Context) -> None:
        told.append(('plain', len(results), threading.current_thread().name))

    async def asynchronous(results: Any, failures: Any, context: Context) -> None:
        told.append(('async', len(results), threading.current_thread().name))

    def returns_a_coroutine(results: Any, failures: Any, context: Context) -> Any:
        return asynchronous(results, failures, context)

    class WithCall:
        async def __call__(self, results: Any, failures: Any, context: Context) -> None:
            await asynchronous(results, failures, context)

    agent = evaluating(
        NotEmpty(), default_sink=[plain, asynchronous, returns_a_coroutine, WithCall(), CallbackSink(plain), collected]
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert sorted(told) == [
        ('async', 1, 'MainThread'),
        ('async', 1, 'MainThread'),
        ('async', 1, 'MainThread'),
        ('plain', 1, 'assay-worker'),
        ('plain', 1, 'assay-worker'),
    ]
    assert len(collected.payloads) == 1


class Hanging:
    async def submit(self, payload: UpstreamPayload) -> None:
        await asyncio.Event().wait()


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def submit(self, payload: UpstreamPayload) -> None:
        raise self.error


async def test_a_sink_that_hangs_or_raises_is_reported_and_the_others_get_theirs(collected: Collected) -> None:
    heard: list[tuple[str, str, str]] = []

    async def hear(error: Exception, ctx: Context, evaluator: Evaluator[Any, Any, Any], location: str) -> None:
        heard.append((f'{type(error).__name__}: {error}', evaluator.get_default_evaluation_name(), location))

    agent = evaluating(
        NotEmpty(),
        Awaiting(score_one),
        default_sink=[Hanging(), Raising(ValueError('disk full')), Raising(SystemExit(1)), collected],
        on_error=hear,
        sink_timeout=0.05,
    )
    errors = stats().sink_errors
    await agent.run('hi')
    await wait_for_evaluations()
    assert len(collected.payloads) == 1
    assert stats().sink_errors == errors + 3
    assert {(message, location) for message, _, location in heard} == {
        ('TimeoutError: the sink Hanging did not finish within sink_timeout.', 'sink'),
        ('ValueError: disk full', 'sink'),
        ('AssayError: the sink Raising raised SystemExit: 1', 'sink'),
    }
    # One handler hears of each error once, however many evaluators share it.
    assert len(heard) == 3


async def test_a_sink_that_raises_without_on_error_is_warned_about() -> None:
    agent = evaluating(NotEmpty(), default_sink=Raising(ValueError('disk full')))
    with pytest.warns(AssayWarning, match='the sink Raising raised ValueError: disk full') as warned:
        for _ in range(3):
            await agent.run('hi')
        await wait_for_evaluations()
    assert len(warned) == 1


async def test_on_error_that_raises_is_warned_about() -> None:
    def worse(*args: Any) -> None:
        raise LookupError('worse')

    agent = evaluating(NotEmpty(), default_sink=Raising(ValueError('disk full')), on_error=worse)
    with pytest.warns(AssayWarning, match='`on_error` raised LookupError: worse when told of ValueError: disk full'):
        await agent.run('hi')
        await wait_for_evaluations()


async def test_an_event_that_cannot_be_emitted_is_an_error_of_delivery(
    monkeypatch: pytest.MonkeyPatch, collected: Collected
) -> None:
    from opentelemetry._logs import NoOpLogger

    def refuse(self: NoOpLogger, *args: Any, **kwargs: Any) -> None:
        raise OSError('collector gone')

    import pydantic_ai_assay.delivery.events as events

    class Refusing(NoOpLogger):
        emit = refuse

    monkeypatch.setattr(events, 'get_logger', Refusing)
    agent = evaluating(NotEmpty(), default_sink=collected)
    with pytest.warns(AssayWarning, match='raised OSError: collector gone'):
        await agent.run('hi')
        await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True}


async def test_a_slow_sibling_delays_nobodys_event(
    monkeypatch: pytest.MonkeyPatch, collected: Collected, gate: Gate
) -> None:
    import pydantic_ai_assay.execution.pipeline as pipeline

    emitted = threading.Event()
    emit = pipeline.emit_events

    def note(*args: Any, **kwargs: Any) -> None:
        emit(*args, **kwargs)
        emitted.set()

    monkeypatch.setattr(pipeline, 'emit_events', note)

    async def slow(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    await evaluating(Awaiting(slow), NotEmpty(), default_sink=collected).run('hi')
    while not emitted.is_set():
        await asyncio.sleep(0.001)
    assert collected.payloads == []
    gate.open()
    await wait_for_evaluations()
    assert len(collected.payloads) == 1
