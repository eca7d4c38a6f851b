"""What is judged: one output, with what led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry.trace import SpanContext
from pydantic_ai.messages import ModelMessage
from pydantic_evals.evaluators import EvaluatorContext
from pydantic_evals.otel import SpanTree, SpanTreeRecordingError

from ..errors import ConfigurationError
from ..runs.context import OnlineEvaluatorContext

__all__ = ('MISSING', 'JudgeCase', 'Missing')


KEYS = frozenset(('input', 'output', 'reference', 'messages', 'name'))
"""What a case that is given as a mapping may have."""


class Missing:
    """What stands where nothing was given: `None` can be an input, an output and a reference."""

    def __repr__(self) -> str:
        return 'MISSING'


MISSING = Missing()


@dataclass(kw_only=True, frozen=True, eq=False)
class JudgeCase:
    """One output to judge, with what led to it."""

    output: Any
    """What is judged."""
    input: Any = MISSING
    """The prompt or the arguments that it answers."""
    reference: Any = MISSING
    """What the output should have been, where that is known."""
    messages: tuple[ModelMessage, ...] = ()
    """The messages of the whole conversation, as far as they are known."""
    new_message_index: int = 0
    """Index in `messages` of the first message of the run that is judged."""
    name: str | None = None
    """What the case is called in reports."""
    run_id: str | None = None
    """The run that is judged, if it is one: what a `Cascade` draws by."""
    span_context: SpanContext | None = None
    """The span of the run that is judged, which the judge's spans link to."""
    context: EvaluatorContext[Any, Any, Any] | None = None
    """The evaluator's context, which knows the spans of nested agents."""

    @classmethod
    def of(cls, ctx: EvaluatorContext[Any, Any, Any]) -> JudgeCase:
        """The case of an evaluator's context, whether it is that of an online run or of `Dataset.evaluate`."""
        run = ctx.run if isinstance(ctx, OnlineEvaluatorContext) else None
        return cls(
            output=ctx.output,
            input=ctx.inputs,
            # `EvaluatorContext` has `None` for a case without one.
            reference=MISSING if ctx.expected_output is None else ctx.expected_output,
            messages=() if run is None else run.messages,
            new_message_index=0 if run is None else run.new_message_index,
            name=ctx.name,
            run_id=None if run is None else run.run_id,
            span_context=None if run is None else run.span_context,
            context=ctx,
        )

    @classmethod
    def from_values(cls, values: object) -> JudgeCase:
        """Make a case from what a caller of `judge_many` has: a `JudgeCase`, or a mapping with `output` and more.

        Raises:
            ConfigurationError: If it is neither, has no output, or has a key that no case has.
        """
        if isinstance(values, JudgeCase):
            return values
        shown: object = values
        given = dict(cast('Mapping[str, Any]', values)) if isinstance(values, Mapping) else None
        if given is None or not KEYS.issuperset(given):
            raise ConfigurationError(
                f'A case to judge must be a JudgeCase or a mapping with {", ".join(sorted(KEYS))}, got {_shown(shown)}.'
            )
        if 'output' not in given:
            raise ConfigurationError(f'A case to judge must have an output, got {_shown(shown)}.')
        return cls(**given)

    def span_tree(self) -> SpanTree | None:
        """The spans of the run, or `None` where they were not recorded."""
        if self.context is None:
            return None
        try:
            return self.context.span_tree
        except SpanTreeRecordingError:
            return None


def _shown(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 200 else f'{text[:200]}… [{len(text) - 200} characters left out]'
