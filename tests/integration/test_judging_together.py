"""Judges, panels and cascades at work: attached to agents, in datasets, and asked about what was said elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import statistics
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import Collected
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    Cascade,
    ConfigurationError,
    EvaluationOutcome,
    Grader,
    Judge,
    JudgeCase,
    JudgementError,
    JudgeReport,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    Panel,
    Verdict,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio


@dataclass(repr=False)
class Scripted(Grader):
    """Says what a function of the case says, which may be asynchronous."""

    says: Callable[[JudgeCase], Any]
    name: str = 'scripted'

    def get_default_evaluation_name(self) -> str:
        return self.name

    async def grade(self, case: JudgeCase) -> Verdict:
        value = self.says(case)
        if asyncio.iscoroutine(value):
            value = await value
        return Verdict(value=value, passed=value if isinstance(value, bool) else None)


def length(case: JudgeCase) -> int:
    return len(case.output)


def answering(**answer: Any) -> FunctionModel:
    """A model that gives this verdict, or an error."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if 'error' in answer:
            raise answer['error']
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {'reason': 'Because.', **answer})])

    return FunctionModel(respond)


def judge(name: str, **answer: Any) -> Judge:
    settings = {key: answer.pop(key) for key in ('scale', 'samples', 'threshold') if key in answer}
    return Judge('It is polite', name=name, model=answering(**answer), **settings)


BROKEN = ConnectionError('the provider is down')


async def run_with(evaluator: Evaluator | OnlineEvaluator, collected: Collected) -> EvaluationOutcome:
    agent = Agent(
        TestModel(custom_output_text='Hello!'),
        name='support',
        capabilities=[OnlineEvaluation(evaluators=[evaluator], config=OnlineEvalConfig(default_sink=collected))],
    )
    await agent.run('Hi')
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    return outcome


async def test_an_agent_is_judged_by_a_panel(collected: Collected) -> None:
    panel = Panel([judge('a', passes=True), judge('b', passes=False), judge('c', passes=True)], name='polite')
    outcome = await run_with(panel, collected)
    (result,) = outcome.results
    assert (result.name, result.value, result.reason) == (
        'polite',
        True,
        'a: True, Because.\nb: False, Because.\nc: True, Because.',
    )
    assert outcome.judgement is not None
    assert {vote.judge: vote.value for vote in outcome.judgement.votes} == {'a': True, 'b': False, 'c': True}
    assert outcome.judgement.agreement == pytest.approx(1 / 3)
    assert outcome.judgement.usage.requests == 3


async def test_a_panel_of_scores_has_a_score_and_whether_it_passes(collected: Collected) -> None:
    members = [judge('a', score=4, scale=(1, 5)), judge('b', score=1, scale=(1, 5), samples=3)]
    await run_with(Panel(members, combine='mean', threshold=3), collected)
    assert collected.values == {'Panel_score': 2.5, 'Panel_pass': False}


async def test_a_panel_with_too_few_answers_fails_with_all_that_was_said(collected: Collected) -> None:
    panel = Panel([judge('a', passes=True), judge('b', error=BROKEN), judge('c', error=BROKEN)])
    outcome = await run_with(panel, collected)
    assert (outcome.status, outcome.results) == ('failed', ())
    assert outcome.failure is not None
    assert outcome.failure.error_type == 'JudgementError'
    assert outcome.judgement is not None
    assert {vote.judge: vote.error for vote in outcome.judgement.votes} == {
        'a': None,
        'b': 'ConnectionError',
        'c': 'ConnectionError',
    }


async def test_what_was_said_before_a_timeout_is_kept(collected: Collected) -> None:
    async def never(case: JudgeCase) -> bool:
        await anyio.sleep_forever()
        raise AssertionError

    panel = Panel(
        [Panel([Scripted(length, 'quick')], combine='mean', name='inner'), Scripted(never, 'slow')], combine='mean'
    )
    outcome = await run_with(OnlineEvaluator(evaluator=panel, timeout=0.2), collected)
    assert outcome.status == 'timed_out'
    assert outcome.judgement is not None
    assert [vote.judge for vote in outcome.judgement.votes] == ['quick']


