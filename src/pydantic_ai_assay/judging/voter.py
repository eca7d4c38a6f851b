"""One call of a judge, from the prompt to the vote."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from opentelemetry import trace
from pydantic_ai import AgentRetries, capture_run_messages
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.usage import RunUsage
from pydantic_evals.online import disable_evaluation

from .._upstream import CURRENT_TASK_RUN
from ..runs.active import CURRENT
from ..runs.cancellation import is_cancelled
from ..runs.clock import TIMEKEEPER
from ..runs.judgement import OpenVote, Vote, current_log
from ..runs.spans import shorten
from .case import JudgeCase
from .model import JudgeModel
from .poll import Poll, is_late, seat
from .prompt import PromptMaker
from .scale import Reading, Scale

__all__ = ('Polled', 'Voter')

Polled = tuple[Vote, Exception | None]
"""A vote, and the error where it has no value."""

MAX_REASON = 20_000
"""Characters to which a reason is shortened."""


@dataclass
class Ballot:
    """A call while it lasts: what is known of it even if it fails."""

    judge: str
    """The judge's name."""
    started: float = field(default_factory=lambda: TIMEKEEPER.clock.perf_counter())
    """When it began."""
    usage: RunUsage = field(default_factory=RunUsage)
    """What it has used."""
    messages: Sequence[ModelMessage] = ()
    """What was said in it."""
    reading: Reading | None = None
    """What it came to."""
    error: BaseException | None = None
    """What it failed with."""

    def vote(self) -> Vote:
        """The vote that it is by now."""
        reading = self.reading
        answers = [message for message in self.messages if isinstance(message, ModelResponse)]
        return Vote(
            judge=self.judge,
            value=None if reading is None else reading.value,
            passed=None if reading is None else reading.passed,
            reason=None if reading is None else shorten(reading.reason, MAX_REASON),
            error=None if self.error is None else type(self.error).__name__,
            model=answers[-1].model_name if answers else None,
            usage=self.usage,
            duration=TIMEKEEPER.clock.perf_counter() - self.started,
        )


@dataclass(frozen=True, kw_only=True)
class Voter:
    """Asks a judge's agent once."""

    judge: str
    """The judge's name."""
    agent: AbstractAgent[Any, Any]
    """What answers."""
    output_type: Any
    """The type of its answer; `None` where the agent was made with it."""
    model: JudgeModel
    """The model it answers with."""
    prompts: PromptMaker
    """Makes the prompt."""
    scale: Scale
    """What it may answer."""
    retries: int
    """How often it is asked again for an answer that is valid."""

    async def poll(self, case: JudgeCase, *, samples: int, quorum: int, vote_timeout: float | None) -> list[Polled]:
        """Ask as often as there are samples, at once.

        Args:
            case: The case.
            samples: How many votes there are.
            quorum: How many are needed.
            vote_timeout: Seconds that each may take; `None` for no limit but that of the evaluation.

        Returns:
            The votes, those that did not come in time included, in the order of the samples.
        """
        voters = [partial(self.ask, case, sample=sample) for sample in range(samples)]
        return await Poll(quorum=quorum, vote_timeout=vote_timeout).take(voters, lambda polled: polled[1] is None)

    async def ask(self, case: JudgeCase, *, sample: int) -> Polled:
        """Ask once, and note the vote in the log of the current evaluation, also where it failed or was cancelled.

        Returns:
            The vote, and the error where it has no value.
        """
        log = current_log()
        ballot, failed = Ballot(judge=self.judge), None
        if log is not None:
            # A timeout ends the evaluation at once, and the call a moment later.
            log.add(OpenVote(judge=self.judge, usage=ballot.usage, so_far=ballot.vote))
        try:
            with seat(), self._span(case, sample, ballot):
                ready = await self.model.ready()
                prompt = self.prompts.make(case, takes=ready.takes)
                with capture_run_messages() as ballot.messages:
                    result = await self.agent.run(
                        prompt.content,
                        instructions=prompt.instructions,
                        output_type=self.output_type,
                        model=ready.model,
                        model_settings=ready.settings,
                        usage=ballot.usage,
                        retries=self._retries,
                        metadata={'assay.judge': self.judge},
                        infer_name=False,
                    )
                ballot.reading = self.scale.read(result.output)
        except BaseException as error:
            ballot.error = TimeoutError() if is_cancelled(error) and is_late() else error
            if not isinstance(error, Exception):
                raise
            failed = error
        finally:
            vote = ballot.vote()
            if log is not None:
                log.add(vote)
        return vote, failed

    @property
    def _retries(self) -> AgentRetries:
        retries = AgentRetries(output=self.retries)
        if self.output_type is None:
            # The judge's own agent: that it calls a tool that does not exist is one more answer that is not valid.
            retries['tools'] = self.retries
        return retries

    @contextmanager
    def _span(self, case: JudgeCase, sample: int, ballot: Ballot) -> Generator[None]:
        """Set the call apart from the run that is judged: its spans, its evaluators, and what its tools record."""
        links = [] if case.span_context is None else [trace.Link(case.span_context)]
        attributes = {'assay.judge': self.judge, 'assay.judge.sample': sample}
        tracer = trace.get_tracer('pydantic-ai-assay')
        active, task_run = CURRENT.set(None), CURRENT_TASK_RUN.set(None)
        try:
            with (
                disable_evaluation(),
                tracer.start_as_current_span(
                    f'judge: {self.judge}',
                    links=links,
                    attributes=attributes,
                    # Its text may quote what is judged.
                    record_exception=False,
                    set_status_on_exception=False,
                ) as span,
            ):
                try:
                    yield
                except BaseException as error:
                    span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                    raise
        finally:
            CURRENT_TASK_RUN.reset(task_run)
            CURRENT.reset(active)
