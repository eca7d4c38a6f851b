"""An application whose agent has run before its server forks; each evaluation leaves the process it happened in."""

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_ai import Agent
from recording import MODEL, SCORES, Slow, SlowSync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, OnlineEvaluator, SinkPayload

FILE = os.open(SCORES, os.O_WRONLY | os.O_APPEND)


class AppendingSink:
    """Appends lines that processes do not write into each other's."""

    async def submit(self, payload: SinkPayload) -> None:
        for result in payload.results:
            os.write(FILE, f'{os.getpid()} {payload.run.inputs} {result.name}\n'.encode())


agent = Agent(
    MODEL,
    name='preloaded',
    capabilities=[
        OnlineEvaluation(
            # Far from done when the server is told to end.
            evaluators=[OnlineEvaluator(evaluator=Slow(seconds=0.3), max_concurrency=4), SlowSync()],
            config=OnlineEvalConfig(default_sink=AppendingSink()),
        )
    ],
)
thread = threading.Thread(target=agent.run_sync, args=(f'{os.getpid()}',))
thread.start()
thread.join()


def wsgi(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Answer with what the evaluations of this request are known by."""
    known_by = f'{os.getpid()}{environ["PATH_INFO"]}'
    agent.run_sync(known_by)
    start_response('200 OK', [('content-type', 'text/plain')])
    return [known_by.encode()]


async def ask(request: Request) -> PlainTextResponse:
    """Answer with what the evaluations of this request are known by."""
    known_by = f'{os.getpid()}{request.url.path}'
    await agent.run(known_by)
    return PlainTextResponse(known_by)


asgi = Starlette(routes=[Route('/{number}', ask)])
