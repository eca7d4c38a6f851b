"""`@evaluate`: online evaluation of any function's calls."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import uuid4

from opentelemetry import context as otel_context, trace
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Evaluator

from ._upstream import CURRENT_TASK_RUN
from .call_span import CallSpans, name_of, names_to_show, record_return as show_return, unwrapped
from .capture import (
    RunCapture,
    as_at_call,
    begin_run,
    by_name_as_at_call,
    outcome_of,
)
from .checks import check_flag, check_function, check_text
from .errors import ConfigurationError, describe
from .execution.chosen import Chosen
from .execution.evaluators import AttachedEvaluators
from .execution.lanes import running_loop
from .execution.pipeline import PIPELINE
from .runs.active import CURRENT, ActiveRun
from .runs.record import RunRecord
from .sampling.choice import RunStart
from .settings import OnlineEvalConfig

__all__ = ('evaluate',)

FunctionT = TypeVar('FunctionT', bound='Callable[..., Any] | classmethod[Any, ..., Any] | staticmethod[..., Any]')
Collect = Callable[[list[Any]], Any]


def evaluate(
    *evaluators: Evaluator[Any, Any, Any] | upstream.OnlineEvaluator,
    config: upstream.OnlineEvalConfig | None = None,
    target: str | None = None,
    msg_template: str | None = None,
    span_name: str | None = None,
    extract_args: bool | Iterable[str] = False,
    record_return: bool = False,
    collect: Collect | None = None,
) -> Callable[[FunctionT], FunctionT]:
    """Evaluate the calls of a function in the background, as `OnlineEvaluation` does the runs of an agent.

    Functions, methods, coroutine functions, generators and asynchronous generators can be decorated; their signature and
    type stay. An evaluator's `ctx.inputs` is the arguments by name (without `self` or `cls`). A call that is sampled has a
    span of its own, under which results are reported. A generator is evaluated when it is exhausted or closed; its output
    is the list of what it yielded.

    Args:
        *evaluators: The evaluators: bare ones, or with settings of their own as `OnlineEvaluator`.
        config: Settings for all of them. Default: `DEFAULT_CONFIG`.
        target: Name of what is evaluated. Default: the function's name.
        msg_template: Message of the span, in which `{name}` and `{name=}` stand for arguments. Default: `'Calling '` and
            the function's full name.
        span_name: Name of the span. Default: `msg_template`.
        extract_args: Whether the span shows the arguments: all of them, none (the default), or those named.
        record_return: Whether the span shows what the call returned. Default: no.
        collect: For generators: makes the output of the list of what was yielded, such as `''.join`.

    Returns:
        A decorator.

    Raises:
        ConfigurationError: If one of the evaluators is none, an argument or a setting has a value that cannot work, or what
            is decorated is not a function.

    Example:
    ```python
    from dataclasses import dataclass

    from pydantic_evals.evaluators import Evaluator, EvaluatorContext

    from pydantic_ai_assay import evaluate


    @dataclass
    class IsShort(Evaluator):
        def evaluate(self, ctx: EvaluatorContext) -> bool:
            return len(ctx.output) < 100


    @evaluate(IsShort())
    def summarize(text: str) -> str:
        return text.partition('.')[0]
    ```
    """
    for name, text in (('target', target), ('msg_template', msg_template), ('span_name', span_name)):
        check_text(name, text, or_none=True)
    shown = names_to_show(extract_args)
    check_flag('record_return', record_return)
    check_function('collect', collect, 'a function of the list of what was yielded', synchronous=True)
    attached = AttachedEvaluators(evaluators, config)

    def decorate(function: FunctionT) -> FunctionT:
        if isinstance(function, classmethod | staticmethod):
            rewrap: Any = type(cast(object, function))
            return rewrap(decorate(cast(Any, function).__func__))
        checked, signature = _check(function)
        spans = CallSpans(checked, signature, msg_template=msg_template, span_name=span_name, extract_args=shown)
        evaluated = _EvaluatedFunction(
            checked, signature, attached, spans, target=target, record_return=record_return, collect=collect
        )
        return cast(FunctionT, evaluated.wrapper())

    return decorate


def _check(function: object) -> tuple[Callable[..., Any], inspect.Signature]:
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(f'`evaluate` decorates functions and methods, got {function!r}.')
    try:
        return function, inspect.signature(function)
    except ValueError as error:
        raise ConfigurationError(f'`evaluate` needs a function whose signature can be read: {error}.') from error


OnlineEvalConfig.decorate = staticmethod(evaluate)


class _EvaluatedFunction:
    """A function whose calls are evaluated."""

    def __init__(
        self,
        function: Callable[..., Any],
        signature: inspect.Signature,
        evaluators: AttachedEvaluators,
        spans: CallSpans,
        *,
        target: str | None,
        record_return: bool,
        collect: Collect | None,
    ) -> None:
        self.function = function
        self.signature = signature
        self.evaluators = evaluators
        self.spans = spans
        self.target = target or name_of(function).rpartition('.')[2]
        self.record_return = record_return
        self.collect = collect
        self._code = _code_of(function)
        self.is_generator = inspect.isgeneratorfunction(self._code) or inspect.isasyncgenfunction(self._code)
        self._is_method = next(iter(signature.parameters), None) in ('self', 'cls') and _is_in_class(function)
        of_kind = {each.kind: each.name for each in signature.parameters.values()}
        self._many = of_kind.get(inspect.Parameter.VAR_POSITIONAL)
        self._named = of_kind.get(inspect.Parameter.VAR_KEYWORD)
        if collect is not None and not self.is_generator:
            raise ConfigurationError(
                f'`collect` is for generators, which {name_of(function)} is not; evaluators see what it returns.'
            )

    def wrapper(self) -> Callable[..., Any]:
        """A function of the same kind that takes its place."""
        if inspect.isasyncgenfunction(self._code):
            return self._async_generator(self.function)
        if inspect.isgeneratorfunction(self._code):
            return self._generator(self.function)
        if inspect.iscoroutinefunction(self._code):
            return self._coroutine_function(self.function)
        return self._plain_function(self.function)

    def _plain_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _Call(self, args, kwargs) as call, call.current():
                return call.returned(function(*args, **kwargs))

        return wrapper

    def _coroutine_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with _Call(self, args, kwargs) as call, call.current():
                return call.returned(await _in_turn(lambda: function(*args, **kwargs)))

        return wrapper

    def _generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator: Generator[Any, Any, Any] = function(*args, **kwargs)
            with _Call(self, args, kwargs) as call:
                step = generator.__next__
                while True:
                    try:
                        with call.current():
                            item = step()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield call.yielded(item)
                        step = _bind(generator.send, sent)
                    except GeneratorExit:
                        with call.current():
                            generator.close()
                        raise
                    except BaseException as error:
                        step = _bind(generator.throw, error)

        return wrapper

    def _async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            generator: AsyncGenerator[Any, Any] = function(*args, **kwargs)
            with _Call(self, args, kwargs) as call:
                step = generator.__anext__
                while True:
                    try:
                        with call.current():
                            item = await _in_turn(step)
                    except StopAsyncIteration:
                        return
                    try:
                        sent = yield call.yielded(item)
                        step = _bind(generator.asend, sent)
                    except GeneratorExit:
                        with call.current():
                            await generator.aclose()
                        raise
                    except BaseException as error:
                        step = _bind(generator.athrow, error)

        return wrapper

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        inputs = dict(bound.arguments)
        if self._is_method:
            del inputs[next(iter(inputs))]
        return inputs

    def as_at_call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they are before the call has changed any."""
        kept = by_name_as_at_call(inputs)
        if self._many is not None and (many := kept.get(self._many)):
            kept[self._many] = tuple(map(as_at_call, many))
        if self._named is not None and (named := kept.get(self._named)):
            kept[self._named] = by_name_as_at_call(named)
        return kept


