"""An application under uvicorn whose requests are agent runs, evaluated by an evaluator of one second."""

import socket
import sys

import uvicorn
from pydantic_ai import Agent
from recording import CONFIG, MODEL, Slow
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pydantic_ai_assay import OnlineEvaluation, OnlineEvaluator

agent = Agent(
    MODEL,
    name='served',
    capabilities=[
        OnlineEvaluation(evaluators=[OnlineEvaluator(evaluator=Slow(seconds=1.0), max_concurrency=64)], config=CONFIG)
    ],
)


async def ask(request: Request) -> PlainTextResponse:
    result = await agent.run('hi')
    return PlainTextResponse(result.output)


class Announcing(uvicorn.Server):
    """Says when it is ready to answer."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print('serving', flush=True)


app = Starlette(routes=[Route('/', ask)])

if __name__ == '__main__':
    Announcing(uvicorn.Config(app, host='127.0.0.1', port=int(sys.argv[1]), log_level='warning')).run()
