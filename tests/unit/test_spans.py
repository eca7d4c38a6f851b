"""The spans of one run: which belong to it, and that nothing stays behind."""

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from pydantic_evals.otel import SpanNode, SpanTreeRecordingError

from pydantic_ai_assay.runs.active import CURRENT, ActiveRun
from pydantic_ai_assay.runs.spans import SpanCapture, SpanRecorder, is_span_of_run, shorten

from .samples import in_thread

pytestmark = pytest.mark.anyio


def an_active_run(capture: SpanCapture | None) -> ActiveRun:
    active = ActiveRun('run-1', 'support')
    active.capture = capture
    return active


class Runs:
    """Runs with spans of their own, on a tracer provider of the test's own."""

    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self.tracer = provider.get_tracer('test')
        self.recorder = SpanRecorder()

    @contextmanager
    def run(
        self, run_id: str = 'run-1', *, parent: SpanCapture | None = None, limit: int | None = None
    ) -> Generator[SpanCapture]:
        """A run with a span as pydantic-ai makes it: the span is opened around the capture and ended after it."""
        with self.tracer.start_as_current_span(f'run {run_id}', attributes={'gen_ai.agent.call.id': run_id}) as span:
            capture = self.recorder.open(span, is_own=is_span_of_run(span, run_id), parent=parent, limit=limit)
            active = an_active_run(capture)
            token = CURRENT.set(active)
            try:
                yield capture
            finally:
                CURRENT.reset(token)
                active.end()

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Generator[trace.Span]:
        with self.tracer.start_as_current_span(name, attributes=attributes) as span:
            yield span

    def detached(self, name: str) -> trace.Span:
        """A span that knows no parent."""
        return self.tracer.start_span(name, context=Context())


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    return provider


@pytest.fixture
def runs(provider: TracerProvider) -> Runs:
    return Runs(provider)


def names(capture: SpanCapture) -> list[str]:
    return [span.name for span in capture.all_spans()]


def tree(capture: SpanCapture) -> dict[str, list[str]]:
    return {node.name: sorted(child.name for child in node.children) for node in capture.tree()}


# Which spans belong to a run


def test_the_runs_own_span_and_all_below_it_are_captured_by_their_parents(runs: Runs) -> None:
    with runs.span('request'):
        with runs.run() as capture:
            with runs.span('chat'):
                pass
            with runs.span('tool'), runs.span('query'):
                pass
        with runs.span('after'):
            pass
    assert tree(capture) == {'run run-1': ['chat', 'tool'], 'chat': [], 'tool': ['query'], 'query': []}
    assert not capture.is_open


def test_spans_of_no_run_pass_by(runs: Runs) -> None:
    with runs.run() as capture:
        pass
    with runs.span('elsewhere'):
        pass
    assert names(capture) == ['run run-1']
    assert len(runs.recorder) == 0


def test_a_span_without_a_known_parent_belongs_to_the_run_that_is_current(runs: Runs) -> None:
    with runs.run() as capture:
        runs.detached('stray').end()
    assert sorted(names(capture)) == ['run run-1', 'stray']


def test_a_span_in_a_thread_belongs_to_the_run_of_its_parent(runs: Runs) -> None:
    def work(context: Context) -> None:
        runs.tracer.start_span('in a thread', context=context).end()

    with runs.run() as capture, runs.span('tool') as span:
        context = trace.set_span_in_context(span, Context())
        in_thread(lambda: work(context))
    assert tree(capture) == {'run run-1': ['tool'], 'tool': ['in a thread'], 'in a thread': []}


def test_without_a_span_of_its_own_a_run_captures_what_happens_while_it_is_current(runs: Runs) -> None:
    # An agent that is not instrumented has no span; the caller's is not the run's.
    with runs.span('request') as span:
        capture = runs.recorder.open(span, is_own=is_span_of_run(span, 'run-1'), parent=None, limit=None)
        active = an_active_run(capture)
        token = CURRENT.set(active)
        with runs.span('tool'), runs.span('query'):
            pass
        CURRENT.reset(token)
        capture.close()
        with runs.span('after'):
            pass
    assert sorted(names(capture)) == ['query', 'tool']


