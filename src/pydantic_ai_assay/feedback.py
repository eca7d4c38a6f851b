"""What people say of a run: kept in the store, and shown in Logfire where that is configured."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from pydantic_evals.online import SpanReference

from .errors import ConfigurationError, describe, warn_safely
from .known_store import known_store

if TYPE_CHECKING:
    from .store.rows import FeedbackValue
    from .store.store import Store

__all__ = ('record_feedback', 'record_feedback_async')

_TRACEPARENT = re.compile(r'[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}')


def record_feedback(
    *,
    name: str,
    value: FeedbackValue,
    run_id: str | None = None,
    span: SpanReference | str | None = None,
    comment: str | None = None,
    by: str | None = None,
    store: Store | str | None = None,
) -> None:
    """Keep what somebody said of a run, which may be still on its way to the store.

    Where Logfire is configured, it is an annotation of the run's span there as well. That can neither raise nor wait for
    the network.

    Args:
        name: What it is about, such as `'helpful'`; `'correction'` for what the answer should have been.
        value: `True` and `False` for thumbs, a number for a score, a text for a label or a correction.
        run_id: The run, by its whole id.
        span: The run, by its span: a `SpanReference`, or the text of a W3C `traceparent`.
        comment: Why.
        by: Who said it.
        store: The store or its URL. Default: that of `configure(store=...)`, else of `ASSAY_STORE`.

    Raises:
        ConfigurationError: If there is no run or span, no name, no store, or the value is none of those allowed.
        MissingExtraError: If the extra `store` is not installed.
        StoreUnavailableError: If the database is away.
    """
    _check(name, value, run_id)
    _check_texts(comment=comment, by=by)
    reference = _span_of(span)
    kept_in = known_store(store)
    kept_in.add_feedback(name, value, run_id=run_id, span=reference, comment=comment, by=by)
    logfire = _configured_logfire()
    if logfire is None:
        return
    try:
        reference = reference or _stored_span(kept_in, run_id)
        if reference is not None:
            _annotate(reference, name, value, comment, by)
    except Exception as error:
        warn_safely(f'Feedback {name!r} was stored, but could not be sent to Logfire: {describe(error)}')


async def record_feedback_async(
    *,
    name: str,
    value: FeedbackValue,
    run_id: str | None = None,
    span: SpanReference | str | None = None,
    comment: str | None = None,
    by: str | None = None,
    store: Store | str | None = None,
) -> None:
    """The same as `record_feedback`, without holding the event loop while the database writes.

    Raises:
        ConfigurationError: If there is no run or span, no name, no store, or the value is none of those allowed.
        MissingExtraError: If the extra `store` is not installed.
        StoreUnavailableError: If the database is away.
    """
    await anyio.to_thread.run_sync(
        partial(record_feedback, name=name, value=value, run_id=run_id, span=span, comment=comment, by=by, store=store)
    )


def _check(name: object, value: object, run_id: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"name must say what the feedback is about, such as 'helpful', got {name!r}.")
    if run_id is not None and (not isinstance(run_id, str) or not run_id.strip()):
        raise ConfigurationError(f'run_id must be the whole id of a run, got {run_id!r}.')
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ConfigurationError(
            f'The value of feedback must be a number that fits into a float, got one of {value.bit_length()} bits.'
        )


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise ConfigurationError(f'{name} must be a text, got {text!r}.')


def _span_of(span: object) -> SpanReference | None:
    if span is None or isinstance(span, SpanReference):
        return span
    match = _TRACEPARENT.fullmatch(span.strip().lower()) if isinstance(span, str) else None
    if match is None:
        raise ConfigurationError(
            f"span must be a SpanReference or a traceparent such as '00-<32 hex digits>-<16 hex digits>-01', got {span!r}."
        )
    return SpanReference(trace_id=match[1], span_id=match[2])


def _configured_logfire() -> Any:
    """Logfire, if somebody has configured it. Without that, whatever is sent to it warns and goes nowhere."""
    logfire: Any = sys.modules.get('logfire')
    # It has no public way to ask; where the name is gone, nothing is sent.
    config = getattr(getattr(logfire, 'DEFAULT_LOGFIRE_INSTANCE', None), 'config', None)
    return logfire if getattr(config, '_initialized', False) else None


def _stored_span(store: Store, run_id: str | None) -> SpanReference | None:
    """The span of a run, if the run has been written and has one."""
    from .store.errors import UnknownRunError

    assert run_id is not None
    try:
        summary = store.run(run_id).summary
    except UnknownRunError:
        return None
    # An id is also answered by the run that begins so.
    return summary.span if summary.run_id == run_id else None


def _annotate(span: SpanReference, name: str, value: FeedbackValue, comment: str | None, by: str | None) -> None:
    from logfire.experimental.annotations import record_feedback as annotate

    annotate(
        f'00-{span.trace_id}-{span.span_id}-01',
        name,
        value,
        comment,
        None if by is None else {'assay.feedback.by': by},
    )
