"""What a user can set: per evaluator (`OnlineEvaluator`) and for all of them (`OnlineEvalConfig`).

The names, and the meaning of everything that `pydantic_evals.online` has as well, are pydantic-evals' own.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar, cast, get_args, runtime_checkable

from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator
from pydantic_evals.online import (
    OnErrorCallback,
    OnMaxConcurrencyCallback,
    OnSamplingErrorCallback,
    SamplingMode,
    SinkCallback,
)

from ._upstream import EVALUATION_DISABLED, inside_dataset_evaluation
from .budget import Budget
from .errors import ConfigurationError, MissingExtraError
from .runs.outcome import EvaluationOutcome, EvaluationStatus
from .runs.record import RUN_OUTCOMES, RunOutcome, RunRecord

__all__ = (
    'DEFAULT_CONFIG',
    'EvaluationSink',
    'OnlineEvalConfig',
    'OnlineEvaluator',
    'Overflow',
    'RedactCallback',
    'RunIn',
    'SampleBy',
    'SampleRate',
    'SamplingContext',
    'SinkPayload',
    'SinkSource',
    'WhenCallback',
    'configure',
    'own_config',
    'own_evaluator',
)

SampleBy = Literal['run', 'conversation']
"""What a draw decides about: each run by itself, or all runs of a conversation together."""

RunIn = Literal['auto', 'background']
"""Where an asynchronous evaluator runs: on the event loop of the run it judges, or on a loop in a thread of ours."""

Overflow = Literal['drop_newest', 'drop_oldest']
"""Which evaluation goes when the queue is full."""

RedactCallback = Callable[[RunRecord], RunRecord]
"""Takes a run and returns it without what must not leave the process."""

_T = TypeVar('_T')

WhenCallback = Callable[[RunRecord], bool | float]
"""A condition over the finished run. Returns whether to judge it, or the probability of judging it."""


Mode = Literal['background', 'block']
"""Whether an evaluator judges a run when it is over, or its output before the run returns it."""
Unavailable = Literal['open', 'closed']
"""Whether an output gets through where a blocking evaluator gave no verdict."""
ReplaceCallback = Callable[[EvaluationOutcome, RunRecord], Any]
"""Gets the outcome that refused an output, and the run with that output; returns, or awaits, what replaces it."""
Action = Literal['retry', 'raise'] | ReplaceCallback
"""What is done about an output that a blocking evaluator refuses."""
ResultCallback = Callable[[EvaluationOutcome, RunRecord], None | Awaitable[None]]
"""Told what became of an evaluation, with the run that it is about."""


def _check_evaluator(evaluator: object) -> None:
    if isinstance(evaluator, type):
        raise ConfigurationError(f'Expected an evaluator, got the class {evaluator.__name__!r}; call it to make one.')
    if not isinstance(evaluator, Evaluator):
        raise ConfigurationError(f'Expected an instance of an `Evaluator` subclass, got {evaluator!r}.')


def _check_rate(name: str, rate: object) -> None:
    if rate is None or callable(rate):
        return
    if not isinstance(rate, int | float) or not 0.0 <= rate <= 1.0:
        raise ConfigurationError(f'{name} must be a number from 0.0 to 1.0 or a callable, got {rate!r}.')


def _check_seconds(name: str, value: object, *, or_zero: bool = False) -> None:
    valid = isinstance(value, int | float) and math.isfinite(value) and (value > 0 or (or_zero and value == 0))
    if not valid:
        raise ConfigurationError(
            f'{name} must be a {"" if or_zero else "positive "}number of seconds{", 0 or more" if or_zero else ""}, '
            f'got {value!r}.'
        )


def _check_count(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f'{name} must be an integer of at least {least}, got {value!r}.')


def _check_callback(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(f'{name} must be a function of an outcome and its run, got {value!r}.')


def _check_budget(value: object) -> None:
    if value is not None and not isinstance(value, Budget):
        raise ConfigurationError(f"budget must be a Budget, such as Budget(usd=5, per='day'), got {value!r}.")


def _check_store(value: object) -> None:
    if value is not None and not isinstance(value, str | ResultStore):
        raise ConfigurationError(f"store must be a URL such as 'sqlite:///assay.db' or a Store, got {value!r}.")


def _check_run_on(run_on: object) -> None:
    if run_on is None:
        return
    if isinstance(run_on, str) or not isinstance(run_on, Collection):
        raise ConfigurationError(f"run_on must be a collection such as ['error'], got {run_on!r}.")
    for outcome in cast('Collection[object]', run_on):
        _check_choice('run_on', outcome, RUN_OUTCOMES)


def _check_choice(name: str, value: object, allowed: Sequence[str], *, or_else: str | None = None) -> None:
    if value not in allowed:
        choices = [*map(repr, allowed), *([] if or_else is None else [or_else])]
        raise ConfigurationError(f'{name} must be one of {", ".join(choices)}, got {value!r}.')


def _require_tenacity() -> None:
    try:
        import tenacity  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingExtraError('`retries`', 'retries') from error


@dataclass(kw_only=True)
class SamplingContext(upstream.SamplingContext):
    """What a `sample_rate` callable gets to know: everything that is known before the run."""

    run_id: str = ''
    """The run's id."""
    conversation_id: str | None = None
    """The conversation the run belongs to."""
    target: str = 'agent'
    """Name of what runs: the agent's name, or the function's."""
    agent_name: str | None = None
    """The agent's name, if it is an agent and has one."""
    deps: Any = None
    """The run's dependencies, by reference."""


