"""An API that every judge passes: `python -m benchmarks.judge_server SECONDS` prints its port and answers that late."""

from __future__ import annotations

import asyncio
import json
import sys

from .child import start_module

__all__ = ('JudgeServer',)

_BODY = json.dumps(
    {
        'id': 'chatcmpl-1',
        'object': 'chat.completion',
        'created': 1,
        'model': 'gpt-4o',
        'choices': [
            {
                'index': 0,
                'finish_reason': 'tool_calls',
                'message': {
                    'role': 'assistant',
                    'content': None,
                    'tool_calls': [
                        {
                            'id': 'call_1',
                            'type': 'function',
                            'function': {
                                'name': 'final_result',
                                'arguments': '{"reason": "It says so.", "passes": true}',
                            },
                        }
                    ],
                },
            }
        ],
        'usage': {'prompt_tokens': 500, 'completion_tokens': 20, 'total_tokens': 520},
    }
).encode()
_ANSWER = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ' + str(len(_BODY)).encode() + b'\r\n\r\n'
) + _BODY
_END_OF_HEAD = b'\r\n\r\n'
_LENGTH = b'content-length:'


class JudgeServer:
    """The API in a process of its own, so that it takes no time from what is measured."""

    def __init__(self, seconds: float) -> None:
        self._process = start_module('judge_server', str(seconds))

    def __enter__(self) -> str:
        """Wait until it listens. Returns its base URL."""
        assert self._process.stdout is not None
        return f'http://127.0.0.1:{int(self._process.stdout.readline())}/v1'

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


class _Connection(asyncio.Protocol):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._received = b''

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_END_OF_HEAD)
        if end and len(body) >= _length(head):
            # A client sends the next request when it has the answer to this one.
            self._received = b''
            asyncio.get_running_loop().call_later(self._seconds, self._transport.write, _ANSWER)


def _length(head: bytes) -> int:
    return next(int(line[len(_LENGTH) :]) for line in head.lower().split(b'\r\n') if line.startswith(_LENGTH))


async def _serve(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(seconds), '127.0.0.1', 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == '__main__':
    asyncio.run(_serve(float(sys.argv[1])))
