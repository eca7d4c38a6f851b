"""The forms a sink may be given in."""

from typing import Any

import pytest
from pydantic_evals.online import CallbackSink, EvaluationSink

from pydantic_ai_assay import SinkPayload
from pydantic_ai_assay.delivery.sinks import as_sinks


class Sink:
    async def submit(self, payload: Any) -> None: ...


class CallableSink(Sink):
    """A sink that could be taken for a callback."""

    def __call__(self, payload: SinkPayload) -> None: ...


def callback(*_: object) -> None: ...


def test_no_sink_is_no_sink() -> None:
    assert as_sinks(None) == {}
    assert as_sinks([]) == {}


@pytest.mark.parametrize('sink', [Sink(), CallableSink()])
def test_a_sink_is_taken_as_it_is(sink: EvaluationSink) -> None:
    assert list(as_sinks(sink).values()) == [sink]


def test_a_callback_is_wrapped() -> None:
    (sink,) = as_sinks(callback).values()
    assert isinstance(sink, CallbackSink)
    assert sink.callback is callback


def test_several_may_be_mixed_and_keep_their_order() -> None:
    first = Sink()
    ours, wrapped = as_sinks((first, callback)).values()
    assert ours is first
    assert isinstance(wrapped, CallbackSink)


def test_the_same_one_given_twice_is_one() -> None:
    first = Sink()
    assert list(as_sinks([first, callback, first, callback])) == [id(first), id(callback)]
    assert list(as_sinks(callback)) == list(as_sinks([callback]))
