"""`submit()`: evaluation of what was run elsewhere, or by something that is no agent of pydantic-ai."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from opentelemetry import baggage, trace
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from .capture import as_at_call, begin_run, by_name_as_at_call, outcome_of
from .checks import check_mapping, check_seconds, check_text
from .errors import ConfigurationError, describe
from .execution.attached import AttachedEvaluator, attach
from .execution.chosen import Chosen
from .execution.evaluators import AttachedEvaluators
from .execution.keeping import store_of
from .execution.pipeline import PIPELINE
from .runs.clock import TIMEKEEPER
from .runs.record import RunRecord
from .sampling.choice import RunStart
from .settings import DEFAULT_CONFIG, OnlineEvalConfig, OnlineEvaluator, own_config, own_evaluator
from .switches import check_switches, current_switches

__all__ = ('submit',)


def submit(
    *evaluators: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator,
    inputs: Any,
    output: Any = None,
    target: str,
    error: BaseException | None = None,
    expected_output: Any = None,
    metadata: Mapping[str, Any] | None = None,
    duration: float = 0.0,
    run_id: str | None = None,
    conversation_id: str | None = None,
    config: upstream.OnlineEvalConfig | None = None,
) -> str:
    """Hand over something that was run, to be evaluated in the background like the run of an agent.

    For agents of other frameworks, for results that exist already, and wherever a decorator does not fit. Results are
    reported under the current span. Works in synchronous and asynchronous code, and returns at once.

    Args:
        *evaluators: The evaluators, at least one: bare ones, or with settings of their own as `OnlineEvaluator`. Those that
            are equal to earlier ones share their `max_concurrency`.
        inputs: What was asked.
        output: What came of it.
        target: Name of what is evaluated.
        error: The exception it ended with, if it did; evaluators see it as `ctx.output`, if their `run_on` lets them.
        expected_output: What the output should have been, where that is known.
        metadata: Anything else evaluators, conditions and sinks should know.
        duration: How long it took, in seconds. Default: 0.
        run_id: What to know it by. The draw depends on it, so a result that is submitted again under its id is chosen or
            left out again. Default: a new one.
        conversation_id: The conversation it belongs to. Default: that of the run around it.
        config: Settings for all of the evaluators. Default: `DEFAULT_CONFIG`.

    Returns:
        The run's id.

    Raises:
        ConfigurationError: If one of the evaluators is none, an argument or a setting has a value that cannot work, or, in
            the first call of a process, an environment variable has. Never because of the state of the queue, or of an
            environment variable that changes later.
    """
    _check_arguments(target, error, metadata, duration, run_id, conversation_id)
    if not evaluators:
        raise ConfigurationError('submit needs at least one evaluator, got none.')
    settled = tuple([_settled(_Given(each)) for each in evaluators])
    active = begin_run(run_id or str(uuid4()), target, conversation_id)
    attached = _attached(settled, DEFAULT_CONFIG if config is None else config, target)
    if attached is None:
        return active.run_id

    def start() -> RunStart:
        return RunStart(
            run_id=active.run_id,
            conversation_id=active.conversation_id,
            target=target,
            agent_name=None,
            inputs=inputs,
            deps=None,
        )

    left: Sequence[AttachedEvaluator] = attached.attached
    try:
        chosen = attached.choose(target, start)
        if chosen is not None:
            left = [candidate.attached for candidate in chosen.candidates]
            span_context = trace.get_current_span().get_span_context()
            run = RunRecord(
                run_id=active.run_id,
                target=target,
                outcome=outcome_of(error),
                inputs=by_name_as_at_call(inputs),
                output=as_at_call(output) if error is None else error,
                started_at=datetime.fromtimestamp(TIMEKEEPER.clock.time() - duration, UTC),
                duration=duration,
                parent_run_id=active.parent_run_id,
                agent_path=active.agent_path,
                conversation_id=active.conversation_id,
                expected_output=as_at_call(expected_output),
                error=error,
                metadata=dict(metadata) if metadata is not None else None,
                span_context=span_context if span_context.is_valid else None,
                baggage=dict(baggage.get_all()),
                record_content=chosen.record_content,
            )
            PIPELINE.submit(_Submitted(run, chosen))
    except Exception as own_error:
        _drop(left, target)
        PIPELINE.notices.warn('submit', f'{target!r} is not evaluated: submitting it raised {describe(own_error)}.')
    return active.run_id


class _Submitted:
    """A run whose record exists already."""

    def __init__(self, run: RunRecord, chosen: Chosen) -> None:
        self.run_id = run.run_id
        self.target = run.target
        self.chosen = [chosen]
        self._run = run

    def record(self) -> RunRecord:
        """The run's record."""
        return self._run

    def discard(self) -> None:
        """There is nothing to let go of."""


