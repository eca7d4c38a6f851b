"""Which errors can pass, so that trying again makes sense."""

from __future__ import annotations

import socket
from typing import cast

from pydantic_ai.exceptions import FallbackExceptionGroup, ModelAPIError, ModelHTTPError

from ..runs.judgement import VoteErrors

__all__ = ('is_loop_conflict', 'is_transient')

TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_OF_ANOTHER_LOOP = (
    'different event loop',
    'different loop',
    'loop is closed',
    # What `asyncio.run` does last: a loop that still runs has no threads any more.
    'Executor shutdown has been called',
)
_TRANSPORT_MODULES = frozenset({'httpx', 'httpx2', 'httpcore', 'httpcore2', 'aiohttp', 'openai', 'anthropic'})
_TRANSPORT_NAMES = ('Timeout', 'Connect', 'Network', 'Transport', 'ReadError', 'WriteError', 'RemoteProtocol')


def is_transient(error: BaseException) -> bool:
    """Whether an error can pass: a timeout, a broken connection, or a status that asks to come back later.

    So can an error that was raised from such a one: a judge that has no verdict because its model was not to be reached.
    Of the errors of a `FallbackModel` one that can pass is enough; those of other groups must all.
    """
    return _can_pass(error, frozenset())


def _can_pass(error: BaseException | None, seen: frozenset[int]) -> bool:
    # What is no `Exception` is meant to end something, whatever it was raised from.
    if not isinstance(error, Exception) or id(error) in seen:
        return False
    if isinstance(error, ModelHTTPError):
        return error.status_code in TRANSIENT_STATUS or error.status_code >= 500
    if isinstance(error, ModelAPIError | ConnectionError | TimeoutError | socket.gaierror) or _is_of_transport(error):
        return True
    seen |= {id(error)}
    if isinstance(error, ExceptionGroup):
        members = cast('ExceptionGroup[Exception]', error).exceptions
        enough = any if isinstance(error, FallbackExceptionGroup | VoteErrors) else all
        return enough(_can_pass(member, seen) for member in members)
    return _can_pass(error.__cause__, seen)


def _is_of_transport(error: Exception) -> bool:
    # HTTP clients are not dependencies of this package, so their errors are told by where they come from.
    return any(
        cls.__module__.partition('.')[0] in _TRANSPORT_MODULES
        and any(name in cls.__name__ for name in _TRANSPORT_NAMES)
        for cls in type(error).__mro__
    )


def is_loop_conflict(error: BaseException) -> bool:
    """Whether an error says that something an evaluator used belongs to another event loop, or to one that is gone.

    It happens to an evaluation that was taken over from a loop that stood still, and not again when it starts anew.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, RuntimeError):
            message = str(current)
            if any(text in message for text in _OF_ANOTHER_LOOP):
                return True
        current = current.__cause__ or current.__context__
    return False
