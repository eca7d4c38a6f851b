"""A workflow of DBOS that runs an agent; it stops and waits to be killed, or recovers what an earlier process left.

Arguments: the database, `start` or `recover`, and where to stop: `in the run`, `after the run`, `in the evaluation`,
`before the sink`, `after the sink`, `in the workflow`, `nowhere`, `nowhere, synchronously`, `nowhere, captured` as in a
test, `nowhere, and does not wait` for evaluations, or `nowhere, and has no time` for them in the end.
"""

import asyncio
import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbos import DBOS
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, WrapRunHandler
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import RunContext
from pydantic_evals.evaluators import Evaluator, EvaluatorContext
from sqlalchemy import Engine, create_engine, event

from pydantic_ai_assay import (
    EvaluationOutcome,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    SinkPayload,
    run_of,
)
from pydantic_ai_assay.execution.attached import attach
from pydantic_ai_assay.testing import capture_evaluations

DATABASE, ACTION, STOP = sys.argv[1:]
SCORES, ATTEMPTS = Path(os.environ['SCORES']), Path(os.environ['SCORES'] + '.attempts')


def note(path: Path, line: str) -> None:
    with path.open('a') as file:
        file.write(line + '\n')


async def stop(where: str) -> None:
    if ACTION == 'start' and where == STOP:
        print('stopped', flush=True)
        await asyncio.Event().wait()


@dataclass
class Answer:
    text: str


@dataclass
class Quick(Evaluator[Any, Any, Any]):
    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        note(ATTEMPTS, 'Quick')
        return ctx.output == Answer('42') and run_of(ctx).tools_called == ('look_up', 'final_result')


@dataclass
class Careful(Evaluator[Any, Any, Any]):
    async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> str:
        note(ATTEMPTS, 'Careful')
        if STOP == 'nowhere, and does not wait':
            await asyncio.sleep(0.5)
        if STOP in ('in the evaluation', 'before the sink', 'after the sink') and ACTION == 'start':
            quick = f'assay:{run_of(ctx).run_id}:{KEYS[0]}'
            while (known := await DBOS.get_workflow_status_async(quick)) is None or known.status != 'SUCCESS':
                await asyncio.sleep(0.01)
        await stop('in the evaluation')
        await stop('nowhere, and has no time')
        assert ctx.duration >= 0
        if STOP != 'nowhere, synchronously':
            assert 'callback' in (run_of(ctx).metadata or {})
        return 'with deps' if run_of(ctx).deps is not None else 'without deps'


class FileSink:
    async def submit(self, payload: SinkPayload) -> None:
        for outcome in payload.outcomes:
            if outcome.evaluator == 'Careful':
                await stop('before the sink')
            values = ' '.join(str(result.value) for result in outcome.results)
            note(SCORES, f'{outcome.run_id} {outcome.evaluator} {outcome.status} {values}')
            store_once(outcome)
            if outcome.evaluator == 'Careful':
                await stop('after the sink')


def store_once(outcome: EvaluationOutcome) -> None:
    """What a sink does with what may come twice."""
    with closing(sqlite3.connect(f'{SCORES}.sqlite')) as connection, connection:
        connection.execute(
            'CREATE TABLE IF NOT EXISTS scores'
            ' (run_id TEXT, evaluator TEXT, fingerprint TEXT, PRIMARY KEY (run_id, evaluator, fingerprint))'
        )
        connection.execute(
            'INSERT INTO scores VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
            (outcome.run_id, outcome.evaluator, outcome.fingerprint),
        )


class StopsAfterTheRun(AbstractCapability[str]):
    async def wrap_run(self, ctx: RunContext[str], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        result = await handler()
        await stop('after the run')
        return result


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    note(ATTEMPTS, 'model')
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[ToolCallPart('final_result', {'text': str(last.content)})])
    return ModelResponse(parts=[ToolCallPart('look_up', {})])


config = OnlineEvalConfig(default_sink=FileSink())
if STOP == 'nowhere, and has no time':
    config.shutdown_timeout = 0.0
EVALUATORS = [OnlineEvaluator(evaluator=each) for each in (Quick(), Careful())]
evaluation = OnlineEvaluation(id='quality', evaluators=EVALUATORS, config=config)
KEYS = [attach(each).key for each in EVALUATORS]
agent = Agent(
    FunctionModel(answer),
    name='support',
    output_type=Answer,
    deps_type=str,
    capabilities=[DBOSDurability(), evaluation, StopsAfterTheRun()],
)


@agent.tool_plain
async def look_up() -> str:
    await stop('in the run')
    return '42'


@DBOS.workflow()
async def support(question: str) -> str:
    # Neither it nor what it is in can be pickled.
    result = await agent.run(question, deps='the deps', metadata={'callback': lambda: None})
    if STOP == 'in the workflow' and ACTION == 'start':
        while len(SCORES.read_text().splitlines()) < 2:
            await asyncio.sleep(0.01)
        for key in KEYS:
            await (await DBOS.retrieve_workflow_async(f'assay:{result.run_id}:{key}')).get_result(
                polling_interval_sec=0.05
            )
        await stop('in the workflow')
    return result.output.text


@DBOS.workflow()
def support_synchronously(question: str) -> str:
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        return agent.run_sync(question, deps='the deps').output.text


def engine() -> Engine:
    """An engine with which DBOS works on every SQLite: older ones than 3.42 do not know `unixepoch('subsec')`."""
    made = create_engine(f'sqlite:///{DATABASE}')

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.execute('PRAGMA journal_mode=WAL')
        connection.execute('PRAGMA busy_timeout=30000')
        # What is lost then is lost with the power, not with the process.
        connection.execute('PRAGMA synchronous=OFF')
        if sqlite3.sqlite_version_info < (3, 42):
            connection.create_function('unixepoch', -1, lambda *_: time.time())

    event.listen(made, 'connect', prepare)
    return made


async def run_captured() -> str:
    async with capture_evaluations(call_sinks=False) as captured:
        handle = await DBOS.start_workflow_async(support, 'What is the answer?')
        text = await handle.get_result()
    assert captured.statuses == {'Quick': 'scored', 'Careful': 'scored'}
    assert captured.run.deps == 'the deps'
    return text


async def main() -> None:
    DBOS(
        config={
            'name': 'support',
            'system_database_url': f'sqlite:///{DATABASE}',
            'system_database_engine': engine(),
            'application_version': '1',
            'log_level': 'ERROR',
        }
    )
    DBOS.launch()
    if ACTION == 'start':
        if STOP == 'nowhere, synchronously':
            text = await asyncio.to_thread(support_synchronously, 'What is the answer?')
            assert text == '42'
        elif STOP == 'nowhere, captured':
            assert await run_captured() == '42'
        else:
            handle = await DBOS.start_workflow_async(support, 'What is the answer?')
            assert await handle.get_result() == '42'
        if STOP in ('nowhere, and does not wait', 'nowhere, and has no time'):
            while len(SCORES.read_text().splitlines()) < 1 or 'Careful' not in ATTEMPTS.read_text():
                await asyncio.sleep(0.01)
            return
    while pending := await DBOS.list_workflows_async(status=['PENDING', 'ENQUEUED']):
        for each in pending:
            await (await DBOS.retrieve_workflow_async(each.workflow_id)).get_result(polling_interval_sec=0.05)
    workflows = await DBOS.list_workflows_async()
    print(json.dumps(sorted((each.name, each.status, str(each.output)) for each in workflows)))
    DBOS.destroy()


if __name__ == '__main__':
    asyncio.run(main())
