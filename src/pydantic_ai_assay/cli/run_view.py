"""A run as a page of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from .message_view import said_in, text_of
from .outcome_view import shown_value, verdict_of, why
from .run_document import error_of
from .shown import counted, shown_cost, shown_moment, shown_seconds, shown_share
from .span_lines import span_lines
from .terminal import console, one_line, printable_lines

if TYPE_CHECKING:
    from ..store.rows import Feedback, StoredOutcome, StoredRun

__all__ = ('RunView',)

MAX_TEXT = 2_000
"""Characters of one part of a conversation, or of one reason."""
_RULE = '│ '
"""Stands before each line that somebody else wrote, so that none can be taken for one of ours."""


class RunView:
    """Prints a run."""

    def __init__(self, stored: StoredRun, *, has_history: bool = False, is_full: bool = False) -> None:
        self._stored = stored
        self._has_history = has_history
        self._limit = None if is_full else MAX_TEXT
        self._console = console()

    def print(self) -> None:
        """Print what is known of it."""
        stored = self._stored
        for name, value in self._facts():
            self._console.print(Text(f'{name:<14}', 'dim') + Text(value), soft_wrap=True)
        self._conversation()
        if stored.outcomes:
            self._heading('Outcomes')
        for each in stored.outcomes:
            self._outcome(each)
        if stored.feedback:
            self._heading('Feedback')
        for each in stored.feedback:
            self._feedback(each)
        if lines := list(span_lines(stored.record)):
            self._heading('Spans')
            self._quote('\n'.join(lines), whole=True)
        if stored.refused:
            self._heading('Not kept')
        for name, reason in stored.refused.items():
            self._console.print(Text(one_line(f'{name}: {reason}', 200)))

    def _facts(self) -> Iterator[tuple[str, str]]:
        run, error = self._stored.summary, error_of(self._stored)
        yield 'run', one_line(run.run_id, 200)
        yield 'agent', one_line(' > '.join(run.agent_path) or run.target, 200)
        yield (
            'ended',
            run.outcome if error is None else one_line(f'{run.outcome}: {error}', 500),
        )
        yield 'started', f'{shown_moment(run.started_at, seconds=True)} UTC, took {shown_seconds(run.duration)}'
        used = f'{counted(run.requests, "request")}, {run.input_tokens:,} tokens in, {run.output_tokens:,} out'
        yield 'used', f'{used}, {shown_cost(run.cost)}' if run.cost else used
        optional = {
            'model': run.model_name,
            'variant': run.variant,
            'conversation': run.conversation_id,
            'parent run': run.parent_run_id,
            'tags': ', '.join(self._stored.tags),
            'trace': None if run.span is None else run.span.trace_id,
        }
        for name, value in optional.items():
            if value:
                yield name, one_line(value, 200)

    def _conversation(self) -> None:
        record = self._stored.record
        self._heading('Conversation')
        earlier = 0 if self._has_history else record.new_message_index
        if earlier:
            self._console.print(f'{counted(earlier, "earlier message")}: --history shows all', style='dim')
        messages = list(said_in(record.messages[earlier:]))
        if not record.messages:
            messages = [('input', text_of(record.inputs))]
            messages += [('output', text_of(record.output))] if record.error is None else []
        if not record.record_content:
            self._console.print('Content was not recorded.')
            return
        for who, text in messages:
            self._console.print(Text(one_line(who), 'bold'))
            self._quote(text)

    def _outcome(self, stored: StoredOutcome) -> None:
        outcome = stored.outcome
        verdict = verdict_of(outcome)
        line = Text(f'{one_line(outcome.evaluator)}  ', 'bold')
        line.append(verdict, 'red' if outcome.passed is False or outcome.failure is not None else 'green')
        facts = [shown_seconds(outcome.duration)]
        if outcome.probability < 1:
            facts.append(f'sampled at {outcome.probability:.3g}')
        if outcome.attempts > 1:
            facts.append(f'{outcome.attempts} attempts')
        if stored.series:
            facts.append(f'judged later: {one_line(stored.series)}')
        line.append(f'  {", ".join(facts)}', 'dim')
        self._console.print(line, soft_wrap=True)
        if reason := why(outcome):
            self._quote(reason)
        judgement = outcome.judgement
        if judgement is None:
            return
        cost = f', {shown_cost(float(judgement.cost))}' if judgement.cost else ''
        agree = '' if judgement.agreement is None else f', agreement {shown_share(judgement.agreement)}'
        self._console.print(f'  {counted(len(judgement.votes), "vote")}{agree}{cost}', style='dim')
        for vote in judgement.votes if len(judgement.votes) > 1 else ():
            said = shown_value(vote.value) if vote.error is None else one_line(vote.error)
            self._console.print(Text(f'  {one_line(vote.judge)}: {said}  {one_line(vote.reason or "", 120)}'.rstrip()))

    def _feedback(self, feedback: Feedback) -> None:
        by = '' if feedback.by is None else f' by {one_line(feedback.by)}'
        line = f'{one_line(feedback.name)}  {shown_value(feedback.value)}  {shown_moment(feedback.at)} UTC{by}'
        self._console.print(Text(line), soft_wrap=True)
        if feedback.comment:
            self._quote(feedback.comment)

    def _heading(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, 'bold underline'))

    def _quote(self, text: str, *, whole: bool = False) -> None:
        width = max(20, self._console.width - len(_RULE))
        for line in printable_lines(text, None if whole else self._limit):
            for part in Text(line).wrap(self._console, width) or [Text()]:
                part.rstrip()
                self._console.print(Text(_RULE.rstrip() if not part.plain else _RULE, 'dim') + part, soft_wrap=True)
