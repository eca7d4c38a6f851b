"""A run and its outcomes in the form in which they are written: made in the writer's thread, and small."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluatorSpec

from ..errors import WithheldError, describe
from ..runs.judgement import Judgement
from ..runs.outcome import EvaluationOutcome
from ..runs.record import RunRecord
from .compression import pack, pack_json, to_document
from .messages import encode_messages
from .stored_spans import encode_spans
from .tally import Cell, Contribution, Observed
from .text import clean_text, path_text, preview_text, safe_repr, short_text
from .values import ValueEncoder

__all__ = (
    'OUTCOME_NAMES',
    'Entry',
    'PreparedOutcome',
    'encode_entry',
    'encode_outcome',
    'micros',
    'row_of',
    'size_of',
    'spec_text',
    'tags_of',
)

MAX_VALUE = 2_000_000
"""Characters of one of a run's parts: its input, its output, its metadata."""
MAX_MESSAGES = 8_000_000
MAX_SPANS = 4_000_000
MAX_TAGS = 50
MAX_TAGS_SEEN = 1_000
"""Members of `metadata['tags']` among which tags are looked for."""
MAX_VARIANT_BITS = 500
MAX_SCORE = 1e100
"""Greater scores cannot be summed with their squares; they are counted under a label."""
OUT_OF_RANGE = '(out of range)'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_USAGE = TypeAdapter(RunUsage)
_ROW_BYTES = 400
"""What a row of a run or an outcome takes besides its large parts, with its indexes, by estimate."""
OUTCOME_NAMES = (
    'series',
    'status',
    'passed',
    'score',
    'probability',
    'attempts',
    'duration',
    'waited',
    'judge_cost',
    'started_at',
    'finished_at',
    'detail',
)
"""The columns of an outcome that are known before it is written."""


@dataclass(slots=True)
class PreparedOutcome:
    """One outcome, ready to be written."""

    evaluator: tuple[str, str]
    """The evaluator's name and fingerprint."""
    version: str | None
    spec: EvaluatorSpec | None
    series: str
    values: tuple[Any, ...]
    """As in `OUTCOME_NAMES`."""
    minute: int
    cell: Cell
    tags: tuple[str, ...]
    """Those of its run."""
    contribution: Contribution
    detail_bytes: int


@dataclass(slots=True)
class Entry:
    """One run and its outcomes, ready to be written."""

    run_id: str
    run: dict[str, Any] | None
    """The run's row; `None` where only outcomes are added to a run that is there."""
    content: bytes = b''
    spans: bytes | None = None
    tags: tuple[str, ...] = ()
    outcomes: list[PreparedOutcome] = field(default_factory=list[PreparedOutcome])
    size: int = 0
    """Bytes of all of it, by estimate."""
    ticket: int = 0
    """Its place in the order in which runs were handed over."""


def micros(moment: datetime) -> int:
    """A time as microseconds since 1970; one without a time zone is taken for UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def encode_entry(run: RunRecord, outcomes: Sequence[EvaluationOutcome], now: datetime) -> Entry:
    """Make a run and its outcomes ready to be written."""
    if not run.record_content and not isinstance(run.error, WithheldError):
        run = run.without_content()
    row = row_of(run, now)
    content = pack(_content_of(run))
    spans = None
    if run.record_content and run.spans is not None:
        spans, _ = encode_spans(run.spans, MAX_SPANS)
    row['bytes'] = len(content) + len(spans or b'')
    tags = tags_of(run.metadata)
    entry = Entry(run_id=row['run_id'], run=row, content=content, spans=spans, tags=tags)
    entry.outcomes = [encode_outcome(outcome, run.record_content, row, tags=tags) for outcome in outcomes]
    entry.size = _ROW_BYTES + row['bytes'] + size_of(entry.outcomes)
    return entry


def size_of(outcomes: Iterable[PreparedOutcome]) -> int:
    """Bytes of outcomes, by estimate."""
    return sum([_ROW_BYTES + outcome.detail_bytes for outcome in outcomes])


def row_of(run: RunRecord, now: datetime) -> dict[str, Any]:
    """The row of a run, without its number."""
    usage, span = run.usage, run.span_reference
    cost = run.cost
    return {
        'run_id': short_text(run.run_id),
        'target': short_text(run.target),
        'agent': _short(run.agent_name),
        'path': path_text(run.agent_path),
        'parent_run_id': _short(run.parent_run_id),
        'conversation_id': _short(run.conversation_id),
        'trace_id': None if span is None else span.trace_id,
        'span_id': None if span is None else span.span_id,
        'model': _short(run.model_name),
        'variant': _variant_of(run.metadata),
        'outcome': run.outcome,
        'error_type': None if run.error is None else short_text(type(run.error).__name__),
        'started_at': micros(run.started_at),
        'duration': float(run.duration),
        'requests': usage.requests,
        'input_tokens': usage.input_tokens,
        'output_tokens': usage.output_tokens,
        'cost': None if cost is None else float(cost),
        'prompt': _preview(run.inputs) if run.record_content else None,
        'answer': _preview(run.output) if run.record_content else None,
        'bytes': 0,
        'stored_at': micros(now),
    }


def _short(text: str | None) -> str | None:
    return None if text is None else short_text(text)


def _variant_of(metadata: Mapping[str, Any] | None) -> str | None:
    variant = (metadata or {}).get('variant')
    if isinstance(variant, str):
        return short_text(variant)
    # Python refuses to write longer ones.
    return str(variant) if isinstance(variant, int) and variant.bit_length() <= MAX_VARIANT_BITS else None


def tags_of(metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The tags in a run's metadata."""
    tags = (metadata or {}).get('tags')
    if isinstance(tags, str):
        tags = (tags,)
    if not isinstance(tags, Collection):
        return ()
    seen = list(islice(cast('Collection[object]', tags), MAX_TAGS_SEEN))
    texts = [short_text(tag) for tag in seen if isinstance(tag, str) and tag]
    return tuple(dict.fromkeys(texts))[:MAX_TAGS]


