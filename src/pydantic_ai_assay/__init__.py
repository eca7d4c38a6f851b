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
from .decorator import evaluate
from .delivery.counters import EvaluationStats
from .errors import (
    AssayError,
    AssayWarning,
    ConfigurationError,
    EvaluatorOutputError,
    MissingExtraError,
    NoRunError,
    RedactionError,
    WithheldError,
)
from .execution.pipeline import PendingEvaluation
from .lifespan import assay_lifespan
from .redaction.redactor import RedactionKind, Redactor
from .redaction.run import map_text
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
    RedactCallback,
    ResultCallback,
    RunIn,
    SampleBy,
    SamplingContext,
    SinkPayload,
    WhenCallback,
    configure,
)
from .submission import submit
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
    'RedactCallback',
    'RedactionError',
    'RedactionKind',
    'Redactor',
    'ResultCallback',
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
    'WithheldError',
    'assay_lifespan',
    'configure',
    'disable_evaluation',
    'evaluate',
    'map_text',
    'run_evaluators',
    'run_of',
    'stats',
    'submit',
    'wait_for_evaluations',
)