@dataclass(kw_only=True, frozen=True)
class SinkPayload(upstream.SinkPayload):
    """What a sink is handed: the results of one run, and the run itself."""

    outcomes: Sequence[EvaluationOutcome] = ()
    """What became of each evaluation, the ones that were dropped included."""
    run: RunRecord
    """The run that was evaluated."""


@runtime_checkable
class EvaluationSink(Protocol):
    """Where results go besides OpenTelemetry. A sink of pydantic-evals is one, too."""

    async def submit(self, payload: SinkPayload) -> None:
        """Take the results of one run.

        It is called on the run's event loop while that runs, and timed out after `sink_timeout`. Where the loop stands
        still in the middle of it, it is called again with the same payload on another one.

        Args:
            payload: The results, and the run they are about.
        """
        ...


@runtime_checkable
class ResultStore(EvaluationSink, Protocol):
    """What keeps every judged run and every outcome, such as a `Store`."""

    takes_all: ClassVar[bool]
    """Whether it is handed the runs as well of which no evaluation has a result or a failure."""

    def count(self, status: EvaluationStatus, evaluator: str, fingerprint: str | None, target: str, n: int = 1) -> None:
        """Count evaluations that have no outcome, such as those that were sampled out. Must return at once."""
        ...


SinkSource = EvaluationSink | Sequence[EvaluationSink | SinkCallback] | SinkCallback

SampleRate = float | Callable[[SamplingContext], float | bool]


