"""Which evaluators judge a finished run, each once, with what probability; and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..budget import Admission
from ..delivery.counters import Counters
from ..delivery.notices import Notices
from ..errors import describe
from ..runs.active import ActiveRun
from ..runs.outcome import EvaluationStatus
from ..runs.record import RunRecord
from ..sampling.choice import Candidate, choose_after_run
from ..settings import OnlineEvalConfig, ResultStore
from .attached import AttachedEvaluator
from .chosen import Chosen
from .following import Follower

__all__ = ('Selected', 'Selection')


@dataclass(kw_only=True, frozen=True, slots=True)
class Selected:
    """An evaluator that is to judge a run."""

    attached: AttachedEvaluator
    part: Chosen
    """What it was chosen with."""
    probability: float
    """The probability with which it was chosen."""
    draw: float
    """The draw that decided it."""
    admission: Admission | None = None
    """Its share of a budget, where it has one."""


class Selection:
    """Decides which evaluators judge a run, and counts those that do not."""

    def __init__(self, counters: Counters, notices: Notices) -> None:
        self._counters = counters
        self._notices = notices

    def select(self, parts: Iterable[Chosen], run: RunRecord) -> list[Selected]:
        """The evaluators that are to judge a finished run, each once, with their probability.

        Where one is attached more than once, its draw is the same each time, so the greatest probability is the true one.
        Where `sampling_mode` or `sample_by` differ it is not, and the user is told.
        """
        selected: dict[str, Selected] = {}
        passed_over: dict[str, tuple[AttachedEvaluator, EvaluationStatus, Chosen]] = {}
        for part in parts:
            for candidate in part.candidates:
                attached = candidate.attached
                status, found = self._decide(part, candidate, run)
                if found is None:
                    passed_over[attached.key] = (attached, status, part)
                    continue
                before = selected.setdefault(attached.key, found)
                self._check_draws(before, found)
                if before.probability < found.probability:
                    selected[attached.key] = replace(before, probability=found.probability)
        for key, (attached, status, part) in passed_over.items():
            if key not in selected:
                self.pass_over(attached, status, run.target, part.followers, part.store)
        within = [self._within_budget(each, run) for each in selected.values()]
        return [each for each in within if each is not None]

    def _decide(
        self, part: Chosen, candidate: Candidate[AttachedEvaluator], run: RunRecord
    ) -> tuple[EvaluationStatus, Selected | None]:
        attached = candidate.attached
        if attached.key in part.blocked:
            # It has judged the output by now.
            return 'scored', Selected(attached=attached, part=part, probability=candidate.rate, draw=candidate.draw)
        verdict = choose_after_run(candidate, run)
        if verdict.error is not None:
            self.sampling_failed(attached, part.config, verdict.error)
        if verdict.status != 'chosen':
            return verdict.status, None
        return 'scored', Selected(attached=attached, part=part, probability=verdict.probability, draw=candidate.draw)

    def _check_draws(self, before: Selected, found: Selected) -> None:
        # Where one of them is certain, so is the evaluator.
        if before.draw != found.draw and max(before.probability, found.probability) < 1.0:
            self._notices.warn(
                f'draws:{found.attached.key}',
                f'{found.attached.name} is attached more than once with another sampling_mode or sample_by, so that it '
                'judges more runs than the recorded probability says. Give both the same.',
            )

    def _within_budget(self, selected: Selected, run: RunRecord) -> Selected | None:
        attached, part = selected.attached, selected.part
        budget = attached.settings.budget or part.config.budget
        if budget is None or attached.settings.mode == 'block':
            return selected
        admission = budget.admit(selected.probability, selected.draw)
        if admission is None:
            self.pass_over(attached, 'over_budget', run.target, part.followers, part.store)
            return None
        return replace(selected, probability=admission.probability, admission=admission)

    def have_nowhere_to_report(self, attached: AttachedEvaluator, target: str) -> None:
        """Count an evaluator that would judge a run for nobody."""
        self._counters.count('skipped', attached.name, target)

    def pass_over(
        self,
        attached: AttachedEvaluator,
        status: EvaluationStatus,
        target: str,
        followers: Iterable[Follower],
        store: ResultStore | None,
    ) -> None:
        """Count an evaluator that is not shown a run."""
        self._counters.count(status, attached.name, target)
        if store is not None:
            identity = attached.known_identity
            try:
                store.count(status, attached.name, None if identity is None else identity.fingerprint, target)
            except Exception as error:
                self._notices.warn('count', f'A store did not count what is {status}: it raised {describe(error)}.')
        for follower in followers:
            follower.pass_over(attached.name, status)

    def sampling_failed(
        self,
        attached: AttachedEvaluator,
        config: OnlineEvalConfig,
        error: Exception,
        *,
        active: ActiveRun | None = None,
    ) -> None:
        """Tell of a `sample_rate` or `when` that raised.

        Args:
            attached: The evaluator.
            config: The settings it was attached with.
            error: What was raised.
            active: The run, where it is about to start: its output is yet to come, and may have to wait for the evaluator.
        """
        if active is not None and attached.settings.mode == 'block':
            active.unasked = [*(active.unasked or ()), (attached, error)]
        handler = attached.settings.on_sampling_error or config.on_sampling_error
        message = f'Sampling for {attached.name} raised {describe(error)}; the run is not evaluated.'
        if handler is not None:
            try:
                handler(error, attached.evaluator)
            except Exception as second:
                message += f' And `on_sampling_error` raised {describe(second)}.'
            else:
                return
        self._notices.warn(f'sampling:{attached.key}', message)
