"""A run's record with its text mapped."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from pydantic_evals.otel import SpanNode, SpanTree, SpanTreeRecordingError

from ..runs.record import RunRecord
from .exceptions import error_or_none
from .values import MarkedNames, TextFunction, ValueMapper

if TYPE_CHECKING:
    from ..runs.run_spans import RunSpans

__all__ = ('map_run', 'map_text')

WITHHELD = 'The spans of this run are withheld, because their redaction raised'


def map_text(run: RunRecord, function: Callable[[str], str]) -> RunRecord:
    """Make a record in which `function` was applied to every text of a run; the run itself stays as it is.

    Mapped are inputs, output, expected output, error, messages, metadata, attributes, metrics, baggage and captured spans:
    the texts in strings, builtin containers and the keys of dicts, dataclasses, Pydantic models and exceptions, however
    nested. What is not text, and text that a type names as a `Literal`, stays. `deps` are left out, bytes that are not
    UTF-8 are emptied, and an object that cannot be looked into becomes `'<TypeName withheld>'`. The run's ids and names
    stay. Spans are mapped when they are asked for.

    Args:
        run: The run.
        function: Gets a text and returns what to put in its place. It may be called in any thread, and must be
            deterministic for keys and ids to keep matching each other.
    """
    return map_run(run, function, None)


def map_run(run: RunRecord, function: TextFunction, marked: MarkedNames | None) -> RunRecord:
    """Do as `map_text` does, and put marks in place of what stands under certain names."""
    mapped = ValueMapper(function, marked)
    return dataclasses.replace(
        run,
        inputs=mapped(run.inputs),
        output=mapped(run.output),
        expected_output=mapped(run.expected_output),
        error=error_or_none(mapped(run.error)),
        messages=mapped(run.messages),
        metadata=mapped(run.metadata),
        deps=None,
        attributes=mapped(run.attributes),
        recorded_metrics=mapped(run.recorded_metrics),
        baggage=mapped(dict(run.baggage)),
        spans=None if run.spans is None else _MappedSpans(run.spans, function, marked),
    )


class _MappedSpans:
    """A run's spans, mapped when they are looked at: the run's own may end only after the run was handed over."""

    def __init__(self, source: RunSpans, function: TextFunction, marked: MarkedNames | None) -> None:
        self._source = source
        self._function = function
        self._marked = marked
        self._nodes: dict[int, SpanNode] = {}
        self._tree: SpanTree | None = None
        self._lock = threading.RLock()
        self.recording_error = source.recording_error

    def close(self) -> None:
        """Stop capturing."""
        self._source.close()

    def all_spans(self) -> Iterator[SpanNode]:
        """The spans that ended so far, or none if one of them could not be mapped."""
        with self._lock:
            if self.recording_error is None:
                try:
                    return iter(self._mapped())
                except Exception as error:
                    # The error's own text may quote the run's.
                    self.recording_error = f'{WITHHELD} {type(error).__name__}.'
                    self._nodes.clear()
            return iter(())

    def tree(self) -> SpanTree:
        """The run's span tree, built on first use.

        Raises:
            SpanTreeRecordingError: If the spans were not recorded, or could not be mapped.
        """
        with self._lock:
            self.close()
            nodes = list(self.all_spans())
            if self.recording_error is not None:
                raise SpanTreeRecordingError(self.recording_error)
            if self._tree is None:
                self._tree = SpanTree()
                self._tree.add_spans(nodes)
            return self._tree

    def _mapped(self) -> list[SpanNode]:
        mapped = ValueMapper(self._function, self._marked)
        nodes: list[SpanNode] = []
        for span in self._source.all_spans():
            node = self._nodes.get(id(span))
            if node is None:
                node = self._nodes[id(span)] = self._map(span, mapped)
            nodes.append(node)
        return nodes

    @staticmethod
    def _map(span: ReadableSpan | SpanNode, mapped: ValueMapper) -> SpanNode:
        node = span if isinstance(span, SpanNode) else SpanNode.from_readable_span(span)
        # A new node, since a node knows its parent and children, which are not mapped.
        return dataclasses.replace(node, name=mapped(node.name), attributes=mapped(dict(node.attributes)))
