"""Calling an evaluator, and making sure that what it returns is a result."""

from __future__ import annotations

import math
import traceback
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, cast

from opentelemetry import context as otel_context, trace
from opentelemetry.context import Context
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_evals.evaluators import EvaluationReason, EvaluationResult, EvaluatorFailure, EvaluatorOutput

from ..errors import EvaluatorOutputError, describe
from ..runs.spans import shorten
from .attached import AttachedEvaluator
from .transient import is_transient

__all__ = ('EvaluatorSpan', 'call', 'call_async', 'failure_of', 'results_of')

MAX_LABEL = 1_024
"""Characters a label or a result's name may have."""
MAX_REASON = 65_536
"""Characters to which a reason is shortened."""
MAX_RESULTS = 1_000
"""Results one evaluator may return for one run."""
MAX_RETRY_WAIT = 30.0

# Instances of `EvaluationReason` are checked again, because their constructor does not.
_OUTPUT: TypeAdapter[Any] = TypeAdapter(EvaluatorOutput, config=ConfigDict(revalidate_instances='always'))

T = TypeVar('T')


def results_of(output: object, attached: AttachedEvaluator) -> tuple[EvaluationResult, ...]:
    """Turn what an evaluator returned into results.

    Raises:
        EvaluatorOutputError: If it is not a bool, a finite number, a short string, or a mapping of names to those.
    """
    identity = attached.identity
    try:
        valid = _OUTPUT.validate_python(output)
    except ValidationError as error:
        raise EvaluatorOutputError(
            f'{identity.name} returned {shorten(_repr(output), 200)}; expected a bool, a finite number, a string, an '
            '`EvaluationReason`, or a mapping of names to those.'
        ) from error
    items = cast('Mapping[str, Any]', valid) if isinstance(valid, Mapping) else {identity.name: valid}
    if len(items) > MAX_RESULTS:
        raise EvaluatorOutputError(f'{identity.name} returned {len(items)} results; at most {MAX_RESULTS} are taken.')
    results: list[EvaluationResult] = []
    for name, item in items.items():
        value, reason = (item.value, item.reason) if isinstance(item, EvaluationReason) else (item, None)
        _check_value(identity.name, 'a result name', name)
        _check_value(identity.name, 'a label', value)
        results.append(
            EvaluationResult(
                name=name,
                value=value,
                reason=_clean(reason) if reason is not None else None,
                source=identity.source,
                evaluator_version=identity.version,
            )
        )
    return tuple(results)


def _check_value(evaluator: str, what: str, value: object) -> None:
    if isinstance(value, str) and len(value) > MAX_LABEL:
        raise EvaluatorOutputError(
            f'{evaluator} returned {what} of {len(value):,} characters; at most {MAX_LABEL:,} are taken. Put long text '
            'into the `reason` of an `EvaluationReason`.'
        )
    if isinstance(value, str) and not value.isascii() and _is_broken(value):
        raise EvaluatorOutputError(f'{evaluator} returned {what} that is not valid Unicode text: {ascii(value[:100])}.')
    if isinstance(value, int) and not math.isfinite(_as_float(value)):
        raise EvaluatorOutputError(
            f'{evaluator} returned an integer of {value.bit_length()} bits, too large for a score.'
        )


def _clean(reason: str) -> str:
    """A reason as it is passed on: shortened, and without lone surrogates."""
    return shorten(reason, MAX_REASON).encode(errors='replace').decode()


def _is_broken(text: str) -> bool:
    """Whether a text has lone surrogates, which no exporter or store can encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _repr(value: object) -> str:
    try:
        return repr(value)
    except BaseException as error:
        return f'<{type(value).__name__} whose repr raised {type(error).__name__}>'


def failure_of(error: BaseException, attached: AttachedEvaluator) -> EvaluatorFailure:
    """Describe what went wrong in the form of pydantic-evals."""
    identity = attached.known_identity
    return EvaluatorFailure(
        name=attached.name,
        error_message=_clean(_message(error)),
        error_stacktrace=_clean(_stacktrace(error)),
        source=attached.source,
        evaluator_version=identity.version if identity is not None else None,
        error_type=type(error).__name__,
    )


def _message(error: BaseException) -> str:
    try:
        return f'{type(error).__name__}: {error}'
    except BaseException:
        return describe(error)


def _stacktrace(error: BaseException) -> str:
    try:
        return ''.join(traceback.format_exception(error))
    except BaseException as second:
        return f'{describe(error)} (its stack trace raised {type(second).__name__})'


class EvaluatorSpan:
    """The span of an evaluator's call, named as pydantic-evals names it so that existing queries find it.

    It becomes the current span and is not taken back, for it is entered in a context that ends with the call: a
    coroutine that is dropped half-way is closed in some other context, where taking it back would fail.
    """

    def __init__(
        self, attached: AttachedEvaluator, parent: Context | None = None, *, record_content: bool = True
    ) -> None:
        self._record_content = record_content
        self._name = attached.identity.name
        self._parent = otel_context.get_current() if parent is None else parent

    def __enter__(self) -> None:
        """Start the span."""
        self._span = trace.get_tracer('pydantic-ai-assay').start_span(
            'evaluator: {evaluator_name}',
            self._parent,
            attributes={
                'evaluator_name': self._name,
                'logfire.msg_template': 'Calling evaluator: {evaluator_name}',
                'logfire.msg': f'Calling evaluator: {self._name}',
            },
        )
        otel_context.attach(trace.set_span_in_context(self._span, self._parent))

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the span, noting the error if there is one."""
        if exc is not None and not isinstance(exc, GeneratorExit):
            # Not `record_exception`, which fails where the error's text does.
            attributes = {'exception.type': type(exc).__name__}
            if self._record_content:
                attributes['exception.message'] = _clean(_message(exc))
                attributes['exception.stacktrace'] = _clean(_stacktrace(exc))
            self._span.add_event('exception', attributes)
            self._span.set_status(trace.StatusCode.ERROR, type(exc).__name__)
        self._span.end()


async def call_async(
    attached: AttachedEvaluator, attempt: Callable[[], Awaitable[T]], *, attempted: Callable[[], None]
) -> T:
    """Await `attempt()`, again after an error that can pass, as often as the evaluator's settings allow."""
    settings = attached.settings
    if not settings.retries:
        attempted()
        return await attempt()
    from tenacity import AsyncRetrying

    async def counted() -> T:
        attempted()
        return await attempt()

    return await AsyncRetrying(**_retry_policy(attached))(counted)


def call(attached: AttachedEvaluator, attempt: Callable[[], T], *, attempted: Callable[[], None]) -> T:
    """Call `attempt()`, again after an error that can pass, as often as the evaluator's settings allow."""
    settings = attached.settings
    if not settings.retries:
        attempted()
        return attempt()
    from tenacity import Retrying

    def counted() -> T:
        attempted()
        return attempt()

    return Retrying(**_retry_policy(attached))(counted)


def _retry_policy(attached: AttachedEvaluator) -> dict[str, Any]:
    from tenacity import retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    settings = attached.settings
    return {
        'stop': stop_after_attempt(settings.retries + 1),
        'wait': wait_exponential(multiplier=settings.retry_wait, max=MAX_RETRY_WAIT)
        + wait_random(0, settings.retry_wait),
        'retry': retry_if_exception(settings.retry_on or is_transient),
        'reraise': True,
    }
