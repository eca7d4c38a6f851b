"""What the author of a spec is told of a mistake: where it is, what was given, and what there is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from pydantic import ValidationError

from .errors import ConfigurationError, describe

__all__ = ('invalid', 'refused', 'shown', 'unknown')

MAX_VALUE = 200
"""Characters of a refused value that an error shows."""


def shown(value: object) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE else f'{text[:MAX_VALUE]}…'


def invalid(error: ValidationError, path: str, value: object) -> ConfigurationError:
    """The answer to a value whose type is another, from what Pydantic says of it.

    Args:
        error: What Pydantic says, the name of the setting being the first part of each location.
        path: Where the value is.
        value: The value.
    """
    problems = error.errors(include_url=False, include_context=False)
    if len(problems) == 1:
        # Several are those with each type that the value may have.
        path += ''.join(f'[{key}]' if isinstance(key, int) else f'.{key}' for key in problems[0]['loc'][1:])
        value = problems[0]['input']
    messages = dict.fromkeys(problem['msg'] for problem in problems)
    return ConfigurationError(f'{path} cannot be {shown(value)}: {"; ".join(messages)}.')


def refused(error: Exception, path: str, names: Collection[str], otherwise: str) -> ConfigurationError:
    """The answer to settings that whoever is made of them refuses.

    Args:
        error: Its error. A message of ours begins with the setting that it is about.
        path: Where the settings are.
        names: What the settings are called.
        otherwise: What the answer begins with where the message does not say which of them it is about.
    """
    words = str(error).split(maxsplit=2)
    if isinstance(error, ConfigurationError) and words[0] in names and words[1] != 'and':
        return ConfigurationError(f'{path}.{error}')
    return ConfigurationError(f'{otherwise}: {error if isinstance(error, ConfigurationError) else describe(error)}')


def unknown(path: str, what: str, name: object, known: Iterable[str], remedy: str = '') -> ConfigurationError:
    """The answer to a name that is not known: those that are, near ones first.

    Args:
        path: Where it is.
        what: What it was taken for the name of.
        name: The name.
        known: Those that are known.
        remedy: What can be done to make it known.
    """
    names = list(known)
    near = get_close_matches(str(name).lower(), [known_name.lower() for known_name in names])
    ordered = sorted(names, key=lambda known_name: [*near, known_name.lower()].index(known_name.lower()))
    suggestion = f'; did you mean {ordered[0]!r}?' if near else '.'
    listed = ', '.join(map(repr, ordered)) or 'none'
    return ConfigurationError(f'{path}: there is no {what} {name!r}{suggestion} Known: {listed}{remedy}.')
