"""A judge at work: online, in a dataset, from data and on its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import logfire
import pytest
from conftest import Collected
from judge_models import Asked
from logfire.testing import CaptureLogfire
from opentelemetry import trace
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior, UserError
from pydantic_ai.messages import BinaryContent, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_evals import Case, Dataset, increment_eval_metric
from pydantic_evals.evaluators.llm_as_a_judge import set_default_judge_model

from pydantic_ai_assay import (
    ConfigurationError,
    Example,
    Judge,
    JudgeCase,
    JudgementError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    Panel,
    Verdict,
    Vote,
    wait_for_evaluations,
)
from pydantic_ai_assay._upstream import default_judge_model
from pydantic_ai_assay.runs.judgement import JudgementLog

pytestmark = pytest.mark.anyio


@pytest.fixture
async def traced(capfire: CaptureLogfire) -> AsyncIterator[CaptureLogfire]:
    logfire.instrument_pydantic_ai()
    yield capfire
    assert await wait_for_evaluations() == ()
    Agent.instrument_all(False)


YES = {'reason': 'It is right.', 'passes': True}
NO = {'reason': 'It is wrong.', 'passes': False}


def score(value: Any) -> dict[str, Any]:
    return {'reason': f'It is worth {value}.', 'score': value}


def judged(judge: Judge, collected: Collected, model: Any = None, **settings: Any) -> Agent[None, str]:
    """An agent that a judge evaluates."""
    return Agent(
        model or TestModel(custom_output_text='It arrives tomorrow.'),
        name='support',
        capabilities=[
            OnlineEvaluation(
                evaluators=[OnlineEvaluator(evaluator=judge, **settings)],
                config=OnlineEvalConfig(default_sink=collected),
            )
        ],
    )


async def verdict_of(judge: Judge, **case: Any) -> Verdict:
    given: dict[str, Any] = {'output': 'x', **case}
    return await judge.grade(JudgeCase(**given))


async def test_a_run_is_judged_online(collected: Collected) -> None:
    asked = Asked()
    await judged(Judge('It is right', model=asked.model), collected).run('Where is my order?')
    await wait_for_evaluations()
    (result,) = collected.results
    assert (result.name, result.value, result.reason) == ('it_is_right', True, 'It is right.')
    assert 'Where is my order?' in asked.shown
    assert 'It arrives tomorrow.' in asked.shown
    assert 'It is right' in asked.instructions
    assert 'It arrives tomorrow.' not in asked.instructions
    (outcome,) = collected.outcomes
    assert outcome.judgement is not None
    (vote,) = outcome.judgement.votes
    assert replace(vote, duration=0.0) == Vote(
        judge='it_is_right', value=True, passed=True, reason='It is right.', model='judging-model', usage=vote.usage
    )
    assert (vote.usage.requests, vote.usage.input_tokens, vote.usage.output_tokens) == (1, 100, 10)
    assert vote.duration > 0
    assert collected.run.usage.input_tokens != 100


async def test_the_whole_conversation_is_shown(collected: Collected) -> None:
    asked = Asked()
    judge = Judge('It is right', model=asked.model, include=['input', 'conversation', 'tool_calls', 'system_prompt'])
    turns = iter([ToolCallPart('find_order', {}), TextPart('It arrives tomorrow.')])
    agent = judged(judge, collected, FunctionModel(lambda messages, info: ModelResponse([next(turns)])))
    agent.instructions(lambda: 'Be brief.')

    @agent.tool_plain
    def find_order() -> dict[str, int]:
        return {'order': 7}

    earlier = [ModelRequest([UserPromptPart('Hello')]), ModelResponse([TextPart('Hi.')])]
    await agent.run('Where is my order?', message_history=earlier)
    await wait_for_evaluations()
    assert 'system prompt (text)>>>\nBe brief.\n' in asked.shown
    assert '{"user": "Hello"}\n{"assistant": "Hi."}\n<<<' in asked.shown
    assert 'input (text)>>>\nWhere is my order?\n' in asked.shown
    steps = asked.shown.split('steps (JSON lines)>>>\n')[1]
    assert steps.startswith('{"tool": "find_order", "call": {}}\n{"tool": "find_order", "result": {"order": 7}}\n<<<')


@pytest.mark.usefixtures('traced')
async def test_what_nested_agents_did_is_shown(collected: Collected) -> None:
    asked = Asked()
    inner = Agent(TestModel(custom_output_text='found'), name='researcher')

    @inner.tool_plain
    def look() -> str:
        return 'in the archive'

    outer = judged(Judge('It is right', model=asked.model, include=['tool_calls']), collected)

    @outer.tool_plain
    async def research() -> str:
        return (await inner.run('look it up')).output

    await outer.run('What is it?')
    await wait_for_evaluations()
    assert '{"agent": "researcher", "tool": "look", "result": "in the archive"}' in asked.shown
    assert asked.shown.count('What is it?') == 0


@pytest.mark.parametrize(
    ('settings', 'answer', 'expected'),
    [
        ({}, YES, {'right': True}),
        ({'scale': (1, 10)}, score(7), {'right': 7}),
        ({'scale': (1, 10), 'threshold': 8}, score(7), {'right_score': 7, 'right_pass': False}),
        ({'scale': (0.0, 1.0)}, score(3), {'right': 1.0}),
        ({'labels': ['good', 'bad']}, {'reason': '', 'label': 'bad'}, {'right': 'bad'}),
        (
            {'labels': ['good', 'bad'], 'passing': ['good']},
            {'reason': '', 'label': 'good'},
            {'right_label': 'good', 'right_pass': True},
        ),
    ],
)
async def test_results_are_named_as_those_of_llm_judge(
    settings: dict[str, Any], answer: object, expected: dict[str, object], collected: Collected
) -> None:
    judge = Judge('It is right', name='right', model=Asked([answer]).model, **settings)
    await judged(judge, collected).run('Hello')
    await wait_for_evaluations()
    assert collected.values == expected


async def test_cases_of_a_dataset_are_judged_with_their_references() -> None:
    asked = Asked()
    dataset = Dataset[str, str, None](
        name='orders',
        cases=[Case(inputs='2 + 2', expected_output='4'), Case(inputs='1 + 1')],
        evaluators=[Judge('It is right', model=asked.model)],
    )

    async def answer(question: str) -> str:
        return 'four'

    report = await dataset.evaluate(answer, progress=False, max_concurrency=1)
    assert [case.assertions['it_is_right'].value for case in report.cases] == [True, True]
    shown = sorted(''.join(str(part.content) for part in messages[0].parts) for messages, _ in asked.calls)  # pyright: ignore
    assert ['reference (text)>>>\n4\n' in each for each in shown] in ([True, False], [False, True])


async def test_a_judge_is_saved_in_a_dataset_file_and_loaded_from_it(tmp_path: Path) -> None:
    judge = Judge(
        'It is right',
        scale=(1, 10),
        threshold=7,
        guidelines=['Be strict'],
        include={'input', 'tool_calls'},
        examples=[Example('x', 3, input=None)],
        model='test',
    )
    dataset = Dataset[str, str, Any](name='orders', cases=[Case(inputs='2 + 2')], evaluators=[judge])
    dataset.to_file(tmp_path / 'orders.yaml', custom_evaluator_types=[Judge])
    loaded = Dataset[str, str, Any].from_file(tmp_path / 'orders.yaml', custom_evaluator_types=[Judge])
    assert loaded.evaluators == [judge]
    schema = (tmp_path / 'orders_schema.json').read_text()
    assert '"spec_params_Judge"' in schema


async def test_an_agent_spec_knows_judges() -> None:
    arguments = {'criterion': 'It is right', 'scale': [1, 10], 'examples': [{'output': 'x', 'verdict': 3}]}
    spec = {'model': 'test', 'capabilities': [{'OnlineEvaluation': [{'Judge': arguments}, {'Judge': 'It is polite'}]}]}
    agent = Agent.from_spec(spec, custom_capability_types=[OnlineEvaluation])
    found: list[AbstractCapability[Any]] = []
    agent.root_capability.apply(found.append)
    (evaluation,) = [each for each in found if isinstance(each, OnlineEvaluation)]
    assert evaluation.evaluators == [
        Judge('It is right', scale=(1, 10), examples=[Example('x', 3)]),
        Judge('It is polite'),
    ]


async def test_an_answer_that_is_not_valid_is_asked_for_again() -> None:
    asked = Asked([{'reason': 'Not.', 'score': 'NaN'}, {'reason': 'No.', 'score': float('inf')}, score(0.5)])
    verdict = await verdict_of(Judge('It is right', scale=(0.0, 1.0), model=asked.model))
    assert (verdict.value, verdict.reason) == (0.5, 'It is worth 0.5.')
    assert verdict.votes[0].usage.requests == len(asked.calls) == 3


async def test_without_a_valid_answer_there_is_no_verdict(collected: Collected) -> None:
    asked = Asked([{'reason': 'Perhaps.'}])
    await judged(Judge('It is right', model=asked.model, retries=1), collected).run('Hello')
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert (outcome.status, outcome.results) == ('failed', ())
    assert outcome.failure is not None
    assert outcome.failure.error_type == 'JudgementError'
    assert 'it_is_right gave no verdict: UnexpectedModelBehavior' in outcome.failure.error_message
    assert outcome.judgement is not None
    (vote,) = outcome.judgement.votes
    assert (vote.value, vote.passed, vote.reason, vote.error) == (None, None, None, 'UnexpectedModelBehavior')
    assert (vote.usage.requests, vote.usage.input_tokens, vote.model) == (2, 200, 'judging-model')


@pytest.mark.parametrize(
    'error', [ModelHTTPError(500, 'judging-model'), ValueError('broken'), UnexpectedModelBehavior('odd')]
)
async def test_what_a_model_raises_is_the_cause(error: Exception) -> None:
    with pytest.raises(JudgementError) as raised:
        await Judge('It is right', model=Asked([error]).model).judge(output='x')
    assert raised.value.__cause__ is error
    assert type(error).__name__ in str(raised.value)


async def test_a_model_that_cannot_be_made_is_no_verdict() -> None:
    with pytest.raises(JudgementError, match=r'gave no verdict: UserError: Unknown model: nobody:nothing'):
        await Judge('It is right', model='nobody:nothing').judge(output='x')


class Rounds:
    """A model that answers when as many calls as expected have come."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = iter(answers)
        self._missing = len(answers)
        self._all_here = asyncio.Event()
        self.model = FunctionModel(self._answer)

    async def _answer(self, messages: Any, info: Any) -> ModelResponse:
        answer = next(self._answers)
        self._missing -= 1
        if not self._missing:
            self._all_here.set()
        await asyncio.wait_for(self._all_here.wait(), 10.0)
        if isinstance(answer, Exception):
            raise answer
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])


