"""The capability that attaches evaluators to an agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opentelemetry import baggage, trace
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering, Instrumentation, WrapRunHandler
from pydantic_ai.exceptions import RunCancelled, RunTimedOut
from pydantic_ai.messages import ModelMessage
from pydantic_ai.output import PendingModelResponse
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import AgentDepsT, DeferredToolRequests, RunContext
from pydantic_ai.usage import RunUsage
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from ._upstream import CURRENT_TASK_RUN, OnlineTaskRun, UncalledInRealtime, get_current_run_context
from .errors import describe
from .execution.attached import AttachedEvaluator, attach
from .execution.pipeline import PIPELINE, Chosen
from .runs.record import RunOutcome, RunRecord
from .runs.spans import CURRENT, RECORDER, SpanCapture
from .sampling.choice import Candidate, RunStart, choose_before_run
from .settings import DEFAULT_CONFIG, OnlineEvalConfig, own_config

__all__ = ('OnlineEvaluation',)


class ActiveRun:
    """The run that the current context belongs to. It is emptied when the run ends, since contexts can outlive it."""

    __slots__ = ('capture', 'chosen', 'messages', 'run_id')

    def __init__(self, run_id: str, chosen: list[Chosen]) -> None:
        self.run_id = run_id
        self.chosen: list[Chosen] | None = chosen
        self.capture: SpanCapture | None = None
        self.messages: list[ModelMessage] | None = None


def _active_run() -> ActiveRun | None:
    active = CURRENT.get()
    return active if isinstance(active, ActiveRun) else None


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

    def get_ordering(self) -> CapabilityOrdering:
        """Outside all but the instrumentation, so that what is judged is what the caller gets, with the run's own span."""
        return CapabilityOrdering(position='outermost', wrapped_by=[Instrumentation])

    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Sample the run, capture what it leaves behind, and hand that over to be judged."""
        loop = asyncio.get_running_loop()
        executor = PIPELINE.executor
        turn = executor.run_started(loop)
        try:
            if turn is not None:
                await turn
            capture = self._begin(ctx)
            return await (handler() if capture is None else capture.run(handler))
        finally:
            executor.run_ended(loop)

    def _begin(self, ctx: RunContext[AgentDepsT]) -> _Capture | None:
        """Decide whether to capture the run. Whatever goes wrong here is ours, and must not become the run's."""
        try:
            if not self._config.should_evaluate():
                return None
            candidates = self._choose(ctx)
            if not candidates:
                return None
            chosen = Chosen(self._config, candidates)
            active = _active_run()
            if active is not None and active.run_id == ctx.run_id and active.chosen is not None:
                active.chosen.append(chosen)
                return None
            return _Capture(ctx, chosen)
        except Exception as error:
            PIPELINE.notices.warn('begin', f'Run {ctx.run_id!r} is not evaluated: choosing raised {describe(error)}.')
            return None

    async def before_model_request(self, ctx: RunContext[AgentDepsT], request_context: Any) -> Any:
        """Note the run's message list: the context of `wrap_run` keeps the one from before the run."""
        active = _active_run()
        if active is not None and active.run_id == ctx.run_id and active.chosen is not None:
            active.messages = ctx.messages
        return request_context

    def _choose(self, ctx: RunContext[AgentDepsT]) -> list[Candidate[AttachedEvaluator]]:
        def start() -> RunStart:
            return RunStart(
                run_id=ctx.run_id or '',
                conversation_id=ctx.conversation_id,
                agent_name=_agent_name(ctx),
                inputs=ctx.prompt,
                deps=ctx.deps,
            )

        def sampled_out(attached: AttachedEvaluator) -> None:
            PIPELINE.counters.count('sampled_out', attached.name, _agent_name(ctx) or 'agent')

        def failed(attached: AttachedEvaluator, error: Exception) -> None:
            PIPELINE.counters.count('skipped', attached.name, _agent_name(ctx) or 'agent')
            PIPELINE.sampling_failed(attached, self._config, error)

        return choose_before_run(self._attached, self._config, start, sampled_out=sampled_out, failed=failed)


def _agent_name(ctx: RunContext[Any]) -> str | None:
    return ctx.agent.name if ctx.agent is not None else None


