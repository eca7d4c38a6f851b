"""The spans of a stored run, in the place of those that were captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan
from pydantic_evals.otel import SpanNode, SpanTree, SpanTreeRecordingError

from ..cached import cached_property
from ..errors import describe
from ..runs.run_spans import RunSpans
from ..runs.spans import shorten
from .compression import pack_json
from .values import ValueEncoder, decode

__all__ = ('StoredSpans', 'encode_spans')

MAX_SPANS = 20_000
MAX_TEXT = 1_000
"""Characters of one attribute of spans that are too large together."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class StoredSpans:
    """The spans of a stored run."""

    def __init__(
        self, nodes: Sequence[SpanNode], *, recording_error: str | None = None, refused: str | None = None
    ) -> None:
        self.nodes = tuple(nodes)
        self.recording_error = recording_error
        self.refused = refused
        """Why they are not all there, or not whole, if they are not."""

    @classmethod
    def decode(cls, document: Any) -> StoredSpans:
        """The spans that `encode_spans` made bytes of."""
        nodes = [_node(each) for each in document['spans']]
        return cls(nodes, recording_error=document['error'], refused=document.get('refused'))

    def all_spans(self) -> Iterator[ReadableSpan | SpanNode]:
        """The spans, in the order in which they began."""
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

    Where they are larger, long texts in them are shortened; where that is not enough, the last ones are left out.

    Returns:
        The JSON, and why it has not all of them, if it has not.
    """
    try:
        error, nodes, refused = spans.recording_error, _nodes_of(spans), None
        documents, is_full = _documents(nodes, limit, None)
        if is_full:
            refused = f'the spans are larger than {limit} characters: long texts in them are shortened'
            documents, _ = _documents(nodes, limit, MAX_TEXT)
        if len(documents) < len(nodes):
            refused = f'there is only room for the first {len(documents)} spans'
    except Exception as raised:
        documents, refused = [], f'the spans have no JSON form: {describe(raised)}'
        error = refused
    kept = {'error': error, 'spans': documents}
    return pack_json(kept if refused is None else {**kept, 'refused': refused}), refused


def _nodes_of(spans: RunSpans) -> list[SpanNode]:
    nodes = [span if isinstance(span, SpanNode) else SpanNode.from_readable_span(span) for span in spans.all_spans()]
    # What was around the others ends last and began first.
    return sorted(nodes, key=lambda node: node.start_timestamp)


def _documents(nodes: Sequence[SpanNode], limit: int, max_text: int | None) -> tuple[list[Any], bool]:
    """The JSON form of spans, as far as there is room, and whether there was too little."""
    encoder, documents = ValueEncoder(limit), list[Any]()
    for node in nodes[:MAX_SPANS]:
        if encoder.is_full:
            break
        attributes = node.attributes if max_text is None else _shortened(node.attributes, max_text)
        times = [(each - _EPOCH) // _MICROSECOND for each in (node.start_timestamp, node.end_timestamp)]
        ids = node.trace_id, node.span_id, node.parent_span_id
        documents.append([encoder(node.name), *ids, *times, node.status, encoder(attributes)])
    return documents, encoder.is_full


def _shortened(attributes: Mapping[str, Any], max_text: int) -> dict[str, Any]:
    return {name: shorten(each, max_text) if isinstance(each, str) else each for name, each in attributes.items()}


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