async def test_votes_are_cast_at_once_and_the_majority_decides(collected: Collected) -> None:
    judge = Judge('It is right', model=Rounds([YES, NO, YES]).model, samples=3)
    await judged(judge, collected).run('Hello')
    await wait_for_evaluations()
    (result,) = collected.results
    assert (result.value, result.reason) == (True, '2 of 3 votes: It is right.')
    (outcome,) = collected.outcomes
    assert outcome.judgement is not None
    assert sorted(vote.value is True for vote in outcome.judgement.votes) == [False, True, True]
    assert outcome.judgement.agreement == pytest.approx(1 / 3)


async def test_scores_of_several_votes_are_averaged() -> None:
    judge = Judge(
        'It is right', scale=(1, 10), threshold=7, model=Rounds([score(6), score(7), score(99)]).model, samples=3
    )
    verdict = await verdict_of(judge)
    assert verdict.value == pytest.approx(23 / 3)
    assert (verdict.passed, len(verdict.votes)) == (True, 3)
    assert verdict.agreement == pytest.approx(1 / 3)


async def test_a_vote_that_fails_is_left_out_while_the_quorum_is_met() -> None:
    judge = Judge('It is right', model=Rounds([YES, ValueError('broken'), YES]).model, samples=3)
    verdict = await verdict_of(judge)
    assert (verdict.value, verdict.agreement) == (True, 1.0)
    assert sorted(str(vote.error) for vote in verdict.votes) == ['None', 'None', 'ValueError']


