"""What people would have said of all runs, from many verdicts and few labels."""

import random

import pytest
from hypothesis import given, strategies as st

from pydantic_ai_assay.analysis import (
    Corrected,
    Estimate,
    Moments,
    Population,
    corrected_mean,
    corrected_rate,
    corrected_rate_from_moments,
    estimate_rate,
)
from pydantic_ai_assay.errors import ConfigurationError


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.interval is not None
    return estimate.interval.lower, estimate.interval.upper


def sample(accuracy: float = 0.9, labelled: int = 50, count: int = 1_000, seed: int = 0) -> Corrected:
    """People pass 70 % of the runs."""
    draw = random.Random(seed).random
    people = [draw() < 0.7 for _ in range(count)]
    judge = [label if draw() < accuracy else not label for label in people]
    return corrected_rate(people[:labelled], judge[:labelled], judge)


def test_the_rates_among_those_that_the_judge_passes_and_fails_are_weighed_by_how_many_there_are() -> None:
    found = corrected_rate(
        [True, True, True, False, True, False, False, False],
        [True, True, True, True, False, False, False, False],
        [True] * 75 + [False] * 25,
    )
    assert found.corrected.value == pytest.approx(0.75 * 3 / 4 + 0.25 * 1 / 4)
    assert (found.raw.value, found.labels_only.value) == (0.75, 0.5)
    assert (found.raw.count, found.labels_only.count, found.corrected.count) == (100, 8, 8)
    assert {each.kind for each in (found.corrected, found.raw, found.labels_only)} == {'rate'}


def test_a_judge_that_says_nothing_leaves_what_the_labels_say() -> None:
    """All verdicts are one: nothing can be corrected with them."""
    found = corrected_rate([True, True, False], [True, True, True], [True] * 50)
    assert found.corrected.value == pytest.approx(2 / 3)
    assert bounds(found.corrected) == pytest.approx(bounds(found.labels_only))
    assert found.raw.value == 1


@pytest.mark.parametrize('seed', range(5))
def test_a_good_judge_narrows_the_interval_and_a_bad_one_does_no_harm(seed: int) -> None:
    good, bad = sample(0.95, seed=seed), sample(0.5, seed=seed)
    assert good.corrected.interval is not None and good.labels_only.interval is not None
    assert bad.corrected.interval is not None and bad.labels_only.interval is not None
    assert good.corrected.interval.width < 0.8 * good.labels_only.interval.width
    assert bad.corrected.interval.width < 1.1 * bad.labels_only.interval.width


def test_a_judge_that_was_always_right_may_still_err() -> None:
    found = sample(1.0)
    lower, upper = bounds(found.corrected)
    assert found.corrected.value == pytest.approx(found.raw.value)
    assert upper - lower > 0.05


def test_verdicts_that_are_hardly_labelled_are_counted_with_the_rarest_that_is() -> None:
    labelled = {'yes': Moments.of_counts(8, 10), 'no': Moments.of_counts(1, 4), 'unsure': Moments.of_counts(1, 1)}
    judged = {
        'yes': Moments.of_counts(60, 60),
        'no': Moments.of_counts(30, 30),
        'unsure': Moments.of_counts(6, 6),
        'silent': Moments.of_counts(4, 4),
    }
    found = corrected_rate_from_moments(labelled, judged, positive='yes')
    assert found.corrected.value == pytest.approx(0.6 * 0.8 + 0.4 * 2 / 5)
    assert found.raw.value == 0.6


def test_one_label_is_better_than_none() -> None:
    found = corrected_rate([True], [True], [True, False, False])
    assert found.corrected.value == 1
    assert bounds(found.corrected)[0] < 0.1
    assert (found.raw.value, found.labels_only.value) == (pytest.approx(1 / 3), 1)


def test_without_labels_there_is_only_what_the_judge_says() -> None:
    found = corrected_rate([], [], [True, False])
    assert (found.corrected.value, found.corrected.interval, found.labels_only.value) == (None, None, None)
    assert found.raw.value == 0.5
    nothing = corrected_rate([], [], [], population='judged')
    assert (nothing.corrected.value, nothing.raw.value, nothing.labels_only.interval) == (None, None, None)


def test_of_the_judged_runs_alone_all_is_known_when_all_are_labelled() -> None:
    labels, verdicts = [True, False] * 5, [True, True, False, False, True] * 2
    found = corrected_rate(labels, verdicts, verdicts, population='judged')
    assert bounds(found.corrected) == pytest.approx((0.5, 0.5))
    assert bounds(found.labels_only) == pytest.approx((0.5, 0.5))
    assert found.raw == estimate_rate(Moments.of(verdicts))
    about_agent = corrected_rate(labels, verdicts, verdicts)
    assert bounds(about_agent.corrected) == pytest.approx(bounds(about_agent.labels_only), abs=0.03)


