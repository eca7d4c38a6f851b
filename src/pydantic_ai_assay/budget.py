"""A limit to what evaluations cost in a window of time, kept by thinning the sample rate, not by a sudden end."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple, get_args

from .errors import ConfigurationError, warn_safely
from .runs.clock import TIMEKEEPER
from .runs.judgement import UNFINISHED, Judgement, Vote

__all__ = ('Admission', 'Budget', 'BudgetState', 'Per')

Per = Literal['minute', 'hour', 'day', 'week']
"""How long a window is. Windows begin on the full minute or hour, at midnight, or on Monday at midnight, in UTC."""

_SECONDS: dict[Per, float] = {'minute': 60.0, 'hour': 3_600.0, 'day': 86_400.0, 'week': 604_800.0}
_A_MONDAY = 345_600.0
"""A midnight at which a week began, in seconds since the epoch."""
_FIRST_COST = 0.01
"""What an evaluation is taken to cost before any cost is known, as a share of the limit."""
_COST_MEMORY = 50
"""Over about how many evaluations the mean cost is taken."""
_RATE_MEMORY = 20
"""Over about how many offers the rate of offers is taken, where that is long enough and short enough a time."""
_RATE_MEMORY_LIMITS = (1 / 2_000, 1 / 8)
"""How long the rate of offers is remembered at least and at most, as a share of the window."""
_EXTRA_LIMITS = (0.01, 0.05)
"""By how much longer than it is the window is planned, at least and at most, as a share of it."""


_CUT_SHORT = frozenset((UNFINISHED, 'CancelledError', 'Cancelled', 'TimeoutError'))
"""Errors of calls that were ended from outside: the model may have answered, and will be paid for, all the same."""


@dataclass(kw_only=True, frozen=True, eq=False, slots=True)
class Admission:
    """A budget's leave to run one evaluation. It is given back by `settle` or `release`."""

    probability: float
    """The probability with which the run was chosen and admitted, in (0, 1]."""
    reserved: float
    """What is held back for it until it is settled, in USD or evaluations."""
    window: float
    """When the window began in which it was given, in seconds since the epoch."""


@dataclass(kw_only=True, frozen=True)
class BudgetState:
    """A budget at one moment. Amounts are in USD, or in evaluations, as the limit is."""

    start: datetime
    """When the window began (UTC)."""
    end: datetime
    """When it ends (UTC)."""
    limit: float
    """What may be spent in a window."""
    spent: float
    """What the settled evaluations that were admitted in this window cost."""
    reserved: float
    """What is held back for those in flight."""
    set_aside: float
    """What of the limit is left to the part of the window before the budget was made; 0 in later windows."""
    remaining: float
    """What can still be admitted: the limit without what is spent, reserved and set aside, and never below 0."""
    share: float
    """The share of the offered evaluations that is admitted at this moment; 0.0 where no further one fits."""
    in_flight: int
    """How many evaluations were admitted in this window and have not ended."""
    offered: int
    """How many evaluations were offered in this window: runs that were chosen by rate or condition."""
    admitted: int
    """How many of those were admitted."""
    stopped: int
    """How many of those met a share of 0.0: no score stands for them."""
    unpriced: int
    """How many settled with a cost that was not known, or not all of it, so that a mean was counted for what was not; 0 for
    a number of evaluations."""


