"""What is decided when a run starts in a workflow: recorded by the engine, so that a replay does not decide anew."""

# Annotations are no text here: in the sandbox of a workflow there may be no module to look their names up in.

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..execution.attached import AttachedEvaluator
from ..execution.chosen import Chosen
from ..runs.clock import TIMEKEEPER
from ..sampling.choice import Candidate

__all__ = ('DurableStart', 'Assignment')


@dataclass(kw_only=True)
class Assignment:
    """An evaluator that may be shown a run, by name and fingerprint, with what was drawn for it."""

    key: str
    rate: float
    draw: float
    cap: float = 1.0

    @classmethod
    def of(cls, candidate: Candidate[AttachedEvaluator]) -> 'Assignment':
        """Write a candidate down."""
        return cls(key=candidate.attached.key, rate=candidate.rate, draw=candidate.draw, cap=candidate.cap)

    @property
    def name(self) -> str:
        """The evaluator's name."""
        return self.key.rpartition(':')[0] or self.key

    def candidate(self, attached: AttachedEvaluator) -> Candidate[AttachedEvaluator]:
        """The candidate that was written down."""
        return Candidate(attached, self.rate, self.draw, self.cap)


def _now() -> datetime:
    return datetime.fromtimestamp(TIMEKEEPER.clock.time(), UTC)


@dataclass(kw_only=True)
class DurableStart:
    """A run's start."""

    started_at: datetime = field(default_factory=_now)
    assignments: list[Assignment] = field(default_factory=list[Assignment])
    record_content: bool = True
    """Whether prompts, outputs and reasons may go into events and stores."""

    @classmethod
    def of(cls, chosen: Chosen | None) -> 'DurableStart':
        """Write down what was chosen, now."""
        if chosen is None:
            return cls()
        assignments = [Assignment.of(each) for each in chosen.candidates]
        return cls(assignments=assignments, record_content=chosen.record_content)
