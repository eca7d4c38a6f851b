"""The capability that attaches evaluators to an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import (
    AbstractCapability,
    CapabilityOrdering,
    Instrumentation,
    WrapOutputProcessHandler,
    WrapRunHandler,
    durable_operation,
)
from pydantic_ai.messages import UserContent
from pydantic_ai.output import OutputContext
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import AgentDepsT, RunContext
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from ._upstream import EVALUATION_DISABLED, UncalledInRealtime, inside_dataset_evaluation
from .agent_capture import AgentCapture, DurableCapture, UnrecordedCapture, agent_name_of, run_start
from .capture import begin_run, is_within_run
from .checks import check_flag, check_text
from .durable.hand_over import DurableChosen, engine_time, is_bound, register_with_engine
from .durable.run import DurableRun
from .durable.start import Assignment, DurableStart
from .durable.unit import judge
from .errors import ConfigurationError, describe
from .execution.chosen import Chosen
from .execution.evaluators import AttachedEvaluators
from .execution.guard import guard, leave_unasked, with_guards
from .execution.pipeline import PIPELINE
from .runs.active import CURRENT, UNCAPTURED, ActiveRun, active_run, guarded_run
from .specs import KNOWN_EVALUATORS, ConfigSpec, EvaluatorSpecs, EvaluatorTypes, checked, load_config, spec_type

__all__ = ('OnlineEvaluation',)


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

    _evaluator_types: ClassVar[EvaluatorTypes] = KNOWN_EVALUATORS
    _evaluators: AttachedEvaluators = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Attach the evaluators."""
        check_text('id', self.id, or_none=True)
        check_text('description', self.description, or_none=True)
        check_flag('defer_loading', self.defer_loading)
        self._evaluators = AttachedEvaluators(self.evaluators, self.config, may_block=True)
        self.evaluators = list(self.evaluators)

    @classmethod
    @checked
    def from_spec(
        cls, evaluators: EvaluatorSpecs, config: ConfigSpec | None = None, id: str | None = None
    ) -> OnlineEvaluation[Any]:
        """Make one from data, as `Agent.from_spec` and `Agent.from_file` do.

        Args:
            evaluators: A list of evaluators. Each is a name, `{name: arguments}`, or, with settings of its own,
                `{'evaluator': one of these, 'sample_rate': 0.1, ...}`.
            config: Fields of `OnlineEvalConfig`. What is left out is as in `DEFAULT_CONFIG`.
            id: What a durable execution engine knows it by.

        Raises:
            ConfigurationError: If something cannot work; the message has its path and value.
        """
        return cls(evaluators=cls._evaluator_types.load(evaluators), config=load_config(config), id=id)

    @classmethod
    def with_evaluator_types(cls, *evaluator_types: type[Evaluator[Any, Any, Any]]) -> type[Self]:
        """Make a class for `custom_capability_types=[...]` whose specs can name evaluators of your own.

        Args:
            evaluator_types: The classes of the evaluators, each decorated with `@dataclass`. One with the name of an
                evaluator of pydantic-evals replaces that.

        Raises:
            ConfigurationError: If one of them is not the class of an evaluator, or two have the same name.
        """
        return spec_type(cls, cls._evaluator_types.including(evaluator_types))

    def get_ordering(self) -> CapabilityOrdering:
        """Outside all but the instrumentation, so that what is judged is what the caller gets, with the run's own span."""
        return CapabilityOrdering(position='outermost', wrapped_by=[Instrumentation])

    def missed_in_realtime(self) -> tuple[str, ...]:
        """Outputs of a realtime session are not judged before they are heard."""
        return ('wrap_output_process',) if self._evaluators.blocks else ()

    def for_agent(self, agent: AbstractAgent[AgentDepsT, Any]) -> AbstractCapability[AgentDepsT]:
        """Let evaluations that a durable execution engine recovers find their evaluators."""
        register_with_engine(agent.name, self.id, self._evaluators)
        return self

    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Sample the run, capture what it leaves behind, and hand that over to be judged."""
        if ctx.in_durable_context:
            return await self._run_durably(ctx, handler)
        loop = asyncio.get_running_loop()
        executor = PIPELINE.executor
        turn = executor.run_started(loop)
        try:
            if turn is not None:
                await turn
            run_id = ctx.run_id or ''
            # Where there is one, another capability on the same agent has begun the run.
            active = active_run(run_id)
            begun: ActiveRun | None = None
            if active is None and (self._evaluators.blocks or is_within_run()):
                active = begun = _begin(ctx)
            capture = self._capture(ctx, active)
            if capture is not None:
                return await _run_captured(capture, handler)
            if begun is None:
                # What it calls is told all there is to know of it by pydantic-ai.
                return await handler()
            UNCAPTURED[run_id] = begun
            try:
                return await handler()
            finally:
                UNCAPTURED.pop(run_id, None)
        finally:
            executor.run_ended(loop)

    def _capture(self, ctx: RunContext[AgentDepsT], active: ActiveRun | None) -> AgentCapture | None:
        """Decide whether to capture the run. Whatever goes wrong here is ours, and must not become the run's."""
        evaluators = self._evaluators
        start = partial(run_start, ctx, ctx.prompt)
        chosen: Chosen | None = None
        try:
            chosen = evaluators.choose(agent_name_of(ctx) or 'agent', start, active=active)
            if evaluators.blocks and active is not None:
                chosen = with_guards(chosen, evaluators, active, start)
            if chosen is None:
                return None
            if active is None:
                active = _begin(ctx)
            if active.chosen is None:
                is_recorded = not (evaluators.blocks and inside_dataset_evaluation())
                return (AgentCapture if is_recorded else UnrecordedCapture)(ctx, active, chosen)
            active.chosen.append(chosen)
        except Exception as error:
            if evaluators.blocks and active is not None:
                leave_unasked(active, evaluators, chosen, error)
            PIPELINE.notices.warn('begin', f'Run {ctx.run_id!r} is not evaluated: choosing raised {describe(error)}.')
        return None

    async def wrap_output_process(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        output_context: OutputContext,
        output: Any,
        handler: WrapOutputProcessHandler,
    ) -> Any:
        """Have the output judged by the evaluators that block, before the run returns it.

        Raises:
            ModelRetry: If it is refused, and the model is to try again.
            OutputRejected: If it is refused for good.
            ConfigurationError: In a durable workflow, whose code may not wait for an evaluator.
        """
        result = await handler(output)
        if not self._evaluators.blocks or ctx.partial_output:
            return result
        if ctx.in_durable_context:
            raise ConfigurationError(
                f"Run {ctx.run_id!r} is in a durable workflow, whose code may not wait for an evaluator with mode='block'. "
                "Use mode='background', or judge in a step of the workflow."
            )
        active = guarded_run(ctx.run_id or '')
        return result if active is None else await guard(active, self._evaluators, ctx, result)

    async def _run_durably(self, ctx: RunContext[AgentDepsT], handler: WrapRunHandler) -> AgentRunResult[Any]:
        """As `wrap_run`, in code that is replayed after a crash: it reads no clock, and starts no task or thread."""
        if not is_bound(ctx, self.id):
            PIPELINE.notices.warn_once(
                'unbound',
                f'Run {ctx.run_id!r}, in a workflow, is not evaluated by an `OnlineEvaluation` that it was given alone: '
                'give the agent one, with an `id`.',
            )
            return await handler()
        active, token = CURRENT.get(), None
        if active is None or active.run_id != ctx.run_id:
            active = _begin(ctx)
            token = CURRENT.set(active)
        try:
            capture = await self._capture_durably(ctx, active)
            return await (handler() if capture is None else capture.run(handler))
        finally:
            if token is not None:
                CURRENT.reset(token)
                active.end()

    async def _capture_durably(self, ctx: RunContext[AgentDepsT], active: ActiveRun) -> DurableCapture | None:
        try:
            started_at = engine_time(ctx)
            # The context variable does not reach a unit in another process.
            is_enabled = not EVALUATION_DISABLED.get()
            start = await self.begin_durable_run(ctx, active.agent_path[-1], is_enabled, ctx.prompt)
            if not start.assignments:
                return None
            chosen = DurableChosen(self._evaluators, start, self)
            if active.chosen is None:
                return DurableCapture(ctx, active, chosen, started_at=started_at or start.started_at)
            active.chosen.append(chosen)
        except Exception as error:
            PIPELINE.notices.warn_once(
                'begin', f'Run {ctx.run_id!r} is not evaluated: choosing raised {describe(error)}.'
            )
        return None

    @durable_operation('begin')
    async def begin_durable_run(
        self,
        ctx: RunContext[AgentDepsT],
        target: str,
        is_enabled: bool,
        prompt: str | Sequence[UserContent] | None,
    ) -> DurableStart:
        """Choose the evaluators of a run, and note the time. In a workflow this is a step or activity of its own.

        Args:
            ctx: The run.
            target: Name of what runs.
            is_enabled: Whether evaluation is switched on where the run starts.
            prompt: The run's prompt.
        """
        if not is_enabled:
            return DurableStart()
        return DurableStart.of(self._evaluators.choose(target, partial(run_start, ctx, prompt)))

    @durable_operation('judge')
    async def judge_durable_run(self, ctx: RunContext[AgentDepsT], assignment: Assignment, run: DurableRun) -> str:
        """Let one evaluator judge a run, to the end. In a workflow this is a step or activity of its own.

        Args:
            ctx: The run.
            assignment: The evaluator.
            run: What the run left behind.

        Returns:
            What became of the evaluation.
        """
        return await judge(self._evaluators, assignment, run)

    async def before_model_request(self, ctx: RunContext[AgentDepsT], request_context: Any) -> Any:
        """Note the run's message list: the context of `wrap_run` keeps the one from before the run."""
        active = CURRENT.get()
        if active is not None and active.run_id == ctx.run_id and active.chosen is not None:
            active.messages = ctx.messages
        return request_context


def _begin(ctx: RunContext[Any]) -> ActiveRun:
    return begin_run(ctx.run_id or '', agent_name_of(ctx) or 'agent', ctx.conversation_id)


async def _run_captured(capture: AgentCapture, handler: WrapRunHandler) -> AgentRunResult[Any]:
    token = CURRENT.set(capture.active)
    try:
        return await capture.run(handler)
    finally:
        CURRENT.reset(token)
        capture.active.end()
