"""What is called in forked children. What they do then is for the acceptance tests."""

from __future__ import annotations

import os

import pytest

from pydantic_ai_assay.fork import when_forked


def test_where_the_system_cannot_fork_nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, 'register_at_fork', raising=False)
    called: list[str] = []
    when_forked(lambda: called.append('in the child'))
    assert called == []
