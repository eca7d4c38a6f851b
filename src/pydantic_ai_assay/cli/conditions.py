"""Which runs a command is about: `--where NAME=VALUE`, as often as there are conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan, nan
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..store.run_filter import RunFilter

__all__ = ('WhereOption', 'where_of')

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        '--where',
        metavar='NAME=VALUE',
        help='Only runs of which this holds: agent, path, evaluator, fingerprint, passed, status, feedback, '
        'min_feedback, max_feedback, min_duration, max_duration, tag, variant, model, outcome, conversation, since, until. '
        'Give it again for more conditions; all must hold.',
    ),
]


def where_of(conditions: Sequence[str] | None) -> RunFilter | None:
    """The conditions of a command line.

    Raises:
        UnknownNameError: If one is about something that there is not.
        ConfigurationError: If one has a value that it cannot have, or is there twice.
    """
    from ..reports.names import require_known
    from ..store.run_filter import RunFilter

    if not conditions:
        return None
    now = datetime.now(UTC)
    fields: dict[str, Any] = {}
    for condition in conditions:
        name, equals, value = condition.partition('=')
        name = name.strip()
        require_known('condition', name, _READERS)
        if not equals:
            raise ConfigurationError(f'a condition must be NAME=VALUE, such as passed=false, got {condition!r}.')
        field = _FIELDS.get(name, name)
        if field in fields:
            raise ConfigurationError(f'a condition can be given once, got {name!r} again.')
        fields[field] = _READERS[name](name, value.strip(), now)
    return RunFilter(**fields)


def _text(name: str, value: str, now: datetime) -> str:
    return value


def _names(name: str, value: str, now: datetime) -> tuple[str, ...]:
    return tuple(each.strip() for each in value.split('>'))


def _truth(name: str, value: str, now: datetime) -> bool:
    known = {'true': True, 'yes': True, '1': True, 'false': False, 'no': False, '0': False}
    if value.lower() not in known:
        raise ConfigurationError(f'{name} must be true or false, got {value!r}.')
    return known[value.lower()]


def _number(name: str, value: str, now: datetime) -> float:
    try:
        number = float(value)
    except ValueError:
        number = nan
    if isnan(number):
        raise ConfigurationError(f'{name} must be a number, got {value!r}.')
    return number


def _moment(name: str, value: str, now: datetime) -> datetime:
    from ..reports.window import moment_of

    return moment_of(name, value, now=now)


_FIELDS = {'agent': 'target', 'conversation': 'conversation_id'}
_READERS: Mapping[str, Callable[[str, str, datetime], Any]] = {
    'agent': _text,
    'path': _names,
    'evaluator': _text,
    'fingerprint': _text,
    'passed': _truth,
    'status': _text,
    'feedback': _text,
    'min_feedback': _number,
    'max_feedback': _number,
    'min_duration': _number,
    'max_duration': _number,
    'tag': _text,
    'variant': _text,
    'model': _text,
    'outcome': _text,
    'conversation': _text,
    'since': _moment,
    'until': _moment,
}