async def never(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await anyio.sleep_forever()
    raise AssertionError


async def test_a_panel_with_a_member_that_hangs_answers_before_its_evaluation_times_out(collected: Collected) -> None:
    hangs = Judge('It is polite', name='c', model=FunctionModel(never))
    panel = Panel([judge('a', passes=True), judge('b', passes=True), hangs], name='polite')
    outcome = await run_with(OnlineEvaluator(evaluator=panel, timeout=2), collected)
    assert (outcome.status, collected.values) == ('scored', {'polite': True})
    assert outcome.judgement is not None
    assert {vote.judge: vote.error for vote in outcome.judgement.votes} == {'a': None, 'b': None, 'c': 'TimeoutError'}
    assert outcome.judgement.agreement == 1.0


def hanging_from(vote: int) -> FunctionModel:
    """A model that answers until that many were asked for, and hangs from then on."""
    asked: list[object] = []

    async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(messages)
        if len(asked) >= vote:
            await anyio.sleep_forever()
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {'reason': 'Because.', 'passes': True})])

    return FunctionModel(respond)


async def test_a_judge_with_a_sample_that_hangs_answers_before_its_evaluation_times_out(collected: Collected) -> None:
    polite = Judge('It is polite', name='polite', model=hanging_from(3), samples=3)
    outcome = await run_with(OnlineEvaluator(evaluator=polite, timeout=2), collected)
    assert (outcome.status, collected.values) == ('scored', {'polite': True})
    assert outcome.judgement is not None
    assert [vote.error for vote in outcome.judgement.votes] == [None, None, 'TimeoutError']


async def test_one_that_hangs_without_the_others_being_enough_times_out(collected: Collected) -> None:
    polite = Judge('It is polite', name='polite', model=hanging_from(2), samples=3)
    outcome = await run_with(OnlineEvaluator(evaluator=polite, timeout=0.3), collected)
    assert outcome.status == 'timed_out'
    assert outcome.judgement is not None
    assert [vote.value for vote in outcome.judgement.votes] == [True, None, None]


async def test_each_vote_of_a_judge_may_have_a_time_of_its_own() -> None:
    with anyio.fail_after(10):
        result = await Judge('It is polite', model=hanging_from(3), samples=3, vote_timeout=1).judge(output='Hello!')
        with pytest.raises(JudgementError, match='it_is_polite gave no verdict: TimeoutError'):
            await Judge('It is polite', model=FunctionModel(never), vote_timeout=0.05).judge(output='Hello!')
    assert (result.value, [vote.error for vote in result.votes]) == (True, [None, None, 'TimeoutError'])


async def test_a_cascade_goes_on_where_the_cheap_judge_hangs(collected: Collected) -> None:
    cheap = Judge('It is polite', name='cheap', model=FunctionModel(never))
    cascade = Cascade([cheap, judge('costly', passes=True)], name='polite')
    outcome = await run_with(OnlineEvaluator(evaluator=cascade, timeout=2), collected)
    assert (outcome.status, collected.values) == ('scored', {'polite': True})
    assert outcome.judgement is not None
    assert [(vote.judge, vote.error) for vote in outcome.judgement.votes] == [
        ('cheap', 'TimeoutError'),
        ('costly', None),
    ]


@pytest.mark.parametrize('make', [Panel, Cascade])
async def test_the_callbacks_of_a_panel_and_a_cascade_are_called(collected: Collected, make: Any) -> None:
    called: list[tuple[str, str]] = []

    def note(name: str) -> Callable[[EvaluationOutcome, object], None]:
        return lambda outcome, run: called.append((name, outcome.evaluator))

    members = [judge('a', passes=False), judge('b', passes=False)]
    await run_with(make(members, on_fail=note('on_fail'), on_result=note('on_result')), collected)
    assert sorted(called) == [('on_fail', make.__name__), ('on_result', make.__name__)]


