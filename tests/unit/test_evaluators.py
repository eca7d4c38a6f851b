"""Evaluators attached in one place, and how they are told apart."""

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic_evals.evaluators import Evaluator, EvaluatorContext, LLMJudge

from pydantic_ai_assay import ConfigurationError, OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, evaluate

from .samples import Always, Named


@dataclass
class Unnamed(Evaluator):
    """Cannot say what it is called."""

    number: int = 0

    def evaluate(self, ctx: EvaluatorContext) -> bool:
        return True

    def get_default_evaluation_name(self) -> str:
        raise KeyError('name')


def test_the_same_evaluator_may_be_attached_twice() -> None:
    OnlineEvaluation[None](evaluators=[Always(), Always(), OnlineEvaluator(evaluator=Always(), timeout=60)])


@pytest.mark.parametrize(
    ('settings', 'differing'),
    [
        ({'sample_rate': 0.5}, r'sample_rate \(None and 0\.5\)'),
        ({'timeout': 5, 'retries': 1}, r'timeout \(60\.0 and 5\), retries \(0 and 1\)'),
        ({'run_on': ['error']}, r"run_on \(None and frozenset\(\{'error'\}\)\)"),
    ],
)
def test_one_name_with_different_settings_is_an_error(settings: dict[str, Any], differing: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Two evaluators that differ in {differing} have the name 'Always'"):
        OnlineEvaluation[None](evaluators=[Always(), OnlineEvaluator(evaluator=Always(), **settings)])


def test_one_name_for_evaluators_that_do_different_things_is_an_error() -> None:
    message = (
        "Two evaluators that differ in what they do have the name 'Always', so that their results could not be told "
        r'apart: Always\(value=1\) and Always\(value=2\). Give one of them another name: most take `evaluation_name=`'
    )
    with pytest.raises(ConfigurationError, match=message):
        OnlineEvaluation[None](evaluators=[Always(1), Always(2)])
    with pytest.raises(ConfigurationError, match=message):
        evaluate(Always(1), Always(2))


def test_judges_of_pydantic_evals_are_told_apart_by_the_names_of_their_results() -> None:
    OnlineEvaluation[None](
        evaluators=[
            LLMJudge(rubric='Is polite', assertion={'evaluation_name': 'polite'}),
            LLMJudge(rubric='Is correct', assertion=False, score={'evaluation_name': 'correct'}),
            LLMJudge(rubric='Is short'),
        ]
    )
    with pytest.raises(ConfigurationError, match="have the name 'polite'"):
        OnlineEvaluation[None](
            evaluators=[Named('polite'), LLMJudge(rubric='Is polite', assertion={'evaluation_name': 'polite'})]
        )


def test_where_a_name_cannot_be_read_nothing_is_said_of_it() -> None:
    OnlineEvaluation[None](evaluators=[Unnamed(1), Unnamed(2)])


# The store that the environment names


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        ('assay.db', "'assay.db'"),
        ('mysql://me:pass@word@localhost/assay', "'mysql://***@localhost/assay'"),
        ('postgres:/me:password@localhost', "'***@localhost'"),
        ('host=db user=me password=password', "'host***'"),
        ('oracle://localhost/a?key=password', "'oracle://localhost/a***'"),
        ('mysql://me:password', "'mysql://me***'"),
    ],
)
def test_a_variable_that_names_no_store_is_shown_without_a_password(
    url: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ASSAY_STORE', url)
    with pytest.raises(ConfigurationError, match='The environment variable ASSAY_STORE cannot be used: ') as caught:
        OnlineEvaluation[None](evaluators=[Always()])
    assert str(caught.value).endswith(f' Got {shown}.')
    assert 'word' not in str(caught.value).partition('Got')[2]


def test_a_setting_that_names_no_store_is_not_blamed_on_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_STORE', 'sqlite:///assay.db')
    with pytest.raises(ConfigurationError) as caught:
        OnlineEvaluation[None](evaluators=[Always()], config=OnlineEvalConfig(store='mysql://localhost/assay'))
    assert 'ASSAY_STORE' not in str(caught.value)
