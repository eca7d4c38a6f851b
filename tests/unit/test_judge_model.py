"""The model of a judge: made once per event loop, at temperature 0 where it takes one, and shown what it can see."""

import asyncio
from typing import Any

import pytest
import trio
from pydantic_ai.messages import AudioUrl, BinaryContent, DocumentUrl, ImageUrl, MultiModalContent, VideoUrl
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings

from pydantic_ai_assay.judging.model import JudgeModel, model_of_loop, settings_for, takes


def with_profile(**profile: Any) -> Model:
    return TestModel(profile=ModelProfile(**profile))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OPENAI_API_KEY', 'key')


def test_a_name_becomes_one_model_per_event_loop() -> None:
    async def both() -> tuple[Model, Model]:
        return await model_of_loop('openai:gpt-4o'), await model_of_loop('openai:gpt-4o')

    first, again = asyncio.run(both())
    (second, _) = asyncio.run(both())
    assert first is again
    assert first is not second


def test_models_of_loops_that_are_closed_are_let_go() -> None:
    from pydantic_ai_assay.judging import model

    for _ in range(5):
        asyncio.run(model_of_loop('openai:gpt-4o'))
    assert len(model._MODELS) == 1  # pyright: ignore[reportPrivateUsage]


def test_calls_at_the_same_time_get_the_same_model() -> None:
    async def all_at_once() -> list[Model]:
        return await asyncio.gather(*[model_of_loop('openai:gpt-4o') for _ in range(5)])

    assert len({id(model) for model in asyncio.run(all_at_once())}) == 1


def test_a_model_stays_as_it_is() -> None:
    model = TestModel()
    assert asyncio.run(model_of_loop(model)) is model


def test_a_name_becomes_a_model_on_trio_too() -> None:
    assert trio.run(model_of_loop, 'test').model_name == 'test'


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('openai:gpt-4o', {'temperature': 0.0}),
        ('openai:gpt-5-mini', None),
        ('openai:gpt-5.2', {'temperature': 0.0}),
        ('openai:o3', None),
        ('test', {'temperature': 0.0}),
    ],
)
def test_a_temperature_of_0_is_asked_of_models_that_take_it(name: str, expected: object) -> None:
    assert settings_for(infer_model(name), None) == expected


@pytest.mark.parametrize(
    ('model', 'expected'),
    [
        (with_profile(anthropic_disallows_sampling_settings=True), None),
        (with_profile(bedrock_disallows_sampling_settings=True), None),
        (with_profile(thinking_enabled_by_default=True), None),
        (with_profile(thinking_always_enabled=True), None),
        (with_profile(openai_supports_reasoning=True, openai_reasoning_efforts=frozenset({'low'})), None),
        (
            with_profile(openai_supports_reasoning=True, openai_reasoning_efforts=frozenset({'none', 'low'})),
            {'temperature': 0.0},
        ),
        (FallbackModel(TestModel(), with_profile(thinking_always_enabled=True)), None),
        (FallbackModel(TestModel(), TestModel()), {'temperature': 0.0}),
        (WrapperModel(with_profile(thinking_always_enabled=True)), None),
    ],
)
def test_a_profile_says_whether_a_model_takes_a_temperature(model: Model, expected: object) -> None:
    assert settings_for(model, None) == expected


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (ModelSettings(max_tokens=5), {'max_tokens': 5, 'temperature': 0.0}),
        (ModelSettings(temperature=0.7), {'temperature': 0.7}),
        (ModelSettings(top_p=0.5), {'top_p': 0.5}),
        (ModelSettings(thinking='high'), {'thinking': 'high'}),
    ],
)
def test_settings_that_were_given_count(given: ModelSettings, expected: object) -> None:
    assert settings_for(TestModel(), given) == expected


@pytest.mark.anyio
async def test_several_votes_are_not_cast_at_a_temperature_of_0() -> None:
    ready = await JudgeModel('test', None, None, is_steady=False).ready()
    assert ready.settings is None


PNG = BinaryContent(b'x', media_type='image/png')
MP3 = BinaryContent(b'x', media_type='audio/mpeg')
PDF = BinaryContent(b'x', media_type='application/pdf')


@pytest.mark.parametrize(
    ('profile', 'refused'),
    [
        ({'supports_image_input': False}, [PNG, ImageUrl('https://example.com/a.png')]),
        ({'supports_document_input': False}, [PDF, DocumentUrl('https://example.com/a.pdf')]),
        ({'supports_audio_file_input': False}, [MP3, AudioUrl('https://example.com/a.mp3')]),
        ({'supports_video_input': False}, [VideoUrl('https://example.com/a.mp4')]),
    ],
)
def test_a_profile_says_which_media_a_model_takes(profile: dict[str, bool], refused: list[MultiModalContent]) -> None:
    blind = with_profile(**profile)
    assert not any(takes(blind, item) for item in refused)
    assert not any(takes(FallbackModel(TestModel(), blind), item) for item in refused)
    assert all(takes(TestModel(), item) and takes(None, item) and takes('openai:gpt-5', item) for item in refused)


def test_another_medium_counts_by_itself() -> None:
    assert takes(with_profile(supports_image_input=False), PDF)
