"""`submit()`: results that were made elsewhere."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections import Counter, UserDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from conftest import Collected, Gate, counted
from evaluators import Awaiting, Calling, NotEmpty
from logfire.testing import CaptureLogfire
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import EqualsExpected, Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    AssayWarning,
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluator,
    disable_evaluation,
    evaluate,
    stats,
    submit,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio


@pytest.fixture
def config(collected: Collected) -> OnlineEvalConfig:
    return OnlineEvalConfig(default_sink=collected, metadata={'team': 'a'})


def test_what_is_submitted_without_a_loop_is_evaluated(collected: Collected, config: OnlineEvalConfig) -> None:
    before = datetime.now(UTC)
    run_id = submit(
        NotEmpty(),
        EqualsExpected(),
        inputs='2 + 2',
        output='4',
        expected_output='4',
        target='calculator',
        metadata={'tenant': 'acme'},
        duration=1.5,
        conversation_id='talk-1',
        config=config,
    )
    assert PIPELINE.executor.wait_idle(10.0)
    run = collected.run
    assert (run.run_id, run.target, run.inputs, run.output) == (run_id, 'calculator', '2 + 2', '4')
    assert (run.outcome, run.duration, run.conversation_id, run.metadata) == (
        'success',
        1.5,
        'talk-1',
        {'tenant': 'acme'},
    )
    assert timedelta(0) <= run.started_at - (before - timedelta(seconds=1.5)) < timedelta(seconds=5)
    assert collected.payloads[0].context.metadata == {'team': 'a', 'tenant': 'acme'}
    assert collected.values == {'NotEmpty': True, 'EqualsExpected': True}


async def test_from_asynchronous_code_evaluators_run_on_its_loop(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    loop = asyncio.get_running_loop()

    async def at_home(ctx: Any) -> bool:
        return asyncio.get_running_loop() is loop

    submit(Awaiting(at_home), inputs='a', output='b', target='chain', config=config)
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': True}


async def test_results_are_reported_under_the_current_span(config: OnlineEvalConfig, capfire: CaptureLogfire) -> None:
    import logfire

    with logfire.span('request') as span:
        submit(NotEmpty(), inputs='a', output='b', target='chain', config=config)
        context = span.get_span_context()
    await wait_for_evaluations()
    (event,) = capfire.log_exporter.exported_logs_as_dicts()
    assert context is not None
    assert event['span_id'] == context.span_id


async def test_what_is_submitted_within_a_run_knows_it(collected: Collected, config: OnlineEvalConfig) -> None:
    agent = Agent(TestModel(), name='planner')

    @agent.tool_plain
    @evaluate(NotEmpty(), config=config)
    def call_other() -> str:
        submit(NotEmpty(), inputs='a', output='b', target='other framework', config=config)
        return 'done'

    await agent.run('a question')
    await wait_for_evaluations()
    assert {payload.run.agent_path for payload in collected.payloads} == {
        ('planner', 'call_other'),
        ('planner', 'call_other', 'other framework'),
    }


def test_an_error_is_what_evaluators_see_if_they_want_to(collected: Collected, config: OnlineEvalConfig) -> None:
    error = ValueError('no')
    seen = OnlineEvaluator(evaluator=Calling(lambda ctx: ctx.output is error), run_on=['error'])
    submit(NotEmpty(), seen, inputs='a', target='chain', error=error, config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    assert collected.values == {'Calling': True}
    assert counted('NotEmpty') == {'skipped': 1}


def test_the_same_id_is_chosen_or_left_out_again(collected: Collected, config: OnlineEvalConfig) -> None:
    half = OnlineEvaluator(evaluator=NotEmpty(), sample_rate=0.5)
    for _ in range(2):
        for number in range(40):
            submit(half, inputs='a', output='b', target='chain', run_id=f'run-{number}', config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    ids = sorted(payload.run.run_id for payload in collected.payloads)
    assert ids[::2] == ids[1::2]
    assert 5 < len(set(ids)) < 35
    assert {outcome.probability for outcome in collected.outcomes} == {0.5}


def test_a_full_queue_is_counted_and_raises_nothing(collected: Collected, gate: Gate) -> None:
    def wait(ctx: Any) -> bool:
        gate.pass_sync()
        return True

    dropped: list[Any] = []

    def count(ctx: Any) -> None:
        dropped.append(ctx)
        if len(dropped) == 2:
            gate.open()

    config = OnlineEvalConfig(default_sink=collected, queue_size=1, on_max_concurrency=count)
    slow = OnlineEvaluator(evaluator=Calling(wait), max_concurrency=1)
    for _ in range(4):
        submit(slow, inputs='a', output='b', target='chain', config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    assert counted('Calling') == {'scored': 2, 'dropped': 2}


def test_a_bare_evaluator_that_is_passed_again_shares_its_limit(collected: Collected) -> None:
    running, most, lock = [0], [0], threading.Lock()

    async def count(ctx: Any) -> bool:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        for _ in range(3):
            await asyncio.sleep(0)
        running[0] -= 1
        return True

    evaluator = Awaiting(count)
    for _ in range(100):
        submit(evaluator, inputs='a', output='b', target='chain', config=OnlineEvalConfig(default_sink=collected))
    assert PIPELINE.executor.wait_idle(10.0)
    assert counted('Awaiting') == {'scored': 100}
    assert most[0] <= OnlineEvaluator(evaluator=evaluator).max_concurrency


def test_nothing_is_evaluated_where_evaluation_is_off(config: OnlineEvalConfig) -> None:
    before = stats().by_evaluator.get('NotEmpty', {})
    with disable_evaluation():
        assert submit(NotEmpty(), inputs='a', output='b', target='chain', run_id='run-1', config=config) == 'run-1'
    assert stats().by_evaluator.get('NotEmpty', {}) == before


def test_a_fault_in_what_is_submitted_is_a_warning(config: OnlineEvalConfig) -> None:
    class Strange(UserDict[str, Any]):
        def __iter__(self) -> Any:
            raise KeyError('keys')

    with pytest.warns(match="'chain' is not evaluated: submitting it raised"):
        submit(NotEmpty(), inputs='a', output='b', target='chain', metadata=Strange(), config=config)
    assert counted('NotEmpty') == {'dropped': 1}


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'target': ''}, "target must be a text that is not empty, got ''"),
        ({'target': 5}, 'target must be a text that is not empty, got 5'),
        ({'duration': -1.0}, r'duration must be a number of seconds, 0 or more, got -1\.0'),
        ({'duration': float('nan')}, 'duration must be a number of seconds, 0 or more, got nan'),
        ({'duration': float('inf')}, 'duration must be a number of seconds, 0 or more, got inf'),
        ({'duration': 'x'}, "duration must be a number of seconds, 0 or more, got 'x'"),
        ({'duration': None}, 'duration must be a number of seconds, 0 or more, got None'),
        ({'duration': True}, 'duration must be a number of seconds, 0 or more, got True'),
        ({'error': 'it broke'}, "error must be the exception it ended with, or None, got 'it broke'"),
        ({'error': ValueError}, "error must be the exception it ended with, or None, got <class 'ValueError'>"),
        ({'metadata': ['a']}, r"metadata must be a mapping .*, got \['a'\]"),
        ({'run_id': 17}, 'run_id must be a text that is not empty, or None, got 17'),
        ({'run_id': ''}, "run_id must be a text that is not empty, or None, got ''"),
        ({'conversation_id': 17}, 'conversation_id must be a text that is not empty, or None, got 17'),
        ({'config': {}}, r'config must be an OnlineEvalConfig.*, got \{\}'),
    ],
)
def test_a_mistake_in_the_call_is_an_error(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {'inputs': 'a', 'output': 'b', 'target': 'chain', **changed}
    with pytest.raises(ConfigurationError, match=message):
        submit(NotEmpty(), **arguments)


def test_what_is_no_evaluator_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="Expected an instance of an `Evaluator` subclass, got 'NotEmpty'"):
        submit('NotEmpty', inputs='a', target='chain')  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match='submit needs at least one evaluator, got none'):
        submit(inputs='a', target='chain')
    with pytest.raises(ConfigurationError, match='Two evaluators that differ in what they do have the name'):
        submit(Calling(str), Calling(bool), inputs='a', target='chain', config=OnlineEvalConfig(store='sqlite://'))
    blocking = OnlineEvaluator(evaluator=NotEmpty(), mode='block')
    with pytest.raises(ConfigurationError, match="mode='block' holds back the outputs of agents"):
        submit(blocking, inputs='a', target='chain')


# Evaluators that are made anew in each call


@dataclass
class Counting(Evaluator[Any, Any, Any]):
    """Counts how many of its kind judge at once."""

    limit: str = 'shared'
    running: ClassVar[Counter[str]] = Counter()
    most: ClassVar[Counter[str]] = Counter()

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        self.running[self.limit] += 1
        self.most[self.limit] = max(self.most[self.limit], self.running[self.limit])
        for _ in range(5):
            await asyncio.sleep(0)
        self.running[self.limit] -= 1
        return True


async def test_evaluators_that_do_the_same_share_a_limit(config: OnlineEvalConfig) -> None:
    Counting.most.clear()
    for _ in range(100):
        submit(Counting('bare'), inputs='a', output='b', target='chain', config=config)
        narrow = OnlineEvaluator(evaluator=Counting('narrow'), max_concurrency=2)
        submit(narrow, inputs='a', output='b', target='chain', config=config)
    await wait_for_evaluations()
    assert counted('Counting') == {'scored': 200}
    assert Counting.most == {'bare': 32, 'narrow': 2}


class Attribute(Evaluator[Any, Any, Any]):
    """Has what it says in no field, so that its fingerprint does not know of it."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> Any:
        return self.said


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError('ambiguous')