@dataclass(kw_only=True)
class OnlineEvaluator(upstream.OnlineEvaluator):
    """An evaluator with settings of its own.

    `evaluator`, `sink`, `on_max_concurrency`, `on_sampling_error`, `on_error` and `run_on_errors` mean what they mean
    in pydantic-evals, with the difference that evaluations over `max_concurrency` wait instead of being dropped.

    Raises:
        ConfigurationError: If a setting has a value that cannot work.
        MissingExtraError: If `retries` is set and the extra `retries` is not installed.
    """

    # What a callable is given here is more than what pydantic-evals promises it.
    sample_rate: SampleRate | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Probability of running this evaluator (0.0 to 1.0), or a callable over what is known before the run.

    `None` (the default) uses the config's `default_sample_rate`, unless `when` is set.
    """
    sink: SinkSource | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Sinks of this evaluator, instead of the config's `default_sink`."""
    max_concurrency: int = 32
    """How many evaluations of this evaluator may run at once; more wait in the queue. Default: 32."""
    timeout: float | None = 60.0
    """Seconds an evaluation may take, its retries included; `None` for no limit. Default: 60."""
    retries: int = 0
    """How often a failed evaluation is tried again when the error is one that can pass. Default: 0."""
    retry_on: Callable[[BaseException], bool] | None = None
    """Tells which errors can pass. Default: timeouts, connection errors, and HTTP status 408, 409, 425, 429 and 5xx."""
    retry_wait: float = 0.5
    """Seconds to wait before the first retry; each further wait doubles, with jitter, up to 30 s. Default: 0.5."""
    when: WhenCallback | None = None
    """A condition over the finished run, so that slow, failing or expensive runs can always be judged.

    `True` judges the run, a number is the probability of judging it, and `False` leaves the decision to `sample_rate`
    (which is 0 for an evaluator with `when` and no `sample_rate` of its own). The greater of the two probabilities
    counts, and is the one that is recorded.
    """
    run_on: Collection[RunOutcome] | None = None
    """Which outcomes of a run this evaluator sees: `'success'`, `'error'`, `'cancelled'`, `'deferred'`.

    `None` (the default) means success, and with `run_on_errors=True` success and error.
    """
    sample_by: SampleBy = 'run'
    """`'conversation'` draws once per conversation, so that all of its runs are judged or none. Default: `'run'`."""
    run_in: RunIn = 'auto'
    """`'background'` moves an asynchronous evaluator that holds its event loop to a loop in a thread of ours.

    Such an evaluator must not share a model object, or anything else bound to an event loop, with the agent; give it
    a model by name. Default: `'auto'`, the caller's loop.
    """
    mode: Mode = 'background'
    """`'block'` judges the output of an agent before the run returns it, and refuses it where a result is `False`.

    A run waits for it, up to `timeout`; `max_concurrency` does not hold it up. Default: `'background'`.
    """
    action: Action = 'raise'
    """What is done about an output that is refused, with `mode='block'`.

    `'raise'` ends the run with `OutputRejected`. `'retry'` tells the model the reason, as one of the agent's output
    retries. A function gets the outcome and the run, and returns what replaces the output. Default: `'raise'`.
    """
    on_unavailable: Unavailable = 'open'
    """Whether an output gets through (`'open'`) or is refused (`'closed'`) where there is no verdict in time."""
    budget: Budget | None = None
    """What this evaluator, and whoever else is given the same budget, may spend. `None` uses the config's."""
    on_result: ResultCallback | None = None
    """Called with the outcome and its run when a run was scored. `None` uses the evaluator's own, else the config's."""
    on_fail: ResultCallback | None = None
    """The same, when one of the results is `False`. What failed to be evaluated has no results, and is no fail."""

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_evaluator(self.evaluator)
        _check_rate('sample_rate', self.sample_rate)
        _check_count('max_concurrency', self.max_concurrency, 1)
        if self.timeout is not None:
            _check_seconds('timeout', self.timeout)
        _check_seconds('retry_wait', self.retry_wait)
        _check_count('retries', self.retries, 0)
        if self.when is not None and not callable(self.when):
            raise ConfigurationError(f'when must be a function of the finished run, got {self.when!r}.')
        if self.retries:
            _require_tenacity()
        _check_choice('sample_by', self.sample_by, get_args(SampleBy))
        _check_choice('run_in', self.run_in, get_args(RunIn))
        _check_run_on(self.run_on)
        _check_callback('on_result', self.on_result)
        _check_callback('on_fail', self.on_fail)
        _check_budget(self.budget)
        self._check_mode()
        super().__post_init__()

    def _check_mode(self) -> None:
        _check_choice('mode', self.mode, get_args(Mode))
        _check_choice('on_unavailable', self.on_unavailable, get_args(Unavailable))
        if not callable(self.action):
            _check_choice('action', self.action, ('retry', 'raise'), or_else='a function that returns a replacement')
        if self.mode == 'block':
            if self.budget is not None:
                raise ConfigurationError(
                    "A budget leaves runs out, and mode='block' judges every output that is sampled, got "
                    f'budget={self.budget!r}.'
                )
            unknown_yet = {'when': self.when, 'run_on': self.run_on, 'run_on_errors': self.run_on_errors or None}
            for name, value in unknown_yet.items():
                if value is not None:
                    raise ConfigurationError(
                        f"{name} is about how a run ended, and mode='block' judges the output before that, got {value!r}."
                    )
        elif self.action != 'raise' or self.on_unavailable != 'open':
            raise ConfigurationError(
                "action and on_unavailable are for mode='block', got "
                f"mode='background', action={self.action!r}, on_unavailable={self.on_unavailable!r}."
            )

    def sees(self, outcome: RunOutcome) -> bool:
        """Whether this evaluator is shown runs that ended in `outcome`."""
        if self.run_on is not None:
            return outcome in self.run_on
        return outcome == 'success' or (outcome == 'error' and self.run_on_errors)


