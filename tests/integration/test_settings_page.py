"""The page of settings: its tables are those that the code makes, and no setting is left out."""

from __future__ import annotations

import inspect
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import pytest
from inline_snapshot import snapshot

import pydantic_ai_assay
from pydantic_ai_assay import testing
from pydantic_ai_assay.switches import SWITCHES

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'scripts' / 'settings_tables.py'
PAGE = ROOT / 'docs' / 'settings.md'

if TYPE_CHECKING:
    from scripts import settings_tables
else:
    # It is a program, in no package and on no path.
    settings_tables = SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def rows(name: str, page: str) -> dict[str, list[str]]:
    """The rows of a table, by what they are about."""
    table = page.split(f'\n<!-- settings: {name} -->\n')[1].split('\n<!-- end -->\n')[0]
    lines = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table.splitlines() if line.startswith('|')]
    return {re.findall(r'`\*?(\w+)`', cells[0])[0]: cells for cells in lines[2:]}


def with_fields_of(other: type[Any]) -> tuple[type[Any], ...]:
    """The classes of the page, with another one instead of the one of its name."""
    return tuple(other if cls.__name__ == other.__name__ else cls for cls in settings_tables.CLASSES)


def with_the_function(other: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """The functions of the page, with another one instead of the one of its name."""
    return tuple(other if each.__name__ == other.__name__ else each for each in settings_tables.CALLABLES)


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, '-W', 'error', str(SCRIPT), '--check'], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


@pytest.mark.parametrize('cls', settings_tables.CLASSES)
def test_every_field_has_a_row_that_says_what_it_means(cls: type[Any]) -> None:
    table = rows(cls.__name__, PAGE.read_text(encoding='utf-8'))
    assert sorted(table) == sorted(field.name for field in fields(cls) if field.init)
    assert [cells for cells in table.values() if len(cells) != 4 or not all(cells)] == []


@pytest.mark.parametrize('function', settings_tables.CALLABLES)
def test_every_argument_has_a_row_that_says_what_it_means(function: Callable[..., Any]) -> None:
    table = rows(function.__name__, PAGE.read_text(encoding='utf-8'))
    assert list(table) == list(inspect.signature(function).parameters)
    assert [cells for cells in table.values() if len(cells) != 4 or not all(cells)] == []
    assert [cells for cells in table.values() if not cells[3].endswith('.')] == []


def takes_settings(public: Any) -> bool:
    """Whether it is a function, or a class that users make instances of: no error, no protocol, no frozen payload."""
    if isinstance(public, FunctionType):
        return True
    if not inspect.isclass(public) or issubclass(public, Exception) or getattr(public, '_is_protocol', False):
        return False
    return not is_dataclass(public) or not vars(public)['__dataclass_params__'].frozen


def test_whoever_is_public_and_takes_settings_has_a_table_or_is_named_here() -> None:
    tables = {*settings_tables.CLASSES, *settings_tables.CALLABLES}
    public = [getattr(module, name) for module in (pydantic_ai_assay, testing) for name in module.__all__]
    assert tables <= set(filter(takes_settings, public))
    without = sorted(each.__name__ for each in public if takes_settings(each) and each not in tables)
    # Made by the package, of pydantic-evals, or described on the page of what they do.
    assert without == snapshot(
        [
            'CallbackSink',
            'CapturedEvaluations',
            'Grader',
            'InMemorySink',
            'OnlineEvaluatorContext',
            'SamplingContext',
            'SettableClock',
            'SpanReference',
            'configure',
            'disable_evaluation',
            'export_dataset',
            'judge_agreement',
            'map_text',
            'record_feedback',
            'record_feedback_async',
            'rejudge',
            'rejudge_sync',
            'run_evaluators',
            'run_of',
            'stats',
            'wait_for_evaluations',
        ]
    )


def test_every_environment_variable_has_a_row_that_says_what_it_means() -> None:
    table = rows(settings_tables.ENVIRONMENT, PAGE.read_text(encoding='utf-8'))
    assert list(table) == list(SWITCHES)
    assert [cells for cells in table.values() if len(cells) != 4 or not all(cells)] == []


def test_only_what_cannot_be_set_has_no_row() -> None:
    assert [field.name for cls in settings_tables.CLASSES for field in fields(cls) if not field.init] == snapshot(
        ['_evaluators']
    )


@dataclass(kw_only=True)
class OnlineEvalConfig(pydantic_ai_assay.OnlineEvalConfig):
    """With a setting more."""

    colour: str | None = None
    """Colour of the results, `red|green` or none. Default: nothing.

    It is not
    looked at.
    """
    shade: float = 10.0
    """How dark the colour is. Default: 10."""