async def test_a_cascade_asks_the_costly_judge_for_a_share_of_the_runs(collected: Collected) -> None:
    cascade = Cascade([judge('cheap', passes=True), judge('costly', passes=False)], when=0.5, name='careful')
    agent = Agent(
        TestModel(),
        name='support',
        capabilities=[OnlineEvaluation(evaluators=[cascade], config=OnlineEvalConfig(default_sink=collected))],
    )
    for _ in range(20):
        await agent.run('Hi')
    await wait_for_evaluations()
    asked = 0
    for outcome in collected.outcomes:
        assert outcome.judgement is not None
        probabilities = {vote.judge: vote.probability for vote in outcome.judgement.votes}
        again = await cascade.grade(JudgeCase(output='x', run_id=outcome.run_id))
        assert {vote.judge: vote.probability for vote in again.votes} == probabilities
        assert outcome.results[0].value is ('costly' not in probabilities)
        asked += 'costly' in probabilities
        assert probabilities in ({'cheap': 1.0}, {'cheap': 1.0, 'costly': 0.5})
    assert 0 < asked < 20


async def test_samples_that_disagree_are_judged_again() -> None:
    said: list[bool] = []

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said.append(len(said) == 0)
        answer = {'reason': 'Because.', 'passes': said[-1]}
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])

    cheap = Judge('It is polite', name='cheap', model=FunctionModel(respond), samples=3)
    result = await Cascade([cheap, judge('costly', passes=True)]).judge(output='Hello!')
    assert (result.value, result.agreement) == (True, 0.0)
    assert [vote.judge for vote in result.votes] == ['cheap', 'cheap', 'cheap', 'costly']
    # All of its samples agree from now on.
    result = await Cascade([cheap, judge('costly', passes=True)]).judge(output='Hello!')
    assert [vote.judge for vote in result.votes] == ['cheap', 'cheap', 'cheap']


async def test_the_cases_of_a_dataset_are_judged_by_a_panel() -> None:
    panel = Panel([judge('a', passes=True), judge('b', passes=False)], combine='any', name='polite')
    dataset = Dataset(name='greetings', cases=[Case(name='one', inputs='Hi')], evaluators=[panel])

    async def greet(inputs: str) -> str:
        return 'Hello!'

    report = await dataset.evaluate(greet, progress=False)
    assert report.cases[0].assertions['polite'].value is True


async def test_one_output_is_judged_on_its_own() -> None:
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart('Hi')])]
    seen: list[JudgeCase] = []

    def keep(case: JudgeCase) -> float:
        seen.append(case)
        return 0.75

    result = await Scripted(keep).judge(
        output='Hello!', input='Hi', reference='Hey', messages=messages, name='greeting'
    )
    (case,) = seen
    assert (case.output, case.input, case.reference, case.messages) == ('Hello!', 'Hi', 'Hey', tuple(messages))
    assert (result.name, result.output, result.status, result.value) == ('greeting', 'Hello!', 'scored', 0.75)
    assert [vote.value for vote in result.votes] == [0.75]


async def test_what_a_judgement_cost_is_known() -> None:
    result = await judge('a', passes=True, samples=3).judge(output='Hello!')
    assert (result.passed, result.agreement, len(result.votes), result.usage.requests) == (True, 1.0, 3, 3)
    assert result.models == ('function:respond:',)
    assert result.cost is None or isinstance(result.cost, Decimal)
    assert result.duration > 0


async def test_a_single_output_without_a_verdict_is_an_error() -> None:
    with pytest.raises(JudgementError, match='the provider is down'):
        await judge('a', error=BROKEN).judge(output='Hello!')


@pytest.mark.parametrize('error', [asyncio.CancelledError(), SystemExit(3)])
async def test_what_would_end_more_than_the_judgement_is_an_error_of_ours(error: BaseException) -> None:
    def fail(case: JudgeCase) -> bool:
        raise error

    with pytest.raises(JudgementError, match=type(error).__name__):
        await Scripted(fail).judge(output='Hello!')