def test_two_runs_at_once_keep_their_spans_apart(runs: Runs) -> None:
    captures: dict[str, SpanCapture] = {}

    async def one(run_id: str, barrier: asyncio.Barrier) -> None:
        with runs.run(run_id) as captures[run_id]:
            await barrier.wait()
            with runs.span(f'chat {run_id}'):
                await barrier.wait()

    async def main() -> None:
        barrier = asyncio.Barrier(3)
        await asyncio.gather(*(one(run_id, barrier) for run_id in 'abc'))

    asyncio.run(main())
    assert {run_id: sorted(names(capture)) for run_id, capture in captures.items()} == {
        run_id: [f'chat {run_id}', f'run {run_id}'] for run_id in 'abc'
    }
    assert len(runs.recorder) == 0


# Nested runs


def test_a_nested_run_has_its_own_spans_and_the_outer_one_has_all(runs: Runs) -> None:
    with runs.run('outer') as outer:
        with runs.span('tool'):
            with runs.run('inner', parent=outer) as inner:
                with runs.span('inner chat'):
                    pass
        with runs.span('outer chat'):
            pass
    assert tree(inner) == {'run inner': ['inner chat'], 'inner chat': []}
    assert tree(outer) == {
        'run outer': ['outer chat', 'tool'],
        'tool': ['run inner'],
        'run inner': ['inner chat'],
        'inner chat': [],
        'outer chat': [],
    }


def test_spans_that_a_nested_run_leaves_open_go_to_the_outer_one(runs: Runs) -> None:
    with runs.run('outer') as outer:
        with runs.run('inner', parent=outer) as inner:
            late = runs.tracer.start_span('late')
        assert not inner.is_open
        late.end()
    assert names(inner) == ['run inner']
    assert sorted(names(outer)) == ['late', 'run inner', 'run outer']
    assert len(runs.recorder) == 0


def test_what_a_run_leaves_open_goes_nowhere_if_the_one_around_it_is_over(runs: Runs) -> None:
    with runs.run('outer') as outer:
        with runs.run('middle', parent=outer) as middle:
            inner = runs.recorder.open(trace.INVALID_SPAN, is_own=False, parent=middle, limit=None)
            token = CURRENT.set(an_active_run(inner))
            late = runs.detached('late')
            CURRENT.reset(token)
        assert not middle.is_open
        inner.close()
        late.end()
    assert sorted(names(outer)) == ['run middle', 'run outer']
    assert len(runs.recorder) == 0


def test_a_nested_run_that_outlives_the_outer_one_is_a_run_by_itself(runs: Runs) -> None:
    with runs.run('outer') as outer:
        pass
    with runs.run('inner', parent=outer) as inner:
        with runs.span('chat'):
            pass
    assert tree(inner) == {'run inner': ['chat'], 'chat': []}
    assert names(outer) == ['run outer']


# Late spans, and what stays behind


def test_a_span_that_ends_after_its_run_is_ignored(runs: Runs) -> None:
    with runs.run() as capture:
        late = runs.tracer.start_span('late')
    late.end()
    assert names(capture) == ['run run-1']
    assert len(runs.recorder) == 0


def test_a_task_that_outlives_its_run_adds_nothing(runs: Runs) -> None:
    with runs.run() as capture:
        context = contextvars.copy_context()
    context.run(runs.detached, 'late').end()
    context.run(runs.tracer.start_span, 'late child').end()
    assert names(capture) == ['run run-1']
    assert len(runs.recorder) == 0


def test_closing_twice_is_closing_once(runs: Runs) -> None:
    with runs.run() as capture:
        capture.close()
        capture.close()
        with runs.span('too late'):
            pass
    assert names(capture) == []
    assert len(runs.recorder) == 0


def captures_alive() -> int:
    gc.collect()
    return sum(type(each) is SpanCapture for each in gc.get_objects())


