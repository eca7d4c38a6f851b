"""A store with runs of two agents, and the command run in this process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RunUsage
from store_samples import START, a_failure, a_result, a_run, an_outcome, keep
from typer.testing import CliRunner, Result

from pydantic_ai_assay import Judgement, Vote
from pydantic_ai_assay.cli.commands import app
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

WINDOW = ('--since', '2026-01-01', '--until', '2026-01-03')
HOSTILE = '\x1b[2J\x1b]0;owned\x07[red]b[/red] :smile: \u202eevil\u2066\nrun   forged\r\x00'
"""What a terminal, rich or a reader would be misled by."""


@pytest.fixture(scope='module')
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f'sqlite:///{tmp_path_factory.mktemp("store") / "assay.db"}'
    fill(url)
    return url


def assay(*arguments: str, store: str, width: int | None = 120, answer: str | None = None) -> Result:
    """Run a command of the application, as if no terminal was there."""
    columns = None if width is None else str(width)
    environment = {'COLUMNS': columns, 'ASSAY_STORE': store, 'NO_COLOR': None, 'FORCE_COLOR': None}
    return CliRunner().invoke(app, list(arguments), env=environment, input=answer)


def printed(*arguments: str, store: str, width: int = 120) -> str:
    """What a command prints that succeeds."""
    result = assay(*arguments, store=store, width=width)
    assert (result.exit_code, result.stderr) == (0, ''), result.output
    return result.stdout


def a_conversation() -> list[ModelMessage]:
    return [
        ModelRequest(parts=[UserPromptPart('Hello?', timestamp=START)], timestamp=START),
        ModelResponse(parts=[TextPart('Good morning.')], timestamp=START),
        ModelRequest(parts=[UserPromptPart('Where is\nmy order?', timestamp=START)], timestamp=START),
        ModelResponse(
            parts=[ThinkingPart('Look it up.'), ToolCallPart('find_order', {'number': 7}, tool_call_id='c1')],
            timestamp=START,
        ),
        ModelRequest(
            parts=[ToolReturnPart('find_order', {'state': 'lost'}, tool_call_id='c1', timestamp=START)],
            timestamp=START,
        ),
        ModelResponse(parts=[TextPart('It is lost.')], timestamp=START),
    ]


def a_judged_run(number: int, passed: bool, **changes: Any) -> tuple[Any, Sequence[Any]]:
    run = a_run(number, started_at=START + timedelta(minutes=number), model_name='gpt-5.2', **changes)
    vote = Vote(
        judge='Polite', value=passed, passed=passed, usage=RunUsage(requests=1, input_tokens=100, cost=Decimal('0.002'))
    )
    polite = an_outcome(
        run, a_result(passed, reason='says please' if passed else 'is rude'), judgement=Judgement(votes=(vote,))
    )
    words = an_outcome(run, a_result(float(number), name='Words'), evaluator='Words', fingerprint='w1', probability=1.0)
    topic = an_outcome(
        run, a_result('refund' if number % 3 else 'other', name='topic'), evaluator='Topic', fingerprint='t1'
    )
    return run, (polite, words, topic)


def fill(url: str) -> None:
    """Keep twelve runs of `support`, and one of `planner` whose evaluation failed."""
    migrate(url)
    store = Store(url)
    keep(store, *(a_judged_run(number, number % 4 != 0) for number in range(1, 13)))
    messages = a_conversation()
    run = a_run(
        20,
        target='planner',
        agent_name='planner',
        agent_path=('desk', 'planner'),
        inputs='Where is\nmy order?',
        output=ValueError('no such order'),
        error=ValueError('no such order'),
        outcome='error',
        messages=tuple(messages),
        new_message_index=2,
        usage=RunUsage(requests=2, input_tokens=300, output_tokens=40, cost=Decimal('0.0125')),
        metadata={'variant': 'short', 'tags': ['vip']},
        conversation_id='talk-1',
    )
    keep(store, (run, [a_failure(run)]))
    store.add_feedback('helpful', False, run_id='run-20', comment='It is not\nlost!', by='Ann', at=START)
    assert store.close()
