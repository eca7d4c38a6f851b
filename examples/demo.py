"""What online evaluation looks like, in a few seconds, without a network or a key.

    python examples/demo.py

A support agent answers eight customers. Its model is a function, and so is the judge's; everything else is what would
run in production. Results are printed when they arrive, which is after the customer has been answered. They are also
kept in `assay-demo.db`, in the current folder, from which the `assay` command then makes a report.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    EvaluationSink,
    EvaluationStatus,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunRecord,
    SinkPayload,
    stats,
    wait_for_evaluations,
)
from pydantic_ai_assay.cli.commands import app
from pydantic_ai_assay.store.store import Store

DATABASE = Path('assay-demo.db')
URL = f'sqlite:///{DATABASE}'
SLOW = 0.8
"""Seconds after which a run counts as slow."""
QUESTIONS = (
    'Where is my order 1001?',
    'Can I return a pair of shoes?',
    'My parcel arrived broken!',
    'Where is my order 1002?',
    'Which invoices of 2024 are open?',
    'Where is my order 1404?',
    'Do you ship to Iceland?',
    'How do I change my address?',
)
ANSWERS = {
    'return': 'Yes, gladly: within 30 days, and the label is free.',
    'broken': 'Read the terms and conditions.',
    'invoices': 'Those of March and of June. Would you like to see them?',
    'Iceland': 'We do, in about five days. Thank you for asking!',
    'address': 'Please open your profile and choose "Addresses".',
}


# The agent


async def answer(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Stand in for a model: look an order up, or answer from the list."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        await asyncio.sleep(0.1)
        return ModelResponse(parts=[TextPart(f'Thank you for your patience: your order {last.content}.')])
    assert isinstance(last, UserPromptPart)
    question = str(last.content)
    await asyncio.sleep(1.1 if 'invoices' in question else 0.2)
    order = re.search(r'order (\d+)', question)
    if order is not None:
        return ModelResponse(parts=[ToolCallPart('find_order', {'number': int(order[1])})])
    return ModelResponse(parts=[TextPart(next(text for word, text in ANSWERS.items() if word in question))])


def find_order(number: int) -> str:
    """Say where an order is."""
    if number == 1404:
        raise ConnectionError('the order database does not answer')
    return f'{number} arrives tomorrow'


# The evaluators


@dataclass
class Words(Evaluator[Any, Any, Any]):
    """How long the answer is."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> int:
        return len(str(ctx.output).split())


@dataclass
class Polite(Evaluator[Any, Any, Any]):
    """Stands in for a judge that asks a model, which takes its time and gives a reason."""

    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluationReason:
        await asyncio.sleep(0.3)
        kind_words = re.findall(r'thank you|please|gladly|would you like', str(ctx.output), re.IGNORECASE)
        if not kind_words:
            return EvaluationReason(value=False, reason='sends the customer away without a kind word')
        return EvaluationReason(value=True, reason=f'says {kind_words[0].lower()!r}')


@dataclass
class Ending(Evaluator[Any, Any, Any]):
    """How the answer ends."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> str:
        return 'question' if str(ctx.output).endswith('?') else 'statement'


@dataclass
class Trouble(Evaluator[Any, Any, Any]):
    """Says what is wrong with a run that was slow or failed."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluationReason:
        if isinstance(ctx.output, Exception):
            return EvaluationReason(value='error', reason=f'{type(ctx.output).__name__}: {ctx.output}')
        return EvaluationReason(value='slow', reason=f'took {ctx.duration:.1f} s')


def is_slow_or_failed(run: RunRecord) -> bool:
    return run.duration > SLOW or run.error is not None


# The terminal


