"""What was said and done in a run, and in the turns before it, as lines of JSON that nothing in them can break."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    FilePart,
    ModelMessage,
    ModelRequest,
    SpeechPart,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_evals.otel import SpanNode, SpanTree

from .case import MISSING, JudgeCase
from .excerpt import Excerpt, both_ends, encode

__all__ = ('Entry', 'Transcript', 'write_entries')

OUTPUT_TOOL_RESULT = 'Final result processed.'
"""What a run answers its model when that calls the tool that gives the output."""
SHARE = 8
"""One entry gets at most this part of its section's characters."""
MIN_LINE = 150
"""Characters that one entry gets whatever its section has."""
MAX_NAME = 100
"""Characters of the name of an agent or a tool."""

Nested = Mapping[str | None, Sequence[SpanNode]]
"""The spans of agents by the id of the tool call they ran in."""


@dataclass(frozen=True)
class Entry:
    """Something that was said or done, not yet written."""

    what: str
    """Who spoke, or what happened."""
    value: Any
    """What was said: arguments, a result, a text."""
    tool: str | None = None
    """The tool that it concerns."""
    agent: str | None = None
    """The nested agent it happened in."""


class Transcript:
    """The messages of a case, parted into the turns before and the turn that is judged."""

    def __init__(self, case: JudgeCase) -> None:
        self._messages = case.messages
        self._start = _start_of_turn(case)
        self._output = case.output
        self._tree: Callable[[], SpanTree | None] = case.span_tree

    @property
    def prompt(self) -> Any:
        """The prompt of the turn that is judged, or `MISSING`."""
        for message in self._messages[self._start :]:
            for part in message.parts:
                if isinstance(part, UserPromptPart):
                    return part.content
        return MISSING

    def earlier(self, *, with_tools: bool) -> list[Entry]:
        """What was said in the turns before."""
        return list(_entries(self._messages[: self._start], {}, None, with_tools=with_tools))

    def system_prompts(self) -> list[str]:
        """The system prompts and instructions that the model of the turn that is judged saw, each once.

        A model sees the system prompts of the turns before as well, and no instructions but those of its own turn.
        """
        requests = [message for message in self._messages if isinstance(message, ModelRequest)]
        prompts = [part.content for each in requests for part in each.parts if isinstance(part, SystemPromptPart)]
        own = [each.instructions for each in self._messages[self._start :] if isinstance(each, ModelRequest)]
        if not own:
            # All that is known of the turn is what came before it.
            own = [each.instructions for each in requests if each.instructions][-1:]
        return list(dict.fromkeys(text for text in [*prompts, *own] if text))

    def steps(self) -> list[Entry]:
        """What was done between the prompt and the output, by nested agents too."""
        tree = self._tree()
        roots = [] if tree is None else tree.roots
        own = self._messages[self._start :]
        if not own:
            # A case of a dataset: all that is known of what was done is its spans.
            return [entry for root in roots for node in _agents(root) for entry in _entries_of_span(node)]
        nested = _by_call(child for root in roots for node in _agents(root) for child in node.children)
        entries = [*_entries(own, nested, None, with_tools=True)]
        return _without_ends(entries, self._output)


