"""What is read from a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic_evals.evaluators import EvaluatorSpec
from pydantic_evals.online import SpanReference

from ..analysis.moments import Moments
from ..runs.outcome import EvaluationOutcome, EvaluationStatus
from ..runs.record import RunOutcome, RunRecord

__all__ = (
    'Aggregate',
    'Feedback',
    'FeedbackValue',
    'Page',
    'ResultKind',
    'RunSummary',
    'StoreInfo',
    'StoredEvaluator',
    'StoredOutcome',
    'StoredRun',
)

_T = TypeVar('_T')

FeedbackValue = bool | int | float | str
ResultKind = Literal['outcome', 'assertion', 'score', 'label']
"""What an aggregate is about: outcomes by their status, or the results of one name that are a bool, a number or a text."""


@dataclass(kw_only=True, frozen=True)
class Page(Generic[_T]):
    """Some of what was asked for, and where the rest begins."""

    items: tuple[_T, ...]
    cursor: str | None
    """Hand it back for the next page; `None` where this is the last one."""


@dataclass(kw_only=True, frozen=True)
class RunSummary:
    """A run as lists show it."""

    run_id: str
    target: str
    outcome: RunOutcome
    started_at: datetime
    duration: float
    """In seconds."""
    agent_name: str | None
    agent_path: tuple[str, ...]
    parent_run_id: str | None
    conversation_id: str | None
    span: SpanReference | None
    """The OpenTelemetry span of the run."""
    model_name: str | None
    variant: str | None
    """`metadata['variant']`"""
    error_type: str | None
    """The class of the error it ended with."""
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    """In USD."""
    prompt: str | None
    """The beginning of its input; `None` where content is not recorded."""
    answer: str | None
    """The beginning of its output; `None` where content is not recorded."""
    bytes: int
    """Compressed size of its content."""


@dataclass(kw_only=True, frozen=True)
class StoredOutcome:
    """An outcome in the store."""

    number: int
    """Grows in the order in which outcomes are written: what `tail` goes on from."""
    outcome: EvaluationOutcome
    series: str
    """Empty for what was judged online; else the re-judging of stored runs that it belongs to."""
    started_at: datetime
    """When the run started."""


@dataclass(kw_only=True, frozen=True)
class Feedback:
    """What somebody said of a run."""

    name: str
    """What it is about, such as `'helpful'`."""
    value: FeedbackValue
    at: datetime
    run_id: str | None = None
    span: SpanReference | None = None
    """The span of the run, where that is all that is known."""
    comment: str | None = None
    by: str | None = None
    """Who said it."""


@dataclass(kw_only=True, frozen=True)
class StoredRun:
    """A run in the store, with all that was kept of it."""

    summary: RunSummary
    record: RunRecord
    """The run as evaluators see it. `deps` are not kept."""
    tags: tuple[str, ...] = ()
    """`metadata['tags']`"""
    outcomes: tuple[StoredOutcome, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """What of the run was not kept, or cannot be read, and why."""


@dataclass(kw_only=True, frozen=True)
class StoredEvaluator:
    """An evaluator whose outcomes are in the store."""

    name: str
    fingerprint: str | None
    version: str | None
    spec: EvaluatorSpec | None
    """Its class and settings; `None` as long as it never scored or failed."""
    first_seen: datetime


@dataclass(kw_only=True, frozen=True)
class Aggregate:
    """Sums over outcomes, for what `by` told apart; the fields that it did not are `None`."""

    kind: ResultKind
    name: str
    """The result's name; empty where `kind` is `'outcome'`."""
    start: datetime | None = None
    """Where the minute, hour or day begins, if `step` asked for them."""
    series: str | None = None
    target: str | None = None
    agent_path: tuple[str, ...] | None = None
    evaluator: str | None = None
    version: str | None = None
    fingerprint: str | None = None
    label: str | None = None
    """The label that was given; empty where results are bools or numbers."""
    variant: str | None = None
    model: str | None = None
    tag: str | None = None
    """The sums are over the runs that have it. A run with several tags is in the sums of each."""
    first_at: datetime
    """When the first of the evaluations ended."""
    last_at: datetime
    """When the last of them ended."""
    statuses: Mapping[EvaluationStatus, int] = field(default_factory=dict[EvaluationStatus, int])
    """Outcomes by status, where `kind` is `'outcome'`."""
    moments: Moments = Moments()
    """Of the results: `True` is 1 and `False` 0, and each label is 1 where it was given."""
    duration: float = 0.0
    """Seconds that the evaluations took, together."""
    waited: float = 0.0
    """Seconds that they waited, together."""
    attempts: int = 0
    judge_cost: float = 0.0
    """In USD."""
    judge_requests: int = 0
    judge_input_tokens: int = 0
    judge_output_tokens: int = 0


@dataclass(kw_only=True, frozen=True)
class StoreInfo:
    """How a store is."""

    url: str
    """Without its password."""
    is_reachable: bool
    error: str | None = None
    """Why it cannot be used, if it cannot."""
    revision: str | None = None
    """The revision of its tables."""
    is_current: bool = False
    """Whether that is the one of this version."""
    runs: int = 0
    outcomes: int = 0
    content_bytes: int = 0
    """Compressed size of what runs and outcomes contain: what `max_bytes` bounds."""
    database_bytes: int = 0
    """Size of the database, or of the store's tables in it."""
    oldest: datetime | None = None
    newest: datetime | None = None
