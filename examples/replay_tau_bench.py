"""Replays 200 recorded customer-service conversations as real agent runs, and evaluates each run online.

    python examples/replay_tau_bench.py --data PATH [--store URL]

`PATH` is a folder with `gpt4o_airline.jsonl` (one conversation a line: its messages in OpenAI's chat form, the reward it
earned, and the actions that were expected) and `system_prompt.md`.

Each user message that the recorded agent took up is one `agent.run`. The model answers what was recorded, the tools
answer what was recorded, and the messages are carried from run to run under one conversation id. How a recording ends
decides how its last run ends:

- The agent answered and the user had the last word: `'success'`. That last word (a goodbye, or in two recordings a
  message that came after the limit below) was never put to the agent, so it is no run.
- The agent transferred the user to a person: `'deferred'`, since the rest is somebody else's work.
- The recording stopped between a tool's answer and the model's, at its limit of 30 model requests: `'error'`. The
  conversation's runs share their usage, so the 31st request raises `UsageLimitExceeded` here as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    ExternalToolset,
    RunContext,
    Tool,
    ToolDefinition,
    ToolFailed,
    UsageLimitExceeded,
    UsageLimits,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from pydantic_ai_assay import (
    EvaluationSink,
    EvaluationStatus,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunOutcome,
    RunRecord,
    SinkPayload,
    run_of,
    stats,
    wait_for_evaluations,
)
from pydantic_ai_assay.store.opening import open_store

if TYPE_CHECKING:
    from pydantic_ai_assay.store.store import Store

PUBLISHED_PASS_RATE = 0.420
REQUEST_LIMIT = 30
"""Model requests after which the recorded agent was stopped."""
TRANSFER = 'transfer_to_human_agents'
WRITES = frozenset(
    {
        'book_reservation',
        'cancel_reservation',
        'send_certificate',
        'update_reservation_baggages',
        'update_reservation_flights',
        'update_reservation_passengers',
    }
)
"""The tools that change something. The others only look things up, and which of those are called is a matter of taste."""
ENDED: tuple[RunOutcome, ...] = ('success', 'error', 'deferred')
AT_ONCE = 16
"""Conversations replayed at the same time."""


# The recording


class Function(BaseModel):
    """Name and arguments of a recorded tool call."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """A recorded tool call."""

    id: str
    function: Function


class Message(BaseModel):
    """A recorded message."""

    role: Literal['user', 'assistant', 'tool']
    content: str | None = None
    tool_calls: list[ToolCall] = []


class Action(BaseModel):
    """An action that was expected of the agent."""

    name: str
    kwargs: dict[str, Any]


class Recording(BaseModel):
    """A recorded conversation. It stands in for both the model and the tools of its replay."""

    task_id: int
    trial: int
    reward: float
    expected_actions: list[Action]
    messages: list[Message]

    @property
    def conversation_id(self) -> str:
        """The id under which the conversation is replayed."""
        return f'task-{self.task_id}-trial-{self.trial}'

    @property
    def turns(self) -> list[str]:
        """The user messages that the agent took up."""
        following = zip(self.messages, self.messages[1:], strict=False)
        return [
            message.content or '' for message, after in following if message.role == 'user' and after.role != 'user'
        ]

    def respond(self, messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        """Answer what the model answered at this point of the conversation."""
        assistant = [message for message in self.messages if message.role == 'assistant']
        answer = assistant[_count_responses(messages)]
        text = [TextPart(answer.content)] if answer.content else []
        calls = [ToolCallPart(c.function.name, c.function.arguments, tool_call_id=c.id) for c in answer.tool_calls]
        return ModelResponse(parts=[*text, *calls])

    def tool_result(self, messages: Sequence[ModelMessage]) -> str:
        """What the tool answered to the call that the last of `messages` makes; ids do occur twice, places do not."""
        places = [index for index, message in enumerate(self.messages) if message.role == 'assistant']
        answer = self.messages[places[_count_responses(messages) - 1] + 1]
        assert answer.role == 'tool'
        return answer.content or ''


def _count_responses(messages: Sequence[ModelMessage]) -> int:
    return sum(isinstance(message, ModelResponse) for message in messages)


def load(path: Path) -> list[Recording]:
    """Read the recorded conversations from the folder `path`."""
    lines = (path / 'gpt4o_airline.jsonl').read_text(encoding='utf-8').splitlines()
    return [Recording.model_validate_json(line) for line in lines]


# The evaluators


@dataclass
class Call:
    """A tool call with its result, if it got one."""

    name: str
    arguments: dict[str, Any]
    result: ToolReturnPart | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the tool answered with an error."""
        return self.result is not None and self.result.outcome == 'failed'

    def __str__(self) -> str:
        return f'{self.name}({json.dumps(self.arguments, sort_keys=True)})'


def calls_in(messages: Sequence[ModelMessage]) -> list[Call]:
    """The tool calls in `messages`, in order."""
    calls: list[Call] = []
    unanswered: dict[str, Call] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                call = unanswered[part.tool_call_id] = Call(part.tool_name, part.args_as_dict())
                calls.append(call)
            elif isinstance(part, ToolReturnPart):
                unanswered.pop(part.tool_call_id).result = part
    return calls


