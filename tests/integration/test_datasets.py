"""Stored runs become files that others read: datasets, examples for fine-tuning, tables."""

from __future__ import annotations

import asyncio
import csv
import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from databases import sqlite_url
from inline_snapshot import snapshot
from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    BinaryImage,
    CachePoint,
    CompactionPart,
    DocumentUrl,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SpeechPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolAvailabilityDeltaPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from pydantic_evals import Dataset
from pydantic_evals.evaluators import Contains, EqualsExpected
from pydantic_evals.otel import SpanNode
from store_samples import BOUND, START, a_failure, a_result, a_run, an_outcome, keep
from tau_bench import Replayed, needs_recordings, replayed

from pydantic_ai_assay import (
    ConfigurationError,
    EvaluationOutcome,
    OnlineEvalConfig,
    OnlineEvaluation,
    RunRecord,
    evaluate,
    wait_for_evaluations,
)
from pydantic_ai_assay.datasets.export import ExportReport, export_dataset
from pydantic_ai_assay.datasets.turn import turn_in
from pydantic_ai_assay.reports.names import UnknownNameError
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.store.stored_spans import StoredSpans

__all__ = ('sqlite_url', 'replayed')


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    store = Store(sqlite_url)
    yield store
    assert store.close()


def said(*texts: str, instructions: str | None = None) -> tuple[ModelMessage, ...]:
    """A conversation of questions and answers in turn."""
    return tuple(
        ModelResponse(parts=[TextPart(text)])
        if index % 2
        else ModelRequest(parts=[UserPromptPart(text)], instructions=instructions)
        for index, text in enumerate(texts)
    )


def cases_in(path: Path) -> list[Any]:
    return Dataset[Any, Any, Any].from_file(path).cases


