"""Pages that show the command line: the tables of options are those of the application, the samples what is printed.

    python tests/integration/test_cli_docs.py

writes them anew.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
from cli_store import fill, printed, url

from pydantic_ai_assay.cli.commands import app

__all__ = ('url',)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'cli.md'
PAGES = (PAGE, ROOT / 'README.md', ROOT / 'docs' / 'index.md')
SAMPLE = re.compile(r'```console\n\$ assay (?P<command>[^\n]*)\n(?P<output>.*?)```', re.S)
COMMANDS: dict[str, Any] = cast(Any, typer.main.get_command(app)).commands


def table_of(name: str) -> str:
    """The options of a command as the page has them."""
    lines = ['| argument or option | | default |', '|---|---|---|']
    for parameter in COMMANDS[name].params:
        names = ', '.join(f'`{each}`' for each in [*parameter.opts, *parameter.secondary_opts])
        if parameter.param_type_name == 'argument':
            names = f'`{parameter.metavar or parameter.name.upper()}`'
        default = parameter.default
        shown = '' if default in (None, False, '') or callable(default) else f'`{default}`'
        lines.append(f'| {names} | {parameter.help or ""} | {shown} |')
    return '\n'.join(lines) + '\n'


def page_as_it_should_be(text: str, url: str) -> str:
    for name in COMMANDS:
        start, end = f'<!-- options of {name}: start -->\n', f'<!-- options of {name}: end -->'
        if start in text:
            before, rest = text.split(start)
            text = f'{before}{start}{table_of(name)}{end}{rest.split(end, 1)[1]}'

    def sample(match: re.Match[str]) -> str:
        output = printed(*shlex.split(match['command']), store=url)
        return f'```console\n$ assay {match["command"]}\n{output}```'

    return SAMPLE.sub(sample, text)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_a_page_has_the_options_and_the_output_that_there_are(url: str, page: Path) -> None:
    text = page.read_text(encoding='utf-8')
    assert SAMPLE.search(text)
    assert text == page_as_it_should_be(text, url)


def test_the_page_has_every_command() -> None:
    text = PAGE.read_text(encoding='utf-8')
    for name in COMMANDS:
        assert f'## `assay {name}`\n' in text
        assert f'<!-- options of {name}: start -->' in text


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        location = f'sqlite:///{folder}/assay.db'
        fill(location)
        for each in PAGES:
            each.write_text(page_as_it_should_be(each.read_text(encoding='utf-8'), location), encoding='utf-8')