async def test_judges_that_an_evaluator_asks_are_noted_with_its_outcome(collected: Collected) -> None:
    @dataclass
    class Asks(Evaluator):
        async def evaluate(self, ctx: EvaluatorContext) -> bool:
            result = await judge('asked', passes=True).judge(output=ctx.output)
            return bool(result.value)

    outcome = await run_with(Asks(), collected)
    assert outcome.judgement is not None
    assert [vote.judge for vote in outcome.judgement.votes] == ['asked']


@pytest.mark.usefixtures('loop_of_run_sync')
def test_code_that_is_not_asynchronous_can_judge() -> None:
    result = Scripted(length).judge_sync(output='four', name='word')
    assert (result.value, result.name) == (4, 'word')
    report = Scripted(length).judge_many_sync([{'output': 'a'}, {'output': 'bb'}])
    assert report.mean == 1.5
    assert judge('a', passes=True).judge_sync(output='x').passed is True
    with pytest.raises(JudgementError, match='the provider is down'):
        judge('a', error=BROKEN).judge_sync(output='x')


def test_threads_without_an_event_loop_get_one() -> None:
    values: list[object] = []

    def judge_twice() -> None:
        values.append(Scripted(length).judge_sync(output='four').value)
        asyncio.get_event_loop().close()
        values.append(Scripted(length).judge_sync(output='four').value)
        asyncio.get_event_loop().close()

    thread = threading.Thread(target=judge_twice)
    thread.start()
    thread.join(10)
    assert values == [4, 4]


async def test_asynchronous_code_is_told_to_await() -> None:
    with pytest.raises(RuntimeError, match='An event loop runs in this thread: await `judge`'):
        Scripted(length).judge_sync(output='four')
    with pytest.raises(RuntimeError, match='An event loop runs'):
        Scripted(length).judge_many_sync([{'output': 'four'}])


async def test_results_come_in_the_order_of_the_cases() -> None:
    turn: list[anyio.Event] = [anyio.Event() for _ in range(5)]
    turn[-1].set()
    ended: list[int] = []

    async def backwards(case: JudgeCase) -> int:
        number: int = case.output
        with anyio.fail_after(10):
            await turn[number].wait()
        ended.append(number)
        if number:
            turn[number - 1].set()
        return number * 10

    report = await Scripted(backwards, 'tens').judge_many([{'output': number} for number in range(5)])
    assert ended == [4, 3, 2, 1, 0]
    assert [result.value for result in report.results] == [0, 10, 20, 30, 40]
    assert [result.index for result in report.results] == [0, 1, 2, 3, 4]
    assert (report.judge, report.mean, report.coverage) == ('tens', 20.0, 1.0)


@pytest.mark.parametrize('kind', ['iterator', 'asynchronous iterator'])
async def test_cases_are_taken_as_they_are_needed(kind: str) -> None:
    taken = judged = running = most = 0

    def cases() -> Iterator[JudgeCase]:
        nonlocal taken
        for number in range(100):
            taken += 1
            assert taken <= judged + 7
            yield JudgeCase(output=number)

    async def cases_async() -> AsyncIterator[JudgeCase]:
        for case in cases():
            await anyio.lowlevel.checkpoint()
            yield case

    async def count(case: JudgeCase) -> int:
        nonlocal judged, running, most
        running += 1
        most = max(most, running)
        for _ in range(case.output % 5):
            await anyio.lowlevel.checkpoint()
        running -= 1
        judged += 1
        return case.output

    source = cases() if kind == 'iterator' else cases_async()
    report = await Scripted(count).judge_many(source, max_concurrency=7)
    assert [result.value for result in report.results] == list(range(100))
    assert most <= 7
    assert judged == 100


class Unspeakable:
    def __repr__(self) -> str:
        raise LookupError('no words')