class Budget:
    """A limit to what evaluations cost per minute, hour, day or week, shared by all evaluators that are given it.

    It spreads spending over the window: where more is offered than the limit allows for, it admits a share, and each
    admission has the probability that was in force. What is not admitted has the status `'over_budget'`.

    A number of evaluations is never exceeded. An amount of money is exceeded by no more than what the evaluations in
    flight cost beyond the estimate that was held back for them: the mean of recent costs. It holds for one process.
    """

    claim: ClassVar[threading.Lock] = threading.Lock()
    """Held for a moment to read or change a budget. One for all budgets; a forked child makes another."""

    generation: ClassVar[int] = 0
    """How many forks lie between the first process and this one."""

    @classmethod
    def begin_in_child(cls) -> None:
        """Begin anew in a forked child: what is in flight is the parent's to settle. What was spent stays spent."""
        cls.claim = threading.Lock()
        cls.generation += 1

    def __init__(self, *, usd: float | None = None, evaluations: int | None = None, per: Per) -> None:
        """Make a budget. Where its window has begun already, only the part of the limit that is left is available.

        Args:
            usd: US dollars per window. For evaluators that tell what they cost: `Judge`, `Panel`, `Cascade`.
            evaluations: Evaluations per window.
            per: How long a window is: `'minute'`, `'hour'`, `'day'` or `'week'`, in UTC.

        Raises:
            ConfigurationError: If not exactly one of `usd` and `evaluations` is given, or a value cannot work.
        """
        _check(usd, evaluations, per)
        self.usd = usd
        self.evaluations = evaluations
        self.per: Per = per
        self._length = _SECONDS[per]
        self._limit = float(usd if usd is not None else evaluations or 0)
        self._cost = 1.0 if usd is None else self._limit * _FIRST_COST
        self._mean_cost = self._cost
        self._priced = self._known_costs = self._unknown_costs = 0
        self._has_warned = False
        self._rate = 0.0
        self._last_offer = -math.inf
        self._open: set[Admission] = set()
        self._generation = self.generation
        self._made_at = TIMEKEEPER.clock.perf_counter()
        now = TIMEKEEPER.clock.time()
        self._begin_window(now, passed=now - self._start_of(now))

    def __repr__(self) -> str:
        amount = f'usd={self.usd!r}' if self.usd is not None else f'evaluations={self.evaluations!r}'
        return f'Budget({amount}, per={self.per!r})'

    # What is asked of it

    def admit(self, probability: float, draw: float) -> Admission | None:
        """Decide whether a chosen run is evaluated.

        Args:
            probability: With which the run was chosen, in (0, 1].
            draw: The number, below `probability`, by which it was chosen. The same one thins it.

        Returns:
            The admission, or `None` where the evaluation is over budget.
        """
        with self.claim:
            now = self._now()
            moment = TIMEKEEPER.clock.perf_counter()
            self._rate, self._last_offer = self._rate_with_offer(moment), moment
            share = self._share(now, self._rate)
            self._offered += 1
            self._stopped += share == 0.0
            probability *= share
            if draw >= probability:
                return None
            admission = Admission(probability=probability, reserved=self._cost, window=self._start)
            self._admitted += 1
            self._in_flight += 1
            self._reserved += admission.reserved
            self._open.add(admission)
            return admission

    def settle(
        self, admission: Admission, spent: Judgement | Decimal | float | None, *, aside: Sequence[Judgement] = ()
    ) -> None:
        """Count what an admitted evaluation cost, in the window in which it was admitted.

        A call whose cost is not known counts as the mean of the evaluation's other calls; where none is known, the evaluation
        counts as the mean of recent ones. A call that failed before a model answered costs nothing.

        Args:
            admission: The admission. Once settled or released, it counts no more.
            spent: What its judges did, or the cost in USD. `None` where nothing is known of it.
            aside: What judges did beside it, as canaries do. It is no part of what an evaluation is taken to cost.
        """
        with self.claim:
            self._now()
            if not self._close(admission):
                return
            spending = _spending_of(spent)
            amount = self._amount_of(spending)
            if admission.window == self._start:
                self._spent += amount + (0.0 if self.usd is None else self._amount_aside(aside))
                self._unpriced += self.usd is not None and not spending.is_known
            if self.usd is None or spending.is_known or self._has_warned or self._unknown_costs <= self._known_costs:
                return
            self._has_warned = True
            told, counted = self._known_costs, self._cost
        warn_safely(
            f'{self!r} is about what evaluations cost, but most that it admitted did not tell ({told} did). Each such '
            f'one is counted as {counted:.3g} USD. Use it for judges whose models have a known price, or limit the '
            'number of evaluations: Budget(evaluations=...).'
        )

    def release(self, admission: Admission) -> None:
        """Take back an admission whose evaluation never ran: it costs nothing.

        Args:
            admission: The admission. Once settled or released, it counts no more.
        """
        with self.claim:
            self._now()
            self._admitted -= self._close(admission) and admission.window == self._start

    # What it tells

    @property
    def limit(self) -> float:
        """What may be spent in a window, in USD or evaluations."""
        return self._limit

    @property
    def spent(self) -> float:
        """What has been spent in this window, in USD or evaluations; without what is in flight."""
        return self.state().spent

    @property
    def remaining(self) -> float:
        """What can still be admitted in this window, in USD or evaluations."""
        return self.state().remaining

    def state(self) -> BudgetState:
        """The budget at this moment."""
        with self.claim:
            now = self._now()
            return BudgetState(
                start=datetime.fromtimestamp(self._start, UTC),
                end=datetime.fromtimestamp(self._end, UTC),
                limit=self._limit,
                spent=self._spent,
                reserved=self._reserved,
                set_aside=self._set_aside,
                remaining=max(0.0, self._room),
                share=self._share(now, self._rate_with_offer(TIMEKEEPER.clock.perf_counter())),
                in_flight=self._in_flight,
                offered=self._offered,
                admitted=self._admitted,
                stopped=self._stopped,
                unpriced=self._unpriced,
            )

    # The window

    def _start_of(self, moment: float) -> float:
        return moment - (moment - _A_MONDAY) % self._length

    def _begin_window(self, now: float, passed: float = 0.0) -> None:
        self._start = self._start_of(now)
        self._end = self._start + self._length
        self._spent = self._reserved = 0.0
        self._in_flight = self._offered = self._admitted = self._stopped = self._unpriced = 0
        # A process that starts again and again would spend the limit each time.
        self._set_aside = self._limit * passed / self._length
        if self.usd is None:
            self._set_aside = float(math.floor(self._set_aside))

    def _now(self) -> float:
        """The time, in the window that is current after this call."""
        if self._generation != self.generation:
            self._generation = self.generation
            self._open.clear()
            self._reserved, self._in_flight = 0.0, 0
        now = TIMEKEEPER.clock.time()
        if now >= self._end:
            self._begin_window(now)
        elif now < self._start - self._length:
            # The clock was wrong before, or another one is in use.
            self._begin_window(now, passed=now - self._start_of(now))
        # A clock that is set back a little does not open a past window, with its limit, a second time.
        return max(now, self._start)

    # The share

    @property
    def _room(self) -> float:
        return self._limit - self._set_aside - self._spent - self._reserved

    def _share(self, now: float, rate: float) -> float:
        """What part of the offers is admitted, if they come at this rate per second."""
        room = self._room
        if self._cost > room:
            return 0.0
        least, most = _EXTRA_LIMITS
        # So about one evaluation is left at the end. Without that, the last runs of most windows would meet a stop.
        extra = self._length * min(max(self._cost / self._limit, least), most)
        pace = room / (self._end - now + extra)
        demand = rate * self._cost
        return 1.0 if demand <= pace else pace / demand

    def _rate_with_offer(self, moment: float) -> float:
        """Offers per second, an offer that comes at this moment included.

        Including it makes the share right on average: the mean of one over this rate is one over the true rate. It also
        keeps the rate finite, and so the share above zero, where many offers come at one moment.

        Args:
            moment: By the clock that never goes back.
        """
        # It does where another clock is put in its place.
        self._made_at = min(self._made_at, moment)
        age = moment - self._made_at
        rate = self._rate * math.exp(-max(0.0, moment - self._last_offer) / self._rate_memory(self._rate, age))
        return rate + 1 / self._rate_memory(rate, age)

    def _rate_memory(self, rate: float, age: float) -> float:
        """For how many seconds an offer is remembered: enough for a steady rate, few enough to see a burst come and go.

        In steady traffic that is the time of `_RATE_MEMORY` offers, but at least the time in which one evaluation can
        be paid for, with something to spare, and at most that of three. So a sudden burst, or a start in full traffic,
        costs the pay of a few evaluations, whatever its height.

        Args:
            rate: Offers per second.
            age: For how many seconds there has been this budget. It knows nothing of the time before.
        """
        least, most = _RATE_MEMORY_LIMITS
        each = self._cost / self._limit
        shortest, longest = (self._length * min(max(times * each, least), most) for times in (1.1, 3))
        longest = min(longest, max(shortest, age))
        return min(max(_RATE_MEMORY / rate, shortest), longest) if rate else longest

    # Costs

    def _amount_of(self, spending: _Spending) -> float:
        """What an evaluation counts for. A cost of which at least a part is known enters the mean."""
        if self.usd is None:
            return 1.0
        self._known_costs += spending.is_known and spending.is_typical
        self._unknown_costs += not spending.is_known
        if spending.amount is None:
            return self._cost
        if spending.is_typical:
            self._priced += 1
            if self._priced == 1:
                self._mean_cost = spending.amount
            else:
                self._mean_cost += (spending.amount - self._mean_cost) / min(self._priced, _COST_MEMORY)
            # One evaluation that costs more than the limit must not keep all later windows from learning better.
            self._cost = min(self._mean_cost, self._limit)
        return spending.amount

    def _amount_aside(self, aside: Sequence[Judgement]) -> float:
        amounts = [_spending_of(each).amount for each in aside]
        return sum(self._cost if amount is None else amount for amount in amounts)

    def _close(self, admission: Admission) -> bool:
        """Forget an admission. Returns whether it was open."""
        if admission not in self._open:
            return False
        self._open.discard(admission)
        if admission.window == self._start:
            self._in_flight -= 1
            # Without a remainder of rounding when nothing is in flight.
            self._reserved = self._reserved - admission.reserved if self._in_flight else 0.0
        return True


