"""The 200 recorded conversations of tau-bench (airline, gpt-4o), replayed as agent runs and evaluated online."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot
from pydantic_ai.messages import ModelMessage, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from tau_bench import DATA, ROOT, Replayed, needs_recordings, replayed

__all__ = ('replayed',)

if TYPE_CHECKING:
    from examples.replay_tau_bench import ReplayReport

SCRIPT = ROOT / 'examples' / 'replay_tau_bench.py'

pytestmark = needs_recordings


@pytest.fixture(scope='module')
def report(replayed: Replayed) -> ReplayReport:
    return replayed.report


@pytest.fixture(scope='module')
def recordings() -> dict[str, dict[str, Any]]:
    lines = (DATA / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines()
    return {f'task-{r["task_id"]}-trial-{r["trial"]}': r for r in map(json.loads, lines)}


def transcript(messages: Sequence[ModelMessage]) -> list[tuple[str, object]]:
    """Messages of an agent in the form that `recorded_transcript` gives a recording's."""
    said: list[tuple[str, object]] = []
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, UserPromptPart):
            said.append(('user', str(part.content)))
        elif isinstance(part, TextPart):
            said.append(('assistant', part.content))
        elif isinstance(part, ToolCallPart):
            said.append((f'{part.tool_name} called', part.args_as_dict()))
        else:
            assert isinstance(part, ToolReturnPart)
            said.append((f'{part.tool_name} answered', str(part.content)))
    return said


def recorded_transcript(messages: Sequence[dict[str, Any]]) -> list[tuple[str, object]]:
    said: list[tuple[str, object]] = []
    for message in messages:
        if message['role'] == 'tool':
            said.append((f'{message["name"]} answered', message['content']))
            continue
        if message['content']:
            said.append((message['role'], message['content']))
        for call in message.get('tool_calls', []):
            said.append((f'{call["function"]["name"]} called', json.loads(call['function']['arguments'])))
    return said


def test_the_pass_rate_is_the_published_one(report: ReplayReport) -> None:
    rewards = report.values('RecordedReward')
    assert (sum(rewards), len(rewards)) == (84, 200)
    assert report.mean('RecordedReward') == 0.42
    assert report.has_published_pass_rate


def test_every_user_message_that_was_taken_up_is_a_run(report: ReplayReport) -> None:
    assert report.conversations == 200
    assert report.outcomes == snapshot(Counter({'success': 1290, 'deferred': 48, 'error': 3}))
    assert report.outcomes.total() == len({payload.run.run_id for payload in report.payloads}) == 1341


def test_every_evaluation_is_scored_or_was_left_out_by_its_condition(report: ReplayReport) -> None:
    assert report.statuses == snapshot(
        {
            'RecordedReward': Counter({'sampled_out': 1141, 'scored': 200}),
            'ExpectedActions': Counter({'sampled_out': 1141, 'scored': 200}),
            'ToolCalls': Counter({'scored': 1341}),
            'ToolErrors': Counter({'scored': 1341}),
        }
    )
    assert Counter(o.status for payload in report.payloads for o in payload.outcomes) == {'scored': 3082}
    assert not any(payload.failures for payload in report.payloads)


def test_runs_keep_their_conversation(report: ReplayReport, recordings: dict[str, dict[str, Any]]) -> None:
    turns: dict[str | None, list[int]] = {}
    for payload in report.payloads:
        metadata = payload.run.metadata or {}
        assert payload.run.conversation_id == f'task-{metadata["task_id"]}-trial-{metadata["trial"]}'
        assert {outcome.conversation_id for outcome in payload.outcomes} == {payload.run.conversation_id}
        turns.setdefault(payload.run.conversation_id, []).append(metadata['turn'])
    assert turns.keys() == recordings.keys()
    assert all(sorted(of_one) == list(range(len(of_one))) for of_one in turns.values())


def test_only_the_last_run_of_a_conversation_knows_the_reward(report: ReplayReport) -> None:
    last_turn: Counter[str | None] = Counter()
    for payload in report.payloads:
        turn = (payload.run.metadata or {})['turn']
        last_turn[payload.run.conversation_id] = max(turn, last_turn[payload.run.conversation_id])
    for payload in report.payloads:
        metadata = payload.run.metadata or {}
        is_last = metadata['turn'] == last_turn[payload.run.conversation_id]
        assert ('reward' in metadata) == ('expected_actions' in metadata) == is_last
        assert {'RecordedReward', 'ExpectedActions'}.isdisjoint(r.name for r in payload.results) != is_last


def test_evaluators_see_the_whole_conversation_as_it_was_recorded(
    report: ReplayReport, recordings: dict[str, dict[str, Any]]
) -> None:
    for payload in report.payloads:
        run = payload.run
        if 'reward' not in (run.metadata or {}):
            continue
        recorded = recordings[run.conversation_id or '']['messages']
        # What the agent did not get to see: the goodbye, or what came of the transfer.
        seen = recorded if run.outcome == 'error' else recorded[:-1]
        assert transcript(run.messages) == recorded_transcript(seen)


def test_what_one_run_used_leaves_out_the_runs_before_it(
    report: ReplayReport, recordings: dict[str, dict[str, Any]]
) -> None:
    requests = sum(m['role'] == 'assistant' for recording in recordings.values() for m in recording['messages'])
    assert sum(payload.run.usage.requests for payload in report.payloads) == requests == 2454


def test_the_figures(report: ReplayReport, recordings: dict[str, dict[str, Any]]) -> None:
    tools = [m for recording in recordings.values() for m in recording['messages'] if m['role'] == 'tool']
    assert sum(report.values('ToolCalls')) == len(tools)
    assert sum(report.values('ToolErrors')) == sum(m['content'].startswith('Error') for m in tools)
    assert {
        'tool calls per run': round(report.mean('ToolCalls'), 4),
        'tool errors per run': round(report.mean('ToolErrors'), 4),
        'expected actions': report.mean('ExpectedActions'),
        'as the reward': report.agreements,
    } == snapshot(
        {
            'tool calls per run': 0.868,
            'tool errors per run': 0.0544,
            'expected actions': 0.435,
            'as the reward': 195,
        }
    )


def test_the_check_of_the_actions_says_what_is_wrong(report: ReplayReport) -> None:
    reasons = {
        payload.run.conversation_id: result.reason
        for payload in report.payloads
        for result in payload.results
        if result.name == 'ExpectedActions'
    }
    kinds = Counter((reason or '').split(':')[0] for reason in reasons.values())
    assert kinds == snapshot({'missing': 83, 'as expected': 87, 'not expected': 30})


def test_the_script_prints_the_pass_rate() -> None:
    done = subprocess.run(
        [sys.executable, '-W', 'error', str(SCRIPT), '--data', str(DATA)], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.splitlines()[-1] == 'pass rate 0.420 (84 of 200)'


def test_the_script_fails_when_the_pass_rate_is_another(tmp_path: Path) -> None:
    shutil.copy(DATA / 'system_prompt.md', tmp_path)
    lines = (DATA / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines(keepends=True)
    (tmp_path / 'gpt4o_airline.jsonl').write_text(''.join(lines[:5]), encoding='utf-8')
    done = subprocess.run(
        [sys.executable, str(SCRIPT), '--data', str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert done.stderr == 'The published pass rate is 0.420 over all conversations.\n'


def test_the_script_says_what_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), '--data', str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2
    assert f'there is no gpt4o_airline.jsonl in {tmp_path}' in done.stderr
