"""`@evaluate` on everything that can be called."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from functools import partial
from typing import Any, NoReturn, assert_type, cast

import pytest
from conftest import Collected, Gate, counted
from evaluators import Awaiting, Calling, NotEmpty, run_of
from logfire.testing import CaptureLogfire
from opentelemetry import trace
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals import Case, Dataset, online as upstream
from pydantic_evals.dataset import increment_eval_metric, set_eval_attribute

from pydantic_ai_assay import (
    AssayWarning,
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    SamplingContext,
    disable_evaluation,
    evaluate,
    wait_for_evaluations,
)
from pydantic_ai_assay.capture import MAX_COPIED
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio


@pytest.fixture
def config(collected: Collected) -> OnlineEvalConfig:
    return OnlineEvalConfig(default_sink=collected)


def settle() -> None:
    assert PIPELINE.executor.wait_idle(10.0)


def test_a_function_is_evaluated_where_no_event_loop_runs(collected: Collected, config: OnlineEvalConfig) -> None:
    @evaluate(NotEmpty(), config=config)
    def greet(name: str, *, punctuation: str = '!') -> str:
        """Greet somebody."""
        return f'Hello {name}{punctuation}'

    assert greet('Ada') == 'Hello Ada!'
    settle()
    run = collected.run
    assert (run.target, run.inputs, run.output) == ('greet', {'name': 'Ada', 'punctuation': '!'}, 'Hello Ada!')
    assert (run.outcome, run.agent_name, run.parent_run_id, run.agent_path) == ('success', None, None, ('greet',))
    assert run.duration >= 0.0
    assert collected.values == {'NotEmpty': True}
    assert greet.__doc__ == 'Greet somebody.'
    assert str(inspect.signature(greet)) == "(name: 'str', *, punctuation: 'str' = '!') -> 'str'"


async def test_asynchronous_evaluators_of_a_coroutine_function_run_on_its_loop(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    loop = asyncio.get_running_loop()

    async def at_home(ctx: Any) -> bool:
        return asyncio.get_running_loop() is loop

    @evaluate(Awaiting(at_home), config=config)
    async def greet(name: str) -> str:
        await asyncio.sleep(0)
        return f'Hello {name}'

    assert await greet('Ada') == 'Hello Ada'
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': True}
    assert inspect.iscoroutinefunction(greet)


async def test_asynchronous_evaluators_of_a_function_without_a_loop_run_all_the_same(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    async def one(ctx: Any) -> int:
        await asyncio.sleep(0)
        return 1

    @evaluate(Awaiting(one), config=config)
    def greet(name: str) -> str:
        return f'Hello {name}'

    await asyncio.to_thread(greet, 'Ada')
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': 1}


class Greeter:
    greeting = 'Hello'

    def __init__(self, config: OnlineEvalConfig) -> None:
        self.config = config

    @evaluate(NotEmpty())
    def greet(self, name: str) -> str:
        return f'{self.greeting} {name}'

    @evaluate(NotEmpty())
    @classmethod
    def greet_all(cls, *names: str) -> str:
        return f'{cls.greeting} {" and ".join(names)}'

    @staticmethod
    @evaluate(NotEmpty())
    def hush(name: str) -> str:
        return f'Quiet, {name}'

    def __call__(self, name: str) -> str:
        return f'{name}!'


def test_methods_are_evaluated_without_what_they_are_bound_to(
    collected: Collected, config: OnlineEvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_assay.settings.DEFAULT_CONFIG.default_sink', collected)
    greeter = Greeter(config)
    assert greeter.greet('Ada') == 'Hello Ada'
    assert Greeter.greet_all('Ada', 'Bob') == 'Hello Ada and Bob'
    assert greeter.hush('Ada') == 'Quiet, Ada'
    assert evaluate(NotEmpty())(greeter)('Ada') == 'Ada!'
    assert evaluate(NotEmpty())(partial(greeter.greet, name='Bob'))() == 'Hello Bob'
    settle()
    runs = [(payload.run.target, payload.run.inputs) for payload in collected.payloads]
    assert sorted(runs, key=str) == [
        ('Greeter', {'name': 'Ada'}),
        ('greet', {'name': 'Ada'}),
        ('greet', {'name': 'Bob'}),
        ('greet', {'name': 'Bob'}),
        ('greet_all', {'names': ('Ada', 'Bob')}),
        ('hush', {'name': 'Ada'}),
    ]


class Words:
    """Called, it yields."""

    def __call__(self, text: str) -> Generator[str]:
        yield from text.split()


class AsyncWords:
    async def __call__(self, text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word


class Answering:
    async def __call__(self, text: str) -> list[str]:
        await asyncio.sleep(0)
        return text.split()


@pytest.mark.parametrize('how', ['object', 'partial', 'partial of a partial', 'method'])
async def test_what_is_called_decides_and_not_what_it_is_called_by(
    collected: Collected, config: OnlineEvalConfig, how: str
) -> None:
    def decorated(callable_object: Any) -> Any:
        called: dict[str, Any] = {
            'object': callable_object,
            'partial': partial(callable_object, 'a b'),
            'partial of a partial': partial(partial(callable_object), text='a b'),
            'method': callable_object.__call__,
        }
        return evaluate(NotEmpty(), config=config)(called[how])

    given = () if how.startswith('partial') else ('a b',)
    words = decorated(Words())
    assert inspect.isgeneratorfunction(words)
    assert list(words(*given)) == ['a', 'b']
    async_words = decorated(AsyncWords())
    assert inspect.isasyncgenfunction(async_words)
    assert [word async for word in async_words(*given)] == ['a', 'b']
    answer = decorated(Answering())
    assert inspect.iscoroutinefunction(answer)
    assert await answer(*given) == ['a', 'b']
    await wait_for_evaluations()
    names = ['__call__'] * 3 if how == 'method' else ['Words', 'AsyncWords', 'Answering']
    # What a partial has by position is as little an argument of its call as the object of a method.
    inputs = {} if how == 'partial' else {'text': 'a b'}
    runs = [(payload.run.target, payload.run.inputs, payload.run.output) for payload in collected.payloads]
    assert sorted(runs, key=str) == sorted([(name, inputs, ['a', 'b']) for name in names], key=str)


class Named:
    """Its methods call their first parameter by other names, or others by that name."""

    @evaluate(NotEmpty(), target='this')
    def of_this(this, text: str) -> str:
        return text

    @staticmethod
    @evaluate(NotEmpty(), target='static')
    def static(text: str) -> str:
        return text

    @evaluate(NotEmpty(), target='static within')
    @staticmethod
    def static_within(text: str) -> str:
        return text

    @classmethod
    @evaluate(NotEmpty(), target='class')
    def of_class(cls, text: str) -> str:
        return f'{text}{cls.__name__}'


def test_a_first_parameter_is_left_out_by_its_name_in_a_class_alone(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_assay.settings.DEFAULT_CONFIG.default_sink', collected)

    @evaluate(NotEmpty(), target='function')
    def function(self: str) -> str:
        return self

    named = Named()
    for called in (named.of_this, Named.static, Named.static_within, Named.of_class, function):
        called('a')
    settle()
    assert {payload.run.target: payload.run.inputs for payload in collected.payloads} == {
        'this': {'this': named, 'text': 'a'},
        'static': {'text': 'a'},
        'static within': {'text': 'a'},
        'class': {'text': 'a'},
        'function': {'self': 'a'},
    }


def test_arguments_and_outputs_are_judged_as_they_were(collected: Collected, config: OnlineEvalConfig) -> None:
    @evaluate(NotEmpty(), config=config)
    def converse(history: list[str], *more: list[str], options: dict[str, int], **named: Any) -> list[str]:
        history.append('changed')
        more[0].append('changed')
        options['changed'] = 1
        named['words'].add('changed')
        return history

    returned = converse(['a'], ['b'], options={'a': 1}, words={'c'})
    returned.append('after')
    settle()
    assert collected.run.inputs == {
        'history': ['a'],
        'more': (['b'],),
        'options': {'a': 1},
        'named': {'words': {'c'}},
    }
    assert collected.run.output == ['a', 'changed']


def test_what_is_in_containers_and_what_is_long_is_not_copied(collected: Collected, config: OnlineEvalConfig) -> None:
    @evaluate(NotEmpty(), config=config)
    def change(nested: list[list[str]], long: list[int]) -> str:
        nested[0].append('changed')
        long.append(1)
        return 'done'

    long = [0] * (MAX_COPIED + 1)
    change([['a']], long)
    settle()
    assert collected.run.inputs['nested'] == [['a', 'changed']]
    assert collected.run.inputs['long'] is long


def test_a_list_that_a_generator_yields_again_and_again_is_judged_as_it_was_each_time(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    @evaluate(NotEmpty(), config=config)
    def rows() -> Generator[list[int]]:
        row: list[int] = []
        for number in range(3):
            row.append(number)
            yield row

    assert [len(row) for row in rows()] == [1, 2, 3]
    settle()
    assert collected.run.output == [[0], [0, 1], [0, 1, 2]]


def count_to(number: int) -> Generator[int, str | None, str]:
    for i in range(1, number + 1):
        sent = yield i
        if sent is not None:
            yield int(sent)
    return 'done'


def test_a_generator_is_evaluated_when_it_is_exhausted(collected: Collected, config: OnlineEvalConfig) -> None:
    counted_to = evaluate(NotEmpty(), config=config)(count_to)
    assert inspect.isgeneratorfunction(counted_to)
    assert_type(counted_to(1), Generator[int, str | None, str])

    def outer() -> Generator[int, str | None, None]:
        returned.append((yield from counted_to(3)))

    returned: list[str] = []
    generator = outer()
    assert [next(generator), generator.send('7'), *generator] == [1, 7, 2, 3]
    assert returned == ['done']
    settle()
    assert (collected.run.output, collected.run.inputs) == ([1, 7, 2, 3], {'number': 3})


def test_a_generator_is_evaluated_when_it_is_closed(collected: Collected, config: OnlineEvalConfig) -> None:
    closed: list[str] = []

    @evaluate(NotEmpty(), config=config)
    def letters() -> Iterator[str]:
        try:
            yield 'a'
            yield 'b'
        finally:
            closed.append('here')

    for letter in letters():
        assert letter == 'a'
        break
    gc.collect()
    assert closed == ['here']
    settle()
    assert (collected.run.output, collected.run.outcome) == (['a'], 'success')


def test_a_generator_that_yields_nothing_has_an_empty_list_as_output(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    assert list(evaluate(NotEmpty(), config=config)(count_to)(0)) == []
    settle()
    assert collected.run.output == []
    assert collected.values == {'NotEmpty': False}


def test_what_is_thrown_into_a_generator_arrives_and_what_it_raises_comes_out(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    @evaluate(OnlineEvaluator(evaluator=NotEmpty(), run_on=['error']), config=config)
    def stubborn() -> Generator[str, None, None]:
        try:
            yield 'a'
        except KeyError:
            yield 'caught'
        raise ValueError('the end')

    generator = stubborn()
    assert next(generator) == 'a'
    assert generator.throw(KeyError('k')) == 'caught'
    with pytest.raises(ValueError, match='the end') as raised:
        next(generator)
    settle()
    assert collected.run.error is raised.value
    assert collected.run.output is raised.value


async def test_an_asynchronous_generator_is_evaluated(collected: Collected, config: OnlineEvalConfig) -> None:
    @evaluate(NotEmpty(), config=config, collect=''.join)
    async def words() -> AsyncGenerator[str, str | None]:
        try:
            for word in ('a', 'b', 'c'):
                try:
                    sent = yield word
                except KeyError:
                    sent = 'caught'
                if sent:
                    yield sent
        finally:
            await asyncio.sleep(0)

    assert inspect.isasyncgenfunction(words)
    assert [word async for word in words()] == ['a', 'b', 'c']
    generator = words()
    assert [await anext(generator), await generator.asend('!'), await anext(generator)] == ['a', '!', 'b']
    assert await generator.athrow(KeyError()) == 'caught'
    await generator.aclose()
    await wait_for_evaluations()
    assert [payload.run.output for payload in collected.payloads] == ['abc', 'a!bcaught']


async def test_between_two_items_the_caller_is_in_its_own_context(
    collected: Collected, config: OnlineEvalConfig, capfire: CaptureLogfire
) -> None:
    from opentelemetry import trace

    inner = evaluate(NotEmpty(), config=config, target='inner')(lambda: 'x')

    @evaluate(NotEmpty(), config=config)
    def numbers() -> Iterator[int]:
        for number in range(2):
            inner()
            yield number

    outside = trace.get_current_span()
    for _ in numbers():
        assert trace.get_current_span() is outside
        inner()
    await wait_for_evaluations()
    paths = sorted(payload.run.agent_path for payload in collected.payloads)
    assert paths == [('inner',), ('inner',), ('numbers',), ('numbers', 'inner'), ('numbers', 'inner')]


@pytest.mark.parametrize('error', [ValueError('no'), StopIteration('no'), KeyboardInterrupt()])
def test_what_a_function_raises_comes_out_as_it_is(
    collected: Collected, config: OnlineEvalConfig, error: BaseException
) -> None:
    @evaluate(OnlineEvaluator(evaluator=Calling(lambda ctx: True), run_on=['error', 'cancelled']), config=config)
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    settle()
    assert collected.run.output is error
    assert collected.run.outcome == ('error' if isinstance(error, Exception) else 'cancelled')


async def test_a_cancelled_coroutine_function_is_cancelled(collected: Collected, config: OnlineEvalConfig) -> None:
    started = asyncio.Event()

    @evaluate(OnlineEvaluator(evaluator=Calling(lambda ctx: True), run_on=['cancelled']), config=config)
    async def hang() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(hang())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_for_evaluations()
    assert collected.run.outcome == 'cancelled'


def test_wrong_arguments_are_the_functions_own_error(collected: Collected, config: OnlineEvalConfig) -> None:
    wrapped: Any = evaluate(NotEmpty(), config=config)(count_to)
    with pytest.raises(TypeError, match=r"count_to\(\) missing 1 required positional argument: 'number'"):
        next(wrapped())

    @evaluate(NotEmpty(), config=config)
    def greet(name: str) -> str:
        return name

    with pytest.raises(TypeError, match=r'greet\(\) missing 1 required positional argument'):
        greet()  # pyright: ignore[reportCallIssue]
    settle()
    assert collected.payloads == []


def test_calls_are_sampled_before_they_start(collected: Collected, config: OnlineEvalConfig) -> None:
    seen: list[SamplingContext] = []

    def rate(context: SamplingContext) -> bool:
        seen.append(context)
        return context.inputs['number'] % 2 == 0

    @evaluate(OnlineEvaluator(evaluator=NotEmpty(), sample_rate=rate), config=config)
    def double(number: int) -> int:
        return 2 * number

    assert [double(number) for number in range(4)] == [0, 2, 4, 6]
    settle()
    assert sorted(payload.run.inputs['number'] for payload in collected.payloads) == [0, 2]
    assert counted('NotEmpty') == {'scored': 2, 'sampled_out': 2}
    assert {context.target for context in seen} == {'double'}
    assert len({context.run_id for context in seen}) == 4


async def test_nothing_is_evaluated_where_evaluation_is_off(collected: Collected, config: OnlineEvalConfig) -> None:
    @evaluate(NotEmpty(), config=config)
    async def greet(name: str) -> str:
        return f'Hello {name}'

    with disable_evaluation():
        await greet('Ada')
    report = await Dataset(name='greetings', cases=[Case(inputs='Ada')]).evaluate(greet, progress=False)
    assert [case.output for case in report.cases] == ['Hello Ada']
    await wait_for_evaluations()
    assert collected.payloads == []


async def test_functions_and_agents_within_each_other(collected: Collected, config: OnlineEvalConfig) -> None:
    agent = Agent(
        TestModel(),
        name='writer',
        deps_type=type(None),
        capabilities=[OnlineEvaluation[None](evaluators=[NotEmpty()], config=config)],
    )

    @evaluate(NotEmpty(), config=config)
    def look_up(word: str) -> str:
        return f'{word} is a word'

    agent.tool_plain(look_up)

    @evaluate(NotEmpty(), config=config)
    async def pipeline(question: str) -> str:
        return (await agent.run(question, conversation_id='talk-1')).output

    await pipeline('What is a word?')
    await wait_for_evaluations()
    runs = {payload.run.agent_path: payload.run for payload in collected.payloads}
    assert set(runs) == {('pipeline',), ('pipeline', 'writer'), ('pipeline', 'writer', 'look_up')}
    top, writer, tool = (runs[path] for path in sorted(runs))
    assert (top.parent_run_id, writer.parent_run_id, tool.parent_run_id) == (None, top.run_id, writer.run_id)
    assert (top.conversation_id, tool.conversation_id) == (None, 'talk-1')


async def test_a_function_within_an_agent_that_is_not_evaluated_names_it(
    collected: Collected, config: OnlineEvalConfig
) -> None:
    researcher = Agent(
        TestModel(),
        name='researcher',
        deps_type=type(None),
        capabilities=[OnlineEvaluation[None](evaluators=[NotEmpty()], config=config)],
    )
    planner = Agent(TestModel(), name='planner')

    @planner.tool_plain
    @evaluate(NotEmpty(), config=config)
    async def delegate() -> str:
        return (await researcher.run('the details')).output

    await planner.run('a question')
    await wait_for_evaluations()
    assert {payload.run.agent_path for payload in collected.payloads} == {
        ('planner', 'delegate'),
        ('planner', 'delegate', 'researcher'),
    }


async def test_evaluators_see_what_the_call_recorded_and_its_spans(
    collected: Collected, config: OnlineEvalConfig, capfire: CaptureLogfire
) -> None:
    import logfire

    trees: list[list[str]] = []

    def look(ctx: Any) -> bool:
        trees.append([node.name for node in ctx.span_tree])
        return run_of(ctx).attributes == {'words': 2} and ctx.metrics == {'searches': 1}

    @evaluate(Calling(look), config=config)
    def search(query: str) -> str:
        set_eval_attribute('words', len(query.split()))
        increment_eval_metric('searches', 1)
        with logfire.span('index'):
            return query

    search('two words')
    await wait_for_evaluations()
    assert collected.values == {'Calling': True}
    assert trees == [
        ['Calling test_decorator.test_evaluators_see_what_the_call_recorded_and_its_spans.<locals>.search', 'index']
    ]


async def test_the_span_shows_what_it_is_asked_to_show(
    collected: Collected, config: OnlineEvalConfig, capfire: CaptureLogfire
) -> None:
    @evaluate(
        NotEmpty(),
        config=config,
        msg_template='Order {number=} of {customer[name]} {missing} {number:zz}',
        span_name='order',
        extract_args=['number', 'customer', 'tags'],
        record_return=True,
    )
    def order(number: int, customer: dict[str, str], tags: list[str], secret: str) -> dict[str, Any]:
        return {'number': number, 'total': float('nan')}

    order(7, {'name': 'Ada'}, ['a'], 'hidden')
    await wait_for_evaluations()
    (span,) = [s for s in capfire.exporter.exported_spans_as_dict() if s['name'] == 'order']
    shown = {k: v for k, v in span['attributes'].items() if not k.startswith('code.')}
    assert 'hidden' not in str(shown)
    assert shown == {
        'logfire.msg_template': 'Order {number=} of {customer[name]} {missing} {number:zz}',
        'logfire.msg': 'Order number=7 of Ada {missing} int',
        'logfire.span_type': 'span',
        'number': 7,
        'customer': '{"name":"Ada"}',
        'tags': '["a"]',
        'return': '{"number":7,"total":"NaN"}',
        'logfire.json_schema': '{"type": "object", "properties": {"number": {}, "customer": {"type": "object"}, '
        '"tags": {"type": "array"}, "return": {"type": "object"}}}',
    }
    (event,) = [log for log in capfire.log_exporter.exported_logs_as_dicts()]
    assert event['span_id'] == span['context']['span_id']
    assert event['attributes']['gen_ai.evaluation.target'] == 'order'


async def test_the_span_of_a_call_that_failed_says_so(config: OnlineEvalConfig, capfire: CaptureLogfire) -> None:
    @evaluate(NotEmpty(), config=config)
    def fail() -> None:
        raise ValueError('no')

    with pytest.raises(ValueError, match='no'):
        fail()
    await wait_for_evaluations()
    (span,) = [s for s in capfire.exporter.exported_spans_as_dict() if s['name'].endswith('fail')]
    assert [event['name'] for event in span['events']] == ['exception']


def test_a_collect_that_raises_is_no_fault_of_the_generator(collected: Collected, config: OnlineEvalConfig) -> None:
    numbers = evaluate(NotEmpty(), config=config, collect=lambda items: 1 / 0)(count_to)
    with pytest.warns(match="Run '.*' was not captured: ZeroDivisionError: division by zero."):
        assert list(numbers(2)) == [1, 2]
    assert counted('NotEmpty') == {'dropped': 1}


def test_a_fault_of_ours_before_the_call_is_not_the_calls(
    collected: Collected, config: OnlineEvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise KeyError('text')

    @evaluate(NotEmpty(), config=config, msg_template='{thing}')
    def pass_on(thing: object) -> object:
        return thing

    thing = Unspeakable()
    assert pass_on(thing) is thing
    settle()
    assert collected.run.output is thing


def test_the_config_has_the_decorator_as_a_method(collected: Collected, config: OnlineEvalConfig) -> None:
    @config.evaluate(NotEmpty(), target='greeting')
    def greet(name: str) -> str:
        return f'Hello {name}'

    assert greet('Ada') == 'Hello Ada'
    settle()
    assert collected.run.target == 'greeting'


def test_an_evaluator_with_settings_of_pydantic_evals_is_taken(collected: Collected) -> None:
    config = upstream.OnlineEvalConfig(default_sink=collected)  # pyright: ignore[reportArgumentType]

    @evaluate(upstream.OnlineEvaluator(evaluator=NotEmpty(), sample_rate=1.0), config=config)
    def greet() -> str:
        return 'Hello'

    greet()
    settle()
    assert collected.values == {'NotEmpty': True}


def test_what_cannot_be_decorated_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="`evaluate` decorates functions and methods, got <class 'conftest.Collected'>"
    ):
        evaluate(NotEmpty())(Collected)
    with pytest.raises(ConfigurationError, match='`evaluate` decorates functions and methods, got 7'):
        evaluate(NotEmpty())(7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match='needs a function whose signature can be read'):
        evaluate(NotEmpty())(cast(Any, dict).update)
    with pytest.raises(ConfigurationError, match="extract_args names 'b', but the parameters of count_to are 'number'"):
        evaluate(NotEmpty(), extract_args='b')(count_to)
    with pytest.raises(ConfigurationError, match='`collect` is for generators, which .*<lambda> is not'):
        evaluate(NotEmpty(), collect=len)(lambda: 1)
    with pytest.raises(ConfigurationError, match="got the class 'NotEmpty'; call it to make one"):
        evaluate(NotEmpty)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'target': ''}, "target must be a text that is not empty, or None, got ''"),
        ({'target': 5}, 'target must be a text that is not empty, or None, got 5'),
        ({'msg_template': 5}, 'msg_template must be a text that is not empty, or None, got 5'),
        ({'span_name': ['a']}, r"span_name must be a text that is not empty, or None, got \['a'\]"),
        ({'extract_args': 5}, 'extract_args must be True, False, or names of parameters, got 5'),
        ({'extract_args': ['a', 5]}, r"extract_args must be True, False, or names of parameters, got \['a', 5\]"),
        ({'extract_args': None}, 'extract_args must be True, False, or names of parameters, got None'),
        ({'record_return': 'no'}, "record_return must be True or False, got 'no'"),
        ({'collect': 5}, 'collect must be a function of the list of what was yielded, got 5'),
        ({'config': 5}, 'config must be an OnlineEvalConfig.*, got 5'),
    ],
)
def test_an_argument_that_cannot_work_is_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        evaluate(NotEmpty(), **arguments)


def test_names_to_show_may_come_from_an_iterator(config: OnlineEvalConfig, capfire: CaptureLogfire) -> None:
    decorate = evaluate(NotEmpty(), config=config, span_name='shown', extract_args=iter(['text']))

    def first(text: str) -> str:
        return text

    def second(other: int = 1, text: str = 'a') -> str:
        return text

    decorate(first)('a')
    decorate(second)()
    settle()
    spans = [s for s in capfire.exporter.exported_spans_as_dict() if s['name'] == 'shown']
    assert [span['attributes'].get('text') for span in spans] == ['a', 'a']


def test_the_type_of_what_is_decorated_stays() -> None:
    @evaluate(NotEmpty())
    async def asynchronous(number: int, *, text: str = '') -> str:
        return text

    @evaluate(NotEmpty())
    async def streaming(number: int) -> AsyncGenerator[str, None]:
        yield str(number)

    assert_type(asyncio.run(asynchronous(1, text='a')), str)
    assert_type(streaming(1), AsyncGenerator[str, None])
    with pytest.raises(TypeError):
        asyncio.run(asynchronous(1, texts='a'))  # pyright: ignore[reportCallIssue, reportUnknownArgumentType]


@pytest.mark.parametrize('anyio_backend', ['trio'])
async def test_on_trio_functions_run_as_they_are_and_are_judged(anyio_backend: str, collected: Collected) -> None:
    config = OnlineEvalConfig(default_sink=collected)

    @evaluate(NotEmpty(), config=config)
    async def greet(name: str) -> str:
        return f'Hello {name}'

    @evaluate(NotEmpty(), config=config)
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    assert await greet('Ada') == 'Hello Ada'
    assert [number async for number in count(2)] == [0, 1]
    assert await wait_for_evaluations(timeout=10) == ()
    assert [payload.run.output for payload in collected.payloads] == ['Hello Ada', [0, 1]]


async def test_a_span_shows_text_as_it_is(config: OnlineEvalConfig, capfire: CaptureLogfire) -> None:
    @evaluate(NotEmpty(), config=config, span_name='greeting', extract_args=True)
    def greet(name: str) -> str:
        return f'Hello {name}'

    greet('Ada')
    await wait_for_evaluations()
    (span,) = [s for s in capfire.exporter.exported_spans_as_dict() if s['name'] == 'greeting']
    assert span['attributes']['name'] == 'Ada'


class Unprintable(Exception):
    """An error, or an argument, that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError('no text')

    __repr__ = __str__