def test_about_the_agent_the_share_of_verdicts_is_uncertain_too() -> None:
    """With labels without number, what is left is that the judged runs are a sample."""
    labelled = {True: Moments.of_counts(10**9, 10**9), False: Moments.of_counts(0, 10**9)}
    judged = {
        verdict: Moments(count=10**9, sum_w=w, sum_w2=w * w / 50, sum_wx=w)
        for verdict, w in ((True, 300), (False, 100))
    }
    found = corrected_rate_from_moments(labelled, judged).corrected
    assert found.value == pytest.approx(0.75)
    # (300² / 50 · 0.25² + 100² / 50 · 0.75²) / 400²
    lower, upper = bounds(found)
    assert (upper - lower) / 2 == pytest.approx(1.959964 * (225 / 400**2) ** 0.5, rel=1e-3)


def test_of_the_judged_runs_alone_the_labelled_part_is_known() -> None:
    """A judge that gives one score to all adds nothing, and the variance is that of the part that has no labels."""
    labels, judged = [1.0, 2.0, 4.0, 5.0, 3.0, 3.0], Moments.of([3.0] * 24)
    of_agent, of_judged = (
        corrected_mean(labels, [3.0] * 6, judged, population=population).corrected.interval
        for population in ('agent', 'judged')
    )
    assert of_agent is not None and of_judged is not None
    assert of_judged.width == pytest.approx(of_agent.width * (1 - 6 / 24) ** 0.5)


def test_about_the_agent_the_mean_of_the_judge_is_uncertain_too() -> None:
    """A judge that is always right by the same distance leaves its own spread."""
    labels = [1.0, 2.0, 4.0, 5.0, 3.0, 3.0]
    judged = Moments.of([label + 0.5 for label in labels] * 4)
    found = corrected_mean(labels, [label + 0.5 for label in labels], judged).corrected
    assert found.value == pytest.approx(3)
    # 2.776445 is the quantile with four degrees of freedom.
    lower, upper = bounds(found)
    assert (upper - lower) / 2 == pytest.approx(2.776445 * (10 / 6 / 24) ** 0.5, rel=1e-6)


def test_the_interval_is_put_together_from_the_rates_of_both_verdicts_and_their_shares() -> None:
    """MOVER for 3 of 4 and 1 of 5 that people passed, of 60 runs that the judge passed and 40 that it did not."""
    labels = [True, True, True, False, True, False, False, False, False]
    verdicts = [True] * 4 + [False] * 5
    judged = [True] * 60 + [False] * 40
    (first, second), level = (estimate_rate(Moments.of_counts(*each), level=0.9) for each in ((3, 4), (1, 5))), 0.9
    value = 0.6 * 0.75 + 0.4 * 0.2
    far = [
        [(abs(end - rate), share, left) for end in bounds(estimate)]
        for estimate, rate, share, left in ((first, 0.75, 0.6, 1 - 4 / 60), (second, 0.2, 0.4, 1 - 5 / 40))
    ]
    of_judged = [
        sum(((share * apart) ** 2 * left for apart, share, left in ends), 0.0) for ends in zip(*far, strict=True)
    ]
    of_agent = [sum(((share * apart) ** 2 for apart, share, _ in ends), 0.0) for ends in zip(*far, strict=True)]
    # 1.644854 is the quantile of 90 %; the share of 100 runs is that of a sample.
    between = 1.644854**2 * (60 * (0.75 - value) ** 2 + 40 * (0.2 - value) ** 2) / 100**2
    about: list[tuple[Population, list[float]]] = [
        ('judged', of_judged),
        ('agent', [each + between for each in of_agent]),
    ]
    for population, squares in about:
        found = corrected_rate(labels, verdicts, judged, population=population, level=level)
        assert found.corrected.value == pytest.approx(value)
        assert bounds(found.corrected) == pytest.approx(
            (value - squares[0] ** 0.5, value + squares[1] ** 0.5), abs=1e-6
        )
        assert {each.level for each in (found.corrected, found.raw, found.labels_only)} == {0.9}
        assert found.raw == estimate_rate(Moments.of(judged), level=0.9)
    # Of the labels alone: those of 9 of the 100 runs are known.
    alone, known = bounds(estimate_rate(Moments.of_counts(4, 9), level=0.9)), (1 - 9 / 100) ** 0.5
    found = corrected_rate(labels, verdicts, judged, population='judged', level=level)
    assert bounds(found.labels_only) == pytest.approx([4 / 9 + known * (end - 4 / 9) for end in alone])