@dataclass(kw_only=True)
class OnlineEvalConfig(upstream.OnlineEvalConfig):
    """Settings that hold for all evaluators of an `OnlineEvaluation`.

    `default_sink`, `emit_otel_events`, `include_baggage`, `sampling_mode`, `enabled`, `metadata`, `on_max_concurrency`,
    `on_sampling_error` and `on_error` mean what they mean in pydantic-evals.

    Raises:
        ConfigurationError: If a setting has a value that cannot work.
    """

    default_sink: SinkSource | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Where results go besides OpenTelemetry: a sink, a callback, or several of them. Default: nowhere."""
    default_sample_rate: SampleRate = 1.0  # pyright: ignore[reportIncompatibleVariableOverride]
    """Sample rate of evaluators that have none of their own, 0.0 to 1.0. Default: 1.0."""
    budget: Budget | None = None
    """What evaluators without a budget of their own may spend, together. It does not hold for `mode='block'`."""
    store: ResultStore | str | None = None
    """Where every judged run and outcome is kept: a URL such as `'sqlite:///assay.db'`, or a `Store`.

    Needs the extra `store`. Default: what `ASSAY_STORE` says, else nowhere.
    """
    on_result: ResultCallback | None = None
    """Called with the outcome and its run when a run was scored, for evaluators without one of their own."""
    on_fail: ResultCallback | None = None
    """The same, when one of the results is `False`."""
    queue_size: int = 10_000
    """How many evaluations may wait at once. Default: 10,000."""
    queue_bytes: int = 256 * 1024 * 1024
    """How many bytes the runs that wait may hold, by estimate. Default: 256 MiB."""
    overflow: Overflow = 'drop_newest'
    """Which evaluation is dropped when the queue is full. Default: `'drop_newest'`."""
    shutdown_timeout: float = 10.0
    """Seconds for which the end of an event loop or of the process waits for what is pending. Default: 10."""
    sink_timeout: float = 30.0
    """Seconds a sink or a callback may take. Default: 30."""
    redact: RedactCallback | None = None
    """Applied once to each run before anybody is shown it: judges, events, sinks and stores. Default: nothing.

    A function that takes the run and returns it without what must not leave the process, such as `Redactor()` or one
    made with `map_text`. It runs in a thread, within `sink_timeout`. When it raises, nobody is shown the run: its
    evaluations have the status `'failed'`.
    """
    span_attribute_limit: int | None = 16_384
    """Characters to which text attributes of captured spans are shortened, visibly; `None` for no limit.

    The conversation is repeated in the attributes of every model request's span, so this bounds what a waiting
    evaluation holds in memory. `ctx.run.messages` has the conversation whole. Default: 16,384.
    """

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_rate('default_sample_rate', self.default_sample_rate)
        _check_count('queue_size', self.queue_size, 1)
        _check_count('queue_bytes', self.queue_bytes, 1)
        _check_seconds('sink_timeout', self.sink_timeout)
        _check_seconds('shutdown_timeout', self.shutdown_timeout, or_zero=True)
        if self.redact is not None and not callable(self.redact):
            raise ConfigurationError(f'redact must be a function that takes and returns a run, got {self.redact!r}.')
        if self.span_attribute_limit is not None:
            _check_count('span_attribute_limit', self.span_attribute_limit, 1)
        _check_callback('on_result', self.on_result)
        _check_callback('on_fail', self.on_fail)
        _check_budget(self.budget)
        _check_store(self.store)
        _check_choice('overflow', self.overflow, get_args(Overflow))
        _check_choice('sampling_mode', self.sampling_mode, get_args(SamplingMode))

    decorate: ClassVar[Callable[..., Any]]
    """`evaluate()`, which is made of these settings and sets itself here."""

    def evaluate(
        self,
        *evaluators: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator,
        target: str | None = None,
        msg_template: str | None = None,
        span_name: str | None = None,
        extract_args: bool | Iterable[str] = False,
        record_return: bool = False,
        collect: Callable[[list[Any]], Any] | None = None,
    ) -> Callable[[_T], _T]:
        """Evaluate the calls of a function with these settings: `evaluate(..., config=self)`."""
        return self.decorate(
            *evaluators,
            config=self,
            target=target,
            msg_template=msg_template,
            span_name=span_name,
            extract_args=extract_args,
            record_return=record_return,
            collect=collect,
        )

    def should_evaluate(self) -> bool:
        """Whether runs that start now are evaluated: enabled, not switched off here, and not inside a dataset's task."""
        return self.enabled and not EVALUATION_DISABLED.get() and not inside_dataset_evaluation()


