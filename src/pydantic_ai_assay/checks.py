"""What the values of settings are checked for: each check names the setting, what is allowed and what was given."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard, cast

from pydantic_evals.evaluators import Evaluator

from .budget import Budget
from .errors import ConfigurationError, MissingExtraError
from .sink import EvaluationSink, ResultStore

__all__ = (
    'check_all_in',
    'check_budget',
    'check_choice',
    'check_count',
    'check_evaluator',
    'check_flag',
    'check_function',
    'check_instance',
    'check_mapping',
    'check_rate',
    'check_retries',
    'check_seconds',
    'check_several',
    'check_sink',
    'check_store',
    'check_text',
    'copied',
    'is_several',
)


def is_several(value: object) -> TypeGuard[Collection[Any]]:
    """Whether a value holds others one after the other: a list or the like, no text, mapping or iterator."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def check_several(name: str, value: object) -> None:
    """Check that it is a list or the like.

    Raises:
        ConfigurationError: If it is not.
    """
    if not is_several(value):
        raise ConfigurationError(f'{name} must be a list, got {value!r}.')


def check_evaluator(evaluator: object) -> None:
    """Check that it is the instance of an evaluator.

    Raises:
        ConfigurationError: If it is not.
    """
    if isinstance(evaluator, type):
        raise ConfigurationError(f'Expected an evaluator, got the class {evaluator.__name__!r}; call it to make one.')
    if not isinstance(evaluator, Evaluator):
        raise ConfigurationError(f'Expected an instance of an `Evaluator` subclass, got {evaluator!r}.')


def check_rate(name: str, rate: object) -> None:
    """Check that it is a probability, or a plain function that gives one.

    Raises:
        ConfigurationError: If it is not.
    """
    is_number = isinstance(rate, int | float) and 0.0 <= rate <= 1.0
    if not is_number and not callable(rate):
        raise ConfigurationError(f'{name} must be a number from 0.0 to 1.0 or a callable, got {rate!r}.')
    _check_synchronous(name, rate)


def check_seconds(name: str, value: object, *, or_zero: bool = False) -> None:
    """Check that it is a finite time.

    Raises:
        ConfigurationError: If it is not.
    """
    valid = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (value > 0 or (or_zero and value == 0))
    )
    if not valid:
        raise ConfigurationError(
            f'{name} must be a {"" if or_zero else "positive "}number of seconds{", 0 or more" if or_zero else ""}, '
            f'got {value!r}.'
        )


def check_count(name: str, value: object, least: int) -> None:
    """Check that it is a whole number, and not too small.

    Raises:
        ConfigurationError: If it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f'{name} must be an integer of at least {least}, got {value!r}.')


def check_flag(name: str, value: object) -> None:
    """Check that it is `True` or `False`: a text such as `'false'` would count as true.

    Raises:
        ConfigurationError: If it is not.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f'{name} must be True or False, got {value!r}.')


def check_function(name: str, value: object, what: str = 'a function', *, synchronous: bool = False) -> None:
    """Check that it is a function, or `None`.

    Args:
        name: The setting.
        value: Its value.
        what: What it must be, in words.
        synchronous: Whether its result is needed at once, so that it must not be a coroutine function.

    Raises:
        ConfigurationError: If it is not.
    """
    if value is not None and not callable(value):
        raise ConfigurationError(f'{name} must be {what}, got {value!r}.')
    if synchronous:
        _check_synchronous(name, value)


def _check_synchronous(name: str, function: object) -> None:
    called = getattr(function, '__call__', None)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        raise ConfigurationError(f'{name} must not be asynchronous: its result is needed at once; got {function!r}.')


def check_budget(value: object) -> None:
    """Check that it is a budget, or `None`.

    Raises:
        ConfigurationError: If it is not.
    """
    if value is not None and not isinstance(value, Budget):
        raise ConfigurationError(f"budget must be a Budget, such as Budget(usd=5, per='day'), got {value!r}.")


def check_instance(name: str, value: object, cls: type[Any]) -> None:
    """Check that it is an instance of a class.

    Raises:
        ConfigurationError: If it is not.
    """
    if not isinstance(value, cls):
        raise ConfigurationError(f'{name} must be an {cls.__name__}, such as {cls.__name__}(), got {value!r}.')


def check_mapping(name: str, value: object) -> None:
    """Check that it is a mapping, or `None`.

    Raises:
        ConfigurationError: If it is not.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(f'{name} must be a mapping such as {{"team": "support"}}, got {value!r}.')


def check_sink(name: str, value: object) -> None:
    """Check that it is a sink, a function, several of these, or `None`.

    Raises:
        ConfigurationError: If it is not.
    """
    if value is None:
        return
    for sink in value if not isinstance(value, EvaluationSink) and is_several(value) else (value,):
        # The class of a sink has the methods of one.
        if isinstance(sink, type) or not (isinstance(sink, EvaluationSink) or callable(sink)):
            raise ConfigurationError(
                f'{name} must be a sink (an object with `async def submit(self, payload)`), a function, or a list of '
                f'these, got {sink!r}.'
            )


def check_store(value: object) -> None:
    """Check that it is a text, a store, or `None`.

    Raises:
        ConfigurationError: If it is not.
    """
    is_store = isinstance(value, ResultStore) and not isinstance(value, type)
    if value is not None and not isinstance(value, str) and not is_store:
        raise ConfigurationError(f"store must be a URL such as 'sqlite:///assay.db' or a Store, got {value!r}.")


def check_choice(name: str, value: object, allowed: Sequence[str], *, or_else: str | None = None) -> None:
    """Check that it is one of some texts.

    Raises:
        ConfigurationError: If it is not.
    """
    if value not in allowed:
        choices = [*map(repr, allowed), *([] if or_else is None else [or_else])]
        raise ConfigurationError(f'{name} must be one of {", ".join(choices)}, got {value!r}.')


def check_all_in(name: str, value: object, allowed: Sequence[str]) -> None:
    """Check that it is a collection of some texts, or `None`.

    Raises:
        ConfigurationError: If it is not.
    """
    if value is None:
        return
    if not is_several(value):
        raise ConfigurationError(f"{name} must be a collection such as ['error'], got {value!r}.")
    for each in value:
        check_choice(name, each, allowed)


def check_retries(retries: int) -> None:
    """Check that it is a number of retries, and that they can be made.

    Raises:
        ConfigurationError: If it is not.
        MissingExtraError: If the extra `retries` is needed and not installed.
    """
    check_count('retries', retries, 0)
    if retries:
        try:
            # Not used here: to import it tells whether it can be used, which finding it does not.
            import tenacity  # noqa: F401  # pyright: ignore[reportUnusedImport]
        except ImportError as error:
            raise MissingExtraError('`retries`', 'retries') from error


def copied(value: Any) -> Any:
    """A copy that shares no list, set or dictionary with the value; whatever else is in them is the same."""
    if type(value) is dict:
        return {key: copied(item) for key, item in cast('dict[Any, Any]', value).items()}
    if type(value) in (list, set, tuple):
        return type(value)(map(copied, value))
    return value


def check_text(name: str, value: object, *, or_none: bool = False) -> None:
    """See that an argument is a text that is not empty.

    Raises:
        ConfigurationError: If it is none.
    """
    if not (isinstance(value, str) and value) and not (or_none and value is None):
        raise ConfigurationError(f'{name} must be a text that is not empty{", or None" * or_none}, got {value!r}.')
