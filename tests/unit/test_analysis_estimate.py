"""Estimates and their intervals: textbook values, small numbers, and what there is when there is nothing to tell."""

import math
import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from pydantic_ai_assay.analysis import Coverage, EvaluatorIdentity, Interval, Moments, estimate_mean, estimate_rate
from pydantic_ai_assay.errors import ConfigurationError
from pydantic_ai_assay.runs.outcome import EVALUATION_STATUSES, EvaluationStatus


def bounds(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.lower, interval.upper


def binomial(passed: int, count: int, rate: float) -> float:
    return math.comb(count, passed) * rate**passed * (1 - rate) ** (count - passed)


@pytest.mark.parametrize(('passed', 'count'), [(1, 5), (3, 10), (19, 20), (84, 200), (1, 1_000)])
@pytest.mark.parametrize('level', [0.8, 0.95, 0.99])
def test_the_ends_of_a_rate_are_where_the_tails_have_their_probability(passed: int, count: int, level: float) -> None:
    """Those that would have shown exactly as many passes count half: the mid-P interval."""
    lower, upper = bounds(estimate_rate(Moments.of_counts(passed, count), level=level).interval)
    at_lower = sum(binomial(k, count, lower) for k in range(passed + 1, count + 1))
    at_upper = sum(binomial(k, count, upper) for k in range(passed))
    assert at_lower + binomial(passed, count, lower) / 2 == pytest.approx((1 - level) / 2, rel=1e-6)
    assert at_upper + binomial(passed, count, upper) / 2 == pytest.approx((1 - level) / 2, rel=1e-6)


@pytest.mark.parametrize('count', [3, 5, 6, 14, 30, 100, 200])
def test_the_interval_of_a_rate_holds_whatever_the_rate(count: int) -> None:
    """The exact probability that it contains the rate, over rates from 0.0025 to 0.9975."""
    intervals = [bounds(estimate_rate(Moments.of_counts(passed, count)).interval) for passed in range(count + 1)]
    coverages = [
        sum(binomial(k, count, rate) for k, (lower, upper) in enumerate(intervals) if lower <= rate <= upper)
        for rate in ((2 * i + 1) / 400 for i in range(200))
    ]
    assert min(coverages) >= 0.912
    assert 0.95 <= sum(coverages) / len(coverages) <= 0.99


@pytest.mark.parametrize('count', [1, 5, 20, 100])
def test_all_passes_are_no_certainty(count: int) -> None:
    all_pass = estimate_rate(Moments.of_counts(count, count))
    lower, upper = bounds(all_pass.interval)
    assert (all_pass.value, upper) == (1, 1)
    # All passes have the probability lower ** count; half of it is 2.5 %.
    assert lower == pytest.approx(0.05 ** (1 / count), rel=1e-9)
    none_pass = estimate_rate(Moments.of_counts(0, count))
    assert bounds(none_pass.interval) == (0, pytest.approx(1 - lower, rel=1e-9))


def test_weights_cost_certainty() -> None:
    values = [1.0, 0.0] * 20
    plain = estimate_rate(Moments.of(values))
    weighted = estimate_rate(Moments.of(values, [1.0, 1.0, 0.1, 0.1] * 10))
    assert (plain.value, plain.effective_count) == (0.5, 40)
    assert weighted.value == pytest.approx(0.5)
    assert weighted.effective_count == pytest.approx((20 * 11) ** 2 / (20 * 101))
    assert plain.interval is not None and weighted.interval is not None
    assert weighted.interval.width > plain.interval.width


def test_a_variance_greater_than_the_weights_tell_is_believed() -> None:
    """All that was judged seldom failed, so that the rate hangs on how many of those there were."""
    estimate = estimate_rate(Moments.of([1.0] * 40 + [0.0] * 3, [1.0] * 40 + [0.1] * 3))
    kish = Moments.of([1.0] * 43, [1.0] * 40 + [0.1] * 3).effective_count
    assert estimate.effective_count < 0.8 * kish


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 1)), min_size=1, max_size=30), st.floats(0.5, 0.999))
def test_the_interval_of_a_rate_contains_it_and_lies_between_0_and_1(
    scores: list[tuple[bool, float]], level: float
) -> None:
    values, probabilities = zip(*scores, strict=True)
    estimate = estimate_rate(Moments.of(values, probabilities), level=level)
    lower, upper = bounds(estimate.interval)
    assert estimate.value is not None
    assert 0 <= lower <= estimate.value <= upper <= 1
    assert lower < upper
    assert 1 <= estimate.effective_count <= len(scores) + 1e-9
    swapped = estimate_rate(Moments.of([not value for value in values], probabilities), level=level)
    assert bounds(swapped.interval) == (pytest.approx(1 - upper, abs=1e-6), pytest.approx(1 - lower, abs=1e-6))


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_higher_level_is_a_wider_interval(values: list[bool]) -> None:
    narrow = bounds(estimate_rate(Moments.of(values), level=0.8).interval)
    wide = bounds(estimate_rate(Moments.of(values), level=0.99).interval)
    assert wide[0] <= narrow[0] < narrow[1] <= wide[1]