class _Spending(NamedTuple):
    """What is known of what an evaluation cost."""

    amount: float | None
    """In USD; `None` where nothing is known of it."""
    is_known: bool
    """Whether all of it is known."""
    is_typical: bool = True
    """Whether it tells what others cost: that of calls that all failed does not."""


def _spending_of(spent: Judgement | Decimal | float | None) -> _Spending:
    if not isinstance(spent, Judgement):
        amount = _amount(spent)
        return _Spending(amount, amount is not None)
    calls = [vote for vote in spent.votes if _is_call(vote)]
    if not calls:
        # Where none failed, they have not used a model, or have not told.
        has_failed = all(vote.error is not None for vote in spent.votes)
        return _Spending(0.0, True, is_typical=False) if has_failed else _Spending(None, False)
    amounts = [_amount(vote.usage.cost) for vote in calls]
    known = [amount for amount in amounts if amount is not None]
    if not known:
        return _Spending(None, False)
    return _Spending(sum(known) / len(known) * len(calls), len(known) == len(calls))


def _amount(cost: Decimal | float | None) -> float | None:
    amount = math.nan if cost is None else float(cost)
    return amount if 0.0 <= amount < math.inf else None


def _is_call(vote: Vote) -> bool:
    """Whether a vote may have cost something: a model answered, or may have. A refusal such as 429 costs nothing."""
    usage = vote.usage
    return usage.cost is not None or usage.requests > 0 or usage.total_tokens > 0 or vote.error in _CUT_SHORT


def _check(usd: object, evaluations: object, per: object) -> None:
    if (usd is None) == (evaluations is None):
        given = 'neither' if usd is None else f'usd={usd!r} and evaluations={evaluations!r}'
        raise ConfigurationError(f'A budget takes either usd or evaluations, got {given}.')
    if usd is not None and not _is_positive(usd, float):
        raise ConfigurationError(f'usd must be a positive number of US dollars, got {usd!r}.')
    if evaluations is not None and not _is_positive(evaluations, int):
        raise ConfigurationError(f'evaluations must be a positive integer, got {evaluations!r}.')
    if per not in get_args(Per):
        raise ConfigurationError(f'per must be one of {", ".join(map(repr, get_args(Per)))}, got {per!r}.')


def _is_positive(value: object, kind: type[int] | type[float]) -> bool:
    return isinstance(value, int | kind) and not isinstance(value, bool) and 0 < value < math.inf