class Terminal(EvaluationSink):
    """Prints results as they come, in colour where that is wanted."""

    def __init__(self) -> None:
        self._has_colours = sys.stdout.isatty() and 'NO_COLOR' not in os.environ

    async def submit(self, payload: SinkPayload) -> None:
        for outcome in payload.outcomes:
            for result in outcome.results:
                verdict = (
                    {True: 'pass', False: 'FAIL'}[result.value] if isinstance(result.value, bool) else result.value
                )
                self.line(outcome.run_id, result.name, str(verdict), result.reason or '')

    def line(self, run_id: str, name: str, verdict: str, text: str) -> None:
        """Print one line."""
        colour = {'answered': '2', 'pass': '32', 'FAIL': '31', 'raised': '31', 'error': '31', 'slow': '33'}.get(verdict)
        cell = f'{verdict:<10}'
        if self._has_colours and colour is not None:
            cell = f'\x1b[{colour}m{cell}\x1b[0m'
        print(f'{run_id:<8}{name:<10}{cell}{text}'.rstrip(), flush=True)


def print_summary(columns: Sequence[EvaluationStatus]) -> None:
    """Print what has become of all evaluations."""
    summary = stats()
    print()
    print(f'{"evaluations":<18}' + ''.join(f'{column:>13}' for column in columns))
    for name, counts in sorted(summary.by_evaluator.items()):
        print(f'  {name:<16}' + ''.join(f'{counts.get(column, 0):>13}' for column in columns))
    print(f'  {"all":<16}' + ''.join(f'{summary.by_status.get(column, 0):>13}' for column in columns))


async def answer_customers(store: Store) -> None:
    """Answer all customers, and wait until every answer is judged."""
    terminal = Terminal()
    agent = Agent(
        FunctionModel(answer),
        name='support',
        tools=[find_order],
        capabilities=[
            OnlineEvaluation(
                evaluators=[
                    Words(),
                    Polite(),
                    OnlineEvaluator(evaluator=Ending(), sample_rate=0.5),
                    OnlineEvaluator(evaluator=Trouble(), when=is_slow_or_failed, run_on=('success', 'error')),
                ],
                config=OnlineEvalConfig(default_sink=terminal, store=store),
            )
        ],
    )
    for number, question in enumerate(QUESTIONS, start=1):
        # The draw of a sample is a hash of the run's id, so ids of our own make every demo choose the same runs.
        run_id = f'run-{number}'
        try:
            result = await agent.run(question, run_id=run_id)
        except ConnectionError as error:
            terminal.line(run_id, 'agent', 'raised', f'{question} - {error}')
        else:
            terminal.line(run_id, 'agent', 'answered', f'{question} - {result.output}')
    await wait_for_evaluations()
    print_summary(['scored', 'sampled_out', 'skipped', 'failed', 'dropped'])


def assay(*arguments: str) -> None:
    """Run a command of `assay` as a shell would."""
    print(f'\n$ assay {" ".join(arguments)} --store {URL}\n', flush=True)
    app([*arguments, '--store', URL], standalone_mode=False)


def main() -> None:
    for left_over in DATABASE.parent.glob(f'{DATABASE.name}*'):
        left_over.unlink()
    store = Store(URL)
    print('An agent answers eight customers. Each answer is judged once it is given, while the next one is made:\n')
    asyncio.run(answer_customers(store))
    store.close()
    assay('report')
    assay('show', 'run-3')
    print_next_steps()


def print_next_steps() -> None:
    """Print what to type next."""
    # In a checkout, the command is only where `make` has put it.
    command = 'assay' if shutil.which('assay') else os.path.relpath(Path(sys.executable).with_name('assay'))
    print('\nTo go on:')
    print(f'  {command} runs --failed --store {URL}')
    print(f'  {command} show run-6 --store {URL}')
    print('  docs/quickstart.md, for evaluators on an agent of your own')
    print("With a real model: set OPENAI_API_KEY, and give Agent the model 'openai:gpt-5.2'.")
    print('In Logfire, under Live Evaluations: begin with logfire.configure() and logfire.instrument_pydantic_ai().')


if __name__ == '__main__':
    main()
