"""A judge's settings: what is refused, what it is called, and what tells it from another."""

import inspect
import re
import threading
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext, Tool
from pydantic_ai.agent import WrapperAgent
from pydantic_ai.capabilities import AbstractCapability, Capability, Hooks, Instrumentation, Thinking
from pydantic_ai.models import Model
from pydantic_ai.models.concurrency import ConcurrencyLimitedModel
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.instrumented import InstrumentedModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import ExternalToolset, FunctionToolset
from pydantic_evals.evaluators.llm_as_a_judge import set_default_judge_model

from pydantic_ai_assay import ConfigurationError, Example, Judge
from pydantic_ai_assay.runs.identity import identify

JUDGE = Judge('It is right')


def fingerprint(judge: Judge) -> str:
    return identify(judge).fingerprint


def a_judge(**settings: Any) -> Judge:
    given: dict[str, Any] = {'criterion': 'It is right', **settings}
    return Judge(**given)


def look_up() -> str:
    raise AssertionError('called')


def check(number: int) -> str:
    raise AssertionError('called')


async def before_run(ctx: RunContext[Any]) -> None:
    raise AssertionError('called')


async def before_node_run(ctx: RunContext[Any], *, node: Any) -> Any:
    raise AssertionError('called')


@dataclass
class Rule:
    name: str
    weight: int


class Order(BaseModel):
    number: int


