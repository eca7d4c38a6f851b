"""Evaluators that several `OnlineEvaluation` attach to one run."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Collected
from evaluators import Context
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import Evaluator

from pydantic_ai_assay import (
    AssayWarning,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    evaluate,
    wait_for_evaluations,
)

pytestmark = pytest.mark.anyio


@dataclass
class Always(Evaluator[Any, Any, Any]):
    """Says the same of every run."""

    value: Any = True

    def evaluate(self, ctx: Context) -> Any:
        return self.value


@dataclass
class Named(Always):
    """Goes by a name of its own."""

    name: str = 'Named'

    def get_default_evaluation_name(self) -> str:
        return self.name


@dataclass
class Unnamed(Always):
    """Cannot say what it is called."""

    def get_default_evaluation_name(self) -> str:
        raise KeyError('name')


def online(collected: Collected, *evaluators: Evaluator | OnlineEvaluator) -> OnlineEvaluation[Any]:
    return OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(default_sink=collected))


def fast(evaluator: Evaluator, **settings: Any) -> OnlineEvaluator:
    return OnlineEvaluator(evaluator=evaluator, **settings)


@pytest.mark.parametrize('is_given_to_the_run', [False, True])
async def test_namesakes_that_do_different_things_both_judge_a_run_and_one_warning_says_so(
    collected: Collected, is_given_to_the_run: bool
) -> None:
    first, second = (
        online(collected, Always(1), Named(name='other')),
        online(collected, Always(2), Named(name='another')),
    )
    agent = Agent(TestModel(), capabilities=[first] if is_given_to_the_run else [first, second])
    of_the_run = [second] if is_given_to_the_run else []
    message = (
        "Two evaluators named 'Always' that differ in what they do are attached to one run, by several "
        r'`OnlineEvaluation`: Always\(value=1\) and Always\(value=2\). Both judge the run, and only their fingerprints '
        'tell the results apart. Give one of them another name'
    )
    with pytest.warns(AssayWarning, match=message) as warned:
        for _ in range(3):
            await agent.run('hello', capabilities=of_the_run)
    assert len(warned) == 1
    await wait_for_evaluations()
    judged = [(outcome.evaluator, outcome.fingerprint) for outcome in collected.outcomes]
    assert sorted(name for name, _ in set(judged)) == ['Always', 'Always', 'another', 'other']
    assert len(judged) == 12


async def test_of_namesakes_with_other_settings_the_first_judges_and_one_warning_says_so(collected: Collected) -> None:
    elsewhere = Collected()
    first, second = (
        online(collected, fast(Always(), timeout=5)),
        online(elsewhere, fast(Always(), timeout=6, retries=1)),
    )
    agent = Agent(TestModel(), capabilities=[first, second])
    message = (
        r"named 'Always' that differ in timeout \(5 and 6\), retries \(0 and 1\) are attached to one run, .* "
        r'The settings that were attached first hold for both. Attach Always once\.'
    )
    with pytest.warns(AssayWarning, match=message) as warned:
        for _ in range(3):
            await agent.run('hello')
    assert len(warned) == 1
    await wait_for_evaluations()
    assert (len(collected.results), elsewhere.results) == (3, [])


async def test_where_warnings_are_errors_namesakes_break_no_run(collected: Collected) -> None:
    agent = Agent(TestModel(), capabilities=[online(collected, Always(1)), online(collected, Always(2))])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert (await agent.run('hello')).output
    await wait_for_evaluations()
    assert len(collected.results) == 2


async def test_where_namesakes_cannot_be_shown_they_judge_all_the_same(collected: Collected) -> None:
    @dataclass(repr=False)
    class Unshown(Always):
        def __repr__(self) -> str:
            raise LookupError('not this one')

    agent = Agent(TestModel(), capabilities=[online(collected, Unshown(1)), online(collected, Unshown(2))])
    with pytest.warns(AssayWarning, match='could not be compared: LookupError: not this one'):
        await agent.run('hello')
    await wait_for_evaluations()
    assert sorted(result.value for result in collected.results) == [1, 2]


async def test_nothing_is_said_of_what_can_hold_for_one_run_together_nor_where_a_name_cannot_be_read(
    collected: Collected,
) -> None:
    first = online(collected, fast(Always(), run_on_errors=True), Unnamed(1))
    second = online(collected, fast(Always(), run_on=['success', 'cancelled']), Unnamed(2))
    agent = Agent(TestModel(), capabilities=[first, second])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')
        await agent.run('hello')
        await wait_for_evaluations()
    assert [str(each.message) for each in warned] == []
    assert sorted(collected.statuses.items()) == [('Always', 'scored'), ('Unnamed', 'failed')]


async def test_the_evaluators_of_a_function_and_of_the_agent_that_calls_it_are_no_namesakes(
    collected: Collected,
) -> None:
    agent = Agent(TestModel(), capabilities=[online(collected, Always(1))])

    @agent.tool_plain
    @evaluate(Always(2), config=OnlineEvalConfig(default_sink=collected))
    def look_up() -> str:
        return 'found'

    await agent.run('hello')
    await wait_for_evaluations()
    assert sorted((payload.target, payload.results[0].value) for payload in collected.payloads) == [
        ('agent', 1),
        ('look_up', 2),
    ]


async def test_a_list_of_evaluators_that_is_changed_later_changes_nothing(collected: Collected) -> None:
    evaluators: list[Evaluator] = [Always()]
    agent = Agent(
        TestModel(),
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(default_sink=collected))],
    )
    evaluators[:] = [Named(name='other')]
    await agent.run('hello')
    await wait_for_evaluations()
    assert collected.values == {'Always': True}