def lines_in(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def keep_runs(store: Store, *runs: RunRecord) -> None:
    """Keep runs that nobody has judged."""
    nothing: list[EvaluationOutcome] = []
    keep(store, *((run, nothing) for run in runs))


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


# Cases


@pytest.mark.parametrize('name', ['failed.yaml', 'failed.YML', 'failed.json'])
def test_failed_runs_are_a_dataset_that_loads_and_runs(store: Store, tmp_path: Path, name: str) -> None:
    first, second = a_run(1, inputs='Why?\n  Tell me.\n', expected_output='Because.'), a_run(2)
    broken = a_failure(first, evaluator='Kind', fingerprint='f9')
    keep(store, (first, [an_outcome(first, a_result(False, reason='rude')), broken]), (second, [an_outcome(second)]))
    store.add_feedback('stars', 1, run_id='run-1', by='ann', comment='Hm.')
    report = export_dataset(tmp_path / name, store=store, where=RunFilter(evaluator='Polite', passed=False))
    assert report == ExportReport(path=tmp_path / name, format='cases', added=1, duplicates=0, total=1)
    dataset = Dataset[Any, Any, Any].from_file(tmp_path / name)
    (case,) = dataset.cases
    assert (dataset.name, case.name, case.inputs, case.expected_output) == (
        'failed',
        'run-1',
        'Why?\n  Tell me.\n',
        'Because.',
    )
    metadata: Any = case.metadata
    described = metadata['assay_run']
    assert (described['output'], described['outcome']) == ('answer 1', 'success')
    assert described['results'] == [
        {'evaluator': 'Polite', 'result': 'Polite', 'value': False, 'reason': 'rude'},
        {'evaluator': 'Kind', 'status': 'failed'},
    ]
    assert described['feedback'] == [{'name': 'stars', 'value': 1, 'by': 'ann', 'comment': 'Hm.'}]
    evaluated = asyncio.run(dataset.evaluate(lambda inputs: inputs.upper(), progress=False))
    assert [each.output for each in evaluated.cases] == ['WHY?\n  TELL ME.\n']


def test_a_correction_is_what_a_case_expects_and_else_the_answer_if_that_is_asked_for(
    store: Store, tmp_path: Path
) -> None:
    keep(
        store,
        (a_run(1, expected_output='known'), []),
        (a_run(2), []),
        (a_run(3, outcome='error', error=ValueError('no'), output=ValueError('no')), []),
    )
    for seconds, text in ((1, 'wrong'), (2, 'right'), (3, 7)):
        store.add_feedback('correction', text, run_id='run-1', at=START + timedelta(seconds=seconds))
    export_dataset(tmp_path / 'a.json', store=store)
    export_dataset(tmp_path / 'b.json', store=store, expected='output')
    assert [case.expected_output for case in cases_in(tmp_path / 'a.json')] == ['right', None, None]
    assert [case.expected_output for case in cases_in(tmp_path / 'b.json')] == ['right', 'answer 2', None]


def test_a_case_has_the_metadata_of_its_run_and_says_which_series_a_result_is_of(store: Store, tmp_path: Path) -> None:
    run = a_run(1, metadata={'customer': {'vip': True}, 'variant': 'short'}, conversation_id='talk', model_name='m')
    keep(store, (run, [an_outcome(run)]))
    store.add_outcomes('run-1', [an_outcome(run, a_result(False))], series='again')
    assert store.flush(BOUND)
    export_dataset(tmp_path / 'a.yaml', store=store)
    (case,) = cases_in(tmp_path / 'a.yaml')
    metadata: Any = case.metadata
    assert metadata.pop('assay_run') == {
        'run_id': 'run-1',
        'target': 'support',
        'started_at': run.started_at.isoformat(),
        'outcome': 'success',
        'duration': 1.5,
        'model': 'm',
        'variant': 'short',
        'conversation_id': 'talk',
        'output': 'answer 1',
        'results': [
            {'evaluator': 'Polite', 'result': 'Polite', 'value': True},
            {'evaluator': 'Polite', 'series': 'again', 'result': 'Polite', 'value': False},
        ],
    }
    assert metadata == {'customer': {'vip': True}, 'variant': 'short'}
    # Where nothing is expected, the file does not say that nothing is.
    assert 'expected_output' not in (tmp_path / 'a.yaml').read_text(encoding='utf-8')


def test_cases_can_have_the_messages_before_the_prompt(store: Store, tmp_path: Path) -> None:
    messages = said('Hello', 'Hi', 'Why?', 'Because.')
    keep(store, (a_run(1, inputs='Why?', messages=messages, new_message_index=2), []))
    export_dataset(tmp_path / 'a.yaml', store=store, history=True)
    (case,) = cases_in(tmp_path / 'a.yaml')
    assert case.inputs['prompt'] == 'Why?'
    history = ModelMessagesTypeAdapter.validate_python(case.inputs['message_history'])
    assert [getattr(part, 'content', None) for message in history for part in message.parts] == ['Hello', 'Hi']


@pytest.mark.anyio
@pytest.mark.parametrize('name', ['a.yaml', 'a.json'])
async def test_cases_of_texts_and_images_and_data_run_again_with_an_agent(
    store: Store, tmp_path: Path, name: str
) -> None:
    image = BinaryImage(bytes(range(256)), media_type='image/png')
    earlier = said('Hello', 'Hi')
    asked = ModelRequest(parts=[UserPromptPart(['What is it?', image])])
    config = OnlineEvalConfig(store=store, emit_otel_events=False)
    agent = Agent(
        TestModel(custom_output_text='A cat.'),
        capabilities=[OnlineEvaluation(evaluators=[Contains('cat')], config=config)],
    )
    await agent.run('Tell me.', message_history=[*earlier, asked, ModelResponse(parts=[TextPart('A dog?')])])
    await agent.run(['What is it?', image])
    assert await wait_for_evaluations() == ()
    assert store.flush(BOUND)
    path = tmp_path / name
    assert export_dataset(path, store=store, expected='output').added == 2
    dataset = Dataset[str | list[UserContent], str, Any].from_file(path)
    assert [case.inputs for case in dataset.cases] == ['Tell me.', ['What is it?', image]]
    dataset.add_evaluator(EqualsExpected())
    again = Agent(TestModel(custom_output_text='A cat.'))

    async def answered(inputs: str | list[UserContent]) -> str:
        return (await again.run(inputs)).output

    report = await dataset.evaluate(answered, progress=False)
    averages = report.averages()
    assert (report.failures, averages and averages.assertions) == ([], 1.0)
    export_dataset(path, store=store, history=True)
    case, _ = cases_in(path)
    history = ModelMessagesTypeAdapter.validate_python(case.inputs['message_history'])
    asked = history[2].parts[0]
    assert isinstance(asked, UserPromptPart) and asked.content == ['What is it?', image]


@pytest.mark.anyio
async def test_cases_of_a_function_have_its_arguments(store: Store, tmp_path: Path) -> None:
    config = OnlineEvalConfig(store=store, emit_otel_events=False)

    @evaluate(Contains('7', as_strings=True), config=config)
    async def find(number: int, where: dict[str, str]) -> dict[str, Any]:
        return {'found': number, **where}

    await find(7, {'city': 'Rome'})
    assert await wait_for_evaluations() == ()
    assert store.flush(BOUND)
    export_dataset(tmp_path / 'a.yaml', store=store, expected='output')
    dataset = Dataset[dict[str, Any], dict[str, Any], Any].from_file(tmp_path / 'a.yaml')
    dataset.add_evaluator(EqualsExpected())

    async def found(inputs: dict[str, Any]) -> dict[str, Any]:
        return await find(**inputs)

    averages = (await dataset.evaluate(found, progress=False)).averages()
    assert averages is not None and averages.assertions == 1.0
    assert await wait_for_evaluations() == ()


def test_values_without_a_form_of_their_own_are_what_they_show(store: Store, tmp_path: Path) -> None:
    class Plan:
        def __repr__(self) -> str:
            return 'Plan()'

    inputs = {
        'when': START,
        'share': float('inf'),
        'plan': Plan(),
        'case': replaced(),
        'several': (1, {2}),
        3: None,
        'error': ValueError('no'),
    }
    keep(store, (a_run(1, inputs=inputs), []), (a_run(2, inputs='\ud800'), []))
    for name in ('a.yaml', 'a.json'):
        export_dataset(tmp_path / name, store=store)
        case, broken = cases_in(tmp_path / name)
        assert broken.inputs == '?'
        assert case.inputs['when'].startswith('2026-01-02T03:04:05')
        assert (case.inputs['share'], case.inputs['plan'], case.inputs['several']) == ('inf', 'Plan()', [1, [2]])
        assert (case.inputs['case'], case.inputs['3']) == ({'name': 'x'}, None)
        assert case.inputs['error'] == "ValueError('no')"


def replaced() -> Any:
    from pydantic import BaseModel

    class Named(BaseModel):
        name: str = 'x'

    return Named()


def test_a_nightly_job_adds_what_is_new_and_leaves_what_people_did(store: Store, tmp_path: Path) -> None:
    path = tmp_path / 'set.yaml'
    path.write_text('# Reviewed every Monday.\ncases:\n- {name: by hand, inputs: x, evaluators: [OurOwn]}\n')
    keep(store, (a_run(1), []))
    assert export_dataset(path, store=store, append=True).added == 1
    text = path.read_text()
    assert text.startswith('# Reviewed every Monday.\n')
    path.write_text(text.replace('name: run-1', 'name: the first'))
    keep(store, (a_run(2), []))
    report = export_dataset(path, store=store, append=True, name='reviewed')
    assert (report.added, report.duplicates, report.total) == (1, 1, 3)
    assert 'name: reviewed' in path.read_text()
    assert 'OurOwn' in path.read_text()
    before = path.read_text()
    assert export_dataset(path, store=store, append=True).added == 0
    assert path.read_text() == before


@pytest.mark.parametrize('name', ['a.yaml', 'a.json', 'a.jsonl', 'a.csv'])
def test_jobs_that_add_to_one_file_at_the_same_time_lose_nothing(store: Store, tmp_path: Path, name: str) -> None:
    keep_runs(store, *(a_run(number, messages=said(f'{number}?', f'{number}!')) for number in range(24)))
    (folder := tmp_path / 'out').mkdir()
    path, together = folder / name, threading.Barrier(6)

    def work(job: int) -> int:
        together.wait(BOUND)
        since = (a_run(number).started_at for number in range(job * 4, job * 4 + 4))
        ranges = [RunFilter(since=each, until=each + timedelta(milliseconds=1)) for each in since]
        return sum(export_dataset(path, store=store, where=where, append=True).added for where in ranges)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [4] * 6
    assert export_dataset(path, store=store, append=True).duplicates == 24
    assert list(folder.iterdir()) == [path]


ADDING = """
import sys
from pydantic_ai_assay import export_dataset
from pydantic_ai_assay.store.run_filter import RunFilter

store, path, target = sys.argv[1:]
print('adding', flush=True)
while True:
    export_dataset(path, store=store, where=RunFilter(target=target), append=True)
    print(export_dataset(path, store=store, where=RunFilter(target=target), append=True).added, flush=True)
"""


@pytest.mark.parametrize('name', ['a.yaml', 'a.jsonl'])
def test_processes_that_add_to_one_file_and_are_killed_leave_it_whole(
    store: Store, sqlite_url: str, tmp_path: Path, name: str
) -> None:
    runs = [a_run(n, target='ab'[n % 2], messages=said(f'{n}?', f'{n}!')) for n in range(40)]
    keep_runs(store, *runs)
    (folder := tmp_path / 'out').mkdir()
    path = folder / name
    processes = [
        subprocess.Popen([sys.executable, '-c', ADDING, sqlite_url, str(path), target], stdout=subprocess.PIPE)
        for target in 'ab'
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            # Each has added its own, and goes on with replacing the file.
            assert [process.stdout.readline() for _ in range(3)] == [b'adding\n', b'0\n', b'0\n']
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=BOUND)
    report = export_dataset(path, store=store, append=True)
    assert (report.added, report.duplicates, report.total) == (0, 40, 40)


@pytest.mark.parametrize('name', ['a.json', 'a.jsonl', 'a.csv'])
def test_a_file_that_another_program_left_half_written_is_said_to_be_and_stays(
    store: Store, tmp_path: Path, name: str
) -> None:
    keep_runs(store, *(a_run(n, inputs='"a", b', messages=said('a, "b"', f'{n}')) for n in range(2)))
    path = tmp_path / name
    export_dataset(path, store=store)
    half = path.read_bytes()[:-30]
    path.write_bytes(half)
    with pytest.raises(ConfigurationError, match='cannot be added to'):
        export_dataset(path, store=store, append=True)
    assert path.read_bytes() == half


def test_what_was_added_while_the_store_was_read_stays(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_runs(store, a_run(1), a_run(2))
    path, read = tmp_path / 'a.yaml', store.run
    first, second = RunFilter(until=a_run(2).started_at), RunFilter(since=a_run(2).started_at)

    def run(run_id: str) -> Any:
        monkeypatch.undo()
        assert export_dataset(path, store=store, where=first, append=True).added == 1
        return read(run_id)

    monkeypatch.setattr(store, 'run', run)
    report = export_dataset(path, store=store, where=second, append=True)
    assert (report.added, report.total) == (1, 2)
    assert [case.name for case in cases_in(path)] == ['run-1', 'run-2']


def test_an_export_waits_for_its_turn(store: Store, tmp_path: Path) -> None:
    keep_runs(store, a_run(1))
    path = tmp_path / 'a.yaml'
    with ThreadPoolExecutor(1) as pool:
        with turn_in(tmp_path):
            done = pool.submit(export_dataset, path, store=store, append=True)
            with pytest.raises(TimeoutError):
                done.result(0.3)
            assert not path.exists()
        assert done.result(BOUND).added == 1


def test_where_there_are_no_locks_nobody_waits(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_runs(store, a_run(1))
    monkeypatch.setitem(sys.modules, 'fcntl', None)
    with turn_in(tmp_path):
        assert export_dataset(tmp_path / 'a.yaml', store=store, append=True).added == 1


def test_the_same_question_can_be_taken_once(store: Store, tmp_path: Path) -> None:
    keep_runs(store, *(a_run(number, inputs='Why?') for number in (1, 2)))
    report = export_dataset(tmp_path / 'a.json', store=store, distinct_inputs=True)
    assert (report.added, report.duplicates) == (1, 1)


@pytest.mark.parametrize('text', ['[', '{}', '{"cases": [1]}', '{"cases": [{"name": "no inputs"}]}', '\xff'])
def test_what_is_no_dataset_is_not_added_to(store: Store, tmp_path: Path, text: str) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(ConfigurationError, match=r'a\.json cannot be (added to|read)'):
        export_dataset(path, store=store, append=True)
    assert path.read_bytes() == text.encode('latin-1')


# Choosing


def test_so_many_of_each_group_are_the_same_again(store: Store, tmp_path: Path) -> None:
    keep_runs(store, *(a_run(n, target='ab'[n % 2], conversation_id=str(n % 3)) for n in range(20)))
    path = tmp_path / 'a.json'
    export_dataset(path, store=store, per_group=3, group_by='target')
    chosen = [case.name for case in cases_in(path)]
    assert len(chosen) == 6
    assert chosen == sorted(chosen, key=lambda name: int(str(name).removeprefix('run-')))
    export_dataset(path, store=store, per_group=3, group_by='target')
    assert [case.name for case in cases_in(path)] == chosen
    assert export_dataset(path, store=store, per_group=2).total == 2
    for group_by, count in (('conversation', 3), ('outcome', 1), ('day', 1), ('variant', 1), ('model', 1), ('path', 1)):
        given: Any = group_by
        assert export_dataset(path, store=store, per_group=1, group_by=given).total == count


def test_the_runs_that_are_drawn_are_the_same_in_each_version(store: Store, tmp_path: Path) -> None:
    """So that a job that adds to a file every night goes on with what it has after an upgrade."""
    keep_runs(store, *(a_run(n) for n in range(40)))
    path = tmp_path / 'a.json'
    export_dataset(path, store=store, per_group=4)
    of_group = [case.name for case in cases_in(path)]
    export_dataset(path, store=store, sample=0.1)
    assert (of_group, [case.name for case in cases_in(path)]) == snapshot(
        (
            ['run-0', 'run-14', 'run-22', 'run-31'],
            ['run-0', 'run-3', 'run-14', 'run-22', 'run-23', 'run-31'],
        )
    )


def test_a_share_is_drawn_by_the_ids(store: Store, tmp_path: Path) -> None:
    keep_runs(store, *(a_run(n) for n in range(100)))
    few = export_dataset(tmp_path / 'few.json', store=store, sample=0.2).total
    many = export_dataset(tmp_path / 'many.json', store=store, sample=0.6).total
    assert 0 < few < many < 100
    names = [{case.name for case in cases_in(tmp_path / name)} for name in ('few.json', 'many.json')]
    assert names[0] < names[1]


def test_runs_deleted_meanwhile_are_counted(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, (a_run(1), []), (a_run(2), []))
    ask = store.run

    def prune_and_ask(run_id: str) -> Any:
        store.prune(max_runs=1)
        return ask(run_id)

    monkeypatch.setattr(store, 'run', prune_and_ask)
    report = export_dataset(tmp_path / 'a.json', store=store)
    assert (report.total, report.left_out) == (1, {'gone': 1})


@pytest.mark.parametrize(
    ('name', 'given', 'message'),
    [
        ('a.txt', {}, 'path must end in one of .yaml, .*, or give format'),
        ('a.txt', {'format': 'cases'}, 'must end in .yaml, .yml or .json for cases'),
        ('a.csv', {'format': 'xls'}, "format must be one of 'cases', .*, got 'xls'"),
        ('a.json', {'sample': 2}, 'sample must be a probability'),
        ('a.json', {'sample': True}, 'got True'),
        ('a.json', {'sample': '0.5'}, "sample must be a probability above 0 and up to 1, got '0.5'"),
        ('a.json', {'per_group': True}, 'per_group must be an integer of at least 1, got True'),
        ('a.json', {'per_group': 1.5}, 'per_group must be an integer of at least 1, got 1.5'),
        ('a.json', {'per_group': 0}, 'per_group must be an integer of at least 1, got 0'),
        ('a.json', {'per_group': 1, 'group_by': 'mood'}, "group_by must be one of 'target', .*, got 'mood'"),
        ('a.json', {'group_by': 'day'}, "group_by='day' needs per_group"),
        ('a.json', {'expected': 'all'}, "expected must be 'known' or 'output', got 'all'"),
        ('a.json', {'rejected': RunFilter()}, "rejected is for format='preferences', got format='cases'"),
        ('no/such/a.json', {}, 'a.json cannot be written: No such file'),
    ],
)
def test_what_cannot_work_is_refused(
    store: Store, tmp_path: Path, name: str, given: dict[str, Any], message: str
) -> None:
    keep(store, (a_run(1), []))
    with pytest.raises(ConfigurationError, match=message):
        export_dataset(tmp_path / name, store=store, **given)
    assert list(tmp_path.glob('*a.*')) == []


def test_a_wrong_name_is_answered_with_the_near_ones(store: Store, tmp_path: Path) -> None:
    run = a_run()
    keep(store, (run, [an_outcome(run)]))
    store.add_feedback('helpful', True, run_id='run-1')
    with pytest.raises(UnknownNameError, match="Did you mean 'Polite'"):
        export_dataset(tmp_path / 'a.json', store=store, where=RunFilter(evaluator='Polit'))
    with pytest.raises(UnknownNameError, match="Did you mean 'helpful'"):
        export_dataset(tmp_path / 'a.json', store=store, where=RunFilter(feedback='helpfull'))


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it(store: Store, tmp_path: Path) -> None:
    keep(store, (a_run(1), []))
    (tmp_path / 'a.json').mkdir()
    with pytest.raises(ConfigurationError, match='cannot be written'):
        export_dataset(tmp_path / 'a.json', store=store)
    assert [each.name for each in tmp_path.iterdir() if each.suffix == '.tmp'] == []


def test_a_new_file_is_its_owners_alone_and_an_old_one_stays_as_open_as_it_was(store: Store, tmp_path: Path) -> None:
    keep(store, (a_run(1), []))
    path, link = tmp_path / 'a.json', tmp_path / 'link.json'
    export_dataset(path, store=store)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    link.symlink_to(path)
    export_dataset(link, store=store)
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o644


# What is not stored


def test_runs_of_which_no_content_is_stored_are_left_out_but_for_the_table(store: Store, tmp_path: Path) -> None:
    keep(store, (a_run(1, record_content=False), []), (a_run(2, messages=said('a', 'b')), []))
    for name in ('a.json', 'a.jsonl'):
        report = export_dataset(tmp_path / name, store=store)
        assert (report.total, report.left_out) == (1, {'without_content': 1})
    export_dataset(tmp_path / 'a.csv', store=store)
    rows = rows_in(tmp_path / 'a.csv')
    assert [(row['run_id'], row['input'], row['output']) for row in rows] == [
        ('run-1', '', ''),
        ('run-2', 'question 2', 'answer 2'),
    ]


def test_a_conversation_that_is_not_stored_as_a_whole_is_no_example(store: Store, tmp_path: Path) -> None:
    keep(store, (a_run(1, messages=said('a' * 9_000_000, 'b')), []))
    for name in ('a.jsonl', 'a.json'):
        report = export_dataset(tmp_path / name, store=store, history=True)
        assert (report.total, report.left_out) == (0, {'incomplete': 1})
    assert export_dataset(tmp_path / 'a.json', store=store).total == 1


# Fine-tuning


def with_tools() -> tuple[ModelMessage, ...]:
    return (
        *said('Hello', 'Hi'),
        ModelRequest(
            parts=[
                SystemPromptPart('Be kind.'),
                UserPromptPart(['Look: ', TextContent('this'), ImageUrl('https://example.com/a.png')]),
                UserPromptPart([BinaryContent(b'1', media_type='image/png')]),
            ],
            instructions='Be brief.',
        ),
        ModelResponse(parts=[ThinkingPart('Hm.'), ToolCallPart('find', {'n': 1}, tool_call_id='c1')]),
        ModelRequest(parts=[ToolReturnPart('find', {'found': 2}, tool_call_id='c1')], instructions='Be brief.'),
        ModelResponse(parts=[]),
        ModelRequest(
            parts=[RetryFeedbackPart('Say something.', retry=RetryInfo(cause='model_retry', attempt=1, max_retries=2))],
            instructions='Be brief.',
        ),
        ModelResponse(parts=[TextPart('Two '), TextPart('of them.')]),
        ModelRequest(parts=[ToolReturnPart('final_result', 'Done.', tool_call_id='c2')]),
    )


def test_a_run_is_an_example_in_chat_form_with_its_tool_calls(store: Store, tmp_path: Path) -> None:
    keep(store, (a_run(1, messages=with_tools(), new_message_index=2), []))
    tools = [{'type': 'function', 'function': {'name': 'find'}}]
    assert export_dataset(tmp_path / 'a.jsonl', store=store, tools=tools).added == 1
    (example,) = lines_in(tmp_path / 'a.jsonl')
    retry = example['messages'].pop(8)
    assert (retry['role'], 'Say something.' in retry['content']) == ('user', True)
    assert example == {
        'messages': [
            {'role': 'system', 'content': 'Be brief.'},
            {'role': 'user', 'content': 'Hello'},
            {'role': 'assistant', 'content': 'Hi', 'weight': 0},
            {'role': 'system', 'content': 'Be kind.'},
            {
                'role': 'user',
                'content': [
                    {'type': 'text', 'text': 'Look: '},
                    {'type': 'text', 'text': 'this'},
                    {'type': 'image_url', 'image_url': {'url': 'https://example.com/a.png'}},
                ],
            },
            {
                'role': 'user',
                'content': [{'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,MQ=='}}],
            },
            {
                'role': 'assistant',
                'tool_calls': [{'id': 'c1', 'type': 'function', 'function': {'name': 'find', 'arguments': '{"n":1}'}}],
            },
            {'role': 'tool', 'tool_call_id': 'c1', 'content': '{"found":2}'},
            {'role': 'assistant', 'content': 'Two of them.'},
        ],
        'tools': tools,
    }


def test_the_tools_of_an_example_are_those_in_the_spans_of_the_run(store: Store, tmp_path: Path) -> None:
    offered = [{'type': 'function', 'name': 'find', 'parameters': {'type': 'object'}}]
    described: list[dict[str, Any]] = [{}, {'gen_ai.tool.definitions': json.dumps(offered)}]
    spans: Any = StoredSpans(
        [
            SpanNode(
                name='chat',
                trace_id=1,
                span_id=number,
                parent_span_id=None,
                start_timestamp=START,
                end_timestamp=START,
                attributes=attributes,
            )
            for number, attributes in enumerate(described, 1)
        ]
    )
    # What Pydantic AI notes for itself is no message.
    noted = ModelRequest(parts=[UserPromptPart('a'), ToolAvailabilityDeltaPart()])
    keep(store, (a_run(1, messages=(noted, *said('', 'b')[1:]), spans=spans), []))
    export_dataset(tmp_path / 'a.jsonl', store=store)
    (example,) = lines_in(tmp_path / 'a.jsonl')
    assert example['tools'] == [{'type': 'function', 'function': {'name': 'find', 'parameters': {'type': 'object'}}}]
    assert [message['role'] for message in example['messages']] == ['user', 'assistant']


def test_a_mark_for_the_cache_is_no_content(store: Store, tmp_path: Path) -> None:
    asked = ModelRequest(parts=[UserPromptPart(['A long text.', CachePoint(), 'And?'])])
    keep_runs(store, a_run(1, messages=(asked, ModelResponse(parts=[TextPart('Yes.')]))))
    assert export_dataset(tmp_path / 'a.jsonl', store=store).left_out == {}
    (example,) = lines_in(tmp_path / 'a.jsonl')
    assert example['messages'][0]['content'] == [
        {'type': 'text', 'text': 'A long text.'},
        {'type': 'text', 'text': 'And?'},
    ]


def test_speech_is_its_transcript_and_without_one_no_example(store: Store, tmp_path: Path) -> None:
    def spoken(heard: str | None, answered: str | None) -> tuple[ModelMessage, ...]:
        return (
            ModelRequest(parts=[SpeechPart(speaker='user', transcript=heard)]),
            ModelResponse(parts=[SpeechPart(speaker='assistant', transcript=answered)]),
        )

    texts = (('Where is it?', 'Here.'), (None, 'Here.'), ('Where?', None))
    keep_runs(store, *(a_run(number, messages=spoken(*each)) for number, each in enumerate(texts)))
    assert export_dataset(tmp_path / 'a.jsonl', store=store).left_out == {'unsupported': 2}
    (example,) = lines_in(tmp_path / 'a.jsonl')
    assert example['messages'] == [
        {'role': 'user', 'content': 'Where is it?'},
        {'role': 'assistant', 'content': 'Here.'},
    ]


def test_a_conversation_of_which_only_a_summary_is_left_is_no_example(store: Store, tmp_path: Path) -> None:
    asked = ModelRequest(parts=[CompactionPart(content='They talked.'), UserPromptPart('And?')])
    keep_runs(store, a_run(1, messages=(asked, ModelResponse(parts=[TextPart('Yes.')]))))
    assert export_dataset(tmp_path / 'a.jsonl', store=store).left_out == {'unsupported': 1}


def test_what_the_model_said_beside_a_call_is_kept(store: Store, tmp_path: Path) -> None:
    messages = (
        *said('Look'),
        ModelResponse(parts=[TextPart('Let me see.'), ToolCallPart('a', '{"n": 1}', tool_call_id='c1')]),
        ModelRequest(parts=[ToolReturnPart('a', 'one', tool_call_id='c1')]),
        ModelResponse(parts=[TextPart('One.')]),
    )
    keep_runs(store, a_run(1, messages=messages))
    export_dataset(tmp_path / 'a.jsonl', store=store)
    (example,) = lines_in(tmp_path / 'a.jsonl')
    assert example == {
        'messages': [
            {'role': 'user', 'content': 'Look'},
            {
                'role': 'assistant',
                'content': 'Let me see.',
                'tool_calls': [{'id': 'c1', 'type': 'function', 'function': {'name': 'a', 'arguments': '{"n":1}'}}],
            },
            {'role': 'tool', 'tool_call_id': 'c1', 'content': 'one'},
            {'role': 'assistant', 'content': 'One.'},
        ]
    }


def test_what_tools_returned_follows_their_calls_at_once(store: Store, tmp_path: Path) -> None:
    messages = (
        *said('Look'),
        ModelResponse(parts=[ToolCallPart('a', {}, tool_call_id='c1'), ToolCallPart('b', {}, tool_call_id='c2')]),
        ModelRequest(
            parts=[
                ToolReturnPart('a', 'one', tool_call_id='c1'),
                UserPromptPart('Hurry.'),
                ToolReturnPart('b', 'two', tool_call_id='c2'),
            ]
        ),
        ModelResponse(parts=[TextPart('Done.')]),
    )
    keep_runs(store, a_run(1, messages=messages))
    export_dataset(tmp_path / 'a.jsonl', store=store)
    (example,) = lines_in(tmp_path / 'a.jsonl')
    assert [message['role'] for message in example['messages']] == [
        'user',
        'assistant',
        'tool',
        'tool',
        'user',
        'assistant',
    ]


def test_a_history_in_which_calls_and_what_tools_returned_are_not_both_there_is_no_example(
    store: Store, tmp_path: Path
) -> None:
    """Providers refuse such messages, as a history cut in the wrong place has them."""
    call = ModelResponse(parts=[ToolCallPart('a', {}, tool_call_id='c1'), ToolCallPart('b', {}, tool_call_id='c2')])
    first, second = (
        ModelRequest(parts=[ToolReturnPart(name, 'x', tool_call_id=each)]) for name, each in (('a', 'c1'), ('b', 'c2'))
    )
    both = ModelRequest(parts=[*first.parts, *second.parts])
    end = ModelResponse(parts=[TextPart('Done.')])
    cut = [(first, end), (*said('Look'), call, first, end), (*said('Look'), call, *said('And?'), end)]
    whole = [(*said('Look'), call, first, second, end), (*said('Look'), call, both, call), (*said('Look'), call, first)]
    twice = (*said('Look'), call, both, first, end)
    keep_runs(store, *(a_run(n, messages=messages) for n, messages in enumerate([*cut, *whole, twice])))
    assert export_dataset(tmp_path / 'a.jsonl', store=store).left_out == {'unsupported': 4}
    roles = [[message['role'] for message in example['messages']] for example in lines_in(tmp_path / 'a.jsonl')]
    called = ['user', 'assistant', 'tool', 'tool', 'assistant']
    # What ends with open calls is learned up to those.
    assert roles == [called, called, ['user', 'assistant']]
    report = export_dataset(tmp_path / 'b.jsonl', store=store, format='preferences')
    assert report.left_out == {'unsupported': 4, 'without_pair': 3}


def test_what_has_no_chat_form_or_no_answer_is_left_out(store: Store, tmp_path: Path) -> None:
    document = (
        ModelRequest(parts=[UserPromptPart([DocumentUrl('https://example.com/a.pdf')])]),
        ModelResponse(parts=[TextPart('Yes.')]),
    )
    drawn = (
        *said('Draw'),
        ModelResponse(parts=[drawn_file()]),
    )
    keep(
        store,
        (a_run(1, messages=document), []),
        (a_run(2, messages=drawn), []),
        (a_run(3, messages=said('a', 'b'), outcome='error', error=ValueError('no')), []),
        (a_run(4), []),
    )
    report = export_dataset(tmp_path / 'a.jsonl', store=store)
    assert (report.total, report.left_out) == (0, {'unsupported': 2, 'unfinished': 2})
    report = export_dataset(tmp_path / 'b.jsonl', store=store, format='preferences', where=None, rejected=RunFilter())
    assert report.left_out == {'unsupported': 4, 'unfinished': 2, 'without_pair': 1}


def drawn_file() -> Any:
    from pydantic_ai.messages import FilePart

    return FilePart(BinaryContent(b'1', media_type='image/png'))


def test_examples_are_added_once(store: Store, tmp_path: Path) -> None:
    path = tmp_path / 'a.jsonl'
    keep(store, (a_run(1, messages=said('a', 'b\u2028c')), []))
    assert export_dataset(path, store=store, append=True).added == 1
    keep(store, (a_run(2, messages=said('a', 'b\u2028c')), []), (a_run(3, messages=said('a', 'd')), []))
    report = export_dataset(path, store=store, append=True)
    assert (report.added, report.duplicates, report.total) == (1, 2, 2)
    path.write_text('{}\nno\n')
    with pytest.raises(ConfigurationError, match='its line 2 is no JSON'):
        export_dataset(path, store=store, append=True)


def test_a_better_and_a_worse_answer_to_one_prompt_are_a_pair(store: Store, tmp_path: Path) -> None:
    runs = [a_run(n, messages=said(*texts)) for n, texts in enumerate((('a', 'good'), ('a', 'bad'), ('b', 'bad')), 1)]
    same = a_run(4, messages=said('a', 'good'))
    verdicts = [True, False, False, False]
    keep(store, *((run, [an_outcome(run, a_result(v))]) for run, v in zip([*runs, same], verdicts, strict=True)))
    path = tmp_path / 'pairs.jsonl'
    report = export_dataset(
        path, store=store, format='preferences', where=RunFilter(passed=True), rejected=RunFilter(passed=False)
    )
    assert (report.added, report.left_out) == (1, {'without_pair': 2})
    assert lines_in(path) == [
        {
            'input': {'messages': [{'role': 'user', 'content': 'a'}]},
            'preferred_output': [{'role': 'assistant', 'content': 'good'}],
            'non_preferred_output': [{'role': 'assistant', 'content': 'bad'}],
        }
    ]


def test_a_correction_is_the_better_answer(store: Store, tmp_path: Path) -> None:
    keep(store, (a_run(1, messages=said('a', 'bad', instructions='Be kind.')), []), (a_run(2), []))
    store.add_feedback('correction', 'good', run_id='run-1')
    path = tmp_path / 'pairs.jsonl'
    tools: Any = [{'type': 'function', 'function': {'name': 'find'}}]
    report = export_dataset(path, store=store, format='preferences', tools=tools)
    assert (report.added, report.left_out) == (1, {'without_pair': 1})
    (pair,) = lines_in(path)
    assert pair['input'] == {
        'messages': [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'a'}],
        'tools': tools,
    }
    assert pair['preferred_output'] == [{'role': 'assistant', 'content': 'good'}]


# Tables


def test_a_table_has_the_results_and_feedback_of_runs_in_columns(store: Store, tmp_path: Path) -> None:
    run = a_run(1, inputs={'a': 1}, output=None, metadata={'tags': ['x', 'y']})
    several = an_outcome(run, a_result(4, name='score'), a_result(True, name='Polite'))
    failed = a_failure(run, evaluator='Kind', fingerprint='f9')
    keep(store, (run, [several, failed]), (a_run(2, outcome='error', error=ValueError('no')), []))
    store.add_outcomes('run-1', [an_outcome(run, a_result(False))], series='again')
    store.add_feedback('helpful', False, run_id='run-1', at=START + timedelta(seconds=2))
    store.add_feedback('helpful', True, run_id='run-1', at=START)
    assert store.flush()
    export_dataset(tmp_path / 'a.csv', store=store)
    first, second = rows_in(tmp_path / 'a.csv')
    assert (first['Polite'], first['Polite.score'], first['Polite [again]']) == ('true', '4', 'false')
    assert (first['feedback.helpful'], first['without_score']) == ('false', 'Kind: failed')
    assert (first['input'], first['output'], first['tags']) == ('{"a": 1}', '', 'x, y')
    assert (second['Polite'], second['error'], second['output']) == ('', 'ValueError', '')


def test_the_columns_of_a_table_come_in_one_order(store: Store, tmp_path: Path) -> None:
    usage = RunUsage(requests=2, input_tokens=30, output_tokens=4, cost=Decimal('0.25'))
    run = a_run(
        1,
        usage=usage,
        model_name='m',
        metadata={'variant': 'v'},
        conversation_id='talk',
        agent_path=('desk', 'support'),
    )
    keep(store, (run, [an_outcome(run, a_result(4), evaluator='Stars')]))
    export_dataset(tmp_path / 'a.csv', store=store)
    (row,) = rows_in(tmp_path / 'a.csv')
    assert list(row.items()) == [
        ('run_id', 'run-1'),
        ('target', 'support'),
        ('agent_path', 'desk / support'),
        ('conversation_id', 'talk'),
        ('started_at', run.started_at.isoformat()),
        ('duration', '1.5'),
        ('outcome', 'success'),
        ('error', ''),
        ('model', 'm'),
        ('variant', 'v'),
        ('tags', ''),
        ('requests', '2'),
        ('input_tokens', '30'),
        ('output_tokens', '4'),
        ('cost', '0.25'),
        ('input', 'question 1'),
        ('output', 'answer 1'),
        ('without_score', ''),
        ('Stars.Polite', '4'),
    ]


def test_an_evaluator_named_as_a_column_of_the_run_has_a_column_of_its_own(store: Store, tmp_path: Path) -> None:
    run = a_run(1)
    keep(store, (run, [an_outcome(run, a_result(False, name='duration'), evaluator='duration', fingerprint='d')]))
    export_dataset(tmp_path / 'runs.csv', store=store)
    (row,) = rows_in(tmp_path / 'runs.csv')
    assert (row['duration'], row['duration.duration']) == ('1.5', 'false')


def test_no_cell_is_a_formula(store: Store, tmp_path: Path) -> None:
    evil = ['=1+1', '+1', '-1', '@SUM(1)', '\t=1', '\r=1', '\n=1', '＝1', '＋1', '－1', '＠SUM(1)']
    runs = [
        a_run(n, inputs=text, output=f'"{text}", {text}', metadata={'variant': text}) for n, text in enumerate(evil)
    ]
    keep(store, *((run, [an_outcome(run, a_result(-0.5, name='=x'), evaluator='=x')]) for run in runs))
    export_dataset(tmp_path / 'a.csv', store=store)
    export_dataset(tmp_path / 'a.csv', store=store, append=True)
    with (tmp_path / 'a.csv').open(encoding='utf-8', newline='') as file:
        reader = csv.reader(file)
        cells = [cell for row in reader for cell in row]
    dangerous = [
        cell for cell in cells if cell.startswith(('=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'))
    ]
    assert set(dangerous) == {'-0.5'}
    assert {f"'{text}" for text in evil} <= set(cells)
    assert "'=x" in cells


def test_a_table_grows_by_rows_and_columns(store: Store, tmp_path: Path) -> None:
    path = tmp_path / 'a.csv'
    path.write_text('note,run_id\nmine,run-1\n', encoding='utf-8')
    second = a_run(2)
    keep(store, (a_run(1), []), (second, [an_outcome(second)]))
    report = export_dataset(path, store=store, append=True)
    assert (report.added, report.duplicates, report.total) == (1, 1, 2)
    first, last = rows_in(path)
    assert (first['note'], first['Polite'], last['note'], last['Polite']) == ('mine', '', '', 'true')


@pytest.mark.parametrize('text', ['a,b\n1,2\n', 'run_id,b\n1\n', 'run_id\n1,2\n', 'run_id\n"a"b\n', ''])
def test_what_is_no_table_of_runs_is_not_added_to(store: Store, tmp_path: Path, text: str) -> None:
    (tmp_path / 'a.csv').write_text(text)
    with pytest.raises(ConfigurationError, match='cannot be added to'):
        export_dataset(tmp_path / 'a.csv', store=store, append=True)


# Recorded conversations


@needs_recordings
def test_the_failed_conversations_are_a_dataset_of_116_cases(replayed: Replayed, tmp_path: Path) -> None:
    store = replayed.url
    failed = RunFilter(evaluator='RecordedReward', passed=False)
    report = export_dataset(tmp_path / 'failed.yaml', store=store, where=failed)
    assert (report.added, report.left_out) == (116, {})
    assert export_dataset(tmp_path / 'failed.yaml', store=store, where=failed, append=True).added == 0
    cases = cases_in(tmp_path / 'failed.yaml')
    assert (len(cases), len({case.metadata['assay_run']['conversation_id'] for case in cases})) == (116, 116)
    assert {case.metadata['reward'] for case in cases} == {0.0}

    passed = RunFilter(evaluator='RecordedReward', passed=True)
    assert export_dataset(tmp_path / 'good.jsonl', store=store, where=passed).added == 84
    examples = lines_in(tmp_path / 'good.jsonl')
    assert all(example['messages'][-1]['role'] == 'assistant' for example in examples)
    calls = [c for e in examples for m in e['messages'] for c in m.get('tool_calls', ())]
    assert all(json.loads(call['function']['arguments']) is not None for call in calls) and len(calls) > 300
    assert export_dataset(tmp_path / 'all.csv', store=store).total == 1_341