def test_what_is_a_pass_is_said_for_labels_and_verdicts() -> None:
    labels, verdicts, judged = ['good', 'bad'] * 3, ['good', 'good', 'bad'] * 2, ['good'] * 8 + ['bad'] * 4
    found = corrected_rate(labels, verdicts, judged, positive='good')
    as_bools = corrected_rate(*([each == 'good' for each in answers] for answers in (labels, verdicts, judged)))
    assert found == as_bools
    assert found.raw.value == pytest.approx(8 / 12)


@pytest.mark.parametrize('probability', [0.3, 0.7, 0.9])
def test_runs_of_one_probability_have_equal_weights_however_it_is_rounded(probability: float) -> None:
    found = corrected_rate(
        [True, False], [True, False], [True, False] * 20, judged_probabilities=[probability] * 40, population='judged'
    )
    assert found.corrected.value == pytest.approx(0.5)


def test_the_interval_of_a_corrected_mean_is_that_of_the_regression_estimator() -> None:
    """The slope is 0.64, and two degrees of freedom are left: 4.302653 is the quantile."""
    labels, scores = [2.0, 2.0, 3.0, 3.8], [1.0, 2.0, 3.0, 4.0]
    judged = Moments.of([1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 2.0, 5.0, 4.0])
    slope = (-0.7 * -1.5 + -0.7 * -0.5 + 0.3 * 0.5 + 1.1 * 1.5) / 5
    residuals = [label - 2.7 - slope * (score - 2.5) for label, score in zip(labels, scores, strict=True)]
    squares = sum(each * each for each in residuals) / 16 * 4 / 2
    spread = slope**2 * (1.61 / 10)
    about: list[tuple[Population, float]] = [('judged', squares * (1 - 4 / 10)), ('agent', squares + spread)]
    for population, variance in about:
        found = corrected_mean(labels, scores, judged, population=population).corrected
        assert found.value == pytest.approx(2.7 + slope * (3.3 - 2.5))
        lower, upper = bounds(found)
        assert (upper - lower) / 2 == pytest.approx(4.302653 * variance**0.5, rel=1e-6)


def test_with_three_labels_a_corrected_mean_has_one_degree_of_freedom() -> None:
    found = corrected_mean([1.0, 2.0, 4.0], [3.0, 3.0, 3.0], Moments.of([3.0] * 5 + [4.0] * 5)).corrected
    # The scores of the labelled runs do not vary, so that nothing can be told from those of the others.
    assert found.value == pytest.approx(7 / 3)
    lower, upper = bounds(found)
    assert (upper - lower) / 2 == pytest.approx(12.706205 * ((14 / 3) / 9 * 3) ** 0.5, rel=1e-6)


def test_sampled_verdicts_and_labels_stand_for_their_runs() -> None:
    """Every fail of the judge was judged, but a tenth of its passes; and half of each were labelled."""
    found = corrected_rate(
        [True, True, False, False, True, False],
        [True, True, True, False, False, False],
        [True] * 6 + [False] * 6,
        probabilities=[0.05] * 3 + [0.5] * 3,
        judged_probabilities=[0.1] * 6 + [1.0] * 6,
    )
    assert found.raw.value == pytest.approx(60 / 66)
    assert found.corrected.value == pytest.approx(60 / 66 * 2 / 3 + 6 / 66 * 1 / 3)
    assert found.labels_only.value == pytest.approx((40 + 2) / (60 + 6))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30), st.integers(0, 100))
def test_every_interval_contains_its_estimate(answers: list[tuple[bool, bool]], more: int) -> None:
    labels, verdicts = zip(*answers, strict=True)
    for population in ('agent', 'judged'):
        found = corrected_rate(labels, verdicts, [*verdicts, *[True] * more], population=population)
        for estimate in (found.corrected, found.raw, found.labels_only):
            lower, upper = bounds(estimate)
            assert estimate.value is not None
            assert 0 <= lower <= estimate.value + 1e-12
            assert estimate.value - 1e-12 <= upper <= 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20), st.integers(1, 5))
def test_from_moments_or_from_answers_it_is_the_same(answers: list[tuple[bool, bool]], times: int) -> None:
    labels, verdicts = (list(each) for each in zip(*answers, strict=True))
    judged = verdicts * times
    labelled = {verdict: Moments.of([label for label, said in answers if said == verdict]) for verdict in (True, False)}
    counted = {verdict: Moments.of([1.0] * judged.count(verdict)) for verdict in (True, False)}
    first, second = corrected_rate(labels, verdicts, judged), corrected_rate_from_moments(labelled, counted)
    assert first.corrected.value == pytest.approx(second.corrected.value, abs=1e-12)
    assert bounds(first.corrected) == pytest.approx(bounds(second.corrected), abs=1e-12)