def test_nothing_stays_behind_after_many_runs(runs: Runs) -> None:
    before = captures_alive()
    contexts: list[contextvars.Context] = []
    late: list[trace.Span] = []
    for number in range(50):
        with runs.run(f'outer-{number}') as outer:
            with runs.run(f'inner-{number}', parent=outer) as inner:
                late.append(runs.tracer.start_span('never ended'))
                contexts.append(contextvars.copy_context())
            late.append(runs.detached('never ended either'))
        assert outer.tree().any({'name_equals': f'run inner-{number}'})
        assert inner.tree().any({'name_equals': f'run inner-{number}'})
        del outer, inner
    assert len(runs.recorder) == 0
    assert captures_alive() <= before
    assert (len(contexts), len(late)) == (50, 100)


# The tree


def test_the_tree_is_built_once_and_closes_the_capture(runs: Runs) -> None:
    with runs.run() as capture, runs.span('chat'):
        pass
    assert capture.tree() is capture.tree()


def test_a_tree_asked_for_before_the_run_has_ended_has_what_has_ended(runs: Runs) -> None:
    with runs.run() as capture:
        with runs.span('chat'):
            pass
        assert tree(capture) == {'chat': []}
        with runs.span('too late'):
            pass
    assert tree(capture) == {'chat': []}


def test_long_attributes_are_shortened_visibly_and_others_left_alone(runs: Runs) -> None:
    with runs.run(limit=100) as capture:
        with runs.span('short', prompt='a' * 100, count=3):
            pass
        with runs.span('long', prompt='a' * 10_000, model='gpt', count=3):
            pass
        with runs.tracer.start_as_current_span('bare'):
            pass
    short, long, bare, _ = capture.all_spans()
    assert isinstance(short, ReadableSpan)
    assert isinstance(bare, ReadableSpan)
    assert isinstance(long, SpanNode)
    prompt = long.attributes['prompt']
    assert isinstance(prompt, str)
    assert 'characters left out' in prompt
    assert (long.attributes['model'], long.attributes['count']) == ('gpt', 3)
    assert tree(capture) == {'run run-1': ['bare', 'long', 'short'], 'short': [], 'long': [], 'bare': []}


def test_without_a_limit_attributes_are_kept_whole(runs: Runs) -> None:
    with runs.run(limit=None) as capture, runs.span('long', prompt='a' * 10_000):
        pass
    assert [len(node.attributes['prompt']) for node in capture.tree() if node.name == 'long'] == [10_000]  # pyright: ignore[reportArgumentType]


@given(st.text(max_size=300), st.integers(10, 100))
def test_a_shortened_text_keeps_its_ends_and_says_how_much_is_missing(text: str, limit: int) -> None:
    short = shorten(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    head, _, rest = short.partition('… [')
    missing, _, tail = rest.partition(' characters left out] …')
    if '…' not in text:
        assert (int(missing), len(head) + len(tail)) == (len(text) - limit, limit)
        assert text.startswith(head)
        assert text.endswith(tail)


def test_a_text_is_cut_from_its_middle() -> None:
    assert shorten('abcdefghijklmnopqrstuvwxyz', 9) == 'abcdef… [17 characters left out] …xyz'
    assert shorten('abcdefghi', 9) == 'abcdefghi'
    assert shorten('abc', 1) == '… [2 characters left out] …c'


# Where spans are not recorded


def test_without_a_provider_the_tree_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, '_TRACER_PROVIDER', None)
    for provider in (trace.ProxyTracerProvider(), trace.NoOpTracerProvider()):
        monkeypatch.setattr(trace, 'get_tracer_provider', lambda provider=provider: provider)
        capture = SpanRecorder().open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
        with pytest.raises(SpanTreeRecordingError, match=r'you need to call `logfire\.configure\(\.\.\.\)`'):
            capture.tree()


def test_a_provider_that_takes_no_processors_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(trace.TracerProvider):
        def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
            raise NotImplementedError

    monkeypatch.setattr(trace, 'get_tracer_provider', Foreign)
    capture = SpanRecorder().open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
    with pytest.raises(SpanTreeRecordingError, match=r'\(test_a_provider.*Foreign\) does not support `add_span_proc'):
        capture.tree()


