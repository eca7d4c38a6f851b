"""What an agent or a model that judges is: what a fingerprint knows it by."""

from __future__ import annotations

from typing import Any

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from .._upstream import default_judge_model, instructions_of

__all__ = ('describe_agent', 'describe_model')


def describe_model(model: Model | str | None) -> Any:
    """A model by its id and the settings it brings along; `None` is the default model."""
    if model is None:
        model = default_judge_model()
    if isinstance(model, str):
        return model
    if isinstance(model, FallbackModel):
        return [describe_model(each) for each in model.models]
    return model.model_id if not model.settings else [model.model_id, _named(model.settings)]


def describe_agent(agent: AbstractAgent[Any, Any]) -> dict[str, Any]:
    """An agent by its model, settings, instructions and the names of its tools."""
    model = agent.model
    return {
        'name': agent.name,
        'model': None if model is None else describe_model(model),
        'settings': _named(getattr(agent, 'model_settings', None)),
        'instructions': [_named(each) for each in instructions_of(agent)],
        'tools': sorted(name for toolset in agent.toolsets for name in _tools(toolset)),
    }


def _tools(toolset: AbstractToolset[Any]) -> list[str]:
    if isinstance(toolset, FunctionToolset):
        return list(toolset.tools)
    # What it offers is known when it runs.
    return [f'{type(toolset).__qualname__}:{toolset.id}']


def _named(value: Any) -> Any:
    """A function by its name; anything else as it is."""
    if callable(value):
        return f'{getattr(value, "__module__", "")}.{getattr(value, "__qualname__", type(value).__qualname__)}'
    return value
