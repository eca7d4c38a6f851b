"""What 65 judges said of 419 pairs of answers whose better one is known: agreement, and what few labels correct."""

from __future__ import annotations

import json
import random
from functools import cache
from math import fsum
from pathlib import Path
from typing import Any, get_args

import pytest

from pydantic_ai_assay.analysis import (
    Moments,
    Population,
    agreement,
    corrected_mean,
    corrected_rate,
    corrected_rate_from_moments,
    position_consistency,
    self_consistency,
)

DATA = Path(__file__).parents[3] / 'shared' / 'data' / 'llmbar'

pytestmark = pytest.mark.skipif(
    not (DATA / 'pairs.jsonl').is_file(),
    reason='the verdicts of the judges are not there: ../shared/data/llmbar, seen from the checkout',
)

SEEDS = 1_000
LABELLED = 60
TEN = [
    'GPT-4/Rating_Metrics_Reference',
    'GPT-4/Metrics_Reference',
    'GPT-4/Swap_CoT',
    'GPT-4/Vanilla_NoRules',
    'PaLM2/Metrics_Reference',
    'PaLM2/Vanilla',
    'Falcon/CoT',
    'LLaMA2/Swap',
    'ChatGPT-0301/Vanilla',
    'ChatGPT/Vanilla_2shot',
]


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding='utf-8').splitlines()]


@cache
def pairs() -> list[dict[str, Any]]:
    return read('pairs.jsonl')


@cache
def labels() -> list[str]:
    return [str(pair['label']) for pair in pairs()]


@cache
def verdicts_of(judge: str, order: int = 0) -> list[str]:
    """The better answer according to a judge: `'1'`, `'2'`, or `'None'` where it did not say."""
    return [pair['winners'][judge][order] for pair in pairs()]


@cache
def judges() -> list[str]:
    return list(pairs()[0]['winners'])


def published(judge: str) -> dict[str, int]:
    """The published counts, over all subsets."""
    rows = [row for row in read('published_statistics.jsonl') if row['evaluator'] == judge]
    return {name: sum(row[name] for row in rows) for name in ('correct_False', 'correct_True', 'equal', 'n')}


@pytest.mark.parametrize('judge', TEN)
def test_accuracy_and_position_consistency_are_the_published_ones(judge: str) -> None:
    expected = published(judge)
    for order, name in enumerate(('correct_False', 'correct_True')):
        accuracy = agreement(labels(), verdicts_of(judge, order)).accuracy
        assert accuracy.value == pytest.approx(expected[name] / expected['n'], abs=1e-12)
        assert accuracy.value is not None and accuracy.interval is not None and accuracy.value in accuracy.interval
    consistency = position_consistency(verdicts_of(judge, 0), verdicts_of(judge, 1))
    assert consistency.value == pytest.approx(expected['equal'] / expected['n'], abs=1e-12)
    # Two votes a pair: that they agree is the same thing.
    votes = self_consistency(list(zip(verdicts_of(judge, 0), verdicts_of(judge, 1), strict=True)))
    assert votes.value == pytest.approx(consistency.value, abs=1e-12)


@pytest.mark.parametrize('judge', TEN)
def test_kappa_and_bias_are_those_of_the_textbook(judge: str) -> None:
    people, verdicts = labels(), verdicts_of(judge)
    found = agreement(people, verdicts, positive='1')
    observed = sum(a == b for a, b in zip(people, verdicts, strict=True)) / 419
    expected = sum(people.count(each) / 419 * verdicts.count(each) / 419 for each in ('1', '2', 'None'))
    assert found.kappa.value == pytest.approx((observed - expected) / (1 - expected), abs=1e-12)
    assert found.bias.value == pytest.approx((verdicts.count('1') - people.count('1')) / 419, abs=1e-12)
    assert sum(found.confusion.values()) == 419
    assert found.confusion['1', '2'] == sum(pair == ('1', '2') for pair in zip(people, verdicts, strict=True))
    for each in (found.kappa, found.bias):
        assert each.value is not None and each.interval is not None and each.value in each.interval
    kappa, accuracy = found.kappa.value, found.accuracy.value
    print(
        f'{judge:32} accuracy {accuracy:.3f}  kappa {kappa:+.3f} {found.kappa.interval}  bias {found.bias.value:+.3f}'
    )


def test_a_better_judge_is_told_from_a_worse_one() -> None:
    best, worst = (agreement(labels(), verdicts_of(judge)).kappa.interval for judge in (TEN[0], TEN[-1]))
    assert best is not None and worst is not None
    assert worst.upper < 0 < 0.6 < best.lower


def test_intervals_of_agreement_with_sixty_labels_hold_for_all_judges() -> None:
    """Labelled pairs are drawn with replacement, as pairs to come would be."""
    kappas: list[float] = []
    biases: list[float] = []
    draws = [random.Random(seed).choices(range(419), k=LABELLED) for seed in range(200)]
    for judge in judges():
        verdicts = verdicts_of(judge)
        truth = agreement(labels(), verdicts, positive='1')
        assert truth.kappa.value is not None and truth.bias.value is not None
        covered = [0, 0]
        for drawn in draws[:: 1 if judge in TEN else 4]:
            found = agreement([labels()[i] for i in drawn], [verdicts[i] for i in drawn], positive='1')
            assert found.kappa.interval is not None and found.bias.interval is not None
            covered[0] += truth.kappa.value in found.kappa.interval
            covered[1] += truth.bias.value in found.bias.interval
        count = 200 if judge in TEN else 50
        kappas.append(covered[0] / count)
        biases.append(covered[1] / count)
    print(f'kappa: mean coverage {fsum(kappas) / 65:.3f}; bias: {fsum(biases) / 65:.3f}')
    assert 0.93 <= fsum(kappas) / 65 <= 0.98
    assert 0.93 <= fsum(biases) / 65 <= 0.98


