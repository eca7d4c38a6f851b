"""Which errors can pass because of what they were raised from, or of what they hold."""

from typing import NoReturn

import pytest
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pydantic_ai_assay import Judge, JudgementError, Panel
from pydantic_ai_assay.execution.transient import is_transient
from pydantic_ai_assay.runs.judgement import cause_of

pytestmark = pytest.mark.anyio

BUSY = ModelHTTPError(status_code=429, model_name='gpt', body=None)
REFUSED = ModelHTTPError(status_code=401, model_name='gpt', body=None)


def raised_from(cause: BaseException, error: BaseException) -> BaseException:
    try:
        raise error from cause
    except BaseException as raised:
        return raised


@pytest.mark.parametrize('cause', [BUSY, TimeoutError(), ConnectionResetError()], ids=repr)
def test_a_judge_without_a_verdict_can_have_one_later_if_its_model_could_not_be_reached(cause: Exception) -> None:
    assert is_transient(raised_from(cause, JudgementError('no verdict')))
    member = raised_from(cause, JudgementError('no verdict'))
    assert is_transient(raised_from(member, JudgementError('no quorum')))


@pytest.mark.parametrize('cause', [REFUSED, UnexpectedModelBehavior('no answer'), ValueError()], ids=repr)
def test_a_judge_without_a_verdict_for_another_reason_stays_without(cause: Exception) -> None:
    assert not is_transient(JudgementError('no verdict'))
    assert not is_transient(raised_from(cause, JudgementError('no verdict')))


def test_what_was_only_handled_meanwhile_is_no_cause() -> None:
    error = ValueError('the handling is broken')
    error.__context__ = TimeoutError()
    assert not is_transient(error)


def test_a_status_that_says_no_stays_whatever_it_was_raised_from() -> None:
    refused = ModelHTTPError(status_code=401, model_name='gpt', body=None)
    assert not is_transient(raised_from(TimeoutError(), refused))


@pytest.mark.parametrize('error', [KeyboardInterrupt(), SystemExit(1), GeneratorExit()], ids=repr)
def test_what_is_meant_to_end_something_stays(error: BaseException) -> None:
    assert not is_transient(raised_from(TimeoutError(), error))


def test_one_of_several_models_that_can_be_reached_later_is_enough() -> None:
    assert is_transient(FallbackExceptionGroup('all failed', [REFUSED, BUSY]))
    assert is_transient(raised_from(FallbackExceptionGroup('all failed', [REFUSED, BUSY]), JudgementError()))
    assert not is_transient(FallbackExceptionGroup('all failed', [REFUSED, UnexpectedModelBehavior('prose')]))


def test_of_tasks_that_failed_together_all_must_have_been_able_to_pass() -> None:
    assert is_transient(ExceptionGroup('tasks', [TimeoutError(), ExceptionGroup('more', [BUSY])]))
    assert not is_transient(ExceptionGroup('tasks', [TimeoutError(), ValueError()]))
    assert not is_transient(BaseExceptionGroup('tasks', [TimeoutError(), KeyboardInterrupt()]))


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError('first'), ValueError('second')
    first.__cause__, second.__cause__ = second, first
    assert not is_transient(first)


async def test_a_judge_is_asked_again_if_one_of_its_votes_could_have_been_another() -> None:
    """Which of them failed first does not matter."""
    asked: list[str] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> NoReturn:
        asked.append('')
        raise BUSY if len(asked) == 3 else REFUSED

    judge = Judge('It is polite', name='polite', model=FunctionModel(model), samples=3)
    panel = Panel([judge, Judge('It is short', name='short', model=FunctionModel(model))])
    with pytest.raises(JudgementError) as missing:
        await panel.judge(output='Hi')
    assert len(asked) == 4
    assert is_transient(missing.value)


def test_an_error_that_ends_more_than_its_vote_is_the_cause() -> None:
    interrupt = KeyboardInterrupt()
    assert cause_of([interrupt, ValueError()]) is interrupt
