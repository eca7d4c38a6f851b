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

from .agreement import JudgeAgreement, LabelledRun, judge_agreement
from .budget import Budget, BudgetState
from .capability import OnlineEvaluation
from .datasets.export import ExportReport, export_dataset
from .decorator import evaluate
from .delivery.counters import EvaluationStats
from .errors import (
    AssayError,
    AssayWarning,
    ConfigurationError,
    EvaluatorOutputError,
    JudgementError,
    MissingExtraError,
    NoRunError,
    RedactionError,
    RestoredRunError,
    WithheldError,
)
from .execution.pipeline import PendingEvaluation
from .feedback import record_feedback, record_feedback_async
from .judging.canaries import CanaryReport, CanaryResult
from .judging.cascade import AskNext, Cascade
from .judging.case import JudgeCase
from .judging.example import Example
from .judging.grader import Grader
from .judging.judge import Judge
from .judging.panel import Combine, Panel
from .judging.report import JudgeReport, JudgeResult
from .judging.verdict import Verdict
from .lifespan import assay_lifespan
from .redaction.redactor import RedactionKind, Redactor
from .redaction.run import map_text
from .rejudging import RejudgeReport, rejudge, rejudge_sync
from .rerun import run_evaluators
from .runs.context import OnlineEvaluatorContext, run_of
from .runs.judgement import Judgement, Vote
from .runs.outcome import EvaluationOutcome, EvaluationStatus
from .runs.record import RunOutcome, RunRecord
from .runs.rejection import OutputRejected
from .settings import (
    DEFAULT_CONFIG,
    Action,
    EvaluationSink,
    Mode,
    OnlineEvalConfig,
    OnlineEvaluator,
    Overflow,
    RedactCallback,
    ReplaceCallback,
    ResultCallback,
    RunIn,
    SampleBy,
    SamplingContext,
    SinkPayload,
    Unavailable,
    WhenCallback,
    configure,
)
from .submission import submit
from .waiting import stats, wait_for_evaluations

__all__ = (
    'DEFAULT_CONFIG',
    'Action',
    'AskNext',
    'AssayError',
    'AssayWarning',
    'Budget',
    'BudgetState',
    'CallbackSink',
    'CanaryReport',
    'CanaryResult',
    'Cascade',
    'Combine',
    'ConfigurationError',
    'EvaluationOutcome',
    'EvaluationSink',
    'EvaluationStats',
    'EvaluationStatus',
    'EvaluatorContextSource',
    'EvaluatorOutputError',
    'Example',
    'ExportReport',
    'Grader',
    'Judge',
    'JudgeAgreement',
    'JudgeCase',
    'JudgeReport',
    'JudgeResult',
    'Judgement',
    'JudgementError',
    'LabelledRun',
    'MissingExtraError',
    'Mode',
    'NoRunError',
    'OnErrorCallback',
    'OnErrorLocation',
    'OnMaxConcurrencyCallback',
    'OnSamplingErrorCallback',
    'OnlineEvalConfig',
    'OnlineEvaluation',
    'OnlineEvaluator',
    'OnlineEvaluatorContext',
    'OutputRejected',
    'Overflow',
    'Panel',
    'PendingEvaluation',
    'RedactCallback',
    'RedactionError',
    'RedactionKind',
    'Redactor',
    'RejudgeReport',
    'ReplaceCallback',
    'RestoredRunError',
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
    'Unavailable',
    'Verdict',
    'Vote',
    'WhenCallback',
    'WithheldError',
    'assay_lifespan',
    'configure',
    'disable_evaluation',
    'evaluate',
    'export_dataset',
    'judge_agreement',
    'map_text',
    'record_feedback',
    'record_feedback_async',
    'rejudge',
    'rejudge_sync',
    'run_evaluators',
    'run_of',
    'stats',
    'submit',
    'wait_for_evaluations',
)
