"""The run that the current context belongs to, and how it came to be called."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

    from .spans import SpanCapture

__all__ = ('CURRENT', 'GUARDED', 'UNCAPTURED', 'ActiveRun', 'active_run', 'guarded_run')

MAX_DEPTH = 16
"""How many enclosing runs an agent path names. Runs that start each other in tasks of their own would never end it."""


class ActiveRun:
    """A run while it lasts. It is emptied when the run ends, since contexts can outlive it."""

    __slots__ = (
        '__weakref__',
        'agent_path',
        'caller_run_id',
        'capture',
        'chosen',
        'conversation_id',
        'messages',
        'parent_run_id',
        'recorded',
        'run_id',
        'unasked',
    )

    def __init__(
        self,
        run_id: str,
        name: str,
        conversation_id: str | None = None,
        *,
        caller_run_id: str | None = None,
        caller_name: str | None = None,
    ) -> None:
        """Begin a run within the current one.

        Args:
            run_id: The run's id.
            name: Name of what runs.
            conversation_id: The conversation it belongs to. Default: that of the run around it.
            caller_run_id: The id of the agent run whose tool or hook this is, evaluated or not.
            caller_name: The name of that agent.
        """
        outer = CURRENT.get()
        is_caller_between = caller_run_id is not None and (
            outer is None or caller_run_id not in (outer.run_id, outer.caller_run_id)
        )
        caller = UNCAPTURED.get(caller_run_id) if is_caller_between and caller_run_id is not None else None
        outer = caller or outer
        path = () if outer is None else outer.agent_path
        self.run_id = run_id
        self.parent_run_id: str | None = None if outer is None else outer.run_id
        if is_caller_between and caller is None:
            # An agent that is not evaluated lies between the two, and has no active run of its own.
            self.parent_run_id = caller_run_id
            path = (*path, caller_name or 'agent')
        self.agent_path = (*path[1 - MAX_DEPTH :], name) if path else (name,)
        self.caller_run_id: str | None = caller_run_id
        self.conversation_id = (
            outer.conversation_id if conversation_id is None and outer is not None else conversation_id
        )
        self.capture: SpanCapture | None = None if outer is None else outer.capture
        self.chosen: list[Any] | None = None
        self.recorded: Any = None
        self.messages: list[ModelMessage] | None = None
        self.unasked: list[tuple[Any, Exception]] | None = None
        """Evaluators that were to hold back its output and cannot be asked, and why."""

    def end(self) -> None:
        """Let go of all that the run held."""
        self.capture = self.chosen = self.recorded = self.messages = self.unasked = None


CURRENT: ContextVar[ActiveRun | None] = ContextVar('pydantic_ai_assay.run', default=None)
"""It routes spans whose parent is unknown, and tells a run who called it."""

UNCAPTURED: dict[str, ActiveRun] = {}
"""The runs under way that are not captured, by id, which the context does not tell of.

pydantic-ai carries what hooks set in the context to and fro between contexts, which takes longer than all else that is done
where nothing is sampled. What such a run calls is told by pydantic-ai which run that is.
"""

GUARDED: WeakValueDictionary[str, ActiveRun] = WeakValueDictionary()
"""The runs whose output is held back to be judged, by id: a run can be driven on in a context other than its own."""


def active_run(run_id: str) -> ActiveRun | None:
    """The run of this id, where it has begun: that of another hook of the same run."""
    active = CURRENT.get()
    return active if active is not None and active.run_id == run_id else UNCAPTURED.get(run_id)


def guarded_run(run_id: str) -> ActiveRun | None:
    """The run of this id, if its output may have to be judged before it returns."""
    active = CURRENT.get()
    return active if active is not None and active.run_id == run_id else GUARDED.get(run_id)
