"""The documentation: its snippets run and print what they say, and its lists leave nothing out."""

import asyncio
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic_ai import models
from pydantic_ai.models.test import TestModel
from pytest_examples import CodeExample, EvalExample, find_examples

import pydantic_ai_assay
from pydantic_ai_assay import stats, wait_for_evaluations

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'CHANGELOG.md', *sorted(DOCS.glob('*.md'))]
EXAMPLES = sorted(find_examples(*PAGES), key=str)
OF_THE_PROCESS = re.compile(r'\b(launch|stats|configure|instrument_all|set_\w+_provider|signal)\(')
"""Calls that read or change what all tests in a process share."""


def use_test_models(replace: Callable[[Any, str, object], None]) -> None:
    """Let the models that snippets name be `TestModel`s, and any other that would use the network fail."""
    infer_model = models.infer_model

    def infer(model: Any, *args: Any, **kwargs: Any) -> models.Model:
        if isinstance(model, str) and model.startswith('openai:'):
            return TestModel()
        return infer_model(model, *args, **kwargs)

    replace(models, 'infer_model', infer)
    replace(models, 'ALLOW_MODEL_REQUESTS', False)


def printed_as_documented(example: CodeExample) -> str:
    """What a snippet prints, according to the comments that begin with `#>`."""
    return ''.join(f'{line}\n' for line in re.findall(r'^ *#> ?(.*)$', example.source, flags=re.M))


@pytest.mark.parametrize('example', EXAMPLES, ids=str)
def test_snippet_is_formatted(example: CodeExample, eval_example: EvalExample) -> None:
    # For a reader all imports are third-party, but the house sets its own package apart.
    eval_example.set_config(
        line_length=120,
        quotes='single',
        target_version='py310',
        upgrade=True,
        isort=True,
        ruff_line_length=120,
        ruff_select=['E', 'F', 'W', 'B', 'SIM'],
    )
    eval_example.lint(example)


@pytest.fixture
def current_event_loop() -> Iterator[None]:
    """An event loop for `run_sync`, which warns of a main thread that has none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.usefixtures('current_event_loop')
@pytest.mark.parametrize('example', [e for e in EXAMPLES if not OF_THE_PROCESS.search(e.source)], ids=str)
def test_snippet_runs(
    example: CodeExample,
    eval_example: EvalExample,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    # Stores that snippets name are files beside them.
    monkeypatch.chdir(tmp_path)
    use_test_models(monkeypatch.setattr)
    before = stats().by_status
    eval_example.run(example)
    assert asyncio.run(wait_for_evaluations()) == ()
    assert capsys.readouterr().out == printed_as_documented(example)
    assert [record.getMessage() for record in caplog.records if record.name == 'pydantic_ai_assay'] == []
    grown = {status for status, count in stats().by_status.items() if count != before.get(status, 0)}
    assert grown <= {'scored', 'sampled_out', 'skipped'}


@pytest.mark.parametrize('example', [e for e in EXAMPLES if OF_THE_PROCESS.search(e.source)], ids=str)
def test_snippet_runs_in_a_process_of_its_own(example: CodeExample, tmp_path: Path) -> None:
    program = tmp_path / 'snippet.py'
    program.write_text(example.source, encoding='utf-8')
    done = subprocess.run(
        [sys.executable, '-W', 'error', __file__, str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, '', printed_as_documented(example))


def test_each_snippet_is_found() -> None:
    assert len(EXAMPLES) == sum(page.read_text(encoding='utf-8').count('```python\n') for page in PAGES)
    # A page whose snippets are all gone is a page that shows nothing.
    assert sorted({example.path.name for example in EXAMPLES}) == snapshot(
        [
            'README.md',
            'budgets.md',
            'coming-from-judges.md',
            'coming-from-pydantic-evals.md',
            'datasets.md',
            'delivery.md',
            'durable.md',
            'evaluators.md',
            'feedback.md',
            'functions.md',
            'guarantees.md',
            'guardrails.md',
            'index.md',
            'judge.md',
            'judging-offline.md',
            'panels.md',
            'quickstart.md',
            'redaction.md',
            'sampling.md',
            'servers.md',
            'settings.md',
            'specs.md',
            'statistics.md',
            'store.md',
            'testing.md',
        ]
    )


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, its first two lines left out."""
    text = (DOCS / page).read_text(encoding='utf-8')
    section = text.split(f'\n## {heading}\n')[1].split('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in lines[2:]]


def public_names() -> list[str]:
    return sorted(pydantic_ai_assay.__all__)


def test_api_page_covers_every_public_name_once() -> None:
    text = (DOCS / 'api.md').read_text(encoding='utf-8')
    ours = re.findall(r'^::: pydantic_ai_assay\.(\w+)$', text, flags=re.M)
    of_pydantic_evals = [name.strip('`') for name, _ in rows('api.md', 'From pydantic-evals')]
    assert sorted([*ours, *of_pydantic_evals]) == public_names()


def test_coming_from_page_is_right_about_the_shared_names() -> None:
    from pydantic_evals import online

    for name, _ in rows('api.md', 'From pydantic-evals'):
        name = name.strip('`')
        assert getattr(pydantic_ai_assay, name) is getattr(online, name)
    assert set(online.__all__) <= set(pydantic_ai_assay.__all__)


def test_evaluators_page_names_every_field_of_a_run() -> None:
    text = (DOCS / 'evaluators.md').read_text(encoding='utf-8')
    section = text.split('\n### The run\n')[1].split('\n```')[0]
    named = set(re.findall(r'`(\w+)`', section))
    # Inner workings of `messages` and `span_tree`.
    inner = {'new_message_index', 'spans'}
    names = {field.name for field in fields(pydantic_ai_assay.RunRecord)} | {
        name for name in vars(pydantic_ai_assay.RunRecord) if not name.startswith('_') and not name.isupper()
    }
    assert names - inner - named == set()


def test_delivery_page_names_every_field_of_what_sinks_and_stats_give() -> None:
    text = (DOCS / 'delivery.md').read_text(encoding='utf-8')
    for cls in (pydantic_ai_assay.SinkPayload, pydantic_ai_assay.EvaluationStats):
        assert [field.name for field in fields(cls) if f'| `{field.name}` |' not in text] == []


def test_links_in_files_beside_the_docs_lead_somewhere() -> None:
    for page in PAGES[:3]:
        for target in re.findall(r'\]\((?!https?:)([^)#]+)', page.read_text(encoding='utf-8')):
            assert (page.parent / target).exists(), f'{page.name} links to {target}'


def test_benchmark_page_has_a_place_for_the_table() -> None:
    text = (DOCS / 'benchmarks.md').read_text(encoding='utf-8')
    assert [text.count(f'<!-- benchmark:{end} -->') for end in ('start', 'end')] == [1, 1]


if __name__ == '__main__':
    use_test_models(setattr)
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        runpy.run_path(sys.argv[1], run_name='__main__')
