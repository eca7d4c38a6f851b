"""The sums that estimates are made from can be added up, in any order, and say what the scores themselves would."""

import math
import random
import statistics

import pytest
from hypothesis import given, strategies as st

from pydantic_ai_assay.analysis import Moments, estimate_mean, estimate_rate, label_moments
from pydantic_ai_assay.errors import ConfigurationError

SCORES = st.lists(st.tuples(st.floats(-100, 100, allow_subnormal=False), st.floats(0.001, 1)), min_size=1, max_size=40)
FIELDS = ('sum_w', 'sum_w2', 'sum_wx', 'sum_w2x', 'sum_w2x2')


def of(scores: list[tuple[float, float]]) -> Moments:
    return Moments.of([value for value, _ in scores], [probability for _, probability in scores])


def assert_same(first: Moments, second: Moments) -> None:
    assert (first.count, first.minimum, first.maximum) == (second.count, second.minimum, second.maximum)
    for name in FIELDS:
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-9, abs=1e-3)


@given(SCORES, SCORES, SCORES)
def test_adding_up_is_the_same_as_computing_at_once(
    first: list[tuple[float, float]], second: list[tuple[float, float]], third: list[tuple[float, float]]
) -> None:
    assert_same(of(first) + of(second) + of(third), of(first + second + third))
    assert_same(of(first) + (of(second) + of(third)), of(third + second + first))
    assert of(first) + Moments() == of(first) == Moments() + of(first)


@given(SCORES, st.randoms())
def test_the_order_does_not_matter_at_all(scores: list[tuple[float, float]], order: random.Random) -> None:
    shuffled = list(scores)
    order.shuffle(shuffled)
    assert of(shuffled) == of(scores)


@given(st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=40))
def test_with_weights_of_one_it_is_the_plain_formula(values: list[float]) -> None:
    moments = Moments.of(values)
    assert moments == Moments.of(values, [1.0] * len(values))
    assert moments.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert moments.effective_count == pytest.approx(len(values))
    assert moments.variance == pytest.approx(statistics.pvariance(values) / len(values), abs=1e-6)


@given(SCORES, st.floats(0.01, 1))
def test_only_the_proportion_of_the_weights_matters(scores: list[tuple[float, float]], factor: float) -> None:
    scaled = of([(value, probability * factor) for value, probability in scores])
    moments = of(scores)
    assert scaled.mean == pytest.approx(moments.mean, abs=1e-6)
    assert scaled.effective_count == pytest.approx(moments.effective_count, rel=1e-6)
    assert scaled.variance == pytest.approx(moments.variance, rel=1e-4, abs=1e-6)


@given(SCORES)
def test_the_mean_lies_among_the_scores_and_no_more_count_than_there_are(scores: list[tuple[float, float]]) -> None:
    moments = of(scores)
    assert moments.mean is not None and moments.variance is not None
    assert min(value for value, _ in scores) <= moments.mean <= max(value for value, _ in scores)
    assert 1 - 1e-9 <= moments.effective_count <= len(scores) + 1e-9
    assert moments.variance >= 0


def test_a_score_counts_for_the_runs_it_stands_for() -> None:
    moments = Moments.of([True, False], [0.1, 1.0])
    assert moments.sum_w == 11
    assert moments.mean == pytest.approx(10 / 11)
    assert moments.effective_count == pytest.approx(121 / 101)
    # (10² · (1/11)² + 1² · (10/11)²) / 11²
    assert moments.variance == pytest.approx(200 / 11**4)


def test_of_no_scores_there_is_nothing_to_say() -> None:
    assert Moments.of([]) == Moments() == Moments.of_counts(0, 0)
    assert (Moments().mean, Moments().variance, Moments().effective_count) == (None, None, 0)


@pytest.mark.parametrize(('passed', 'count'), [(0, 3), (2, 3), (3, 3)])
def test_counts_are_scores_of_runs_that_were_all_judged(passed: int, count: int) -> None:
    assert Moments.of_counts(passed, count) == Moments.of([1] * passed + [0] * (count - passed))


@pytest.mark.parametrize(('passed', 'count'), [(-1, 3), (4, 3)])
def test_no_more_runs_pass_than_there_are(passed: int, count: int) -> None:
    with pytest.raises(ConfigurationError, match=f'of {count} runs, {passed} cannot have passed'):
        Moments.of_counts(passed, count)