def _check_arguments(
    target: object, error: object, metadata: object, duration: object, run_id: object, conversation_id: object
) -> None:
    check_text('target', target)
    check_text('run_id', run_id, or_none=True)
    check_text('conversation_id', conversation_id, or_none=True)
    check_seconds('duration', duration, or_zero=True)
    check_mapping('metadata', metadata)
    if error is not None and not isinstance(error, BaseException):
        raise ConfigurationError(f'error must be the exception it ended with, or None, got {error!r}.')


class _Given:
    """Anything as a key, by which it is known again and not what is equal to it."""

    __slots__ = ('value',)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Given) and other.value is self.value


class _Kind:
    """What an evaluator does and how, as a key: equal for objects that do the same in the same way.

    The fingerprint alone would not tell two evaluators apart that hold functions without a name.
    """

    __slots__ = ('__weakref__', '_key', '_state')

    def __init__(self, settings: OnlineEvaluator) -> None:
        evaluator = settings.evaluator
        known = fields(evaluator)
        names = {field.name for field in known}
        self._key = attach(settings).key
        self._state = (
            type(evaluator),
            [getattr(evaluator, field.name, None) for field in known if field.compare],
            {name: value for name, value in vars(evaluator).items() if name not in names},
            [getattr(settings, field.name) for field in fields(settings) if field.name != 'evaluator'],
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, _Kind) and self._key == other._key and bool(self._state == other._state)
        except Exception:
            # What an evaluator holds need not take a comparison.
            return False


_in_use: WeakValueDictionary[_Kind, OnlineEvaluator] = WeakValueDictionary()
"""The settings by which evaluators run or may run again; their limits are in there."""


@lru_cache(maxsize=256)
def _settled(given: _Given) -> OnlineEvaluator:
    """An evaluator's settings: the same for the same one, and for another one that does the same.

    Raises:
        ConfigurationError: If it is no evaluator.
    """
    settings = own_evaluator(given.value)
    return _in_use.setdefault(_Kind(settings), settings)


@lru_cache(maxsize=256)
def _attach(settled: tuple[_Given, ...], config: _Given) -> AttachedEvaluators:
    return AttachedEvaluators([each.value for each in settled], config.value)


def _attached(
    settled: Sequence[OnlineEvaluator], config: upstream.OnlineEvalConfig, target: str
) -> AttachedEvaluators | None:
    """The evaluators together; `None` where the environment does not allow to attach any at the moment.

    Raises:
        ConfigurationError: If they do not go together; and if a variable cannot be read, unless others were attached before.
    """
    try:
        return _attach(tuple(map(_Given, settled)), _Given(config))
    except ConfigurationError as error:
        fault = _fault_of_environment(own_config(config)) if _attach.cache_info().currsize else None
        if fault is None or str(fault) not in str(error):
            raise
        _drop(map(attach, settled), target)
        PIPELINE.notices.warn('environment', f'{target!r} is not evaluated by evaluators that are new here: {error}')
        return None


def _drop(evaluators: Iterable[AttachedEvaluator], target: str) -> None:
    for each in evaluators:
        PIPELINE.selection.pass_over(each, 'dropped', target, (), None)


def _fault_of_environment(config: OnlineEvalConfig) -> ConfigurationError | None:
    try:
        check_switches()
        if config.store is None:
            store_of(config, current_switches().store)
    except ConfigurationError as fault:
        return fault
    return None
