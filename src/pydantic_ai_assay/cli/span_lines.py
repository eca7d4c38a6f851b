"""The spans of a run as a tree of lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_evals.otel import SpanNode

from .terminal import one_line

if TYPE_CHECKING:
    from ..runs.record import RunRecord

__all__ = ('span_lines', 'span_nodes')


def span_nodes(record: RunRecord) -> list[SpanNode]:
    """The spans of a stored run, those that began first before others."""
    spans = record.spans.all_spans() if record.spans is not None else ()
    nodes = [span if isinstance(span, SpanNode) else SpanNode.from_readable_span(span) for span in spans]
    return sorted(nodes, key=lambda node: node.start_timestamp)


def span_lines(record: RunRecord) -> Iterator[str]:
    """The spans, each below the one it is part of."""
    nodes = span_nodes(record)
    known = {node.span_id for node in nodes}
    below: dict[int | None, list[SpanNode]] = {}
    for node in nodes:
        below.setdefault(node.parent_span_id if node.parent_span_id in known else None, []).append(node)
    # No recursion: how deep it goes is for the run to say.
    waiting = [(node, 0) for node in reversed(below.get(None, []))]
    while waiting:
        node, depth = waiting.pop()
        seconds = (node.end_timestamp - node.start_timestamp).total_seconds()
        status = ' ERROR' if node.status == 'error' else ''
        yield f'{"  " * min(depth, 20)}{one_line(node.name, 80)}  {seconds * 1_000:,.0f} ms{status}'
        waiting += [(child, depth + 1) for child in reversed(below.get(node.span_id, []))]
