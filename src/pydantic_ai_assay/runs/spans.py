"""The spans of one run, captured once however many evaluators look at them, and let go of when the run is over."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span as SDKSpan, SpanProcessor
from pydantic_evals.otel import SpanNode, SpanTree, SpanTreeRecordingError

from ..errors import describe
from .active import CURRENT

__all__ = ('RECORDER', 'SpanCapture', 'SpanRecorder', 'is_span_of_run', 'shorten')

NO_PROVIDER = (
    'To make use of the `span_tree` in an evaluator, you need to call `logfire.configure(...)` or '
    '`opentelemetry.trace.set_tracer_provider(...)` before running the agent, and instrument it, for example with '
    '`logfire.instrument_pydantic_ai()`.'
)
NOT_SUPPORTED = (
    'The current TracerProvider ({provider}) does not support `add_span_processor`, so the `span_tree` of a run is not '
    'available. Evaluation still works; use an `opentelemetry.sdk.trace.TracerProvider` to get the spans.'
)
NOT_SAMPLED = (
    'The trace of this run was not sampled, so its spans were not recorded and the `span_tree` is not available. '
    'Evaluation still works; raise the head sampling rate of the tracer provider to get the spans.'
)


def shorten(text: str, limit: int) -> str:
    """Cut `text` from its middle to about `limit` characters, leaving a mark that says how much was left out."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f'{text[:head]}… [{len(text) - limit} characters left out] …{text[len(text) - tail :]}'


class SpanCapture:
    """The spans of one run, those of the runs nested in it included."""

    __slots__ = (
        '_generation',
        '_recorder',
        '_tree',
        'limit',
        'nested',
        'open_ids',
        'parent',
        'recording_error',
        'root_id',
        'spans',
    )

    def __init__(
        self,
        recorder: SpanRecorder,
        *,
        root_id: int | None,
        parent: SpanCapture | None,
        limit: int | None,
        recording_error: str | None,
    ) -> None:
        self._recorder: SpanRecorder | None = recorder
        self._generation = recorder.generation
        self.root_id = root_id
        self.parent = parent
        self.limit = limit
        self.recording_error = recording_error
        self.spans: list[ReadableSpan | SpanNode] = []
        self.nested: list[SpanCapture] = []
        self.open_ids: set[int] = set()
        self._tree: SpanTree | None = None

    @property
    def is_open(self) -> bool:
        """Whether spans are still being added; not in a child that was forked in the middle of the run."""
        return self._recorder is not None and self._recorder.generation == self._generation

    def add(self, span: ReadableSpan) -> None:
        """Keep a finished span, its long attributes shortened."""
        limit = self.limit
        attributes = span.attributes
        if limit is not None and attributes:
            for value in attributes.values():
                if isinstance(value, str) and len(value) > limit:
                    self.spans.append(_shortened_node(span, limit))
                    return
        self.spans.append(span)

    def close(self) -> None:
        """Stop capturing; spans still open go to the enclosing run, or nowhere. Idempotent."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.release(self)
            self.parent = None

    def all_spans(self) -> Iterator[ReadableSpan | SpanNode]:
        """This run's spans and those of the runs nested in it."""
        yield from list(self.spans)
        for nested in list(self.nested):
            yield from nested.all_spans()

    def tree(self) -> SpanTree:
        """The run's span tree, built on first use.

        Raises:
            SpanTreeRecordingError: If the run's spans were not recorded; the message says why and what to do.
        """
        if self.recording_error is not None:
            raise SpanTreeRecordingError(self.recording_error)
        self.close()
        if self._tree is None:
            tree = SpanTree()
            tree.add_spans([s if isinstance(s, SpanNode) else SpanNode.from_readable_span(s) for s in self.all_spans()])
            self._tree = tree
        return self._tree


def _shortened_node(span: ReadableSpan, limit: int) -> SpanNode:
    node = SpanNode.from_readable_span(span)
    node.attributes = {
        key: shorten(value, limit) if isinstance(value, str) else value for key, value in node.attributes.items()
    }
    return node


