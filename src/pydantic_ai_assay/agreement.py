"""How well an evaluator agrees with people, from the outcomes and the feedback in a store."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from .analysis import (
    Agreement,
    Corrected,
    Estimate,
    EvaluatorIdentity,
    Moments,
    agreement,
    corrected_mean,
    corrected_rate,
    position_consistency,
    self_consistency,
)
from .errors import ConfigurationError
from .known_store import known_store
from .reports.known import require_evaluator, require_feedback
from .reports.names import require_known
from .runs.outcome import EvaluationOutcome
from .stored_runs import each_run, unless_gone, up_to_now

if TYPE_CHECKING:
    from .store.rows import Feedback, FeedbackValue, StoredOutcome
    from .store.run_filter import RunFilter
    from .store.store import Store

__all__ = ('JudgeAgreement', 'LabelledRun', 'judge_agreement')

LabelKind = Literal['pass', 'number', 'label']
"""What is compared: whether a run passes, a score, or a label."""

_CHOOSING = ('evaluator', 'fingerprint', 'passed', 'status', 'feedback', 'min_feedback', 'max_feedback')
"""Conditions that would choose runs by what is to be compared."""


@dataclass(kw_only=True, frozen=True)
class LabelledRun:
    """A run that both an evaluator and a person have judged."""

    run_id: str
    label: FeedbackValue
    """What the person said."""
    verdict: FeedbackValue
    """What the evaluator said."""
    probability: float
    """The probability with which the evaluator was asked."""
    by: str | None
    """Who the person was."""

    @property
    def agrees(self) -> bool:
        """Whether both said the same."""
        return self.label == self.verdict


@dataclass(kw_only=True, frozen=True)
class JudgeAgreement:
    """How well one evaluator, in one fingerprint, agrees with people."""

    evaluator: EvaluatorIdentity
    series: str
    """The re-judging of stored runs that the verdicts belong to; empty for what was judged online."""
    feedback: str
    """The name of the feedback that is the label."""
    kind: LabelKind
    """What is compared."""
    runs: tuple[LabelledRun, ...] = field(repr=False)
    """The runs that both have judged."""
    judged: int
    """How many runs have a verdict, labelled or not."""
    without_verdict: int
    """How many evaluations ended without a verdict of this kind: failed, timed out, dropped, or with another one."""
    agreement: Agreement
    """Of verdicts and labels."""
    corrected: Corrected | None
    """The rate, or the mean score, that people would have given to all judged runs, next to the evaluator's own. `None`
    for labels without `positive`."""
    self_consistency: Estimate
    """How probable it is that two votes of one judge about the same run are the same. Without a value where each judge
    voted once."""
    position_consistency: Estimate | None = None
    """The share of runs with the same verdict in both orders, where `swapped` was given."""

    @property
    def disagreements(self) -> tuple[LabelledRun, ...]:
        """The runs of which the two said different things: those to read."""
        return tuple(run for run in self.runs if not run.agrees)


def judge_agreement(
    evaluator: str,
    feedback: str,
    *,
    store: Store | str | None = None,
    where: RunFilter | None = None,
    series: str | None = None,
    result: str | None = None,
    by: str | None = None,
    threshold: float | None = None,
    positive: str | None = None,
    swapped: str | None = None,
    level: float = 0.95,
) -> tuple[JudgeAgreement, ...]:
    """Compare what an evaluator said of stored runs with what people said of the same runs.

    Where somebody, or several people, said something of a run more than once, the latest counts. The corrected number takes
    the labelled runs for a random sample of the judged ones: choose by chance which runs people are shown.

    Args:
        evaluator: The evaluator's name.
        feedback: The name of the feedback.
        store: The store or its URL. Default: that of `configure(store=...)`, else of `ASSAY_STORE`.
        where: Which runs, such as those of one agent or of one week.
        series: Only this re-judging; empty for what was judged online. Default: each by itself.
        result: Which of the evaluator's results is the verdict, by its name. Default: the first that is of the kind of
            the feedback; for thumbs, whether the run passed.
        by: Only what this person said.
        threshold: The least score that is a pass, so that scores can be compared with thumbs.
        positive: The label that is a pass, where feedback and verdicts are labels.
        swapped: The name of an evaluator that judged the same runs with two answers in the other order, by the same
            labels.
        level: The level of the intervals.

    Returns:
        One for each fingerprint and series: they are different judges. Those first seen come first.

    Raises:
        ConfigurationError: If an argument cannot work, or the two cannot be compared.
        UnknownNameError: If there is no such evaluator, feedback or result.
        MissingExtraError: If the extras `store` or `analysis` are not installed.
        StoreError: If the store cannot be read.
    """
    for name in _CHOOSING:
        if getattr(where, name, None) is not None:
            raise ConfigurationError(
                f'where must not choose runs by verdicts or feedback, which are compared, got {name}={getattr(where, name)!r}.'
            )
    kept_in = known_store(store)
    require_evaluator(kept_in, evaluator)
    require_feedback(kept_in, feedback)
    chosen = replace(up_to_now(where), evaluator=evaluator)
    labels = _labels(kept_in, replace(chosen, feedback=feedback), feedback, by)
    judged = _judged(kept_in, chosen, evaluator, series)
    others: dict[str, EvaluationOutcome] = {}
    if swapped is not None:
        require_evaluator(kept_in, swapped)
        found = _judged(kept_in, replace(chosen, evaluator=swapped), swapped, series)
        others = {run_id: outcome for group in found.values() for run_id, outcome in group.items()}
    if result is not None:
        names = (each.name for group in judged.values() for outcome in group.values() for each in outcome.results)
        require_known('result', result, names)
    asked = _Asked(feedback=feedback, result=result, threshold=threshold, positive=positive, level=level)
    return tuple(
        _compared(asked, of_series, group, labels, others if swapped is not None else None)
        for (_, of_series), group in judged.items()
    )


@dataclass(kw_only=True, frozen=True)
class _Asked:
    feedback: str
    result: str | None
    threshold: float | None
    positive: str | None
    level: float


_Groups = dict[tuple[str | None, str], dict[str, EvaluationOutcome]]
"""Outcomes by fingerprint and series, and then by run."""


def _labels(store: Store, where: RunFilter, name: str, by: str | None) -> dict[str, Feedback]:
    """The latest feedback of a name on each run."""
    labels: dict[str, Feedback] = {}
    for summary in each_run(store, where):
        run = unless_gone(store.run, summary.run_id)
        for said in sorted(() if run is None else run.feedback, key=lambda each: each.at):
            if said.name == name and by in (None, said.by):
                labels[summary.run_id] = said
    return labels


def _judged(store: Store, where: RunFilter, evaluator: str, series: str | None) -> _Groups:
    groups: _Groups = {}
    for summary in each_run(store, where):
        found: Sequence[StoredOutcome] = unless_gone(store.outcomes, summary.run_id) or ()
        for each in found:
            if each.outcome.evaluator == evaluator and series in (None, each.series):
                group = groups.setdefault((each.outcome.fingerprint, each.series), {})
                group[summary.run_id] = each.outcome
    return groups


def _compared(
    asked: _Asked,
    series: str,
    outcomes: Mapping[str, EvaluationOutcome],
    labels: Mapping[str, Feedback],
    others: Mapping[str, EvaluationOutcome] | None,
) -> JudgeAgreement:
    last = list(outcomes.values())[-1]
    said = {run_id: labels[run_id].value for run_id in outcomes if run_id in labels}
    kind = _kind_of(asked, list(said.values()), list(outcomes.values()))
    verdicts = _verdicts(asked, kind, outcomes)
    runs = tuple(
        LabelledRun(
            run_id=run_id,
            label=_label(asked, kind, value),
            verdict=verdicts[run_id],
            probability=outcomes[run_id].probability,
            by=labels[run_id].by,
        )
        for run_id, value in said.items()
        if run_id in verdicts
    )
    swapped = None
    if others is not None:
        there = _verdicts(asked, kind, others)
        both = [run_id for run_id in verdicts if run_id in there]
        swapped = position_consistency(
            [verdicts[i] for i in both],
            [there[i] for i in both],
            probabilities=[outcomes[i].probability for i in both],
            level=asked.level,
        )
    return JudgeAgreement(
        evaluator=EvaluatorIdentity(name=last.evaluator, version=last.evaluator_version, fingerprint=last.fingerprint),
        series=series,
        feedback=asked.feedback,
        kind=kind,
        runs=runs,
        judged=len(verdicts),
        without_verdict=len(outcomes) - len(verdicts),
        agreement=agreement(
            [run.label for run in runs],
            [run.verdict for run in runs],
            probabilities=[run.probability for run in runs],
            positive=True if kind == 'pass' else asked.positive,
            disagreement='quadratic' if kind == 'number' else 'nominal',
            level=asked.level,
        ),
        corrected=_corrected(asked, kind, runs, verdicts, outcomes),
        self_consistency=_self_consistency(asked, outcomes),
        position_consistency=swapped,
    )


def _kind_of(asked: _Asked, labels: Sequence[FeedbackValue], outcomes: Sequence[EvaluationOutcome]) -> LabelKind:
    kinds: set[LabelKind] = {
        'pass' if isinstance(label, bool) else 'label' if isinstance(label, str) else 'number' for label in labels
    }
    if len(kinds - {'pass', 'number'}) and len(kinds) > 1:
        raise ConfigurationError(f'Feedback {asked.feedback!r} is both numbers and texts, which cannot be compared.')
    if kinds == {'label'}:
        return 'label'
    if kinds != {'number'} or asked.threshold is not None:
        return 'pass'
    if any(_verdict(asked, 'number', outcome) is not None for outcome in outcomes):
        return 'number'
    if all(label in (0, 1) for label in labels):
        return 'pass'
    raise ConfigurationError(
        f'Feedback {asked.feedback!r} is a score and the verdict is none: say with threshold which score is a pass.'
    )


def _label(asked: _Asked, kind: LabelKind, value: FeedbackValue) -> FeedbackValue:
    if kind != 'pass' or isinstance(value, bool | str):
        return value
    if asked.threshold is None and value not in (0, 1):
        raise ConfigurationError(
            f'Feedback {asked.feedback!r} is both thumbs and scores: say with threshold which score is a pass.'
        )
    return value >= (1 if asked.threshold is None else asked.threshold)


def _verdicts(
    asked: _Asked, kind: LabelKind, outcomes: Mapping[str, EvaluationOutcome]
) -> dict[str, bool | int | float | str]:
    read = {run_id: _verdict(asked, kind, outcome) for run_id, outcome in outcomes.items()}
    return {run_id: verdict for run_id, verdict in read.items() if verdict is not None}


def _verdict(asked: _Asked, kind: LabelKind, outcome: EvaluationOutcome) -> bool | int | float | str | None:
    if kind == 'pass' and asked.result is None and outcome.passed is not None:
        return outcome.passed
    for each in outcome.results:
        value = each.value
        if asked.result not in (None, each.name):
            continue
        if isinstance(value, str):
            if kind == 'label':
                return value
        elif isinstance(value, bool):
            if kind == 'pass':
                return value
        elif kind == 'number':
            return value
        elif kind == 'pass' and asked.threshold is not None:
            return value >= asked.threshold
    return None


def _self_consistency(asked: _Asked, outcomes: Mapping[str, EvaluationOutcome]) -> Estimate:
    votes = [(outcome, of_judge) for outcome in outcomes.values() for of_judge in _votes(outcome)]
    return self_consistency(
        [of_judge for _, of_judge in votes],
        probabilities=[outcome.probability for outcome, _ in votes],
        runs=[outcome.run_id for outcome, _ in votes],
        level=asked.level,
    )


def _votes(outcome: EvaluationOutcome) -> list[list[Hashable]]:
    """What each judge of an outcome said each time."""
    by_judge: dict[str, list[Hashable]] = {}
    for vote in () if outcome.judgement is None else outcome.judgement.votes:
        if vote.value is not None:
            by_judge.setdefault(vote.judge, []).append(vote.value)
    return list(by_judge.values())


def _corrected(
    asked: _Asked,
    kind: LabelKind,
    runs: Sequence[LabelledRun],
    verdicts: Mapping[str, bool | int | float | str],
    outcomes: Mapping[str, EvaluationOutcome],
) -> Corrected | None:
    probabilities = [run.probability for run in runs]
    judged_probabilities = [outcomes[run_id].probability for run_id in verdicts]
    if kind == 'number':
        return corrected_mean(
            [float(run.label) for run in runs],
            [float(run.verdict) for run in runs],
            Moments.of([float(verdict) for verdict in verdicts.values()], judged_probabilities),
            probabilities=probabilities,
            level=asked.level,
        )
    if kind == 'label' and asked.positive is None:
        return None
    return corrected_rate(
        [run.label for run in runs],
        [run.verdict for run in runs],
        list(verdicts.values()),
        positive=True if kind == 'pass' else asked.positive,
        probabilities=probabilities,
        judged_probabilities=judged_probabilities,
        level=asked.level,
    )
