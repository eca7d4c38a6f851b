"""A real HTTP server on loopback that speaks enough of the OpenAI chat completions protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    # Connections are kept alive: they are what a client on another event loop trips over.
    protocol_version = 'HTTP/1.1'
    # Without this, the kernel holds small answers back for 40 ms.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers['content-length'])))
        server = self.server
        assert isinstance(server, OpenAIServer)
        server.count(body)
        # A server that takes its time to answer; nothing waits for it to pass but the client.
        threading.Event().wait(server.delay)
        answer = json.dumps(
            {
                'id': 'chatcmpl-1',
                'object': 'chat.completion',
                'created': 1,
                'model': body['model'],
                'choices': [
                    {'index': 0, 'finish_reason': 'stop', 'message': {'role': 'assistant', 'content': 'fine'}},
                ],
                'usage': {'prompt_tokens': 10, 'completion_tokens': 2, 'total_tokens': 12},
            }
        ).encode()
        self.send_response(200)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class OpenAIServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, delay: float) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.delay = delay
        self.requests = 0
        self._lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that drop a connection are no fault of the server's.
        pass

    def count(self, body: dict[str, Any]) -> None:
        with self._lock:
            self.requests += 1

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}/v1'


@contextmanager
def openai_server(delay: float = 0.02) -> Generator[OpenAIServer]:
    server = OpenAIServer(delay)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
