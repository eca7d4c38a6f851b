"""Online evaluation for Pydantic AI agents: sample, capture and judge production runs in the background."""

from pydantic_evals.online import (
    CallbackSink,
    EvaluatorContextSource,
    OnErrorCallback,
    OnErrorLocation,
    OnMaxConcurrencyCallback,
    OnSamplingErrorCallback,
    SamplingMode,
    SinkCallback,
    SpanReference,
    disable_evaluation,
)

from .capability import OnlineEvaluation
from .delivery.counters import EvaluationStats
from .errors import AssayError, AssayWarning, ConfigurationError, EvaluatorOutputError, MissingExtraError, NoRunError
from .execution.pipeline import PendingEvaluation
from .rerun import run_evaluators
from .runs.context import OnlineEvaluatorContext, run_of
from .runs.outcome import EvaluationOutcome, EvaluationStatus
from .runs.record import RunOutcome, RunRecord
from .settings import (
    DEFAULT_CONFIG,
    EvaluationSink,
    OnlineEvalConfig,
    OnlineEvaluator,
    Overflow,
    RunIn,
    SampleBy,
    SamplingContext,
    SinkPayload,
    WhenCallback,
    configure,
)
from .waiting import stats, wait_for_evaluations

__all__ = (
    'DEFAULT_CONFIG',
    'AssayError',
    'AssayWarning',
    'CallbackSink',
    'ConfigurationError',
    'EvaluationOutcome',
    'EvaluationSink',
    'EvaluationStats',
    'EvaluationStatus',
    'EvaluatorContextSource',
    'EvaluatorOutputError',
    'MissingExtraError',
    'NoRunError',
    'OnErrorCallback',
    'OnErrorLocation',
    'OnMaxConcurrencyCallback',
    'OnSamplingErrorCallback',
    'OnlineEvalConfig',
    'OnlineEvaluation',
    'OnlineEvaluator',
    'OnlineEvaluatorContext',
    'Overflow',
    'PendingEvaluation',
    'RunIn',
    'RunOutcome',
    'RunRecord',
    'SampleBy',
    'SamplingContext',
    'SamplingMode',
    'SinkCallback',
    'SinkPayload',
    'SpanReference',
    'WhenCallback',
    'configure',
    'disable_evaluation',
    'run_evaluators',
    'run_of',
    'stats',
    'wait_for_evaluations',
)
