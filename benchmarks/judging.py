"""Many judgements over HTTP, and the making of one long prompt."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from pydantic_ai_assay import Judge, JudgeCase, OnlineEvaluator, stats, submit, wait_for_evaluations
from pydantic_ai_assay.judging.prompt import INCLUDES, PromptMaker
from pydantic_ai_assay.judging.scale import make_scale

from .child import ChildError, measure_in_child
from .judge_server import JudgeServer
from .samples import Estimate, difference, ratio_of_pairs
from .table import Row, Target

__all__ = ('measure', 'rows')

SECONDS = 0.2
MAX_CONCURRENCY = 100
MODEL = 'openai-chat:gpt-4o'
QUESTION = 'How many legs does a spider have, and why is that so? Please answer in one sentence, if you can.'
OUTPUT = 'A spider has eight legs, since it is an arachnid.'
TURNS = 20
CALLS_PER_TURN = 4
MEGABYTE = 1_000_000

_Work = Callable[[int], Awaitable[None]]


class Verdict(BaseModel):
    """What a plain agent answers in the place of a judge."""

    reason: str
    passes: bool


def measure(*, judgements: int, warm_up: int, rounds: int) -> dict[str, Any]:
    """Measure in this process."""
    with JudgeServer(SECONDS) as url:
        os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY='key')
        return {**asyncio.run(_measure(judgements, warm_up, rounds)), 'prompt': _time_prompts(20 * rounds)}


async def _measure(judgements: int, warm_up: int, rounds: int) -> dict[str, Any]:
    works = _works()
    rng = random.Random(0)
    names = list(works)
    elapsed: dict[str, list[float]] = {name: [] for name in names}
    used: dict[str, list[float]] = {name: [] for name in names}
    for work in works.values():
        await work(warm_up)
    for _ in range(rounds):
        rng.shuffle(names)
        for name in names:
            gc.collect()
            start, cpu = time.perf_counter(), time.process_time()
            await works[name](judgements)
            used[name].append((time.process_time() - cpu) / judgements)
            elapsed[name].append(time.perf_counter() - start)
    return {'elapsed': elapsed, 'cpu': {name: median(values) for name, values in used.items()}}


def _works() -> dict[str, _Work]:
    """The judgements in the ways that are timed, and the same requests without judging."""
    from openai import AsyncOpenAI

    judge = Judge('It answers the question', model=MODEL)
    evaluator = OnlineEvaluator(evaluator=judge, max_concurrency=MAX_CONCURRENCY)
    agent = Agent(MODEL, output_type=Verdict)
    client = AsyncOpenAI(max_retries=0)

    async def online(count: int) -> None:
        before = _scored()
        for _ in range(count):
            submit(evaluator, inputs=QUESTION, output=OUTPUT, target='benchmark')
        await wait_for_evaluations(timeout=300)
        _check(_scored() - before, count)

    async def judge_many(count: int) -> None:
        cases = [JudgeCase(input=QUESTION, output=OUTPUT)] * count
        report = await judge.judge_many(cases, max_concurrency=MAX_CONCURRENCY, progress=False)
        _check(report.counts.get('scored', 0), count)

    async def agents(_: int) -> None:
        await agent.run(QUESTION, instructions=OUTPUT)

    async def requests(_: int) -> None:
        await client.chat.completions.create(model='gpt-4o', messages=[{'role': 'user', 'content': QUESTION}])

    return {'online': online, 'judge_many': judge_many, 'agents': _at_once(agents), 'client': _at_once(requests)}


def _at_once(call: _Work) -> _Work:
    places = asyncio.Semaphore(MAX_CONCURRENCY)

    async def one(number: int) -> None:
        async with places:
            await call(number)

    async def all_of_them(count: int) -> None:
        await asyncio.gather(*map(one, range(count)))

    return all_of_them


def _scored() -> int:
    return stats().by_status.get('scored', 0)


def _check(scored: int, count: int) -> None:
    if scored != count:
        raise ChildError(f'{scored} of {count} judgements were scored; the times say nothing.')


def _time_prompts(rounds: int) -> list[float]:
    maker = PromptMaker(
        criterion='It answers the question',
        guidelines=(),
        scale=make_scale('binary', threshold=None, labels=None, passing=None),
        examples=(),
        include=INCLUDES,
        limit=20_000,
    )
    messages = _conversation()
    case = JudgeCase(output=OUTPUT, messages=messages, new_message_index=len(messages) // 2)
    samples: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        maker.make(case)
        samples.append(time.perf_counter() - start)
    return samples


def _conversation() -> tuple[ModelMessage, ...]:
    """A conversation of 200 messages, of which 80 are results of tools of 1 MB, texts and structures in turn."""
    text = 'Legs: 8. ' * (MEGABYTE // 9)
    rows = [{'number': number, 'text': 'x' * 80} for number in range(MEGABYTE // 100)]
    messages: list[ModelMessage] = []
    for turn in range(TURNS):
        messages.append(ModelRequest(parts=[UserPromptPart(f'{turn}: {QUESTION}')]))
        for call in range(CALLS_PER_TURN):
            key = f'{turn}.{call}'
            content = text if call % 2 else rows
            messages.append(ModelResponse(parts=[ToolCallPart('look_up', {'key': key}, tool_call_id=key)]))
            messages.append(ModelRequest(parts=[ToolReturnPart('look_up', content, tool_call_id=key)]))
        messages.append(ModelResponse(parts=[TextPart(OUTPUT)]))
    return tuple(messages)


def rows(*, quick: bool) -> list[Row]:
    """The rows of the table."""
    judgements = 200 if quick else 1000
    warm_up, rounds = (20, 1) if quick else (MAX_CONCURRENCY, 3)
    measured = measure_in_child('judging', judgements=judgements, warm_up=warm_up, rounds=rounds)
    ideal = SECONDS * judgements / MAX_CONCURRENCY
    times = {name: ratio_of_pairs(seconds, [ideal] * len(seconds)) for name, seconds in measured['elapsed'].items()}
    cpu = {name: f'{1000 * seconds:.1f} ms of processor time' for name, seconds in measured['cpu'].items()}

    def row(name: str, how: str, remark: str) -> Row:
        return Row(
            measure=f'{judgements:,} judgements over HTTP of {SECONDS:g} s, {MAX_CONCURRENCY} at a time, {how}: time over '
            f'the ideal {ideal:g} s',
            ours=times[name].value,
            upstream=None,
            unit='×',
            interval=times[name],
            target=Target(of='ours', must=1.3),
            remark=f'{cpu[name]} each{remark}',
        )

    without = '; without judging, {}: {:.2f} ×, {} each'
    compared = [
        without.format(what, times[name].value, cpu[name])
        for name, what in (('agents', 'runs of a plain agent'), ('client', 'requests of the client'))
    ]
    prompt = measured['prompt']
    return [
        row('online', 'online', ''.join(compared)),
        row('judge_many', '`judge_many`', ''),
        _prompt_row(difference([1000 * seconds for seconds in prompt], [0.0] * len(prompt))),
    ]


def _prompt_row(estimate: Estimate) -> Row:
    return Row(
        measure='a judge’s prompt of a conversation of 200 messages with results of tools of 1 MB',
        ours=estimate.value,
        upstream=None,
        unit='ms',
        interval=estimate,
        target=Target(of='ours', must=5),
    )
