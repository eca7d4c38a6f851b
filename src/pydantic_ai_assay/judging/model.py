"""The model of a judge: made of its name once per event loop, and set to grade the same way each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread
from pydantic_ai import models
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.messages import MultiModalContent
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings, merge_model_settings

from .._upstream import default_judge_model

__all__ = ('JudgeModel', 'ReadyModel')

_THINKING = frozenset(('thinking', 'openai_reasoning_effort', 'anthropic_thinking', 'google_thinking_config'))
"""Settings that turn on what most models do not combine with a temperature."""
_SAMPLING = frozenset(('temperature', 'top_p', 'top_k'))
"""Settings of which models take one at most."""
_REFUSALS = ('anthropic_disallows_sampling_settings', 'bedrock_disallows_sampling_settings')
_FLAGS = {
    'image': 'supports_image_input',
    'document': 'supports_document_input',
    'audio': 'supports_audio_file_input',
    'video': 'supports_video_input',
}


class OpenModel:
    """A model whose connections are closed when its event loop ends in good order."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._opening = _opened(model)

    async def open(self) -> None:
        """Open the model on the current event loop, which closes the generator that holds it open."""
        await anext(self._opening)


async def _opened(model: Model) -> AsyncGenerator[None]:
    async with model:
        yield


_MODELS: dict[asyncio.AbstractEventLoop, dict[str, OpenModel]] = {}
"""The models by loop and name. Changed in single steps: no lock that a fork could leave held."""


@dataclass(frozen=True)
class ReadyModel:
    """A model as a call needs it."""

    model: Model | None
    """The model; `None` for that of the agent."""
    settings: ModelSettings | None
    """Settings for this call; `None` for those of the agent."""
    takes: Callable[[MultiModalContent], bool]
    """Whether it takes an image or another medium."""


@dataclass(frozen=True)
class JudgeModel:
    """What a judge says about its model."""

    model: Model | str | None
    """The model, its name, or `None` for the default."""
    settings: ModelSettings | None
    """Settings for it."""
    agent: AbstractAgent[Any, Any] | None
    """An agent that brings a model and settings of its own."""
    is_steady: bool
    """Whether it should answer the same each time: several votes that cannot differ would tell no more than one."""

    async def ready(self) -> ReadyModel:
        """The model for a call on the current event loop."""
        if self.agent is not None:
            return ReadyModel(None, None, partial(takes, self.agent.model))
        model = await model_of_loop(default_judge_model() if self.model is None else self.model)
        settings = settings_for(model, self.settings) if self.is_steady else self.settings
        return ReadyModel(model, settings, partial(takes, model))


async def model_of_loop(model: Model | str) -> Model:
    """The model of a name, made once for each event loop, for its connections belong to one; a model as it is."""
    if isinstance(model, Model):
        return model
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Another kind of event loop, of which it is not known when it is gone.
        return await _make(model)
    made = _MODELS.get(loop, {}).get(model)
    if made is None:
        new = OpenModel(await _make(model))
        for closed in [each for each in list(_MODELS) if each.is_closed()]:
            _MODELS.pop(closed, None)
        made = _MODELS.setdefault(loop, {}).setdefault(model, new)
        if made is new:
            await made.open()
    return made.model


async def _make(name: str) -> Model:
    # It imports the provider's package and reads certificates, for which the application's loop should not stand still.
    return await anyio.to_thread.run_sync(models.infer_model, name)


def settings_for(model: Model, given: ModelSettings | None) -> ModelSettings | None:
    """The settings for a model: a temperature of 0 where it takes one, and those given."""
    names = given or {}
    if _SAMPLING & names.keys() or _THINKING & names.keys():
        return given
    if not all(map(_takes_temperature, _profiles(model))):
        return given
    return merge_model_settings(ModelSettings(temperature=0.0), given)


def takes(model: Model | str | None, item: MultiModalContent) -> bool:
    """Whether a model takes an image or another medium; so does one of which nothing is known."""
    if not isinstance(model, Model):
        return True
    kind, _, form = item.media_type.partition('/') if item.kind == 'binary' else item.kind.partition('-')
    flag = _FLAGS.get(kind if kind in _FLAGS and form else 'document', 'supports_document_input')
    return all(profile.get(flag, True) for profile in _profiles(model))


def _profiles(model: Model) -> Sequence[ModelProfile]:
    if isinstance(model, FallbackModel):
        return [profile for each in model.models for profile in _profiles(each)]
    if isinstance(model, WrapperModel):
        return _profiles(model.wrapped)
    return [model.profile]


def _takes_temperature(profile: ModelProfile) -> bool:
    """Whether a model takes a temperature without a warning or an error, as far as its profile says."""
    if any(profile.get(key) for key in _REFUSALS):
        return False
    if profile.get('thinking_always_enabled') or profile.get('thinking_enabled_by_default'):
        return False
    if profile.get('openai_supports_reasoning'):
        efforts = profile.get('openai_reasoning_efforts')
        return 'none' in efforts if efforts else bool(profile.get('openai_supports_reasoning_effort_none'))
    return True
