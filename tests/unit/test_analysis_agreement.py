"""Agreement of a judge with people, and with itself."""

import math

import pytest
from hypothesis import given, strategies as st

from pydantic_ai_assay.analysis import Estimate, agreement, position_consistency, self_consistency
from pydantic_ai_assay.analysis.agreement import Disagreement
from pydantic_ai_assay.errors import ConfigurationError

LABELS = [1, 2, 3, 4, 5, 3, 2, 4, 4, 1, 5, 2]
SCORES = [1, 3, 3, 5, 4, 3, 1, 4, 2, 2, 5, 2]
ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.interval is not None
    return estimate.interval.lower, estimate.interval.upper


def test_kappa_of_the_example_in_every_textbook() -> None:
    """Both say yes of 20 in 50 grants, both no of 15: accuracy 0.7, chance 0.5, kappa 0.4."""
    labels = [True] * 25 + [False] * 25
    verdicts = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = agreement(labels, verdicts)
    assert found.accuracy.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.bias.value == pytest.approx(0.1)
    assert (found.sensitivity.value, found.specificity.value) == (0.8, 0.6)
    assert found.confusion == {(True, True): 20, (True, False): 5, (False, True): 10, (False, False): 15}
    assert [each.kind for each in (found.accuracy, found.kappa, found.bias)] == ['rate', 'kappa', 'difference']
    assert {each.count for each in (found.accuracy, found.kappa, found.bias)} == {50}
    assert (found.sensitivity.count, found.specificity.count) == (25, 25)


@pytest.mark.parametrize(
    ('disagreement', 'kappa'),
    # Computed with scikit-learn 1.9.1 and statsmodels 0.15.0.
    [('nominal', 0.3739130434782608), ('linear', 0.6146788990825687), ('quadratic', 0.7906976744186046)],
)
def test_scores_may_disagree_a_little_or_a_lot(disagreement: str, kappa: float) -> None:
    found = agreement(LABELS, SCORES, disagreement=disagreement)  # pyright: ignore[reportArgumentType]
    assert found.kappa.value == pytest.approx(kappa, abs=1e-12)


@pytest.mark.parametrize(
    ('disagreement', 'error'),
    # Standard errors of the same, by statsmodels 0.15.0.
    [('nominal', 0.18103614358504075), ('linear', 0.12913491583059494), ('quadratic', 0.10203482795525075)],
)
def test_with_many_runs_the_interval_of_kappa_is_the_one_of_large_samples(disagreement: str, error: float) -> None:
    times = 2_000
    found = agreement(
        LABELS * times,
        SCORES * times,
        disagreement=disagreement,  # pyright: ignore[reportArgumentType]
    )
    lower, upper = bounds(found.kappa)
    assert (upper - lower) / 2 == pytest.approx(1.959964 * error / math.sqrt(times), rel=2e-3)


@pytest.mark.parametrize(
    ('disagreement', 'level', 'expected'),
    # By statsmodels 0.15.0 from the table with 4 / 25 more in each of its cells, with Student's quantiles for eleven degrees.
    [
        ('nominal', 0.95, (-0.06017224709926694, 0.6212670662586024)),
        ('nominal', 0.8, (0.06948396477104041, 0.49161085438829505)),
        ('linear', 0.95, (0.12067089458991714, 0.7887899395911615)),
        ('quadratic', 0.8, (0.3105700331678369, 0.841972339713519)),
        ('quadratic', 0.95, (0.14734989310917174, 1.0)),
    ],
)
def test_with_few_runs_the_interval_of_kappa_is_that_of_four_runs_more(
    disagreement: Disagreement, level: float, expected: tuple[float, float]
) -> None:
    found = agreement(LABELS, SCORES, disagreement=disagreement, level=level)
    assert bounds(found.kappa) == pytest.approx(expected, abs=1e-9)


def test_with_two_runs_the_interval_of_kappa_has_one_degree_of_freedom() -> None:
    found = agreement([True, False], [True, False], level=0.5)
    # With four runs more the table is 2, 1, 1, 2: kappa is 1 / 3, with the standard error sqrt(4 / 27). The quantile is 1.
    assert bounds(found.kappa) == pytest.approx((1 / 3 - (4 / 27) ** 0.5, 1.0), abs=1e-9)