async def test_one_cases_fault_is_its_own() -> None:
    errors: list[BaseException] = [ValueError('broken'), asyncio.CancelledError(), SystemExit(3), BaseException()]

    def fail(case: JudgeCase) -> bool:
        if isinstance(case.output, BaseException):
            raise case.output
        return True

    cases: list[Any] = [*({'output': error} for error in errors), {'output': Unspeakable()}, {'output': ['\ud800']}]
    report = await Scripted(fail).judge_many(cases, max_concurrency=2)
    assert [result.status for result in report.results] == ['failed'] * 4 + ['scored'] * 2
    assert [result.error for result in report.failures] == [
        'ValueError: broken',
        'CancelledError',
        'SystemExit: 3',
        'BaseException',
    ]
    assert [result.votes[0].error for result in report.failures] == [type(error).__name__ for error in errors]
    assert report.results[4].output == '"<Unserializable Unspeakable object>"'
    assert report.results[5].output == '<list whose text raised PydanticSerializationError>'
    assert (report.pass_rate, report.coverage) == (1.0, pytest.approx(1 / 3))


async def test_what_was_judged_is_kept_as_text_and_shortened() -> None:
    cases = [{'output': {'city': 'Köln'}}, {'output': 'x' * 10_000}, {'output': None}]
    report = await Scripted(lambda case: True).judge_many(cases)
    first, second, third = (result.output for result in report.results)
    assert (first, third) == ('{"city":"Köln"}', 'null')
    assert '9500 characters left out' in second


@pytest.mark.parametrize(
    ('cases', 'message'),
    [
        ([], 'There are no cases to judge.'),
        (iter(()), 'There are no cases to judge.'),
        (set[Any](), 'There are no cases to judge.'),
        ({'output': 'x'}, 'cases must be a list or another iterable of cases, got a dict.'),
        ('text', 'cases must be a list or another iterable of cases, got a str.'),
        (5, 'cases must be a list or another iterable of cases, got a int.'),
        ([{'output': 1}, {'input': 2}], 'cases[1]: A case to judge must have an output'),
        ([{'output': 1, 'outpt': 2}], 'cases[0]: A case to judge must be a JudgeCase or a mapping'),
    ],
)
async def test_cases_that_are_none_are_refused_before_anything_is_judged(cases: Any, message: str) -> None:
    def never(case: JudgeCase) -> bool:
        raise AssertionError

    with pytest.raises(ConfigurationError) as raised:
        await Scripted(never).judge_many(cases)
    assert str(raised.value).startswith(message)


async def test_what_is_no_case_in_a_stream_is_a_failed_one() -> None:
    stream: Any = iter([{'output': 'a'}, {'input': 'b'}, 5])
    report = await Scripted(length).judge_many(stream)
    assert [result.status for result in report.results] == ['scored', 'failed', 'failed']
    assert report.results[1].error is not None
    assert report.results[1].error.startswith('ConfigurationError: A case to judge must have an output')


@pytest.mark.parametrize('limit', [0, -1, 1.5, True, None])
async def test_at_least_one_is_judged_at_a_time(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match=f'max_concurrency must be an integer of at least 1, got {limit!r}.'):
        await Scripted(length).judge_many([{'output': 'x'}], max_concurrency=limit)


