"""An outcome in few words, and as JSON has it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .terminal import one_line

if TYPE_CHECKING:
    from ..runs.outcome import EvaluationOutcome
    from ..store.rows import StoredOutcome

__all__ = ('outcome_document', 'shown_value', 'verdict_of', 'why')


def shown_value(value: object) -> str:
    """A result: a pass, a fail, a number or a label."""
    if isinstance(value, bool):
        return 'pass' if value else 'FAIL'
    return f'{value:.4g}' if isinstance(value, float) else one_line(value)


def verdict_of(outcome: EvaluationOutcome) -> str:
    """What an evaluation said, or the status of one that said nothing."""
    if outcome.status != 'scored':
        return outcome.status
    results = outcome.results
    if len(results) == 1 and results[0].name == outcome.evaluator:
        return shown_value(results[0].value)
    return ', '.join(f'{one_line(each.name)}={shown_value(each.value)}' for each in results) or 'no result'


def why(outcome: EvaluationOutcome) -> str:
    """The reasons of the results, or what went wrong."""
    if outcome.failure is not None:
        # The message begins with the type where an evaluation of this process raised it.
        kind, message = f'{outcome.failure.error_type}: ', outcome.failure.error_message
        return message if outcome.failure.error_type is None else f'{kind}{message.removeprefix(kind)}'
    return '; '.join(each.reason for each in outcome.results if each.reason) or outcome.detail or ''


def outcome_document(stored: StoredOutcome) -> dict[str, Any]:
    """An outcome as JSON has it."""
    outcome = stored.outcome
    failure, judgement = outcome.failure, outcome.judgement
    return {
        'number': stored.number,
        'run_id': outcome.run_id,
        'target': outcome.target,
        'agent_path': list(outcome.agent_path),
        'evaluator': outcome.evaluator,
        'evaluator_version': outcome.evaluator_version,
        'fingerprint': outcome.fingerprint,
        'series': stored.series,
        'status': outcome.status,
        'passed': outcome.passed,
        'probability': outcome.probability,
        'results': [{'name': each.name, 'value': each.value, 'reason': each.reason} for each in outcome.results],
        'failure': None
        if failure is None
        else {
            'error_type': failure.error_type,
            'message': failure.error_message,
            'stacktrace': failure.error_stacktrace,
        },
        'detail': outcome.detail,
        'judgement': None if judgement is None else asdict(judgement),
        'attempts': outcome.attempts,
        'duration': outcome.duration,
        'waited': outcome.waited,
        'started_at': stored.started_at.isoformat(),
        'finished_at': outcome.finished_at.isoformat(),
    }
