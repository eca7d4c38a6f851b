"""An evaluator as attached: what attaching it again shares, and what a copy does not."""

import copy
import dataclasses
from collections.abc import Callable

import pytest

from pydantic_ai_assay import ConfigurationError, OnlineEvaluator
from pydantic_ai_assay.execution.attached import attach

from .samples import Always, Named


def test_an_online_evaluator_attached_again_is_the_same_one() -> None:
    online = OnlineEvaluator(evaluator=Always(), max_concurrency=3)
    assert attach(online) is attach(online)


def test_bare_evaluators_are_attached_each_by_itself() -> None:
    evaluator = Always()
    assert attach(evaluator) is not attach(evaluator)
    assert attach(evaluator).key == attach(evaluator).key


@pytest.mark.parametrize('make', [copy.copy, dataclasses.replace], ids=lambda make: make.__name__)
def test_a_copy_keeps_settings_of_its_own(make: Callable[[OnlineEvaluator], OnlineEvaluator]) -> None:
    online = OnlineEvaluator(evaluator=Always(), max_concurrency=3, timeout=1.0)
    first = attach(online)
    copied = make(online)
    copied.timeout = 2.0
    second = attach(copied)
    assert second is not first
    assert (first.settings.timeout, second.settings.timeout) == (1.0, 2.0)
    assert attach(copied) is second
    assert attach(online) is first


def test_settings_changed_later_are_seen() -> None:
    online = OnlineEvaluator(evaluator=Always())
    attached = attach(online)
    online.timeout = 7.0
    assert attached.settings.timeout == 7.0


def test_an_identity_that_can_be_read_only_later_is_read_later() -> None:
    class Late(Named):
        def get_evaluator_version(self) -> str | None:
            if not known:
                raise LookupError('not yet')
            return super().get_evaluator_version()

    known = False
    attached = attach(Late('Judge', 'v2'))
    assert (attached.name, attached.known_identity) == ('Late', None)
    assert attached.key.partition('@')[0].endswith('Late')
    assert attached.source.name == 'Late'
    known = True
    assert attached.name == 'Judge'
    assert attached.key.startswith('Judge:')
    assert attached.identity.version == 'v2'


def test_what_is_no_evaluator_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        attach('Judge')  # pyright: ignore[reportArgumentType]
