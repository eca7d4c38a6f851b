"""A day of uneven traffic under a budget, hour by hour: `python examples/budget_day.py`. Offline; takes a few seconds.

Two judges of different cost share 5 USD a day, which pays for about one in ten of their evaluations. Traffic at noon is
20 times that of the night, for five minutes it is 10 times what it was, and for two hours there is none. Answers are
worse when there is much to do, so whoever judges the first runs of the day and stops when the money is gone learns
something else.

With `--svg FILE`, it draws the day as well.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from pydantic_ai_assay.budget import Admission, Budget
from pydantic_ai_assay.testing import SettableClock

SEED = 1
LIMIT = 5.0
RUNS_AT_NOON = 1_000
"""Runs per hour when traffic is at its height."""
BURST = (9 * 60 + 30, 9 * 60 + 35)
"""Minutes of the day in which traffic is 10 times what it was."""
SILENCE = (19 * 60, 21 * 60)
"""Minutes of the day without traffic."""
HOUR = 3_600.0
DAY = 24 * HOUR
COSTS = {'Polite': 0.001, 'Correct': 0.004}
"""What an evaluation costs on average, in USD."""
JUDGE_TIME = 3.0
"""How many seconds a judge takes on average."""


# The day


def traffic(minute: int) -> float:
    """Runs per minute."""
    if SILENCE[0] <= minute < SILENCE[1]:
        return 0.0
    height = (1 - math.cos(2 * math.pi * minute / (24 * 60))) / 2
    burst = 10 if BURST[0] <= minute < BURST[1] else 1
    return RUNS_AT_NOON / 60 * (0.05 + 0.95 * height**2) * burst


def pass_rate(judge: str, moment: float) -> float:
    """How often a run at that moment passes: the less the more there is to do."""
    height = (1 - math.cos(2 * math.pi * moment / DAY)) / 2
    return 0.95 - (0.35 if judge == 'Correct' else 0.15) * height


def arrivals(rng: random.Random) -> Iterator[float]:
    """The moments at which runs end, in seconds since midnight."""
    for minute in range(24 * 60):
        rate, elapsed = traffic(minute) / 60, 0.0
        while rate:
            elapsed += -math.log(1 - rng.random()) / rate
            if elapsed >= 60:
                break
            yield minute * 60 + elapsed


@dataclass
class Tally:
    """The scores of one judge: all that there could have been, and those that were paid for."""

    offered: int = 0
    passed: int = 0
    scores: list[tuple[bool, float]] = field(default_factory=list[tuple[bool, float]])
    """Those under the budget, with their probability."""
    first: list[bool] = field(default_factory=list[bool])
    """Those of whoever judges each run until the money is gone."""

    @property
    def truth(self) -> float:
        """The pass rate over all runs."""
        return self.passed / self.offered

    @property
    def estimate(self) -> tuple[float, float]:
        """The pass rate by the weighted scores, and its standard error."""
        weights = [1 / probability for _, probability in self.scores]
        total = sum(weights)
        mean = sum(weight for (passed, _), weight in zip(self.scores, weights, strict=True) if passed) / total
        squares = sum(
            weight * (weight - 1) * (passed - mean) ** 2
            for (passed, _), weight in zip(self.scores, weights, strict=True)
        )
        # Had all runs been judged, the rate would still have its own chance; what is asked is the rate of these runs.
        return mean, math.sqrt(squares) / total

    @property
    def of_the_first(self) -> float:
        """The pass rate of the runs that came while there was money."""
        return sum(self.first) / len(self.first)


@dataclass
class Hour:
    """What happened in an hour."""

    offered: int = 0
    probabilities: list[float] = field(default_factory=list[float])
    spent: float = 0.0
    """Since midnight, in USD."""
    spent_by_first: float = 0.0


@dataclass
class Day:
    """What happened in a day."""

    hours: list[Hour] = field(default_factory=lambda: [Hour() for _ in range(24)])
    tallies: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in COSTS})
    spending: list[tuple[float, float, float]] = field(default_factory=list[tuple[float, float, float]])
    """Every ten minutes: the hour of the day, what was spent under the budget, and what by whoever comes first."""
    stopped: int = 0


class Judges:
    """Evaluations in flight: each takes its time, and then tells what it cost."""

    def __init__(self, budget: Budget, clock: SettableClock) -> None:
        self._budget = budget
        self._clock = clock
        self._elapsed = 0.0
        self._number = count()
        self._running: list[tuple[float, int, Admission, float]] = []

    def start(self, admission: Admission, duration: float, cost: float) -> None:
        """Start an evaluation."""
        heapq.heappush(self._running, (self._elapsed + duration, next(self._number), admission, cost))

    def run_until(self, moment: float) -> None:
        """Move the clock on, and end what ends until then."""
        while self._running and self._running[0][0] <= moment:
            ended, _, admission, cost = heapq.heappop(self._running)
            self._advance(ended)
            self._budget.settle(admission, cost)
        self._advance(moment)

    def _advance(self, moment: float) -> None:
        self._clock.advance(max(0.0, moment - self._elapsed))
        self._elapsed = max(self._elapsed, moment)


def simulate(seed: int = SEED) -> Day:
    """Live through the day."""
    rng = random.Random(seed)
    day = Day()
    with SettableClock(datetime(2026, 3, 2, tzinfo=UTC)) as clock:
        budget = Budget(usd=LIMIT, per='day')
        judges = Judges(budget, clock)
        spent_by_first = 0.0
        for moment in arrivals(rng):
            note_spending(day, judges, budget, until=moment, spent_by_first=spent_by_first)
            judges.run_until(moment)
            hour = day.hours[int(moment // HOUR)]
            for judge, mean_cost in COSTS.items():
                passed = rng.random() < pass_rate(judge, moment)
                cost = mean_cost * (0.5 + rng.random())
                duration = -JUDGE_TIME * math.log(1 - rng.random())
                tally = day.tallies[judge]
                tally.offered += 1
                tally.passed += passed
                if spent_by_first + cost <= LIMIT:
                    spent_by_first += cost
                    tally.first.append(passed)
                hour.offered += 1
                admission = budget.admit(1.0, rng.random())
                if admission is not None:
                    hour.probabilities.append(admission.probability)
                    tally.scores.append((passed, admission.probability))
                    judges.start(admission, duration, cost)
        note_spending(day, judges, budget, until=DAY - 1, spent_by_first=spent_by_first)
        day.stopped = budget.state().stopped
    return day


def note_spending(day: Day, judges: Judges, budget: Budget, *, until: float, spent_by_first: float) -> None:
    """Note every ten minutes what was spent."""
    while (len(day.spending) + 1) * 600 - 1 <= until:
        moment = (len(day.spending) + 1) * 600 - 1
        judges.run_until(moment)
        spent = budget.spent
        day.spending.append(((moment + 1) / HOUR, spent, spent_by_first))
        hour = day.hours[int(moment // HOUR)]
        hour.spent, hour.spent_by_first = spent, spent_by_first


# What it prints


def report(day: Day) -> str:
    """The day as a table, and what it says of the runs."""
    lines = ['hour   offered  evaluated  probability  spent of 5 USD    first come']
    for number, hour in enumerate(day.hours):
        chances = hour.probabilities
        mean = f'{sum(chances) / len(chances):.3f}' if chances else '-'
        bar = '#' * round(10 * hour.spent / LIMIT)
        lines.append(
            f'{number:02}:00{hour.offered:>9,}{len(chances):>11,}{mean:>13}{hour.spent:>7.2f} {bar:<10}'
            f'{hour.spent_by_first:>10.2f}'
        )
    offered = sum(hour.offered for hour in day.hours)
    evaluated = sum(len(hour.probabilities) for hour in day.hours)
    lines.append(f'day  {offered:>9,}{evaluated:>11,}')
    lines.append(f'offered while nothing could be admitted: {day.stopped} of {offered:,}')
    lines += ['', 'pass rate   all runs   weighted scores    first come']
    for judge, tally in day.tallies.items():
        mean, error = tally.estimate
        lines.append(f'{judge:<12}{tally.truth:>8.3f}{mean:>10.3f} ± {error:.3f}{tally.of_the_first:>14.3f}')
    return '\n'.join(lines)


# What it draws

WIDTH, LEFT, RIGHT = 860, 70, 40
TOP, HEIGHT, GAP = 50, 130, 70
"""Of each of the two panels, one below the other."""
TEAL, GREY, RED = '#00796b', '#78909c', '#c62828'


def draw(day: Day) -> str:
    """The day as a picture: traffic above, spending below."""
    below = TOP + HEIGHT + GAP
    most = max(hour.offered for hour in day.hours)
    step = (WIDTH - LEFT - RIGHT) / 24

    def x(hour: float) -> float:
        return LEFT + hour * step

    def bar(hour: int, number: int, colour: str) -> str:
        # By its root: the busiest hour has many times what the quietest has.
        height = HEIGHT * math.sqrt(number / most)
        top = TOP + HEIGHT - height
        return (
            f'<rect x="{x(hour) + 3:.1f}" y="{top:.1f}" width="{step - 6:.1f}" height="{height:.1f}" fill="{colour}"/>'
        )

    def y(spent: float) -> float:
        return below + HEIGHT * (1 - spent / LIMIT)

    def line(values: list[tuple[float, float]], style: str) -> str:
        points = ' '.join(f'{x(hour):.1f},{y(spent):.1f}' for hour, spent in [(0.0, 0.0), *values])
        return f'<polyline points="{points}" fill="none" stroke-width="2" {style}/>'

    evaluated = sum(len(hour.probabilities) for hour in day.hours)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {below + HEIGHT + 50}" role="img" '
        'aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="13">',
        '<title id="t">A day under a budget</title>',
        f'<desc id="d">Above, evaluations per hour: offered, and the {evaluated:,} that were run. Below, what was '
        'spent: with a budget it grows over the whole day and ends just below the limit; first come, first served, '
        'all of it is gone in the morning.</desc>',
        f'<rect width="{WIDTH}" height="{below + HEIGHT + 50}" rx="8" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="30" fill="#263238">Evaluations per hour, root scale: '
        f'<tspan fill="{GREY}">offered</tspan> and <tspan fill="{TEAL}">run</tspan></text>',
        f'<text x="{LEFT - 8}" y="{TOP + 5}" fill="#607d8b" text-anchor="end">{most:,}</text>',
    ]
    for number, hour in enumerate(day.hours):
        parts += [bar(number, hour.offered, GREY), bar(number, len(hour.probabilities), TEAL)]
    parts += [
        f'<text x="{LEFT}" y="{below - 20}" fill="#263238">Spent since midnight: '
        f'<tspan fill="{TEAL}">with a budget</tspan> and <tspan fill="{RED}">first come, first served</tspan></text>',
        f'<path d="M{LEFT} {y(LIMIT):.1f}H{x(24):.1f}M{LEFT} {y(0):.1f}H{x(24):.1f}" stroke="{GREY}"/>',
        f'<text x="{LEFT - 8}" y="{y(LIMIT) + 5:.1f}" fill="#607d8b" text-anchor="end">{LIMIT:g} USD</text>',
        f'<text x="{LEFT - 8}" y="{y(0) + 5:.1f}" fill="#607d8b" text-anchor="end">0</text>',
        line([(hour, first) for hour, _, first in day.spending], f'stroke="{RED}" stroke-dasharray="6 4"'),
        line([(hour, spent) for hour, spent, _ in day.spending], f'stroke="{TEAL}"'),
    ]
    for number in range(0, 25, 3):
        for bottom in (TOP + HEIGHT, below + HEIGHT):
            parts.append(
                f'<text x="{x(number):.1f}" y="{bottom + 18}" fill="#607d8b" text-anchor="middle">{number:02}:00</text>'
            )
    return '\n'.join([*parts, '</svg>', ''])


def main() -> None:
    parser = argparse.ArgumentParser(description='A day of uneven traffic under a budget.')
    parser.add_argument('--svg', type=Path, metavar='FILE', help='draw the day into this file')
    options = parser.parse_args()
    day = simulate()
    print(report(day))
    if options.svg is not None:
        options.svg.write_text(draw(day), encoding='utf-8')


if __name__ == '__main__':
    main()