class Waiting:
    """Waits for ever, and counts who was stopped."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.stopped = 0
        self.everyone = anyio.Event()

    async def __call__(self, case: JudgeCase) -> bool:
        self.count -= 1
        if not self.count:
            self.everyone.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped += 1
        raise AssertionError


@pytest.mark.parametrize('error', [OSError('the file is gone'), SystemExit(3)])
async def test_a_source_that_breaks_stops_what_runs(error: BaseException) -> None:
    waiting = Waiting(2)

    async def cases() -> AsyncIterator[JudgeCase]:
        yield JudgeCase(output=1)
        yield JudgeCase(output=2)
        await waiting.everyone.wait()
        raise error

    with pytest.raises(type(error)) as raised:
        await Scripted(waiting).judge_many(cases())
    assert raised.value is error
    assert waiting.stopped == 2


@pytest.mark.parametrize('count', [3, 5])
async def test_cancelling_stops_all(count: int) -> None:
    waiting = Waiting(3)

    async def judge_all() -> None:
        await Scripted(waiting).judge_many([{'output': number} for number in range(count)], max_concurrency=3)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(judge_all)
            await waiting.everyone.wait()
            group.cancel_scope.cancel()
    assert waiting.stopped == 3


@pytest.mark.usefixtures('loop_of_run_sync')
def test_ctrl_c_stops_all() -> None:
    waiting = Waiting(2)

    async def interrupt(case: JudgeCase) -> bool:
        if case.output:
            return await waiting(case)
        await waiting.everyone.wait()
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        Scripted(interrupt).judge_many_sync([{'output': number} for number in range(3)])
    assert waiting.stopped == 2
    assert asyncio.all_tasks(asyncio.get_event_loop()) == set()


@pytest.mark.usefixtures('loop_of_run_sync')
def test_ctrl_c_between_two_tasks_stops_all() -> None:
    waiting = Waiting(2)

    async def interrupt_later(case: JudgeCase) -> bool:
        if waiting.count == 1:
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        return await waiting(case)

    with pytest.raises(KeyboardInterrupt):
        Scripted(interrupt_later).judge_many_sync([{'output': number} for number in range(2)])
    assert waiting.stopped == 2


def test_ctrl_c_in_a_task_of_trio_arrives_as_what_it_is() -> None:
    def interrupt(case: JudgeCase) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        anyio.run(Scripted(interrupt).judge_many, [{'output': 1}], backend='trio')


def test_a_batch_is_judged_on_trio() -> None:
    report = anyio.run(Scripted(length).judge_many, [{'output': 'x' * n} for n in range(30)], backend='trio')
    assert report.mean == 14.5


async def test_a_batch_is_judged_by_a_panel_of_judges() -> None:
    panel = Panel([judge('a', score=4, scale=(1, 5)), judge('b', score=2, scale=(1, 5))], combine='mean')
    report = await panel.judge_many([{'output': 'Hello!', 'input': 'Hi'}] * 3)
    assert (report.mean, report.std, report.usage.requests) == (3.0, 0.0, 6)
    assert len(report.results[0].votes) == 2


class Terminal:
    """A terminal, and what was shown there."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, 'w', encoding='utf-8')
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # It ends with an error when nobody has the other end any more.
        with suppress(OSError):
            while True:
                self._shown.append(os.read(self._ours, 65_536))

    def close(self) -> str:
        self.stream.close()
        self._reader.join(10)
        return b''.join(self._shown).decode()

    def release(self) -> None:
        self.close()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.release()