def test_the_interval_of_a_mean_is_that_of_student() -> None:
    estimate = estimate_mean(Moments.of([4.0, 5.0, 3.0, 4.0, 2.0]))
    # Mean 3.6, standard deviation 1.140175, and 2.776445 is the 97.5 % quantile with four degrees of freedom.
    margin = 2.776445 * 1.140175 / math.sqrt(5)
    assert estimate.value == pytest.approx(3.6)
    assert bounds(estimate.interval) == (pytest.approx(3.6 - margin, abs=1e-5), pytest.approx(3.6 + margin, abs=1e-5))


def test_the_degrees_of_freedom_of_a_weighted_mean_are_those_of_its_effective_number() -> None:
    estimate = estimate_mean(Moments.of([1.0, 2.0, 3.0, 5.0], [1.0, 1.0, 1.0, 1 / 3]))
    # Weights 1, 1, 1 and 3: the mean is 3.5, the effective number 36 / 12 = 3, and 4.302653 the quantile for two.
    variance = (2.5**2 + 1.5**2 + 0.5**2 + 9 * 1.5**2) / 36 * 3 / 2
    assert (estimate.value, estimate.effective_count) == (pytest.approx(3.5), pytest.approx(3))
    assert estimate.interval is not None
    assert estimate.interval.width / 2 == pytest.approx(4.302653 * math.sqrt(variance), rel=1e-6)


@pytest.mark.parametrize('values', [[2.0, 4.0, 4.0, 3.0, 2.0, 3.0], [3.0, 3.0, 3.0, 3.5, 2.5, 3.0, 3.0, 4.0]])
def test_with_bounds_it_is_the_interval_with_a_score_more_at_either(values: list[float]) -> None:
    bounded = estimate_mean(Moments.of(values), bounds=(1, 5))
    assert bounded.value == pytest.approx(sum(values) / len(values))
    longer = estimate_mean(Moments.of([*values, 1.0, 5.0]))
    assert bounds(bounded.interval) == pytest.approx(bounds(longer.interval))


def test_an_interval_contains_its_ends() -> None:
    assert all(value in Interval(0.25, 0.75) for value in (0.25, 0.5, 0.75))
    assert not any(value in Interval(0.25, 0.75) for value in (0.2, 0.8))
    assert Interval(0.25, 0.75).width == 0.5


@pytest.mark.parametrize('values', [[], [3.0], [3.0, 3.0, 3.0]])
def test_scores_that_do_not_vary_tell_nothing_of_how_sure_their_mean_is(values: list[float]) -> None:
    estimate = estimate_mean(Moments.of(values))
    assert (estimate.value, estimate.interval) == (3.0 if values else None, None)


def test_a_score_that_outweighs_all_others_is_as_good_as_alone() -> None:
    assert estimate_mean(Moments.of([1.0, 2.0], [1e-12, 1.0])).interval is None
    unequal = estimate_mean(Moments.of([1.0, 2.0], [0.2, 1.0]))
    assert unequal.effective_count < 1.5 and unequal.interval is not None
    # Of scores of 0 the sums know how much the others differ from them, but their number is still one.
    assert estimate_mean(Moments.of([0.0, 1.0], [1e-17, 1.0])).interval is None


def test_with_bounds_there_is_an_interval_that_keeps_to_them() -> None:
    assert estimate_mean(Moments(), bounds=(1, 5)).interval is None
    for values in ([5.0], [5.0] * 5, [1.0] * 5, [3.0] * 50, [1.0, 5.0] * 2):
        estimate = estimate_mean(Moments.of(values), bounds=(1, 5))
        lower, upper = bounds(estimate.interval)
        assert estimate.value is not None
        assert 1 <= lower <= estimate.value <= upper <= 5
        assert lower < upper
    many = estimate_mean(Moments.of([5.0] * 500), bounds=(1, 5))
    assert bounds(many.interval)[0] > 4.95


def test_bounds_hardly_matter_for_many_scores() -> None:
    moments = Moments.of([2.0, 3.0, 4.0, 5.0] * 100, [0.5, 1.0] * 200)
    free, bounded = estimate_mean(moments), estimate_mean(moments, bounds=(1, 5))
    assert free.value == bounded.value
    assert bounds(free.interval) == pytest.approx(bounds(bounded.interval), abs=0.01)


