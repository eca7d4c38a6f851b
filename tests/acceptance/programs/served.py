"""An application under uvicorn, with a lifespan, that is told to end while its clients go on asking."""

import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import uvicorn
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor
from pydantic_ai import Agent
from recording import CONFIG, MODEL, SCORES, Slow, SlowSync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, assay_lifespan

how, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
timeout = float(sys.argv[4]) if len(sys.argv) > 4 else None


class ToFile(LogRecordExporter):
    """Exports the events of scores as soon as they are emitted."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        with SCORES.open('a') as file:
            for record in batch:
                attributes = record.log_record.attributes or {}
                if attributes['assay.status'] == 'scored':
                    file.write(f'{attributes["assay.run_id"]} {attributes["gen_ai.evaluation.name"]} True\n')
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


config = CONFIG
if 'events' in how:
    # A sink is handed a run when all of its evaluations have ended; an event tells of each one at once.
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(ToFile()))
    set_logger_provider(provider)
    config = OnlineEvalConfig()

agent = Agent(
    MODEL,
    name='served',
    capabilities=[
        OnlineEvaluation(
            evaluators=[OnlineEvaluator(evaluator=Slow(seconds=seconds), max_concurrency=1_000), SlowSync()],
            config=config,
        )
    ],
)


async def ask(request: Request) -> PlainTextResponse:
    return PlainTextResponse((await agent.run('hi')).run_id)


def ask_in_thread(request: Request) -> PlainTextResponse:
    """Starlette calls it in a thread, so the main thread never runs an agent."""
    return PlainTextResponse(agent.run_sync('hi').run_id)


def say_when_waiting(handler: object) -> None:
    """Say when the lifespan listens for Ctrl-C in the server's place."""
    pause = threading.Event()
    while signal.getsignal(signal.SIGINT) == handler:
        pause.wait(0.001)
    print('waiting', flush=True)


class Announcing(uvicorn.Server):
    """Says when it is ready to answer, and when it waits for what is pending."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        threading.Thread(target=say_when_waiting, args=(self.handle_exit,), daemon=True).start()
        print('serving', flush=True)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """A lifespan as applications have them; it closes what it has opened only after the evaluations."""
    async with assay_lifespan(timeout=timeout):
        yield
    print('closed', flush=True)


app = Starlette(
    routes=[Route('/', ask_in_thread if 'in threads' in how else ask)],
    lifespan=assay_lifespan if timeout is None else lifespan,
)

if __name__ == '__main__':
    Announcing(uvicorn.Config(app, host='127.0.0.1', port=port, log_level='warning', lifespan='on')).run()