def test_with_head_sampling_the_tree_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    with Runs(provider).run() as capture:
        pass
    with pytest.raises(SpanTreeRecordingError, match='was not sampled.*head sampling rate'):
        capture.tree()
    assert names(capture) == []


def test_a_provider_that_fails_to_take_a_processor_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(TracerProvider):
        def add_span_processor(self, span_processor: object) -> None:
            raise RuntimeError('full')

    provider = Broken(shutdown_on_exit=False)
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    capture = SpanRecorder().open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
    with pytest.raises(SpanTreeRecordingError):
        capture.tree()


# Providers


def test_a_provider_that_replaces_another_is_recorded_as_well(monkeypatch: pytest.MonkeyPatch, runs: Runs) -> None:
    with runs.run('first') as first:
        pass
    second_provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: second_provider)
    runs.provider.shutdown()
    runs.tracer = second_provider.get_tracer('test')
    with runs.run('second') as second:
        pass
    assert (names(first), names(second)) == (['run first'], ['run second'])


def test_a_proxy_around_the_provider_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy:
        provider = TracerProvider(shutdown_on_exit=False)

    monkeypatch.setattr(trace, 'get_tracer_provider', Proxy)
    runs = Runs(Proxy.provider)
    with runs.run() as capture:
        pass
    assert names(capture) == ['run run-1']


def test_the_recorder_is_attached_once_however_many_threads_begin_at_once(provider: TracerProvider) -> None:
    recorder = SpanRecorder()
    start = threading.Barrier(8)
    attached: list[object] = []
    add = provider.add_span_processor
    provider.add_span_processor = lambda span_processor: (attached.append(span_processor), add(span_processor))[1]

    def begin() -> None:
        start.wait(10)
        recorder.open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(attached) == 1


def test_a_thread_that_comes_second_does_not_attach_the_recorder_again(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = SpanRecorder()
    attached: list[object] = []

    class Slow(trace.NoOpTracerProvider):
        """While one thread asks how to attach the recorder, another one attaches it."""

        is_asked = False

        @property
        def add_span_processor(self) -> Callable[[object], None]:
            if not self.is_asked:
                self.is_asked = True
                in_thread(begin)
            return attached.append

    def begin() -> None:
        recorder.open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)

    provider = Slow()
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    begin()
    assert len(attached) == 1


class Unreferable:
    """A provider that cannot be referred to weakly."""

    __slots__ = ('processors',)

    def __init__(self) -> None:
        self.processors: list[object] = []

    def add_span_processor(self, span_processor: object) -> None:
        self.processors.append(span_processor)


def test_a_provider_that_cannot_be_referred_to_weakly_is_attached_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = SpanRecorder()
    provider = Unreferable()
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    for _ in range(3):
        capture = recorder.open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
        assert capture.recording_error is None
    assert len(provider.processors) == 1


def test_a_provider_that_refuses_a_span_processor_is_named_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(trace.NoOpTracerProvider):
        def add_span_processor(self, span_processor: object) -> None:
            raise PermissionError('not here')

    monkeypatch.setattr(trace, 'get_tracer_provider', Refusing)
    capture = SpanRecorder().open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
    with pytest.raises(SpanTreeRecordingError, match=r'Refusing.* It raised PermissionError: not here\.'):
        capture.tree()


def test_a_provider_is_not_kept_alive() -> None:
    recorder = SpanRecorder()

    def use_a_provider() -> weakref.ref[TracerProvider]:
        provider = TracerProvider(shutdown_on_exit=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trace, 'get_tracer_provider', lambda: provider)
            recorder.open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
        return weakref.ref(provider)

    gone = use_a_provider()
    gc.collect()
    assert gone() is None


def test_a_recorder_may_be_added_to_a_provider_by_hand() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    recorder = SpanRecorder()
    provider.add_span_processor(recorder)
    with provider.get_tracer('test').start_as_current_span('elsewhere'):
        assert len(recorder) == 0
    assert recorder.force_flush()
