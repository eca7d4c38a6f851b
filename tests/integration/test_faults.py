"""What goes wrong around a run is ours: it never becomes the run's, and it is told of."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from evaluators import Awaiting, Calling, Context, NotEmpty
from pydantic_ai import Agent
from pydantic_ai.exceptions import RunTimedOut
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import Evaluator

from pydantic_ai_assay import (
    AssayWarning,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunRecord,
    stats,
    submit,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.attached import attach
from pydantic_ai_assay.execution.chosen import Chosen
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio


def evaluating(
    sink: Collected, *evaluators: Evaluator[Any, Any, Any] | OnlineEvaluator, model: Any = None, **settings: Any
) -> Agent:
    return Agent(
        TestModel(custom_output_text='hello') if model is None else model,
        name='judged',
        capabilities=[OnlineEvaluation(evaluators=evaluators, config=OnlineEvalConfig(default_sink=sink, **settings))],
    )


class Broken(RunUsage):
    """A usage object of the user's own that cannot be copied."""

    def __copy__(self) -> RunUsage:
        raise LookupError('no copy')


async def test_a_run_that_cannot_be_prepared_for_is_not_evaluated_and_goes_on(collected: Collected) -> None:
    agent = evaluating(collected, NotEmpty())
    with pytest.warns(AssayWarning, match="Run 'run-1' is not evaluated: choosing raised LookupError: no copy"):
        result = await agent.run('hi', run_id='run-1', usage=Broken(requests=1))
    assert result.output == 'hello'
    assert PIPELINE.pending() == ()
    assert collected.payloads == []


class Uncounting(Collected):
    """A store that cannot count."""

    takes_all = True

    def count(self, *args: object) -> None:
        raise LookupError('no table')


async def test_a_store_that_cannot_count_reaches_neither_the_run_nor_the_other_evaluators(collected: Collected) -> None:
    never = OnlineEvaluator(evaluator=NotEmpty(), sample_rate=0.0)
    agent = evaluating(collected, never, Awaiting(yes, 'yes'), store=Uncounting())
    with pytest.warns(AssayWarning, match='A store did not count what is sampled_out: it raised LookupError: no table'):
        result = await agent.run('hi')
    assert result.output == 'hello'
    await wait_for_evaluations()
    assert collected.values == {'yes': True}


async def test_a_run_that_cannot_be_captured_is_dropped_and_goes_on(collected: Collected) -> None:
    agent = evaluating(collected, NotEmpty(), Awaiting(yes, 'yes'))
    with pytest.warns(AssayWarning, match="Run 'run-1' was not captured: LookupError: no copy"):
        result = await agent.run('hi', run_id='run-1', usage=Broken())
    assert result.output == 'hello'
    await wait_for_evaluations()
    assert (counted('NotEmpty'), counted('yes')) == ({'dropped': 1}, {'dropped': 1})
    assert (await agent.run('hi')).output == 'hello'
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True, 'yes': True}


async def yes(ctx: Context) -> bool:
    return True


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart('hello')])


class Forgetful(FunctionModel):
    """A model that does not know its name any more when the run is over."""

    is_over = False

    @property
    def model_name(self) -> str:
        if self.is_over:
            raise LookupError('no name')
        return 'forgetful'


async def test_a_run_of_which_no_record_can_be_made_is_dropped(collected: Collected) -> None:
    model = Forgetful(answer)
    agent = evaluating(collected, NotEmpty(), model=model)
    with pytest.warns(
        AssayWarning, match="evaluations of run 'run-1' were dropped: preparing them raised LookupError: no name"
    ):
        assert (await agent.run('hi', run_id='run-1')).output == 'hello'
        model.is_over = True
        await wait_for_evaluations()
    assert counted('NotEmpty') == {'dropped': 1}
    assert stats().pending == 0
    model.is_over = False
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True}


