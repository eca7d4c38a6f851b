"""What weighted estimates and their intervals are worth: `python examples/interval_coverage.py`. Offline; a few seconds.

An agent passes 42 % of its runs: half of the short ones, and 18 % of the long ones, which are a quarter. Windows of 400
runs are drawn and sampled in several ways, and for each way it is counted how often the interval at 95 % contains 42 %,
which is the rate of the agent and not that of the window.

With `--svg FILE`, it draws some of the windows and the counts as well.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic_ai_assay.analysis import Estimate, Moments, estimate_rate

SEED = 1
WINDOWS = 1_000
RUNS = 400
LONG = 0.25
"""The share of long runs."""
PASS = {True: 0.18, False: 0.5}
"""How often long runs pass, and short ones."""
TRUTH = LONG * PASS[True] + (1 - LONG) * PASS[False]

DESIGNS: dict[str, Callable[[bool], float]] = {
    'every run': lambda is_long: 1.0,
    'one in four': lambda is_long: 0.25,
    'one in twenty': lambda is_long: 0.05,
    'long runs always, others one in ten': lambda is_long: 1.0 if is_long else 0.1,
}
MIX = 'long runs always, others one in ten'


@dataclass(kw_only=True, frozen=True)
class Window:
    """What is known of one window of runs."""

    weighted: Estimate
    unweighted: Estimate

    def holds(self, estimate: Estimate) -> bool:
        """Whether an interval contains the rate of the agent."""
        return estimate.interval is not None and TRUTH in estimate.interval


def window(source: random.Random, probability_of: Callable[[bool], float]) -> Window:
    """Draw a window of runs, and judge a sample of it."""
    scores: list[tuple[bool, float]] = []
    for _ in range(RUNS):
        is_long = source.random() < LONG
        passes = source.random() < PASS[is_long]
        probability = probability_of(is_long)
        if source.random() < probability:
            scores.append((passes, probability))
    values = [passes for passes, _ in scores]
    return Window(
        weighted=estimate_rate(Moments.of(values, [probability for _, probability in scores])),
        unweighted=estimate_rate(Moments.of(values)),
    )


def simulate(seed: int = SEED) -> dict[str, list[Window]]:
    """Draw the windows of each design."""
    return {
        name: [window(source, probability_of) for _ in range(WINDOWS)]
        for name, probability_of in DESIGNS.items()
        for source in [random.Random(f'{seed} {name}')]
    }


@dataclass(kw_only=True, frozen=True)
class Count:
    """What was counted over the windows of a design."""

    held: float
    """The share of intervals that contain the rate of the agent."""
    mean: float
    """The mean of the estimates."""


def count(windows: Sequence[Window], estimate_of: Callable[[Window], Estimate]) -> Count:
    """Count what became of the estimates."""
    held = sum(each.holds(estimate_of(each)) for each in windows)
    mean = sum(estimate_of(each).value or 0.0 for each in windows) / len(windows)
    return Count(held=held / len(windows), mean=mean)


def counts(drawn: dict[str, list[Window]]) -> dict[str, tuple[Count, Count]]:
    """For each design what was counted with weights, and without."""
    return {
        name: (count(windows, lambda each: each.weighted), count(windows, lambda each: each.unweighted))
        for name, windows in drawn.items()
    }


# What it prints


def report(found: dict[str, tuple[Count, Count]]) -> str:
    """The counts as a table."""
    lines = [f'{"judged":<37}{"weighted":>9}{"holds":>8}{"unweighted":>13}{"holds":>8}']
    for name, (weighted, unweighted) in found.items():
        lines.append(
            f'{name:<37}{weighted.mean:>9.3f}{weighted.held:>8.1%}{unweighted.mean:>13.3f}{unweighted.held:>8.1%}'
        )
    return '\n'.join(lines)


# What it draws

WIDTH, LEFT, RIGHT = 860, 70, 40
TOP, HEIGHT, GAP = 50, 190, 70
SHOWN = 60
"""How many windows are drawn."""
LEAST, MOST = 0.1, 0.8
"""The ends of the scale of rates."""
TEAL, GREY, RED = '#00796b', '#78909c', '#c62828'
DARK, PALE = '#263238', '#607d8b'
BAR = 26
"""The height of the two bars of a design, with what is between them and the next."""


def draw(drawn: dict[str, list[Window]], found: dict[str, tuple[Count, Count]]) -> str:
    """Windows of the mix above, and the counts of all designs below."""
    below = TOP + HEIGHT + GAP
    bottom = below + 2 * BAR * len(found)
    windows = drawn[MIX][:SHOWN]
    missed = sum(not each.holds(each.weighted) for each in windows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 20}" role="img" '
        'aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="13">',
        '<title id="t">How often intervals hold</title>',
        f'<desc id="d">Above, {SHOWN} windows: {SHOWN - missed} of the weighted intervals contain the rate of the agent, '
        'while most of the rates without weights lie below it. Below, for each way of sampling the share of intervals that '
        'contain it: with weights about 95 in 100 everywhere, without them far fewer where the sampling depends on '
        'the run.</desc>',
        f'<rect width="{WIDTH}" height="{bottom + 20}" rx="8" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="30" fill="{DARK}">{SHOWN} windows, {MIX}: '
        f'<tspan fill="{TEAL}">weighted, with its interval</tspan> '
        f'(<tspan fill="{RED}">misses</tspan>) and <tspan fill="{GREY}">unweighted</tspan></text>',
        *_windows(windows),
        f'<text x="{LEFT}" y="{below - 20}" fill="{DARK}">Intervals that contain the rate of the agent, of '
        f'{WINDOWS:,}: <tspan fill="{TEAL}">weighted</tspan> and <tspan fill="{GREY}">unweighted</tspan></text>',
        *_bars(found, below),
    ]
    return '\n'.join([*parts, '</svg>', ''])


def _windows(windows: Sequence[Window]) -> list[str]:
    step = (WIDTH - LEFT - RIGHT) / SHOWN

    def y(rate: float) -> float:
        return TOP + HEIGHT * (MOST - min(MOST, max(LEAST, rate))) / (MOST - LEAST)

    parts: list[str] = []
    for rate in (LEAST, TRUTH, MOST):
        style = f'stroke="{DARK}" stroke-dasharray="6 4"' if rate == TRUTH else 'stroke="#cfd8dc"'
        parts += [
            f'<path d="M{LEFT} {y(rate):.1f}H{WIDTH - RIGHT}" {style}/>',
            f'<text x="{LEFT - 8}" y="{y(rate) + 5:.1f}" fill="{PALE}" text-anchor="end">{rate:.2f}</text>',
        ]
    for number, each in enumerate(windows):
        x = LEFT + (number + 0.5) * step
        interval = each.weighted.interval
        assert interval is not None and each.weighted.value is not None and each.unweighted.value is not None
        colour = TEAL if each.holds(each.weighted) else RED
        parts += [
            f'<path d="M{x:.1f} {y(interval.lower):.1f}V{y(interval.upper):.1f}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{x:.1f}" cy="{y(each.weighted.value):.1f}" r="3.5" fill="{colour}"/>',
            f'<circle cx="{x + step / 3:.1f}" cy="{y(each.unweighted.value):.1f}" r="2.5" fill="{GREY}"/>',
        ]
    return parts


def _bars(found: dict[str, tuple[Count, Count]], top: float) -> list[str]:
    start = LEFT + 240
    scale = WIDTH - RIGHT - 60 - start
    end = top + 2 * BAR * len(found) - 10
    parts = [
        f'<path d="M{start + 0.95 * scale:.1f} {top - 8}V{end}" stroke="{DARK}" stroke-dasharray="6 4"/>',
        f'<text x="{start + 0.95 * scale:.1f}" y="{end + 18}" fill="{PALE}" text-anchor="middle">95 %</text>',
    ]
    for number, (name, (weighted, unweighted)) in enumerate(found.items()):
        y = top + 2 * BAR * number
        parts.append(f'<text x="{start - 12}" y="{y + 22}" fill="{DARK}" text-anchor="end">{name}</text>')
        for place, (each, colour) in enumerate(((weighted, TEAL), (unweighted, GREY))):
            bar = y + place * 18
            parts += [
                f'<rect x="{start}" y="{bar}" width="{each.held * scale:.1f}" height="15" fill="{colour}"/>',
                f'<text x="{WIDTH - RIGHT}" y="{bar + 12}" fill="{colour}" text-anchor="end">{each.held:.1%}</text>',
            ]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description='What weighted estimates and their intervals are worth.')
    parser.add_argument('--svg', type=Path, metavar='FILE', help='draw windows and counts into this file')
    options = parser.parse_args()
    drawn = simulate()
    found = counts(drawn)
    print(report(found))
    if options.svg is not None:
        options.svg.write_text(draw(drawn, found), encoding='utf-8')


if __name__ == '__main__':
    main()
