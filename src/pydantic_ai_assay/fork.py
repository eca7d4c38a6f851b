"""Forked children, which begin anew: of threads, loops and works, only copies are there."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ('begin_generation', 'generation', 'when_forked')

_generation = 0


def generation() -> int:
    """How many forks lie between the first process and this one."""
    return _generation


def begin_generation() -> None:
    """Note that this process has just been forked."""
    global _generation
    _generation += 1


def when_forked(begin_in_child: Callable[[], object]) -> None:
    """Call a function first thing in every child that this process forks, where the system can fork."""
    register = getattr(os, 'register_at_fork', None)
    if register is not None:
        register(after_in_child=begin_in_child)
