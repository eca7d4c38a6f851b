"""The run that the current context belongs to, and how it came to be called."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

    from .spans import SpanCapture

__all__ = ('CURRENT', 'ActiveRun')

MAX_DEPTH = 16
"""How many enclosing runs an agent path names. Runs that start each other in tasks of their own would never end it."""


class ActiveRun:
    """A run while it lasts. It is emptied when the run ends, since contexts can outlive it."""

    __slots__ = (
        'agent_path',
        'caller_run_id',
        'capture',
        'chosen',
        'conversation_id',
        'messages',
        'parent_run_id',
        'recorded',
        'run_id',
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
        path = () if outer is None else outer.agent_path
        self.run_id = run_id
        self.parent_run_id: str | None = None if outer is None else outer.run_id
        if caller_run_id is not None and (outer is None or caller_run_id not in (outer.run_id, outer.caller_run_id)):
            # An agent that is not evaluated lies between the two, and has no active run of its own.
            self.parent_run_id = caller_run_id
            path = (*path, caller_name or 'agent')
        self.agent_path = (*path[1 - MAX_DEPTH :], name) if path else (name,)
        self.caller_run_id = caller_run_id
        self.conversation_id = (
            outer.conversation_id if conversation_id is None and outer is not None else conversation_id
        )
        self.capture: SpanCapture | None = None if outer is None else outer.capture
        self.chosen: list[Any] | None = None
        self.recorded: Any = None
        self.messages: list[ModelMessage] | None = None

    def end(self) -> None:
        """Let go of all that the run held."""
        self.capture = self.chosen = self.recorded = self.messages = None


CURRENT: ContextVar[ActiveRun | None] = ContextVar('pydantic_ai_assay.run', default=None)
"""It routes spans whose parent is unknown, and tells a run who called it."""
