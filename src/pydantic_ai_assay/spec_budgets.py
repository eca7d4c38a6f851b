"""Budgets as data: what a spec says of them, and which of its evaluators share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from .budget import Budget, Per
from .errors import ConfigurationError
from .spec_answers import invalid, refused, shown, unknown

__all__ = ('BudgetSpec', 'with_budgets')


class BudgetSpec(BaseModel):
    """A budget: either `usd` or `evaluations`, per minute, hour, day or week. A name shares it within the spec."""

    model_config = ConfigDict(extra='forbid', strict=True)

    per: Per
    usd: float | None = None
    evaluations: int | None = None
    name: str | None = None


def with_budgets(evaluators: object, config: object) -> tuple[object, object]:
    """Put budgets in the place of what a spec says of them: one for each name, and one for each that has none.

    Args:
        evaluators: The spec's `evaluators`.
        config: The spec's `config`.

    Returns:
        The same two. What cannot be read stays as it is, since whoever reads it next says what is wrong.

    Raises:
        ConfigurationError: If a budget cannot be made, or two have one name and differ; the message begins with its path.
    """
    listed = list(cast('Sequence[object]', evaluators)) if _is_list(evaluators) else []
    holders = [*_holders([config], 'config', required=None), *_holders(listed, 'evaluators', required='evaluator')]
    named: dict[str, tuple[BudgetSpec, Budget]] = {}
    made: dict[str, Budget] = {}
    for path, holder in holders:
        if isinstance(holder['budget'], Mapping):
            made[path] = _made(dict(cast('Mapping[Any, Any]', holder['budget'])), path, named)
    for path, holder in holders:
        name = holder['budget']
        if isinstance(name, str):
            if name not in named:
                raise unknown(path, 'budget', name, named, '; give it once as {name: ..., usd: 5, per: day}')
            made[path] = named[name][1]
        elif path not in made and not isinstance(name, Budget):
            raise ConfigurationError(
                f'{path} must be a budget such as {{usd: 5, per: day}}, or the name of one in this spec, got {shown(name)}.'
            )
    settled = {path: {**holder, 'budget': made.get(path, holder['budget'])} for path, holder in holders}
    if _is_list(evaluators):
        evaluators = [settled.get(f'evaluators[{index}].budget', entry) for index, entry in enumerate(listed)]
    return evaluators, settled.get('config.budget', config)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _holders(
    entries: Sequence[object], path: str, *, required: str | None
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The mappings that have a budget, with the path of that."""
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            holder = cast('Mapping[str, object]', entry)
            if holder.get('budget') is not None and (required is None or required in holder):
                yield f'{path}.budget' if required is None else f'{path}[{index}].budget', holder


def _made(data: dict[Any, Any], path: str, named: dict[str, tuple[BudgetSpec, Budget]]) -> Budget:
    for name in data:
        if name not in BudgetSpec.model_fields:
            raise unknown(f'{path}.{name}', 'setting of a budget', name, BudgetSpec.model_fields)
    if 'per' not in data:
        raise ConfigurationError(f"{path} needs per: 'minute', 'hour', 'day' or 'week', got {shown(data)}.")
    for name, value in data.items():
        try:
            BudgetSpec.model_validate({'per': 'day', name: value})
        except ValidationError as error:
            raise invalid(error, f'{path}.{name}', value) from None
    spec = BudgetSpec(**data)
    before = None if spec.name is None else named.get(spec.name)
    if before is not None:
        if before[0] != spec:
            raise ConfigurationError(
                f'{path} has the name {spec.name!r}, which another budget of this spec has, {before[1]!r}; got {shown(data)}.'
            )
        return before[1]
    try:
        budget = Budget(usd=spec.usd, evaluations=spec.evaluations, per=spec.per)
    except ConfigurationError as error:
        raise refused(error, path, BudgetSpec.model_fields, f'{path} cannot be {shown(data)}') from None
    if spec.name is not None:
        named[spec.name] = (spec, budget)
    return budget
