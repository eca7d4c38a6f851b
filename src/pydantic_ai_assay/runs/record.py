"""The frozen snapshot of one run, made once when the run ends, on which everything afterwards works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext
from pydantic_ai.messages import BaseToolCallPart, ModelMessage, ModelResponse
from pydantic_ai.usage import RunUsage
from pydantic_evals.online import SpanReference

from ..cached import cached_property
from ..errors import WithheldError

if TYPE_CHECKING:
    from .run_spans import RunSpans

__all__ = ('RUN_OUTCOMES', 'RunOutcome', 'RunRecord')

RunOutcome = Literal['success', 'error', 'cancelled', 'deferred']
"""How a run ended.

- `'success'`: with an output.
- `'error'`: with an exception.
- `'cancelled'`: by a timeout, a cancellation, Ctrl-C, or because the stream or iteration was left before its end.
- `'deferred'`: with `DeferredToolRequests` or a `PendingModelResponse`, which wait for somebody else's answer.
"""

RUN_OUTCOMES: tuple[RunOutcome, ...] = get_args(RunOutcome)


@dataclass(kw_only=True, frozen=True, eq=False)
class RunRecord:
    """What one run left behind.

    The record is a snapshot: it does not change when the agent runs again with the same message list, usage or
    metadata objects. Messages, `deps`, `inputs` and `output` are held by reference. Two records are equal only if they are
    one.
    """

    run_id: str
    """The run's id, unique per run."""
    target: str
    """Name of what was evaluated: the agent's name, or `'agent'` when it has none."""
    outcome: RunOutcome
    """How the run ended."""
    inputs: Any
    """The prompt of the run, as passed to it."""
    output: Any
    """The run's output. On `'error'` and `'cancelled'` the exception."""
    started_at: datetime
    """When the run started (UTC)."""
    duration: float
    """How long the run took, in seconds."""
    agent_name: str | None = None
    """The agent's name, if it has one."""
    parent_run_id: str | None = None
    """The id of the run in which this one was started (from an agent's tool or hook, or in a function), if any."""
    agent_path: tuple[str, ...] = ()
    """Names of the runs around this one, from the outermost to this one itself: `('planner', 'researcher')`."""
    conversation_id: str | None = None
    """The id of the conversation the run belongs to."""
    expected_output: Any = None
    """What the output should have been, where that is known."""
    error: BaseException | None = None
    """The exception the run ended with, on `'error'` and `'cancelled'`."""
    messages: tuple[ModelMessage, ...] = ()
    """The messages of the whole conversation, this run's included."""
    new_message_index: int = 0
    """Index in `messages` of this run's first message."""
    usage: RunUsage = field(default_factory=RunUsage)
    """What this run used; what earlier runs added to a usage object they share is left out."""
    model_name: str | None = None
    """Name of the model the run started with."""
    metadata: dict[str, Any] | None = None
    """The run's own metadata (the `metadata` of the evaluation settings is not in here)."""
    deps: Any = None
    """The run's dependencies, by reference."""
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the run's code recorded with `set_eval_attribute`."""
    recorded_metrics: dict[str, int | float] = field(default_factory=dict[str, int | float])
    """What the run's code recorded with `increment_eval_metric`."""
    span_context: SpanContext | None = None
    """The OpenTelemetry span that results are attached to, if there is one."""
    baggage: Mapping[str, object] = field(default_factory=dict[str, object])
    """The OpenTelemetry baggage in force when the run started."""
    record_content: bool = True
    """Whether prompts, outputs and reasons may go into events and stores (`ASSAY_RECORD_CONTENT`)."""
    spans: RunSpans | None = field(default=None, repr=False)
    """The spans recorded during the run."""

    def without_content(self) -> RunRecord:
        """The run without anything an agent, its user or its tools wrote: ids, outcome, times, usage and metadata stay."""
        error = None if self.error is None else WithheldError(self.error)
        return replace(
            self,
            inputs=None,
            output=error,
            expected_output=None,
            error=error,
            messages=(),
            new_message_index=0,
            deps=None,
            attributes={},
            spans=None,
        )

    def withheld(self) -> RunRecord:
        """The run without anything its code or its caller could have put a secret into, but its ids."""
        return replace(self.without_content(), metadata=None, baggage={}, recorded_metrics={})

    @property
    def new_messages(self) -> tuple[ModelMessage, ...]:
        """The messages of this run alone."""
        return self.messages[self.new_message_index :]

    @property
    def cost(self) -> Decimal | None:
        """What the run cost in USD, or `None` if its models have no known price."""
        return self.usage.cost

    @property
    def span_reference(self) -> SpanReference | None:
        """The span that results are attached to, in the form sinks take it."""
        if self.span_context is None:
            return None
        return SpanReference(
            trace_id=format(self.span_context.trace_id, '032x'), span_id=format(self.span_context.span_id, '016x')
        )

    @cached_property
    def telemetry_context(self) -> Context:
        """An OpenTelemetry context that holds nothing but the run's span and baggage."""
        context = Context()
        for key, value in self.baggage.items():
            context = baggage.set_baggage(key, value, context)
        if self.span_context is not None:
            context = trace.set_span_in_context(trace.NonRecordingSpan(self.span_context), context)
        return context

    @cached_property
    def tools_called(self) -> Sequence[str]:
        """Names of the tools the model called in this run, in order, a name once per call."""
        return tuple(
            part.tool_name
            for message in self.new_messages
            if isinstance(message, ModelResponse)
            for part in message.parts
            if isinstance(part, BaseToolCallPart)
        )
