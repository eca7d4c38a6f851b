"""A program whose sink never ends. It ends all the same, and says what it left."""

import asyncio
import sys
import threading
from typing import Any

from pydantic_ai import Agent
from recording import MODEL, SlowSync

from pydantic_ai_assay import OnlineEvalConfig, OnlineEvaluation, SinkPayload


class Hanging:
    async def submit(self, payload: SinkPayload) -> None:
        await asyncio.Event().wait()


def hang(*_: Any) -> None:
    threading.Event().wait()


sink: Any = {'sink': Hanging(), 'callback': hang}[sys.argv[1]]
config = OnlineEvalConfig(default_sink=sink, shutdown_timeout=0.5)
agent = Agent(MODEL, name='undelivered', capabilities=[OnlineEvaluation(evaluators=[SlowSync()], config=config)])
agent.run_sync('hi')