@pytest.mark.parametrize(('samples', 'quorum', 'needed'), [(3, 3, 3), (2, None, 2)])
async def test_fewer_votes_than_the_quorum_are_no_verdict(samples: int, quorum: int | None, needed: int) -> None:
    answers = [YES] * (samples - 1) + [ValueError('broken')]
    judge = Judge('It is right', model=Rounds(answers).model, samples=samples, quorum=quorum)
    with pytest.raises(JudgementError) as raised:
        await judge.judge(output='x')
    assert str(raised.value) == (
        f'it_is_right gave no verdict ({samples - 1} of {samples} votes, {needed} needed): ValueError: broken'
    )


async def test_a_call_that_is_cancelled_is_noted_with_what_it_used() -> None:
    reached = asyncio.Event()

    async def hang(messages: list[Any], info: Any) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[TextPart('Let me think.')])
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError('went on')

    log = JudgementLog()
    log.enter()
    task = asyncio.create_task(verdict_of(Judge('It is right', model=FunctionModel(hang))))
    await asyncio.wait_for(reached.wait(), 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.judgement is not None
    (vote,) = log.judgement.votes
    assert (vote.value, vote.error, vote.usage.requests) == (None, 'CancelledError', 1)


class Hanging:
    """A model that answers at once what it is told to, and everything else never."""

    def __init__(self, *known: str) -> None:
        self._known = known
        self.cancelled = 0
        self.model = FunctionModel(self._answer, model_name='slow')

    async def _answer(self, messages: Any, info: Any) -> ModelResponse:
        if not any(known in str(messages[0].parts[0].content) for known in self._known):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, YES)])


