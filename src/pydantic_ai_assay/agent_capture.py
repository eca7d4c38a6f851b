"""The run of an agent being captured, on its caller's path."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import Any

from opentelemetry import trace
from pydantic_ai.capabilities import WrapRunHandler
from pydantic_ai.exceptions import RunTimedOut
from pydantic_ai.messages import ModelMessage, UserContent
from pydantic_ai.output import PendingModelResponse
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import DeferredToolRequests, RunContext
from pydantic_ai.usage import RunUsage

from ._upstream import CURRENT_TASK_RUN
from .capture import RunCapture, outcome_of
from .durable.hand_over import DurableChosen, duration_of, hand_over
from .execution.chosen import Chosen
from .execution.pipeline import PIPELINE
from .runs.active import ActiveRun
from .runs.record import RunRecord
from .runs.spans import is_span_of_run
from .sampling.choice import RunStart

__all__ = ('AgentCapture', 'DurableCapture', 'UnrecordedCapture', 'agent_name_of', 'run_start')


def run_start(ctx: RunContext[Any], prompt: str | Sequence[UserContent] | None) -> RunStart:
    """What is known of an agent's run before it starts."""
    return RunStart(
        run_id=ctx.run_id or '',
        conversation_id=ctx.conversation_id,
        target=agent_name_of(ctx) or 'agent',
        agent_name=agent_name_of(ctx),
        inputs=prompt,
        deps=ctx.deps,
    )


def agent_name_of(ctx: RunContext[Any]) -> str | None:
    """The name of the agent that runs."""
    return ctx.agent.name if ctx.agent is not None else None


class AgentCapture(RunCapture):
    """An agent's run being captured."""

    def __init__(
        self, ctx: RunContext[Any], active: ActiveRun, chosen: Chosen, *, started_at: datetime | None = None
    ) -> None:
        """Capture a run that is about to start.

        Args:
            ctx: The run, as its hooks know it.
            active: The same, as the current one.
            chosen: The evaluators that may be shown the run.
            started_at: When the run started, where that was recorded.
        """
        self._ctx = ctx
        usage = ctx.usage
        # Not empty where the caller shares one usage object between runs. Whatever raises here must do so before the capture
        # is one that others join.
        self._usage_before = _copy_usage(usage) if usage.requests or usage.input_tokens else None
        self._message_count = len(ctx.messages)
        span = trace.get_current_span()
        is_own_span = is_span_of_run(span, active.run_id)
        super().__init__(active, chosen, span, is_own_span=is_own_span, started_at=started_at)

    async def run(self, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent, keeping what evaluators will want to know."""
        token = CURRENT_TASK_RUN.set(self.task_run)
        try:
            result = await handler()
        except BaseException as error:
            self.hand_over(error=error)
            raise
        else:
            self.hand_over(result=result)
            return result
        finally:
            CURRENT_TASK_RUN.reset(token)

    def snapshot(self) -> None:
        """Copy what can change after the run has returned."""
        ctx, result = self._ctx, self.result
        error = self.error
        if isinstance(error, asyncio.CancelledError) and ctx.deadline is not None and (ctx.remaining_time() or 0) <= 0:
            # What the caller gets; it is made of the cancellation when the hooks are done.
            self.error = RunTimedOut('The agent run timed out.')
        if self.error is None:
            self._output = result.output
            self._messages = tuple(result.all_messages())
            self._message_count = len(self._messages) - len(result.new_messages())
            usage, metadata = result.usage, result.metadata
        else:
            messages = self.active.messages
            self._output = self.error
            self._messages = tuple(ctx.messages if messages is None else messages)
            usage, metadata = ctx.usage, ctx.metadata
        self._usage = _copy_usage(usage)
        self._metadata = dict(metadata) if metadata is not None else None

    def part_of(self, evaluators: object) -> Chosen | None:
        """What was chosen from these evaluators, if anything was."""
        return next((part for part in self.chosen if part.evaluators is evaluators), None)

    def so_far(self, ctx: RunContext[Any], output: Any) -> RunRecord:
        """Make a record of the run as it would be if it ended here with this output."""
        return self._record(
            ctx,
            outcome='success',
            output=output,
            messages=tuple(ctx.messages),
            usage=_copy_usage(ctx.usage),
            metadata=dict(ctx.metadata) if ctx.metadata is not None else None,
            **self.captured_so_far(),
        )

    def record(self) -> RunRecord:
        """Make the run's record."""
        error, output = self.error, self._output
        outcome = outcome_of(error)
        if outcome == 'success' and isinstance(output, DeferredToolRequests | PendingModelResponse):
            outcome = 'deferred'
        return self._record(
            self._ctx,
            outcome=outcome,
            output=output,
            messages=self._messages,
            usage=self._usage,
            metadata=self._metadata,
            error=error,
            **self.captured(),
        )

    def _record(
        self, ctx: RunContext[Any], *, messages: tuple[ModelMessage, ...], usage: RunUsage, **fields: Any
    ) -> RunRecord:
        return RunRecord(
            inputs=ctx.prompt,
            agent_name=agent_name_of(ctx),
            conversation_id=ctx.conversation_id,
            messages=messages,
            new_message_index=min(self._message_count, len(messages)),
            usage=usage if self._usage_before is None else usage - self._usage_before,
            model_name=ctx.model.model_name,
            deps=ctx.deps,
            **fields,
        )


class UnrecordedCapture(AgentCapture):
    """An agent's run whose output is held back to be judged, and which is not evaluated otherwise."""

    async def run(self, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent. What its code records is for whoever evaluates it elsewhere."""
        try:
            return await handler()
        finally:
            self.discard()


class DurableCapture(AgentCapture):
    """An agent's run in a workflow being captured."""

    async def run(self, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent, and have it judged in a way that a replay does not repeat."""
        token = CURRENT_TASK_RUN.set(self.task_run)
        try:
            result = await handler()
        except BaseException as error:
            await self._hand_over(error=error)
            raise
        else:
            await self._hand_over(result=result)
            return result
        finally:
            CURRENT_TASK_RUN.reset(token)

    async def _hand_over(self, *, error: BaseException | None = None, result: Any = None) -> None:
        try:
            self.freeze(error, result)
            record = self.record()
            record = replace(record, duration=duration_of(self._ctx, record))
        except Exception as own_error:
            self.give_up(own_error, warn=PIPELINE.notices.warn_once)
            return
        if self.error is not None and not isinstance(self.error, Exception):
            # It interrupts the workflow, which may be taken up again where it was.
            self.discard()
            return
        await hand_over(self._ctx, record, [part for part in self.chosen if isinstance(part, DurableChosen)])


def _copy_usage(usage: RunUsage) -> RunUsage:
    copied = copy(usage)
    copied.details = dict(usage.details)
    return copied
