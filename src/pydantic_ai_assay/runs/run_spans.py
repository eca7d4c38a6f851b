"""What a record needs of its spans, whether they were captured a moment ago, redacted, or read from a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from opentelemetry.sdk.trace import ReadableSpan
from pydantic_evals.otel import SpanNode, SpanTree

__all__ = ('RunSpans',)


class RunSpans(Protocol):
    """The spans of a run."""

    @property
    def recording_error(self) -> str | None:
        """Why they were not recorded, if they were not."""
        ...

    def all_spans(self) -> Iterable[ReadableSpan | SpanNode]:
        """The spans, in any order."""
        ...

    def tree(self) -> SpanTree:
        """The spans as a tree.

        Raises:
            SpanTreeRecordingError: If they were not recorded.
        """
        ...

    def close(self) -> None:
        """Let go of what is only needed while spans are captured."""
        ...
