"""Imports go one way. The order is the one in which a reader can understand the parts."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pydantic_ai_assay

PACKAGE = 'pydantic_ai_assay'
ROOT = Path(pydantic_ai_assay.__file__).parent
LAYERS = [
    {'cached', 'errors', 'fork', 'thread_loop'},
    {'_upstream', 'runs'},
    {'budget', 'sink'},
    {'checks', 'spec_answers'},
    {'judging', 'redaction', 'settings', 'spec_budgets', 'switches'},
    {'analysis', 'delivery', 'sampling'},
    {'store'},
    {'reports'},
    {'execution'},
    {'call_span', 'capture', 'durable', 'known_store', 'specs', 'stored_runs'},
    {'agent_capture', 'redrawing'},
    {'capability', 'decorator', 'lifespan', 'rerun', 'submission', 'waiting'},
    {'agreement', 'datasets', 'feedback', 'rejudging'},
    {'testing'},
    {'__init__'},
    {'cli'},
]
"""From low to high. Parts of one layer do not know each other."""
MODULES = sorted(ROOT.rglob('*.py'))


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def name_of(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix('')
    parts = relative.parts[:-1] if relative.name == '__init__' and len(relative.parts) > 1 else relative.parts
    return '.'.join(parts)


def part_of(module: str) -> str:
    return module.partition('.')[0]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of ours that a module imports, wherever in its text, relative to the package, with the line."""
    names = {name_of(other) for other in MODULES}
    package = [PACKAGE, *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) - node.level + 1]) if node.level else ''
            module = '.'.join(filter(None, [base, node.module]))
            found = [f'{module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in found:
            if name.partition('.')[0] != PACKAGE:
                continue
            ours = name.removeprefix(PACKAGE).removeprefix('.')
            while ours and ours not in names:
                ours = ours.rpartition('.')[0]
            yield ours or '__init__', node.lineno


def test_the_walk_sees_relative_and_absolute_imports_of_names_and_modules() -> None:
    found = {module for module, _ in imports(ROOT / 'settings.py')}
    assert found == {'_upstream', 'budget', 'checks', 'errors', 'runs.outcome', 'runs.record', 'sink'}
    assert {'execution.pipeline', 'capability', 'settings'} <= {module for module, _ in imports(ROOT / '__init__.py')}


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_no_import_runs_up(path: Path) -> None:
    here = part_of(name_of(path))
    for module, line in imports(path):
        there = part_of(module)
        assert there == here or layer_of(there) < layer_of(here), f'{name_of(path)}:{line} imports {module}'


def test_modules_of_one_part_do_not_import_each_other_in_circles() -> None:
    graph = {
        name_of(path): {module for module, line in imports(path) if not in_type_checking(path, line)}
        for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f'circle: {" -> ".join([*trail, module])}'
        if module not in done:
            for other in graph[module] - {module}:
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def in_type_checking(path: Path, line: int) -> bool:
    return any(
        isinstance(node, ast.If)
        and ast.unparse(node.test) == 'TYPE_CHECKING'
        and node.lineno <= line <= (node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(path.read_text()))
    )


PRIVATE_NAMES_ALLOWED = {'_upstream'}


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_private_names_of_pydantic_ai_are_imported_in_one_module_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or '').startswith('pydantic'):
            dotted = [*(node.module or '').split('.'), *(alias.name for alias in node.names)]
            private = [name for name in dotted if name.startswith('_')]
            assert not private or name_of(path) in PRIVATE_NAMES_ALLOWED, f'{name_of(path)}:{node.lineno} {private}'