def _preview(value: Any) -> str | None:
    """The beginning of a prompt or an output."""
    if value is None:
        return None
    if isinstance(value, str):
        return preview_text(value)
    if isinstance(value, BaseException):
        return None
    if isinstance(value, list | tuple):
        texts = [each for each in cast('Sequence[object]', value) if isinstance(each, str)]
        if texts:
            return preview_text(' '.join(text[:1_000] for text in texts[:10]))
    document = ValueEncoder(2_000)(value)
    if isinstance(document, dict):
        known = cast('dict[str, Any]', document)
        document = known.get('fields', known.get('shown', known))
    # Unlike that of Pydantic, this takes lone surrogates, which the text is then freed of.
    return preview_text(json.dumps(document, ensure_ascii=False, separators=(',', ':'), default=safe_repr))


def _content_of(run: RunRecord) -> bytes:
    """What is only read with the run, as JSON."""
    refused: dict[str, str] = {}
    content: dict[str, Any] = {
        'inputs': None,
        'output': None,
        'expected_output': None,
        'metadata': _encoded(run.metadata),
        'attributes': None,
        'metrics': _encoded(run.recorded_metrics),
        'baggage': _encoded(dict(run.baggage)),
        'error': _encoded(run.error),
        'new_message_index': 0,
        'record_content': run.record_content,
        'trace_flags': None if run.span_context is None else int(run.span_context.trace_flags),
        'agent_path': list(run.agent_path),
        'usage': _usage_of(run.usage, refused),
    }
    if run.record_content:
        content |= {
            'inputs': _encoded(run.inputs),
            'output': _encoded(run.output),
            'expected_output': _encoded(run.expected_output),
            'attributes': _encoded(run.attributes),
        }
    messages = encode_messages(run.messages if run.record_content else (), MAX_MESSAGES)
    if messages.refused is not None:
        refused['messages'] = messages.refused
    content['refused'] = refused
    content['messages_left_out'] = messages.left_out
    content['new_message_index'] = max(0, run.new_message_index - messages.left_out) if run.record_content else 0
    # They are JSON already, and most of it.
    return b'{"messages":' + messages.document + b',' + to_document(content)[1:]


def _encoded(value: Any) -> Any:
    # Most values are one of these, which encoding would not change.
    if value is None or value is True or value is False:
        return value
    cls = cast('type[Any]', type(value))
    if (cls is str and len(value) <= MAX_VALUE) or (cls is dict and not value):
        return value
    return ValueEncoder(MAX_VALUE)(value)


def _usage_of(usage: RunUsage, refused: dict[str, str]) -> Any:
    try:
        return _USAGE.dump_python(usage, mode='json', exclude_defaults=True)
    except Exception as error:
        refused['usage'] = f'it has no JSON form: {describe(error)}'
        return {}


