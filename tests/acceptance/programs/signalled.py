"""A program that is told to end, and takes it in the way its argument says. It only ever uses `run_sync`."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from pydantic_ai import Agent
from recording import CONFIG, MODEL, SCORES, Slow, SlowSync

from pydantic_ai_assay import OnlineEvaluation

agent = Agent(
    MODEL, name='told to end', capabilities=[OnlineEvaluation(evaluators=[Slow(), SlowSync()], config=CONFIG)]
)
told: list[int] = []


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def leave(number: int, frame: FrameType | None) -> None:
    """What most programs do."""
    sys.exit(3)


def note(number: int, frame: FrameType | None) -> None:
    """What a program does that ends in its own time."""
    told.append(number)


def pass_on(number: int, frame: FrameType | None) -> None:
    """What servers do: shut down, and then end by the signal as if they had not handled it."""
    told.append(number)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def chain(number: int, frame: FrameType | None) -> None:
    """What libraries do: handle the signal, and then call whoever handled it before."""
    told.append(number)
    assert callable(before)
    before(number, frame)


class ToFile(SpanExporter):
    """Exports spans where the test finds them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with SCORES.with_name('spans').open('a') as file:
            file.writelines(f'{span.name}\n' for span in spans)
        return SpanExportResult.SUCCESS


def export_in_batches() -> None:
    """As exporters do by default: what is left is exported by an exit handler, which a signal does not let run."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ToFile(), schedule_delay_millis=3_600_000))
    trace.set_tracer_provider(provider)


def runs(count: int = 3) -> None:
    for _ in range(count):
        agent.run_sync('hi')


def is_in(function: str, thread: threading.Thread) -> bool:
    """Whether a thread is inside a function of that name at this moment."""
    frame: Any = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False


def interrupt_when_waiting() -> None:
    """Ctrl-C once the main thread waits for what is pending."""
    main = threading.main_thread()
    pause = threading.Event()
    while not is_in('wait_idle', main):
        pause.wait(0.001)
    os.kill(os.getpid(), signal.SIGINT)


how = sys.argv[1]
if how == 'is chained':
    signal.signal(signal.SIGTERM, leave)
if how == 'leaves':
    signal.signal(signal.SIGTERM, leave)
    runs()
    terminate()
elif how == 'goes on':
    signal.signal(signal.SIGTERM, note)
    runs()
    terminate()
    runs()
    # One that this thread sends to itself stays pending until what is pending has been drained.
    signal.raise_signal(signal.SIGTERM)
    assert told == [signal.SIGTERM]
    atexit.register(lambda: print(f'told {len(told)} times'))
elif how in ('is handled later', 'is chained'):
    runs()
    handle = chain if how == 'is chained' else leave
    before = signal.signal(signal.SIGTERM, handle)
    # Who handles the signal is looked at again only after a while.
    while signal.getsignal(signal.SIGTERM) is handle:
        threading.Event().wait(0.05)
        agent.run_sync('hi')
    terminate()
elif how == 'passes on':
    export_in_batches()
    signal.signal(signal.SIGTERM, pass_on)
    with trace.get_tracer('program').start_as_current_span('the last words'):
        runs()
    terminate()
elif how == 'is killed':
    runs()
    terminate()
elif how == 'is interrupted while waiting':
    CONFIG.shutdown_timeout = 3_600
    agent = Agent(
        MODEL, name='waiting', capabilities=[OnlineEvaluation(evaluators=[Slow(seconds=3_600)], config=CONFIG)]
    )
    agent.run_sync('hi')
    threading.Thread(target=interrupt_when_waiting, daemon=True).start()
else:
    raise ValueError(how)
