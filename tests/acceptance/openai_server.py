"""A real HTTP server on loopback that speaks enough of the OpenAI chat completions protocol, and breaks it on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[['Exchange'], None]
"""What the server does with a request."""


class Exchange(BaseHTTPRequestHandler):
    """One connection, with the request that is to be answered."""

    # Connections are kept alive: they are what a client on another event loop trips over.
    protocol_version = 'HTTP/1.1'
    # Without this, the kernel holds small answers back for 40 ms.
    disable_nagle_algorithm = True
    request_body: dict[str, Any]

    @property
    def openai(self) -> OpenAIServer:
        """The server."""
        assert isinstance(self.server, OpenAIServer)
        return self.server

    def do_POST(self) -> None:
        self.request_body = json.loads(self.rfile.read(int(self.headers['content-length'])))
        server = self.openai
        answer = server.take(self.request_body)
        # A server that takes its time to answer; nothing waits for it to pass but the client.
        threading.Event().wait(server.delay)
        answer(self)

    def send(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = 'application/json',
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header('content-type', content_type)
        self.send_header('content-length', str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_message(self, message: Mapping[str, Any], *, finish_reason: str = 'stop') -> None:
        choice = {'index': 0, 'finish_reason': finish_reason, 'message': {'role': 'assistant', **message}}
        self.send_choices([choice])

    def send_choices(self, choices: Sequence[Mapping[str, Any]]) -> None:
        answer = {
            'id': 'chatcmpl-1',
            'object': 'chat.completion',
            'created': 1,
            'model': self.request_body['model'],
            'choices': choices,
            'usage': {'prompt_tokens': 10, 'completion_tokens': 2, 'total_tokens': 12},
        }
        self.send(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


def prose(text: str = 'fine') -> Answer:
    """An answer in words."""
    return lambda exchange: exchange.send_message({'content': text})


def tool_call(arguments: str, *, name: str | None = None, finish_reason: str = 'tool_calls') -> Answer:
    """A call of the first tool that the client offers, or of another, with arguments that need not be JSON."""

    def answer(exchange: Exchange) -> None:
        called = name or exchange.request_body['tools'][0]['function']['name']
        call = {'id': 'call_1', 'type': 'function', 'function': {'name': called, 'arguments': arguments}}
        exchange.send_message({'content': None, 'tool_calls': [call]}, finish_reason=finish_reason)

    return answer


def verdict(*, passes: bool = True, reason: str = 'It says so.') -> Answer:
    """The verdict of a judge."""
    return tool_call(json.dumps({'reason': reason, 'passes': passes}))


def status(code: int, **headers: str) -> Answer:
    """An error, with headers (an underscore stands for a hyphen)."""
    body = json.dumps({'error': {'message': f'This is a {code}.', 'type': 'error', 'code': None, 'param': None}})
    named = {name.replace('_', '-'): value for name, value in headers.items()}
    return lambda exchange: exchange.send(body.encode(), status=code, headers=named)


def raw(body: bytes, *, content_type: str = 'application/json') -> Answer:
    """A body as it is."""
    return lambda exchange: exchange.send(body, content_type=content_type)


def no_choices(exchange: Exchange) -> None:
    """An answer of the protocol that says nothing."""
    exchange.send_choices([])


def reset(exchange: Exchange) -> None:
    """Begin to answer, and reset the connection in the middle of it."""
    exchange.send(b'{"id": "chatcmpl-1", "choi', length=1000)
    exchange.wfile.flush()
    # Closed with nothing to linger for, a TCP connection is reset.
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    exchange.close_connection = True
    exchange.connection.close()


def hang(exchange: Exchange) -> None:
    """Do not answer, and note when the client hangs up."""
    if not exchange.connection.recv(1):
        exchange.openai.hung_up.set()
    exchange.close_connection = True


class OpenAIServer(ThreadingHTTPServer):
    """Gives `answers` to the requests in turn; the last of them is given again and again."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answers: Sequence[Answer], delay: float) -> None:
        super().__init__(('127.0.0.1', 0), Exchange)
        self.delay = delay
        self.bodies: list[dict[str, Any]] = []
        self.hung_up = threading.Event()
        self._answers = answers or [prose()]
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that drop a connection are no fault of the server's.
        pass

    def take(self, body: dict[str, Any]) -> Answer:
        """Note a request. Returns how it is answered."""
        with self._lock:
            self.bodies.append(body)
            return self._answers[min(len(self.bodies), len(self._answers)) - 1]

    @property
    def requests(self) -> int:
        """How many requests came."""
        return len(self.bodies)

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f'http://127.0.0.1:{self.server_port}/v1'


@contextmanager
def openai_server(*answers: Answer, delay: float = 0.02) -> Generator[OpenAIServer]:
    """Serve for a while. Without answers, each is `prose()`."""
    server = OpenAIServer(answers, delay)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
