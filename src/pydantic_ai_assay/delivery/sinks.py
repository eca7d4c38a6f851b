"""Sinks in all the forms a user may give them in."""

from __future__ import annotations

from pydantic_evals.online import CallbackSink

from ..settings import EvaluationSink, SinkSource

__all__ = ('as_sinks',)


def as_sinks(source: SinkSource | None) -> list[EvaluationSink]:
    """The sinks that a `sink=` or `default_sink=` setting stands for."""
    if source is None:
        return []
    if isinstance(source, EvaluationSink):
        return [source]
    if callable(source):
        return [CallbackSink(source)]
    return [sink for item in source for sink in as_sinks(item)]
