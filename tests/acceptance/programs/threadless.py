"""A program in which no thread can be started once the main thread has ended, as with Python 3.12.0 and 3.12.1."""

import threading

from pydantic_ai import Agent
from recording import CONFIG, MODEL, Slow, SlowSync

from pydantic_ai_assay import OnlineEvaluation
from pydantic_ai_assay.execution import background

agent = Agent(MODEL, name='ending', capabilities=[OnlineEvaluation(evaluators=[Slow(), SlowSync()], config=CONFIG)])


def refuse() -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    threading.Thread.start = start


background.THREADS_END_EARLY = True
agent.run_sync('hi')
# What is registered last is called first.
getattr(threading, '_register_atexit')(refuse)