DEFAULT_CONFIG = OnlineEvalConfig()
"""The settings of every `OnlineEvaluation` without a `config` of its own. Change them with `configure()`."""

_UNSET: Any = object()


def configure(
    *,
    default_sink: SinkSource | None = _UNSET,
    default_sample_rate: SampleRate = _UNSET,
    sampling_mode: SamplingMode = _UNSET,
    enabled: bool = _UNSET,
    metadata: dict[str, Any] | None = _UNSET,
    on_max_concurrency: OnMaxConcurrencyCallback | None = _UNSET,
    on_sampling_error: OnSamplingErrorCallback | None = _UNSET,
    on_error: OnErrorCallback | None = _UNSET,
    emit_otel_events: bool = _UNSET,
    include_baggage: bool = _UNSET,
    budget: Budget | None = _UNSET,
    store: ResultStore | str | None = _UNSET,
    on_result: ResultCallback | None = _UNSET,
    on_fail: ResultCallback | None = _UNSET,
    queue_size: int = _UNSET,
    queue_bytes: int = _UNSET,
    overflow: Overflow = _UNSET,
    shutdown_timeout: float = _UNSET,
    sink_timeout: float = _UNSET,
    redact: RedactCallback | None = _UNSET,
    span_attribute_limit: int | None = _UNSET,
) -> None:
    """Change `DEFAULT_CONFIG`, field by field; what is left out stays as it is.

    The arguments are the fields of `OnlineEvalConfig`. Either all of them take effect or, when one cannot work, none.

    Raises:
        ConfigurationError: If a setting has a value that cannot work.
    """
    given = {name: value for name, value in locals().items() if value is not _UNSET}
    OnlineEvalConfig(**{**vars(DEFAULT_CONFIG), **given})
    vars(DEFAULT_CONFIG).update(given)


def own_config(config: upstream.OnlineEvalConfig) -> OnlineEvalConfig:
    """View a config of pydantic-evals as one of ours; later changes to it show through."""
    return config if isinstance(config, OnlineEvalConfig) else _view(OnlineEvalConfig, config)


def own_evaluator(evaluator: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator) -> OnlineEvaluator:
    """View a bare evaluator, or an `OnlineEvaluator` of pydantic-evals, as one of ours.

    Raises:
        ConfigurationError: If it is neither.
    """
    if isinstance(evaluator, OnlineEvaluator):
        return evaluator
    if isinstance(evaluator, upstream.OnlineEvaluator):
        return _view(OnlineEvaluator, evaluator)
    return OnlineEvaluator(evaluator=evaluator)


def _view(cls: type[_T], other: object) -> _T:
    # Sharing the other's dictionary keeps its settings live; what it does not have are our class-level defaults.
    view = cls.__new__(cls)
    view.__dict__ = vars(other)
    return view
