"""An agent and a judge that share one model object, and with it one HTTP client, against a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai_server import openai_server
from processes import run_program, scores_of

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize('how', ['run_sync', 'run_sync with pauses', 'asyncio.run', 'one loop', 'threads', 'mixed'])
def test_neither_the_agent_nor_the_judge_fails(tmp_path: Path, how: str) -> None:
    rounds = 30
    with openai_server() as server:
        done = run_program('shared_model.py', how, str(rounds), scores=tmp_path / 'scores', BASE_URL=server.url)
    # An interrupted judge may leave a coroutine of pydantic-graph behind, which Python mentions.
    assert done.stderr.endswith('failures=0\n')
    assert 'Traceback' not in done.stderr
    scores = [score.split() for score in scores_of(tmp_path / 'scores')]
    assert {value for _, _, value in scores} == {'True'}
    # Where the loop stands still in the middle of it, a sink is called again.
    assert len({run_id for run_id, _, _ in scores}) == rounds
