"""Sinks in all the forms a user may give them in."""

from __future__ import annotations

from pydantic_evals.online import CallbackSink

from ..settings import EvaluationSink, SinkSource

__all__ = ('as_sinks',)


def as_sinks(source: SinkSource | None) -> dict[int, EvaluationSink]:
    """The sinks that a `sink=` or `default_sink=` setting stands for, by the identity of what the user gave."""
    if source is None:
        return {}
    if isinstance(source, EvaluationSink):
        return {id(source): source}
    if callable(source):
        return {id(source): CallbackSink(source)}
    return {identity: sink for item in source for identity, sink in as_sinks(item).items()}
