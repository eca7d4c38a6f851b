"""The callbacks of panels and cascades: they have them, and their members cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..checks import check_function
from ..errors import ConfigurationError
from .grader import Grader

__all__ = ('CALLBACKS', 'check_callbacks')

CALLBACKS = ('on_fail', 'on_result')


def check_callbacks(owner: Any, members: Sequence[Grader]) -> None:
    """Check the callbacks of a panel or a cascade, and that its members have none.

    Raises:
        ConfigurationError: If a callback is no function, or a member has one, which nothing would call.
    """
    for name in CALLBACKS:
        check_function(name, getattr(owner, name), 'None or a function')
        for member in members:
            if getattr(member, name, None) is not None:
                kind = type(owner).__name__
                raise ConfigurationError(
                    f'{name} of {member.get_default_evaluation_name()!r} would never be called: a member of a {kind} gives '
                    f'a vote, and only the {kind} has a result. Set {name} on the {kind}, or on its OnlineEvaluator.'
                )