def _code_of(function: Callable[..., Any]) -> object:
    """The function that runs when something is called: of an object the method, of a `functools.partial` what it calls."""
    function = unwrapped(function)
    is_function = inspect.isroutine(function) or inspect.iscoroutinefunction(function)
    return function if is_function else getattr(function, '__call__', None)


def _is_in_class(function: Callable[..., Any]) -> bool:
    around = name_of(function).rpartition('.')[0]
    return bool(around) and not around.endswith('<locals>')


async def _in_turn(step: Callable[[], Awaitable[Any]]) -> Any:
    """Await what may run agents, at a time at which no judge uses their clients on another loop."""
    loop = running_loop()
    if loop is None:
        # Another kind of loop, such as trio's: agents do not run on it.
        return await step()
    turn = PIPELINE.executor.run_started(loop)
    try:
        if turn is not None:
            await turn
        return await step()
    finally:
        PIPELINE.executor.run_ended(loop)


def _bind(step: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    return lambda: step(value)


class _Call:
    """One call of an evaluated function, from its start to its end."""

    def __init__(self, function: _EvaluatedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._function = function
        self._result: Any = None
        self._yielded: list[Any] = []
        self.active = begin_run(str(uuid4()), function.target, None)
        self._capture: _FunctionCapture | None = None
        try:
            self._capture = self._begin(args, kwargs)
        except Exception as error:
            PIPELINE.notices.warn(
                'begin', f'A call of {function.target!r} is not evaluated: choosing raised {describe(error)}.'
            )

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _FunctionCapture | None:
        function = self._function
        try:
            inputs = function.inputs(args, kwargs)
        except TypeError:
            # The call itself is about to say so.
            return None

        def start() -> RunStart:
            active = self.active
            return RunStart(
                run_id=active.run_id,
                conversation_id=active.conversation_id,
                target=function.target,
                agent_name=None,
                inputs=inputs,
                deps=None,
            )

        chosen = function.evaluators.choose(function.target, start)
        if chosen is None:
            return None
        span = function.spans.start(inputs, record_content=chosen.record_content)
        shows_return = function.record_return and chosen.record_content
        kept = function.as_at_call(inputs)
        return _FunctionCapture(self.active, chosen, span, kept, function.collect, shows_return=shows_return)

    def __enter__(self) -> _Call:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        capture = self._capture
        if capture is not None:
            is_generator = self._function.is_generator
            if is_generator and isinstance(error, GeneratorExit):
                # Whoever iterates has seen enough.
                error = None
            capture.end(error, self._yielded if is_generator else self._result)
        self.active.end()

    @contextmanager
    def current(self) -> Generator[None]:
        """Make the call the current run, for as long as its code runs."""
        capture = self._capture
        token = CURRENT.set(self.active)
        task_token = None if capture is None else CURRENT_TASK_RUN.set(capture.task_run)
        span_token = None if capture is None else otel_context.attach(trace.set_span_in_context(capture.span))
        try:
            yield
        finally:
            CURRENT.reset(token)
            if task_token is not None:
                CURRENT_TASK_RUN.reset(task_token)
            if span_token is not None:
                otel_context.detach(span_token)

    def returned(self, result: Any) -> Any:
        """Note what the call returned, and return it."""
        self._result = result
        return result

    def yielded(self, item: Any) -> Any:
        """Note what the generator yielded, and return it."""
        if self._capture is not None:
            self._yielded.append(as_at_call(item))
        return item


class _FunctionCapture(RunCapture):
    """A function's call being captured."""

    def __init__(
        self,
        active: ActiveRun,
        chosen: Chosen,
        span: trace.Span,
        inputs: dict[str, Any],
        collect: Collect | None,
        *,
        shows_return: bool,
    ) -> None:
        super().__init__(active, chosen, span, is_own_span=True)
        self.span = span
        self._inputs = inputs
        self._collect = collect
        self._shows_return = shows_return
        # What the error says is content that nobody asked to show, and on the span nothing redacts it.
        self._shows_error = chosen.record_content and chosen.config.redact is None

    def end(self, error: BaseException | None, result: Any) -> None:
        """End the call's span and hand the call over."""
        try:
            if error is not None:
                if self._shows_error:
                    self.span.record_exception(error)
                self.span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            elif self._shows_return:
                show_return(self.span, result)
            self.span.end()
        except Exception as own_error:
            PIPELINE.notices.warn('span', f'The span of a call of {self.target!r} raised {describe(own_error)}.')
        self.hand_over(error=error, result=result)

    def snapshot(self) -> None:
        """Make the output of what was yielded, or keep what was returned."""
        if self.error is not None:
            self.result = self.error
        elif self._collect is not None:
            self.result = self._collect(self.result)
        else:
            self.result = as_at_call(self.result)

    def record(self) -> RunRecord:
        """Make the call's record."""
        return RunRecord(
            outcome=outcome_of(self.error),
            inputs=self._inputs,
            output=self.result,
            conversation_id=self.active.conversation_id,
            error=self.error,
            **self.captured(),
        )
