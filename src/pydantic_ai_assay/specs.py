"""Evaluators and settings as data: what an agent spec gives an `OnlineEvaluation`, and how it is read."""

# Without `from __future__ import annotations`: the annotations of `spec_type` name what only the function itself knows.

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache, partial, wraps
from types import GenericAlias, NoneType, UnionType, new_class
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError, create_model
from pydantic_core import CoreSchema
from pydantic_evals.evaluators import Evaluator, EvaluatorSpec
from pydantic_evals.evaluators.common import DEFAULT_EVALUATORS
from typing_extensions import TypedDict

from ._upstream import build_schema_types
from .budget import Budget
from .errors import ConfigurationError
from .judging.cascade import Cascade
from .judging.judge import Judge
from .judging.panel import Panel
from .settings import DEFAULT_CONFIG, OnlineEvalConfig, OnlineEvaluator
from .spec_answers import invalid, refused, shown, unknown
from .spec_budgets import BudgetSpec, with_budgets

__all__ = ('KNOWN_EVALUATORS', 'ConfigSpec', 'EvaluatorSpecs', 'EvaluatorTypes', 'checked', 'load_config', 'spec_type')

_REGISTERING = '; the classes of your own evaluators go into `OnlineEvaluation.with_evaluator_types(...)`'
_FORMS = "a name, {name: arguments}, or {'evaluator': one of these, ...settings of `OnlineEvaluator`}"

_SETTINGS = ('evaluators', 'config', 'id')

_P = ParamSpec('_P')
_T = TypeVar('_T')


