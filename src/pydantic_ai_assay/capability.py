"""The capability that attaches evaluators to an agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from opentelemetry import baggage, trace
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.capabilities.abstract import WrapRunHandler
from pydantic_ai.messages import ModelMessage
from pydantic_ai.output import PendingModelResponse
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import AgentDepsT, DeferredToolRequests, RunContext
from pydantic_ai.usage import RunUsage
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from ._upstream import CURRENT_TASK_RUN, OnlineTaskRun, UncalledInRealtime, get_current_run_context
from .execution.attached import AttachedEvaluator, attach
from .execution.pipeline import PIPELINE, Chosen, describe
from .runs.record import RunOutcome, RunRecord
from .runs.spans import RECORDER, SpanCapture, capture_current
from .sampling.choice import Candidate, RunStart, choose_before_run
from .settings import DEFAULT_CONFIG, OnlineEvalConfig, own_config

__all__ = ('OnlineEvaluation',)


class ActiveRun:
    """The run that the current context belongs to. It is emptied when the run ends, since contexts can outlive it."""

    __slots__ = ('capture', 'chosen', 'messages', 'run_id')

    def __init__(self, run_id: str, chosen: Chosen) -> None:
        self.run_id = run_id
        self.chosen: list[Chosen] | None = [chosen]
        self.capture: SpanCapture | None = None
        self.messages: list[ModelMessage] | None = None


_ACTIVE_RUN: ContextVar[ActiveRun | None] = ContextVar('pydantic_ai_assay.active_run', default=None)


@dataclass(kw_only=True)
class OnlineEvaluation(UncalledInRealtime, AbstractCapability[AgentDepsT]):
    """Evaluates the runs of an agent in the background.

    Each run is sampled before it starts, captured when it ends, and judged after it has returned. Neither the time it
    takes nor an error in an evaluator, a callback or a sink reaches the run. Several of these on one agent all count,
    at the level of the agent and of a single run; an evaluator that is attached twice judges a run once.

    Raises:
        ConfigurationError: If one of the evaluators is none, or a setting has a value that cannot work.

    Example:
    ```python
    from dataclasses import dataclass

    from pydantic_ai import Agent
    from pydantic_evals.evaluators import Evaluator, EvaluatorContext

    from pydantic_ai_assay import OnlineEvaluation


    @dataclass
    class NotEmpty(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> bool:
            return bool(ctx.output)


    agent = Agent('openai:gpt-5.2', name='assistant', capabilities=[OnlineEvaluation(evaluators=[NotEmpty()])])
    ```
    """

    evaluators: Sequence[Evaluator | upstream.OnlineEvaluator]
    """The evaluators: bare ones, or with settings of their own as `OnlineEvaluator`."""
    config: upstream.OnlineEvalConfig | None = None
    """Settings for all of them. Default: `DEFAULT_CONFIG`."""

    _attached: list[AttachedEvaluator] = field(init=False, repr=False, compare=False)
    _config: OnlineEvalConfig = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Attach the evaluators."""
        self._attached = [attach(evaluator) for evaluator in self.evaluators]
        self._config = own_config(self.config) if self.config is not None else DEFAULT_CONFIG

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """Not available in agent specs."""
        return None

    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Sample the run, capture what it leaves behind, and hand that over to be judged."""
        loop = asyncio.get_running_loop()
        executor = PIPELINE.executor
        await executor.run_started(loop)
        try:
            if not self._config.should_evaluate():
                return await handler()
            candidates = self._choose(ctx)
            if not candidates:
                return await handler()
            chosen = Chosen(self._config, candidates)
            active = _ACTIVE_RUN.get()
            if active is not None and active.run_id == ctx.run_id and active.chosen is not None:
                active.chosen.append(chosen)
                return await handler()
            return await _Capture(ctx, chosen).run(handler)
        finally:
            executor.run_ended(loop)

    async def before_model_request(self, ctx: RunContext[AgentDepsT], request_context: Any) -> Any:
        """Note the run's message list: the context of `wrap_run` keeps the one from before the run."""
        active = _ACTIVE_RUN.get()
        if active is not None and active.run_id == ctx.run_id and active.chosen is not None:
            active.messages = ctx.messages
        return request_context

    def _choose(self, ctx: RunContext[AgentDepsT]) -> list[Candidate[AttachedEvaluator]]:
        agent_name = ctx.agent.name if ctx.agent is not None else None
        start = RunStart(
            run_id=ctx.run_id or '',
            conversation_id=ctx.conversation_id,
            agent_name=agent_name,
            inputs=ctx.prompt,
            deps=ctx.deps,
        )
        target = agent_name or 'agent'

        def sampled_out(attached: AttachedEvaluator) -> None:
            PIPELINE.counters.count('sampled_out', attached.name, target)

        def failed(attached: AttachedEvaluator, error: Exception) -> None:
            PIPELINE.counters.count('skipped', attached.name, target)
            PIPELINE.sampling_failed(attached, self._config, error)

        return choose_before_run(self._attached, self._config, start, sampled_out=sampled_out, failed=failed)