def test_all_five_numbers_have_the_level_and_count_what_they_are_made_from() -> None:
    labels, verdicts = [True] * 25 + [False] * 25, [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    wide, narrow = agreement(labels, verdicts, level=0.99), agreement(labels, verdicts, level=0.8)
    for name in ('accuracy', 'kappa', 'bias', 'sensitivity', 'specificity'):
        first, second = getattr(wide, name), getattr(narrow, name)
        assert (first.level, second.level) == (0.99, 0.8)
        assert bounds(first)[0] < bounds(second)[0] < bounds(second)[1] < bounds(first)[1]
        assert first.coverage.scored == first.count == second.count
    # Bonett and Price: 11 and 6 of 52, and 1.281552 is the quantile of 80 %.
    up, down = 11 / 52, 6 / 52
    margin = 1.281552 * math.sqrt((up + down - (up - down) ** 2) / 52)
    assert bounds(narrow.bias) == pytest.approx((up - down - margin, up - down + margin), abs=1e-6)


@given(ANSWERS)
def test_every_interval_contains_its_estimate(answers: list[tuple[bool, bool]]) -> None:
    labels, verdicts = zip(*answers, strict=True)
    found = agreement(labels, verdicts)
    for estimate in (found.accuracy, found.kappa, found.bias, found.sensitivity, found.specificity):
        if estimate.value is not None:
            lower, upper = bounds(estimate)
            assert -1 <= lower <= estimate.value <= upper <= 1
            assert lower < upper
    assert found.kappa.value is not None or len(set(labels + verdicts)) == 1


@given(ANSWERS, st.floats(0.05, 1))
def test_equal_probabilities_are_as_good_as_none(answers: list[tuple[bool, bool]], probability: float) -> None:
    labels, verdicts = zip(*answers, strict=True)
    plain, weighted = (
        agreement(labels, verdicts),
        agreement(labels, verdicts, probabilities=[probability] * len(labels)),
    )
    for name in ('accuracy', 'kappa', 'bias', 'sensitivity', 'specificity'):
        first, second = getattr(plain, name), getattr(weighted, name)
        assert second.value == pytest.approx(first.value, abs=1e-9)
        if first.interval is not None:
            assert bounds(second) == pytest.approx(bounds(first), abs=1e-6)


@given(ANSWERS)
def test_a_run_labelled_with_a_third_of_the_probability_counts_three_times(answers: list[tuple[bool, bool]]) -> None:
    labels, verdicts = zip(*answers, strict=True)
    weighted = agreement(labels, verdicts, probabilities=[1 / 3] + [1.0] * (len(labels) - 1))
    repeated = agreement([labels[0]] * 2 + list(labels), [verdicts[0]] * 2 + list(verdicts))
    for name in ('accuracy', 'kappa', 'bias', 'sensitivity', 'specificity'):
        assert getattr(weighted, name).value == pytest.approx(getattr(repeated, name).value, abs=1e-9)
        assert getattr(weighted, name).effective_count <= getattr(repeated, name).effective_count + 1e-9


def test_a_judge_that_was_always_right_may_still_err() -> None:
    found = agreement([True, False] * 10, [True, False] * 10)
    assert (found.accuracy.value, found.kappa.value, found.bias.value) == (1, 1, 0)
    assert 0.8 < bounds(found.accuracy)[0] < 0.9
    assert 0.5 < bounds(found.kappa)[0] < 0.8
    assert bounds(found.bias) == (pytest.approx(-bounds(found.bias)[1]), pytest.approx(0.1257, abs=1e-3))


def test_with_one_answer_there_is_no_kappa() -> None:
    found = agreement(['good'] * 5, ['good'] * 5, positive='good')
    assert (found.kappa.value, found.kappa.interval) == (None, None)
    assert (found.accuracy.value, found.specificity.value) == (1, None)


def test_a_judge_that_never_varies_agrees_by_chance() -> None:
    assert agreement([True, False, True], [True, True, True]).kappa.value == pytest.approx(0)


def test_without_labels_there_is_nothing_to_tell() -> None:
    found = agreement([], [])
    for estimate in (found.accuracy, found.kappa, found.bias, found.sensitivity, found.specificity):
        assert (estimate.value, estimate.interval, estimate.count, estimate.effective_count) == (None, None, 0, 0)
    assert found.confusion == {}


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='a verdict for each of 2 labels, got 1'):
        agreement([True, False], [True])
    with pytest.raises(ConfigurationError, match='a label must not be None'):
        agreement([True, None], [True, True])
    with pytest.raises(ConfigurationError, match='a verdict must not be None'):
        agreement([True, True], [True, None])
    with pytest.raises(ConfigurationError, match='a verdict must not be None or NaN'):
        agreement([1.0, 2.0], [1.0, math.nan], disagreement='linear')
    with pytest.raises(ConfigurationError, match='a probability must be in'):
        agreement([True, True], [True, False], probabilities=[1.0, 0.0])
    with pytest.raises(ConfigurationError, match="a linear disagreement needs numbers, got 'good' and 'good'"):
        agreement(['good', 'bad'], ['good', 'bad'], disagreement='linear')
    with pytest.raises(ConfigurationError, match="a linear disagreement needs numbers, got 1 and 'bad'"):
        agreement([1, 1], [1, 'bad'], disagreement='linear')
    with pytest.raises(ConfigurationError, match="a linear disagreement needs numbers, got 'good' and 'good'"):
        agreement(['good', 1], ['good', 1], disagreement='linear')
    with pytest.raises(ConfigurationError, match="'nominal', 'linear' or 'quadratic', got 'cubic'"):
        agreement(LABELS, SCORES, disagreement='cubic')  # pyright: ignore[reportArgumentType]


