"""The span of an evaluated function's call, as `logfire.instrument` would make it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from string import Formatter
from typing import Any, cast

from opentelemetry import trace
from pydantic_core import to_json

from .errors import ConfigurationError
from .runs.spans import shorten

__all__ = ('CallSpans', 'name_of', 'names_to_show', 'record_return', 'unwrapped')

MAX_ATTRIBUTE = 16_384
"""Characters to which a recorded argument or return value is shortened."""
SCHEMA = 'logfire.json_schema'


class CallSpans:
    """Makes the span of each call of one function."""

    def __init__(
        self,
        function: Callable[..., Any],
        signature: inspect.Signature,
        *,
        msg_template: str | None,
        span_name: str | None,
        extract_args: bool | Collection[str],
    ) -> None:
        """Read what a span of the function is to show.

        Raises:
            ConfigurationError: If `extract_args` names what is no parameter of the function.
        """
        name = f'{getattr(unwrapped(function), "__module__", "")}.{name_of(function)}'.strip('.')
        self._template = f'Calling {name}' if msg_template is None else msg_template
        self._name = self._template if span_name is None else span_name
        self._shown = _shown(function, signature, extract_args)

    def start(self, inputs: Mapping[str, Any], *, record_content: bool) -> trace.Span:
        """Start the span of a call; it is not made the current one.

        Args:
            inputs: The arguments by name.
            record_content: Whether the span may show any of them.
        """
        attributes: dict[str, Any] = {'logfire.msg_template': self._template}
        if record_content:
            shown = {name: value for name, value in inputs.items() if name in self._shown}
            attributes.update(_as_attributes(shown, {}))
            attributes['logfire.msg'] = shorten(_Message().vformat(self._template, (), inputs), MAX_ATTRIBUTE)
        return trace.get_tracer('pydantic-ai-assay').start_span(self._name, attributes=attributes)


def record_return(span: trace.Span, value: Any) -> None:
    """Show what a call returned on its span."""
    known: Mapping[str, Any] = getattr(span, 'attributes', None) or {}
    schema = json.loads(known.get(SCHEMA, '{}')).get('properties', {})
    span.set_attributes(_as_attributes({'return': value}, schema))


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a `functools.partial` calls, and anything else itself."""
    while isinstance(function, partial):
        function = cast('partial[Any]', function).func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """The qualified name of a function or of what a `functools.partial` calls; of a callable object, its class's."""
    function = unwrapped(function)
    return getattr(function, '__qualname__', None) or type(function).__qualname__


def names_to_show(extract_args: object) -> bool | tuple[str, ...]:
    """What `extract_args` says: whether all arguments are to be shown, or which.

    Raises:
        ConfigurationError: If it says neither.
    """
    if isinstance(extract_args, bool):
        return extract_args
    if isinstance(extract_args, str):
        return (extract_args,)
    names = tuple(cast('Iterable[object]', extract_args)) if isinstance(extract_args, Iterable) else (extract_args,)
    texts = tuple(name for name in names if isinstance(name, str))
    if len(texts) < len(names):
        raise ConfigurationError(f'extract_args must be True, False, or names of parameters, got {extract_args!r}.')
    return texts


def _shown(
    function: Callable[..., Any], signature: inspect.Signature, extract_args: bool | Collection[str]
) -> Collection[str]:
    if isinstance(extract_args, bool):
        return signature.parameters if extract_args else ()
    unknown = [name for name in extract_args if name not in signature.parameters]
    if unknown:
        raise ConfigurationError(
            f'extract_args names {", ".join(map(repr, unknown))}, but the parameters of {name_of(function)} are '
            f'{", ".join(map(repr, signature.parameters)) or "none"}.'
        )
    return extract_args


def _as_attributes(values: Mapping[str, Any], known_schema: Mapping[str, Any]) -> dict[str, Any]:
    """Values as span attributes, with the schema by which Logfire shows what is JSON in them as such."""
    attributes: dict[str, Any] = {}
    schema: dict[str, Any] = dict(known_schema)
    for name, value in values.items():
        if isinstance(value, bool | int | float):
            attributes[name], schema[name] = value, {}
        elif isinstance(value, str):
            attributes[name], schema[name] = shorten(value, MAX_ATTRIBUTE), {}
        else:
            text = to_json(value, serialize_unknown=True, inf_nan_mode='strings').decode()
            is_array = isinstance(value, Sequence | set | frozenset)
            attributes[name], schema[name] = shorten(text, MAX_ATTRIBUTE), {'type': 'array' if is_array else 'object'}
    if schema:
        attributes[SCHEMA] = json.dumps({'type': 'object', 'properties': schema})
    return attributes


class _Message(Formatter):
    """Fills a template in, whatever it asks for: `{name}`, `{name=}`, `{name.attribute}`, `{name:.2f}`."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        label = field_name if field_name.endswith('=') else ''
        name = field_name.removesuffix('=')
        try:
            value, used = super().get_field(name, args, kwargs)
            return (f'{label}{value!r}' if label else value), used
        except Exception:
            # What cannot be filled in stays as it stands.
            return f'{{{field_name}}}', name

    def format_field(self, value: Any, format_spec: str) -> Any:
        try:
            return super().format_field(value, format_spec)
        except Exception:
            return type(value).__name__
