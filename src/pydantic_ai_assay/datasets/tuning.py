"""Runs as examples for fine-tuning: what was said in good ones, and pairs of a better and a worse answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelRequest

from .case import correction_of
from .chat import ChatMessage, chat_of, require_pairs, tools_of
from .plain import plain, plain_json

if TYPE_CHECKING:
    from ..runs.record import RunRecord
    from ..store.rows import StoredRun

__all__ = ('Pairing', 'chat_example')


@dataclass(kw_only=True, frozen=True)
class _Dialogue:
    """A run in two parts."""

    prompt: list[ChatMessage]
    """All that came before the model's first answer in the run."""
    answer: list[ChatMessage]
    """What the model said and its tools answered, up to the last thing that the model said."""
    tools: list[dict[str, Any]]


def _dialogue_of(record: RunRecord, tools: Sequence[Any]) -> _Dialogue:
    new = record.new_messages
    first = next((index for index, each in enumerate(new) if not isinstance(each, ModelRequest)), len(new))
    instructions = [each.instructions for each in new if isinstance(each, ModelRequest) and each.instructions]
    answer = chat_of(new[first:])
    while answer and answer[-1]['role'] != 'assistant':
        answer.pop()
    before = [*record.messages[: record.new_message_index], *new[:first]]
    prompt = chat_of(before, instructions[-1] if instructions else None)
    require_pairs([*prompt, *answer])
    return _Dialogue(prompt=prompt, answer=answer, tools=plain(list(tools)) or tools_of(record))


def chat_example(record: RunRecord, tools: Sequence[Any]) -> dict[str, Any] | None:
    """What was said in a run as one example, or `None` where the model said nothing.

    What the model said in earlier runs of the conversation has the weight 0: it is context, and was not judged.

    Args:
        record: The run.
        tools: The tools that the model was offered. Without them, those in the run's spans.

    Raises:
        UnsupportedContentError: If it has no chat form.
    """
    dialogue = _dialogue_of(record, tools)
    if not dialogue.answer:
        return None
    context = [{**each, 'weight': 0} if each['role'] == 'assistant' else each for each in dialogue.prompt]
    example: dict[str, Any] = {'messages': plain([*context, *dialogue.answer])}
    if dialogue.tools:
        example['tools'] = dialogue.tools
    return example


@dataclass(kw_only=True)
class Pairing:
    """Puts answers to the same prompt together: the better with the worse."""

    correction: str
    """The name of the feedback that says what the answer should have been."""
    tools: Sequence[Any]
    _better: dict[str, list[ChatMessage]] = field(default_factory=dict[str, list[ChatMessage]])

    def prefer(self, stored: StoredRun) -> None:
        """Note a good answer. Of several to one prompt the latest is taken.

        Raises:
            UnsupportedContentError: If the run has no chat form.
        """
        dialogue = _dialogue_of(stored.record, self.tools)
        if dialogue.answer:
            self._better[plain_json(dialogue.prompt)] = dialogue.answer

    def pairs(self, stored: StoredRun) -> Iterator[dict[str, Any]]:
        """The pairs in which the answer of a run is the worse: with a correction, and with a good answer.

        Raises:
            UnsupportedContentError: If the run has no chat form.
        """
        dialogue = _dialogue_of(stored.record, self.tools)
        if not dialogue.answer:
            return
        for answer in self._better_than(dialogue, stored):
            shown: dict[str, Any] = {'messages': plain(dialogue.prompt)}
            if dialogue.tools:
                shown['tools'] = dialogue.tools
            yield {
                'input': shown,
                'preferred_output': plain(answer),
                'non_preferred_output': plain(dialogue.answer),
            }

    def _better_than(self, dialogue: _Dialogue, stored: StoredRun) -> Iterable[list[ChatMessage]]:
        corrected = correction_of(stored, self.correction)
        if corrected is not None:
            yield [{'role': 'assistant', 'content': corrected}]
        better = self._better.get(plain_json(dialogue.prompt))
        if better is not None and plain_json(better) != plain_json(dialogue.answer):
            yield better
