"""JSON documents as compressed bytes."""

from __future__ import annotations

import json
import threading
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json
from zstandard import DICT_TYPE_RAWCONTENT, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

__all__ = ('pack', 'pack_json', 'to_document', 'unpack')

_PLAIN, _DICTIONARY_1 = b'\x00', b'\x01'
"""The first byte says how the rest was made. Documents that were once written must stay readable: never reuse one."""
_WORTHWHILE = 400
"""Bytes from which compressing saves more than it costs."""
MAX_DIGITS = 4_000
"""Digits of an integer up to which Python reads it whatever its settings; longer ones stay texts."""
_LEVEL = 3
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(',', ':'))
# What runs have in common, most frequent last, so that even a short one is much smaller than its JSON.
_WORDS_1 = (
    b'"usage_details":{},"cache_write_tokens":0,"cache_read_tokens":0,"output_reasoning_tokens":0,"input_audio_tokens":0'
    b',"cache_audio_read_tokens":0,"output_audio_tokens":0,"audio_seconds":0.0,"cost":null,"tool_calls":0,'
    b'"error_type":"","error_message":"","error_stacktrace":"Traceback (most recent call last):\\n  File \\"",'
    b'"votes":[{"judge":"","value":true,"passed":true,"reason":"The answer ","error":null,"model":"openai:gpt-",'
    b'"logfire.msg":"","logfire.json_schema":"{\\"type\\":\\"object\\",\\"properties\\":{}}","logfire.span_type":"span",'
    b'"gen_ai.operation.name":"chat","gen_ai.request.model":"","gen_ai.response.model":"","gen_ai.agent.name":"",'
    b'"gen_ai.usage.input_tokens":,"gen_ai.usage.output_tokens":,"gen_ai.tool.name":"","gen_ai.tool.call.id":"",'
    b'"gen_ai.conversation.id":"","pydantic_ai.all_messages":"","final_result":"","model_request_parameters":"",'
    b'"results":[{"name":"","value":true,"reason":null}],"failure":null,"detail":null,"judgement":null,'
    b'"inputs":"","output":"","expected_output":null,"metadata":null,"attributes":{},"metrics":{},"baggage":{},'
    b'"refused":{},"record_content":true,"new_message_index":0,"trace_flags":1,"usage":{"input_tokens":0,'
    b'"cache_write_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,"output_tokens":0,"details":{},"cost":null,'
    b'"requests":1,"tool_calls":0}},"messages":[{"parts":[{"content":"","timestamp":"2026-01-01T00:00:00.000000Z",'
    b'"name":null,"part_kind":"system-prompt"},{"dynamic_ref":null,"part_kind":"user-prompt"}],"instructions":null,'
    b'"kind":"request","run_id":"","conversation_id":"","metadata":null,"state":"complete"},{"parts":[{"content":"",'
    b'"id":null,"provider_name":null,"provider_details":null,"part_kind":"text"},{"tool_name":"","args":"{\\"',
    b'","tool_call_id":"call_","tool_kind":null,"part_kind":"tool-call"}],"usage":{"input_tokens":',
    b',"provider_url":null,"provider_details":null,"provider_response_id":null,"finish_reason":"stop","model_name":"gpt-',
    b'"kind":"response","outcome":"success","retry":null,"part_kind":"tool-return"}],"timestamp":"2026-',
)
_DICTIONARY = ZstdCompressionDict(b''.join(_WORDS_1), dict_type=DICT_TYPE_RAWCONTENT)
# What this returns is not declared in the package's types.
cast(Any, _DICTIONARY).precompute_compress(level=_LEVEL)


class _Coders(threading.local):
    """What compresses and reads in one thread: neither may be used by two at once, and both take long to make."""

    def __init__(self) -> None:
        self.compressor = ZstdCompressor(level=_LEVEL, dict_data=_DICTIONARY)
        self.decompressor = ZstdDecompressor(dict_data=_DICTIONARY)


_CODERS = _Coders()


def pack(document: bytes) -> bytes:
    """Compress a document."""
    if len(document) < _WORTHWHILE:
        return _PLAIN + document
    return _DICTIONARY_1 + _CODERS.compressor.compress(document)


def to_document(value: Any) -> bytes:
    """The JSON of a value that has one. Lone surrogates are kept."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        # It refuses lone surrogates, and is much faster.
        return _ENCODER.encode(value).encode(errors='surrogatepass')


def pack_json(value: Any) -> bytes:
    """Compress a value that has a JSON form."""
    return pack(to_document(value))


def unpack(data: bytes) -> Any:
    """The value that was packed."""
    kind, document = data[:1], data[1:]
    if kind != _PLAIN:
        document = _CODERS.decompressor.decompress(document)
    text = document.decode(errors='surrogatepass')
    try:
        return json.loads(text)
    except ValueError:
        # Whoever wrote a number may write more digits than Python reads.
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits
