"""Panels: how one verdict is made of several, and what becomes of a member that gives none."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given, strategies as st
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RunUsage

from pydantic_ai_assay import Cascade, ConfigurationError, Grader, JudgeCase, JudgementError, Panel, Verdict, Vote
from pydantic_ai_assay.execution.transient import is_transient
from pydantic_ai_assay.judging.judge import Judge
from pydantic_ai_assay.judging.panel import Combine
from pydantic_ai_assay.judging.terms import Terms
from pydantic_ai_assay.runs.identity import identify
from pydantic_ai_assay.runs.judgement import JudgementLog, current_log

from .graders import Nameless, Scripted, Versioned, scripted

CASE = JudgeCase(output='an answer')


@pytest.fixture(params=['asyncio', 'trio'])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def graded(panel: Panel) -> Verdict:
    return anyio.run(panel.grade, CASE)


def combined(says: Sequence[Any], combine: Combine, **settings: Any) -> tuple[Any, bool | None]:
    verdict = graded(Panel(scripted(*says), combine=combine, **settings))
    return verdict.value, verdict.passed


def label(value: str, passed: bool | None = None) -> Verdict:
    return Verdict(value=value, passed=passed)


def score(value: float, passed: bool | None = None) -> Verdict:
    return Verdict(value=value, passed=passed)


@pytest.mark.parametrize(
    ('says', 'combine', 'value', 'passed'),
    [
        pytest.param([True, True, False], 'majority', True, True, id='more than half pass'),
        pytest.param([True, False], 'majority', False, False, id='an even tie is a fail'),
        pytest.param([True], 'majority', True, True, id='one alone'),
        pytest.param([score(4, True), score(2, False), True], 'majority', True, True, id='scores that pass or not'),
        pytest.param([label('good', True), True, False], 'majority', True, True, id='labels that pass or not'),
        pytest.param([label('a'), label('b'), label('b')], 'majority', 'b', None, id='most frequent label'),
        pytest.param([label('b'), label('a')], 'majority', 'a', None, id='equal labels: alphabet'),
        pytest.param([label('a', True), label('b', False)], 'majority', 'b', False, id='equal labels: fail first'),
        pytest.param([label('a', True), label('a', True)], 'majority', 'a', True, id='a label that passes'),
        pytest.param([label('a', True), label('a', False)], 'majority', 'a', False, id='a label that fails for one'),
        pytest.param([label('a', True), label('a')], 'majority', 'a', None, id='a label that one does not know'),
        pytest.param([1, 2, 6], 'mean', 3.0, None, id='mean'),
        pytest.param([0.1] * 3, 'mean', 0.1, None, id='mean without rounding on the way'),
        pytest.param([1.7e308, 1.7e308], 'mean', 1.7e308, None, id='mean of what has no sum'),
        pytest.param([True, True], 'all', True, True, id='all of all'),
        pytest.param([True, score(1, False)], 'all', False, False, id='all but one'),
        pytest.param([True, False], 'any', True, True, id='one of two'),
        pytest.param([False, False], 'any', False, False, id='none'),
        pytest.param([True, True, ValueError()], 'all', True, True, id='all of those that answered'),
        pytest.param([False, True, ValueError()], 'majority', False, False, id='a tie of those that answered'),
    ],
)
def test_verdicts_are_combined(says: Sequence[Any], combine: Combine, value: object, passed: bool | None) -> None:
    assert combined(says, combine) == (value, passed)
    assert type(combined(says, combine)[0]) is type(value)


def test_a_mean_passes_from_its_threshold_on() -> None:
    assert combined([3, 4], 'mean', threshold=3.5) == (3.5, True)
    assert combined([3, 4], 'mean', threshold=3.6) == (3.5, False)


VERDICTS = {
    'majority': st.lists(st.booleans(), min_size=1, max_size=7),
    'labels': st.lists(
        st.builds(label, st.sampled_from('abc'), st.sampled_from([True, False, None])), min_size=1, max_size=7
    ),
    'mean': st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9), min_size=1, max_size=7),
    'all': st.lists(st.booleans(), min_size=1, max_size=7),
    'any': st.lists(st.booleans(), min_size=1, max_size=7),
}


@pytest.mark.parametrize('combine', VERDICTS)
@given(st.data())
def test_the_order_of_the_members_does_not_matter(combine: Any, data: st.DataObject) -> None:
    says = data.draw(VERDICTS[combine])
    combine = 'majority' if combine == 'labels' else combine
    assert combined(says, combine) == combined(data.draw(st.permutations(says)), combine)


@given(st.lists(st.booleans(), min_size=1, max_size=7))
def test_the_rules_are_what_they_are_called(says: list[bool]) -> None:
    assert combined(says, 'majority')[1] is (Counter(says)[True] > Counter(says)[False])
    assert combined(says, 'all')[1] is all(says)
    assert combined(says, 'any')[1] is any(says)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=7))
def test_a_mean_lies_between_the_numbers(says: list[int]) -> None:
    value, _ = combined(says, 'mean')
    assert min(says) <= value <= max(says)
    assert value == sum(says) / len(says)


def test_each_vote_and_how_far_they_agree_are_in_the_verdict() -> None:
    verdict = graded(Panel(scripted(Verdict(value=4, passed=True, reason='Short.'), False, True, KeyError('x'))))
    assert [(vote.judge, vote.value, vote.passed, vote.reason, vote.error) for vote in verdict.votes] == [
        ('a', 4, True, 'Short.', None),
        ('b', False, False, None, None),
        ('c', True, True, None, None),
        ('d', None, None, None, 'KeyError'),
    ]
    assert verdict.agreement == pytest.approx(1 / 3)
    assert verdict.reason == 'a: 4, Short.\nb: False\nc: True\nd: no verdict (KeyError)'


def test_one_that_answers_alone_agrees_with_nobody() -> None:
    assert graded(Panel(scripted(True, ValueError()), quorum=1)).agreement is None


@pytest.mark.parametrize(('count', 'needed'), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_more_than_half_must_answer(count: int, needed: int) -> None:
    def says(answered: int) -> list[Any]:
        return [True] * answered + [ValueError('broken')] * (count - answered)

    assert combined(says(needed), 'majority') == (True, True)
    with pytest.raises(JudgementError, match=f'{needed - 1} of {count} members gave a verdict, and quorum is {needed}'):
        combined(says(needed - 1), 'majority')


def test_as_many_must_answer_as_the_quorum_says() -> None:
    assert combined([True, ValueError(), ValueError()], 'majority', quorum=1) == (True, True)
    with pytest.raises(JudgementError) as raised:
        combined([True, ValueError('secret'), True], 'majority', quorum=3)
    assert str(raised.value) == (
        'Panel: 2 of 3 members gave a verdict, and quorum is 3. Without a verdict: b (ValueError).'
    )
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ('says', 'combine', 'message'),
    [
        ([1, True], 'mean', "combine='mean' needs members that give numbers, got values of type bool, int."),
        (['x', 1.5], 'mean', 'needs members that give numbers, got values of type float, str.'),
        ([1, True], 'majority', 'needs members that say whether a case passes, got values of type bool, int.'),
        (['x', True], 'all', 'needs members that say whether a case passes'),
        ([1, 2], 'any', 'needs members that say whether a case passes'),
    ],
)
def test_what_cannot_be_combined_is_no_verdict(says: list[Any], combine: Combine, message: str) -> None:
    with pytest.raises(JudgementError) as raised:
        combined(says, combine)
    assert message in str(raised.value)


@pytest.mark.parametrize('number', [float('nan'), float('inf'), 10**400])
def test_a_number_that_no_float_can_hold_is_no_verdict(number: float) -> None:
    verdict = graded(Panel(scripted(1, number, 2), combine='mean'))
    assert (verdict.value, verdict.votes[1].error) == (1.5, 'JudgementError')


@pytest.mark.anyio
async def test_members_are_asked_at_once() -> None:
    started = 0
    everyone = anyio.Event()

    async def wait_for_all(case: JudgeCase) -> bool:
        nonlocal started
        started += 1
        if started == 3:
            everyone.set()
        with anyio.fail_after(10):
            await everyone.wait()
        return case is CASE

    panel = Panel(scripted(wait_for_all, wait_for_all, wait_for_all), combine='all')
    assert (await panel.grade(CASE)).passed is True


@pytest.mark.anyio
async def test_cancelling_a_panel_cancels_its_members() -> None:
    started, ended = 0, 0
    everyone = anyio.Event()

    async def wait(case: JudgeCase) -> bool:
        nonlocal started, ended
        started += 1
        if started == 3:
            everyone.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended += 1
        raise AssertionError

    panel = Panel([*scripted(wait, wait), Panel(scripted(wait), name='inner')])
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(panel.grade, CASE)
            await everyone.wait()
            group.cancel_scope.cancel()
    assert (started, ended) == (3, 3)


async def hang(case: JudgeCase) -> bool:
    await anyio.sleep_forever()
    raise AssertionError


async def answer_a_bit_later(case: JudgeCase) -> bool:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    return True


async def break_when_cancelled(case: JudgeCase) -> bool:
    try:
        return await hang(case)
    except anyio.get_cancelled_exc_class():
        raise ValueError('made of the cancellation') from None


def said(verdict: Verdict) -> list[tuple[str, object, str | None]]:
    return [(vote.judge, vote.value, vote.error) for vote in verdict.votes]


@pytest.mark.anyio
@pytest.mark.parametrize('hangs', [hang, break_when_cancelled])
async def test_a_member_that_takes_longer_than_its_time_is_a_vote_with_an_error(hangs: Any) -> None:
    log = JudgementLog()
    log.enter()
    panel = Panel(scripted(True, hangs, True), vote_timeout=0.2)
    with anyio.fail_after(10):
        verdict = await panel.grade(CASE)
    assert (verdict.passed, verdict.agreement) == (True, 1.0)
    assert said(verdict) == [('a', True, None), ('b', None, 'TimeoutError'), ('c', True, None)]
    assert verdict.reason == 'a: True\nb: no verdict (TimeoutError)\nc: True'
    assert log.judgement is not None
    assert Counter((vote.judge, vote.error) for vote in log.judgement.votes) == {
        ('a', None): 1,
        ('b', 'TimeoutError'): 1,
        ('c', None): 1,
    }


@pytest.mark.anyio
async def test_with_too_few_members_in_time_there_is_no_verdict_but_another_attempt_may_have_one() -> None:
    with anyio.fail_after(10), pytest.raises(JudgementError, match='1 of 3 members gave a verdict') as raised:
        await Panel(scripted(True, hang, hang), vote_timeout=0.2).grade(CASE)
    assert is_transient(raised.value)


@pytest.mark.anyio
async def test_a_panel_whose_evaluation_is_about_to_end_answers_with_the_votes_that_are_there() -> None:
    Terms().begin(0.0)
    with anyio.fail_after(10):
        verdict = await Panel(scripted(True, hang, True), quorum=2).grade(CASE)
    assert said(verdict) == [('a', True, None), ('b', None, 'TimeoutError'), ('c', True, None)]


@pytest.mark.anyio
async def test_it_waits_for_the_quorum_all_the_same() -> None:
    Terms().begin(0.0)
    with anyio.fail_after(10):
        verdict = await Panel(scripted(hang, True, answer_a_bit_later)).grade(CASE)
    assert said(verdict) == [('a', None, 'TimeoutError'), ('b', True, None), ('c', True, None)]
    # Where all must answer, there is nobody to go on without.
    with anyio.fail_after(10):
        verdict = await Panel(scripted(answer_a_bit_later, answer_a_bit_later), quorum=2).grade(CASE)
    assert [vote.error for vote in verdict.votes] == [None, None]


@pytest.mark.anyio
async def test_a_panel_without_its_quorum_lasts_until_its_evaluation_is_ended() -> None:
    Terms().begin(0.0)
    with anyio.move_on_after(0.05) as ended:
        await Panel(scripted(True, hang, hang)).grade(CASE)
    assert ended.cancelled_caught


def test_an_evaluation_keeps_some_of_its_time_to_make_the_verdict() -> None:
    async def time_left(timeout: float | None) -> float | None:
        Terms().begin(timeout)
        return Terms.current().time_left

    assert anyio.run(time_left, 1.0) == pytest.approx(0.9, abs=0.01)
    assert anyio.run(time_left, 600.0) == pytest.approx(595.0, abs=0.1)
    assert anyio.run(time_left, None) is None


async def hanging(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await anyio.sleep_forever()
    raise AssertionError


def test_a_judge_within_a_panel_whose_time_is_over_is_noted_as_late_and_not_as_cancelled() -> None:
    def hangs(name: str) -> Judge:
        return a_judge(name, model=FunctionModel(hanging))

    inner = Panel([hangs('x'), Scripted(True, name='y')], name='b')
    panel = Panel([hangs('a'), inner, Scripted(True, name='c')], quorum=1, vote_timeout=0.2)
    assert {(vote.judge, vote.error) for vote in votes_noted(panel)} == {
        ('a', 'TimeoutError'),
        ('x', 'TimeoutError'),
        ('y', None),
        ('c', None),
    }
    assert said(graded(panel)) == [('a', None, 'TimeoutError'), ('b', None, 'TimeoutError'), ('c', True, None)]


@pytest.mark.parametrize('error', [asyncio.CancelledError(), SystemExit(3), GeneratorExit(), BaseException()])
def test_whatever_a_member_raises_is_its_own(error: BaseException) -> None:
    verdict = graded(Panel(scripted(True, error, True)))
    assert verdict.passed is True
    assert verdict.votes[1].error == type(error).__name__


def test_a_member_whose_name_cannot_be_read_goes_by_its_class() -> None:
    nameless = Nameless(name='c')
    panel = Panel([*scripted(True, True), nameless], combine='all')
    nameless.is_lost = True
    verdict = graded(panel)
    assert [(vote.judge, vote.error) for vote in verdict.votes] == [
        ('a', None),
        ('b', None),
        ('Nameless', 'LookupError'),
    ]


def test_ctrl_c_is_not_a_vote() -> None:
    with pytest.raises(KeyboardInterrupt):
        anyio.run(Panel(scripted(True, KeyboardInterrupt(), True)).grade, CASE, backend='trio')


def votes_noted(panel: Panel) -> tuple[Vote, ...]:
    log = JudgementLog()

    async def grade() -> None:
        log.enter()
        await panel.grade(CASE)
        assert current_log() is log

    anyio.run(grade)
    assert log.judgement is not None
    return log.judgement.votes


def test_the_calls_of_members_are_noted_once() -> None:
    calls = tuple(Vote(judge='a', value=True, model=model, usage=RunUsage(requests=1)) for model in ('m', 'm', 'n'))
    counting = Scripted(True, name='a', calls=calls)
    panel = Panel([Panel([counting], name='inner'), Scripted(True, name='b', calls=calls[:2])])
    assert Counter(vote.model for vote in votes_noted(panel)) == {'m': 4, 'n': 1}


def test_the_vote_of_a_member_says_what_its_calls_used() -> None:
    calls = tuple(Vote(judge='a', value=True, model=model, usage=RunUsage(requests=1)) for model in ('m', 'm', 'n'))

    verdict = graded(Panel([Scripted(True, name='a', calls=calls), Scripted(True, name='b', calls=calls[:2])]))
    assert [(vote.usage.requests, vote.model) for vote in verdict.votes] == [(3, None), (2, 'm')]


def test_a_member_that_notes_nothing_is_noted_by_what_it_says() -> None:
    votes = votes_noted(Panel(scripted(Verdict(value='x', reason='why'), 'x', ValueError())))
    assert [(vote.judge, vote.value, vote.reason, vote.error) for vote in votes] == [
        ('a', 'x', 'why', None),
        ('b', 'x', None, None),
        ('c', None, None, 'ValueError'),
    ]


@pytest.mark.parametrize(
    ('members', 'settings', 'message'),
    [
        ([], {}, 'Panel needs at least one judge, got none.'),
        ('abc', {}, "Panel takes a list of judges, got 'abc'."),
        (5, {}, 'Panel takes a list of judges, got 5.'),
        ([Scripted(), 'b'], {}, "A member of a Panel must be a Judge, a Panel or a Cascade, got 'b'."),
        ([Scripted(), Scripted()], {}, "Members of a Panel need names of their own, got 'a' 2 times; set `name`."),
        (scripted(1), {'name': ' '}, "name must be None or a text that is not empty, got ' '."),
        (scripted(1), {'name': 5}, 'name must be None or a text that is not empty, got 5.'),
        (scripted(1), {'combine': 'most'}, "combine must be one of 'majority', 'mean', 'all', 'any', got 'most'."),
        (scripted(1, 1), {'quorum': 0}, 'quorum must be an integer from 1 to 2, got 0.'),
        (scripted(1, 1), {'quorum': 3}, 'quorum must be an integer from 1 to 2, got 3.'),
        (scripted(1, 1), {'quorum': 1.5}, 'quorum must be an integer from 1 to 2, got 1.5.'),
        (scripted(1, 1), {'quorum': True}, 'quorum must be an integer from 1 to 2, got True.'),
        (scripted(1), {'threshold': 3}, "threshold goes with combine='mean' alone, got combine='majority'."),
        (scripted(1), {'combine': 'mean', 'threshold': '3'}, "threshold must be a finite number, got '3'."),
        (scripted(1), {'combine': 'mean', 'threshold': float('nan')}, 'threshold must be a finite number, got nan.'),
        (scripted(1), {'vote_timeout': 0}, 'vote_timeout must be a positive number of seconds, got 0.'),
        (scripted(1), {'vote_timeout': True}, 'vote_timeout must be a positive number of seconds, got True.'),
        (scripted(1), {'vote_timeout': '5'}, "vote_timeout must be a positive number of seconds, got '5'."),
        (scripted(1), {'vote_timeout': 1e999}, 'vote_timeout must be a positive number of seconds, got inf.'),
        (scripted(1), {'on_fail': 5}, 'on_fail must be None or a function, got 5.'),
        (
            [Panel(scripted(1), name='inner', on_result=print)],
            {},
            "on_result of 'inner' would never be called: a member of a Panel gives a vote, and only the Panel has a "
            'result. Set on_result on the Panel, or on its OnlineEvaluator.',
        ),
    ],
)
def test_a_panel_that_cannot_work_is_not_made(members: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Panel(members, **settings)
    assert str(raised.value) == message


def test_a_panel_knows_no_weights() -> None:
    with pytest.raises(TypeError, match='weights'):
        Panel(scripted(1), weights=[1])  # pyright: ignore[reportCallIssue]


def test_a_member_whose_callback_would_never_be_called_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="on_fail of 'a' would never be called: a member of a Panel gives a vote"
    ):
        Panel([a_judge('a', on_fail=print), a_judge('b')])


def a_judge(name: str, **settings: Any) -> Judge:
    return Judge('It is polite', name=name, **settings)


BINARY = a_judge('binary')
SCORE = a_judge('score', scale=(1, 5))
SCORE_PASSING = a_judge('score_passing', scale=(1, 5), threshold=3)
SHARE = a_judge('share', scale=(0.0, 1.0))
LABEL = a_judge('label', labels=['kind', 'rude'])
LABEL_PASSING = a_judge('label_passing', labels=['kind', 'rude'], passing=['kind'])
UNKNOWN = Scripted(name='unknown')


@pytest.mark.parametrize(
    ('members', 'combine', 'problem'),
    [
        ([SCORE, BINARY], 'mean', "needs members that give numbers; 'binary' does not."),
        ([UNKNOWN, LABEL], 'mean', "needs members that give numbers; 'label' does not."),
        ([SCORE, SCORE_PASSING, SHARE], 'mean', 'needs members with one scale, got 0.0 to 1.0, 1 to 5.'),
        ([BINARY, SCORE], 'majority', "needs members that say whether a case passes; 'score' does not."),
        ([LABEL, BINARY], 'majority', "needs members that say whether a case passes; 'label' does not."),
        ([LABEL_PASSING, LABEL], 'all', "needs members that say whether a case passes; 'label' does not."),
        ([SCORE], 'any', "needs members that say whether a case passes; 'score' does not."),
        ([Panel([SCORE], combine='mean', name='inner')], 'all', "whether a case passes; 'inner' does not."),
        ([Panel([BINARY], name='inner')], 'mean', "needs members that give numbers; 'inner' does not."),
        ([Panel([BINARY], combine='any', name='inner')], 'mean', "needs members that give numbers; 'inner' does not."),
        ([Panel([LABEL], name='inner')], 'all', "whether a case passes; 'inner' does not."),
        ([Panel([SCORE], combine='mean', name='inner'), SHARE], 'mean', 'one scale, got 0.0 to 1.0, 1 to 5.'),
        ([Cascade([LABEL], name='inner')], 'mean', "needs members that give numbers; 'inner' does not."),
    ],
)
def test_members_whose_verdicts_cannot_be_combined_are_refused(
    members: list[Grader], combine: Combine, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Panel(members, combine=combine)
    assert str(raised.value).startswith(f'combine={combine!r} ')
    assert str(raised.value).endswith(problem)


@pytest.mark.parametrize(
    ('members', 'combine'),
    [
        ([SCORE, SCORE_PASSING, UNKNOWN], 'mean'),
        ([Panel([UNKNOWN], combine='mean', name='inner'), SCORE], 'mean'),
        ([Panel([Panel([UNKNOWN], combine='mean', name='x'), SCORE], combine='mean', name='inner'), SCORE], 'mean'),
        ([LABEL, LABEL_PASSING], 'majority'),
        ([LABEL, UNKNOWN], 'majority'),
        ([BINARY, SCORE_PASSING, LABEL_PASSING, UNKNOWN], 'majority'),
        ([BINARY, SCORE_PASSING, LABEL_PASSING, UNKNOWN], 'all'),
        ([Panel([SCORE], combine='mean', threshold=3, name='inner'), BINARY], 'any'),
        ([Panel([LABEL, UNKNOWN], name='inner'), SCORE], 'mean'),
        ([Cascade([BINARY, SCORE], name='inner')], 'mean'),
    ],
)
def test_members_whose_verdicts_may_fit_are_taken(members: list[Grader], combine: Combine) -> None:
    assert Panel(members, combine=combine).members == tuple(members)


def fingerprint(**changes: Any) -> str:
    members = changes.pop('members', scripted(1, 2))
    settings: dict[str, Any] = {'combine': 'mean', **changes}
    return identify(Panel(members, **settings)).fingerprint


def test_the_fingerprint_is_that_of_the_members_and_of_the_settings() -> None:
    other = [Scripted(1, name='a', criterion='is short'), Scripted(2, name='b')]
    prints = [
        fingerprint(),
        fingerprint(members=other),
        fingerprint(members=[Panel(other, combine='mean')]),
        fingerprint(members=[Panel(scripted(1, 2), combine='mean')]),
        fingerprint(combine='majority'),
        fingerprint(quorum=1),
        fingerprint(threshold=1.5),
        fingerprint(members=[Versioned(1, name='a'), Scripted(2, name='b')]),
        fingerprint(members=[Versioned(1, name='a', version='v2'), Scripted(2, name='b')]),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint() == fingerprint(vote_timeout=5, on_fail=print)
    assert fingerprint() == fingerprint(members=tuple(scripted(1, 2)))


def test_a_panel_goes_by_its_name_and_shows_its_members_as_specs() -> None:
    assert identify(Panel(scripted(1))).name == 'Panel'
    identity = identify(Panel([Scripted(5, criterion='short')], combine='any', name='together', on_fail=print))
    assert identity.name == 'together'
    assert identity.source.model_dump(context={'use_short_form': True}) == {
        'Panel': {
            'members': [{'Scripted': {'says': 5, 'criterion': 'short'}}],
            'combine': 'any',
            'name': 'together',
        }
    }
