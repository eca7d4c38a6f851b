"""What the environment says about evaluation: variables that are read whenever a run starts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, cast

from .errors import ConfigurationError, describe, warn_safely

__all__ = ('ALLOWED', 'SWITCHES', 'Switches', 'check_switches', 'current_switches', 'shown_url')


MAX_SHOWN = 100
"""Characters of a value that are shown where it cannot be read."""


@dataclass(kw_only=True, frozen=True, slots=True)
class Switches:
    """What the environment variables say. Each is read when a run starts, and holds for that run."""

    evaluations: bool = True
    """`ASSAY_EVALUATIONS`: whether runs are evaluated at all. Default: true."""
    sample_rate: float = 1.0
    """`ASSAY_SAMPLE_RATE`: the probability of judging a run that no evaluator exceeds, 0.0 to 1.0. Default: 1.0."""
    record_content: bool = True
    """`ASSAY_RECORD_CONTENT`: whether prompts, outputs and reasons may go into events and stores. Default: true."""
    store: str | None = field(default=None, repr=False)
    """`ASSAY_STORE`: where runs are kept, if the config says nothing of it: `sqlite:///PATH` or `postgresql://...`."""


SWITCHES = {f'ASSAY_{each.name.upper()}': each.name for each in fields(Switches)}
"""The environment variables, and the field each one sets."""

_BOOLEAN = 'one of true, false, yes, no, on, off, t, f, y, n, 1, 0 in upper or lower case'
ALLOWED = {
    'ASSAY_EVALUATIONS': _BOOLEAN,
    'ASSAY_SAMPLE_RATE': 'a number from 0.0 to 1.0',
    'ASSAY_RECORD_CONTENT': _BOOLEAN,
    'ASSAY_STORE': 'the URL of a store',
}
"""What the value of each may be, in words."""

_Raw = tuple[Any, ...]
"""The values as the environment holds them, `None` for a variable that is not set."""

_ENVIRON = os.environ
_KEYS = tuple(map(_ENVIRON.encodekey, SWITCHES))
_UNSET: _Raw = (None,) * len(_KEYS)

_last: tuple[_Raw, Switches] = (_UNSET, Switches())
"""The values last seen and what they mean. Replaced as a whole: no lock that a fork could leave held."""
_told: dict[tuple[str, str], object] = {}
"""The variables and values that were warned of."""


def current_switches() -> Switches:
    """What the environment says now. Cheap, and never raises.

    Where a value cannot be read, the last one that could be stays, and one `AssayWarning` per value says so.
    """
    raw, last = _raw_values(), _last
    return last[1] if raw == last[0] else _reread(raw, last[1])


def check_switches() -> None:
    """See that every variable that is set can be read.

    Raises:
        ConfigurationError: If one cannot be; the message names all of those, their values and what is allowed.
    """
    if _raw_values() == _UNSET:
        return
    _, unreadable = _parse(Switches())
    if unreadable:
        raise ConfigurationError(' '.join(f'{_complaint(name, value)}.' for name, value in unreadable.items()))


def _raw_values() -> _Raw:
    environ = os.environ
    # Asked the public way, a variable that is not set costs two exceptions, 1 µs of every run.
    data = getattr(environ, '_data', None)
    if environ is not _ENVIRON or not isinstance(data, dict):
        return tuple(map(environ.get, SWITCHES))
    known = cast('dict[Any, Any]', data)
    get = known.get
    first, second, third, fourth = _KEYS
    return get(first), get(second), get(third), get(fourth)


def _reread(raw: _Raw, known: Switches) -> Switches:
    global _last
    switches, unreadable = known, dict[str, str]()
    try:
        if raw == _UNSET:
            switches = Switches()
        else:
            switches, unreadable = _parse(known)
    except Exception as error:
        warn_safely(f'The environment variables {", ".join(SWITCHES)} were not read: {describe(error)}.')
    _last = (raw, switches)
    for name, value in unreadable.items():
        mine = object()
        if _told.setdefault((name, value), mine) is mine:
            warn_safely(
                f'{_complaint(name, value)}; the last readable value, {getattr(switches, SWITCHES[name])!r}, stays.'
            )
    return switches


def _parse(known: Switches) -> tuple[Switches, dict[str, str]]:
    """Read the environment.

    Args:
        known: What is used instead of values that cannot be read.

    Returns:
        The switches, and the variables that cannot be read with their values.
    """
    from pydantic import ValidationError

    read = _reader()
    try:
        return read(), {}
    except ValidationError as error:
        unreadable = {str(each['loc'][0]): str(each['input']) for each in error.errors(include_url=False)}
    return read(**{name: getattr(known, SWITCHES[name]) for name in unreadable}), unreadable


@cache
def _reader() -> Any:
    # Importing it takes as long as many runs, and most processes set none of the variables.
    from pydantic import Field
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

    class Environment(BaseSettings):
        """The variables; what is passed by name goes before what is set."""

        model_config = SettingsConfigDict(case_sensitive=True, env_file=None)

        evaluations: bool = Field(True, validation_alias='ASSAY_EVALUATIONS')
        sample_rate: float = Field(1.0, ge=0.0, le=1.0, allow_inf_nan=False, validation_alias='ASSAY_SAMPLE_RATE')
        record_content: bool = Field(True, validation_alias='ASSAY_RECORD_CONTENT')
        store: str | None = Field(None, validation_alias='ASSAY_STORE')

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings

    def read(**given: Any) -> Switches:
        return Switches(**Environment(**given).model_dump())

    return read


_URL = re.compile(r'(?P<scheme>\w[\w+.-]*://)?(?P<user>.*@)?(?P<plain>[\w./\\ ~-]*)(?P<more>.*)', re.S)


def shown_url(text: str) -> str:
    """How a text that was given as a URL is shown: without what may be a password, wherever in it that is."""
    found = cast('re.Match[str]', _URL.fullmatch(text))
    user, more = found['user'] and '***@', found['more'] and '***'
    return _shown(f'{found["scheme"] or ""}{user or ""}{found["plain"]}{more}')


def _shown(value: str) -> str:
    shown = repr(value[:MAX_SHOWN])
    if len(value) > MAX_SHOWN:
        shown += f'… [{len(value) - MAX_SHOWN} characters left out]'
    return shown


def _complaint(name: str, value: str) -> str:
    return f'The environment variable {name} must be {ALLOWED[name]}, got {_shown(value)}'
