"""The spans of a stored run, in the place of those that were captured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan
from pydantic_evals.otel import SpanNode, SpanTree, SpanTreeRecordingError

from ..cached import cached_property
from ..errors import describe
from ..runs.run_spans import RunSpans
from .compression import pack_json
from .values import ValueEncoder, decode

__all__ = ('StoredSpans', 'encode_spans')

MAX_SPANS = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class StoredSpans:
    """The spans of a stored run."""

    def __init__(self, nodes: Sequence[SpanNode], *, recording_error: str | None = None) -> None:
        self.nodes = tuple(nodes)
        self.recording_error = recording_error

    @classmethod
    def decode(cls, document: Any) -> StoredSpans:
        """The spans that `encode_spans` made bytes of."""
        return cls([_node(each) for each in document['spans']], recording_error=document['error'])

    def all_spans(self) -> Iterator[ReadableSpan | SpanNode]:
        """The spans, in the order in which they ended."""
        return iter(self.nodes)

    @cached_property
    def _tree(self) -> SpanTree:
        tree = SpanTree()
        tree.add_spans(list(self.nodes))
        return tree

    def tree(self) -> SpanTree:
        """The spans as a tree.

        Raises:
            SpanTreeRecordingError: If they were not recorded.
        """
        if self.recording_error is not None:
            raise SpanTreeRecordingError(self.recording_error)
        return self._tree

    def close(self) -> None:
        """Nothing is open."""


def encode_spans(spans: RunSpans, limit: int) -> tuple[bytes, str | None]:
    """Make compressed JSON of spans, of about `limit` characters at most.

    Returns:
        The JSON, and why it has not all of them, if it has not.
    """
    encoder, documents, refused = ValueEncoder(limit), list[Any](), None
    try:
        for number, span in enumerate(spans.all_spans()):
            if number >= MAX_SPANS or encoder.is_full:
                refused = f'there is only room for the first {number} spans'
                break
            node = span if isinstance(span, SpanNode) else SpanNode.from_readable_span(span)
            attributes = encoder(node.attributes)
            times = [(each - _EPOCH) // _MICROSECOND for each in (node.start_timestamp, node.end_timestamp)]
            documents.append(
                [encoder(node.name), node.trace_id, node.span_id, node.parent_span_id, *times, node.status, attributes]
            )
        return pack_json({'error': spans.recording_error, 'spans': documents}), refused
    except Exception as error:
        refused = f'the spans have no JSON form: {describe(error)}'
        return pack_json({'error': refused, 'spans': []}), refused


def _node(document: list[Any]) -> SpanNode:
    name, trace_id, span_id, parent_span_id, start, end, status, attributes = document
    return SpanNode(
        name=str(decode(name)),
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        start_timestamp=_EPOCH + timedelta(microseconds=start),
        end_timestamp=_EPOCH + timedelta(microseconds=end),
        attributes=_as_attributes(decode(attributes)),
        status=status,
    )


def _as_attributes(attributes: object) -> dict[str, Any]:
    """The attributes of a span; those that did not fit are shown by one that says so."""
    return cast('dict[str, Any]', attributes) if isinstance(attributes, dict) else {'…': repr(attributes)}
