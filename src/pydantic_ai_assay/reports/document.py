"""A report as JSON has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..analysis.coverage import Coverage
from ..analysis.estimate import Estimate
from ..analysis.identity import EvaluatorIdentity
from ..runs.outcome import EVALUATION_STATUSES
from .bound import Unmet
from .report import Effort, GroupValue, Report, ReportResult, ReportSection

__all__ = ('report_document',)


def report_document(report: Report, unmet: Sequence[Unmet] = ()) -> dict[str, Any]:
    """A report as JSON has it, with the bounds that it does not keep."""
    return {
        'since': report.window.since.isoformat(),
        'until': report.window.until.isoformat(),
        'by': list(report.by),
        'level': report.level,
        'pooled': report.is_pooled,
        'sections': [_section(section) for section in report.sections],
        'changes': [
            {
                'agent': each.agent,
                'evaluator': each.evaluator,
                'at': each.change.at.isoformat(),
                'before': _identity(each.change.before),
                'after': _identity(each.change.after),
                'overlapping': each.change.overlapping,
            }
            for each in report.changes
        ],
        'effort': _effort(report.effort),
        'unmet': [each.reason for each in unmet],
    }


def _section(section: ReportSection) -> dict[str, Any]:
    return {
        'group': {name: _value(value) for name, value in section.group.items()},
        'evaluator': section.evaluator,
        'coverage': _coverage(section.coverage),
        'results': [_result(result) for result in section.results],
        'effort': _effort(section.effort),
    }


def _value(value: GroupValue) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str) or value is None else value.isoformat()


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {'share': coverage.share, **{status: getattr(coverage, status) for status in EVALUATION_STATUSES}}


def _effort(effort: Effort) -> dict[str, Any]:
    return {name: getattr(effort, name) for name in Effort.__dataclass_fields__}


def _result(result: ReportResult) -> dict[str, Any]:
    return {'name': result.name, 'label': result.label, 'left_out': result.left_out, **_estimate(result.estimate)}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    interval = estimate.interval
    return {
        'kind': estimate.kind,
        'value': estimate.value,
        'interval': None if interval is None else [interval.lower, interval.upper],
        'level': estimate.level,
        'count': estimate.count,
        'effective_count': estimate.effective_count,
        'coverage': _coverage(estimate.coverage),
        'evaluators': [_identity(each) for each in estimate.evaluators],
    }


def _identity(identity: EvaluatorIdentity) -> dict[str, Any]:
    return {'name': identity.name, 'version': identity.version, 'fingerprint': identity.fingerprint}
