"""The application with all its commands: each module registers its own."""

from __future__ import annotations

from . import agreement, check, evaluate, export, feedback, migrate, prune, report, runs, show, tail
from .app import app

__all__ = (
    'agreement',
    'app',
    'check',
    'evaluate',
    'export',
    'feedback',
    'migrate',
    'prune',
    'report',
    'runs',
    'show',
    'tail',
)
