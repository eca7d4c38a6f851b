"""The page about the command line: its tables are those of the application, and its samples what is printed.

    python tests/integration/test_cli_docs.py

writes both anew.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
from cli_store import fill, printed

from pydantic_ai_assay.cli.commands import app

PAGE = Path(__file__).parents[2] / 'docs' / 'cli.md'
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


@pytest.fixture(scope='module')
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f'sqlite:///{tmp_path_factory.mktemp("store") / "assay.db"}'
    fill(url)
    return url


def test_the_page_has_the_options_and_the_output_that_there_are(url: str) -> None:
    text = PAGE.read_text(encoding='utf-8')
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
        PAGE.write_text(page_as_it_should_be(PAGE.read_text(encoding='utf-8'), location), encoding='utf-8')