@pytest.fixture
def on_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the terminal standard error, which pytest sets between a fixture and its test."""

    def use() -> None:
        monkeypatch.setenv('TERM', 'xterm')
        monkeypatch.setattr(sys, 'stderr', terminal.stream)

    return use


def fails_once(case: JudgeCase) -> int:
    if case.output == '':
        raise ValueError
    return 1


async def test_a_long_batch_shows_its_progress_in_a_terminal(
    terminal: Terminal, on_terminal: Callable[[], None]
) -> None:
    on_terminal()
    await Scripted(fails_once, '[b]name').judge_many([{'output': 'x' * number} for number in range(25)])
    shown = terminal.close()
    assert '[b]name' in shown
    assert '25/25' in shown
    assert '1 failed' in shown


@pytest.mark.parametrize(('progress', 'count'), [(None, 19), (False, 25)])
async def test_a_short_batch_or_one_that_should_not_shows_none(
    terminal: Terminal, on_terminal: Callable[[], None], progress: bool | None, count: int
) -> None:
    on_terminal()
    await Scripted(length).judge_many([{'output': 'x'}] * count, progress=progress)
    assert terminal.close() == ''


async def test_progress_that_was_asked_for_is_shown_wherever_standard_error_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await Scripted(length).judge_many([{'output': 'x'}], progress=True)
    out, err = capsys.readouterr()
    assert out == ''
    assert '1/1' in err


async def test_nothing_is_shown_outside_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report = await Scripted(length).judge_many({'output': 'x'} for _ in range(50))
    assert capsys.readouterr() == ('', '')
    assert isinstance(report, JudgeReport)


DATA = Path(__file__).parents[3] / 'shared' / 'data' / 'llmbar'
needs_data = pytest.mark.skipif(
    not (DATA / 'pairs.jsonl').is_file(),
    reason='the verdicts of the judges are not there: ../shared/data/llmbar, seen from the checkout',
)


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding='utf-8').splitlines()]


def recorded(judge: str, order: int = 0) -> Scripted:
    """A judge that says which of two answers is better as the real one did, in the order given or with both swapped."""

    def say(case: JudgeCase) -> str:
        return case.output['winners'][judge][order]

    return Scripted(say, f'{judge} {order}')


def of_pair(pair: dict[str, Any], number: int) -> JudgeCase:
    return JudgeCase(output=pair, run_id=f'pair-{number}')


@needs_data
@pytest.mark.parametrize('judge', ['GPT-4/Metrics_Reference', 'ChatGPT/Vanilla', 'Falcon/CoT'])
async def test_a_judge_agrees_with_itself_in_the_other_order_as_often_as_published(judge: str) -> None:
    rows = {row['subset']: row for row in read('published_statistics.jsonl') if row['evaluator'] == judge}
    pairs = read('pairs.jsonl')
    report = await Panel([recorded(judge, 0), recorded(judge, 1)]).judge_many(map(of_pair, pairs, range(len(pairs))))
    equal = Counter(
        pair['subset'] for pair, result in zip(pairs, report.results, strict=True) if result.agreement == 1.0
    )
    assert (report.n, report.coverage) == (419, 1.0)
    assert equal == {subset: row['equal'] for subset, row in rows.items()}


@needs_data
async def test_a_cascade_asks_the_costly_judge_about_the_pairs_that_the_cheap_one_is_not_sure_of() -> None:
    cheap, costly = 'ChatGPT/Vanilla', 'GPT-4/Metrics_Reference'
    pairs = read('pairs.jsonl')
    cascade = Cascade([Panel([recorded(cheap, 0), recorded(cheap, 1)], name='cheap'), recorded(costly)])
    report = await cascade.judge_many(map(of_pair, pairs, range(len(pairs))))

    def expected(pair: dict[str, Any]) -> str:
        given, swapped = pair['winners'][cheap]
        return given if given == swapped else pair['winners'][costly][0]

    assert [result.value for result in report.results] == [expected(pair) for pair in pairs]
    asked = [result for result in report.results if any(vote.judge == f'{costly} 0' for vote in result.votes)]
    assert len(asked) == sum(len(set(pair['winners'][cheap])) > 1 for pair in pairs)


@needs_data
async def test_the_probability_of_a_vote_gives_an_unbiased_estimate_of_the_costly_judge() -> None:
    cheap, costly = 'ChatGPT/Vanilla', 'GPT-4/Metrics_Reference'
    pairs = read('pairs.jsonl')
    right = [pair['winners'][costly][0] == str(pair['label']) for pair in pairs]
    estimates: list[float] = []
    for number in range(60):
        cascade = Cascade([recorded(cheap), recorded(costly)], when=0.25, name=f'cascade-{number}')
        report = await cascade.judge_many(map(of_pair, pairs, range(len(pairs))))
        weights = [
            (vote.value == str(pair['label'])) / vote.probability
            for pair, result in zip(pairs, report.results, strict=True)
            for vote in result.votes
            if vote.judge == f'{costly} 0'
        ]
        estimates.append(sum(weights) / len(pairs))
    error = statistics.stdev(estimates) / len(estimates) ** 0.5
    assert abs(statistics.fmean(estimates) - sum(right) / len(right)) < 3 * error
