"""Which clocks, random numbers, tasks and threads our own code asks for in the code of a workflow, that is, outside steps.

Run in a workflow of DBOS, and then, to see that they are noticed, outside of one.
"""

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from dbos import DBOS
from durable_workflow import agent, main

import pydantic_ai_assay

PACKAGE = str(Path(pydantic_ai_assay.__file__).parent)
STANDARD_LIBRARY = str(Path(asyncio.__file__).parents[1])
EXECUTOR = {'background.py', 'lanes.py', 'turns.py', 'workers.py'}
"""Here are our tasks and threads made."""
IMPURE = {
    'time', 'monotonic', 'perf_counter', 'time_ns', 'monotonic_ns', 'perf_counter_ns', 'process_time', 'sleep',
    'now', 'utcnow', 'today', 'urandom', 'getrandbits', 'random', 'uuid1', 'uuid4', 'uuid7',
    'create_task', 'ensure_future', 'gather', 'call_later', 'call_at', 'to_thread', 'run_in_executor',
    'start_new_thread', 'start_joinable_thread',
}  # fmt: skip
seen: dict[bool, set[str]] = {True: set(), False: set()}
is_in_workflow = True


def is_ours(frame: FrameType | None) -> bool:
    """Whether the code that asks, the standard library left out, is ours."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE):
            return True
        if 'site-packages' in file or not (file.startswith((STANDARD_LIBRARY, '<'))):
            return False
        frame = frame.f_back
    return False


def profile(frame: FrameType, event: str, argument: Any) -> None:
    if is_in_workflow and (DBOS.workflow_id is None or DBOS.step_id is not None):
        return
    code = frame.f_code
    if event == 'c_call' and argument.__name__ in IMPURE and is_ours(frame):
        seen[is_in_workflow].add(argument.__name__)
    elif event == 'call' and code.co_name in IMPURE and is_ours(frame.f_back):
        seen[is_in_workflow].add(code.co_name)
    elif event == 'call' and code.co_filename.startswith(PACKAGE) and Path(code.co_filename).name in EXECUTOR:
        seen[is_in_workflow].add(f'{Path(code.co_filename).name}:{code.co_name}')
    elif event == 'call' and code.co_filename.startswith(PACKAGE) and code.co_name == '_run_durably':
        seen[is_in_workflow].add('_run_durably')


async def outside() -> None:
    await agent.run('hello', deps='the deps')
    await pydantic_ai_assay.wait_for_evaluations()


sys.setprofile(profile)
asyncio.run(main())
is_in_workflow = False
asyncio.run(outside())
sys.setprofile(None)
print(sorted(seen[True]))
print(sorted(seen[False]))
