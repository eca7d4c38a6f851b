"""What a user can set: per evaluator (`OnlineEvaluator`) and for all of them (`OnlineEvalConfig`).

The names, and the meaning of everything that `pydantic_evals.online` has as well, are pydantic-evals' own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, get_args

from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator
from pydantic_evals.online import (
    OnErrorCallback,
    OnMaxConcurrencyCallback,
    OnSamplingErrorCallback,
    SamplingMode,
)

from ._upstream import EVALUATION_DISABLED, inside_dataset_evaluation
from .budget import Budget
from .checks import (
    check_all_in,
    check_budget,
    check_choice,
    check_count,
    check_evaluator,
    check_flag,
    check_function,
    check_instance,
    check_mapping,
    check_rate,
    check_retries,
    check_seconds,
    check_sink,
    check_store,
    copied,
)
from .errors import ConfigurationError
from .runs.outcome import EvaluationOutcome
from .runs.record import RUN_OUTCOMES, RunOutcome, RunRecord
from .sink import EvaluationSink, ResultStore, SinkPayload, SinkSource

__all__ = (
    'DEFAULT_CONFIG',
    'EvaluationSink',
    'OnlineEvalConfig',
    'OnlineEvaluator',
    'Overflow',
    'RedactCallback',
    'ResultStore',
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
    retries. A function gets the outcome and the run, and returns what replaces the output, within `sink_timeout`; one that
    is not asynchronous runs in a thread. Default: `'raise'`.
    """
    on_unavailable: Unavailable = 'open'
    """Whether an output gets through (`'open'`) or is refused (`'closed'`) where there is no verdict in time."""
    budget: Budget | None = None
    """What this evaluator, and whoever else is given the same budget, may spend. `None` uses the config's."""
    on_result: ResultCallback | None = None
    """Called with the outcome and its run when a run was scored. `None` uses the evaluator's own, else the config's."""
    on_fail: ResultCallback | None = None
    """The same, when one of the results is `False`; with `mode='block'`, for each output that was refused.

    What failed to be evaluated has no results, and is no fail.
    """

    def __post_init__(self) -> None:
        """Check the settings, and take those that could be changed from outside as they are now."""
        self._check()
        vars(self)['sink'] = copied(self.sink)
        if self.run_on is not None:
            self.run_on = frozenset(self.run_on)
        super().__post_init__()

    def _check(self) -> None:
        check_evaluator(self.evaluator)
        if self.sample_rate is not None:
            check_rate('sample_rate', self.sample_rate)
        check_sink('sink', self.sink)
        check_count('max_concurrency', self.max_concurrency, 1)
        if self.timeout is not None:
            check_seconds('timeout', self.timeout)
        check_seconds('retry_wait', self.retry_wait)
        check_retries(self.retries)
        check_function('retry_on', self.retry_on, 'a function of an exception', synchronous=True)
        check_function('when', self.when, 'a function of the finished run', synchronous=True)
        check_choice('sample_by', self.sample_by, get_args(SampleBy))
        check_choice('run_in', self.run_in, get_args(RunIn))
        check_all_in('run_on', self.run_on, RUN_OUTCOMES)
        check_flag('run_on_errors', self.run_on_errors)
        _check_callbacks(self)
        check_budget(self.budget)
        self._check_mode()

    def _check_mode(self) -> None:
        check_choice('mode', self.mode, get_args(Mode))
        check_choice('on_unavailable', self.on_unavailable, get_args(Unavailable))
        if not callable(self.action):
            check_choice('action', self.action, ('retry', 'raise'), or_else='a function that returns a replacement')
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
    store: ResultStore | str | None = field(default=None, repr=False)
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
    """Applied once to each record of a run before anybody is shown it: judges, events, sinks, stores. Default: nothing.

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
        """Check the settings, and take those that could be changed from outside as they are now."""
        self._check()
        vars(self)['default_sink'] = copied(self.default_sink)
        if self.metadata is not None:
            self.metadata = copied(dict(self.metadata))

    def _check(self) -> None:
        check_sink('default_sink', self.default_sink)
        check_rate('default_sample_rate', self.default_sample_rate)
        for name in ('enabled', 'emit_otel_events', 'include_baggage'):
            check_flag(name, getattr(self, name))
        check_choice('sampling_mode', self.sampling_mode, get_args(SamplingMode))
        check_mapping('metadata', self.metadata)
        _check_callbacks(self)
        check_budget(self.budget)
        check_store(self.store)
        check_count('queue_size', self.queue_size, 1)
        check_count('queue_bytes', self.queue_bytes, 1)
        check_choice('overflow', self.overflow, get_args(Overflow))
        check_seconds('sink_timeout', self.sink_timeout)
        check_seconds('shutdown_timeout', self.shutdown_timeout, or_zero=True)
        check_function('redact', self.redact, 'a function that takes and returns a run', synchronous=True)
        if self.span_attribute_limit is not None:
            check_count('span_attribute_limit', self.span_attribute_limit, 1)

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


def _check_callbacks(settings: OnlineEvaluator | OnlineEvalConfig) -> None:
    for name in ('on_max_concurrency', 'on_error'):
        check_function(name, getattr(settings, name))
    check_function('on_sampling_error', settings.on_sampling_error, synchronous=True)
    for name in ('on_result', 'on_fail'):
        check_function(name, getattr(settings, name), 'a function of an outcome and its run')


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
    given = [name for name, value in locals().items() if value is not _UNSET]
    values = locals()
    checked = OnlineEvalConfig(**{**vars(DEFAULT_CONFIG), **{name: values[name] for name in given}})
    vars(DEFAULT_CONFIG).update({name: getattr(checked, name) for name in given})


def own_config(config: upstream.OnlineEvalConfig) -> OnlineEvalConfig:
    """View a config of pydantic-evals as one of ours; later changes to it show through.

    Raises:
        ConfigurationError: If it is neither, or a setting has a value that cannot work.
    """
    if isinstance(config, OnlineEvalConfig):
        return config
    check_instance('config', config, upstream.OnlineEvalConfig)
    return _view(OnlineEvalConfig, config)


def own_evaluator(evaluator: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator) -> OnlineEvaluator:
    """View a bare evaluator, or an `OnlineEvaluator` of pydantic-evals, as one of ours.

    Raises:
        ConfigurationError: If it is neither, or a setting has a value that cannot work.
    """
    if isinstance(evaluator, OnlineEvaluator):
        return evaluator
    if isinstance(evaluator, upstream.OnlineEvaluator):
        return _view(OnlineEvaluator, evaluator)
    return OnlineEvaluator(evaluator=evaluator)


_SettingsT = TypeVar('_SettingsT', OnlineEvaluator, OnlineEvalConfig)


def _view(cls: type[_SettingsT], other: object) -> _SettingsT:
    # Sharing the other's dictionary keeps its settings live; what it does not have are our class-level defaults.
    view = cls.__new__(cls)
    view.__dict__ = vars(other)
    # Both classes are of this module, and their users have no use for checking again.
    view._check()  # pyright: ignore[reportPrivateUsage]
    return view
