"""What was chosen for a run: the evaluators that may be shown it, with the settings that hold for them."""

from __future__ import annotations

from typing import Protocol

from ..fork import generation
from ..runs.record import RunRecord
from ..sampling.choice import Candidate
from ..settings import OnlineEvalConfig, ResultStore
from .attached import AttachedEvaluator
from .completion import Completion
from .evaluation import Evaluation
from .following import Follower
from .observation import Observation

__all__ = ('Chosen', 'Submission')


class Chosen:
    """The candidates of one `OnlineEvaluation` for one run, with the settings that hold for them."""

    __slots__ = (
        'blocked',
        'candidates',
        'config',
        'evaluators',
        'followers',
        'generation',
        'observation',
        'record_content',
        'store',
    )

    def __init__(
        self,
        config: OnlineEvalConfig,
        candidates: list[Candidate[AttachedEvaluator]],
        *,
        evaluators: object = None,
        record_content: bool = True,
        observation: Observation | None = None,
        completion: Completion | None = None,
        store: ResultStore | None = None,
    ) -> None:
        self.config = config
        self.candidates = candidates
        self.evaluators = evaluators
        """Those they were chosen from, by which an `OnlineEvaluation` knows its own."""
        self.blocked: dict[str, Evaluation] = {}
        """Evaluations that judged the output before the run returned it, by the evaluators' keys."""
        self.record_content = record_content
        self.store = store
        self.generation = generation()
        self.observation = observation
        self.followers: tuple[Follower, ...] = ()
        if observation is not None or completion is not None:
            self.followers = tuple(each for each in (observation, completion) if each is not None)


class Submission(Protocol):
    """A finished run on its way in: its record is made when the run has returned."""

    run_id: str
    target: str
    chosen: list[Chosen]

    def record(self) -> RunRecord:
        """Make the run's record."""
        ...

    def discard(self) -> None:
        """Let go of what was captured of the run."""
        ...
