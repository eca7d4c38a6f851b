"""The pass rate of gpt-4o in 200 recorded conversations is found again from samples, with an interval that holds."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pydantic_ai_assay.analysis import Moments, compare, estimate_mean, estimate_rate

DATA = Path(__file__).parents[3] / 'shared' / 'data' / 'tau_bench'

pytestmark = pytest.mark.skipif(
    not (DATA / 'gpt4o_airline.jsonl').is_file(),
    reason='the recorded conversations are not there: ../shared/data/tau_bench, seen from the checkout',
)

SEEDS = 1_000
WINDOW = 400
TRUTH = 0.42


@cache
def recorded() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The reward of each conversation, and how many turns its user took."""
    lines = (DATA / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines()
    conversations = [json.loads(line) for line in lines]
    rewards = np.array([conversation['reward'] for conversation in conversations], dtype=np.float64)
    turns = [sum(message['role'] == 'user' for message in each['messages']) for each in conversations]
    return rewards, np.array(turns)


def probabilities_of(design: str) -> NDArray[np.float64]:
    _, turns = recorded()
    if design == 'mix':
        return np.array([1.0 if taken > 8 else 0.1 for taken in turns])
    return np.full(len(turns), float(design))


def windows(values: NDArray[np.float64], design: str) -> list[tuple[list[float], list[float]]]:
    """For each seed, the values and probabilities of what is sampled from a window of conversations."""
    sampled: list[tuple[list[float], list[float]]] = []
    probabilities = probabilities_of(design)
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        window = random.integers(0, len(values), WINDOW)
        chosen = window[random.random(WINDOW) < probabilities[window]]
        sampled.append((values[chosen].tolist(), probabilities[chosen].tolist()))
    return sampled


def test_the_recorded_rate_is_the_published_one() -> None:
    rewards, turns = recorded()
    estimate = estimate_rate(Moments.of(rewards.tolist()))
    assert (estimate.value, estimate.count, estimate.effective_count) == (TRUTH, 200, 200)
    assert (turns > 8).sum() == 50


@pytest.mark.parametrize('design', ['0.05', '0.25', 'mix'])
def test_the_interval_of_the_rate_contains_the_truth_as_often_as_it_says(design: str) -> None:
    rewards, _ = recorded()
    estimates = [estimate_rate(Moments.of(values, probabilities)) for values, probabilities in windows(rewards, design)]
    covered = np.mean([estimate.interval is not None and TRUTH in estimate.interval for estimate in estimates])
    mean = np.mean([estimate.value for estimate in estimates if estimate.value is not None])
    print(f'{design}: coverage {covered:.3f}, mean estimate {mean:.4f}')
    assert 0.93 <= covered <= 0.98
    assert abs(mean - TRUTH) <= 0.005


def test_the_plain_mean_of_a_mix_is_off() -> None:
    rewards, _ = recorded()
    sampled = windows(rewards, 'mix')
    plain = [estimate_rate(Moments.of(values)) for values, _ in sampled]
    mean = np.mean([estimate.value for estimate in plain if estimate.value is not None])
    covered = np.mean([estimate.interval is not None and TRUTH in estimate.interval for estimate in plain])
    print(f'plain: coverage {covered:.3f}, mean estimate {mean:.4f}')
    # Long conversations, which fail more often, are seen ten times as often as others.
    assert 0.355 < mean < 0.375
    assert covered < 0.85


def test_adding_up_minutes_gives_what_the_whole_window_gives() -> None:
    rewards, _ = recorded()
    values, probabilities = windows(rewards, 'mix')[0]
    minutes = [Moments.of(values[i : i + 7], probabilities[i : i + 7]) for i in range(0, len(values), 7)]
    whole, summed = estimate_rate(Moments.of(values, probabilities)), estimate_rate(sum(minutes, Moments()))
    assert whole.interval is not None and summed.interval is not None
    assert summed.value == pytest.approx(whole.value, abs=1e-12)
    assert summed.effective_count == pytest.approx(whole.effective_count, abs=1e-9)
    assert summed.interval.lower == pytest.approx(whole.interval.lower, abs=1e-9)
    assert summed.interval.upper == pytest.approx(whole.interval.upper, abs=1e-9)


@pytest.mark.parametrize('design', ['0.25', 'mix'])
def test_the_interval_of_a_mean_contains_the_truth_as_often_as_it_says(design: str) -> None:
    """The score is the number of the user's turns: a skewed one, and with the mix its probability hangs on it."""
    turns = recorded()[1].astype(np.float64)
    estimates = [estimate_mean(Moments.of(values, probabilities)) for values, probabilities in windows(turns, design)]
    covered = np.mean([each.interval is not None and turns.mean() in each.interval for each in estimates])
    mean = np.mean([each.value for each in estimates if each.value is not None])
    print(f'turns, {design}: coverage {covered:.3f}, mean estimate {mean:.3f}, truth {turns.mean():.3f}')
    assert 0.93 <= covered <= 0.98
    assert abs(mean - turns.mean()) < 0.05


def test_the_interval_of_a_difference_contains_none_as_often_as_it_says() -> None:
    """Two windows of the same agent, one of each seed, differ by chance alone."""
    rewards, _ = recorded()
    before = [estimate_rate(Moments.of(*each)) for each in windows(rewards, '0.25')]
    after = [estimate_rate(Moments.of(*each)) for each in windows(rewards, 'mix')]
    # A shift by one seed, so that no two windows of a pair are the same.
    unclear = np.mean(
        [compare(b, a).direction == 'unclear' for b, a in zip(before, after[1:] + after[:1], strict=True)]
    )
    print(f'difference: unclear {unclear:.3f}')
    assert 0.93 <= unclear <= 0.99


def test_trials_of_one_task_are_alike_and_the_interval_knows_it_when_told() -> None:
    """Drawing 20 tasks with four trials each, the rate varies more than that of 80 coin tosses."""
    rewards, _ = recorded()
    lines = (DATA / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines()
    tasks = np.array([json.loads(line)['task_id'] for line in lines])
    by_task = np.array([rewards[tasks == task] for task in range(50)])
    assert by_task.shape == (50, 4)
    told = untold = 0
    for seed in range(SEEDS):
        drawn = np.random.default_rng(seed).integers(0, 50, 20)
        values = by_task[drawn].ravel().tolist()
        of_tasks = estimate_rate(Moments.of(values, clusters=[index // 4 for index in range(80)]))
        of_conversations = estimate_rate(Moments.of(values))
        assert of_tasks.value == pytest.approx(of_conversations.value, abs=1e-12)
        told += of_tasks.interval is not None and TRUTH in of_tasks.interval
        untold += of_conversations.interval is not None and TRUTH in of_conversations.interval
    print(f'tasks: coverage {told / SEEDS:.3f} with clusters, {untold / SEEDS:.3f} without')
    assert told / SEEDS >= 0.93
    assert untold / SEEDS < 0.85
