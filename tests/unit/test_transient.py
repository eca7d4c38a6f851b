"""Which errors can pass."""

import asyncio
import socket
import types

import httpx2
import openai
import pytest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UnexpectedModelBehavior

from pydantic_ai_assay.execution.transient import is_loop_conflict, is_transient

REQUEST = httpx2.Request('POST', 'http://localhost/v1/chat/completions')


def foreign(module: str, name: str, bases: tuple[type[Exception], ...] = (Exception,)) -> Exception:
    """An error of a package that need not be installed."""
    return types.new_class(name, bases, exec_body=lambda namespace: namespace.update(__module__=module))()


@pytest.mark.parametrize('status', [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_status_that_asks_to_come_back_later_can_pass(status: int) -> None:
    assert is_transient(ModelHTTPError(status_code=status, model_name='gpt', body=None))


@pytest.mark.parametrize('status', [400, 401, 403, 404, 422])
def test_a_status_that_says_no_stays(status: int) -> None:
    assert not is_transient(ModelHTTPError(status_code=status, model_name='gpt', body=None))


@pytest.mark.parametrize(
    'error',
    [
        ModelAPIError(model_name='gpt', message='the connection broke'),
        ConnectionResetError(),
        BrokenPipeError(),
        TimeoutError(),
        TimeoutError(),
        socket.gaierror(socket.EAI_AGAIN, 'name resolution'),
        httpx2.ReadTimeout('slow', request=REQUEST),
        httpx2.ConnectError('refused', request=REQUEST),
        httpx2.RemoteProtocolError('gone', request=REQUEST),
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(request=REQUEST),
        foreign('aiohttp.client_exceptions', 'ServerTimeoutError'),
        foreign('httpcore', 'NetworkError'),
        foreign('their.client', 'Unreachable', (type(foreign('httpx', 'TransportError')),)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_timeouts_and_broken_connections_can_pass(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    'error',
    [
        ValueError('Timeout'),
        OSError('disk full'),
        PermissionError(),
        UnexpectedModelBehavior('no answer'),
        asyncio.CancelledError(),
        SystemExit(1),
        KeyboardInterrupt(),
        httpx2.InvalidURL('x'),
        foreign('elsewhere', 'ConnectTimeout'),
        foreign('httpxtras', 'ConnectTimeout'),
    ],
    ids=lambda error: f'{type(error).__module__}.{type(error).__name__}',
)
def test_other_errors_stay(error: BaseException) -> None:
    assert not is_transient(error)


# Conflicts between event loops


def raised_from(cause: BaseException, *, suppress: bool = False) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as inner:
            if suppress:
                raise ValueError('outer') from inner
            raise ValueError('outer')  # noqa: B904
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    'message',
    [
        '<asyncio.locks.Event object> is bound to a different event loop',
        'Task got Future attached to a different loop',
        'Event loop is closed',
        'Executor shutdown has been called',
    ],
)
def test_what_asyncio_says_of_two_loops_is_recognised_at_any_depth(message: str) -> None:
    conflict = RuntimeError(message)
    assert is_loop_conflict(conflict)
    assert is_loop_conflict(raised_from(conflict))
    assert is_loop_conflict(raised_from(conflict, suppress=True))
    assert is_loop_conflict(raised_from(raised_from(conflict)))


def test_a_real_conflict_is_recognised() -> None:
    lock = asyncio.Lock()

    async def contend() -> None:
        async with lock:
            waiting = asyncio.ensure_future(lock.acquire())
            await asyncio.sleep(0)
        await waiting

    asyncio.run(contend())
    lock.release() if lock.locked() else None
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(contend())
    assert is_loop_conflict(caught.value)


@pytest.mark.parametrize(
    'error', [RuntimeError('something else'), ValueError('Event loop is closed'), KeyboardInterrupt()], ids=repr
)
def test_other_errors_are_no_conflict(error: BaseException) -> None:
    assert not is_loop_conflict(error)
    assert not is_loop_conflict(raised_from(error))


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError('first'), ValueError('second')
    first.__context__, second.__context__ = second, first
    assert not is_loop_conflict(first)