def test_evaluators_that_only_look_the_same_judge_each_for_itself(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    for number in range(3):
        submit(Calling(lambda ctx, number=number: number), inputs='a', output='b', target='chain', config=config)
        submit(Attribute(number), inputs='a', output='b', target='chain', config=config)
        strange = Attribute('strange')
        vars(strange)['strange'] = Incomparable()
        submit(strange, inputs='a', output='b', target='chain', config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    assert Counter(result.value for result in collected.results) == {0: 2, 1: 2, 2: 2, 'strange': 3}


def test_nothing_is_kept_for_each_call(config: OnlineEvalConfig) -> None:
    def submit_one(number: int) -> weakref.ref[Any]:
        evaluator = Counting(f'{number} of its own')
        out = OnlineEvaluator(evaluator=evaluator, sample_rate=0.0)
        submit(out, inputs='a', output='b', target='chain', config=config)
        return weakref.ref(evaluator)

    made = list(map(submit_one, range(1_000)))
    gc.collect()
    assert sum(each() is not None for each in made) <= 256


# The environment


def test_a_variable_that_cannot_be_read_is_an_error_in_the_first_call() -> None:
    program = (
        'from pydantic_ai_assay import ConfigurationError, submit\n'
        'from pydantic_evals.evaluators import Contains\n'
        'for _ in range(2):\n'
        '    try:\n'
        "        submit(Contains('a'), inputs='a', output='b', target='chain')\n"
        '    except ConfigurationError as error:\n'
        '        print(error)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program],
        env={**os.environ, 'ASSAY_SAMPLE_RATE': 'often'},
        capture_output=True,
        text=True,
        timeout=60,
    )
    line = "The environment variable ASSAY_SAMPLE_RATE must be a number from 0.0 to 1.0, got 'often'.\n"
    assert (done.returncode, done.stderr, done.stdout) == (0, '', line * 2)


def test_a_variable_that_turns_bad_later_is_no_error(
    collected: Collected, config: OnlineEvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '1.0')
    known = NotEmpty()
    submit(known, inputs='a', output='b', target='chain', config=config)
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', 'often, it turned out')
    with pytest.warns(AssayWarning, match="got 'often, it turned out'; the last readable value, 1.0, stays"):
        submit(known, inputs='a', output='b', target='chain', config=config)
    submit(NotEmpty(), inputs='a', output='b', target='chain', config=config)
    assert PIPELINE.executor.wait_idle(10.0)
    assert counted('NotEmpty') == {'scored': 3}


@pytest.mark.parametrize(
    ('variable', 'value', 'message'),
    [
        ('ASSAY_SAMPLE_RATE', 'seldom', "ASSAY_SAMPLE_RATE must be a number from 0.0 to 1.0, got 'seldom'"),
        ('ASSAY_STORE', 'nowhere', 'ASSAY_STORE cannot be used: store must be the URL of a database'),
    ],
)
def test_evaluators_that_come_after_a_variable_turned_bad_are_dropped_and_told_of(
    config: OnlineEvalConfig, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    submit(NotEmpty(), inputs='a', output='b', target='chain', config=config)
    monkeypatch.setenv(variable, value)
    with pytest.warns(AssayWarning, match=f"'chain' is not evaluated by evaluators that are new here: .*{message}"):
        submit(Counting(f'new after {variable}'), inputs='a', output='b', target='chain', config=config)
    assert counted('Counting') == {'dropped': 1}


def test_what_has_nothing_to_do_with_a_bad_variable_is_an_error_as_ever(
    config: OnlineEvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(NotEmpty(), inputs='a', output='b', target='chain', config=config)
    monkeypatch.setenv('ASSAY_STORE', 'nowhere')
    with pytest.raises(ConfigurationError, match='Two evaluators that differ in what they do have the name'):
        submit(Calling(str), Calling(bool), inputs='a', target='chain', config=config)


# What changes afterwards


def test_what_is_handed_over_is_judged_as_it_was(collected: Collected, config: OnlineEvalConfig, gate: Gate) -> None:
    def see(ctx: Any) -> bool:
        gate.pass_sync()
        return ctx.inputs == {'messages': ['a']} and ctx.output == ['b'] and ctx.expected_output == {'b'}

    messages, output, expected = ['a'], ['b'], {'b'}
    inputs = {'messages': messages}
    submit(Calling(see), inputs=inputs, output=output, expected_output=expected, target='chain', config=config)
    messages.append('b')
    inputs.clear()
    output.append('c')
    expected.clear()
    gate.open()
    assert PIPELINE.executor.wait_idle(10.0)
    assert collected.values == {'Calling': True}