async def test_a_run_out_of_time_is_shown_as_its_caller_sees_it(collected: Collected) -> None:
    async def hang(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    outputs: list[object] = []

    async def look(ctx: Context) -> bool:
        outputs.append(ctx.output)
        return True

    agent = evaluating(
        collected, OnlineEvaluator(evaluator=Awaiting(look), run_on=['cancelled']), model=FunctionModel(hang)
    )
    with pytest.raises(RunTimedOut):
        await agent.run('hi', timeout=0.01)
    await wait_for_evaluations()
    assert [type(output) for output in outputs] == [RunTimedOut]
    assert collected.run.outcome == 'cancelled'
    assert collected.run.error is outputs[0]


@pytest.mark.parametrize('order', [['error', 'success'], ['success', 'error']])
async def test_of_an_evaluator_attached_twice_the_attachment_that_sees_the_run_counts(
    collected: Collected, order: list[Any]
) -> None:
    """It has one status for the run, not one for each time it is attached."""
    first, second = (OnlineEvaluator(evaluator=NotEmpty(), run_on=[outcome]) for outcome in order)
    again = OnlineEvaluation[object](evaluators=[second], config=OnlineEvalConfig(default_sink=collected))
    await evaluating(collected, first).run('hi', capabilities=[again])
    await wait_for_evaluations()
    assert counted('NotEmpty') == {'scored': 1}
    assert collected.statuses == {'NotEmpty': 'scored'}


async def test_an_evaluator_attached_twice_that_sees_the_run_neither_time_is_skipped_once(collected: Collected) -> None:
    first, second = (OnlineEvaluator(evaluator=NotEmpty(), run_on=[outcome]) for outcome in ('error', 'deferred'))
    again = OnlineEvaluation[object](evaluators=[second], config=OnlineEvalConfig(default_sink=collected))
    await evaluating(collected, first).run('hi', capabilities=[again])
    await wait_for_evaluations()
    assert counted('NotEmpty') == {'skipped': 1}


async def test_a_copied_online_evaluator_keeps_its_own_limit(collected: Collected, gate: Gate) -> None:
    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    first = OnlineEvaluator(evaluator=Awaiting(wait, 'first'), max_concurrency=1)
    agents = [evaluating(collected, first)]
    copied = copy.copy(first)
    copied.evaluator = Awaiting(wait, 'second')
    copied.max_concurrency = 2
    agents.append(evaluating(collected, copied))
    for agent in agents:
        for _ in range(3):
            await agent.run('hi')
    while gate.arrived < 3 or 'sampling' in PIPELINE.executor.labels:
        await asyncio.sleep(0)
    assert stats().waiting == 3
    gate.open()
    await wait_for_evaluations()
    assert len(collected.outcomes) == 6


async def test_a_callback_that_only_seems_to_be_asynchronous(collected: Collected) -> None:
    told: list[str] = []

    class Callback:
        """Says of itself that its calls are awaited, and is a plain function all the same."""

        def __init__(self) -> None:
            async def call() -> None:
                raise AssertionError

            vars(self)['__call__'] = call

        def __call__(self, results: object, failures: object, ctx: Context) -> None:
            told.append(str(ctx.output))

    config = OnlineEvalConfig(default_sink=Callback())
    agent = Agent(
        TestModel(custom_output_text='hello'), capabilities=[OnlineEvaluation(evaluators=[NotEmpty()], config=config)]
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert told == ['hello']


async def test_dropped_evaluations_have_a_metric_of_their_own(collected: Collected, gate: Gate, capfire: Any) -> None:
    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    dropped: list[str] = []
    agent = evaluating(
        collected,
        OnlineEvaluator(
            evaluator=Awaiting(wait, 'crowded'),
            max_concurrency=1,
            on_max_concurrency=lambda ctx: dropped.append(ctx.name or ''),
        ),
        queue_size=1,
    )
    for number in range(4):
        await agent.run('hi', run_id=f'run-{number}')
    while 'sampling' in PIPELINE.executor.labels:
        await asyncio.sleep(0)
    gate.open()
    await wait_for_evaluations()
    assert sorted(dropped) == ['run-2', 'run-3']
    metrics = {metric['name']: metric for metric in capfire.get_collected_metrics()}
    points = metrics['assay.evaluations.dropped']['data']['data_points']
    assert {'gen_ai.evaluation.name': 'crowded', 'gen_ai.evaluation.target': 'judged'} in [
        point['attributes'] for point in points
    ]


async def test_a_sampling_rate_that_exits_ends_nothing_but_its_evaluation(collected: Collected) -> None:
    def leave(ctx: Any) -> float:
        raise SystemExit(1)

    agent = evaluating(collected, OnlineEvaluator(evaluator=NotEmpty(), sample_rate=leave), Awaiting(yes, 'yes'))
    with pytest.warns(AssayWarning, match='Sampling for NotEmpty raised AssayError: SystemExit: 1'):
        assert (await agent.run('hi')).output == 'hello'
    await wait_for_evaluations()
    assert (counted('NotEmpty'), counted('yes')) == ({'skipped': 1}, {'scored': 1})


def test_ctrl_c_in_a_sampling_rate_ends_the_run_as_it_would_anywhere(collected: Collected) -> None:
    def interrupt(ctx: Any) -> float:
        raise KeyboardInterrupt

    agent = evaluating(collected, OnlineEvaluator(evaluator=NotEmpty(), sample_rate=interrupt))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(agent.run('hi'))


class Odd:
    """An object that does not even say what it is."""

    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise LookupError('no class')


async def test_a_run_whose_size_cannot_be_estimated_is_a_failure_of_its_own(collected: Collected, gate: Gate) -> None:
    async def wait(ctx: Context) -> bool:
        await gate.pass_async()
        return True

    agent = evaluating(collected, OnlineEvaluator(evaluator=Awaiting(wait), max_concurrency=1))
    for _ in range(2):
        await agent.run('hi', metadata={'odd': Odd()})
    while 'sampling' in PIPELINE.executor.labels:
        await asyncio.sleep(0)
    gate.open()
    await wait_for_evaluations()
    assert sorted(outcome.status for outcome in collected.outcomes) == ['failed', 'scored']
    assert [failure.error_message for failure in collected.failures] == ['LookupError: no class']


async def test_whatever_makes_a_record_can_hand_it_in(collected: Collected) -> None:
    """An agent's run is one way; spans are not to be had on every one."""

    class Stored:
        run_id = 'stored-1'
        target = 'archive'

        def __init__(self) -> None:
            config = OnlineEvalConfig(default_sink=collected)
            self.chosen = [Chosen(config, [attach(NotEmpty()).certain])]

        def record(self) -> RunRecord:
            return RunRecord(
                run_id=self.run_id,
                target=self.target,
                outcome='success',
                inputs='hi',
                output='hello',
                started_at=datetime(2026, 1, 2, tzinfo=UTC),
                duration=1.0,
            )

        def discard(self) -> None: ...

    PIPELINE.submit(Stored())
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True}
    assert collected.run.target == 'archive'


class Incomparable:
    """What a config may hold, such as a table of numbers, that is neither equal to anything nor different."""

    def __eq__(self, other: object) -> bool:
        raise ValueError('ambiguous')


async def test_configs_that_cannot_be_compared_are_two(collected: Collected) -> None:
    first = OnlineEvalConfig(default_sink=collected, metadata={'table': Incomparable()})
    second = OnlineEvalConfig(default_sink=collected, metadata={'table': Incomparable()})
    agent = Agent(
        TestModel(),
        capabilities=[
            OnlineEvaluation(evaluators=[NotEmpty()], config=first),
            OnlineEvaluation(evaluators=[Calling(lambda ctx: True, 'other')], config=second),
        ],
    )
    await agent.run('hi')
    await wait_for_evaluations()
    assert collected.statuses == {'NotEmpty': 'scored', 'other': 'scored'}


async def test_where_redaction_of_what_was_submitted_raises_nothing_of_it_is_told(collected: Collected) -> None:
    def broken(run: RunRecord) -> RunRecord:
        raise ValueError('secret')

    config = OnlineEvalConfig(default_sink=collected, redact=broken)
    submit(NotEmpty(), target='imported', inputs='secret', output='secret', config=config)
    await wait_for_evaluations()
    assert collected.statuses == {'NotEmpty': 'failed'}
    assert (collected.run.inputs, collected.run.output) == (None, None)
