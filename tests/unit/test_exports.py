"""The public names, and that changing the import is the whole migration from pydantic-evals."""

import dataclasses
import inspect
from typing import Any

import pydantic_evals.online
import pydantic_evals.online_capability
import pytest

import pydantic_ai_assay

UPSTREAM = {
    name: getattr(module, name)
    for module in (pydantic_evals.online, pydantic_evals.online_capability)
    for name in module.__all__
}


def test_the_export_list_is_sorted_constants_first_then_classes_then_functions() -> None:
    def kind_and_name(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    names = list(pydantic_ai_assay.__all__)
    assert names == sorted(set(names), key=kind_and_name)


@pytest.mark.parametrize('name', pydantic_ai_assay.__all__)
def test_every_exported_name_exists(name: str) -> None:
    assert getattr(pydantic_ai_assay, name) is not None


def test_every_public_name_there_is_exported() -> None:
    public = {
        name
        for name, value in vars(pydantic_ai_assay).items()
        if not name.startswith('_') and not inspect.ismodule(value)
    }
    assert public == set(pydantic_ai_assay.__all__)


@pytest.mark.parametrize('name', sorted(UPSTREAM))
def test_every_name_of_pydantic_evals_that_concerns_agents_exists(name: str) -> None:
    assert name in pydantic_ai_assay.__all__


@pytest.mark.parametrize('name', sorted(UPSTREAM))
def test_what_takes_arguments_there_takes_the_same_ones_here(name: str) -> None:
    theirs = UPSTREAM[name]
    if not callable(theirs) or not (inspect.isclass(theirs) or inspect.isfunction(theirs)):
        return
    assert set(inspect.signature(theirs).parameters) <= set(
        inspect.signature(getattr(pydantic_ai_assay, name)).parameters
    )


@pytest.mark.parametrize('name', ['OnlineEvalConfig', 'OnlineEvaluator', 'SamplingContext', 'SinkPayload'])
def test_our_settings_are_theirs_and_more(name: str) -> None:
    assert issubclass(getattr(pydantic_ai_assay, name), UPSTREAM[name])


DIFFERENT_DEFAULTS = {('OnlineEvaluator', 'max_concurrency')}


@pytest.mark.parametrize('name', ['OnlineEvalConfig', 'OnlineEvaluator'])
def test_a_setting_left_out_means_what_it_means_there(name: str) -> None:
    def defaults(cls: Any) -> dict[str, object]:
        return {field.name: field.default for field in dataclasses.fields(cls)}

    ours, theirs = defaults(getattr(pydantic_ai_assay, name)), defaults(UPSTREAM[name])
    assert {(name, each) for each in theirs if ours[each] != theirs[each]} <= DIFFERENT_DEFAULTS
