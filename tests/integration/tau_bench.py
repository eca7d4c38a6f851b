"""The 200 recorded conversations of tau-bench, replayed into a store."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store

if TYPE_CHECKING:
    from examples.replay_tau_bench import ReplayReport

__all__ = ('DATA', 'ROOT', 'Replayed', 'needs_recordings', 'replayed', 'replayed_into')

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / 'shared' / 'data' / 'tau_bench'

needs_recordings = pytest.mark.skipif(
    not (DATA / 'gpt4o_airline.jsonl').is_file(),
    reason='the recorded conversations are not there: ../shared/data/tau_bench, seen from the checkout',
)


@dataclass(kw_only=True, frozen=True)
class Replayed:
    report: ReplayReport
    url: str
    """Of the store, which is closed."""


def replayed_into(url: str) -> Replayed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'path', [str(ROOT), *sys.path])
        from examples.replay_tau_bench import replay

    migrate(url)
    store = Store(url)
    report = asyncio.run(replay(DATA, store))
    assert store.close(60)
    stats = store.stats()
    assert (stats.written_runs, stats.refused, stats.given_up) == (1_341, 0, 0)
    return Replayed(report=report, url=url)


ONCE: list[Replayed] = []
"""Replaying them takes its time. pytest makes a fixture anew in each module that imports it."""


@pytest.fixture(scope='session')
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """The recorded conversations in a store on SQLite, which tests only read."""
    if not ONCE:
        ONCE.append(replayed_into(f'sqlite:///{tmp_path_factory.mktemp("tau_bench") / "assay.db"}'))
    return ONCE[0]
