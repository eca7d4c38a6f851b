"""A stored run as a case of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic_ai.messages import ModelMessagesTypeAdapter

from .plain import plain

if TYPE_CHECKING:
    from ..store.rows import Feedback, StoredOutcome, StoredRun

__all__ = ('RUN_KEY', 'Expected', 'case_of', 'correction_of')

Expected = Literal['known', 'output']
"""What a case expects: what is known to be right, or what the run answered, where nothing is known."""

RUN_KEY = 'assay_run'
"""Where in the metadata of a case the run is described."""


def case_of(stored: StoredRun, *, history: bool, expected: Expected, correction: str) -> dict[str, Any]:
    """The case that a run makes, in the form of a dataset file.

    Args:
        stored: The run.
        history: Whether the inputs have the messages before the prompt beside it.
        expected: What the case expects.
        correction: The name of the feedback that says what the answer should have been.
    """
    record = stored.record
    inputs = plain(record.inputs)
    if history:
        before = record.messages[: record.new_message_index]
        inputs = {
            'prompt': inputs,
            'message_history': plain(ModelMessagesTypeAdapter.dump_python(list(before), mode='json')),
        }
    answer = correction_of(stored, correction)
    if answer is None:
        answer = plain(record.expected_output)
    if answer is None and expected == 'output' and record.outcome == 'success':
        answer = plain(record.output)
    case: dict[str, Any] = {'name': record.run_id, 'inputs': inputs}
    if answer is not None:
        case['expected_output'] = answer
    case['metadata'] = {**(plain(record.metadata) or {}), RUN_KEY: _description_of(stored)}
    return case


def correction_of(stored: StoredRun, name: str) -> str | None:
    """What somebody said the answer should have been: the latest feedback of a name that is a text."""
    said = [each for each in stored.feedback if each.name == name and isinstance(each.value, str)]
    return plain(max(said, key=lambda each: each.at).value) if said else None


def _description_of(stored: StoredRun) -> dict[str, Any]:
    summary, record = stored.summary, stored.record
    described = {
        'run_id': record.run_id,
        'target': record.target,
        'started_at': record.started_at.isoformat(),
        'outcome': record.outcome,
        'duration': record.duration,
        'model': record.model_name,
        'variant': summary.variant,
        'conversation_id': record.conversation_id,
        'output': plain(record.output),
        'results': [entry for each in stored.outcomes for entry in _results_of(each)],
        'feedback': [_feedback_of(each) for each in stored.feedback],
    }
    return {name: value for name, value in described.items() if value not in (None, [])}


def _results_of(stored: StoredOutcome) -> list[dict[str, Any]]:
    outcome = stored.outcome
    whose = {'evaluator': outcome.evaluator, **({'series': stored.series} if stored.series else {})}
    if outcome.status != 'scored':
        return [{**whose, 'status': outcome.status}]
    return [
        {
            **whose,
            'result': each.name,
            'value': plain(each.value),
            **({} if each.reason is None else {'reason': plain(each.reason)}),
        }
        for each in outcome.results
    ]


def _feedback_of(feedback: Feedback) -> dict[str, Any]:
    said = {'name': feedback.name, 'value': feedback.value, 'by': feedback.by, 'comment': feedback.comment}
    return {name: plain(value) for name, value in said.items() if value is not None}
