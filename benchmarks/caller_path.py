"""What is added to `await agent.run(...)`, over the same agent with a no-op capability."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Agent

from .child import measure_in_child
from .packages import OURS, UPSTREAM, NoOp, Package, Settling, Trivial, configure_logfire, make_agent
from .samples import Estimate, difference, ratio_of_differences
from .table import Row, Target

__all__ = ('Subject', 'measure', 'rows', 'time_runs')

WARM_UP = 30
ROUNDS_BETWEEN_COLLECTIONS = 20
MANY = 20


@dataclass(kw_only=True, frozen=True)
class Subject:
    """An agent that is timed."""

    agent: Agent[None, str]
    package: Package | None = None


def measure(*, logfire: bool, rounds: int, unsampled_rounds: int) -> dict[str, Any]:
    """Measure in this process."""
    if logfire:
        configure_logfire()
    return asyncio.run(_measure(rounds, unsampled_rounds))


async def _measure(rounds: int, unsampled_rounds: int) -> dict[str, Any]:
    sampled = await time_runs(
        {
            'no-op': Subject(agent=make_agent(NoOp())),
            # The same once more: what is measured between the two is noise.
            'no-op again': Subject(agent=make_agent(NoOp())),
            **{
                f'{package.name} {count}': Subject(
                    agent=make_agent(package.attach([Trivial(index=i) for i in range(count)])), package=package
                )
                for package in (OURS, UPSTREAM)
                for count in (1, MANY)
            },
        },
        rounds,
    )
    unsampled = await time_runs(
        {
            'no-op': Subject(agent=make_agent(NoOp())),
            'no-op again': Subject(agent=make_agent(NoOp())),
            'ours': Subject(agent=make_agent(OURS.attach([Trivial()], sample_rate=0.0))),
            'upstream': Subject(agent=make_agent(UPSTREAM.attach([Trivial()], sample_rate=0.0))),
        },
        unsampled_rounds,
    )
    base = sampled['no-op']
    estimates = {name: difference(samples, base) for name, samples in sampled.items() if name != 'no-op'}
    estimates['ours to upstream'] = ratio_of_differences(sampled['ours 1'], sampled['upstream 1'], base)
    estimates['ours many to one'] = ratio_of_differences(sampled[f'ours {MANY}'], sampled['ours 1'], base)
    estimates['upstream many to one'] = ratio_of_differences(sampled[f'upstream {MANY}'], sampled['upstream 1'], base)
    for name in ('ours', 'upstream', 'no-op again'):
        estimates[f'unsampled {name}'] = difference(unsampled[name], unsampled['no-op'])
    return {name: estimate.as_json() for name, estimate in estimates.items()}


async def time_runs(subjects: dict[str, Subject], rounds: int) -> dict[str, list[float]]:
    """Time one run of each subject per round, in microseconds, in an order drawn anew each round."""
    rng = random.Random(0)
    order = list(subjects)
    settling = Subject(agent=make_agent(Settling()))
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(WARM_UP):
        for subject in subjects.values():
            await _time_run(subject)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number in range(rounds):
            if number % ROUNDS_BETWEEN_COLLECTIONS == 0:
                gc.collect()
            rng.shuffle(order)
            for name in order:
                # What the subject before has left in the processor's caches must not depend on the subject.
                await _time_run(settling)
                samples[name].append(await _time_run(subjects[name]))
    finally:
        gc.enable()
        gc.unfreeze()
    return samples


async def _time_run(subject: Subject) -> float:
    start = time.perf_counter_ns()
    await subject.agent.run('How are you?')
    elapsed = time.perf_counter_ns() - start
    if subject.package is not None:
        await subject.package.wait_for_evaluations(timeout=30)
    return elapsed / 1000


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    measured = {
        where: {
            name: Estimate(**estimate)
            for name, estimate in measure_in_child(
                'caller_path',
                logfire=where == 'with Logfire',
                rounds=60 if quick else 600,
                unsampled_rounds=200 if quick else 1500,
            ).items()
        }
        for where in ('without Logfire', 'with Logfire')
    }
    return [
        *(_sampled_row(where, estimates) for where, estimates in measured.items()),
        *(_unsampled_row(where, estimates) for where, estimates in measured.items()),
        *(_many_row(where, estimates) for where, estimates in measured.items()),
    ]


def _sampled_row(where: str, estimates: dict[str, Estimate]) -> Row:
    return Row(
        measure=f'added to a sampled run on the caller’s path, {where}',
        ours=estimates['ours 1'].value,
        upstream=estimates['upstream 1'].value,
        unit='µs',
        ratio=estimates['ours to upstream'].value,
        interval=estimates['ours to upstream'],
        target=Target(of='ratio', must=0.5, aim=0.25),
        remark=f'two equal no-ops differ by {abs(estimates["no-op again"].value):.1f} µs',
    )


def _unsampled_row(where: str, estimates: dict[str, Estimate]) -> Row:
    return Row(
        measure=f'added to a run where nothing is sampled, {where}',
        ours=estimates['unsampled ours'].value,
        upstream=estimates['unsampled upstream'].value,
        unit='µs',
        interval=estimates['unsampled ours'],
        target=Target(of='ours', must=15, aim=5),
        remark=f'two equal no-ops differ by {abs(estimates["unsampled no-op again"].value):.1f} µs',
    )


def _many_row(where: str, estimates: dict[str, Estimate]) -> Row:
    return Row(
        measure=f'{MANY} evaluators over 1 evaluator, added on the caller’s path, {where}',
        ours=estimates['ours many to one'].value,
        upstream=estimates['upstream many to one'].value,
        unit='×',
        interval=estimates['ours many to one'],
        target=Target(of='ours', must=1.5, aim=1.1),
        remark=f'{estimates[f"ours {MANY}"].value:.0f} µs over {estimates["ours 1"].value:.0f} µs; '
        f'upstream {estimates[f"upstream {MANY}"].value:.0f} µs over {estimates["upstream 1"].value:.0f} µs',
    )