def test_a_mean_is_that_of_prediction_powered_inference() -> None:
    """The reference value is ppi_mean_pointestimate of ppi-python 0.2.3, with the same tuning."""
    labels = [3.1, 2.4, 4.0, 3.3, 2.9, 1.8, 3.6, 2.2]
    scores = [3.4, 2.5, 4.4, 3.1, 3.3, 2.1, 3.5, 2.8]
    unlabelled = [2.0, 3.9, 4.1, 2.7, 3.0, 1.5, 4.6, 3.2, 2.6, 3.8]
    found = corrected_mean(labels, scores, Moments.of(scores + unlabelled))
    assert found.corrected.value == pytest.approx(2.91387162, abs=1e-8)
    assert found.raw.value == pytest.approx(sum(scores + unlabelled) / 18)
    assert found.labels_only.value == pytest.approx(2.9125)
    assert found.corrected.interval is not None and found.labels_only.interval is not None
    assert found.corrected.interval.width < found.labels_only.interval.width
    of_judged = corrected_mean(labels, scores, Moments.of(scores + unlabelled), population='judged').corrected
    assert of_judged.value == found.corrected.value
    assert of_judged.interval is not None and of_judged.interval.width < found.corrected.interval.width


@pytest.mark.parametrize('seed', range(3))
def test_the_probability_of_a_label_counts_in_a_mean(seed: int) -> None:
    """Runs that people score low are labelled ten times as often."""
    draw = random.Random(seed)
    people = [draw.gauss(3, 1) for _ in range(4_000)]
    judge = [label + 0.5 + draw.gauss(0, 0.3) for label in people]
    chances = [0.5 if label < 2.5 else 0.05 for label in people]
    chosen = [i for i, chance in enumerate(chances) if draw.random() < chance]
    found = corrected_mean(
        [people[i] for i in chosen],
        [judge[i] for i in chosen],
        Moments.of(judge),
        probabilities=[chances[i] for i in chosen],
    )
    assert found.raw.value == pytest.approx(3.5, abs=0.1)
    assert found.corrected.value == pytest.approx(3.0, abs=0.1)
    lower, upper = bounds(found.corrected)
    assert lower < 3.0 < upper


def test_where_nothing_varies_a_corrected_mean_has_no_interval() -> None:
    few = corrected_mean([1.0, 2.0], [1.0, 2.0], Moments.of([1.0, 2.0, 3.0]))
    assert (few.corrected.value, few.corrected.interval) == (2.0, None)
    same = corrected_mean([2.0] * 5, [3.0] * 5, Moments.of([3.0] * 9))
    assert (same.corrected.value, same.corrected.interval) == (2.0, None)
    vast = corrected_mean(
        [1.0, 2.0, 3.0, 5.0], [1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3], Moments.of([1e9 + i for i in range(9)])
    )
    assert vast.corrected.value is not None and vast.corrected.interval is None
    none = corrected_mean([], [], Moments())
    assert (none.corrected.value, none.raw.value, none.labels_only.value) == (None, None, None)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='a verdict for each of 2 labels, got 1'):
        corrected_rate([True, False], [True], [True])
    with pytest.raises(ConfigurationError, match='a score for each of 2 labels, got 1'):
        corrected_mean([1.0, 2.0], [1.0], Moments.of([1.0] * 3))
    with pytest.raises(ConfigurationError, match='2 runs are labelled, but only 1 are judged'):
        corrected_mean([1.0, 2.0], [1.0, 2.0], Moments.of([1.0]))
    with pytest.raises(ConfigurationError, match='2 labelled runs have the verdict False, but only 1 of the judged'):
        corrected_rate([True, False], [False, False], [True, False])
    with pytest.raises(ConfigurationError, match="1 labelled runs have the verdict 'no', but only 0"):
        corrected_rate(['no'], ['no'], ['yes'], positive='yes')
    with pytest.raises(ConfigurationError, match='a probability for each of 1 scores, got 2'):
        corrected_rate([True], [True], [True], probabilities=[1.0, 1.0])
    with pytest.raises(ConfigurationError, match='a probability for each of 1 scores, got 0'):
        corrected_rate([True], [True], [True], judged_probabilities=[])
    with pytest.raises(ConfigurationError, match="population must be 'agent' or 'judged', got 'all'"):
        corrected_rate([True], [True], [True], population='all')  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match='judged runs of equal weight'):
        corrected_rate([True], [True], [True, False], judged_probabilities=[1.0, 0.1], population='judged')
    with pytest.raises(ConfigurationError, match='judged runs of equal weight'):
        corrected_mean([1.0], [1.0], Moments.of([1.0, 2.0], [1.0, 0.1]), population='judged')
