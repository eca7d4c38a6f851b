"""Evaluations as workflows of DBOS: beside the run's own, and recovered like any other."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any
from weakref import WeakValueDictionary

from dbos import DBOS, SetWorkflowID, SetWorkflowTimeout
from pydantic_core import to_jsonable_python

from ..execution.evaluators import AttachedEvaluators
from .run import DurableRun
from .start import Assignment
from .unit import judge

__all__ = ('register', 'start')

MAX_RECOVERY_ATTEMPTS = 10
"""How many processes an evaluation may take down with it before DBOS leaves it alone."""

_ATTACHED: WeakValueDictionary[tuple[str, str], AttachedEvaluators] = WeakValueDictionary()
"""The evaluators by the agent's name and the id of the capability that attaches them."""


def register(agent_name: str, capability_id: str, evaluators: AttachedEvaluators) -> None:
    """Let evaluations that are recovered find their evaluators."""
    _ATTACHED[agent_name, capability_id] = evaluators


async def start(agent_name: str, capability_id: str, assignment: Assignment, run: DurableRun) -> None:
    """Start the workflow of an evaluation, once however often this is called. Only from within a workflow."""
    # The run's workflow may end long before, and its deadline is not the evaluation's.
    with SetWorkflowID(f'assay:{run.run_id}:{assignment.key}'), SetWorkflowTimeout(None):
        await DBOS.start_workflow_async(evaluate, agent_name, capability_id, asdict(assignment), _writable(run))


@DBOS.workflow(name='pydantic_ai_assay.evaluate', max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)
async def evaluate(agent_name: str, capability_id: str, assignment: dict[str, Any], run: Mapping[str, Any]) -> str:
    """Evaluate a run with one evaluator; the result says what became of it."""

    async def unit() -> str:
        attached = _ATTACHED.get((agent_name, capability_id))
        return await judge(attached, Assignment(**assignment), DurableRun.read(run), outlasts_loop=True)

    return await DBOS.run_step_async({'name': 'pydantic_ai_assay.judge'}, unit)


def _writable(run: DurableRun) -> dict[str, Any]:
    """The run's fields, those that cannot be pickled in their JSON form."""
    return {each.name: _pickled_or_json(getattr(run, each.name)) for each in fields(run)}


def _pickled_or_json(value: Any) -> Any:
    try:
        pickle.dumps(value)
    except Exception:
        return to_jsonable_python(value, serialize_unknown=True)
    return value
