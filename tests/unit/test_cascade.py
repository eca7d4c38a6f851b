"""Cascades: who is asked after whom, with what probability, and whose verdict counts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pydantic_ai_assay import (
    Cascade,
    ConfigurationError,
    Grader,
    Judge,
    JudgeCase,
    JudgementError,
    Panel,
    Verdict,
    Vote,
)
from pydantic_ai_assay.judging.terms import Terms
from pydantic_ai_assay.runs.identity import identify
from pydantic_ai_assay.runs.judgement import JudgementLog

from .graders import Scripted, scripted


def a_case(number: int = 0) -> JudgeCase:
    return JudgeCase(output='an answer', run_id=f'run-{number}')


def graded(cascade: Cascade, case: JudgeCase | None = None) -> Verdict:
    return anyio.run(cascade.grade, a_case() if case is None else case)


def asked(cascade: Cascade, case: JudgeCase | None = None) -> dict[str, float]:
    """Who was asked, with what probability."""
    return {vote.judge: vote.probability for vote in graded(cascade, case).votes}


UNSURE = Verdict(value=True, passed=True, agreement=1 / 3)
SURE = Verdict(value=True, passed=True, agreement=1.0)


@pytest.mark.parametrize(
    ('first', 'steps'),
    [
        pytest.param(SURE, ['a'], id='all agree'),
        pytest.param(True, ['a'], id='one vote'),
        pytest.param(UNSURE, ['a', 'b'], id='some disagree'),
        pytest.param(ValueError(), ['a', 'b'], id='no verdict'),
    ],
)
def test_the_next_one_is_asked_if_the_one_before_is_unsure_or_gives_no_verdict(first: Any, steps: list[str]) -> None:
    assert list(asked(Cascade(scripted(first, False)))) == steps


def a_judge(*answers: object, **settings: Any) -> Judge:
    """A judge whose model gives these answers in turn, the last one from then on."""
    given = list(answers)

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        tool = info.output_tools[0]
        (key,) = tool.parameters_json_schema['properties'].keys() - {'reason'}
        answer = given.pop(0) if len(given) > 1 else given[0]
        return ModelResponse(parts=[ToolCallPart(tool.name, {'reason': 'Because.', key: answer})])

    return Judge('It is polite', name='a', model=FunctionModel(respond), **settings)


def is_doubted(first: Grader) -> bool:
    return list(asked(Cascade([first, Scripted(True, name='b')]))) == ['a', 'b']


@pytest.mark.parametrize(
    ('scale', 'threshold', 'doubted'),
    [
        ((1, 10), 7, [6, 7]),
        ((1, 5), 3, [2, 3]),
        ((1, 5), 2.5, [2, 3]),
        ((0, 100), 70, list(range(60, 80))),
        ((1, 5), None, [3]),
        ((1, 10), None, [5, 6]),
        ((0, 1), None, [0, 1]),
    ],
)
def test_a_single_score_is_doubted_near_what_passes(
    scale: tuple[int, int], threshold: float | None, doubted: list[int]
) -> None:
    scores = range(scale[0], scale[1] + 1)
    judges = {score: a_judge(score, scale=scale, threshold=threshold) for score in scores}
    assert [score for score, judge in judges.items() if is_doubted(judge)] == doubted


@pytest.mark.parametrize(
    ('score', 'doubted'), [(0.59, False), (0.6, True), (0.7, True), (0.8, True), (0.81, False), (0.0, False)]
)
def test_a_single_score_that_is_no_whole_number_is_doubted_within_a_tenth_of_the_scale(
    score: float, doubted: bool
) -> None:
    assert is_doubted(a_judge(score, scale=(0.0, 1.0), threshold=0.7)) is doubted


@pytest.mark.parametrize('passes', [True, False])
def test_a_single_vote_without_a_score_is_doubted_if_it_does_not_pass(passes: bool) -> None:
    assert is_doubted(a_judge(passes)) is not passes
    label = 'kind' if passes else 'rude'
    assert is_doubted(a_judge(label, labels=['kind', 'rude'], passing=['kind'])) is not passes
    assert is_doubted(Scripted(passes)) is not passes


def test_several_votes_are_doubted_where_they_disagree_or_their_mean_is_near_what_passes() -> None:
    assert not is_doubted(a_judge(False, samples=3))
    assert is_doubted(a_judge(True, True, False, samples=3))
    assert is_doubted(a_judge(9, 9, 2, samples=3, scale=(1, 10), threshold=7))
    assert is_doubted(a_judge(7, samples=3, scale=(1, 10), threshold=7))
    assert not is_doubted(a_judge(9, 10, 9, samples=3, scale=(1, 10), threshold=7))
    assert not is_doubted(a_judge('rude', samples=3, labels=['kind', 'rude']))


def test_of_other_graders_a_score_alone_says_nothing() -> None:
    assert not is_doubted(Scripted(3))


def test_a_step_that_nothing_can_tell_to_be_unsure_is_refused() -> None:
    vague = a_judge('kind', labels=['kind', 'rude'])
    with pytest.raises(ConfigurationError) as raised:
        Cascade([vague, Scripted(name='b')])
    assert str(raised.value) == (
        "Nothing tells whether 'a' is unsure: it gives one label, and none is said to pass. Set its passing or samples, or "
        'the when of the Cascade.'
    )
    assert Cascade([Scripted(name='b'), vague]).steps[1] is vague
    assert Cascade([vague, Scripted(name='b')], when=0.5).steps[0] is vague


async def hang(case: JudgeCase) -> bool:
    await anyio.sleep_forever()
    raise AssertionError


@pytest.mark.anyio
async def test_a_step_that_hangs_has_failed_when_its_time_is_over() -> None:
    with anyio.fail_after(10):
        verdict = await Cascade(scripted(hang, hang, True), vote_timeout=0.2).grade(a_case())
    assert [(vote.judge, vote.error) for vote in verdict.votes] == [
        ('a', 'TimeoutError'),
        ('b', 'TimeoutError'),
        ('c', None),
    ]


@pytest.mark.anyio
async def test_each_step_leaves_time_for_those_after_it() -> None:
    left: list[float] = []

    def note(case: JudgeCase) -> Verdict:
        time_left = Terms.current().time_left
        assert time_left is not None
        left.append(time_left)
        return UNSURE

    Terms().begin(10.0)
    with anyio.fail_after(10):
        await Cascade(scripted(note, note, note)).grade(a_case())
        # The last one has what is left of the evaluation.
        assert left == pytest.approx([2.7, 4.05, 9.0], abs=0.1)
        Terms().begin(1.0)
        verdict = await Cascade(scripted(hang, True)).grade(a_case())
    assert [vote.error for vote in verdict.votes] == ['TimeoutError', None]


def test_the_verdict_is_that_of_the_last_one_that_was_asked() -> None:
    last = Verdict(value=4, passed=True, reason='Complete.')
    verdict = graded(Cascade(scripted(UNSURE, ValueError(), last, 5)))
    assert (verdict.value, verdict.passed, verdict.reason) == (4, True, 'Complete.')
    assert [(vote.judge, vote.value, vote.error) for vote in verdict.votes] == [
        ('a', True, None),
        ('b', None, 'ValueError'),
        ('c', 4, None),
    ]


def test_the_agreement_is_between_the_steps_or_within_the_only_one_that_answered() -> None:
    assert graded(Cascade(scripted(UNSURE, True))).agreement == 1.0
    assert graded(Cascade(scripted(UNSURE, False))).agreement == 0.0
    assert graded(Cascade(scripted(SURE, False))).agreement == 1.0
    assert graded(Cascade(scripted(ValueError(), UNSURE))).agreement == UNSURE.agreement


def test_a_cascade_whose_steps_disagreed_is_unsure_in_another_cascade() -> None:
    inner = Cascade(scripted(UNSURE, False), name='inner')
    assert list(asked(Cascade([inner, Scripted(True, name='c')]))) == ['inner', 'c']


def test_the_failure_of_the_last_step_is_that_of_the_cascade() -> None:
    error = ValueError('broken')
    with pytest.raises(JudgementError) as raised:
        graded(Cascade(scripted(UNSURE, error), name='careful'))
    assert str(raised.value) == 'careful: the last step, b, gave no verdict.'
    assert raised.value.__cause__ is error


def test_a_cascade_asks_panels() -> None:
    panel = Panel(scripted(True, False), name='cheap')
    assert list(asked(Cascade([panel, Scripted(name='costly')]))) == ['cheap', 'costly']


def test_a_cascade_may_end_in_a_panel_and_a_panel_may_have_cascades_for_members() -> None:
    last = Panel(scripted(False, False, True), name='costly')
    verdict = graded(Cascade([Scripted(UNSURE, name='cheap'), last]))
    assert (verdict.value, [vote.judge for vote in verdict.votes]) == (False, ['cheap', 'costly'])
    cascades = [
        Cascade(scripted(UNSURE, passed), name=name) for name, passed in (('x', True), ('y', True), ('z', False))
    ]
    verdict = anyio.run(Panel(cascades).grade, a_case())
    assert (verdict.value, [(vote.judge, vote.value) for vote in verdict.votes]) == (
        True,
        [('x', True), ('y', True), ('z', False)],
    )


def fails(verdict: Verdict) -> bool:
    return verdict.passed is False


def test_a_condition_of_ones_own_decides() -> None:
    assert list(asked(Cascade(scripted(False, True), when=fails))) == ['a', 'b']
    assert list(asked(Cascade(scripted(True, True), when=fails))) == ['a']


def test_a_step_that_gave_no_verdict_is_followed_by_the_next_whatever_the_condition() -> None:
    assert asked(Cascade(scripted(ValueError(), True), when=0.0)) == {'a': 1.0, 'b': 1.0}


def quarter(verdict: Verdict) -> float:
    return 0.25


@pytest.mark.parametrize('when', [0.25, quarter])
def test_a_probability_is_the_share_of_the_runs_whose_next_step_is_asked(when: Any) -> None:
    cascade = Cascade(scripted(True, True), when=when)
    decisions = [asked(cascade, a_case(number)) for number in range(1000)]
    assert 200 < sum('b' in steps for steps in decisions) < 300
    assert {probability for steps in decisions for probability in steps.values()} == {1.0, 0.25}
    assert decisions == [asked(cascade, a_case(number)) for number in range(1000)]


def test_each_step_and_each_cascade_draws_for_itself() -> None:
    both = Cascade(scripted(True, True, True), when=0.5)
    counts = [len(asked(both, a_case(number))) for number in range(1000)]
    assert [220 < counts.count(3) < 280, 220 < counts.count(2) < 280] == [True, True]
    other = Cascade(scripted(True, True), when=0.5, name='other')
    same = sum((len(asked(other, a_case(number))) > 1) is (counts[number] > 1) for number in range(1000))
    assert 450 < same < 550


def test_the_probability_of_a_later_step_is_that_of_all_the_draws_before_it() -> None:
    cascade = Cascade(scripted(True, True, True), when=0.5)
    longest = max((asked(cascade, a_case(number)) for number in range(50)), key=len)
    assert longest == {'a': 1.0, 'b': 0.5, 'c': 0.25}


def test_the_probability_is_on_the_votes_of_judges_within() -> None:
    log = JudgementLog()
    call = Vote(judge='inner call', value=True)
    inner = Cascade([Scripted(name='a'), Scripted(name='b', calls=(call,))], when=0.5, name='inner')
    outer = Cascade([Scripted(name='first'), inner], when=0.5)

    async def grade() -> None:
        log.enter()
        for number in range(50):
            await outer.grade(a_case(number))

    anyio.run(grade)
    assert log.judgement is not None
    assert {vote.judge: vote.probability for vote in log.judgement.votes} == {
        'first': 1.0,
        'a': 0.5,
        'inner call': 0.25,
    }


class Opaque:
    """Something without a JSON form, whose representation has its address."""


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    'make', [lambda: 'text', Opaque, lambda: b'\xff', lambda: float('nan'), lambda: ENDLESS, lambda: '\ud800']
)
def test_a_case_without_a_run_is_drawn_by_what_is_judged(make: Callable[[], Any]) -> None:
    cascade = Cascade(scripted(True, True), when=0.5)

    def decide() -> list[bool]:
        cases = [JudgeCase(output=make(), input=number) for number in range(50)]
        return ['b' in asked(cascade, case) for case in cases]

    assert decide() == decide()
    assert 10 < sum(decide()) < 40


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_can_be_drawn(output: str, reference: str) -> None:
    case = JudgeCase(output=output, reference=reference)
    assert asked(Cascade(scripted(True, True), when=0.5), case) in ({'a': 1.0}, {'a': 1.0, 'b': 0.5})


def raises(verdict: Verdict) -> bool:
    raise LookupError('secret')


def test_a_condition_that_raises_is_named() -> None:
    with pytest.raises(JudgementError) as raised:
        graded(Cascade(scripted(True, True), when=raises))
    assert str(raised.value) == f'Cascade: the condition {__name__}.raises raised LookupError.'
    assert isinstance(raised.value.__cause__, LookupError)


@pytest.mark.parametrize('says', [1.5, -0.1, float('nan'), 'yes', None])
def test_a_condition_that_gives_no_probability_is_named(says: Any) -> None:
    def odd(verdict: Verdict) -> Any:
        return says

    with pytest.raises(JudgementError, match=f'odd gave {says!r}; expected a bool or a probability from 0 to 1.'):
        graded(Cascade(scripted(True, True), when=odd))


async def later(verdict: Verdict) -> bool:
    raise AssertionError


@pytest.mark.parametrize(
    ('steps', 'settings', 'message'),
    [
        ([], {}, 'Cascade needs at least one judge, got none.'),
        ([Scripted(), Scripted()], {}, "Members of a Cascade need names of their own, got 'a' 2 times; set `name`."),
        (scripted(1), {'vote_timeout': -1}, 'vote_timeout must be a positive number of seconds, got -1.'),
        (scripted(1), {'on_result': 'x'}, "on_result must be None or a function, got 'x'."),
        (
            [Cascade(scripted(1), name='inner', on_fail=print)],
            {},
            "on_fail of 'inner' would never be called: a member of a Cascade gives a vote, and only the Cascade has a "
            'result. Set on_fail on the Cascade, or on its OnlineEvaluator.',
        ),
        (
            scripted(1),
            {'when': later},
            f'when must not be asynchronous: its result is needed at once; got {later!r}.',
        ),
        (scripted(1), {'when': None}, 'when must be a function of a Verdict or a probability from 0 to 1, got None.'),
        (scripted(1), {'when': 1.5}, 'when must be a function of a Verdict or a probability from 0 to 1, got 1.5.'),
        (scripted(1), {'when': 'no'}, "when must be a function of a Verdict or a probability from 0 to 1, got 'no'."),
    ],
)
def test_a_cascade_that_cannot_work_is_not_made(steps: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Cascade(steps, **settings)
    assert str(raised.value) == message


@pytest.mark.anyio
async def test_cancelling_a_cascade_cancels_the_step_that_is_asked() -> None:
    started, ended = anyio.Event(), anyio.Event()

    async def wait(case: JudgeCase) -> bool:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(Cascade(scripted(wait, AssertionError())).grade, a_case())
            await started.wait()
            group.cancel_scope.cancel()
    assert ended.is_set()


@pytest.mark.anyio
async def test_a_cancellation_that_a_step_makes_up_is_no_cancellation() -> None:
    verdict = await Cascade(scripted(asyncio.CancelledError(), True)).grade(a_case())
    assert [vote.error for vote in verdict.votes] == ['CancelledError', None]


@dataclass
class AtMost:
    score: float

    def __call__(self, verdict: Verdict) -> bool:
        raise AssertionError


def test_the_fingerprint_is_that_of_the_steps_and_of_the_condition() -> None:
    def fingerprint(*says: Any, **settings: Any) -> str:
        return identify(Cascade(scripted(*says), **settings)).fingerprint

    prints = [
        fingerprint(1, 2),
        fingerprint(2, 1),
        fingerprint(1),
        fingerprint(1, 2, when=0.5),
        fingerprint(1, 2, when=fails),
        fingerprint(1, 2, when=raises),
        fingerprint(1, 2, when=AtMost(1)),
        fingerprint(1, 2, when=AtMost(2)),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(1, 2) == fingerprint(1, 2)
    assert fingerprint(1, 2, when=AtMost(2)) == prints[-1]


@pytest.mark.parametrize(
    ('when', 'shown'),
    [
        (0.5, 0.5),
        (fails, f'{__name__}.fails'),
        (AtMost(3), f'{__name__}.AtMost'),
        (partial(fails), f'{__name__}.fails'),
        (SURE.__eq__, 'pydantic_ai_assay.judging.verdict.Verdict.__eq__'),
    ],
)
def test_the_spec_has_the_name_of_the_condition(when: Any, shown: object) -> None:
    identity = identify(Cascade([Scripted(5)], when=when, name='careful', on_result=print))
    assert identity.name == 'careful'
    assert identity.source.model_dump(context={'use_short_form': True}) == {
        'Cascade': {'steps': [{'Scripted': 5}], 'when': shown, 'name': 'careful'}
    }


def test_a_cascade_goes_by_its_class() -> None:
    identity = identify(Cascade([Scripted(5)]))
    assert identity.name == 'Cascade'
    assert identity.source.model_dump(context={'use_short_form': True}) == {'Cascade': [{'Scripted': 5}]}