class EvaluatorTypes:
    """The evaluators that a spec can name: those of pydantic-evals, and classes that were registered."""

    def __init__(self, by_name: Mapping[str, type[Evaluator[Any, Any, Any]]]) -> None:
        self._by_name = dict(by_name)

    def including(self, evaluator_types: Iterable[type[Evaluator[Any, Any, Any]]]) -> 'EvaluatorTypes':
        """These and others; one with the name of one that is here already replaces it.

        Raises:
            ConfigurationError: If one of them is not the class of an evaluator, or two have the same name.
        """
        added: dict[str, type[Evaluator[Any, Any, Any]]] = {}
        for cls in evaluator_types:
            _check_evaluator_type(cls)
            name = cls.get_serialization_name()
            if added.setdefault(name, cls) is not cls:
                raise ConfigurationError(f'Two evaluators are called {name!r}: {added[name]!r} and {cls!r}.')
        # A spec's author looks for these first.
        return EvaluatorTypes({**added, **{name: cls for name, cls in self._by_name.items() if name not in added}})

    def load(self, entries: object) -> list[Evaluator[Any, Any, Any] | OnlineEvaluator]:
        """Make the evaluators that a spec's `evaluators` describe.

        Raises:
            ConfigurationError: If one of them cannot be made; the message begins with its path.
        """
        if isinstance(entries, str) or not isinstance(entries, Sequence):
            raise ConfigurationError(f'evaluators must be a list, got {shown(entries)}.')
        listed = cast('Sequence[object]', entries)
        return [self._load_entry(entry, f'evaluators[{index}]') for index, entry in enumerate(listed)]

    def _load_entry(self, entry: object, path: str) -> Evaluator[Any, Any, Any] | OnlineEvaluator:
        data = _mapping(entry)
        if data is None or 'evaluator' not in data:
            return self._load_evaluator(entry, path)
        evaluator = self._load_evaluator(data.pop('evaluator'), f'{path}.evaluator')
        return _make(partial(OnlineEvaluator, evaluator=evaluator), OnlineEvaluator, data, path)

    def _load_evaluator(self, entry: object, path: str) -> Evaluator[Any, Any, Any]:
        spec, arguments_path = _read_evaluator_spec(entry, path)
        cls = self._by_name.get(spec.name)
        if cls is None:
            raise unknown(path, 'evaluator', spec.name, self._by_name, _REGISTERING)
        return self._make_evaluator(cls, spec, path, arguments_path)

    def _make_evaluator(
        self, cls: type[Evaluator[Any, Any, Any]], spec: EvaluatorSpec, path: str, arguments_path: str
    ) -> Evaluator[Any, Any, Any]:
        signature = inspect.signature(cls)
        parameters = signature.parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            for name in spec.kwargs:
                if name not in parameters:
                    raise unknown(f'{arguments_path}.{name}', f'{spec.name} argument', name, parameters)
        cannot_be = f'{path} cannot be {shown(_data_of(spec))}'
        try:
            bound = signature.bind(*spec.args, **spec.kwargs)
        except TypeError as error:
            raise ConfigurationError(f'{cannot_be}: {error}.') from None
        hints = _hints(cls)
        for name, value in bound.arguments.items():
            if parameters[name].kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                value_path = arguments_path if spec.args else f'{arguments_path}.{name}'
                bound.arguments[name] = self._argument(hints.get(name, Any), value, value_path)
        try:
            return cls(*bound.args, **bound.kwargs)
        except Exception as error:
            raise refused(error, arguments_path, parameters, cannot_be) from error

    def _argument(self, hint: Any, value: Any, path: str) -> Any:
        member = _member_type(hint)
        if member is None:
            return _argument(hint, value, path)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigurationError(f'{path} must be a list of evaluators, got {shown(value)}.')
        entries = cast('Sequence[object]', value)
        return [self._load_member(member, entry, f'{path}[{index}]') for index, entry in enumerate(entries)]

    def _load_member(self, member: type[Any], entry: object, path: str) -> Evaluator[Any, Any, Any]:
        evaluator = self._load_evaluator(entry, path)
        if not isinstance(evaluator, member):
            fitting = [repr(name) for name, cls in self._by_name.items() if issubclass(cls, member)]
            raise ConfigurationError(f'{path} must be one of {", ".join(fitting)}, got {shown(entry)}.')
        return evaluator

    def _forms(self) -> list[Any]:
        """How each evaluator can be written, as types."""
        nesting = {name: cls for name, cls in self._by_name.items() if any(map(_member_type, _hints(cls).values()))}
        forms = {name: build_schema_types({name: cls}) for name, cls in self._by_name.items() if name not in nesting}
        for name, cls in nesting.items():
            forms[name] = build_schema_types({name: self._as_written(cls, nesting, forms)})
        return [form for name in self._by_name for form in forms[name]]

    def _as_written(
        self, cls: type[Evaluator[Any, Any, Any]], nesting: Collection[str], forms: Mapping[str, list[Any]]
    ) -> type[Any]:
        """A class with the arguments of an evaluator that has others, those as they are written."""
        hints = _hints(cls)
        arguments: list[tuple[str, Any, Any]] = []
        for name, parameter in inspect.signature(cls).parameters.items():
            hint = hints.get(name, Any)
            member = _member_type(hint)
            if member is not None:
                fitting = [each for each, known in self._by_name.items() if issubclass(known, member)]
                written = [form for each in fitting if each not in nesting for form in forms[each]]
                # What is in those that are in it is not described again.
                written += [_holding(each) for each in fitting if each in nesting]
                # `|` takes no members that are only known when this runs.
                hint = list[Union[tuple(written)]]  # noqa: UP007
            arguments.append((name, hint, field() if parameter.default is parameter.empty else field(default=None)))
        return make_dataclass(cls.__name__, arguments, kw_only=True)

    def __get_pydantic_core_schema__(self, source_type: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe a list of evaluators in the JSON schema of agent specs."""
        # As above: the members are in a list.
        evaluator: Any = Union[tuple(self._forms())]  # noqa: UP007
        with_settings: Any = create_model(
            'OnlineEvaluator', __base__=_settings_model(OnlineEvaluator), evaluator=(evaluator, ...)
        )
        return handler.generate_schema(list[evaluator | with_settings])


KNOWN_EVALUATORS = EvaluatorTypes(
    {cls.get_serialization_name(): cls for cls in (*DEFAULT_EVALUATORS, Judge, Panel, Cascade)}
)
"""The evaluators that every spec can name: those that every dataset file of pydantic-evals can, and the judges."""

EvaluatorSpecs = Annotated[Sequence[Any], KNOWN_EVALUATORS]
"""A spec's `evaluators`."""


class _ConfigSchema:
    """Describes a spec's `config` in the JSON schema of agent specs."""

    def __get_pydantic_core_schema__(self, source_type: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(_settings_model(OnlineEvalConfig))


ConfigSpec = Annotated[Mapping[str, Any], _ConfigSchema()]
"""A spec's `config`."""


class _DefaultSetting:
    """A setting that is what `DEFAULT_CONFIG` has, unless the instance has a value of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[object] | None = None) -> Any:
        return getattr(DEFAULT_CONFIG, self._name)


class SpecConfig(OnlineEvalConfig):
    """The config of a spec: what it leaves out is as in `DEFAULT_CONFIG`, also where that changes later.

    A sink cannot be given as data, and results would go nowhere if a spec that sets a rate left the sinks behind.
    """


for _field in fields(OnlineEvalConfig):
    setattr(SpecConfig, _field.name, _DefaultSetting(_field.name))


def checked(from_spec: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let `from_spec` answer what it does not know, or misses, with the names that there are; and give it budgets."""
    signature = inspect.signature(from_spec)

    @wraps(from_spec)
    def check_names(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for name in kwargs:
            if name not in _SETTINGS:
                raise unknown(name, 'setting', name, _SETTINGS)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ConfigurationError(f"evaluators must be a list such as ['EqualsExpected']: {error}.") from None
        given = bound.arguments
        id = given.get('id')
        if not isinstance(id, str | None):
            raise ConfigurationError(f'id must be a text, got {shown(id)}.')
        given['evaluators'], given['config'] = with_budgets(given['evaluators'], given.get('config'))
        return from_spec(*bound.args, **bound.kwargs)

    return check_names


def load_config(data: object) -> OnlineEvalConfig | None:
    """Make the config that a spec's `config` describes.

    Raises:
        ConfigurationError: If a setting cannot work; the message begins with its path.
    """
    if data is None:
        return None
    settings = _mapping(data)
    if settings is None:
        raise ConfigurationError(f'config must be a mapping of settings, got {shown(data)}.')
    made = _make(OnlineEvalConfig, OnlineEvalConfig, settings, 'config')
    config = SpecConfig.__new__(SpecConfig)
    vars(config).update({name: getattr(made, name) for name in settings})
    return config


def spec_type(cls: type[_T], types: EvaluatorTypes) -> type[_T]:
    """Make a class that specs know under the name of `cls`, and that makes instances of `cls` with these evaluators."""
    make = cast('Callable[..., _T]', cls)

    @checked
    def from_spec(
        evaluators: Annotated[Sequence[Any], types], config: ConfigSpec | None = None, id: str | None = None
    ) -> _T:
        return make(evaluators=types.load(evaluators), config=load_config(config), id=id)

    namespace: dict[str, Any] = {
        '__doc__': cls.__doc__,
        '__module__': cls.__module__,
        '__qualname__': cls.__qualname__,
        '_evaluator_types': types,
        'from_spec': staticmethod(from_spec),
    }
    # Specs take no class that is not itself decorated.
    subclass: type[_T] = new_class(cls.__name__, (cls,), exec_body=lambda body: body.update(namespace))
    return dataclass(kw_only=True)(subclass)


def _check_evaluator_type(cls: object) -> None:
    if not isinstance(cls, type):
        raise ConfigurationError(f'Expected the class of an evaluator, got {shown(cls)}.')
    if not issubclass(cls, Evaluator):
        raise ConfigurationError(f'Expected a subclass of `Evaluator`, got {cls!r}.')
    if '__dataclass_fields__' not in cls.__dict__:
        raise ConfigurationError(f'The class of an evaluator must be decorated with `@dataclass`, and {cls!r} is not.')


def _read_evaluator_spec(entry: object, path: str) -> tuple[EvaluatorSpec, str]:
    """Read who is named, and where its arguments are."""
    keys = set(_mapping(entry) or ())
    in_long_form = keys == {'name', 'arguments'}
    if len(keys) < 2 or in_long_form:
        with suppress(ValidationError):
            spec = EvaluatorSpec.model_validate(entry)
            return spec, f'{path}.{"arguments" if in_long_form else spec.name}'
    raise ConfigurationError(f'{path} must be {_FORMS}; got {shown(entry)}.')


def _mapping(value: object) -> dict[Any, Any] | None:
    return dict(cast('Mapping[Any, Any]', value)) if isinstance(value, Mapping) else None


def _data_of(spec: EvaluatorSpec) -> Any:
    return spec.model_dump(context={'use_short_form': True})


def _hints(cls: type[Any]) -> dict[str, Any]:
    """The types of a class's arguments; those of a written `__init__` go before those of the fields."""
    hints: dict[str, Any] = {}
    for annotated in (cls, cls.__init__):
        # What is named in them may exist for the type checker only.
        with suppress(Exception):
            hints.update(get_type_hints(annotated, include_extras=True))
    return hints


def _member_type(hint: Any) -> type[Evaluator[Any, Any, Any]] | None:
    """What kind of evaluator a list is of, where the type is that of such a list."""
    if get_origin(hint) in (list, tuple, Collection, Sequence):
        member = get_args(hint)[0]
        if isinstance(member, type) and issubclass(member, Evaluator):
            return cast('type[Evaluator[Any, Any, Any]]', member)
    return None


def _holding(name: str) -> Any:
    """The type of a mapping that has a value under one name."""
    values: dict[str, Any] = {name: Any}
    # Type checkers want the names written out, and this one is only known when it runs.
    return TypedDict(f'holding_{name}', values)  # pyright: ignore[reportArgumentType]


def _argument(hint: Any, value: Any, path: str) -> Any:
    """Check an argument, and give it the type that the evaluator expects."""
    try:
        # In a tuple, since types with a config of their own accept no other.
        adapter = TypeAdapter[Any](
            cast('Any', GenericAlias(tuple, (hint,))), config=ConfigDict(arbitrary_types_allowed=True)
        )
    except Exception:
        # A type that Pydantic does not know; the evaluator has the last word on every argument anyhow.
        return value
    try:
        (validated,) = adapter.validate_python((value,))
    except ValidationError as error:
        raise invalid(error, path, value) from None
    # One made of the same data in code has the same fingerprint, and that tells 5 from 5.0.
    return value if validated == value else validated


def _make(make: Callable[..., _T], cls: type[Any], data: dict[Any, Any], path: str) -> _T:
    """Make something of settings that are given as data."""
    model = _settings_model(cls)
    names = [field.name for field in fields(cls)]
    for name, value in data.items():
        if name not in names:
            raise unknown(f'{path}.{name}', f'`{cls.__name__}` setting', name, model.model_fields)
        if name not in model.model_fields:
            raise _no_data(cls, name, value, path)
        if isinstance(value, Budget):
            continue
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            raise invalid(error, f'{path}.{name}', value) from None
    try:
        return make(**data)
    except ConfigurationError as error:
        raise refused(error, path, names, path) from None


def _no_data(cls: type[Any], name: str, value: object, path: str) -> ConfigurationError:
    remedy = (
        f'set it in code with `configure({name}=...)`; what a spec leaves out is taken from there'
        if cls is OnlineEvalConfig
        else 'attach this evaluator in code, with an `OnlineEvaluation` in `capabilities=[...]`'
    )
    return ConfigurationError(
        f'{path}.{name} cannot be {shown(value)}: it takes functions or objects, which have no form as data; {remedy}.'
    )


@cache
def _settings_model(cls: type[Any]) -> type[BaseModel]:
    """The settings of a class that have a form as data, as a model."""
    hints = get_type_hints(cls)
    settings: dict[str, Any] = {
        field.name: (data_type, field.default)
        for field in fields(cls)
        if (data_type := _data_type(hints[field.name])) not in (None, NoneType)
    }
    return create_model(cls.__name__, __config__=ConfigDict(extra='forbid', strict=True), **settings)


def _data_type(hint: Any) -> Any | None:
    """The part of a type that a YAML or JSON file can hold, or `None` where there is none."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        members = [member for argument in arguments if (member := _data_type(argument)) is not None]
        # As above: the members are in a list.
        return Union[tuple(members)] if members else None  # noqa: UP007
    if hint is Budget:
        return BudgetSpec | str
    if origin is Literal or hint in (Any, bool, int, float, str, NoneType):
        return hint
    if origin in (dict, list, Collection, Sequence) and None not in map(_data_type, arguments):
        # Pydantic has no schema for collections that are nothing in particular.
        return hint if origin is dict else list[arguments[0]]
    return None