def drawn_labels(seed: int) -> list[int]:
    return random.Random(seed).sample(range(419), LABELLED)


@cache
def corrected_figures(judge: str, population: Population) -> tuple[float, float, float, float]:
    """Coverage, mean error, mean width, and the mean width from the labels alone."""
    truth = labels().count('1') / 419
    verdicts = verdicts_of(judge)
    judged = {each: Moments.of([1.0] * verdicts.count(each)) for each in dict.fromkeys(verdicts)}
    covered = 0
    errors: list[float] = []
    widths: list[float] = []
    widths_of_labels: list[float] = []
    for seed in range(SEEDS):
        counts: dict[str, list[int]] = {}
        for i in drawn_labels(seed):
            of_one = counts.setdefault(verdicts[i], [0, 0])
            of_one[0] += labels()[i] == '1'
            of_one[1] += 1
        labelled = {each: Moments.of_counts(passed, count) for each, (passed, count) in counts.items()}
        found = corrected_rate_from_moments(labelled, judged, positive='1', population=population)
        assert found.corrected.interval is not None and found.labels_only.interval is not None
        assert found.corrected.value is not None
        covered += truth in found.corrected.interval
        errors.append(found.corrected.value - truth)
        widths.append(found.corrected.interval.width)
        widths_of_labels.append(found.labels_only.interval.width)
    return covered / SEEDS, fsum(errors) / SEEDS, fsum(widths) / SEEDS, fsum(widths_of_labels) / SEEDS


def accuracy_of(judge: str) -> float:
    return sum(a == b for a, b in zip(labels(), verdicts_of(judge), strict=True)) / 419


@pytest.mark.parametrize('number', range(65))
def test_the_corrected_share_holds_with_sixty_labels_whatever_the_judge(number: int) -> None:
    judge = judges()[number]
    covered, error, width, of_labels = corrected_figures(judge, 'agent')
    print(f'{judge:32} accuracy {accuracy_of(judge):.3f}  coverage {covered:.3f}  width {width:.3f} / {of_labels:.3f}')
    assert covered >= 0.93
    assert abs(error) < 0.01
    if accuracy_of(judge) > 0.85:
        assert width < 0.85 * of_labels


@pytest.mark.parametrize('judge', TEN)
def test_the_interval_about_the_agent_holds_for_pairs_to_come(judge: str) -> None:
    """The 419 pairs are drawn anew each time, with replacement, and the first sixty of them are labelled."""
    truth = labels().count('1') / 419
    verdicts = verdicts_of(judge)
    covered = 0
    for seed in range(500):
        drawn = random.Random(seed).choices(range(419), k=419)
        labelled = drawn[:LABELLED]
        found = corrected_rate(
            [labels()[i] for i in labelled],
            [verdicts[i] for i in labelled],
            [verdicts[i] for i in drawn],
            positive='1',
        )
        assert found.corrected.interval is not None
        covered += truth in found.corrected.interval
    print(f'{judge:32} coverage {covered / 500:.3f}')
    assert 0.93 <= covered / 500 <= 0.985


@pytest.mark.parametrize('judge', TEN)
def test_the_interval_about_the_judged_pairs_alone_is_narrower_and_holds(judge: str) -> None:
    covered, _, width, _ = corrected_figures(judge, 'judged')
    print(f'{judge:32} coverage {covered:.3f}  width {width:.3f}')
    assert covered >= 0.92
    assert width < corrected_figures(judge, 'agent')[2]


@pytest.mark.parametrize('population', get_args(Population))
@pytest.mark.parametrize('judge', TEN)
def test_the_regression_estimator_agrees(judge: str, population: Population) -> None:
    """With two verdicts, post-stratification and prediction-powered inference are one estimator."""
    drawn = drawn_labels(1)
    verdicts = ['1' if verdict == '1' else '2' for verdict in verdicts_of(judge)]
    people, said = [labels()[i] for i in drawn], [verdicts[i] for i in drawn]
    rate = corrected_rate(people, said, verdicts, positive='1', population=population)
    mean = corrected_mean(
        [float(each == '1') for each in people],
        [float(each == '1') for each in said],
        Moments.of([float(each == '1') for each in verdicts]),
        population=population,
    )
    assert rate.corrected.value == pytest.approx(mean.corrected.value, abs=1e-12)
    assert rate.raw.value == pytest.approx(mean.raw.value, abs=1e-12)
    assert rate.corrected.interval is not None and mean.corrected.interval is not None
    assert rate.corrected.interval.width == pytest.approx(mean.corrected.interval.width, rel=0.15)


def test_a_lenient_judge_is_wrong_however_much_it_judges_and_sixty_labels_say_so() -> None:
    drawn = drawn_labels(0)
    verdicts = verdicts_of('Falcon/CoT')
    found = corrected_rate([labels()[i] for i in drawn], [verdicts[i] for i in drawn], verdicts, positive='1')
    truth = labels().count('1') / 419
    assert found.raw.value is not None and found.raw.interval is not None and found.corrected.interval is not None
    assert found.raw.value > 0.9
    assert truth not in found.raw.interval
    assert truth in found.corrected.interval