def write_entries(entries: Sequence[Entry], excerpt: Excerpt) -> str:
    """Write entries, the first and the last ones if there are too many."""
    most = max(excerpt.limit // SHARE, MIN_LINE)
    lines = both_ends(
        entries,
        excerpt.limit,
        1,
        lambda entry, room: _line(entry, excerpt, min(room, most)),
        lambda count: excerpt.left_out(count, 'entries'),
    )
    # So many characters are enough for the mark.
    assert lines is not None
    return '\n'.join(lines)


def _line(entry: Entry, excerpt: Excerpt, room: int) -> str | None:
    value = entry.value
    if entry.what in ('user', 'assistant') and not isinstance(value, str):
        value = '\n'.join(excerpt.prompt_texts(value))
    about = {'agent': entry.agent, 'tool': entry.tool}
    names = {key: encode(excerpt.cut(name, MAX_NAME)) for key, name in about.items() if name is not None}
    start = ''.join(f'"{key}": {name}, ' for key, name in names.items())
    start = f'{{{start}{encode(excerpt.cut(entry.what, MAX_NAME))}: '
    written = excerpt.json(value, room - len(start) - 1)
    return None if written is None else f'{start}{written}}}'


def _entries(
    messages: Sequence[ModelMessage], nested: Nested, agent: str | None, *, with_tools: bool
) -> Iterator[Entry]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                yield Entry('user', part.content, agent=agent)
            elif isinstance(part, TextPart):
                yield Entry('assistant', part.content, agent=agent)
            elif isinstance(part, SpeechPart):
                yield Entry(part.speaker, part.content, agent=agent)
            elif isinstance(part, FilePart):
                yield Entry('assistant', part.content, agent=agent)
            elif with_tools:
                yield from _tool_entries(part, nested, agent)


def _tool_entries(part: object, nested: Nested, agent: str | None) -> Iterator[Entry]:
    if isinstance(part, BaseToolCallPart):
        call = cast('BaseToolCallPart[Any]', part)
        yield Entry('call', _arguments(call.args), call.tool_name, agent)
        for node in nested.get(call.tool_call_id, ()):
            yield from _entries_of_span(node)
    elif isinstance(part, BaseToolReturnPart):
        returned = cast('BaseToolReturnPart[Any]', part)
        what = 'result' if returned.outcome == 'success' else f'{returned.outcome} result'
        yield Entry(what, returned.content, returned.tool_name, agent)
    elif getattr(part, 'part_kind', None) in ('retry-prompt', 'retry-feedback'):
        yield Entry('asked to try again', getattr(part, 'content', None), getattr(part, 'tool_name', None), agent)


def _arguments(arguments: object) -> Any:
    return _parsed(arguments) if isinstance(arguments, str) else arguments


def _parsed(text: str, limit: int = 100_000) -> Any:
    """The value of a JSON text; the text itself if it is none, or takes long to read."""
    if len(text) > limit:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # What is judged must not end the judging, by being nested more deeply than can be read.
        return text


def _without_ends(entries: list[Entry], output: object) -> list[Entry]:
    """The entries without the prompt at their beginning and the output at their end, which have sections of their own."""
    if entries and entries[0].what == 'user':
        del entries[0]
    if len(entries) > 1 and (entries[-2].what, entries[-1].value) == ('call', OUTPUT_TOOL_RESULT):
        del entries[-2:]
    elif entries and isinstance(output, str) and (entries[-1].what, entries[-1].value) == ('assistant', output):
        del entries[-1]
    return entries


def _start_of_turn(case: JudgeCase) -> int:
    """Index of the first message of the turn that is judged."""
    messages = case.messages
    if case.new_message_index or case.context is not None:
        return case.new_message_index
    # A conversation that somebody passed: the turn begins with the last prompt, unless that is not the one given.
    for index in range(len(messages) - 1, -1, -1):
        for part in messages[index].parts:
            if isinstance(part, UserPromptPart):
                return index if case.input is MISSING or part.content == case.input else len(messages)
    return 0


def _agents(node: SpanNode) -> Iterator[SpanNode]:
    """The nearest spans of agent runs, from a span downwards."""
    if node.attributes.get('gen_ai.operation.name') == 'invoke_agent' or 'pydantic_ai.all_messages' in node.attributes:
        yield node
    else:
        for child in node.children:
            yield from _agents(child)


def _by_call(nodes: Iterator[SpanNode]) -> Nested:
    """The agents that ran below spans, by the tool call they ran in."""
    found: dict[str | None, list[SpanNode]] = {}
    for node in nodes:
        call_id = node.attributes.get('gen_ai.tool.call.id')
        found.setdefault(cast('str | None', call_id), []).extend(_agents(node))
    return found


def _entries_of_span(node: SpanNode) -> Iterator[Entry]:
    """What an agent's span says of its messages."""
    agent = str(node.attributes.get('gen_ai.agent.name', 'agent'))
    text = str(node.attributes.get('pydantic_ai.all_messages', ''))
    messages = _parsed(text)
    if not isinstance(messages, list):
        # Shortened by the limit for attributes of spans.
        yield Entry('messages', messages, agent=agent)
        return
    nested = _by_call(iter(node.children))
    for message in cast('list[dict[str, Any]]', messages):
        for part in message.get('parts', ()):
            yield from _entries_of_data(message.get('role'), part, nested, agent)


def _entries_of_data(role: object, part: dict[str, Any], nested: Nested, agent: str) -> Iterator[Entry]:
    kind = part.get('type')
    if kind == 'tool_call':
        yield Entry('call', part.get('arguments'), part.get('name'), agent)
        for node in nested.get(part.get('id'), ()):
            yield from _entries_of_span(node)
    elif kind == 'tool_call_response':
        yield Entry('result', part.get('result'), part.get('name'), agent)
    elif kind == 'text' and role != 'system':
        yield Entry(str(role), str(part.get('content', '')), agent=agent)