@pytest.mark.parametrize('probability', [0.0, -0.5, 1.5, math.nan, math.inf])
def test_a_probability_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(ConfigurationError, match=rf'a probability must be in \(0, 1\], got {probability!r}'):
        Moments.of([1.0, 0.0], [1.0, probability])


@pytest.mark.parametrize('score', [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused(score: float) -> None:
    with pytest.raises(ConfigurationError, match=f'a score must be finite, got {score!r}'):
        Moments.of([0.5, score])


def test_lengths_must_match() -> None:
    with pytest.raises(ConfigurationError, match='a probability for each of 2 scores, got 1'):
        Moments.of([1.0, 0.0], [1.0])
    with pytest.raises(ConfigurationError, match='a cluster for each of 2 scores, got 3'):
        Moments.of([1.0, 0.0], clusters=[1, 2, 3])


def test_sums_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match='sum_wx of Moments must be finite, got nan'):
        Moments(count=1, sum_w=1, sum_w2=1, sum_wx=math.nan)
    with pytest.raises(ConfigurationError, match=r'Moments of 0 scores cannot have the weight 2\.0'):
        Moments(sum_w=2.0)
    with pytest.raises(ConfigurationError, match='Moments of -1 scores cannot have the weight 0'):
        Moments(count=-1)


@pytest.mark.parametrize('offset', [0.0, 1e3, 1e5, 1e8, 1e12])
def test_where_rounding_has_eaten_what_scores_differ_by_there_is_no_interval_and_no_wrong_one(offset: float) -> None:
    values = [offset + number % 7 for number in range(70)]
    estimate = estimate_mean(Moments.of(values))
    # The standard deviation of 0 to 6 is 2, and Student's quantile for 69 degrees of freedom is this.
    exact = 2.0 * 1.994945 / math.sqrt(69)
    assert estimate.value == pytest.approx(offset + 3)
    assert (estimate.interval is None) == (offset > 1e5)
    assert estimate.interval is None or estimate.interval.width == pytest.approx(2 * exact, rel=1e-3)


def test_a_rate_of_which_rounding_has_eaten_the_variance_has_the_interval_of_its_weights() -> None:
    estimate = estimate_rate(Moments.of([1.0] + [0.0] * 99, [1e-12] + [1.0] * 99))
    assert estimate.effective_count == pytest.approx(1)
    assert estimate.interval is not None and estimate.interval.lower < 0.06


@given(SCORES)
def test_clusters_of_one_are_no_clusters(scores: list[tuple[float, float]]) -> None:
    values, probabilities = [value for value, _ in scores], [probability for _, probability in scores]
    clustered = Moments.of(values, probabilities, clusters=range(len(values)))
    for name in FIELDS:
        assert getattr(clustered, name) == pytest.approx(getattr(of(scores), name), rel=1e-9, abs=1e-6)


def test_a_cluster_counts_once_with_all_its_weight() -> None:
    moments = Moments.of([1, 0, 1, 1], [0.5, 0.5, 0.5, 1.0], clusters=['a', 'a', 'a', 'b'])
    assert (moments.count, moments.sum_w, moments.sum_w2) == (2, 7, 37)
    # The mean is that of the runs.
    assert moments.mean == pytest.approx(Moments.of([1, 0, 1, 1], [0.5, 0.5, 0.5, 1.0]).mean)
    assert (moments.minimum, moments.maximum) == (pytest.approx(2 / 3), 1)


def test_each_label_has_its_share_of_all_that_have_one() -> None:
    minutes = [Moments.of([1, 1], [0.5, 1.0]), Moments.of([1], [0.25])]
    moments = label_moments({'good': minutes[0], 'bad': minutes[1], 'ugly': Moments()})
    assert moments['good'] == Moments.of([1, 1, 0], [0.5, 1.0, 0.25])
    assert moments['bad'] == Moments.of([0, 0, 1], [0.5, 1.0, 0.25])
    assert moments['ugly'] == Moments.of([0, 0, 0], [0.5, 1.0, 0.25])
    assert label_moments({'good': minutes[0]})['good'] == Moments.of([1, 1], [0.5, 1.0])
    assert label_moments({'good': Moments()})['good'] == Moments()
    assert label_moments({}) == {}
