"""A judge's settings: what is refused, what it is called, and what tells it from another."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.agent import WrapperAgent
from pydantic_ai.capabilities import Hooks
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import ExternalToolset
from pydantic_evals.evaluators.llm_as_a_judge import set_default_judge_model

from pydantic_ai_assay import ConfigurationError, Example, Judge
from pydantic_ai_assay.execution.identity import identify

JUDGE = Judge('It is right')


def fingerprint(judge: Judge) -> str:
    return identify(judge).fingerprint


def a_judge(**settings: Any) -> Judge:
    given: dict[str, Any] = {'criterion': 'It is right', **settings}
    return Judge(**given)


def look_up() -> str:
    raise AssertionError('called')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'criterion': ' '}, "criterion must be a text that is not empty, got ' '."),
        ({'criterion': 7}, 'criterion must be a text that is not empty, got 7.'),
        ({'name': ''}, "name must be None or a text that is not empty, got ''."),
        ({'guidelines': 'be strict'}, "guidelines must be a list, got 'be strict'."),
        ({'guidelines': ['']}, "guidelines must be texts that are not empty, got ''."),
        ({'scale': 'stars'}, "scale must be 'binary' or two numbers (low, high), got 'stars'."),
        ({'threshold': 5}, 'threshold must be None for a binary scale, got 5.'),
        ({'samples': 0}, 'samples must be a whole number of at least 1, got 0.'),
        ({'samples': True}, 'samples must be a whole number of at least 1, got True.'),
        ({'samples': 2.0}, 'samples must be a whole number of at least 1, got 2.0.'),
        ({'retries': -1}, 'retries must be a whole number of at least 0, got -1.'),
        ({'section_limit': 10}, 'section_limit must be a whole number of at least 200, got 10.'),
        ({'quorum': 2}, 'quorum must be None or a whole number from 1 to samples=1, got 2.'),
        ({'quorum': 0}, 'quorum must be None or a whole number from 1 to samples=1, got 0.'),
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

    assert panel() == panel(on_fail=print)
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