async def test_a_judgement_that_takes_too_long_is_given_up() -> None:
    hanging = Hanging()
    with pytest.raises(JudgementError) as raised:
        await Judge('It is right', model=hanging.model).judge(output='x', timeout=0.05)
    assert str(raised.value) == 'TimeoutError: it_is_right gave no verdict within 0.05 s'
    assert isinstance(raised.value.__cause__, TimeoutError)
    assert hanging.cancelled == 1


async def test_of_a_batch_only_what_takes_too_long_is_given_up() -> None:
    hanging = Hanging('fast')
    cases = [{'output': 'fast 1'}, {'output': 'slow'}, {'output': 'fast 2'}]
    report = await Judge('It is right', model=hanging.model).judge_many(cases, max_concurrency=1, timeout=0.2)
    assert [result.status for result in report.results] == ['scored', 'timed_out', 'scored']
    (late,) = report.failures
    assert late.error == 'TimeoutError: it_is_right gave no verdict within 0.2 s'
    assert [(vote.judge, vote.error) for vote in late.votes] == [('it_is_right', 'CancelledError')]
    assert late.duration >= 0.2
    assert report.results[0].model == 'slow'


async def test_a_panel_whose_quorum_has_answered_gives_its_verdict_before_it_is_late() -> None:
    hanging = Judge('It is kind', model=Hanging().model)
    panel = Panel([Judge('It is right', model=Asked().model), Judge('It is brief', model=Asked().model), hanging])
    result = await panel.judge(output='x', timeout=1.0)
    assert (result.status, result.passed) == ('scored', True)


async def test_without_a_timeout_a_judgement_lasts_as_long_as_it_takes() -> None:
    result = await Judge('It is right', model=Asked().model).judge(output='x', timeout=None)
    assert result.status == 'scored'


