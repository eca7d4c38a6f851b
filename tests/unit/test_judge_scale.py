"""Scales: what a judge may say, what is wrong with other things, and what votes amount to."""

from typing import Any

import pytest
from pydantic import ValidationError

from pydantic_ai_assay import ConfigurationError, Vote
from pydantic_ai_assay.judging.scale import Scale, make_scale


def a_scale(scale: object = 'binary', **settings: Any) -> Scale:
    return make_scale(scale, **{'threshold': None, 'labels': None, 'passing': None, **settings})


def read(scale: Scale, verdict: object) -> tuple[object, bool | None, str]:
    reading = scale.read(scale.verdict_type.model_validate({'reason': 'Because.', scale.key: verdict}))
    return reading.value, reading.passed, reading.reason


def combined(scale: Scale, *values: Any) -> tuple[object, bool | None, str]:
    votes = [Vote(judge='j', value=value, passed=scale.passes(value), reason=f'For {value}.') for value in values]
    reading = scale.combine(votes)
    return reading.value, reading.passed, reading.reason


BINARY = a_scale()
WHOLE = a_scale((1, 10), threshold=7)
FREE = a_scale((0.0, 1.0))
LABELS = a_scale(labels=['helpful', 'partly', 'useless'], passing=['helpful'])
PLAIN = a_scale(labels=['a', 'b'])


@pytest.mark.parametrize('scale', [BINARY, WHOLE, FREE, LABELS])
def test_the_schema_asks_for_the_reason_first(scale: Scale) -> None:
    schema = scale.verdict_type.model_json_schema()
    assert list(schema['properties']) == ['reason', scale.key] == schema['required']
    assert scale.key in scale.question


@pytest.mark.parametrize(
    ('scale', 'verdict', 'expected'),
    [
        (BINARY, True, (True, True, 'Because.')),
        (BINARY, False, (False, False, 'Because.')),
        (WHOLE, 7, (7, True, 'Because.')),
        (WHOLE, 6.0, (6, False, 'Because.')),
        (WHOLE, 12, (10, True, 'Because. [The judge said 12, which the scale limits to 10.]')),
        (WHOLE, -3, (1, False, 'Because. [The judge said -3, which the scale limits to 1.]')),
        (WHOLE, 10**400, (10, True, 'Because. [The judge said 10^15 or more, which the scale limits to 10.]')),
        (WHOLE, -(10**400), (1, False, 'Because. [The judge said -10^15 or more, which the scale limits to 1.]')),
        (FREE, 0.25, (0.25, None, 'Because.')),
        (FREE, 1.5, (1.0, None, 'Because. [The judge said 1.5, which the scale limits to 1.0.]')),
        (LABELS, 'helpful', ('helpful', True, 'Because.')),
        (LABELS, 'useless', ('useless', False, 'Because.')),
        (PLAIN, 'a', ('a', None, 'Because.')),
    ],
)
def test_a_verdict_is_read(scale: Scale, verdict: object, expected: tuple[object, bool | None, str]) -> None:
    assert read(scale, verdict) == expected
    assert type(read(scale, verdict)[0]) is type(expected[0])


@pytest.mark.parametrize(
    ('scale', 'verdict'),
    [
        (BINARY, 'perhaps'),
        (BINARY, None),
        (WHOLE, 7.5),
        (WHOLE, True),
        (WHOLE, 'nan'),
        (FREE, float('nan')),
        (FREE, float('inf')),
        (FREE, float('-inf')),
        (LABELS, 'Helpful!'),
    ],
)
def test_what_is_no_verdict_is_not_valid(scale: Scale, verdict: object) -> None:
    with pytest.raises(ValidationError):
        read(scale, verdict)


@pytest.mark.parametrize(
    ('scale', 'values', 'expected'),
    [
        (BINARY, [True, False, True], (True, True, '2 of 3 votes: For True.')),
        (BINARY, [False, True], (False, False, '1 of 2 votes: For False.')),
        (BINARY, [True], (True, True, 'For True.')),
        (WHOLE, [6, 7, 9], (pytest.approx(22 / 3), True, 'Mean of 6, 7, 9: For 7.')),
        (WHOLE, [6, 7], (6.5, False, 'Mean of 6, 7: For 6.')),
        (a_scale((0.0, 1.0), threshold=0.7), [0.7, 0.7, 0.7], (0.7, True, 'Mean of 0.7, 0.7, 0.7: For 0.7.')),
        (FREE, [0.5, 0.25], (0.375, None, 'Mean of 0.5, 0.25: For 0.5.')),
        (LABELS, ['partly', 'helpful', 'helpful'], ('helpful', True, '2 of 3 votes: For helpful.')),
        (LABELS, ['helpful', 'useless', 'partly'], ('partly', False, '1 of 3 votes: For partly.')),
        (PLAIN, ['b', 'a'], ('a', None, '1 of 2 votes: For a.')),
    ],
)
def test_votes_amount_to_the_majority_or_the_mean(scale: Scale, values: list[object], expected: object) -> None:
    assert combined(scale, *values) == expected