class Weighing(AbstractCapability[Any]):
    """A capability that is no dataclass, and keeps what it was made with and more."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight
        self.lock = threading.Lock()


class Shouting(WrapperModel):
    def __init__(self, wrapped: Model, times: int) -> None:
        super().__init__(wrapped)
        self.times = times


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'criterion': ' '}, "criterion must be a text that is not empty, got ' '."),
        ({'criterion': 7}, 'criterion must be a text that is not empty, got 7.'),
        ({'name': ''}, "name must be None, or a text of 1 to 200 characters that is not blank, got ''."),
        ({'name': '\t '}, "name must be None, or a text of 1 to 200 characters that is not blank, got '\\t '."),
        ({'name': 7}, 'name must be None, or a text of 1 to 200 characters that is not blank, got 7.'),
        (
            {'name': 'x' * 201},
            'name must be None, or a text of 1 to 200 characters that is not blank, got '
            f"'{'x' * 65}… [103 characters left out] …{'x' * 33}'.",
        ),
        ({'guidelines': 'be strict'}, "guidelines must be a list, got 'be strict'."),
        ({'guidelines': ['']}, "guidelines must be texts that are not empty, got ''."),
        ({'scale': 'stars'}, "scale must be 'binary' or two numbers (low, high), got 'stars'."),
        ({'threshold': 5}, 'threshold must be None for a binary scale, got 5.'),
        ({'samples': 0}, 'samples must be an integer of at least 1, got 0.'),
        ({'samples': True}, 'samples must be an integer of at least 1, got True.'),
        ({'samples': 2.0}, 'samples must be an integer of at least 1, got 2.0.'),
        ({'samples': 1.5}, 'samples must be an integer of at least 1, got 1.5.'),
        ({'canaries': 'yes'}, "canaries must be True or False, got 'yes'."),
        ({'model_settings': 5}, 'model_settings must be a mapping such as {"team": "support"}, got 5.'),
        ({'model': ' '}, "model must be a model or the name of one, got ' '."),
        (
            {'include': [['input']]},
            "include must be a set of 'conversation', 'input', 'reference', 'system_prompt', 'tool_calls', got ['input'].",
        ),
        (
            {'include': 5},
            "include must be a set of 'conversation', 'input', 'reference', 'system_prompt', 'tool_calls', got 5.",
        ),
        (
            {'examples': [Example('x', 3.5)], 'scale': (1, 10)},
            'The verdict of an example must be one that the judge can give: it must be a whole number from 1 to 10; got '
            '3.5.',
        ),
        (
            {'examples': [{'output': 1, 'verdict': True, 'reason': 5}]},
            'The reason of an example must be None or a text, got 5.',
        ),
        ({'retries': -1}, 'retries must be an integer of at least 0, got -1.'),
        ({'section_limit': 10}, 'section_limit must be an integer of at least 200, got 10.'),
        ({'quorum': 2}, 'quorum must be None or an integer from 1 to samples=1, got 2.'),
        ({'quorum': 0}, 'quorum must be None or an integer from 1 to samples=1, got 0.'),
        (
            {'include': ['inputs']},
            "include must be a set of 'conversation', 'input', 'reference', 'system_prompt', 'tool_calls', got 'inputs'.",
        ),
        (
            {'include': 'input'},
            "include must be a set of 'conversation', 'input', 'reference', 'system_prompt', 'tool_calls', got 'input'.",
        ),
        ({'model': 7}, 'model must be a model or the name of one, got 7.'),
        ({'capabilities': ['WebSearch']}, "capabilities must be capabilities of Pydantic AI, got 'WebSearch'."),
        ({'agent': 'judge'}, "agent must be an agent of Pydantic AI, got 'judge'."),
        (
            {'agent': Agent(TestModel()), 'model': 'test'},
            "model must be None where the judge has an agent of its own, got 'test'; set it on the agent.",
        ),
        ({'on_fail': 'page'}, "on_fail must be None or a function, got 'page'."),
        (
            {'examples': [Example('x', 7)]},
            'The verdict of an example must be one that the judge can give: it must be True or False; got 7.',
        ),
        (
            {'examples': [{'output': 'x'}]},
            'examples must be `Example` objects, or mappings with output, verdict and any of reason, input, reference; '
            "got {'output': 'x'}.",
        ),
        (
            {'examples': [{'output': 'x', 'verdict': True, 'note': 1}]},
            'examples must be `Example` objects, or mappings with output, verdict and any of reason, input, reference; '
            "got {'output': 'x', 'verdict': True, 'note': 1}.",
        ),
        (
            {'examples': ['x']},
            'examples must be `Example` objects, or mappings with output, verdict and any of reason, input, reference; '
            "got 'x'.",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        a_judge(**settings)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ('criterion', 'name'),
    [
        ('It is right', 'it_is_right'),
        ('Ist höflich!', 'ist_höflich'),
        (
            'The reply answers the question that was asked by the customer',
            'the_reply_answers_the_question_that_was_017b38',
        ),
        ('x' * 100, 'x' * 41 + '_09ecb6'),
        ('!?', 'judge_8faf83'),
    ],
)
def test_the_name_is_made_of_the_criterion(criterion: str, name: str) -> None:
    assert Judge(criterion).get_default_evaluation_name() == name
    assert len(name) <= 48


def test_a_name_that_is_given_is_the_name() -> None:
    assert identify(Judge('It is right', name='right')).name == 'right'


DIFFERING: list[dict[str, Any]] = [
    {},
    {'criterion': 'It is wrong'},
    {'guidelines': ['Be strict']},
    {'scale': (1, 10)},
    {'scale': (1.0, 10.0)},
    {'scale': (1, 10), 'threshold': 7},
    {'scale': (1, 10), 'threshold': 8},
    {'labels': ['a', 'b']},
    {'labels': ['b', 'a']},
    {'labels': ['a', 'b'], 'passing': ['a']},
    {'examples': [Example('x', True)]},
    {'examples': [Example('x', False)]},
    {'examples': [Example('x', True, input=None)]},
    {'include': {'input'}},
    {'section_limit': 1_000},
    {'model': 'openai:gpt-5-mini'},
    {'model': TestModel()},
    {'model': TestModel(settings=ModelSettings(temperature=1.0))},
    {'model': FallbackModel(TestModel(), 'test')},
    {'model_settings': ModelSettings(temperature=1.0)},
    {'capabilities': [Hooks[Any]()]},
    {'samples': 3},
    {'samples': 3, 'quorum': 3},
    {'agent': Agent(TestModel(), name='a')},
    {'agent': Agent(TestModel(), name='a', instructions='Be strict.')},
    {'agent': Agent(TestModel(), name='a', system_prompt='Be fair.')},
    {'agent': Agent(TestModel(), name='a', tools=[look_up])},
    {'agent': Agent(TestModel(), name='a', toolsets=[ExternalToolset[Any]([], id='more')])},
    {'agent': Agent(TestModel(), name='a', model_settings=ModelSettings(temperature=1.0))},
    {'agent': Agent(TestModel(), name='a', model_settings=lambda ctx: ModelSettings())},
    {'agent': Agent(TestModel(model_name='other'), name='a')},
    {'agent': Agent(name='a')},
    {'capabilities': [Thinking(effort='low')]},
    {'capabilities': [Thinking(effort='high')]},
    {'capabilities': [Capability[Any](instructions='Be strict.')]},
    {'capabilities': [Capability[Any](instructions='Be fair.')]},
    {'capabilities': [Capability[Any](instructions=look_up)]},
    {'capabilities': [Capability[Any](tools=[look_up])]},
    {'capabilities': [Hooks[Any](before_run=before_run)]},
    {'capabilities': [Hooks[Any](before_node_run=before_node_run)]},
    {'capabilities': [Weighing(1)]},
    {'capabilities': [Weighing(2)]},
    {'capabilities': [Weighing(Rule('brief', 3))]},
    {'capabilities': [Weighing(Rule('brief', 4))]},
    {'capabilities': [Weighing(Order(number=1))]},
    {'capabilities': [Weighing(Order(number=2))]},
    {'capabilities': [Weighing(partial(check))]},
    {'capabilities': [Weighing(partial(check, 1))]},
    {'capabilities': [Weighing({1, 2})]},
    {'capabilities': [Weighing({1, 3})]},
    {'capabilities': [Weighing(TestModel(model_name='one'))]},
    {'capabilities': [Weighing(Agent(TestModel(), name='one'))]},
    {'capabilities': [Weighing(Rule)]},
    {'agent': Agent(TestModel(), name='a', capabilities=[Thinking(effort='low')])},
    {'agent': Agent(TestModel(), name='a', capabilities=[Thinking(effort='high')])},
    {'agent': Agent(TestModel(), name='a', capabilities=[Capability(instructions='Be strict.')])},
    {'agent': Agent(TestModel(), name='a', tools=[Tool(look_up, description='In the archive.')])},
    {'agent': Agent(TestModel(), name='a', tools=[Tool(look_up, name='find')])},
    {'agent': Agent(TestModel(), name='a', tools=[check])},
    {'agent': Agent(TestModel(), name='a', toolsets=[FunctionToolset([look_up]).prefixed('x')])},
    {'agent': Agent(TestModel(), name='a', toolsets=[FunctionToolset([look_up]).prefixed('y')])},
    {'model': WrapperModel(FallbackModel(TestModel(), TestModel(model_name='b')))},
    {'model': WrapperModel(FallbackModel(TestModel(), TestModel(model_name='b', settings={'temperature': 1.0})))},
    {'model': Shouting(TestModel(), 1)},
    {'model': Shouting(TestModel(), 2)},
]


def test_judges_that_differ_in_what_they_do_have_different_fingerprints() -> None:
    judges = [a_judge(**settings) for settings in DIFFERING]
    assert len({fingerprint(judge) for judge in judges}) == len(DIFFERING)


@pytest.mark.parametrize(
    'same',
    [
        {'name': 'another'},
        {'on_fail': print, 'on_result': print},
        {'retries': 5},
        {'canaries': True},
        {'include': ['reference', 'conversation', 'input']},
        {'guidelines': []},
    ],
)
def test_settings_that_leave_verdicts_as_they_are_leave_the_fingerprint(same: dict[str, Any]) -> None:
    assert fingerprint(replace(JUDGE, **same)) == fingerprint(JUDGE)


def test_equal_models_and_agents_have_equal_fingerprints() -> None:
    def make(wrap: bool) -> Judge:
        agent = Agent(TestModel(), name='a', instructions='Be strict.', tools=[look_up])

        @agent.system_prompt
        @agent.instructions
        def more() -> str:
            raise AssertionError('asked')

        return Judge('It is right', agent=WrapperAgent(agent) if wrap else agent)

    assert fingerprint(make(False)) == fingerprint(make(False)) == fingerprint(make(True))
    assert fingerprint(Judge('x', model=TestModel())) == fingerprint(Judge('x', model=TestModel()))


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        (TestModel(), WrapperModel(TestModel())),
        (TestModel(), ConcurrencyLimitedModel(TestModel(), limiter=1)),
        (TestModel(), InstrumentedModel(TestModel())),
        (FallbackModel(TestModel(), 'test'), WrapperModel(FallbackModel(TestModel(), 'test'))),
    ],
)
def test_a_wrapper_that_only_says_when_a_model_is_asked_leaves_the_fingerprint(one: Model, other: Model) -> None:
    assert fingerprint(a_judge(model=one)) == fingerprint(a_judge(model=other))


def test_what_a_judge_has_done_leaves_the_fingerprint() -> None:
    weighing = Weighing(threading.Lock())
    judge = a_judge(capabilities=[weighing])
    before = fingerprint(judge)
    weighing.done = 5  # pyright: ignore[reportAttributeAccessIssue]
    assert fingerprint(judge) == before == fingerprint(a_judge(capabilities=[Weighing(threading.Lock())]))


def test_what_contains_itself_has_a_fingerprint() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert fingerprint(a_judge(capabilities=[Weighing(endless)]))


def test_instrumentation_leaves_the_fingerprint() -> None:
    plain, instrumented = (Agent(TestModel(), name='a', capabilities=more) for more in ([], [Instrumentation()]))
    assert fingerprint(a_judge(agent=plain)) == fingerprint(a_judge(agent=instrumented))


class Bare(WrapperAgent[Any, Any]):
    """An agent that says nothing of its capabilities."""

    @property
    def root_capability(self) -> Any:
        return super(WrapperAgent, self).root_capability


def test_an_agent_need_not_tell_its_capabilities() -> None:
    agent = Agent(TestModel(), name='a')
    assert fingerprint(a_judge(agent=Bare(agent))) == fingerprint(a_judge(agent=agent))


@pytest.fixture
def default_model() -> Any:
    from pydantic_ai_assay._upstream import default_judge_model

    before = default_judge_model()
    yield
    set_default_judge_model(before)  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures('default_model')
def test_the_default_model_is_part_of_the_fingerprint() -> None:
    before = fingerprint(JUDGE)
    set_default_judge_model(TestModel())
    assert fingerprint(JUDGE) != before


def test_a_judge_within_another_evaluator_is_known_by_the_same_settings() -> None:
    from pydantic_ai_assay import Panel

    def panel(**settings: Any) -> str:
        return identify(Panel([Judge('It is right', **settings), Judge('It is polite')])).fingerprint

    assert panel() == panel(retries=5)
    assert panel() != panel(samples=3)


def test_a_spec_holds_what_is_not_the_default() -> None:
    assert JUDGE.as_spec().arguments == ('It is right',)
    judge = Judge(
        'It is right',
        scale=(1, 10),
        threshold=7,
        examples=[Example('x', 3, reason='No.', input=None)],
        include={'tool_calls', 'input'},
        model=TestModel(),
        on_fail=print,
    )
    assert judge.as_spec().arguments == {
        'criterion': 'It is right',
        'scale': (1, 10),
        'threshold': 7,
        'examples': [{'output': 'x', 'verdict': 3, 'reason': 'No.', 'input': None}],
        'include': ['input', 'tool_calls'],
        'model': 'test:test',
    }


def test_a_spec_names_agents_and_capabilities_of_which_it_cannot_make_a_judge() -> None:
    named = Judge('It is right', agent=Agent(TestModel(), name='strict')).as_spec().arguments
    nameless = Judge('It is right', agent=Agent(TestModel())).as_spec().arguments
    equipped = Judge('It is right', capabilities=[Hooks[Any]()]).as_spec().arguments
    assert named == {'criterion': 'It is right', 'agent': 'strict'}
    assert nameless == {'criterion': 'It is right', 'agent': 'Agent'}
    assert equipped == {'criterion': 'It is right', 'capabilities': ['Hooks']}
    with pytest.raises(ConfigurationError, match='agent must be an agent'):
        a_judge(agent='strict')


def test_the_page_about_judges_names_every_setting() -> None:
    page = (Path(__file__).parents[2] / 'docs' / 'judge.md').read_text(encoding='utf-8')
    table = page.split('\n## Settings\n')[1].split('\n## ')[0]
    cells = [line.split('|')[1] for line in table.splitlines() if line.startswith('|')]
    assert {name for cell in cells for name in re.findall(r'`(\w+)`', cell)} == {field.name for field in fields(Judge)}


def test_what_need_not_be_given_is_named_in_the_signature() -> None:
    assert 'reference: Any = MISSING' in str(inspect.signature(Judge.judge)).replace("'", '')
