"""What an agent or a model that judges is: what a fingerprint knows it by."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, cast

from pydantic import BaseModel
from pydantic_ai import Agent, Tool
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from .._upstream import default_judge_model, instructions_of

__all__ = ('describe_agent', 'describe_capabilities', 'describe_model')

MAX_DEPTH = 20
"""Levels of settings that are told apart; those that contain themselves have no end."""
_SECRETS = frozenset(('authorization_token', 'headers'))
"""Settings that change without a change of what is done."""
_KNOWN = (AbstractCapability, AbstractToolset)
"""What is known by the arguments that it was made with."""


def describe_model(model: Model | str | None) -> Any:
    """A model by its id and the settings it brings along; `None` is the default model."""
    if model is None:
        model = default_judge_model()
    if isinstance(model, str):
        return model
    if isinstance(model, FallbackModel):
        return [describe_model(each) for each in model.models]
    if isinstance(model, WrapperModel):
        wrapped = describe_model(model.wrapped)
        # Those of Pydantic AI say when and where a model is asked, and not what.
        is_known = type(model).__module__.startswith('pydantic_ai.')
        return wrapped if is_known else {**_arguments(model, MAX_DEPTH), 'wrapped': wrapped}
    return model.model_id if not model.settings else [model.model_id, _described(model.settings)]


def describe_agent(agent: AbstractAgent[Any, Any]) -> dict[str, Any]:
    """An agent by its model, settings, instructions, tools and capabilities."""
    model = agent.model
    return {
        'name': agent.name,
        'model': None if model is None else describe_model(model),
        'settings': _described(getattr(agent, 'model_settings', None)),
        'instructions': _described(instructions_of(agent)),
        'tools': _described(agent.toolsets),
        'capabilities': describe_capabilities(_capabilities(agent)),
    }


def describe_capabilities(capabilities: Sequence[AbstractCapability[Any]]) -> list[Any]:
    """Capabilities by their classes, settings and instructions."""
    return [_described(each) for each in capabilities]


def _capabilities(agent: AbstractAgent[Any, Any]) -> list[AbstractCapability[Any]]:
    """The capabilities that an agent was given: all but those that every agent has."""
    own, every = _leaves(agent), [_described(each) for each in _leaves(Agent())]
    return [each for each in own if not isinstance(each, Instrumentation) and _described(each) not in every]


def _leaves(agent: AbstractAgent[Any, Any]) -> list[AbstractCapability[Any]]:
    found: list[AbstractCapability[Any]] = []
    # Another kind of agent need not have any.
    with suppress(NotImplementedError):
        agent.root_capability.apply(found.append)
    return found


def _described(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value in a form that JSON has, and that is the same in every process."""
    if value is None or isinstance(value, str | int | float):
        return value
    if depth == 0:
        return '…'
    if isinstance(value, Model):
        return describe_model(cast('Model', value))
    if isinstance(value, AbstractAgent):
        return describe_agent(cast('AbstractAgent[Any, Any]', value))
    if isinstance(value, Mapping):
        items = cast('Mapping[Any, Any]', value).items()
        return {str(key): _described(item, depth - 1) for key, item in items if key not in _SECRETS}
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes):
        described = [_described(each, depth - 1) for each in cast('Sequence[Any]', value)]
        return sorted(described, key=repr) if isinstance(value, Set) else described
    return _described_object(value, depth)


def _described_object(value: Any, depth: int) -> Any:
    if isinstance(value, FunctionToolset):
        toolset = cast('FunctionToolset[Any]', value)
        return _described(list(toolset.tools.values()), depth - 1)
    if isinstance(value, Tool):
        tool = cast('Tool[Any]', value)
        schema = tool.tool_def.parameters_json_schema
        return _described([tool.name, tool.description, tool.function, tool.prepare, schema], depth - 1)
    if isinstance(value, partial):
        call = cast('partial[Any]', value)
        return _described([call.func, call.args, call.keywords], depth - 1)
    if isinstance(value, type) or inspect.isroutine(value):
        return _name_of(value)
    if isinstance(value, BaseModel):
        return {'': _name_of(type(value)), **_described(dict(value), depth - 1)}
    if is_dataclass(value) or isinstance(value, _KNOWN):
        return _arguments(value, depth)
    # What else there is may hold anything, such as connections and what has been done with them.
    return _name_of(type(cast('object', value)))


def _arguments(value: Any, depth: int) -> dict[str, Any]:
    """An object by its class, and by what was passed to make it as far as its attributes tell."""
    known = {name: getattr(value, name) for name in _argument_names(value) if hasattr(value, name)}
    known = {name: each for name, each in known.items() if getattr(each, '__self__', None) is not value}
    if isinstance(value, AbstractCapability):
        known['instructions'] = cast('AbstractCapability[Any]', value).get_instructions()
    return {'': _name_of(type(cast('object', value))), **_described(known, depth - 1)}


def _argument_names(value: object) -> Iterator[str]:
    if is_dataclass(value):
        yield from (field.name for field in fields(value) if field.init)
    yield from inspect.signature(type(value).__init__).parameters


def _name_of(function: Any) -> str:
    return f'{getattr(function, "__module__", "")}.{getattr(function, "__qualname__", "")}'