def test_position_consistency_is_the_share_of_pairs_with_one_winner() -> None:
    found = position_consistency(['a', 'b', 'a', 'b'], ['a', 'b', 'b', 'b'])
    assert (found.kind, found.value, found.count) == ('rate', 0.75, 4)
    assert position_consistency([], []).value is None
    with pytest.raises(ConfigurationError, match='for each of 1 verdicts, got 2'):
        position_consistency(['a'], ['a', 'b'])


def test_self_consistency_is_the_share_of_pairs_of_votes_that_agree() -> None:
    # Three of three pairs, one of three, none of one; one vote says nothing.
    found = self_consistency([[True, True, True], [True, False, True], [True, False], [True], []])
    assert found.value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found.count == 3
    assert 0 <= bounds(found)[0] < bounds(found)[1] <= 1
    assert self_consistency([[True]]).value is None


def test_a_run_that_was_judged_with_a_tenth_of_the_probability_counts_ten_times_for_consistency() -> None:
    same, other = [['a', 'a']] * 30, [['a', 'b']] * 10
    found = self_consistency(same + other, probabilities=[1.0] * 30 + [0.1] * 10)
    assert found.value == pytest.approx(30 / 130)
    swapped = position_consistency(['a'] * 40, ['a'] * 30 + ['b'] * 10, probabilities=[1.0] * 30 + [0.1] * 10)
    assert swapped.value == pytest.approx(30 / 130)
    assert swapped.effective_count < 20
    with pytest.raises(ConfigurationError, match='a probability for each of 2 scores, got 1'):
        self_consistency([['a'], ['b', 'b']], probabilities=[1.0])


def test_several_judges_of_one_run_are_one_run_for_consistency() -> None:
    """Three judges that voted on the same ten runs do not tell as much as thirty runs."""
    votes = [['a', 'a'], ['a', 'b'], ['a', 'a']] * 10
    found = self_consistency(votes, runs=[run for run in range(10) for _ in range(3)])
    assert (found.count, found.value) == (10, pytest.approx(2 / 3))
    assert self_consistency(votes).count == 30
    with pytest.raises(ConfigurationError, match='a run for each of 30 lists of votes, got 1'):
        self_consistency(votes, runs=['a'])


def test_consistency_has_the_level_that_is_asked_for() -> None:
    for narrow, wide in (
        (
            position_consistency(['a'] * 9, ['a'] * 8 + ['b'], level=0.5),
            position_consistency(['a'] * 9, ['a'] * 8 + ['b']),
        ),
        (self_consistency([['a', 'a'], ['a', 'b']] * 9, level=0.5), self_consistency([['a', 'a'], ['a', 'b']] * 9)),
    ):
        assert (narrow.level, wide.level) == (0.5, 0.95)
        assert bounds(wide)[0] < bounds(narrow)[0] < bounds(narrow)[1] < bounds(wide)[1]


def test_a_judge_that_never_changed_its_mind_may_still_do_so() -> None:
    found = self_consistency([['good'] * 3] * 30)
    assert found.value == 1
    assert 0.8 < bounds(found)[0] < 1
