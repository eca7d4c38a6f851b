"""Which evaluators are shown a run: first by what is known before it, then by what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from ..errors import AssayError, describe
from ..runs.draw import uniform_draw
from ..runs.record import RunRecord
from ..settings import OnlineEvalConfig, OnlineEvaluator, SampleRate, SamplingContext

__all__ = ('Candidate', 'RunStart', 'Verdict', 'choose_after_run', 'choose_before_run')


class Choosable(Protocol):
    """What a choice needs to know of an attached evaluator."""

    settings: OnlineEvaluator

    @property
    def certain(self) -> Candidate[Any]:
        """The candidate for a rate of 1, made once."""
        ...

    @property
    def key(self) -> str:
        """What tells this evaluator from others."""
        ...


ChoosableT = TypeVar('ChoosableT', bound=Choosable)


class Candidate(Generic[ChoosableT]):
    """An evaluator that may be shown the run, with the probability that was settled before the run."""

    __slots__ = ('attached', 'cap', 'draw', 'rate')

    def __init__(self, attached: ChoosableT, rate: float, draw: float, cap: float = 1.0) -> None:
        self.attached = attached
        self.rate = rate
        self.draw = draw
        self.cap = cap


@dataclass(kw_only=True, frozen=True)
class Verdict:
    """Whether an evaluator is shown a finished run."""

    status: Literal['chosen', 'sampled_out', 'skipped']
    probability: float = 0.0
    """The probability with which the run was chosen."""
    error: Exception | None = None
    """What `when` raised."""


@dataclass(kw_only=True)
class RunStart:
    """What is known of a run before it starts."""

    run_id: str
    conversation_id: str | None
    target: str
    agent_name: str | None
    inputs: Any
    deps: Any


def choose_before_run(
    attached: Sequence[ChoosableT], config: OnlineEvalConfig, start: Callable[[], RunStart], *, cap: float = 1.0
) -> tuple[list[Candidate[ChoosableT]], list[tuple[ChoosableT, Exception | None]]]:
    """Choose the evaluators that may be shown a run that is about to start.

    Args:
        attached: The evaluators.
        config: The settings that hold for all of them.
        start: Tells what is known of the run; called only if that matters.
        cap: The probability that none of them exceeds.

    Returns:
        The candidates, and the evaluators that are left out: by the draw, or because their `sample_rate` raised, in
        which case the error is with them.
    """
    candidates: list[Candidate[ChoosableT]] = []
    left_out: list[tuple[ChoosableT, Exception | None]] = []
    started: RunStart | None = None
    rate: SampleRate | None
    default_rate = config.default_sample_rate
    for each in attached:
        settings = each.settings
        rate = settings.sample_rate
        if rate is None:
            rate = default_rate if settings.when is None else 0.0
        if rate == 1.0 and cap == 1.0 and settings.budget is None and config.budget is None:
            candidates.append(each.certain)
            continue
        if rate == 0.0 and settings.when is None:
            left_out.append((each, None))
            continue
        if started is None:
            started = start()
        unit = started.run_id
        if settings.sample_by == 'conversation' and started.conversation_id is not None:
            unit = started.conversation_id
        try:
            number = (
                _resolve(rate, each, config, started, unit) if callable(rate) else as_probability(rate, 'sample_rate')
            )
        except BaseException as error:
            left_out.append((each, own_fault(error)))
            continue
        draw = uniform_draw(unit, '' if config.sampling_mode == 'correlated' else each.key)
        number = min(number, cap)
        if draw < number or (settings.when is not None and draw < cap):
            candidates.append(Candidate(each, number, draw, cap))
        else:
            left_out.append((each, None))
    return candidates, left_out


def _resolve(
    rate: Callable[[SamplingContext], float | bool],
    attached: Choosable,
    config: OnlineEvalConfig,
    start: RunStart,
    unit: str,
) -> float:
    context = SamplingContext(
        evaluator=attached.settings.evaluator,
        inputs=start.inputs,
        metadata=config.metadata,
        call_seed=uniform_draw(unit),
        run_id=start.run_id,
        conversation_id=start.conversation_id,
        target=start.target,
        agent_name=start.agent_name,
        deps=start.deps,
    )
    return as_probability(rate(context), 'sample_rate')


def own_fault(error: BaseException) -> Exception:
    """What a callable of the user raised, as an error that callbacks take and that ends nothing but its evaluation.

    Raises:
        KeyboardInterrupt: If that is what it is: somebody pressed Ctrl-C.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, Exception):
        return error
    wrapped = AssayError(describe(error))
    wrapped.__cause__ = error
    return wrapped


def as_probability(value: object, source: str) -> float:
    if isinstance(value, bool | int | float) and 0.0 <= value <= 1.0:
        return float(value)
    raise ValueError(f'{source} gave {value!r}; expected a bool or a probability from 0.0 to 1.0.')


def choose_after_run(candidate: Candidate[ChoosableT], run: RunRecord) -> Verdict:
    """Decide whether a candidate is shown the finished run."""
    settings = candidate.attached.settings
    # What blocks has judged the output by now, if there was one.
    if settings.mode == 'block' or not settings.sees(run.outcome):
        return Verdict(status='skipped')
    probability = candidate.rate
    if settings.when is not None:
        try:
            probability = max(probability, min(as_probability(settings.when(run), 'when'), candidate.cap))
        except BaseException as error:
            return Verdict(status='skipped', error=own_fault(error))
    if candidate.draw < probability:
        return Verdict(status='chosen', probability=probability)
    return Verdict(status='sampled_out', probability=probability)