def test_one_more_field_fails_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    before = PAGE.read_bytes()
    assert settings_tables.main(['--check'], classes=with_fields_of(OnlineEvalConfig)) == 1
    assert PAGE.read_bytes() == before
    assert capsys.readouterr().out == snapshot(
        """\
docs/settings.md is out of date. Run `python scripts/settings_tables.py`.
| `colour` | `str` or `None` | `None` | Colour of the results, <code>red&#124;green</code> or none. Default: nothing. It is not looked at. |
| `shade` | `float` | `10.0` | How dark the colour is. |
"""
    )


def test_one_more_argument_fails_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    def submit(*evaluators: object, inputs: str, colour: Literal['red', 'green'] | None = None) -> None:
        """Hand something over.

        Args:
            *evaluators: Who judges.
            inputs: What was asked,
                or not.
            colour: Colour of the results. Default: nothing.
        """

    assert settings_tables.main(['--check'], callables=with_the_function(submit)) == 1
    assert capsys.readouterr().out.splitlines()[1:] == snapshot(
        [
            '| `*evaluators` | `object` | none | Who judges. |',
            '| `inputs` | `str` | required | What was asked, or not. |',
            "| `colour` | `'red'`, `'green'` or `None` | `None` | Colour of the results. Default: nothing. |",
        ]
    )


def test_an_argument_without_a_meaning_is_an_error() -> None:
    def submit(*, inputs: str, colour: str = 'red') -> None:
        """Hand something over.

        Args:
            inputs: What was asked.
        """

    def evaluate(*, inputs: str) -> None: ...

    with pytest.raises(ValueError, match=r'^submit: the docstring says nothing of the argument colour\.'):
        settings_tables.main(['--check'], callables=with_the_function(submit))
    with pytest.raises(ValueError, match=r'^evaluate: the docstring says nothing of the argument inputs\.'):
        settings_tables.main(['--check'], callables=with_the_function(evaluate))


def test_the_docstring_of_a_class_or_of_its_init_tells_of_the_arguments() -> None:
    class Budget:
        """A limit.

        Args:
            usd: How much.
        """

        def __init__(self, usd: float, *, per: str = 'day') -> None:
            """Set it.

            Args:
                per: How often.
            """

    page = settings_tables.with_tables(PAGE.read_text(encoding='utf-8'), callables=with_the_function(Budget))
    assert rows('Budget', page) == {
        'usd': ['`usd`', '`float`', 'required', 'How much.'],
        'per': ['`per`', '`str`', "`'day'`", 'How often.'],
    }


@pytest.mark.parametrize(
    ('written', 'changed'), [('| `60.0` |', '| `50.0` |'), ('How many evaluations may wait', 'How few may wait')]
)
def test_a_row_that_says_something_else_is_replaced(written: str, changed: str) -> None:
    page = PAGE.read_text(encoding='utf-8')
    edited = page.replace(written, changed)
    assert edited != page
    assert settings_tables.with_tables(edited) == page


def test_a_field_without_a_docstring_is_an_error() -> None:
    @dataclass(kw_only=True)
    class OnlineEvaluator(pydantic_ai_assay.OnlineEvaluator):
        colour: str = 'red'

    with pytest.raises(ValueError, match=r'^OnlineEvaluator\.colour has no docstring'):
        settings_tables.main(['--check'], classes=with_fields_of(OnlineEvaluator))


@pytest.mark.parametrize('marker', ['<!-- settings: OnlineEvaluator -->\n', '<!-- end -->\n'])
def test_a_table_without_a_place_on_the_page_is_an_error(marker: str) -> None:
    page = PAGE.read_text(encoding='utf-8').replace(marker, '', 1)
    with pytest.raises(ValueError, match=r'must have the lines <!-- settings: OnlineEvaluator --> and <!-- end -->'):
        settings_tables.with_tables(page)


def test_words_and_links_are_those_of_fields() -> None:
    names = {f'{cls.__name__}.{field.name}' for cls in settings_tables.CLASSES for field in fields(cls)}
    assert settings_tables.WORDS.keys() | settings_tables.LINKS.keys() <= names


def test_no_field_has_words_beside_a_docstring_of_ours() -> None:
    documented = {
        f'{cls.__name__}.{name}'
        for cls in settings_tables.CLASSES
        for name, declared in settings_tables.declarations(cls).items()
        if any(each.is_ours and each.docstring for each in declared)
    }
    assert settings_tables.WORDS.keys() & documented == set()
