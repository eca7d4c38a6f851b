"""Evaluators of one name that differ: their results could not be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

from ..delivery.notices import Notices
from ..errors import ConfigurationError
from .attached import AttachedEvaluator

__all__ = ('check_names', 'warn_of_namesakes')

_REMEDY = (
    "Give one of them another name: most take `evaluation_name=`, `LLMJudge` takes `assertion={'evaluation_name': ...}`, "
    'and your own can override `get_default_evaluation_name`.'
)
_COMBINED = ('sample_rate', 'when', 'run_on', 'run_on_errors', 'sample_by')
"""Settings that are looked at wherever an evaluator is attached, so that more than one of them can hold for a run."""


def check_names(attached: Iterable[AttachedEvaluator]) -> None:
    """Check that no two evaluators that are attached together have one name and differ.

    Raises:
        ConfigurationError: If two do.
    """
    by_name: dict[str, AttachedEvaluator] = {}
    for each in attached:
        first = by_name.setdefault(each.name, each)
        differing = _differing(first, each)
        if differing:
            raise ConfigurationError(
                f'Two evaluators that differ in {differing} have the name {each.name!r}, so that their results could not be '
                f'told apart: {first.evaluator!r} and {each.evaluator!r}. {_REMEDY}'
            )


def warn_of_namesakes(
    before: Sequence[AttachedEvaluator], attached: Sequence[AttachedEvaluator], notices: Notices
) -> None:
    """Warn, once for each name, of evaluators attached elsewhere to the same run that have one name and differ.

    Args:
        before: Those that were attached first.
        attached: The others.
        notices: Who warns.
    """
    by_name = {each.name: each for each in reversed(before)}
    for each in attached:
        first = by_name.get(each.name)
        differing = '' if first is None else _differing(first, each, besides=_COMBINED)
        if first is None or not differing:
            continue
        if first.key == each.key:
            effect = f'The settings that were attached first hold for both. Attach {each.name} once.'
        else:
            effect = f'Both judge the run, and only their fingerprints tell the results apart. {_REMEDY}'
        notices.warn_once(
            f'namesakes:{first.key}:{each.key}',
            f'Two evaluators named {each.name!r} that differ in {differing} are attached to one run, by several '
            f'`OnlineEvaluation`: {first.evaluator!r} and {each.evaluator!r}. {effect}',
        )


def _differing(first: AttachedEvaluator, second: AttachedEvaluator, *, besides: Sequence[str] = ()) -> str:
    """What two evaluators of one name differ in; nothing where one of them has no name that could be read."""
    if first.known_identity is None or second.known_identity is None:
        return ''
    if first.key != second.key:
        return 'what they do'
    differing = [
        f'{field.name} ({getattr(first.settings, field.name)!r} and {getattr(second.settings, field.name)!r})'
        for field in fields(first.settings)
        if field.init
        and field.name not in ('evaluator', *besides)
        and getattr(first.settings, field.name) != getattr(second.settings, field.name)
    ]
    return ', '.join(differing)