def test_without_a_score_there_is_no_number() -> None:
    """All failed: that is not a rate of 0."""
    coverage = Coverage(failed=7, timed_out=2)
    judge = EvaluatorIdentity(name='judge', version='2', fingerprint='abc')
    for estimate in (
        estimate_rate(Moments(), coverage=coverage, evaluators=(judge,)),
        estimate_mean(Moments(), coverage=coverage, evaluators=(judge,)),
    ):
        assert (estimate.value, estimate.interval, estimate.count, estimate.effective_count) == (None, None, 0, 0)
        assert (estimate.coverage, estimate.evaluators) == (coverage, (judge,))
        assert estimate.coverage.share == 0


def test_what_an_estimate_is_made_from_is_told() -> None:
    estimate = estimate_rate(Moments.of_counts(3, 4), level=0.9)
    assert (estimate.kind, estimate.level, estimate.count) == ('rate', 0.9, 4)
    assert (estimate.coverage, estimate.evaluators) == (Coverage(scored=4), ())
    mean = estimate_mean(Moments.of_counts(3, 4), level=0.9)
    assert (mean.kind, mean.level, mean.coverage) == ('mean', 0.9, Coverage(scored=4))


@pytest.mark.parametrize('level', [0, 1, 95, -0.5, math.nan, '95 %', None])
def test_a_level_that_is_none_is_refused(level: object) -> None:
    for estimate in (estimate_rate, estimate_mean):
        with pytest.raises(
            ConfigurationError, match=f'level must be a number between 0 and 1, such as 0.95, got {level!r}'
        ):
            estimate(Moments(), level=level)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize('value', [-1.0, 2.0])
def test_a_rate_is_not_made_from_other_scores(value: float) -> None:
    with pytest.raises(ConfigurationError, match=f'from 0 to 1, got one of {value}; use estimate_mean'):
        estimate_rate(Moments.of([0.0, 1.0, value]))


@pytest.mark.parametrize('value', [0.0, 6.0])
def test_a_score_beyond_its_bounds_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf'within \(1, 5\), got one of {value}'):
        estimate_mean(Moments.of([2.0, value]), bounds=(1, 5))


def test_bounds_must_be_in_order() -> None:
    with pytest.raises(ConfigurationError, match=r'the least and the greatest possible score, got \(5, 1\)'):
        estimate_mean(Moments.of([2.0]), bounds=(5, 1))
    with pytest.raises(ConfigurationError, match=r'the least and the greatest possible score, got \(5, 5\)'):
        estimate_mean(Moments.of([5.0]), bounds=(5, 5))


def test_coverage_counts_what_was_due() -> None:
    statuses: list[EvaluationStatus] = ['failed', 'timed_out', 'dropped', 'over_budget', 'skipped', 'sampled_out']
    coverage = Coverage.of([*statuses, 'scored', 'scored', 'sampled_out'])
    assert (coverage.scored, coverage.lost, coverage.share) == (2, 4, 2 / 6)
    assert (coverage.skipped, coverage.sampled_out) == (1, 2)
    assert coverage + Coverage(scored=5, dropped=1) == Coverage(
        scored=7, failed=1, timed_out=1, dropped=2, over_budget=1, skipped=1, sampled_out=2
    )
    assert Coverage.of(EVALUATION_STATUSES) == Coverage(**dict.fromkeys(EVALUATION_STATUSES, 1))


def test_of_nothing_that_was_due_there_is_no_share() -> None:
    assert Coverage(skipped=3, sampled_out=9).share is None


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a status must be one of scored, .*, got 'lost'"):
        Coverage.of(['lost'])  # pyright: ignore[reportArgumentType]


def test_an_identity_is_shown_with_what_is_known_of_it() -> None:
    assert str(EvaluatorIdentity(name='judge')) == 'judge'
    assert str(EvaluatorIdentity(name='judge', version='2', fingerprint='abc')) == 'judge 2 (abc)'


WITHOUT_SCIPY = """
import sys
sys.modules['scipy'] = None
from pydantic_ai_assay.analysis import Coverage, Moments, estimate_rate
from pydantic_ai_assay.errors import MissingExtraError
print((Moments.of([1, 0]) + Moments.of([1])).mean, Coverage(scored=3).share, estimate_rate(Moments()).value)
try:
    estimate_rate(Moments.of([1, 0]))
except MissingExtraError as error:
    print(error)
import pydantic_ai_assay
print('numpy' in sys.modules)
"""


def test_without_the_extra_scores_are_added_up_and_an_interval_names_it() -> None:
    done = subprocess.run(
        [sys.executable, '-W', 'error', '-c', WITHOUT_SCIPY], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.splitlines() == [
        f'{2 / 3} 1.0 None',
        "An interval needs the optional dependencies of the extra 'analysis': "
        "install them with `pip install 'pydantic-ai-assay[analysis]'`.",
        'False',
    ]