async def test_a_timeout_of_the_model_is_a_failure_and_no_late_verdict() -> None:
    judge = Judge('It is right', model=Asked([TimeoutError('connect')]).model)
    (result,) = (await judge.judge_many([{'output': 'x'}])).results
    assert result.status == 'failed'


@pytest.mark.usefixtures('loop_of_run_sync')
@pytest.mark.parametrize('timeout', [0, -1.0, float('nan'), '60', True])
def test_a_timeout_must_be_a_time(timeout: Any) -> None:
    judge = Judge('It is right', model=Asked().model)
    calls = [
        lambda: judge.judge_sync(output='x', timeout=timeout),
        lambda: judge.judge_many_sync([{'output': 'x'}], timeout=timeout),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match='timeout must be a positive number of seconds, got '):
            call()


async def test_a_report_names_the_judge_as_outcomes_do(collected: Collected) -> None:
    judge = Judge('It is right', model=Asked().model)
    report = await judge.judge_many([{'output': 'x'}])
    await judged(judge, collected).run('Hello')
    await wait_for_evaluations()
    (outcome,) = collected.outcomes
    assert report.fingerprint == outcome.fingerprint
    assert report.fingerprint is not None


async def test_an_agent_of_ones_own_keeps_what_it_has() -> None:
    asked = Asked()
    agent = Agent(
        asked.model,
        name='strict',
        instructions='You are strict.',
        output_type=str,
        model_settings=ModelSettings(temperature=0.4, max_tokens=50),
    )

    @agent.tool_plain
    def look_up() -> str:
        raise AssertionError('called')

    def contents() -> dict[str, str]:
        return {name: repr(value) for name, value in vars(agent).items() if name != '_model'}

    before = contents()
    judge = Judge('It is right', guidelines=['Spelling does not matter'], agent=agent)
    assert (await verdict_of(judge)).value is True
    assert contents() == before
    (_, info) = asked.calls[0]
    assert [tool.name for tool in info.function_tools] == ['look_up']
    assert info.model_settings == {'temperature': 0.4, 'max_tokens': 50}
    assert asked.instructions.startswith('You are strict.')
    assert 'It is right' in asked.instructions and 'Spelling does not matter' in asked.instructions


async def test_an_agent_of_ones_own_gives_verdicts_whatever_its_own_output_is() -> None:
    agent = Agent(Asked([score(7)]).model, output_type=[int, str], deps_type=type(None))
    assert (await verdict_of(Judge('It is right', scale=(1, 10), agent=agent))).value == 7


async def test_an_agent_that_validates_its_own_output_gives_no_verdict() -> None:
    asked = Asked()
    agent = Agent(asked.model)

    @agent.output_validator
    def check(output: str) -> str:
        raise AssertionError('asked')

    with pytest.raises(
        JudgementError, match='UserError: Cannot set a custom run `output_type` when the agent has output'
    ):
        await Judge('It is right', agent=agent).judge(output='x')
    assert asked.calls == []


class Noting(AbstractCapability[Any]):
    def __init__(self) -> None:
        self.requests = 0

    async def before_model_request(self, ctx: RunContext[Any], request_context: Any) -> Any:
        self.requests += 1
        return request_context


async def test_capabilities_are_those_of_the_judges_agent() -> None:
    noting = Noting()
    await Judge('It is right', model=Asked().model, capabilities=[noting]).judge(output='x')
    assert noting.requests == 1


async def test_the_model_that_answered_is_named() -> None:
    model = FallbackModel(Asked([ModelHTTPError(503, 'first')], name='first').model, Asked(name='second').model)
    verdict = await verdict_of(Judge('It is right', model=model))
    assert verdict.votes[0].model == 'second'


@pytest.fixture
def default_model() -> Iterator[None]:
    before = default_judge_model()
    yield
    set_default_judge_model(before)  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures('default_model')
async def test_the_default_model_is_that_of_the_moment() -> None:
    judge = Judge('It is right')
    for name in ('first', 'second'):
        set_default_judge_model(Asked(name=name).model)
        assert (await verdict_of(judge)).votes[0].model == name


