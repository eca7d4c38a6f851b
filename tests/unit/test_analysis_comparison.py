"""The difference of two estimates, and that what cannot be compared is not."""

import dataclasses

import pytest
from hypothesis import given, strategies as st

from pydantic_ai_assay.analysis import EvaluatorIdentity, Interval, Moments, compare, estimate_mean, estimate_rate
from pydantic_ai_assay.errors import ConfigurationError

COUNTS = st.integers(1, 60).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


def test_the_interval_is_that_of_newcombe() -> None:
    """Method 10 on his first example, 56 of 70 and 48 of 80, with Wilson's intervals: 0.0524 to 0.3339."""
    before = dataclasses.replace(estimate_rate(Moments.of_counts(48, 80)), interval=Interval(0.4904573, 0.7003964))
    after = dataclasses.replace(estimate_rate(Moments.of_counts(56, 70)), interval=Interval(0.6922992, 0.8765959))
    found = compare(before, after)
    assert found.difference == pytest.approx(0.2)
    assert found.interval is not None
    assert (found.interval.lower, found.interval.upper) == (
        pytest.approx(0.0524, abs=5e-4),
        pytest.approx(0.3339, abs=5e-4),
    )
    assert found.direction == 'higher'


@given(COUNTS, COUNTS)
def test_turned_around_it_is_the_same_difference(first: tuple[int, int], second: tuple[int, int]) -> None:
    one, other = (estimate_rate(Moments.of_counts(*each)) for each in (first, second))
    there, back = compare(one, other), compare(other, one)
    assert there.interval is not None and back.interval is not None
    assert there.difference is not None and back.difference is not None
    assert there.difference == -back.difference
    assert there.interval.lower == pytest.approx(-back.interval.upper, abs=1e-12)
    assert -1 <= there.interval.lower <= there.difference <= there.interval.upper <= 1
    turned = {'higher': 'lower', 'lower': 'higher', 'unclear': 'unclear'}
    assert turned[there.direction] == back.direction


def test_worse_is_said_only_where_it_is_certain() -> None:
    yesterday = estimate_rate(Moments.of_counts(180, 200))
    assert compare(yesterday, estimate_rate(Moments.of_counts(17, 20))).direction == 'unclear'
    assert compare(yesterday, estimate_rate(Moments.of_counts(150, 200))).direction == 'lower'
    assert compare(yesterday, yesterday).difference == 0


def test_without_a_value_or_an_interval_there_is_no_difference_to_tell() -> None:
    none, one = estimate_mean(Moments()), estimate_mean(Moments.of([3.0]))
    two = estimate_mean(Moments.of([1.0, 2.0]))
    for before, after in ((none, two), (two, none)):
        found = compare(before, after)
        assert (found.difference, found.interval, found.direction) == (None, None, 'unclear')
    for before, after, difference in ((one, two, -1.5), (two, one, 1.5)):
        found = compare(before, after)
        assert (found.difference, found.interval, found.direction) == (difference, None, 'unclear')


def test_kinds_and_levels_must_be_the_same() -> None:
    moments = Moments.of_counts(3, 4)
    with pytest.raises(ConfigurationError, match="of one kind, got 'rate' and 'mean'"):
        compare(estimate_rate(moments), estimate_mean(moments))
    with pytest.raises(ConfigurationError, match=r'of one level, got 0\.95 and 0\.9'):
        compare(estimate_rate(moments), estimate_rate(moments, level=0.9))


def test_scores_of_different_evaluators_are_compared_only_when_asked() -> None:
    moments = Moments.of_counts(3, 4)
    old, new = (EvaluatorIdentity(name='judge', fingerprint=each) for each in ('abc', 'def'))
    before, after = (estimate_rate(moments, evaluators=(each,)) for each in (old, new))
    with pytest.raises(ConfigurationError, match=r'judge \(abc\) and judge \(def\); .* pool=True'):
        compare(before, after)
    with pytest.raises(ConfigurationError, match=r'judge \(abc\) and none that is named'):
        compare(before, estimate_rate(moments))
    assert compare(before, after, pool=True).difference == 0
    assert compare(before, before).level == 0.95