@dataclass
class RecordedReward(Evaluator[Any, Any, Any]):
    """Whether the conversation earned its reward."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        metadata = run_of(ctx).metadata or {}
        return metadata['reward'] == 1


@dataclass
class ToolCalls(Evaluator[Any, Any, Any]):
    """How many tools the run called."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> int:
        return len(run_of(ctx).tools_called)


@dataclass
class ToolErrors(Evaluator[Any, Any, Any]):
    """How many of the run's tool results were errors."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> int:
        return sum(call.has_failed for call in calls_in(run_of(ctx).new_messages))


@dataclass
class ExpectedActions(Evaluator[Any, Any, Any]):
    """Whether the conversation changed exactly what was expected: each write once, with the expected arguments.

    Writes that the tool refused changed nothing, so they count neither way.
    """

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluationReason:
        run = run_of(ctx)
        actions: list[Action] = (run.metadata or {})['expected_actions']
        wanted = Counter(str(Call(action.name, action.kwargs)) for action in actions if action.name in WRITES)
        made = Counter(str(call) for call in calls_in(run.messages) if call.name in WRITES and not call.has_failed)
        missing, unexpected = wanted - made, made - wanted
        faults = [
            *(f'missing: {call}' for call in missing.elements()),
            *(f'not expected: {call}' for call in unexpected.elements()),
        ]
        reason = '; '.join(faults) or f'as expected: {wanted.total()} write(s), and no other'
        return EvaluationReason(value=not faults, reason=reason)


def is_last_run(run: RunRecord) -> bool:
    """Whether the run is the last one of its conversation, the only one that knows the reward."""
    return run.metadata is not None and 'reward' in run.metadata


@dataclass
class Collector(EvaluationSink):
    """A sink that keeps what it is handed."""

    payloads: list[SinkPayload] = field(default_factory=list[SinkPayload])

    async def submit(self, payload: SinkPayload) -> None:
        self.payloads.append(payload)


# The replay


async def answer_as_recorded(ctx: RunContext[Recording], **_: Any) -> str:
    """Answer what the tool answered, as a failure where that was an error."""
    answer = ctx.deps.tool_result(ctx.messages)
    if answer.startswith('Error'):
        raise ToolFailed(answer)
    return answer


def airline_agent(
    recordings: Sequence[Recording], instructions: str, sink: EvaluationSink, store: Store | None = None
) -> Agent[Recording, str | DeferredToolRequests]:
    """The agent with the tools that occur in the recordings, and its evaluators."""
    names = {call.function.name for r in recordings for message in r.messages for call in message.tool_calls}
    any_arguments = {'type': 'object', 'additionalProperties': True}
    return Agent(
        name='airline',
        deps_type=Recording,
        output_type=[str, DeferredToolRequests],
        instructions=instructions,
        tools=[
            Tool[Recording].from_schema(answer_as_recorded, name, None, any_arguments, takes_ctx=True)
            for name in sorted(names - {TRANSFER})
        ],
        toolsets=[ExternalToolset([ToolDefinition(name=TRANSFER, parameters_json_schema=any_arguments)])],
        capabilities=[
            OnlineEvaluation(
                evaluators=[
                    OnlineEvaluator(evaluator=RecordedReward(), when=is_last_run, run_on=ENDED),
                    OnlineEvaluator(evaluator=ExpectedActions(), when=is_last_run, run_on=ENDED),
                    OnlineEvaluator(evaluator=ToolCalls(), run_on=ENDED),
                    OnlineEvaluator(evaluator=ToolErrors(), run_on=ENDED),
                ],
                config=OnlineEvalConfig(default_sink=sink, store=store),
            )
        ],
    )


async def replay_conversation(agent: Agent[Recording, str | DeferredToolRequests], recording: Recording) -> None:
    """Replay one conversation, run by run."""
    model = FunctionModel(recording.respond, model_name='gpt-4o-recorded')
    usage = RunUsage()
    history: list[ModelMessage] = []
    turns = recording.turns
    for turn, text in enumerate(turns):
        metadata: dict[str, Any] = {'task_id': recording.task_id, 'trial': recording.trial, 'turn': turn}
        is_last = turn == len(turns) - 1
        if is_last:
            metadata['reward'] = recording.reward
            metadata['expected_actions'] = recording.expected_actions
        try:
            result = await agent.run(
                text,
                model=model,
                deps=recording,
                message_history=history,
                conversation_id=recording.conversation_id,
                metadata=metadata,
                usage=usage,
                usage_limits=UsageLimits(request_limit=REQUEST_LIMIT),
            )
        except UsageLimitExceeded:
            if not is_last:
                raise
            return
        history = result.all_messages()


@dataclass(kw_only=True, frozen=True)
class ReplayReport:
    """What a replay found."""

    conversations: int
    """Conversations replayed."""
    statuses: Mapping[str, Mapping[EvaluationStatus, int]]
    """Evaluations that ended, by evaluator and status, from `stats()`."""
    payloads: Sequence[SinkPayload]
    """What the sink was handed, one payload a run."""
    seconds: float
    """How long it took."""

    @property
    def outcomes(self) -> Counter[RunOutcome]:
        """Runs, by how they ended."""
        return Counter(payload.run.outcome for payload in self.payloads)

    def values(self, evaluator: str) -> list[float]:
        """What one evaluator said, one value a run it judged; a pass is 1."""
        results = (result for payload in self.payloads for result in payload.results)
        return [TypeAdapter(float).validate_python(result.value) for result in results if result.name == evaluator]

    def mean(self, evaluator: str) -> float:
        """The mean of what one evaluator said."""
        values = self.values(evaluator)
        return sum(values) / len(values)

    @property
    def agreements(self) -> int:
        """Conversations in which the check of the actions says what the reward says."""
        pairs = ({result.name: result.value for result in payload.results} for payload in self.payloads)
        return sum(pair['RecordedReward'] == pair['ExpectedActions'] for pair in pairs if 'RecordedReward' in pair)

    @property
    def has_published_pass_rate(self) -> bool:
        """Whether every conversation was judged, and the pass rate is the published one."""
        judged = len(self.values('RecordedReward'))
        return judged == self.conversations and round(self.mean('RecordedReward'), 3) == PUBLISHED_PASS_RATE


async def replay(path: Path, store: Store | None = None) -> ReplayReport:
    """Replay all conversations in the folder `path`, and wait until every run is evaluated.

    Args:
        path: The folder.
        store: Where the runs are kept as well.
    """
    started = time.perf_counter()
    recordings = load(path)
    sink = Collector()
    agent = airline_agent(recordings, (path / 'system_prompt.md').read_text(encoding='utf-8'), sink, store)
    before = stats().by_evaluator
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(recording: Recording) -> None:
        async with places:
            await replay_conversation(agent, recording)

    async with asyncio.TaskGroup() as group:
        for recording in recordings:
            group.create_task(in_turn(recording))
    await wait_for_evaluations(timeout=60)

    statuses = {name: Counter(counts) - Counter(before.get(name, {})) for name, counts in stats().by_evaluator.items()}
    return ReplayReport(
        conversations=len(recordings),
        statuses={name: counts for name, counts in statuses.items() if counts},
        payloads=sink.payloads,
        seconds=time.perf_counter() - started,
    )


def print_report(report: ReplayReport) -> None:
    """Print what a replay found."""
    outcomes = ', '.join(f'{count:,} {outcome}' for outcome, count in report.outcomes.most_common())
    by_status: Counter[EvaluationStatus] = Counter()
    for counts in report.statuses.values():
        by_status.update(counts)
    columns: list[EvaluationStatus] = [status for status, _ in by_status.most_common()]

    print(f'conversations         {report.conversations:>7,}')
    print(f'runs                  {report.outcomes.total():>7,}   {outcomes}')
    print(f'seconds               {report.seconds:>7.1f}')
    print()
    print(f'{"evaluations":<20}' + ''.join(f'{column:>13}' for column in columns))
    for name, counts in sorted(report.statuses.items()):
        print(f'  {name:<18}' + ''.join(f'{counts.get(column, 0):>13,}' for column in columns))
    print(f'  {"all":<18}' + ''.join(f'{by_status[column]:>13,}' for column in columns))
    print()
    print(f'tool calls per run    {report.mean("ToolCalls"):>7.3f}')
    print(f'tool errors per run   {report.mean("ToolErrors"):>7.3f}')
    made, judged = sum(report.values('ExpectedActions')), len(report.values('ExpectedActions'))
    print(f'expected actions      {made / judged:>7.3f}   {made:.0f} of {judged}, as the reward in {report.agreements}')
    passed, judged = sum(report.values('RecordedReward')), len(report.values('RecordedReward'))
    print()
    print(f'pass rate {passed / judged:.3f} ({passed:.0f} of {judged})')


def main() -> int:
    parser = argparse.ArgumentParser(description='Replay recorded conversations as agent runs, evaluated online.')
    parser.add_argument('--data', type=Path, required=True, help='folder with gpt4o_airline.jsonl, system_prompt.md')
    parser.add_argument('--store', metavar='URL', help='keep the runs there as well, such as sqlite:///assay.db')
    arguments = parser.parse_args()
    path: Path = arguments.data
    if not (path / 'gpt4o_airline.jsonl').is_file():
        parser.error(f'there is no gpt4o_airline.jsonl in {path}')
    store = None if arguments.store is None else open_store(arguments.store)
    report = asyncio.run(replay(path, store))
    if store is not None and not store.close(timeout=60):
        print(f'Not every run was written to {store.url}.', file=sys.stderr)
        return 1
    print_report(report)
    if not report.has_published_pass_rate:
        print(f'The published pass rate is {PUBLISHED_PASS_RATE:.3f} over all conversations.', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