def encode_outcome(
    outcome: EvaluationOutcome,
    record_content: bool,
    run: Mapping[str, Any],
    *,
    tags: tuple[str, ...] = (),
    series: str = '',
) -> PreparedOutcome:
    """Make an outcome ready to be written.

    Args:
        outcome: The outcome.
        record_content: Whether reasons and error texts may be stored.
        run: The row of its run.
        tags: The tags of its run.
        series: Empty for what was judged online; else which re-judging of stored runs it belongs to.
    """
    if not record_content:
        outcome = outcome.without_content()
    detail = _detail_of(outcome)
    judgement = outcome.judgement
    cost = judgement.cost if judgement is not None else None
    evaluator = short_text(outcome.evaluator), short_text(outcome.fingerprint or '')
    series = short_text(series)
    observed = _observed(outcome)
    started_at, finished_at = run['started_at'], micros(outcome.finished_at)
    return PreparedOutcome(
        evaluator=evaluator,
        version=_short(outcome.evaluator_version),
        spec=_source_of(outcome),
        series=series,
        values=(
            series,
            outcome.status,
            outcome.passed,
            _score_in(observed),
            outcome.probability,
            outcome.attempts,
            outcome.duration,
            outcome.waited,
            None if cost is None else float(cost),
            started_at,
            finished_at,
            detail,
        ),
        minute=started_at // 60_000_000 * 60,
        cell=_cell(series, run['target'], run['path'], *evaluator, run['variant'] or '', run['model'] or ''),
        tags=tags,
        contribution=Contribution(outcome.status, 1.0 / outcome.probability, finished_at, _taken(outcome), observed),
        detail_bytes=0 if detail is None else len(detail),
    )


def _score_in(observed: Sequence[Observed]) -> float | None:
    for each in observed:
        if each.kind == 'score' and not each.label:
            return each.value
    return None


@lru_cache(maxsize=1_000)
def _cell(series: str, target: str, path: str, evaluator: str, fingerprint: str, variant: str, model: str) -> Cell:
    """The cell of outcomes. Those of one evaluator are mostly of the same."""
    return Cell(series, target, path, evaluator, fingerprint, 'outcome', '', '', variant, model)


def _taken(outcome: EvaluationOutcome) -> tuple[float, ...]:
    taken = outcome.duration, outcome.waited, outcome.attempts
    if outcome.judgement is None:
        return taken
    usage = outcome.judgement.usage
    return *taken, float(usage.cost or 0), usage.requests, usage.input_tokens, usage.output_tokens


def _observed(outcome: EvaluationOutcome) -> list[Observed]:
    """What an outcome's results add to the sums."""
    observed: list[Observed] = []
    for result in outcome.results:
        name, value = short_text(result.name), cast(Any, result.value)
        if isinstance(value, bool):
            observed.append(Observed('assertion', name, '', float(value)))
        elif isinstance(value, str):
            observed.append(Observed('label', name, short_text(value), 1.0))
        elif -MAX_SCORE < value < MAX_SCORE:
            observed.append(Observed('score', name, '', float(value)))
        else:
            observed.append(Observed('score', name, OUT_OF_RANGE, 1.0))
    return observed


def _detail_of(outcome: EvaluationOutcome) -> bytes | None:
    """What is only read with the outcome: results, failure and votes."""
    document: dict[str, Any] = {}
    if outcome.results:
        document['results'] = [[each.name, _encoded(each.value), _encoded(each.reason)] for each in outcome.results]
        versions = [each.evaluator_version for each in outcome.results]
        if versions.count(outcome.evaluator_version) != len(versions):
            document['versions'] = versions
    if outcome.failure is not None:
        failure, encoder = outcome.failure, ValueEncoder(MAX_VALUE)
        texts = (failure.error_message, failure.error_stacktrace)
        document['failure'] = [failure.name, *map(encoder.text, texts), failure.error_type, failure.evaluator_version]
    if outcome.detail is not None:
        document['detail'] = outcome.detail
    if outcome.refused:
        document['refused'] = outcome.refused
    if outcome.judgement is not None:
        document['judgement'] = _judgement_document(outcome.judgement)
    return pack_json(document) if document else None


def _judgement_document(judgement: Judgement) -> Any:
    encoder = ValueEncoder(MAX_VALUE)
    votes = [
        {
            'judge': vote.judge,
            'value': encoder(vote.value),
            'passed': vote.passed,
            'reason': encoder(vote.reason),
            'error': vote.error,
            'model': vote.model,
            'usage': _usage_of(vote.usage, {}),
            'duration': vote.duration,
            'probability': vote.probability,
        }
        for vote in judgement.votes
    ]
    return {'votes': votes, 'agreement': judgement.agreement}


def _source_of(outcome: EvaluationOutcome) -> EvaluatorSpec | None:
    if outcome.results:
        return outcome.results[0].source
    return None if outcome.failure is None else outcome.failure.source


def spec_text(spec: EvaluatorSpec) -> str:
    """An evaluator's class and settings as JSON."""
    arguments = ValueEncoder(MAX_VALUE)(spec.arguments)
    return clean_text(to_document({'name': spec.name, 'arguments': arguments}).decode(errors='surrogatepass'))
