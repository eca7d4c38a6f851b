"""A run as JSON has it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_core import to_json

from ..errors import describe
from .outcome_view import outcome_document
from .span_lines import span_nodes

if TYPE_CHECKING:
    from ..store.rows import StoredRun

__all__ = ('error_of', 'run_document')


def error_of(stored: StoredRun) -> str | None:
    """What the run raised. What is read from a store has its text, and is of another class."""
    error = stored.record.error
    return None if error is None else f'{stored.summary.error_type}: {describe(error).partition(": ")[2]}'


def run_document(stored: StoredRun) -> dict[str, Any]:
    """A run as JSON has it, with all its messages."""
    record = stored.record
    document: dict[str, Any] = {
        **asdict(stored.summary),
        'inputs': record.inputs,
        'output': None if record.error is not None else record.output,
        'expected_output': record.expected_output,
        'error': error_of(stored),
        'messages': ModelMessagesTypeAdapter.dump_python(list(record.messages), mode='json'),
        'new_message_index': record.new_message_index,
        'metadata': record.metadata,
        'attributes': record.attributes,
        'metrics': record.recorded_metrics,
        'tags': stored.tags,
        'outcomes': [outcome_document(each) for each in stored.outcomes],
        'feedback': [asdict(each) for each in stored.feedback],
        'spans': [
            {
                'name': span.name,
                'span_id': f'{span.span_id:016x}',
                'parent_span_id': None if span.parent_span_id is None else f'{span.parent_span_id:016x}',
                'start': span.start_timestamp,
                'end': span.end_timestamp,
                'status': span.status,
                'attributes': span.attributes,
            }
            for span in span_nodes(record)
        ],
        'refused': dict(stored.refused),
    }
    # Values may be of any kind: those of plain data are written as they are, others by their text.
    return json.loads(to_json(document, serialize_unknown=True, inf_nan_mode='strings'))