@pytest.mark.parametrize(
    ('scale', 'good', 'bad'),
    [(BINARY, True, False), (WHOLE, 7, 6), (FREE, 0.6, 0.5), (LABELS, 'helpful', 'partly')],
)
def test_each_scale_knows_what_is_good(scale: Scale, good: object, bad: object) -> None:
    assert (scale.approves(good), scale.approves(bad)) == (True, False)


@pytest.mark.parametrize(
    ('scale', 'verdict', 'problem'),
    [
        (BINARY, 1, 'it must be True or False'),
        (WHOLE, 11, 'it must be a whole number from 1 to 10'),
        (WHOLE, True, 'it must be a whole number from 1 to 10'),
        (WHOLE, 7.5, 'it must be a whole number from 1 to 10'),
        (WHOLE, float('nan'), 'it must be a whole number from 1 to 10'),
        (FREE, '0.5', 'it must be a number from 0.0 to 1.0'),
        (LABELS, 'no', "it must be one of 'helpful', 'partly', 'useless'"),
        (BINARY, True, None),
        (WHOLE, 7.0, None),
        (FREE, 0.5, None),
        (LABELS, 'partly', None),
    ],
)
def test_verdicts_of_others_are_checked(scale: Scale, verdict: object, problem: str | None) -> None:
    assert scale.check(verdict) == problem


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'scale': 'ternary'}, "scale must be 'binary' or two numbers (low, high), got 'ternary'."),
        ({'scale': (1,)}, 'scale must be two finite numbers (low, high) with low < high, got (1,).'),
        ({'scale': (5, 5)}, 'scale must be two finite numbers (low, high) with low < high, got (5, 5).'),
        (
            {'scale': (0, float('inf'))},
            'scale must be two finite numbers (low, high) with low < high, got (0, inf).',
        ),
        ({'scale': (False, True)}, 'scale must be two finite numbers (low, high) with low < high, got (False, True).'),
        ({'threshold': 1}, 'threshold must be None for a binary scale, got 1.'),
        ({'scale': (1, 10), 'threshold': 11}, 'threshold must be a number from 1 to 10, got 11.'),
        ({'scale': (1, 10), 'threshold': float('nan')}, 'threshold must be a number from 1 to 10, got nan.'),
        ({'labels': ['a', 'b'], 'scale': (1, 2)}, 'scale must be left out where there are labels, got (1, 2).'),
        (
            {'labels': ['a', 'b'], 'threshold': 1},
            'threshold must be None where there are labels, got 1; name those that pass in `passing`.',
        ),
        ({'labels': ['a']}, "labels must be a list of at least two texts that are not blank, got ['a']."),
        ({'labels': ['a', '']}, "labels must be a list of at least two texts that are not blank, got ['a', '']."),
        ({'labels': 'ab'}, "labels must be a list of at least two texts that are not blank, got 'ab'."),
        ({'labels': ['a', 1]}, "labels must be a list of at least two texts that are not blank, got ['a', 1]."),
        ({'labels': ['a', 'a']}, "labels must all differ, got ['a', 'a']."),
        (
            {'labels': ['a', 'b'], 'passing': ['c']},
            "passing must be None or one or more of the labels ['a', 'b'], in a list, got ['c'].",
        ),
        (
            {'labels': ['a', 'b'], 'passing': 'a'},
            "passing must be None or one or more of the labels ['a', 'b'], in a list, got 'a'.",
        ),
        (
            {'labels': ['a', 'b'], 'passing': []},
            "passing must be None or one or more of the labels ['a', 'b'], in a list, got [].",
        ),
        (
            {'labels': ['a', 'b'], 'passing': [['a']]},
            "passing must be None or one or more of the labels ['a', 'b'], in a list, got [['a']].",
        ),
        (
            {'labels': ['a', 'b'], 'passing': 5},
            "passing must be None or one or more of the labels ['a', 'b'], in a list, got 5.",
        ),
        ({'labels': 5}, 'labels must be a list of at least two texts that are not blank, got 5.'),
        ({'labels': ['a', ' ']}, "labels must be a list of at least two texts that are not blank, got ['a', ' ']."),
        ({'labels': {'a'}}, "labels must be a list of at least two texts that are not blank, got {'a'}."),
        (
            {'labels': {'a': 1, 'b': 2}},
            "labels must be a list of at least two texts that are not blank, got {'a': 1, 'b': 2}.",
        ),
        (
            {'labels': frozenset(('a',))},
            "labels must be a list of at least two texts that are not blank, got frozenset({'a'}).",
        ),
        ({'scale': (1, 10), 'threshold': '7'}, "threshold must be a number from 1 to 10, got '7'."),
        ({'scale': ('1', '9')}, "scale must be two finite numbers (low, high) with low < high, got ('1', '9')."),
        ({'scale': (0, 10**400)}, f'scale must be two finite numbers (low, high) with low < high, got (0, {10**400}).'),
        ({'scale': {1, 10}}, "scale must be 'binary' or two numbers (low, high), got {1, 10}."),
        ({'passing': ['a']}, "passing must be some of `labels`, and there are none; got ['a']."),
    ],
)
def test_settings_that_make_no_scale_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        a_scale(**settings)
    assert str(raised.value) == message


def test_labels_that_pass_may_be_a_set() -> None:
    assert a_scale(labels=['a', 'b'], passing={'b'}).approves('b')
