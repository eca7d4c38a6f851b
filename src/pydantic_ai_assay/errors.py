"""What can go wrong in Assay, and what a user can do about it.

    AssayError
    ├── ConfigurationError      a setting has a value that cannot work (also a `ValueError`)
    ├── MissingExtraError       a feature needs an optional dependency (also an `ImportError`)
    ├── NoRunError              a context is not one of an online run (also a `LookupError`)
    ├── EvaluatorOutputError    an evaluator returned something that is not a result (also a `ValueError`)
    ├── JudgementError          a judge gave no verdict
    ├── RedactionError          `redact` raised, so that the run was shown to nobody
    ├── RestoredRunError        stands for the error of a run that was read from where it was written down
    └── WithheldError           stands for an error whose text is withheld

    AssayWarning                something was left out and nobody was listening

None of them is ever raised into an agent run: errors of the pipeline become outcomes, callbacks and warnings.
"""

from __future__ import annotations

import logging
import re
import warnings

__all__ = (
    'AssayError',
    'AssayWarning',
    'ConfigurationError',
    'EvaluatorOutputError',
    'JudgementError',
    'MissingExtraError',
    'NoRunError',
    'RedactionError',
    'RestoredRunError',
    'WithheldError',
    'describe',
    'warn_safely',
)

_LOGGER = logging.getLogger('pydantic_ai_assay')


MAX_DESCRIPTION = 500
"""Characters of an error's text that are shown in a warning."""


class AssayError(Exception):
    """Base class of all errors of this package."""


class ConfigurationError(AssayError, ValueError):
    """A setting was given a value that cannot work; the message names the setting, the value and what is allowed."""


class MissingExtraError(AssayError, ImportError):
    """A feature was used whose optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f'{feature} needs the optional dependencies of the extra {extra!r}: '
            f"install them with `pip install 'pydantic-ai-assay[{extra}]'`."
        )


class NoRunError(AssayError, LookupError):
    """The context an evaluator was given does not come from an online run, so it carries no run."""


class EvaluatorOutputError(AssayError, ValueError):
    """An evaluator returned something that is not a bool, a finite number, a short string, or a mapping of those."""


class JudgementError(AssayError):
    """A judge, or too many of several judges, gave no verdict. That is neither a 0 nor a fail."""


class RedactionError(AssayError):
    """`redact` raised, or did not finish in time, so that nobody was shown the run."""

    def __init__(self, error: BaseException) -> None:
        # Its text and its place may quote what was to be redacted.
        super().__init__(
            f'`redact` raised {type(error).__name__}; the run was shown to nobody and its content is withheld.'
        )


class RestoredRunError(AssayError):
    """Stands for the exception of a run that was read again from where it had been written down: its text is kept."""


class WithheldError(AssayError):
    """Stands for an error whose text is withheld."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f'{type(error).__name__} (its text is withheld)')


class AssayWarning(UserWarning):
    """Evaluations were dropped or left, or an error of the pipeline had no callback to go to."""


def describe(error: BaseException | None) -> str:
    """An error's type and text in one printable line, whatever its text does when it is asked for."""
    try:
        shown = str(error)
    except BaseException as second:
        return f'{type(error).__name__} (its text raised {type(second).__name__})'
    # Drivers and parsers break their lines, and indent them.
    shown = re.sub(r'\s*[\r\n]\s*', ' ', shown).strip()
    text = f'{type(error).__name__}: {shown}' if shown else type(error).__name__
    if len(text) > MAX_DESCRIPTION:
        text = f'{text[:MAX_DESCRIPTION]}… [{len(text) - MAX_DESCRIPTION} characters left out]'
    # It goes to terminals and logs, and may quote what an agent, its user or its tools wrote.
    return ''.join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def warn_safely(message: str) -> None:
    """Issue an `AssayWarning` that cannot raise: where warnings are errors, it goes to the log instead."""
    try:
        # With a registry of its own, a warning that is repeated is shown again.
        warnings.warn_explicit(message, AssayWarning, __file__, 1, 'pydantic_ai_assay', registry={})
    except Exception:
        # Where warnings are errors, or whoever shows them fails.
        _LOGGER.warning('%s', message)