async def test_arguments_that_cannot_be_shown_stand_as_what_they_are(
    config: OnlineEvalConfig, capfire: CaptureLogfire
) -> None:
    @evaluate(NotEmpty(), config=config, msg_template='{name=} {name}', span_name='greeting', extract_args=['names'])
    def greet(name: object, names: list[Any]) -> str:
        return 'Hello'

    names: list[Any] = []
    names.append(names)
    assert greet(Unprintable(), names) == 'Hello'
    await wait_for_evaluations()
    (span,) = [s for s in capfire.exporter.exported_spans_as_dict() if s['name'] == 'greeting']
    assert span['attributes']['logfire.msg'] == '{name=} Unprintable'
    assert span['attributes']['names'] == '["..."]'


async def test_a_call_whose_evaluation_cannot_begin_runs_as_it_is(
    collected: Collected, config: OnlineEvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> NoReturn:
        raise LookupError('no tracer')

    @evaluate(NotEmpty(), config=config)
    def greet() -> str:
        return 'Hello'

    monkeypatch.setattr(trace, 'get_tracer', broken)
    with pytest.warns(AssayWarning, match=r"greet' is not evaluated: choosing raised LookupError: no tracer"):
        assert greet() == 'Hello'
    assert collected.payloads == []


async def test_an_error_that_cannot_be_shown_reaches_the_caller_and_is_judged(
    config: OnlineEvalConfig, collected: Collected, capfire: CaptureLogfire
) -> None:
    @evaluate(OnlineEvaluator(evaluator=Calling(lambda ctx: True, 'seen'), run_on=['error']), config=config)
    def greet() -> str:
        raise Unprintable

    with pytest.warns(AssayWarning, match='The span of a call of .* raised ValueError'), pytest.raises(Unprintable):
        greet()
    await wait_for_evaluations()
    assert collected.values == {'seen': True}


def test_a_generator_that_is_not_sampled_keeps_nothing(config: OnlineEvalConfig) -> None:
    @evaluate(OnlineEvaluator(evaluator=NotEmpty(), sample_rate=0.0), config=config)
    def count() -> Generator[int]:
        yield from range(3)

    assert list(count()) == [0, 1, 2]
    assert counted('NotEmpty') == {'sampled_out': 1}


async def test_a_coroutine_function_waits_a_moment_for_a_judge_on_the_loop_that_takes_over(
    collected: Collected, config: OnlineEvalConfig, gate: Gate
) -> None:
    async def holds_its_loop(ctx: Any) -> bool:
        gate.pass_sync()
        return True

    @evaluate(Awaiting(holds_its_loop), config=config)
    def first() -> str:
        return 'done'

    @evaluate(NotEmpty(), config=config)
    async def second() -> str:
        return 'done'

    await asyncio.to_thread(first)
    while gate.arrived == 0:
        await asyncio.sleep(0.001)
    assert await second() == 'done'
    gate.open()
    await wait_for_evaluations()
    assert collected.values == {'Awaiting': True, 'NotEmpty': True}
