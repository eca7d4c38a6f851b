"""Budgets: spending that stays within its limit and is spread over the window, with probabilities that stay true."""

from __future__ import annotations

import logging
import math
import random
import statistics
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic_ai.usage import RunUsage

from pydantic_ai_assay.budget import Admission, Budget, Per
from pydantic_ai_assay.errors import AssayWarning, ConfigurationError
from pydantic_ai_assay.runs.clock import TIMEKEEPER
from pydantic_ai_assay.runs.judgement import Judgement, Vote
from pydantic_ai_assay.testing import SettableClock

ROOT = Path(__file__).parents[2]
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
"""Of a Monday."""
DAY = 86_400.0


class WindingClock:
    """A clock that can be set back, as by somebody who corrects it."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.elapsed = 0.0

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.elapsed += seconds

    def time(self) -> float:
        return self.now.timestamp()

    def perf_counter(self) -> float:
        return self.elapsed


@pytest.fixture
def clock() -> Iterator[SettableClock]:
    with SettableClock(MIDNIGHT) as clock:
        yield clock


@pytest.fixture
def winding_clock(monkeypatch: pytest.MonkeyPatch) -> WindingClock:
    clock = WindingClock(MIDNIGHT)
    monkeypatch.setattr(TIMEKEEPER, 'clock', clock)
    return clock


def admit(budget: Budget) -> Admission:
    """Offer a run that is admitted whatever the share, as long as that is not 0."""
    admission = budget.admit(1.0, 0.0)
    assert admission is not None
    return admission


def spend(budget: Budget, cost: float | Decimal | None) -> None:
    budget.settle(admit(budget), cost)


# What can be given


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({'per': 'day'}, 'A budget takes either usd or evaluations, got neither.'),
        (
            {'usd': 5, 'evaluations': 10, 'per': 'day'},
            'A budget takes either usd or evaluations, got usd=5 and evaluations=10.',
        ),
        ({'usd': 0, 'per': 'day'}, 'usd must be a positive number of US dollars, got 0.'),
        ({'usd': -1.5, 'per': 'day'}, 'usd must be a positive number of US dollars, got -1.5.'),
        ({'usd': math.inf, 'per': 'day'}, 'usd must be a positive number of US dollars, got inf.'),
        ({'usd': math.nan, 'per': 'day'}, 'usd must be a positive number of US dollars, got nan.'),
        ({'usd': '5', 'per': 'day'}, "usd must be a positive number of US dollars, got '5'."),
        ({'usd': True, 'per': 'day'}, 'usd must be a positive number of US dollars, got True.'),
        ({'evaluations': 0, 'per': 'day'}, 'evaluations must be a positive integer, got 0.'),
        ({'evaluations': 1.5, 'per': 'day'}, 'evaluations must be a positive integer, got 1.5.'),
        ({'evaluations': True, 'per': 'day'}, 'evaluations must be a positive integer, got True.'),
        (
            {'evaluations': 5, 'per': 'month'},
            "per must be one of 'minute', 'hour', 'day', 'week', got 'month'.",
        ),
        ({'evaluations': 5, 'per': []}, "per must be one of 'minute', 'hour', 'day', 'week', got []."),
    ],
)
def test_what_cannot_work_is_refused_with_what_was_given_and_what_is_allowed(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Budget(**given)
    assert str(raised.value) == message


def test_a_budget_says_what_it_limits() -> None:
    assert repr(Budget(usd=5, per='day')) == "Budget(usd=5, per='day')"
    assert repr(Budget(evaluations=1000, per='hour')) == "Budget(evaluations=1000, per='hour')"
    assert Budget(usd=5, per='day').limit == 5.0
    assert Budget(evaluations=1000, per='hour').limit == 1000.0


# Windows


@pytest.mark.parametrize(
    ('per', 'start', 'end'),
    [
        ('minute', '2026-03-04T13:14:00', '2026-03-04T13:15:00'),
        ('hour', '2026-03-04T13:00:00', '2026-03-04T14:00:00'),
        ('day', '2026-03-04T00:00:00', '2026-03-05T00:00:00'),
        ('week', '2026-03-02T00:00:00', '2026-03-09T00:00:00'),
    ],
)
def test_windows_begin_on_the_minute_the_hour_at_midnight_and_on_monday_in_utc(per: Per, start: str, end: str) -> None:
    with SettableClock(datetime(2026, 3, 4, 13, 14, 15, tzinfo=UTC)):
        state = Budget(evaluations=100, per=per).state()
    assert state.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert state.end == datetime.fromisoformat(end).replace(tzinfo=UTC)


def test_a_new_window_begins_with_the_whole_limit(clock: SettableClock) -> None:
    budget = Budget(evaluations=2, per='hour')
    for _ in range(2):
        spend(budget, None)
    assert (budget.spent, budget.remaining, budget.admit(1.0, 0.0)) == (2, 0, None)
    clock.advance(3_600)
    assert (budget.spent, budget.remaining) == (0, 2)
    admit(budget)


def test_a_budget_made_in_the_middle_of_a_window_has_only_the_part_that_is_left_of_it(clock: SettableClock) -> None:
    clock.advance(0.75 * DAY)
    usd, evaluations = Budget(usd=4, per='day'), Budget(evaluations=10, per='day')
    assert (usd.state().set_aside, usd.remaining) == (3.0, 1.0)
    # The part is rounded up to whole evaluations: there is always one.
    assert (evaluations.state().set_aside, evaluations.remaining) == (7.0, 3.0)
    clock.advance(0.25 * DAY)
    assert (usd.remaining, evaluations.remaining) == (4.0, 10.0)


def test_each_start_in_full_traffic_costs_a_few_evaluations_more_and_not_the_limit_again(clock: SettableClock) -> None:
    rng, spent = random.Random(1), 0.0
    for _ in range(24):
        budget = Budget(usd=24, per='day')
        for _ in range(360):
            admission = budget.admit(1.0, rng.random())
            if admission is not None:
                budget.settle(admission, 0.02)
                spent += 0.02
            clock.advance(10)
    assert 20 < spent < 24 + 24 * 6 * 0.02


def test_what_an_evaluation_costs_belongs_to_the_window_in_which_it_was_admitted(clock: SettableClock) -> None:
    budget = Budget(usd=10, per='hour')
    over_the_hour, dropped = admit(budget), admit(budget)
    clock.advance(3_599)
    assert budget.state().in_flight == 2
    clock.advance(1)
    assert (budget.state().in_flight, budget.state().reserved) == (0, 0.0)
    inside = admit(budget)
    budget.settle(over_the_hour, 2.0)
    budget.release(dropped)
    state = budget.state()
    assert (state.spent, state.in_flight, state.admitted) == (0.0, 1, 1)
    budget.settle(inside, 1.0)
    assert budget.spent == 1.0
    # It is known what it cost, all the same.
    assert admit(budget).reserved == 1.5


def test_a_clock_that_is_set_back_a_little_opens_no_past_window_again(winding_clock: WindingClock) -> None:
    budget = Budget(evaluations=2, per='hour')
    spend(budget, None)
    winding_clock.now += timedelta(hours=1)
    spend(budget, None)
    winding_clock.now -= timedelta(minutes=5)
    spend(budget, None)
    assert budget.admit(1.0, 0.0) is None
    assert budget.state().start == MIDNIGHT + timedelta(hours=1)
    winding_clock.now += timedelta(minutes=5)
    assert budget.admit(1.0, 0.0) is None


def test_a_clock_that_is_set_back_does_not_make_the_traffic_look_like_a_burst(winding_clock: WindingClock) -> None:
    budget, shares = Budget(evaluations=120, per='hour'), list[float]()
    for second in range(2 * 3_600):
        if second == 4_000:
            winding_clock.now -= timedelta(minutes=50)
        winding_clock.advance(1)
        budget.admit(1.0, 1.0)
        if second == 3_999 or 4_000 < second < 4_300:
            shares.append(budget.state().share)
    assert min(shares) > 0.7 * shares[0]


def test_a_budget_goes_on_where_another_clock_is_put_in_place() -> None:
    budget = Budget(evaluations=1_000, per='hour')
    for _ in range(2):
        with SettableClock(MIDNIGHT) as clock:
            for _ in range(10):
                spend(budget, None)
                clock.advance(10)
            assert (budget.state().start, budget.spent, budget.state().share) == (MIDNIGHT, 10.0, 1.0)
        assert budget.state().start > MIDNIGHT
        assert budget.spent == 0.0


def test_a_clock_that_was_far_ahead_leaves_no_window_far_ahead(winding_clock: WindingClock) -> None:
    budget = Budget(evaluations=4, per='hour')
    winding_clock.now += timedelta(days=365)
    spend(budget, None)
    winding_clock.now -= timedelta(days=365, minutes=-30)
    state = budget.state()
    assert state.start == MIDNIGHT
    assert (state.spent, state.set_aside, state.remaining) == (0.0, 2.0, 2.0)


# What is counted


def test_an_admission_is_counted_once_however_it_ends(clock: SettableClock) -> None:
    budget = Budget(usd=10, per='day')
    settled, dropped = admit(budget), admit(budget)
    for _ in range(2):
        budget.settle(settled, Decimal('0.25'))
        budget.release(settled)
        budget.release(dropped)
        budget.settle(dropped, 1.0)
    state = budget.state()
    assert (state.spent, state.reserved, state.in_flight, state.offered, state.admitted) == (0.25, 0.0, 0, 2, 1)


def test_an_admission_of_one_budget_is_nothing_to_another(clock: SettableClock) -> None:
    mine, other = Budget(usd=10, per='day'), Budget(usd=10, per='day')
    admission = admit(mine)
    other.settle(admission, 1.0)
    other.release(admission)
    assert (other.spent, other.state().in_flight, mine.state().in_flight) == (0.0, 0, 1)


def test_an_admission_and_a_state_do_not_change(clock: SettableClock) -> None:
    budget = Budget(usd=10, per='day')
    for frozen, name in ((admit(budget), 'probability'), (budget.state(), 'spent')):
        with pytest.raises(FrozenInstanceError):
            setattr(frozen, name, 0.5)


def test_before_a_cost_is_known_an_evaluation_is_taken_to_cost_a_hundredth_of_the_limit(clock: SettableClock) -> None:
    budget = Budget(usd=5, per='day')
    assert admit(budget).reserved == 0.05
    spend(budget, 0.002)
    assert admit(budget).reserved == 0.002


def test_the_estimate_is_the_mean_of_recent_costs(clock: SettableClock) -> None:
    budget = Budget(usd=100, per='day')
    for cost in (0.1, 0.2, 0.3):
        spend(budget, cost)
    assert admit(budget).reserved == pytest.approx(0.2)
    for _ in range(300):
        spend(budget, 0.01)
    assert 0.01 < admit(budget).reserved < 0.011


def test_an_evaluation_that_costs_more_than_the_limit_does_not_end_the_budget_for_good(clock: SettableClock) -> None:
    budget = Budget(usd=1, per='hour')
    spend(budget, 7.0)
    state = budget.state()
    assert (state.spent, state.remaining, state.share) == (7.0, 0.0, 0.0)
    assert budget.admit(1.0, 0.0) is None
    assert budget.state().stopped == 1
    clock.advance(3_600)
    assert admit(budget).reserved == 1.0
    # One at a time.
    assert budget.admit(1.0, 0.0) is None


def test_evaluations_that_cost_nothing_are_all_admitted(clock: SettableClock) -> None:
    budget = Budget(usd=1, per='minute')
    spend(budget, 0.0)
    assert all(budget.admit(1.0, 0.999) is not None for _ in range(1_000))


def test_a_number_of_evaluations_does_not_ask_what_they_cost(clock: SettableClock) -> None:
    budget = Budget(evaluations=10, per='day')
    for cost in (None, Decimal('3'), 0.0, math.nan):
        spend(budget, cost)
    assert (budget.spent, budget.state().unpriced) == (4.0, 0)


@pytest.mark.parametrize('cost', [None, math.nan, math.inf, -1.0, Decimal('NaN'), Decimal(-1)])
def test_an_evaluation_whose_cost_is_not_known_counts_as_the_mean_of_those_that_are(
    clock: SettableClock, cost: float | Decimal | None
) -> None:
    budget = Budget(usd=10, per='day')
    spend(budget, 0.5)
    spend(budget, cost)
    state = budget.state()
    assert (state.spent, state.unpriced) == (1.0, 1)


def a_vote(cost: str | None = None, *, tokens: int = 0, error: str | None = None) -> Vote:
    usage = RunUsage(requests=int(tokens > 0), input_tokens=tokens)
    usage.cost = None if cost is None else Decimal(cost)
    return Vote(judge='a', value=None if error else True, error=error, usage=usage)


@pytest.mark.parametrize(
    ('votes', 'amount', 'unpriced'),
    [
        pytest.param([a_vote('0.25', tokens=9), a_vote('0.5', tokens=9)], 0.75, 0, id='all known'),
        pytest.param(
            [a_vote('0.25', tokens=9), a_vote('0.5', tokens=9), a_vote(tokens=9)], 1.125, 1, id='one not known'
        ),
        pytest.param([a_vote(tokens=9), a_vote(tokens=9)], 1.0, 1, id='none known'),
        pytest.param([a_vote()], 1.0, 1, id='one that says nothing of its use'),
        pytest.param([a_vote('0.25', tokens=9), a_vote()], 0.25, 0, id='one that used no model'),
        pytest.param([a_vote('0.25', tokens=9), a_vote(error='ModelHTTPError')], 0.25, 0, id='one refused'),
        pytest.param([a_vote(error='ModelHTTPError')] * 3, 0.0, 0, id='all refused'),
        pytest.param([a_vote('0.25', tokens=9, error='UnexpectedModelBehavior')], 0.25, 0, id='answered, no verdict'),
        pytest.param([a_vote(tokens=9, error='UnexpectedModelBehavior')], 1.0, 1, id='answered, price not known'),
        pytest.param([a_vote('0.25', tokens=9), a_vote(error='TimeoutError')], 0.5, 1, id='one cut short'),
        pytest.param([a_vote(error='unfinished')], 1.0, 1, id='cut short'),
        pytest.param([a_vote(error='CancelledError')], 1.0, 1, id='cancelled'),
    ],
)
def test_every_call_of_a_judge_counts_that_may_have_cost_something(
    clock: SettableClock, votes: list[Vote], amount: float, unpriced: int
) -> None:
    budget = Budget(usd=100, per='day')
    budget.settle(admit(budget), Judgement(votes=tuple(votes)))
    state = budget.state()
    assert (state.spent, state.unpriced) == (amount, unpriced)


def test_evaluations_that_were_all_refused_do_not_make_others_look_cheap(clock: SettableClock) -> None:
    budget = Budget(usd=100, per='day')
    spend(budget, 2.0)
    for _ in range(100):
        budget.settle(admit(budget), Judgement(votes=(a_vote(error='ModelHTTPError'),)))
    assert budget.spent == 2.0
    assert admit(budget).reserved == 2.0


def test_a_cost_of_which_a_part_is_known_tells_what_others_cost(clock: SettableClock) -> None:
    budget = Budget(usd=100, per='day')
    budget.settle(admit(budget), Judgement(votes=(a_vote('0.2', tokens=9), a_vote(tokens=9))))
    assert admit(budget).reserved == pytest.approx(0.4)


def test_what_judges_did_beside_an_evaluation_is_spent_but_does_not_make_others_look_dear(clock: SettableClock) -> None:
    budget = Budget(usd=100, per='day')
    beside = Judgement(votes=(a_vote('3', tokens=9), a_vote('3', tokens=9))), Judgement(votes=(a_vote(tokens=9),))
    budget.settle(admit(budget), Judgement(votes=(a_vote('0.5', tokens=9),)), aside=beside)
    # The last of them counts as the mean of what evaluations cost.
    assert budget.spent == 7.0
    assert admit(budget).reserved == 0.5
    counted = Budget(evaluations=100, per='day')
    counted.settle(admit(counted), None, aside=beside)
    assert counted.spent == 1.0


def test_a_budget_in_usd_warns_once_when_most_evaluations_do_not_tell_their_cost(clock: SettableClock) -> None:
    budget = Budget(usd=10, per='day')
    spend(budget, 0.5)
    spend(budget, None)
    with pytest.warns(AssayWarning) as caught:
        spend(budget, None)
    spend(budget, None)
    assert [str(warning.message) for warning in caught] == [
        "Budget(usd=10, per='day') is about what evaluations cost, but most that it admitted did not tell (1 did). "
        'Each such one is counted as 0.5 USD. Use it for judges whose models have a known price, or limit the number '
        'of evaluations: Budget(evaluations=...).'
    ]


def test_where_warnings_are_errors_that_warning_goes_to_the_log(
    clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Budget(usd=10, per='day')
    admission = admit(budget)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, 'pydantic_ai_assay'):
        warnings.simplefilter('error')
        budget.settle(admission, None)
    assert 'Each such one is counted as 0.1 USD.' in caplog.text
    assert budget.spent == 0.1


def test_evaluations_that_never_tell_their_cost_are_bounded_all_the_same(
    clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    budget = Budget(usd=10, per='day')
    admissions = [budget.admit(1.0, 0.0) for _ in range(500)]
    assert sum(admission is not None for admission in admissions) == 100


# The share


def test_a_run_is_admitted_if_its_draw_is_below_the_probability_that_is_recorded(clock: SettableClock) -> None:
    budget = Budget(evaluations=100, per='day')
    for _ in range(200):
        share = budget.state().share
        assert budget.admit(0.5, 0.5 * share) is None
        share = budget.state().share
        admission = budget.admit(0.5, 0.0)
        if admission is None:
            break
        assert admission.probability == 0.5 * share
    assert budget.state().admitted == 100


def test_traffic_below_the_pace_is_admitted_with_the_probability_it_was_chosen_with(clock: SettableClock) -> None:
    budget = Budget(evaluations=1_000, per='hour')
    for _ in range(60):
        admission = budget.admit(0.25, 0.2499)
        assert admission is not None
        assert admission.probability == 0.25
        budget.settle(admission, None)
        clock.advance(60)


def test_a_share_that_fell_in_a_burst_rises_again_when_it_is_over(clock: SettableClock) -> None:
    budget = Budget(evaluations=1_000, per='day')
    clock.advance(3_600)
    for _ in range(10_000):
        budget.admit(1.0, 1.0)
    assert budget.state().share < 0.001
    clock.advance(900)
    assert budget.state().share == 1.0


def test_ten_thousand_runs_at_one_moment_spend_a_small_part_of_the_limit_and_none_is_without_a_chance(
    clock: SettableClock,
) -> None:
    budget, rng = Budget(evaluations=1_000, per='day'), random.Random(1)
    admissions = [budget.admit(1.0, rng.random()) for _ in range(10_000)]
    admitted = [admission for admission in admissions if admission is not None]
    assert 5 <= len(admitted) <= 30
    assert budget.state().stopped == 0
    # The runs that they stand for are all runs, as nearly as so few can say.
    assert 3_000 < sum(1 / admission.probability for admission in admitted) < 30_000


OFFERS = st.lists(
    st.tuples(
        st.floats(0.001, 1.0),
        st.floats(0.0, 1.0, exclude_max=True),
        st.floats(0.0, 900.0),
        st.sampled_from(['settle', 'release', 'leave']),
        st.floats(0.0, 0.6),
    ),
    max_size=150,
)


@given(OFFERS, st.integers(1, 20))
def test_a_number_of_evaluations_is_never_exceeded(
    offers: list[tuple[float, float, float, str, float]], limit: int
) -> None:
    with SettableClock(MIDNIGHT) as clock:
        budget = Budget(evaluations=limit, per='hour')
        ran: dict[datetime, int] = {}
        for probability, draw, pause, ending, cost in offers:
            clock.advance(pause)
            admission = budget.admit(probability, draw * probability)
            if admission is None:
                continue
            assert 0.0 < admission.probability <= probability
            assert draw * probability < admission.probability
            if ending == 'release':
                budget.release(admission)
                continue
            if ending == 'settle':
                budget.settle(admission, cost)
            state = budget.state()
            ran[state.start] = ran.get(state.start, 0) + 1
            assert state.spent + state.in_flight == ran[state.start] <= limit
            assert state.remaining == limit - ran[state.start]


@given(OFFERS, st.integers(0, 8))
def test_an_amount_is_exceeded_by_no_more_than_what_was_in_flight(
    offers: list[tuple[float, float, float, str, float]], at_once: int
) -> None:
    with SettableClock(MIDNIGHT) as clock:
        budget = Budget(usd=2.0, per='hour')
        running: deque[tuple[Admission, float]] = deque()
        for probability, draw, pause, ending, cost in offers:
            clock.advance(pause / 30)
            admission = budget.admit(probability, draw * probability)
            if admission is not None:
                assert 0.0 < admission.probability <= probability
                before = budget.state()
                assert before.spent + before.reserved <= 2.0 + 1e-9
                running.append((admission, cost))
            while len(running) > at_once:
                ended, cost = running.popleft()
                if ending == 'release':
                    budget.release(ended)
                else:
                    budget.settle(ended, cost)
            # Each of those that were in flight when the last one was admitted costs 0.6 at most.
            assert budget.spent <= 2.0 + 0.6 * (at_once + 1)


def test_threads_that_share_a_budget_admit_exactly_what_it_allows(clock: SettableClock) -> None:
    budget = Budget(evaluations=500, per='day')
    begin = threading.Barrier(8)
    admitted: list[int] = []

    def work() -> None:
        begin.wait(10)
        count = 0
        for number in range(1_000):
            admission = budget.admit(1.0, 0.0)
            if admission is None:
                continue
            if number % 4 == 0:
                budget.release(admission)
            else:
                count += 1
                budget.settle(admission, None)
        admitted.append(count)

    threads = [threading.Thread(target=work) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    state = budget.state()
    assert sum(admitted) == state.spent == state.admitted <= 500
    assert (state.in_flight, state.reserved, state.offered) == (0, 0.0, 8_000)


def test_a_forked_child_keeps_what_was_spent_and_leaves_what_is_in_flight_to_its_parent(
    clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(evaluations=10, per='day')
    spend(budget, None)
    of_the_parent = admit(budget)
    monkeypatch.setattr(Budget, 'claim', Budget.claim)
    monkeypatch.setattr(Budget, 'generation', Budget.generation)
    # As it is at a fork in the middle of what another thread does.
    with Budget.claim:
        Budget.begin_in_child()
        budget.settle(of_the_parent, None)
        state = budget.state()
    assert (state.spent, state.in_flight, state.remaining) == (1.0, 0, 9.0)
    spend(budget, None)
    assert budget.spent == 2.0


# Whole days


def traffic(kind: str, minute: int) -> float:
    """Runs per minute, relative to the busiest minute of an ordinary day; the night has a twentieth of it."""
    height = 0.05 + 0.95 * (1 - math.cos(2 * math.pi * minute / 1_440)) / 2
    if kind == 'bursts' and any(start <= minute < start + 5 for start in (210, 570, 940)):
        return 100 * height
    if kind == 'silence' and (300 <= minute < 540 or 780 <= minute < 1_020):
        return 0.0
    return height


class Simulation:
    """A day of runs whose value falls as traffic rises, under a budget."""

    def __init__(self, kind: str, per_minute: float, budget: Budget, clock: SettableClock, seed: int) -> None:
        self.rng = random.Random(seed)
        self.offered_by_hour = [0] * 24
        self.admitted_by_hour = [0] * 24
        self.values: list[float] = []
        self.scores: list[tuple[float, float]] = []
        self.most_in_flight = 0
        running: deque[tuple[float, Admission]] = deque()
        elapsed = 0.0
        while True:
            rate = per_minute / 60 * traffic(kind, min(int(elapsed // 60), 1_439))
            # In silence, look again in a minute.
            pause = -math.log(1 - self.rng.random()) / rate if rate else 60.0
            # A pause that is longer than the minute it began in goes on at the rate of the next one.
            boundary = (elapsed // 60 + 1) * 60 - elapsed
            step = min(pause, boundary)
            if elapsed + step >= DAY:
                break
            clock.advance(step)
            elapsed += step
            while running and running[0][0] <= elapsed:
                budget.settle(running.popleft()[1], self.cost())
            if rate and pause <= boundary:
                self.offer(budget, elapsed, running)
        for _, admission in running:
            budget.settle(admission, self.cost())
        self.state = budget.state()

    def cost(self) -> float:
        """Of two judges, one costs ten times what the other does."""
        return self.rng.choice((0.001, 0.01)) * (0.5 + self.rng.random())

    def offer(self, budget: Budget, elapsed: float, running: deque[tuple[float, Admission]]) -> None:
        value = float(self.rng.random() < 0.9 - 0.5 * traffic('ordinary', int(elapsed // 60)))
        self.values.append(value)
        self.offered_by_hour[int(elapsed // 3_600)] += 1
        admission = budget.admit(1.0, self.rng.random())
        if admission is not None:
            self.admitted_by_hour[int(elapsed // 3_600)] += 1
            self.scores.append((value, admission.probability))
            running.append((elapsed + 5, admission))
            self.most_in_flight = max(self.most_in_flight, len(running))

    @property
    def error(self) -> float:
        """By how much the weighted mean of the scores misses the mean of all runs."""
        weights = [1 / probability for _, probability in self.scores]
        weighted = sum(value / probability for value, probability in self.scores) / sum(weights)
        return weighted - statistics.fmean(self.values)

    def error_of_the_first(self, number: int) -> float:
        """By how much the mean of the first runs misses the mean of all."""
        return statistics.fmean(self.values[:number]) - statistics.fmean(self.values)


def live_through(kind: str, *, seed: int, per_minute: float = 8.0, **limit: Any) -> Simulation:
    with SettableClock(MIDNIGHT) as clock:
        return Simulation(kind, per_minute, Budget(**limit, per='day'), clock, seed)


@pytest.mark.parametrize('kind', ['ordinary', 'bursts', 'silence'])
@pytest.mark.parametrize('limit', [{'usd': 2.0}, {'evaluations': 400}, {'evaluations': 100}], ids=str)
def test_over_a_day_spending_ends_just_below_the_limit_and_no_hour_with_traffic_is_left_out(
    kind: str, limit: dict[str, Any]
) -> None:
    day = live_through(kind, seed=1, **limit)
    state = day.state
    in_flight = day.most_in_flight * 0.015 if 'usd' in limit else 0.0
    assert 0.9 * state.limit < state.spent <= state.limit + in_flight
    assert state.stopped < 0.01 * state.offered
    if limit != {'evaluations': 100}:
        # Of a hundred a day, four come upon an hour, and chance leaves hours out.
        assert [hour for hour in range(24) if day.offered_by_hour[hour] > 20 and not day.admitted_by_hour[hour]] == []


def test_spending_keeps_to_the_pace_while_there_is_traffic_enough() -> None:
    day = live_through('ordinary', seed=2, evaluations=400)
    expected = 400 / 24
    assert all(0.4 * expected < admitted < 1.9 * expected for admitted in day.admitted_by_hour)


def test_where_less_is_offered_than_the_limit_allows_for_nearly_all_is_admitted() -> None:
    day = live_through('silence', seed=3, per_minute=1.0, evaluations=2_000)
    # Chance puts some runs close together.
    assert len(day.scores) > 0.98 * len(day.values)
    assert min(probability for _, probability in day.scores) > 0.5


def test_weighted_scores_tell_of_all_runs_of_a_day_and_those_of_whoever_comes_first_do_not() -> None:
    days = [live_through('ordinary', seed=seed, evaluations=400) for seed in range(20)]
    errors = [day.error for day in days]
    # Four standard errors of their mean.
    assert abs(statistics.fmean(errors)) < 4 * statistics.stdev(errors) / math.sqrt(len(errors))
    assert statistics.stdev(errors) < 0.06
    # The night is better than the day, and the first runs are those of the night.
    assert all(day.error_of_the_first(400) > 0.15 for day in days)


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_weights_of_the_scores_add_up_to_the_number_of_runs(seed: int) -> None:
    day = live_through('ordinary', seed=seed, per_minute=3.0, evaluations=300)
    weights = [1 / probability for _, probability in day.scores]
    deviation = math.sqrt(sum(weight * (weight - 1) for weight in weights))
    assert abs(sum(weights) - len(day.values)) < 5 * deviation


# The example


@pytest.fixture(scope='module')
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What the example prints and draws."""
    picture = tmp_path_factory.mktemp('budget') / 'day.svg'
    done = subprocess.run(
        [sys.executable, '-W', 'error', str(ROOT / 'examples' / 'budget_day.py'), '--svg', str(picture)],
        capture_output=True,
        encoding='utf-8',
        env={'PYTHONUTF8': '1'},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout, picture.read_text(encoding='utf-8')


def test_the_page_on_budgets_shows_what_the_example_prints(example: tuple[str, str]) -> None:
    page = (ROOT / 'docs' / 'budgets.md').read_text(encoding='utf-8')
    assert f'```text\n{example[0]}```\n' in page


def test_the_picture_on_that_page_is_the_one_the_example_draws(example: tuple[str, str]) -> None:
    assert (ROOT / 'docs' / 'images' / 'budget_day.svg').read_text(encoding='utf-8') == example[1]