class _Capture:
    """Captures one run."""

    def __init__(self, ctx: RunContext[Any], chosen: Chosen) -> None:
        self._ctx = ctx
        self._active = ActiveRun(ctx.run_id or '', chosen)
        enclosing = _ACTIVE_RUN.get()
        self._enclosing_capture = enclosing.capture if enclosing is not None else None
        self._task_run = OnlineTaskRun(CURRENT_TASK_RUN.get())
        caller = get_current_run_context()
        self._parent_run_id = caller.run_id if caller is not None and caller.run_id != ctx.run_id else None
        self._usage_before: RunUsage | None = copy(ctx.usage) if ctx.usage.has_values() else None
        self._message_count = len(ctx.messages)

    async def run(self, handler: WrapRunHandler) -> AgentRunResult[Any]:
        active, config = self._active, _chosen_of(self._active)[0].config
        span = trace.get_current_span()
        active.capture = RECORDER.open(
            span, active.run_id, parent=self._enclosing_capture, limit=config.span_attribute_limit
        )
        span_context = span.get_span_context()
        self._span_context = span_context if span_context.is_valid else None
        self._baggage = baggage.get_all()
        tokens = (_ACTIVE_RUN.set(active), capture_current.set(active), CURRENT_TASK_RUN.set(self._task_run))
        self._started_at = datetime.now(UTC)
        self._clock = time.perf_counter()
        try:
            result = await handler()
        except BaseException as error:
            self._hand_over(partial(self._record_of_error, error))
            raise
        else:
            self._hand_over(partial(self._record_of_result, result))
            return result
        finally:
            _ACTIVE_RUN.reset(tokens[0])
            capture_current.reset(tokens[1])
            CURRENT_TASK_RUN.reset(tokens[2])

    def _hand_over(self, make_record: Callable[[], RunRecord]) -> None:
        """Submit the record. Whatever goes wrong here is ours, and must not become the run's."""
        active = self._active
        self._duration = time.perf_counter() - self._clock
        chosen = _chosen_of(active)
        try:
            PIPELINE.submit(make_record(), chosen)
        except Exception as error:
            if active.capture is not None:
                active.capture.close()
            for part in chosen:
                for candidate in part.candidates:
                    PIPELINE.counters.count('dropped', candidate.attached.name, self._target)
            PIPELINE.notices.warn('capture', f'Run {active.run_id!r} was not captured: {describe(error)}.')
        finally:
            active.chosen = active.capture = active.messages = None

    @property
    def _target(self) -> str:
        agent = self._ctx.agent
        return (agent.name if agent is not None else None) or 'agent'

    def _record_of_result(self, result: AgentRunResult[Any]) -> RunRecord:
        output = result.output
        messages = tuple(result.all_messages())
        return self._record(
            outcome='deferred' if isinstance(output, DeferredToolRequests | PendingModelResponse) else 'success',
            output=output,
            messages=messages,
            new_message_index=len(messages) - len(result.new_messages()),
            usage=result.usage,
            metadata=result.metadata,
        )

    def _record_of_error(self, error: BaseException) -> RunRecord:
        messages = self._active.messages
        return self._record(
            outcome='error' if isinstance(error, Exception) else 'cancelled',
            output=error,
            error=error,
            messages=tuple(self._ctx.messages if messages is None else messages),
            new_message_index=self._message_count,
            usage=self._ctx.usage,
            metadata=self._ctx.metadata,
        )

    def _record(
        self,
        *,
        outcome: RunOutcome,
        output: Any,
        messages: tuple[ModelMessage, ...],
        new_message_index: int,
        usage: RunUsage,
        metadata: dict[str, Any] | None,
        error: BaseException | None = None,
    ) -> RunRecord:
        ctx, task_run = self._ctx, self._task_run
        attributes, metrics = task_run.release()
        return RunRecord(
            run_id=self._active.run_id,
            target=self._target,
            outcome=outcome,
            inputs=ctx.prompt,
            output=output,
            started_at=self._started_at,
            duration=self._duration,
            agent_name=ctx.agent.name if ctx.agent is not None else None,
            parent_run_id=self._parent_run_id,
            conversation_id=ctx.conversation_id,
            error=error,
            messages=messages,
            new_message_index=min(new_message_index, len(messages)),
            usage=copy(usage) if self._usage_before is None else usage - self._usage_before,
            model_name=ctx.model.model_name,
            metadata=dict(metadata) if metadata is not None else None,
            deps=ctx.deps,
            attributes=attributes,
            recorded_metrics=metrics,
            span_context=self._span_context,
            baggage=self._baggage,
            spans=self._active.capture,
        )


def _chosen_of(active: ActiveRun) -> list[Chosen]:
    assert active.chosen is not None
    return active.chosen
