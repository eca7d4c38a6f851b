"""Who an evaluator is, and when two are the same."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext, EvaluatorSpec

from pydantic_ai_assay.runs.identity import EvaluatorIdentity, identify

from .samples import Always, Named

EVALUATOR = """
from dataclasses import dataclass, field
from typing import Any
from pydantic import BaseModel
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

class Client:
    pass

@dataclass
class Rule:
    words: set[str]

class Options(BaseModel):
    words: set[str]

def check(text: str) -> bool:
    return True

@dataclass
class Judge(Evaluator):
    rubric: str = ''
    settings: Any = None

    def evaluate(self, ctx: EvaluatorContext) -> bool:
        return True
"""


@dataclass
class Judge(Evaluator):
    rubric: str = ''
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def evaluate(self, ctx: EvaluatorContext) -> bool:
        return True


def fingerprint_of(evaluator: Evaluator[Any, Any, Any]) -> str:
    return identify(evaluator).fingerprint


EXPRESSIONS = {
    'values': "Judge('Is it polite?', {'limit': 3, 'path': __import__('pathlib').Path('a')})",
    'an object': 'Judge(settings=Client())',
    'a function': 'Judge(settings=check)',
    'a set': "Judge(settings={'a', 'b', 'c', 'd', 'e', 'f'})",
    'a set of values of several types': "Judge(settings={'a', 1, None, ('b', 2), frozenset({'c', 'd'})})",
    'a set far down': "Judge(settings=[{'words': {'a', 'b', 'c', 'd', 'e', 'f'}}])",
    'a set in a dataclass': "Judge(settings=Rule({'a', 'b', 'c', 'd', 'e', 'f'}))",
    'a set in a model': "Judge(settings=Options(words={'a', 'b', 'c', 'd', 'e', 'f'}))",
}


@pytest.fixture(scope='module')
def in_two_processes() -> list[list[str]]:
    """The fingerprints of all expressions, computed with two seeds of Python's own hash."""
    lines = [f'print(identify({expression}).fingerprint)' for expression in EXPRESSIONS.values()]
    code = '\n'.join([EVALUATOR, 'from pydantic_ai_assay.runs.identity import identify', *lines])
    children = [
        subprocess.Popen(
            [sys.executable, '-c', code],
            env={**os.environ, 'PYTHONHASHSEED': seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ('1', '2')
    ]
    return [child.communicate(timeout=60)[0].split() for child in children]


def test_an_identity_is_name_version_fingerprint_and_spec() -> None:
    assert identify(Named('Polite', 'v2')) == EvaluatorIdentity(
        name='Polite',
        version='v2',
        fingerprint=fingerprint_of(Named('Polite', 'v2')),
        source=EvaluatorSpec(name='Named', arguments={'name': 'Polite', 'version': 'v2'}),
    )
    assert len(fingerprint_of(Always())) == 16
    assert set(fingerprint_of(Always())) <= set('0123456789abcdef')


@pytest.mark.parametrize('kind', EXPRESSIONS)
def test_a_fingerprint_is_the_same_in_every_process(kind: str, in_two_processes: list[list[str]]) -> None:
    first, second = (dict(zip(EXPRESSIONS, each, strict=True)) for each in in_two_processes)
    assert first[kind] == second[kind]


def test_a_fingerprint_does_not_depend_on_the_order_of_a_mapping() -> None:
    one, other = Judge(options={'a': 1, 'b': 2}), Judge(options={'b': 2, 'a': 1})
    assert one == other
    assert fingerprint_of(one) == fingerprint_of(other)


@dataclass
class Rule:
    text: str


@dataclass
class OtherRule:
    text: str


class Options(BaseModel):
    text: str


def test_settings_that_are_objects_are_told_apart_by_class_and_fields() -> None:
    settings: list[Any] = [Rule('a'), Rule('b'), OtherRule('a'), Options(text='a'), {'text': 'a'}, Rule, {'a'}, ['a']]
    assert len({fingerprint_of(Judge(options={'rule': each})) for each in settings}) == len(settings)
    assert fingerprint_of(Judge(options={'rule': Rule('a')})) == fingerprint_of(Judge(options={'rule': Rule('a')}))


def test_equal_settings_have_equal_fingerprints() -> None:
    assert fingerprint_of(Judge('Is it polite?')) == fingerprint_of(Judge('Is it polite?'))


@pytest.mark.parametrize(
    'other',
    [
        Judge('Is it correct?'),
        Judge('Is it polite?', {'limit': 3}),
        Judge(),
        Always('Is it polite?'),
        Named('Is it polite?'),
    ],
    ids=repr,
)
def test_whatever_differs_in_class_or_settings_has_another_fingerprint(other: Evaluator) -> None:
    assert fingerprint_of(other) != fingerprint_of(Judge('Is it polite?'))


def test_another_version_has_another_fingerprint() -> None:
    @dataclass
    class Versioned(Always):
        def get_evaluator_version(self) -> str | None:
            return version

    version = 'v1'
    first = fingerprint_of(Versioned())
    version = 'v2'
    assert fingerprint_of(Versioned()) != first


def test_classes_of_one_name_from_two_places_have_different_fingerprints() -> None:
    def make() -> type[Evaluator]:
        @dataclass
        class Judge(Evaluator):
            def evaluate(self, ctx: EvaluatorContext) -> bool:
                return True

        return Judge

    assert make().__name__ == Judge.__name__
    assert fingerprint_of(make()()) != fingerprint_of(Judge())


def test_a_default_that_changed_is_a_setting_that_changed() -> None:
    def make(default: float) -> type[Evaluator]:
        @dataclass
        class Thresholded(Evaluator):
            threshold: float = default

            def evaluate(self, ctx: EvaluatorContext) -> bool:
                return True

        return Thresholded

    assert fingerprint_of(make(0.5)()) == fingerprint_of(make(0.5)())
    assert fingerprint_of(make(0.5)()) != fingerprint_of(make(0.7)())


def test_numbers_that_json_does_not_have_are_told_apart() -> None:
    numbers = [float('nan'), float('inf'), float('-inf'), 0.0]
    assert len({fingerprint_of(Judge(options={'limit': number})) for number in numbers}) == 4


def test_what_an_evaluator_raises_when_asked_comes_out() -> None:
    class Broken(Always):
        def get_evaluator_version(self) -> str | None:
            raise RuntimeError('no version')

    with pytest.raises(RuntimeError, match='no version'):
        identify(Broken())


def test_a_name_that_is_no_string_becomes_one() -> None:
    class Numbered(Always):
        def get_default_evaluation_name(self) -> Any:
            return 7

    assert identify(Numbered()).name == '7'


def test_a_path_is_its_text() -> None:
    assert fingerprint_of(Judge(options={'a': Path('b')})) == fingerprint_of(Judge(options={'a': 'b'}))
