"""Sinks in all the forms a user may give them in."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_evals.online import CallbackSink, EvaluationSink, SinkCallback

__all__ = ('SinkSource', 'as_sinks')

SinkSource = EvaluationSink | Sequence[EvaluationSink | SinkCallback] | SinkCallback


def as_sinks(source: SinkSource | None) -> list[EvaluationSink]:
    """The sinks that a `sink=` or `default_sink=` setting stands for."""
    if source is None:
        return []
    if isinstance(source, EvaluationSink):
        return [source]
    if callable(source):
        return [CallbackSink(source)]
    return [sink for item in source for sink in as_sinks(item)]