class SpanRecorder(SpanProcessor):
    """Hands each finished span to the run it belongs to; spans of no run pass by."""

    def __init__(self) -> None:
        self.generation = 0
        self._captures: dict[int, SpanCapture] = {}
        self._provider: Callable[[], Any] | None = None
        self._lock = threading.Lock()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: the runs that are being captured are the parent's. The provider is shared."""
        self.generation += 1
        self._captures = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many open spans are being followed."""
        return len(self._captures)

    def open(self, span: trace.Span, *, is_own: bool, parent: SpanCapture | None, limit: int | None) -> SpanCapture:
        """Start capturing the spans of a run.

        Args:
            span: The run's own span, or else its caller's.
            is_own: Whether it is the run's own, whose end ends the capture.
            parent: The capture of the enclosing run, to which what is left open goes.
            limit: Characters to which text attributes are shortened.
        """
        error = self._attach_to_provider()
        context = span.get_span_context()
        if error is None and context.is_valid and not context.trace_flags.sampled:
            error = NOT_SAMPLED
        root_id = None
        if error is None and is_own and context.is_valid:
            root_id = context.span_id
        capture = SpanCapture(self, root_id=root_id, parent=parent, limit=limit, recording_error=error)
        if parent is not None and parent.is_open:
            parent.nested.append(capture)
            if root_id is not None:
                parent.open_ids.discard(root_id)
        if root_id is not None:
            capture.open_ids.add(root_id)
            self._captures[root_id] = capture
        return capture

    def on_start(self, span: SDKSpan, parent_context: Context | None = None) -> None:
        """Follow the span if its parent, or else the current context, belongs to a run."""
        capture = self._captures.get(span.parent.span_id) if span.parent is not None else None
        if capture is None:
            active = CURRENT.get()
            capture = active.capture if active is not None else None
            if capture is None or not capture.is_open:
                return
        span_id = span.get_span_context().span_id
        capture.open_ids.add(span_id)
        self._captures[span_id] = capture

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span if it is followed; the end of a run's own span ends its capture."""
        context = span.get_span_context()
        if context is None or (capture := self._captures.pop(context.span_id, None)) is None:
            return
        capture.open_ids.discard(context.span_id)
        capture.add(span)
        if context.span_id == capture.root_id:
            capture.close()

    def release(self, capture: SpanCapture) -> None:
        """Forget the spans of a closed capture that have not ended, or leave them to the enclosing run."""
        heir = capture.parent if capture.parent is not None and capture.parent.is_open else None
        for span_id in list(capture.open_ids):
            if heir is not None:
                heir.open_ids.add(span_id)
                self._captures[span_id] = heir
            else:
                self._captures.pop(span_id, None)
        capture.open_ids.clear()

    def _attach_to_provider(self) -> str | None:
        provider = trace.get_tracer_provider()
        # Logfire reuses one proxy and swaps the provider behind it, which is the one that owns the processors.
        provider = cast(Any, getattr(provider, 'provider', provider))
        attached = self._provider
        if attached is not None and attached() is provider:
            return None
        add_span_processor = getattr(provider, 'add_span_processor', None)
        if add_span_processor is None:
            if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
                return NO_PROVIDER
            return NOT_SUPPORTED.format(provider=type(provider).__qualname__)
        with self._lock:
            if self._provider is None or self._provider() is not provider:
                try:
                    add_span_processor(_Forwarder(self))
                except Exception as error:
                    return f'{NOT_SUPPORTED.format(provider=type(provider).__qualname__)} It raised {describe(error)}.'
                self._provider = _reference(provider)
        return None


class _Forwarder(SpanProcessor):
    """One per provider: shutting a provider down must not end the recorder, which serves the next one as well."""

    def __init__(self, recorder: SpanRecorder) -> None:
        self.on_start = recorder.on_start
        self.on_end = recorder.on_end


def _reference(provider: object) -> Callable[[], Any]:
    try:
        return weakref.ref(provider)
    except TypeError:
        # It is held instead, or it would be given another processor with each run.
        return lambda: provider


def is_span_of_run(span: trace.Span, run_id: str) -> bool:
    """Whether a span is the one that pydantic-ai opened for an agent run."""
    attributes = getattr(span, 'attributes', None)
    return attributes is not None and attributes.get('gen_ai.agent.call.id') == run_id


RECORDER = SpanRecorder()
"""The recorder of this process. It is attached to a tracer provider when the first run is captured."""
