"""A finished run in a form that can be written down, and read again by another process."""

# Annotations are no text here: in the sandbox of a workflow there may be no module to look their names up in.

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from opentelemetry.trace import SpanContext, TraceFlags
from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage
from pydantic_ai.usage import RunUsage

from ..errors import RestoredRunError, describe
from ..runs.record import RunOutcome, RunRecord

__all__ = ('DurableRun',)


@dataclass(kw_only=True)
class DurableRun:
    """What is written down of a run: everything of the record but `deps` and the spans."""

    run_id: str
    target: str
    outcome: RunOutcome
    inputs: Any
    output: Any
    started_at: datetime
    duration: float
    agent_name: str | None = None
    parent_run_id: str | None = None
    agent_path: tuple[str, ...] = ()
    conversation_id: str | None = None
    expected_output: Any = None
    error: str | None = None
    """The exception's type and text; `output` is empty then."""
    messages: list[ModelMessage] = field(default_factory=list[ModelMessage])
    new_message_index: int = 0
    usage: RunUsage = field(default_factory=RunUsage)
    model_name: str | None = None
    metadata: dict[str, Any] | None = None
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    recorded_metrics: dict[str, int | float] = field(default_factory=dict[str, int | float])
    span: tuple[str, str, int] | None = None
    """Trace id and span id in hexadecimal, and the trace flags."""
    baggage: dict[str, str] = field(default_factory=dict[str, str])
    record_content: bool = True

    @classmethod
    def of(cls, record: RunRecord) -> 'DurableRun':
        """Write a record down."""
        known = {each.name for each in fields(cls)} & {each.name for each in fields(record)}
        values = {name: getattr(record, name) for name in known - {'error', 'messages', 'baggage', 'output'}}
        context = record.span_context
        return cls(
            **values,
            output=record.output if record.error is None else None,
            error=describe(record.error) if record.error is not None else None,
            messages=list(record.messages),
            span=(f'{context.trace_id:032x}', f'{context.span_id:016x}', int(context.trace_flags)) if context else None,
            baggage={key: str(value) for key, value in record.baggage.items()},
        )

    @classmethod
    def read(cls, values: object) -> 'DurableRun':
        """Read a run again, from its fields by name, as objects or in their JSON form."""
        return _ADAPTER.validate_python(values)

    def record(self) -> RunRecord:
        """The record that was written down."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        span, error = values.pop('span'), values.pop('error')
        values['messages'] = tuple(self.messages)
        if error is not None:
            values['error'] = values['output'] = RestoredRunError(error)
        if span is not None:
            values['span_context'] = SpanContext(int(span[0], 16), int(span[1], 16), True, TraceFlags(span[2]))
        return RunRecord(**values)


_ADAPTER = TypeAdapter(DurableRun)