async def test_images_are_shown_to_models_that_take_them() -> None:
    image = BinaryContent(b'x', media_type='image/png')
    seeing, blind = Asked(), Asked(profile=ModelProfile(supports_image_input=False))
    for asked in (seeing, blind):
        await Judge('It is right', model=asked.model).judge(output='A cat.', input=['What is it?', image])
    assert [item for item in seeing.content if not isinstance(item, str)] == [image]
    assert [item for item in blind.content if not isinstance(item, str)] == []
    assert f'[{blind.key}: image/png, which the judge cannot be shown]' in blind.shown


async def test_the_output_of_a_run_that_failed_is_its_error(collected: Collected) -> None:
    asked = Asked()
    judge = Judge('It failed for a good reason', model=asked.model)
    with pytest.raises(UserError):
        await judged(judge, collected, Asked([UserError('no key')]).model, run_on=['error']).run('Hello')
    await wait_for_evaluations()
    assert 'output (error)>>>\nUserError: no key\n' in asked.shown


async def test_a_judge_is_not_evaluated_itself(collected: Collected) -> None:
    asked = Asked()
    evaluated: list[str] = []
    config = OnlineEvalConfig(default_sink=lambda results, failures, context: evaluated.append(context.name or ''))
    agent = Agent(
        asked.model,
        name='judging',
        capabilities=[OnlineEvaluation(evaluators=[Judge('It judges well', model=Asked().model)], config=config)],
    )
    await judged(Judge('It is right', agent=agent), collected).run('Hello')
    await wait_for_evaluations()
    assert collected.values == {'it_is_right': True}
    assert evaluated == []


async def test_what_a_judges_tools_record_is_not_the_runs(collected: Collected) -> None:
    def record(messages: Any) -> Any:
        increment_eval_metric('looked', 1)
        return YES

    judge = Judge('It is right', model=Asked([record]).model)
    agent = judged(Judge('It is polite', model=Asked().model), collected)

    @agent.tool_plain
    async def check() -> bool:
        return (await judge.judge(output='x')).value is True

    await agent.run('Hello')
    await wait_for_evaluations()
    assert collected.run.recorded_metrics == {}
    assert collected.run.usage.requests == 2


def spans_of(traced: CaptureLogfire, name: str) -> list[dict[str, Any]]:
    return [span for span in traced.exporter.exported_spans_as_dict() if span['name'] == name]


async def test_spans_of_a_judge_are_marked_and_link_to_the_run(traced: CaptureLogfire, collected: Collected) -> None:
    await judged(Judge('It is right', model=Asked().model), collected).run('Hello')
    await wait_for_evaluations()
    ((judge,), (run,), (evaluator,)) = (
        spans_of(traced, name) for name in ('judge: it_is_right', 'invoke_agent support', 'evaluator: {evaluator_name}')
    )
    assert (judge['attributes']['assay.judge'], judge['attributes']['assay.judge.sample']) == ('it_is_right', 0)
    assert [link['context']['span_id'] for link in judge['links']] == [run['context']['span_id']]
    assert judge['parent']['span_id'] == evaluator['context']['span_id']
    (asked,) = spans_of(traced, 'invoke_agent it_is_right')
    assert asked['parent']['span_id'] == judge['context']['span_id']
    assert '"assay.judge"' in str(asked['attributes'])


async def test_the_span_of_a_call_that_failed_names_the_error_and_quotes_nothing(traced: CaptureLogfire) -> None:
    with pytest.raises(JudgementError):
        await Judge('It is right', model=Asked([ValueError('secret')]).model).judge(output='x')
    spans = [span for span in traced.exporter.exported_spans if span.name == 'judge: it_is_right']
    # Logfire also exports where a span that is still open began.
    (span,) = [span for span in spans if (span.attributes or {}).get('logfire.span_type') != 'pending_span']
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, 'ValueError')
    assert (list(span.events), list(span.links)) == ([], [])
