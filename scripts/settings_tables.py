"""The tables of docs/settings.md, made of the code: `python scripts/settings_tables.py [--check]`.

A row is a field, an argument or an environment variable. What it means is the docstring under the field, or what the
docstring of the function says of the argument; where a field comes from another package and has no docstring of ours, it is
said here.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pydantic_ai_assay
from pydantic_ai_assay import (
    Budget,
    Cascade,
    Judge,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    Panel,
    Redactor,
    assay_lifespan,
    evaluate,
    submit,
)
from pydantic_ai_assay.switches import ALLOWED, SWITCHES, Switches
from pydantic_ai_assay.testing import capture_evaluations

__all__ = ('CALLABLES', 'CLASSES', 'ENVIRONMENT', 'LINKS', 'PAGE', 'WORDS', 'declarations', 'main', 'with_tables')

PAGE = Path(__file__).parents[1] / 'docs' / 'settings.md'
CLASSES = (OnlineEvaluator, OnlineEvalConfig, OnlineEvaluation, Judge, Panel, Cascade)
"""Dataclasses, whose settings are their fields."""
CALLABLES: tuple[Callable[..., Any], ...] = (Budget, Redactor, evaluate, submit, assay_lifespan, capture_evaluations)
"""Functions, and classes that are called like them: their settings are their arguments."""
ENVIRONMENT = 'environment'
"""What the markers of the table of environment variables name."""

WORDS = {
    'OnlineEvaluator.evaluator': 'The evaluator.',
    'OnlineEvaluator.on_max_concurrency': (
        "Called when an evaluation was dropped because the queue was full. `None` uses the config's."
    ),
    'OnlineEvaluator.on_sampling_error': "Called when `sample_rate` or `when` raised. `None` uses the config's.",
    'OnlineEvaluator.on_error': "Called when a sink or `on_max_concurrency` raised. `None` uses the config's.",
    'OnlineEvaluator.run_on_errors': 'Whether to judge runs that raised, too. Not looked at where `run_on` is set.',
    'OnlineEvalConfig.emit_otel_events': (
        'Whether results are emitted as OpenTelemetry events. With `False` and no sink, an evaluation is `skipped`.'
    ),
    'OnlineEvalConfig.include_baggage': 'Whether the OpenTelemetry baggage of a run is copied onto its events.',
    'OnlineEvalConfig.sampling_mode': (
        "Whether each evaluator has a draw of its own, or, with `'correlated'`, one draw counts for all of them."
    ),
    'OnlineEvalConfig.enabled': 'Whether runs are evaluated at all.',
    'OnlineEvalConfig.metadata': "Goes into `ctx.metadata`, below the run's own.",
    'OnlineEvalConfig.on_max_concurrency': (
        'Called when an evaluation was dropped because the queue was full, for evaluators without one of their own.'
    ),
    'OnlineEvalConfig.on_sampling_error': (
        'Called when `sample_rate` or `when` raised, for evaluators without one of their own.'
    ),
    'OnlineEvalConfig.on_error': (
        'Called when a sink or `on_max_concurrency` raised, for evaluators without one of their own.'
    ),
    'OnlineEvaluation.id': (
        'What Pydantic AI knows this capability by; no two capabilities of a run may have the same. `None` makes one of '
        'the name of the class.'
    ),
    'OnlineEvaluation.description': 'What Pydantic AI tells a model of a capability that the model has to load.',
    'OnlineEvaluation.defer_loading': (
        'Whether the model has to load the capability. Leave it `False`: what is not loaded when a run starts does not '
        'see the run.'
    ),
}
"""What fields of other packages mean here."""

LINKS = {
    'OnlineEvaluator.sample_rate': 'sampling.md#a-rate',
    'OnlineEvaluator.max_concurrency': 'evaluators.md#how-many-at-once',
    'OnlineEvaluator.sink': 'delivery.md#sinks',
    'OnlineEvaluator.on_max_concurrency': 'delivery.md#callbacks',
    'OnlineEvaluator.on_result': 'delivery.md#callbacks',
    'OnlineEvaluator.on_fail': 'delivery.md#callbacks',
    'OnlineEvaluator.mode': 'guardrails.md',
    'OnlineEvaluator.action': 'guardrails.md#what-is-done-about-an-output-that-is-refused',
    'OnlineEvaluator.on_unavailable': 'guardrails.md#where-there-is-no-verdict',
    'OnlineEvaluator.budget': 'budgets.md',
    'OnlineEvalConfig.budget': 'budgets.md',
    'OnlineEvalConfig.on_result': 'delivery.md#callbacks',
    'OnlineEvalConfig.on_fail': 'delivery.md#callbacks',
    'OnlineEvaluator.on_sampling_error': 'delivery.md#callbacks',
    'OnlineEvaluator.on_error': 'delivery.md#callbacks',
    'OnlineEvaluator.run_on_errors': 'sampling.md#which-outcomes',
    'OnlineEvaluator.timeout': 'evaluators.md#timeout',
    'OnlineEvaluator.retries': 'evaluators.md#retries',
    'OnlineEvaluator.retry_on': 'evaluators.md#retries',
    'OnlineEvaluator.retry_wait': 'evaluators.md#retries',
    'OnlineEvaluator.when': 'sampling.md#runs-that-must-be-seen',
    'OnlineEvaluator.run_on': 'sampling.md#which-outcomes',
    'OnlineEvaluator.sample_by': 'sampling.md#whole-conversations',
    'OnlineEvaluator.run_in': 'concepts.md#where-evaluators-run',
    'OnlineEvalConfig.default_sink': 'delivery.md#sinks',
    'OnlineEvalConfig.default_sample_rate': 'sampling.md#a-rate',
    'OnlineEvalConfig.emit_otel_events': 'delivery.md#opentelemetry-events',
    'OnlineEvalConfig.include_baggage': 'delivery.md#opentelemetry-events',
    'OnlineEvalConfig.sampling_mode': 'sampling.md#together-or-apart',
    'OnlineEvalConfig.on_max_concurrency': 'delivery.md#callbacks',
    'OnlineEvalConfig.on_sampling_error': 'delivery.md#callbacks',
    'OnlineEvalConfig.on_error': 'delivery.md#callbacks',
    'OnlineEvalConfig.queue_size': 'guarantees.md#memory',
    'OnlineEvalConfig.queue_bytes': 'guarantees.md#memory',
    'OnlineEvalConfig.shutdown_timeout': 'guarantees.md#the-end-of-the-process',
    'OnlineEvalConfig.redact': 'redaction.md',
    'OnlineEvalConfig.span_attribute_limit': 'guarantees.md#memory',
}
"""Where the guide says more of a field."""


@dataclass(kw_only=True, frozen=True)
class Declaration:
    """A field as a class declares it."""

    owner: type[Any]
    annotation: ast.expr
    default: str | None
    """What it is set to, as it is written there."""
    docstring: str | None

    @property
    def package(self) -> str:
        """The package that declares it."""
        return self.owner.__module__.partition('.')[0]

    @property
    def is_ours(self) -> bool:
        """Whether its docstring is about the field as it is here."""
        return self.package not in ('pydantic_ai', 'pydantic_evals')


def main(
    arguments: Sequence[str] | None = None,
    *,
    classes: Sequence[type[Any]] = CLASSES,
    callables: Sequence[Callable[..., Any]] = CALLABLES,
) -> int:
    """Write the tables, or see whether they are what they would be. Returns 1 if they are not."""
    parser = argparse.ArgumentParser(description='Write the tables of docs/settings.md.')
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a table is out of date')
    check = parser.parse_args(arguments).check
    old = PAGE.read_text(encoding='utf-8')
    new = with_tables(old, classes=classes, callables=callables)
    if check and new != old:
        missing = [line for line in new.splitlines() if line not in old.splitlines()]
        print(f'docs/{PAGE.name} is out of date. Run `python scripts/settings_tables.py`.', *missing, sep='\n')
        return 1
    if not check:
        PAGE.write_text(new, encoding='utf-8')
    return 0


def with_tables(
    page: str, *, classes: Sequence[type[Any]] = CLASSES, callables: Sequence[Callable[..., Any]] = CALLABLES
) -> str:
    """Put the tables between their markers.

    Raises:
        ValueError: If a table has no place on the page, or more than one; if a field or an argument has no meaning.
    """
    tables = {cls.__name__: _fields_table(cls) for cls in classes}
    tables |= {function.__name__: _arguments_table(function) for function in callables}
    tables[ENVIRONMENT] = _environment_table()
    for name, table in tables.items():
        start, end = f'<!-- settings: {name} -->', '<!-- end -->'
        page, count = re.subn(
            # Not over the start of another table.
            rf'^{re.escape(start)}\n(?:(?!<!-- ).*\n)*{end}$',
            f'{start}\n\n{table}\n\n{end}'.replace('\\', r'\\'),
            page,
            flags=re.M,
        )
        if count != 1:
            raise ValueError(f'The page must have the lines {start} and {end}, in this order, once each.')
    return page


def _fields_table(cls: type[Any]) -> str:
    declared = declarations(cls)
    shown = [field for field in fields(cls) if field.init]
    # What every capability of Pydantic AI has comes last.
    shown.sort(key=lambda field: declared[field.name][0].package == 'pydantic_ai')
    rows = [
        [
            _linked(f'{cls.__name__}.{field.name}'),
            _type(declared[field.name][0]),
            _default(field, declared[field.name][0]),
            _meaning(cls, field, declared[field.name]),
        ]
        for field in shown
    ]
    return _table(['field', 'type', 'default', 'meaning'], rows)


def _arguments_table(function: Callable[..., Any]) -> str:
    definition, source = _definition_of(function)
    arguments = definition.args
    annotations = {
        each.arg: each.annotation for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    }
    if arguments.vararg is not None:
        annotations[arguments.vararg.arg] = arguments.vararg.annotation
    written = dict(zip([each.arg for each in arguments.kwonlyargs], arguments.kw_defaults, strict=True))
    meanings = _meanings(function)
    rows: list[list[str]] = []
    for name, parameter in inspect.signature(function).parameters.items():
        shown = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
        annotation, default = annotations[name], written.get(name)
        if shown not in meanings or annotation is None:
            raise ValueError(f'{function.__name__}: the docstring says nothing of the argument {shown}.')
        if parameter.default is parameter.empty:
            default_text = 'none' if parameter.kind is parameter.VAR_POSITIONAL else 'required'
        else:
            default_text = f'`{ast.get_source_segment(source, default) if default else repr(parameter.default)}`'
        rows.append(
            [
                f'`{shown}`',
                _shown_type(_members(annotation, function.__module__)),
                default_text,
                _without_default(meanings[shown], parameter.default),
            ]
        )
    return _table(['argument', 'type', 'default', 'meaning'], rows)


def _definition_of(function: Callable[..., Any]) -> tuple[ast.FunctionDef, str]:
    """How a function is written; of a class its `__init__`."""
    made = vars(function)['__init__'] if isinstance(function, type) else function
    source = textwrap.dedent(inspect.getsource(made))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    return definition, source


def _meanings(function: Callable[..., Any]) -> dict[str, str]:
    """What docstrings say of each argument under `Args:`."""
    described = [function, vars(function)['__init__']] if isinstance(function, type) else [function]
    found: dict[str, str] = {}
    for each in described:
        section = re.search(r'^Args:\n((?: +.*\n|\n)*)', f'{inspect.getdoc(each) or ""}\n', re.M)
        name = ''
        for line in textwrap.dedent(section[1]).splitlines() if section is not None else ():
            start = re.match(r'(\*{0,2}\w+): (.*)', line)
            name = name if start is None else start[1]
            found[name] = f'{found.get(name, "")} {line.strip()}' if start is None else start[2]
    return {name: meaning.strip() for name, meaning in found.items()}


def _environment_table() -> str:
    declared = declarations(Switches)
    rows: list[list[str]] = []
    switches = {field.name: field for field in fields(Switches)}
    for variable, name in SWITCHES.items():
        default = 'not set' if switches[name].default is None else f'`{str(switches[name].default).lower()}`'
        meaning = _meaning(Switches, switches[name], declared[name]).removeprefix(f'`{variable}`: ')
        rows.append([f'`{variable}`', ALLOWED[variable], default, f'{meaning[0].upper()}{meaning[1:]}'])
    return _table(['variable', 'values', 'default', 'meaning'], rows)


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [f'| {" | ".join(map(_cell, cells))} |' for cells in [headings, *rows]]
    return '\n'.join([lines[0], '|---' * len(headings) + '|', *lines[1:]])


def _cell(text: str) -> str:
    # A bar ends a cell. Between backticks, GitHub shows it where it is escaped, and Python-Markdown where it is not.
    text = re.sub(r'`([^`]*\|[^`]*)`', r'<code>\1</code>', text)
    return text.replace('|', '&#124;')


def declarations(cls: type[Any]) -> Mapping[str, list[Declaration]]:
    """How each field of a dataclass is declared: first by the class itself, then by those that it inherits from."""
    found: dict[str, list[Declaration]] = {}
    for owner in cls.__mro__:
        if '__dataclass_fields__' in vars(owner):
            for name, declaration in _declared_by(owner).items():
                found.setdefault(name, []).append(declaration)
    return found


@cache
def _declared_by(owner: type[Any]) -> dict[str, Declaration]:
    source = textwrap.dedent(inspect.getsource(owner))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, Declaration] = {}
    for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = Declaration(
                owner=owner,
                annotation=node.annotation,
                default=None if node.value is None else ast.get_source_segment(source, node.value),
                docstring=_text(following),
            )
    return found


def _text(node: ast.stmt | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return None


def _linked(key: str) -> str:
    name = f'`{key.partition(".")[2]}`'
    return f'[{name}]({LINKS[key]})' if key in LINKS else name


def _type(declaration: Declaration) -> str:
    return _shown_type(_members(declaration.annotation, declaration.owner.__module__))


def _shown_type(members: Sequence[str]) -> str:
    quoted = [f'`{member}`' for member in members]
    return ' or '.join([', '.join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def _members(annotation: ast.expr, module: str) -> list[str]:
    """The members of a union, with those of the aliases that only the package knows, and the values of a `Literal`."""
    if isinstance(annotation, ast.BinOp):
        return [*_members(annotation.left, module), *_members(annotation.right, module)]
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        inner = annotation.slice
        if annotation.value.id == 'Literal':
            return [ast.unparse(value) for value in (inner.elts if isinstance(inner, ast.Tuple) else [inner])]
        if annotation.value.id == 'SkipJsonSchema':
            return _members(inner, module)
    if isinstance(annotation, ast.Name):
        known = vars(sys.modules[module]).get(annotation.id)
        if get_origin(known) is Literal:
            return [repr(value) for value in get_args(known)]
        if annotation.id not in pydantic_ai_assay.__all__:
            found = _alias(annotation.id, module)
            if found is not None:
                return _members(*found)
    return [re.sub(r'\b[a-z_]+\.(?=[A-Z])|\[Any(, Any)*\]', '', ast.unparse(annotation))]


@cache
def _alias(name: str, module: str) -> tuple[ast.expr, str] | None:
    """What a name of ours stands for, with the module where that is said."""
    if not module.startswith(pydantic_ai_assay.__name__):
        return None
    loaded = sys.modules[module]
    for node in ast.parse(inspect.getsource(loaded)).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return node.value, module
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _alias(name, import_module(f'{"." * node.level}{node.module}', loaded.__package__).__name__)
    return None


def _default(field: Field[Any], declaration: Declaration) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return 'required'
    if declaration.default is None or declaration.default.startswith('field('):
        return f'`{field.default!r}`' if field.default_factory is MISSING else f'`{field.default_factory()!r}`'
    return f'`{declaration.default}`'


def _meaning(cls: type[Any], field: Field[Any], declared: list[Declaration]) -> str:
    key = f'{cls.__name__}.{field.name}'
    ours = [each.docstring for each in declared if each.is_ours and each.docstring]
    theirs = [each.docstring for each in declared if not each.is_ours and each.docstring]
    if ours:
        return _without_default(' '.join(ours[0].split()), field.default)
    if key in WORDS:
        return WORDS[key]
    if theirs:
        # The rest is about how it works there.
        first = ' '.join(theirs[0].split('\n\n')[0].split())
        return re.sub(r'\[([^]]*)\]\[[^]]*\]', r'\1', first)
    raise ValueError(f'{key} has no docstring.')


def _without_default(text: str, default: object) -> str:
    """Leave out a sentence that says no more than the column of the defaults."""
    said = re.search(r' Default: (.+?)\.(?= |$)', text)
    if said is None or said[1].strip('`\'"').replace(',', '') not in _spellings(default):
        return text
    return f'{text[: said.start()]}{text[said.end() :]}'


def _spellings(value: object) -> set[str]:
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, float):
        return {str(value), f'{value:g}'}
    return {str(value)} if value is not None else set()


if __name__ == '__main__':
    sys.exit(main())
