"""Which evaluators are shown which run, and with what probability."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from hypothesis import given, strategies as st
from pydantic_evals import online as upstream

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluator, RunRecord, SamplingContext
from pydantic_ai_assay.execution.attached import AttachedEvaluator, attach
from pydantic_ai_assay.runs.draw import uniform_draw
from pydantic_ai_assay.sampling.choice import (
    Candidate,
    RunStart,
    Verdict,
    choose_after_run,
    choose_before_run,
)

from .samples import Always, Named, a_run, an_attached


def constantly(value: Any) -> Any:
    """A rate or a condition that gives the same for every run."""
    return lambda _: value  # pyright: ignore[reportUnknownVariableType, reportUnknownLambdaType]


def longer_than(seconds: float) -> Callable[[RunRecord], bool]:
    return lambda run: run.duration > seconds


@dataclass
class Choice:
    """What became of each evaluator before a run, by its name."""

    candidates: dict[str, tuple[float, float]]
    sampled_out: list[str]
    failed: dict[str, str]


def choose(
    attached: Sequence[AttachedEvaluator],
    config: OnlineEvalConfig | None = None,
    *,
    run_id: str = 'run-1',
    conversation_id: str | None = None,
    inputs: Any = None,
    deps: Any = None,
) -> Choice:
    candidates, left_out = choose_before_run(
        attached,
        OnlineEvalConfig() if config is None else config,
        lambda: RunStart(
            run_id=run_id,
            conversation_id=conversation_id,
            target='support',
            agent_name='support',
            inputs=inputs,
            deps=deps,
        ),
    )
    return Choice(
        {each.attached.name: (each.rate, each.draw) for each in candidates},
        [each.name for each, error in left_out if error is None],
        {each.name: f'{type(error).__name__}: {error}' for each, error in left_out if error is not None},
    )


def named(name: str, **settings: Any) -> AttachedEvaluator:
    return an_attached(Named(name), **settings)


def test_an_evaluator_with_rate_1_is_always_a_candidate_and_with_rate_0_never() -> None:
    choice = choose([named('all', sample_rate=1.0), named('none', sample_rate=0.0), named('default')])
    assert choice == Choice({'all': (1.0, 0.0), 'default': (1.0, 0.0)}, ['none'], {})


def test_nothing_about_the_run_is_asked_where_every_rate_is_0_or_1() -> None:
    def start() -> NoReturn:
        raise AssertionError('it was asked')

    attached = [named('all', sample_rate=1), named('none', sample_rate=0)]
    chosen, _ = choose_before_run(attached, OnlineEvalConfig(), start)
    assert [each.attached.name for each in chosen] == ['all']


def test_the_rate_is_the_evaluators_own_then_the_configs_and_0_where_a_condition_decides() -> None:
    config = OnlineEvalConfig(default_sample_rate=1.0)
    settings: dict[str, dict[str, Any]] = {
        'default': {},
        'own': {'sample_rate': 0.9999},
        'condition': {'when': constantly(True)},
        'both': {'when': constantly(True), 'sample_rate': 0.5},
    }
    choice = choose([named(name, **each) for name, each in settings.items()], config)
    assert {name: rate for name, (rate, _) in choice.candidates.items()} == {
        'default': 1.0,
        'own': 0.9999,
        'condition': 0.0,
        'both': 0.5,
    }


@given(st.text(min_size=1), st.floats(0.0, 1.0))
def test_a_run_is_chosen_exactly_if_its_draw_is_below_the_rate(run_id: str, rate: float) -> None:
    each = named('judge', sample_rate=rate)
    draw = uniform_draw(run_id, each.key)
    choice = choose([each], run_id=run_id)
    assert ('judge' in choice.candidates) == (draw < rate)
    assert ('judge' in choice.sampled_out) == (draw >= rate)


def test_over_many_runs_the_share_chosen_is_the_rate() -> None:
    each = named('judge', sample_rate=0.3)
    chosen = sum(bool(choose([each], run_id=f'run-{number}').candidates) for number in range(4_000))
    # Five standard deviations.
    assert abs(chosen - 1_200) < 5 * math.sqrt(4_000 * 0.3 * 0.7)


def test_evaluators_are_chosen_independently_of_each_other_by_default() -> None:
    pair = [named('a', sample_rate=0.5), named('b', sample_rate=0.5)]
    both = sum(len(choose(pair, run_id=f'run-{number}').candidates) == 2 for number in range(4_000))
    assert abs(both - 1_000) < 5 * math.sqrt(4_000 * 0.25 * 0.75)


@given(st.text(min_size=1), st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5))
def test_correlated_the_runs_of_a_lower_rate_are_among_those_of_a_higher_one(run_id: str, rates: list[float]) -> None:
    rates.sort()
    attached = [named(f'judge-{number}', sample_rate=rate) for number, rate in enumerate(rates)]
    chosen = choose(attached, OnlineEvalConfig(sampling_mode='correlated'), run_id=run_id).candidates
    seen = [each.name in chosen for each in attached]
    assert seen == sorted(seen)


def test_a_conversation_is_kept_together() -> None:
    each = named('judge', sample_rate=0.5, sample_by='conversation')
    by_conversation = {
        conversation: {
            bool(choose([each], run_id=f'{conversation}-{turn}', conversation_id=conversation).candidates)
            for turn in range(8)
        }
        for conversation in (f'conversation-{number}' for number in range(40))
    }
    assert all(len(chosen) == 1 for chosen in by_conversation.values())
    assert {True, False} == set().union(*by_conversation.values())


def test_without_a_conversation_the_run_is_drawn() -> None:
    by_run, by_conversation = named('judge', sample_rate=0.5), named('judge', sample_rate=0.5, sample_by='conversation')
    for number in range(40):
        run_id = f'run-{number}'
        assert choose([by_run], run_id=run_id) == choose([by_conversation], run_id=run_id)


# Callables


def test_a_rate_callable_is_told_what_is_known_before_the_run() -> None:
    seen: list[SamplingContext] = []

    def rate(context: SamplingContext) -> float:
        seen.append(context)
        return 1.0

    deps = object()
    evaluator = Named('judge')
    config = OnlineEvalConfig(metadata={'team': 'a'})
    choice = choose(
        [an_attached(evaluator, sample_rate=rate)],
        config,
        conversation_id='conversation-1',
        inputs='a question',
        deps=deps,
    )
    assert choice.candidates == {'judge': (1.0, pytest.approx(uniform_draw('run-1', named('judge').key)))}
    assert seen == [
        SamplingContext(
            evaluator=evaluator,
            inputs='a question',
            metadata={'team': 'a'},
            call_seed=uniform_draw('run-1'),
            run_id='run-1',
            conversation_id='conversation-1',
            target='support',
            agent_name='support',
            deps=deps,
        )
    ]
    assert isinstance(seen[0], upstream.SamplingContext)


def test_the_default_rate_may_be_a_callable_as_well() -> None:
    config = OnlineEvalConfig(default_sample_rate=lambda context: context.inputs == 'a question')
    assert choose([named('judge')], config, inputs='a question').candidates.keys() == {'judge'}
    assert choose([named('judge')], config, inputs='another').sampled_out == ['judge']


@pytest.mark.parametrize(('value', 'rate'), [(True, 1.0), (1, 1.0), (0.9999999999999999, 0.9999999999999999)])
def test_a_rate_callable_may_return_a_bool_or_a_probability(value: float | bool, rate: float) -> None:
    ((found, _),) = choose([named('judge', sample_rate=constantly(value))]).candidates.values()
    assert (found, type(found)) == (rate, float)


@pytest.mark.parametrize('value', [False, 0, 0.0])
def test_a_rate_callable_may_leave_the_run_out(value: float | bool) -> None:
    assert choose([named('judge', sample_rate=constantly(value))]).sampled_out == ['judge']


@pytest.mark.parametrize('value', [1.5, -0.1, math.nan, math.inf, None, 'half'])
def test_a_rate_callable_that_gives_no_probability_is_an_error_of_its_evaluator_alone(value: Any) -> None:
    choice = choose([named('judge', sample_rate=constantly(value)), named('other')])
    assert choice.candidates.keys() == {'other'}
    assert choice.failed == {
        'judge': f'ValueError: sample_rate gave {value!r}; expected a bool or a probability from 0.0 to 1.0.'
    }


def test_a_rate_callable_that_raises_is_an_error_of_its_evaluator_alone() -> None:
    def rate(context: SamplingContext) -> float:
        raise LookupError('no such tenant')

    choice = choose([named('judge', sample_rate=rate), named('other')])
    assert (choice.candidates.keys(), choice.failed) == ({'other'}, {'judge': 'LookupError: no such tenant'})


def test_two_evaluators_whose_names_cannot_be_read_are_drawn_apart() -> None:
    class Nameless(Always):
        def get_default_evaluation_name(self) -> str:
            raise RuntimeError('no name')

    pair = [an_attached(Nameless(), sample_rate=0.5), an_attached(Nameless(), sample_rate=0.5)]
    assert len({each.key for each in pair}) == 2
    assert {each.name for each in pair} == {'Nameless'}


# After the run


def verdict(rate: float, draw: float, *, outcome: str = 'success', **settings: Any) -> Verdict:
    return choose_after_run(Candidate(an_attached(**settings), rate, draw), a_run(outcome=outcome, duration=2.0))


def test_a_candidate_without_a_condition_is_chosen_with_its_rate() -> None:
    assert verdict(0.25, 0.1) == Verdict(status='chosen', probability=0.25)


@pytest.mark.parametrize('outcome', ['error', 'cancelled', 'deferred'])
def test_a_candidate_skips_runs_whose_outcome_it_does_not_see(outcome: str) -> None:
    assert verdict(1.0, 0.0, outcome=outcome) == Verdict(status='skipped')
    assert verdict(1.0, 0.0, outcome=outcome, run_on=[outcome]) == Verdict(status='chosen', probability=1.0)


@pytest.mark.parametrize(
    ('answer', 'rate', 'draw', 'expected'),
    [
        (True, 0.0, 0.99, Verdict(status='chosen', probability=1.0)),
        (False, 0.0, 0.0, Verdict(status='sampled_out', probability=0.0)),
        (False, 0.5, 0.4, Verdict(status='chosen', probability=0.5)),
        (False, 0.5, 0.6, Verdict(status='sampled_out', probability=0.5)),
        (0.3, 0.0, 0.2, Verdict(status='chosen', probability=0.3)),
        (0.3, 0.0, 0.3, Verdict(status='sampled_out', probability=0.3)),
        (0.3, 0.5, 0.4, Verdict(status='chosen', probability=0.5)),
        (0.8, 0.5, 0.6, Verdict(status='chosen', probability=0.8)),
        (1, 0.0, 0.5, Verdict(status='chosen', probability=1.0)),
    ],
)
def test_the_greater_of_rate_and_condition_decides_and_is_recorded(
    answer: float | bool, rate: float, draw: float, expected: Verdict
) -> None:
    assert verdict(rate, draw, when=constantly(answer)) == expected


def test_a_condition_is_shown_the_run() -> None:
    assert verdict(0.0, 0.9, when=longer_than(1)).status == 'chosen'
    assert verdict(0.0, 0.9, when=longer_than(3)).status == 'sampled_out'


def test_a_condition_is_not_asked_about_runs_that_its_evaluator_does_not_see() -> None:
    def when(run: object) -> NoReturn:
        raise AssertionError('it was asked')

    assert verdict(0.0, 0.0, outcome='error', when=when) == Verdict(status='skipped')


@pytest.mark.parametrize('answer', [2, -1.0, math.nan, None, 'yes'])
def test_a_condition_that_gives_no_probability_skips_the_run(answer: Any) -> None:
    found = verdict(0.0, 0.0, when=constantly(answer))
    assert found.status == 'skipped'
    assert str(found.error) == f'when gave {answer!r}; expected a bool or a probability from 0.0 to 1.0.'


def test_a_condition_that_raises_skips_the_run() -> None:
    error = LookupError('no such field')

    def when(run: object) -> bool:
        raise error

    assert verdict(1.0, 0.0, when=when) == Verdict(status='skipped', error=error)


def test_an_evaluator_with_a_condition_stays_a_candidate_whatever_the_draw() -> None:
    attached = named('judge', when=constantly(False))
    draw = uniform_draw('run-1', attached.key)
    assert choose([attached]) == Choice({'judge': (0.0, draw)}, [], {})


@given(st.text(min_size=1), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_one_draw_serves_rate_and_condition_so_the_recorded_probability_is_the_true_one(
    run_id: str, rate: float, answer: float
) -> None:
    attached = named('judge', sample_rate=rate, when=constantly(answer))
    (candidate,), _ = choose_before_run(
        [attached],
        OnlineEvalConfig(),
        lambda: RunStart(run_id=run_id, conversation_id=None, target='agent', agent_name=None, inputs=None, deps=None),
    )
    found = choose_after_run(candidate, a_run())
    # A rate of 1 needs no draw: every number from 0.0 to below 1.0 is below it.
    draw = uniform_draw(run_id, attached.key) if rate < 1.0 else 0.0
    expected = max(rate, answer)
    assert found == Verdict(status='chosen' if draw < expected else 'sampled_out', probability=expected)


def test_an_evaluator_of_pydantic_evals_is_chosen_alike() -> None:
    theirs = attach(upstream.OnlineEvaluator(evaluator=Named('judge'), sample_rate=0.5))
    ours = attach(OnlineEvaluator(evaluator=Named('judge'), sample_rate=0.5))
    for number in range(40):
        run_id = f'run-{number}'
        assert choose([theirs], run_id=run_id) == choose([ours], run_id=run_id)


def test_a_rate_of_pydantic_evals_that_is_none_later_is_an_error_of_its_evaluator_alone() -> None:
    settings = upstream.OnlineEvaluator(evaluator=Named('judge'), sample_rate=0.5)
    theirs = attach(settings)
    settings.sample_rate = 7.0
    choice = choose([theirs, named('other')])
    assert choice.candidates.keys() == {'other'}
    assert choice.failed == {
        'judge': 'ValueError: sample_rate gave 7.0; expected a bool or a probability from 0.0 to 1.0.'
    }


def test_without_a_rate_an_evaluator_of_pydantic_evals_has_that_of_the_config() -> None:
    theirs = attach(upstream.OnlineEvaluator(evaluator=Named('judge'), sample_rate=None))
    config = OnlineEvalConfig(default_sample_rate=0.25)
    share = sum(bool(choose([theirs], config, run_id=f'run-{number}').candidates) for number in range(4_000)) / 4_000
    assert share == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 4_000))
