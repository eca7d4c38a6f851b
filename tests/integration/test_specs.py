"""Agents whose evaluators and settings are in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from conftest import Collected, counted
from evaluators import Context
from inline_snapshot import snapshot
from pydantic_ai import Agent
from pydantic_ai.agent.spec import AgentSpec
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals.evaluators import Contains, Evaluator, GEval, LLMJudge, MaxDuration

from pydantic_ai_assay import (
    DEFAULT_CONFIG,
    Budget,
    Cascade,
    ConfigurationError,
    Judge,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    Panel,
    configure,
    wait_for_evaluations,
)

if TYPE_CHECKING:
    from decimal import Decimal

pytestmark = pytest.mark.anyio


@dataclass
class NotEmpty(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: Context) -> bool:
        return bool(ctx.output)


@dataclass
class LongerThan(Evaluator[Any, Any, Any]):
    characters: int
    name: str = 'LongerThan'

    def __post_init__(self) -> None:
        if self.characters < 0:
            raise ValueError('nothing is shorter than nothing')

    def get_default_evaluation_name(self) -> str:
        return self.name

    def evaluate(self, ctx: Context) -> bool:
        return len(str(ctx.output)) > self.characters


Known = OnlineEvaluation.with_evaluator_types(NotEmpty, LongerThan)

SPEC = {
    'model': 'test',
    'name': 'support',
    'capabilities': [
        {
            'OnlineEvaluation': {
                'evaluators': [
                    'NotEmpty',
                    {'LongerThan': 5},
                    {'LongerThan': {'characters': 500, 'name': 'essay'}},
                    {'evaluator': {'LLMJudge': {'rubric': 'Answers', 'model': 'test'}}, 'timeout': 5},
                    {'evaluator': {'LongerThan': {'characters': 0, 'name': 'never'}}, 'sample_rate': 0.0},
                ],
                'config': {'metadata': {'from': 'file'}},
            }
        }
    ],
}


@pytest.fixture
def collected() -> Iterator[Collected]:
    """The sink of `DEFAULT_CONFIG`, since none can be given as data."""
    collected, before = Collected(), dict(vars(DEFAULT_CONFIG))
    configure(default_sink=collected)
    yield collected
    configure(**before)


def written(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data) if path.suffix == '.json' else yaml.safe_dump(data), encoding='utf-8')
    return path


def spec_of(*evaluators: object, **others: object) -> dict[str, Any]:
    return {**SPEC, 'capabilities': [{'OnlineEvaluation': {'evaluators': list(evaluators), **others}}]}


@pytest.mark.parametrize('name', ['support.yaml', 'support.yml', 'support.json'])
async def test_an_agent_of_a_file_is_evaluated_as_the_file_says(
    name: str, tmp_path: Path, collected: Collected
) -> None:
    agent = Agent.from_file(written(tmp_path / name, SPEC), custom_capability_types=[Known])
    await agent.run('Where is my order?')
    assert await wait_for_evaluations() == ()
    assert collected.values == {'NotEmpty': True, 'LongerThan': True, 'essay': False, 'LLMJudge': False}
    assert counted('never') == {'sampled_out': 1}
    assert collected.payloads[0].target == 'support'
    assert collected.payloads[0].context.metadata == {'from': 'file'}


async def test_the_outcomes_of_a_run_that_an_evaluator_sees_are_given_as_data(
    tmp_path: Path, collected: Collected
) -> None:
    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise RuntimeError('no answer')

    path = written(
        tmp_path / 'support.yaml',
        spec_of(
            {'evaluator': {'LongerThan': {'characters': 5, 'name': 'on_error'}}, 'run_on': ['error']},
            {'evaluator': {'LongerThan': {'characters': 5, 'name': 'on_success'}}},
        ),
    )
    agent = Agent.from_file(path, custom_capability_types=[Known], model=FunctionModel(fail))
    with pytest.raises(RuntimeError, match='no answer'):
        await agent.run('Where is my order?')
    await wait_for_evaluations()
    assert collected.statuses == {'on_error': 'scored'}
    assert counted('on_success') == {'skipped': 1}


async def test_the_list_alone_is_enough(tmp_path: Path, collected: Collected) -> None:
    text = 'model: test\ncapabilities:\n  - OnlineEvaluation: [NotEmpty, Contains: success]\n'
    path = tmp_path / 'support.yaml'
    path.write_text(text, encoding='utf-8')
    await Agent.from_file(path, custom_capability_types=[Known]).run('Hello')
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True, 'Contains': True}


async def test_an_evaluator_in_the_file_and_the_same_in_code_judge_a_run_once(collected: Collected) -> None:
    in_code = OnlineEvaluation[Any](evaluators=[LongerThan(5), MaxDuration(60)])
    spec = spec_of({'LongerThan': 5}, {'MaxDuration': 60})
    agent = Agent.from_spec(spec, custom_capability_types=[Known], capabilities=[in_code])
    await agent.run('Hello')
    await wait_for_evaluations()
    assert sorted(result.name for result in collected.results) == ['LongerThan', 'MaxDuration']


DATA_OF_AN_EVALUATOR: dict[str, Any] = {
    'sample_rate': 0.25,
    'max_concurrency': 3,
    'run_on_errors': True,
    'timeout': 12,
    'retries': 2,
    'retry_wait': 0.1,
    'run_on': ['success', 'error'],
    'sample_by': 'conversation',
    'run_in': 'background',
    'mode': 'background',
    'action': 'raise',
    'on_unavailable': 'open',
}
A_BUDGET: dict[str, Any] = {'budget': {'usd': 5, 'per': 'day'}}
DATA_OF_A_CONFIG: dict[str, Any] = {
    'default_sample_rate': 0.5,
    'emit_otel_events': False,
    'include_baggage': False,
    'sampling_mode': 'correlated',
    'enabled': False,
    'metadata': {'team': 'support', 'versions': [1, 2]},
    'queue_size': 10,
    'queue_bytes': 1000,
    'overflow': 'drop_oldest',
    'shutdown_timeout': 0,
    'sink_timeout': 1.5,
    'span_attribute_limit': None,
    'store': 'sqlite:///assay.db',
}


def test_every_setting_that_has_a_form_as_data_can_be_given() -> None:
    made = Known.from_spec([{'evaluator': 'NotEmpty', **DATA_OF_AN_EVALUATOR}], DATA_OF_A_CONFIG)
    (online,) = made.evaluators
    assert online == OnlineEvaluator(evaluator=NotEmpty(), **DATA_OF_AN_EVALUATOR)
    assert made.config is not None
    expected = OnlineEvalConfig(**DATA_OF_A_CONFIG)
    for setting in fields(OnlineEvalConfig):
        assert getattr(made.config, setting.name) == getattr(expected, setting.name)


def test_the_id_that_durable_execution_needs_can_be_given() -> None:
    assert Known.from_spec(['NotEmpty'], id='quality').id == 'quality'
    assert OnlineEvaluation.from_spec(['EqualsExpected'], id='quality').id == 'quality'
    assert OnlineEvaluation.from_spec(['EqualsExpected']).id is None


async def test_an_output_is_blocked_as_the_file_says(tmp_path: Path) -> None:
    entry = {'evaluator': {'LongerThan': 500}, 'mode': 'block', 'action': 'retry', 'on_unavailable': 'closed'}
    answers = iter(['short', 'x' * 501])
    model = FunctionModel(lambda messages, info: ModelResponse(parts=[TextPart(next(answers))]))
    path = written(tmp_path / 'support.yaml', spec_of(entry))
    agent = Agent.from_file(path, custom_capability_types=[Known], model=model)
    assert (await agent.run('Write an essay')).output == 'x' * 501
    await wait_for_evaluations()


@pytest.mark.parametrize('name', ['support.yaml', 'support.json'])
async def test_panels_and_cascades_are_made_of_the_judges_in_the_file(
    name: str, tmp_path: Path, collected: Collected
) -> None:
    panel = {'Panel': {'members': [judge('polite'), judge('short')], 'combine': 'any', 'name': 'tone'}}
    cascade = {'Cascade': {'steps': [judge('right'), {'Panel': [judge('true'), judge('fair')]}], 'when': 1.0}}
    path = written(tmp_path / name, spec_of(panel, {'evaluator': cascade, 'timeout': 5}))
    agent = Agent.from_file(path, custom_capability_types=[Known])
    await agent.run('Where is my order?')
    await wait_for_evaluations()
    assert collected.statuses == {'tone': 'scored', 'Cascade': 'scored'}
    made = Known.from_spec([panel, cascade]).evaluators
    judges = {each: Judge(each, model='test') for each in ('polite', 'short', 'right', 'true', 'fair')}
    assert made == [
        Panel([judges['polite'], judges['short']], combine='any', name='tone'),
        Cascade([judges['right'], Panel([judges['true'], judges['fair']])], when=1.0),
    ]


async def test_evaluators_share_the_budget_that_they_give_one_name(tmp_path: Path, collected: Collected) -> None:
    def limited(name: str, budget: object) -> dict[str, Any]:
        return {'evaluator': {'LongerThan': {'characters': 0, 'name': name}}, 'budget': budget}

    two = {'name': 'two', 'evaluations': 2_000, 'per': 'week'}
    entries = [limited('a', 'two'), limited('b', two), limited('c', {'evaluations': 5, 'per': 'week'}), 'NotEmpty']
    made = Known.from_spec(entries, {'budget': two})
    first, second, third = (each.budget for each in made.evaluators if isinstance(each, OnlineEvaluator))
    assert isinstance(made.config, OnlineEvalConfig)
    assert first is second and first is made.config.budget
    assert third is not first and (repr(first), repr(third)) == (
        "Budget(evaluations=2000, per='week')",
        "Budget(evaluations=5, per='week')",
    )
    other = Known.from_spec(entries, {'budget': two}).config
    assert isinstance(other, OnlineEvalConfig) and other.budget is not first
    path = written(tmp_path / 'support.yaml', spec_of(*entries[:2], config={'budget': two}))
    agent = Agent.from_file(path, custom_capability_types=[Known])
    (capability,) = (each for each in agent.root_capability.capabilities if isinstance(each, OnlineEvaluation))
    assert isinstance(capability.config, OnlineEvalConfig) and capability.config.budget is not None
    await agent.run('Hello')
    await wait_for_evaluations()
    assert capability.config.budget.state().offered == 2


def test_a_budget_made_in_code_or_none_is_taken_as_it_is() -> None:
    budget = Budget(usd=5, per='day')
    made = Known.from_spec([{'evaluator': 'NotEmpty', 'budget': budget}, {'evaluator': 'NotEmpty', 'budget': None}][:1])
    (online,) = made.evaluators
    assert isinstance(online, OnlineEvaluator) and online.budget is budget
    (online,) = Known.from_spec([{'evaluator': 'NotEmpty', 'budget': None}]).evaluators
    assert isinstance(online, OnlineEvaluator) and online.budget is None


def test_what_the_data_of_a_config_held_can_change_without_changing_the_config() -> None:
    data: dict[str, Any] = {'metadata': {'tags': ['a']}}
    config = Known.from_spec(['NotEmpty'], data).config
    data['metadata']['tags'].append('b')
    assert config is not None and config.metadata == {'tags': ['a']}


def settings_without_data(refused: str, cls: type[Any], given: dict[str, Any]) -> list[str]:
    left = [setting.name for setting in fields(cls) if setting.name not in given and setting.name != 'evaluator']
    for name in left:
        evaluator, config = {'evaluator': 'NotEmpty'}, dict[str, Any]()
        (evaluator if cls is OnlineEvaluator else config)[name] = 'my_function'
        with pytest.raises(ConfigurationError) as caught:
            Known.from_spec([evaluator], config)
        assert str(caught.value) == refused.format(name=name)
    return left


def test_a_setting_that_takes_functions_is_answered_with_where_to_give_it() -> None:
    refused = (
        "evaluators[0].{name} cannot be 'my_function': it takes functions or objects, which have no form as data; "
        'attach this evaluator in code, with an `OnlineEvaluation` in `capabilities=[...]`.'
    )
    assert settings_without_data(refused, OnlineEvaluator, {**DATA_OF_AN_EVALUATOR, **A_BUDGET}) == snapshot(
        [
            'sink',
            'on_max_concurrency',
            'on_sampling_error',
            'on_error',
            'retry_on',
            'when',
            'on_result',
            'on_fail',
        ]
    )
    refused = (
        "config.{name} cannot be 'my_function': it takes functions or objects, which have no form as data; "
        'set it in code with `configure({name}=...)`; what a spec leaves out is taken from there.'
    )
    assert settings_without_data(refused, OnlineEvalConfig, {**DATA_OF_A_CONFIG, **A_BUDGET}) == snapshot(
        [
            'default_sink',
            'on_max_concurrency',
            'on_sampling_error',
            'on_error',
            'on_result',
            'on_fail',
            'redact',
        ]
    )


def test_what_a_config_leaves_out_is_as_in_the_default_config_whenever_that_changes(collected: Collected) -> None:
    config = Known.from_spec(['NotEmpty'], {'default_sample_rate': 0.5}).config
    assert config is not None
    assert (config.default_sink, config.default_sample_rate, config.enabled) == (collected, 0.5, True)
    configure(default_sample_rate=0.1, enabled=False)
    assert (config.default_sink, config.default_sample_rate, config.enabled) == (collected, 0.5, False)
    assert Known.from_spec(['NotEmpty'], None).config is None


def test_arguments_get_the_type_that_the_evaluator_expects() -> None:
    made = OnlineEvaluation.from_spec(
        [
            {'GEval': {'criteria': 'Clear', 'evaluation_steps': ['Read it'], 'score_range': [1, 10]}},
            {'MaxDuration': 'PT2S'},
            {'name': 'Contains', 'arguments': {'value': {'a': 1}}},
            {'name': 'LLMJudge', 'arguments': ['Is polite']},
        ]
    )
    assert made.evaluators == [
        GEval('Clear', ['Read it'], score_range=(1, 10)),
        MaxDuration(timedelta(seconds=2)),
        Contains({'a': 1}),
        LLMJudge('Is polite'),
    ]


@dataclass
class Price(Evaluator[Any, Any, Any]):
    """Has arguments whose types are not there when it runs."""

    limit: Decimal

    def evaluate(self, ctx: Context) -> bool:
        return True


class Unknowable:
    @classmethod
    def __get_pydantic_core_schema__(cls, source_type: Any, handler: Any) -> Any:
        raise TypeError('nothing is known')


@dataclass(init=False)
class Written(Evaluator[Any, Any, Any]):
    """Has an `__init__` of its own."""

    limits: dict[str, Any] = field(default_factory=dict[str, Any])

    def __init__(self, *names: str, thing: Unknowable | None = None, **limits: float) -> None:
        self.limits = {**dict.fromkeys(names, thing), **limits}

    def evaluate(self, ctx: Context) -> bool:
        return True


def test_arguments_of_types_that_nobody_can_check_are_left_to_the_evaluator() -> None:
    known = OnlineEvaluation.with_evaluator_types(Price, Written)
    price, positional = known.from_spec([{'Price': 5}, {'Written': 'cost'}]).evaluators
    (named,) = known.from_spec([{'Written': {'thing': 'a', 'cost': 2.0}}]).evaluators
    assert isinstance(price, Price) and price.limit == 5
    assert isinstance(positional, Written) and positional.limits == {'cost': None}
    assert isinstance(named, Written) and named.limits == {'cost': 2.0}


def test_registering_changes_nothing_but_the_class_it_makes() -> None:
    for unaware in (OnlineEvaluation, OnlineEvaluation.with_evaluator_types(LongerThan)):
        with pytest.raises(ConfigurationError, match="there is no evaluator 'NotEmpty'"):
            unaware.from_spec(['NotEmpty'])
    both = OnlineEvaluation.with_evaluator_types(LongerThan).with_evaluator_types(NotEmpty)
    assert both.from_spec(['NotEmpty', {'LongerThan': 2}, 'EqualsExpected'])
    assert type(Known.from_spec(['NotEmpty'])) is OnlineEvaluation
    assert Known.get_serialization_name() == OnlineEvaluation.get_serialization_name() == 'OnlineEvaluation'


def test_a_class_may_replace_the_evaluator_of_pydantic_evals_with_its_name() -> None:
    @dataclass
    class Strict(Contains):
        @classmethod
        def get_serialization_name(cls) -> str:
            return 'Contains'

    (evaluator,) = OnlineEvaluation.with_evaluator_types(Strict).from_spec([{'Contains': 'x'}]).evaluators
    assert type(evaluator) is Strict


async def test_a_subclass_has_its_own_name_in_specs(collected: Collected) -> None:
    @dataclass(kw_only=True)
    class Support(OnlineEvaluation[Any]):
        """Evaluates what the support agents do."""

    known = Support.with_evaluator_types(NotEmpty)
    assert type(known.from_spec(['NotEmpty'])) is Support
    agent = Agent.from_spec(
        {'model': 'test', 'capabilities': [{'Support': ['NotEmpty']}]}, custom_capability_types=[known]
    )
    await agent.run('Hello')
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True}


def test_what_is_registered_must_be_the_class_of_an_evaluator() -> None:
    class Undecorated(NotEmpty):
        pass

    @dataclass
    class Another(NotEmpty):
        @classmethod
        def get_serialization_name(cls) -> str:
            return 'NotEmpty'

    def message(*evaluator_types: Any) -> str:
        with pytest.raises(ConfigurationError) as caught:
            OnlineEvaluation.with_evaluator_types(*evaluator_types)
        return str(caught.value)

    assert message(NotEmpty()) == 'Expected the class of an evaluator, got NotEmpty().'
    assert message(int) == "Expected a subclass of `Evaluator`, got <class 'int'>."
    assert 'must be decorated with `@dataclass`' in message(Undecorated)
    assert message(NotEmpty, Another).startswith("Two evaluators are called 'NotEmpty': ")
    assert OnlineEvaluation.with_evaluator_types(NotEmpty, NotEmpty)


def test_an_unknown_name_is_answered_with_the_known_ones_near_ones_first(tmp_path: Path) -> None:
    path = written(tmp_path / 'support.yaml', spec_of('NotEmpty', {'llmjugde': 'Is polite'}))
    with pytest.raises(ValueError) as caught:
        Agent.from_file(path, custom_capability_types=[Known])
    assert str(caught.value) == snapshot(
        "Failed to instantiate capability 'OnlineEvaluation': evaluators[1]: there is no evaluator 'llmjugde'; did you "
        "mean 'LLMJudge'? Known: 'LLMJudge', 'Judge', 'NotEmpty', 'LongerThan', 'Equals', 'EqualsExpected', "
        "'Contains', 'IsInstance', 'MaxDuration', 'HasMatchingSpan', 'ToolCorrectness', 'TrajectoryMatch', "
        "'ArgumentCorrectness', 'MaxToolCalls', 'MaxModelRequests', 'GEval', 'Panel', 'Cascade'; the classes of your own evaluators go into "
        '`OnlineEvaluation.with_evaluator_types(...)`.'
    )
    assert isinstance(caught.value.__cause__, ConfigurationError)


def judge(criterion: str, **settings: object) -> dict[str, Any]:
    return {'Judge': {'criterion': criterion, 'model': 'test', **settings}}


def with_setting(**setting: object) -> dict[str, Any]:
    return spec_of('NotEmpty', {'evaluator': 'NotEmpty', **setting})


REFUSED = [
    (with_setting(sample_rate=2), 'evaluators[1].sample_rate must be a number from 0.0 to 1.0 or a callable, got 2.'),
    (with_setting(sample_rate='mine'), "evaluators[1].sample_rate cannot be 'mine': Input should be a valid number."),
    (with_setting(timeout=-1), 'evaluators[1].timeout must be a positive number of seconds, got -1.'),
    (with_setting(timeout=True), 'evaluators[1].timeout cannot be True: Input should be a valid number.'),
    (with_setting(run_on='error'), "evaluators[1].run_on cannot be 'error': Input should be a valid list."),
    (
        with_setting(run_on=['success', 'eror']),
        "evaluators[1].run_on[1] cannot be 'eror': Input should be 'success', 'error', 'cancelled' or 'deferred'.",
    ),
    (with_setting(run_on_errors='no'), "evaluators[1].run_on_errors cannot be 'no': Input should be a valid boolean."),
    (
        with_setting(sample_rte=1),
        "evaluators[1].sample_rte: there is no `OnlineEvaluator` setting 'sample_rte'; did you mean 'sample_rate'? "
        "Known: 'sample_rate', 'sample_by', 'max_concurrency', 'run_on_errors', 'timeout', 'retries', 'retry_wait', "
        "'run_on', 'run_in', 'mode', 'action', 'on_unavailable', 'budget'.",
    ),
    (
        spec_of({'evaluator': {'LongerThan': -1}}),
        "evaluators[0].evaluator cannot be {'LongerThan': -1}: ValueError: no",
    ),
    (spec_of({'LongerThan': 'x'}), "evaluators[0].LongerThan cannot be 'x': Input should be a valid integer"),
    (
        spec_of({'LongerThan': {'characters': 'x'}}),
        "evaluators[0].LongerThan.characters cannot be 'x': Input should be a valid integer",
    ),
    (
        spec_of({'name': 'LongerThan', 'arguments': {'characters': 'x'}}),
        "evaluators[0].arguments.characters cannot be 'x': Input should be a valid integer",
    ),
    (
        spec_of({'GEval': {'criteria': 'Clear', 'evaluation_steps': ['Read', 4]}}),
        'evaluators[0].GEval.evaluation_steps[1] cannot be 4: Input should be a valid string.',
    ),
    (
        spec_of({'MaxDuration': 'long'}),
        "evaluators[0].MaxDuration cannot be 'long': Input should be a valid number, unable to parse string as a number; "
        'Input should be a valid timedelta',
    ),
    (spec_of('LongerThan'), "evaluators[0] cannot be 'LongerThan': missing a required argument: 'characters'."),
    (spec_of({'NotEmpty': None}), "evaluators[0] cannot be {'NotEmpty': None}: too many positional arguments."),
    (
        spec_of({'LongerThan': {'charcters': 5}}),
        "evaluators[0].LongerThan.charcters: there is no LongerThan argument 'charcters'; did you mean 'characters'? "
        "Known: 'characters', 'name'.",
    ),
    (
        spec_of({'NotEmpty': {'x': 1}}),
        "evaluators[0].NotEmpty.x: there is no NotEmpty argument 'x'. Known: none.",
    ),
    (
        spec_of({'LLMJudge': 'x', 'sample_rate': 0.1}),
        'evaluators[0] must be a name, {name: arguments}, or '
        "{'evaluator': one of these, ...settings of `OnlineEvaluator`}; got {'LLMJudge': 'x', 'sample_rate': 0.1}.",
    ),
    (
        spec_of({'name': 'NotEmpty', 'arguments': None, 'timeout': 5}),
        'evaluators[0] must be a name, {name: arguments}, or',
    ),
    (
        with_setting(mode='block', action='rtry'),
        "evaluators[1].action cannot be 'rtry': Input should be 'retry' or 'raise'.",
    ),
    (
        with_setting(on_unavailable='closed'),
        "evaluators[1]: action and on_unavailable are for mode='block', got mode='background', action='raise', "
        "on_unavailable='closed'.",
    ),
    (
        with_setting(mode='block', run_on=['error']),
        "evaluators[1].run_on is about how a run ended, and mode='block' judges the output before that, got ['error'].",
    ),
    (
        with_setting(mode='block', **A_BUDGET),
        "evaluators[1]: A budget leaves runs out, and mode='block' judges every output that is sampled, got "
        "budget=Budget(usd=5.0, per='day').",
    ),
    (
        with_setting(budget=5),
        'evaluators[1].budget must be a budget such as {usd: 5, per: day}, or the name of one in this spec, got 5.',
    ),
    (
        with_setting(budget='judgs'),
        "evaluators[1].budget: there is no budget 'judgs'. Known: none; give it once as {name: ..., usd: 5, per: day}.",
    ),
    (
        spec_of(
            {'evaluator': 'NotEmpty', 'budget': 'judgs'}, config={'budget': {'name': 'judges', **A_BUDGET['budget']}}
        ),
        "evaluators[0].budget: there is no budget 'judgs'; did you mean 'judges'? Known: 'judges'; give",
    ),
    (with_setting(budget={'usd': 5}), "evaluators[1].budget needs per: 'minute', 'hour', 'day' or 'week', got {'usd'"),
    (
        with_setting(budget={'usb': 5, 'per': 'day'}),
        "evaluators[1].budget.usb: there is no setting of a budget 'usb'; did you mean 'usd'? Known: 'usd', 'per', "
        "'evaluations', 'name'.",
    ),
    (
        with_setting(budget={'usd': 5, 'per': 'month'}),
        "evaluators[1].budget.per cannot be 'month': Input should be 'minute', 'hour', 'day' or 'week'.",
    ),
    (
        with_setting(budget={'evaluations': 0.5, 'per': 'day'}),
        'evaluators[1].budget.evaluations cannot be 0.5: Input should be a valid integer.',
    ),
    (
        with_setting(budget={'usd': -5, 'per': 'day'}),
        'evaluators[1].budget.usd must be a positive number of US dollars, got -5.0.',
    ),
    (
        with_setting(budget={'per': 'day'}),
        "evaluators[1].budget cannot be {'per': 'day'}: A budget takes either usd or evaluations, got neither.",
    ),
    (
        spec_of(
            {'evaluator': 'NotEmpty', 'budget': {'name': 'a', 'usd': 5, 'per': 'day'}},
            config={'budget': {'name': 'a', 'usd': 6, 'per': 'day'}},
        ),
        "evaluators[0].budget has the name 'a', which another budget of this spec has, Budget(usd=6.0, per='day'); got "
        "{'name': 'a', ",
    ),
    (
        spec_of('NotEmpty', config={'budget': {'usd': 0, 'per': 'day'}}),
        'config.budget.usd must be a positive number of US dollars, got 0.0.',
    ),
    (
        spec_of({'Panel': {'members': [judge('a'), 'NotEmpty']}}),
        "evaluators[0].Panel.members[1] must be one of 'Judge', 'Panel', 'Cascade', got 'NotEmpty'.",
    ),
    (
        spec_of({'Panel': [judge('a'), judge('b', samples=0)]}),
        'evaluators[0].Panel[1].Judge.samples must be ',
    ),
    (spec_of({'Panel': 'a judge'}), "evaluators[0].Panel must be a list of evaluators, got 'a judge'."),
    (
        spec_of({'Panel': {'members': [judge('a')], 'quorum': 2}}),
        'evaluators[0].Panel.quorum must be an integer from 1 to 1, got 2.',
    ),
    (
        spec_of({'evaluator': {'Cascade': {'steps': [{'Panel': [judge('a'), 'Jugde']}]}}}),
        "evaluators[0].evaluator.Cascade.steps[0].Panel[1]: there is no evaluator 'Jugde'; did you mean 'Judge'?",
    ),
    (spec_of('NotEmpty', id=5), 'id must be a text, got 5.'),
    (spec_of(5), 'evaluators[0] must be a name, {name: arguments}, or'),
    (spec_of({'Equals': {'value': 'x' * 500, 'vlue': 1}}), 'evaluators[0].Equals.vlue: there is no Equals argument'),
    (spec_of({'IsInstance': ['x' * 500]}), f"evaluators[0].IsInstance cannot be ['{'x' * 198}…: Input should be"),
    (spec_of('NotEmpty', config={'queue_size': 0}), 'config.queue_size must be an integer of at least 1, got 0.'),
    (
        spec_of('NotEmpty', config={'metadata': [1]}),
        'config.metadata cannot be [1]: Input should be a valid dictionary.',
    ),
    (
        spec_of('NotEmpty', config={'enable': True}),
        "config.enable: there is no `OnlineEvalConfig` setting 'enable'; did",
    ),
    (spec_of('NotEmpty', config=0.5), 'config must be a mapping of settings, got 0.5.'),
    (
        spec_of('NotEmpty', confg={}),
        "confg: there is no setting 'confg'; did you mean 'config'? Known: 'config', 'evaluat",
    ),
    (
        {**SPEC, 'capabilities': ['OnlineEvaluation']},
        "evaluators must be a list such as ['EqualsExpected']: missing a required argument: 'evaluators'.",
    ),
    ({**SPEC, 'capabilities': [{'OnlineEvaluation': 'NotEmpty'}]}, "evaluators must be a list, got 'NotEmpty'."),
    (
        {**SPEC, 'capabilities': [{'OnlineEvaluation': {'evaluators': {'LongerThan': 5}}}]},
        "evaluators must be a list, got {'LongerThan': 5}.",
    ),
]


@pytest.mark.parametrize('name', ['support.yaml', 'support.json'])
@pytest.mark.parametrize(('spec', 'answer'), REFUSED)
def test_what_cannot_work_is_answered_with_its_path_and_value(
    spec: dict[str, Any], answer: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as caught:
        Agent.from_file(written(tmp_path / name, spec), custom_capability_types=[Known])
    cause = caught.value.__cause__
    assert isinstance(cause, ConfigurationError)
    assert str(caught.value) == f"Failed to instantiate capability 'OnlineEvaluation': {cause}"
    assert str(cause).startswith(answer)


@pytest.mark.parametrize('name', ['support.yaml', 'support.json'])
async def test_a_file_that_pydantic_ai_writes_reads_as_the_same_agent(
    name: str, tmp_path: Path, collected: Collected
) -> None:
    spec = AgentSpec.from_dict(SPEC)
    spec.to_file(tmp_path / name, custom_capability_types=[Known])
    again = AgentSpec.from_file(tmp_path / name)
    assert again.model_copy(update={'json_schema_path': None}) == spec
    for loaded in (again, AgentSpec.from_dict(spec.model_dump())):
        collected.payloads.clear()
        await Agent.from_spec(loaded, custom_capability_types=[Known]).run('Hello')
        await wait_for_evaluations()
        assert collected.values == {'NotEmpty': True, 'LongerThan': True, 'essay': False, 'LLMJudge': False}


def test_the_json_schema_of_agent_specs_knows_evaluators_and_settings(tmp_path: Path) -> None:
    AgentSpec.from_dict(SPEC).to_file(tmp_path / 'support.yaml', custom_capability_types=[Known])
    written = json.loads((tmp_path / 'support_schema.json').read_text(encoding='utf-8'))
    schema = AgentSpec.model_json_schema_with_capabilities([Known])
    assert schema == written
    definitions = schema['$defs']
    of_evaluator, of_config = definitions['OnlineEvaluator'], definitions['OnlineEvalConfig']
    assert set(of_evaluator['properties']) == {'evaluator', 'budget', *DATA_OF_AN_EVALUATOR}
    assert (of_evaluator['required'], of_evaluator['additionalProperties']) == (['evaluator'], False)
    assert set(of_config['properties']) == {'budget', *DATA_OF_A_CONFIG}
    parameters = definitions['spec_params_OnlineEvaluation']
    assert (set(parameters['properties']), parameters['required']) == ({'evaluators', 'config', 'id'}, ['evaluators'])
    entries = parameters['properties']['evaluators']['items']['anyOf']
    assert {'const': 'NotEmpty', 'type': 'string'} in entries
    assert {'$ref': '#/$defs/spec_LLMJudge'} in entries
    assert {'$ref': '#/$defs/OnlineEvaluator'} in entries
    members = definitions['spec_params_Panel']['properties']['members']['items']['anyOf']
    assert {'$ref': '#/$defs/spec_Judge'} in members and {'$ref': '#/$defs/spec_Judge'} in entries
    assert {'$ref': '#/$defs/holding_Cascade'} in members
    assert {'$ref': '#/$defs/BudgetSpec'} in of_evaluator['properties']['budget']['anyOf']
    assert set(definitions['BudgetSpec']['properties']) == {'name', 'usd', 'evaluations', 'per'}
    assert definitions['spec_params_LongerThan']['required'] == ['characters']
    without = json.dumps(AgentSpec.model_json_schema_with_capabilities([OnlineEvaluation]))
    assert 'LLMJudge' in without and 'LongerThan' not in without