class _Capture:
    """One run being captured, and then on its way into the pipeline.

    What can change after the run has returned is copied when it ends; the record is made of it later.
    """

    def __init__(self, ctx: RunContext[Any], chosen: Chosen) -> None:
        self._ctx = ctx
        self.run_id = ctx.run_id or ''
        self.target = _agent_name(ctx) or 'agent'
        self.chosen: list[Chosen] = [chosen]
        self._active = ActiveRun(self.run_id, self.chosen)
        enclosing = CURRENT.get()
        span = trace.get_current_span()
        self._spans = self._active.capture = RECORDER.open(
            span,
            self.run_id,
            parent=enclosing.capture if enclosing is not None else None,
            limit=chosen.config.span_attribute_limit,
        )
        self._span_context = span.get_span_context()
        self._baggage = dict(baggage.get_all())
        self._task_run = OnlineTaskRun(CURRENT_TASK_RUN.get())
        caller = get_current_run_context()
        self._parent_run_id = caller.run_id if caller is not None and caller.run_id != ctx.run_id else None
        usage = ctx.usage
        # Not empty where the caller shares one usage object between runs.
        self._usage_before = _copy_usage(usage) if usage.requests or usage.input_tokens else None
        self._message_count = len(ctx.messages)

    async def run(self, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent, keeping what evaluators will want to know."""
        tokens = (CURRENT.set(self._active), CURRENT_TASK_RUN.set(self._task_run))
        self._started_at = time.time()
        self._clock = time.perf_counter()
        try:
            result = await handler()
        except BaseException as error:
            self._hand_over(error, None)
            raise
        else:
            self._hand_over(None, result)
            return result
        finally:
            CURRENT.reset(tokens[0])
            CURRENT_TASK_RUN.reset(tokens[1])

    def _hand_over(self, error: BaseException | None, result: AgentRunResult[Any] | None) -> None:
        """Submit what was captured. Whatever goes wrong here is ours, and must not become the run's."""
        self._duration = time.perf_counter() - self._clock
        try:
            self._snapshot(error, result)
            PIPELINE.submit(self)
        except Exception as own_error:
            self.discard()
            for part in self.chosen:
                for candidate in part.candidates:
                    PIPELINE.counters.count('dropped', candidate.attached.name, self.target)
            PIPELINE.notices.warn('capture', f'Run {self.run_id!r} was not captured: {describe(own_error)}.')
        finally:
            active = self._active
            active.chosen = active.capture = active.messages = None

    def _snapshot(self, error: BaseException | None, result: AgentRunResult[Any] | None) -> None:
        ctx = self._ctx
        if isinstance(error, asyncio.CancelledError) and ctx.deadline is not None and (ctx.remaining_time() or 0) <= 0:
            # What the caller gets; it is made of the cancellation when the hooks are done.
            error = RunTimedOut('The agent run timed out.')
        self._error = error
        if result is not None:
            self._output = result.output
            self._messages = tuple(result.all_messages())
            self._message_count = len(self._messages) - len(result.new_messages())
            usage, metadata = result.usage, result.metadata
        else:
            messages = self._active.messages
            self._output = error
            self._messages = tuple(ctx.messages if messages is None else messages)
            usage, metadata = ctx.usage, ctx.metadata
        self._usage = _copy_usage(usage)
        self._metadata = dict(metadata) if metadata is not None else None
        self._attributes, self._metrics = self._task_run.release()
        if self._spans.root_id is None:
            # There is no span of the run's own whose end would end the capture.
            self._spans.close()

    def discard(self) -> None:
        """Let go of the run's spans."""
        self._spans.close()

    def record(self) -> RunRecord:
        """Make the run's record."""
        ctx, error, output = self._ctx, self._error, self._output
        outcome: RunOutcome = 'success'
        if error is not None:
            is_cancelled = isinstance(error, RunCancelled) or not isinstance(error, Exception)
            outcome = 'cancelled' if is_cancelled else 'error'
        elif isinstance(output, DeferredToolRequests | PendingModelResponse):
            outcome = 'deferred'
        return RunRecord(
            run_id=self.run_id,
            target=self.target,
            outcome=outcome,
            inputs=ctx.prompt,
            output=output,
            started_at=datetime.fromtimestamp(self._started_at, UTC),
            duration=self._duration,
            agent_name=_agent_name(ctx),
            parent_run_id=self._parent_run_id,
            conversation_id=ctx.conversation_id,
            error=error,
            messages=self._messages,
            new_message_index=min(self._message_count, len(self._messages)),
            usage=self._usage if self._usage_before is None else self._usage - self._usage_before,
            model_name=ctx.model.model_name,
            metadata=self._metadata,
            deps=ctx.deps,
            attributes=self._attributes,
            recorded_metrics=self._metrics,
            span_context=self._span_context if self._span_context.is_valid else None,
            baggage=self._baggage,
            spans=self._spans,
        )


def _copy_usage(usage: RunUsage) -> RunUsage:
    copied = copy(usage)
    copied.details = dict(usage.details)
    return copied
