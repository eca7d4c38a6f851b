"""Stored runs are judged again: once in each series, so many at a time, and what breaks touches nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from conftest import Gate
from databases import database_url, postgres_url, sqlite_url, store
from judge_models import Asked
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import Contains, Evaluator, EvaluatorContext
from pydantic_evals.evaluators.evaluator import EvaluatorOutput
from store_samples import START, a_result, a_run, an_outcome, keep

from pydantic_ai_assay import ConfigurationError, Judge, OnlineEvaluator, rejudging, run_of
from pydantic_ai_assay.execution.attached import attach
from pydantic_ai_assay.rejudging import RejudgeReport, rejudge, rejudge_sync
from pydantic_ai_assay.reports.names import UnknownNameError
from pydantic_ai_assay.runs.judgement import Vote, current_log
from pydantic_ai_assay.store.aggregation import AggregateFilter
from pydantic_ai_assay.store.errors import StoreUnavailableError
from pydantic_ai_assay.store.run_filter import RunFilter
from pydantic_ai_assay.store.store import Store

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


def rejudged(*args: Any, **kwargs: Any) -> RejudgeReport:
    """What `rejudge_sync` returns, with a loop for the thread that is closed in the end."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return rejudge_sync(*args, **kwargs)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.fixture
def local(sqlite_url: str) -> Iterator[Store]:
    store = Store(sqlite_url)
    yield store
    store.close()


def runs(*numbers: int, **changes: Any) -> list[Any]:
    return [(a_run(number, **changes), []) for number in numbers]


def said(store: Store, run_id: str, series: str = 'again') -> dict[str, Any]:
    outcomes = [each.outcome for each in store.outcomes(run_id) if each.series == series]
    return {each.evaluator: [result.value for result in each.results] or each.status for each in outcomes}


@dataclass
class Length(Evaluator[Any, Any, Any]):
    """How long the answer is."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> int:
        return len(ctx.output)


@dataclass
class Raising(Evaluator[Any, Any, Any]):
    error: BaseException = field(default_factory=lambda: ValueError('no'))
    when: str = ''

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        if self.when in str(ctx.inputs):
            raise self.error
        return True


_BROKEN: list[str] = []
"""What `Flaky` fails on. It is no setting, so that the fingerprint stays."""


@dataclass
class Flaky(Evaluator[Any, Any, Any]):
    """Fails while what it needs is broken."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        if any(word in str(ctx.inputs) for word in _BROKEN):
            raise ValueError('away')
        return True

    @contextmanager
    def broken(self, word: str) -> Generator[None]:
        _BROKEN.append(word)
        yield
        _BROKEN.clear()


# What is kept


def test_new_outcomes_are_kept_beside_the_old(store: Store) -> None:
    first = a_run(1)
    keep(store, (first, [an_outcome(first)]), *runs(2))
    report = rejudged([Contains('1'), Length()], series='again', store=store)
    assert said(store, 'run-1') == {'Contains': [True], 'Length': [8]}
    assert said(store, 'run-2') == {'Contains': [False], 'Length': [8]}
    assert said(store, 'run-1', '') == {'Polite': [True]}
    (outcome,) = (each.outcome for each in store.outcomes('run-1') if each.outcome.evaluator == 'Contains')
    assert (outcome.status, outcome.probability, outcome.attempts, outcome.agent_path) == (
        'scored',
        1.0,
        1,
        ('support',),
    )
    assert outcome.fingerprint is not None and outcome.duration >= 0
    assert (report.runs, report.statuses) == (2, {'Contains': {'scored': 2}, 'Length': {'scored': 2}})
    assert (report.already, report.gone, report.without_content, report.cost) == (0, 0, 0, None)


def test_a_judge_is_kept_with_its_votes(local: Store) -> None:
    keep(local, *runs(1, 2))
    asked = Asked()
    judge = Judge('Answers the question', name='Answers', model=asked.model)
    report = rejudged([judge], series='again', store=local)
    (outcome,) = (each.outcome for each in local.outcomes('run-1'))
    assert outcome.judgement is not None
    assert [(vote.value, vote.usage.input_tokens) for vote in outcome.judgement.votes] == [(True, 100)]
    assert (len(asked.calls), report.statuses) == (2, {'Answers': {'scored': 2}})


def test_what_judges_cost_is_added_up(local: Store) -> None:
    @dataclass
    class Costly(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            log = current_log()
            assert log is not None
            log.add(Vote(judge='Costly', value=True, usage=RunUsage(cost=Decimal('0.25'))))
            return True

    keep(local, *runs(1, 2))
    assert rejudged([Costly()], series='again', store=local).cost == Decimal('0.5')


def test_conditions_say_which_runs(local: Store) -> None:
    keep(local, *runs(1), *runs(2, target='sales'))
    report = rejudged([Length()], series='again', store=local, where=RunFilter(target='sales'))
    assert (report.runs, said(local, 'run-1'), said(local, 'run-2')) == (1, {}, {'Length': [8]})
    with pytest.raises(UnknownNameError, match="no evaluator 'Lenght'. Did you mean 'Length'?"):
        rejudged([Length()], series='again', store=local, where=RunFilter(evaluator='Lenght'))


def test_more_runs_than_a_page_are_judged_each_once(local: Store) -> None:
    keep(local, *runs(*range(1_200)))
    report = rejudged([Length()], series='again', store=local, max_concurrency=50)
    assert (report.runs, report.statuses) == (1_200, {'Length': {'scored': 1_200}})
    assert local.info().outcomes == 1_200


# Going on


def test_what_a_series_has_is_not_judged_again(store: Store) -> None:
    keep(store, *runs(1, 2))
    seen: list[str] = []

    @dataclass
    class Noting(Evaluator[Any, Any, Any]):
        word: str = ''

        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            seen.append(run_of(ctx).run_id)
            return True

    rejudged([Noting()], series='again', store=store)
    keep(store, *runs(3))
    report = rejudged([Noting()], series='again', store=store)
    assert sorted(seen) == ['run-1', 'run-2', 'run-3']
    assert (report.runs, report.already, report.statuses) == (3, 2, {'Noting': {'scored': 1}})
    rejudged([Noting()], series='another', store=store, where=RunFilter(until=a_run(2).started_at))
    rejudged([Noting(word='changed')], series='again', store=store, where=RunFilter(until=a_run(2).started_at))
    assert seen[3:] == ['run-1', 'run-1']


def test_what_was_judged_before_an_interruption_stays(local: Store) -> None:
    keep(local, *runs(1, 2, 3))
    with pytest.raises(KeyboardInterrupt):
        rejudged([Raising(error=KeyboardInterrupt(), when='3')], series='again', store=local, max_concurrency=1)
    assert local.flush()
    report = rejudged([Raising(error=ValueError(), when='4')], series='other', store=local)
    assert report.statuses == {'Raising': {'scored': 3}}
    assert [bool(said(local, f'run-{number}')) for number in (1, 2, 3)] == [True, True, False]


# Samples


def test_a_sample_is_the_same_again_and_has_its_probability(local: Store) -> None:
    keep(local, *runs(*range(200)))
    report = rejudged([Length(), Contains('1')], series='again', store=local, sample=0.3)
    chosen = {number for number in range(200) if said(local, f'run-{number}')}
    assert 40 <= len(chosen) <= 80
    assert report.statuses['Length'] == {'scored': len(chosen), 'sampled_out': 200 - len(chosen)}
    assert report.statuses['Contains'] == report.statuses['Length']
    probabilities = {each.outcome.probability for number in chosen for each in local.outcomes(f'run-{number}')}
    assert probabilities == {0.3}
    again = rejudged([Length()], series='again', store=local, sample=0.3)
    assert (again.already, again.statuses) == (len(chosen), {'Length': {'sampled_out': 200 - len(chosen)}})


def test_a_series_cannot_go_on_with_another_share(local: Store) -> None:
    keep(local, *runs(1))
    rejudged([Length()], series='again', store=local)
    with pytest.raises(ConfigurationError, match="sample must be 1, with which the series 'again' was begun, got 0.5"):
        rejudged([Length()], series='again', store=local, sample=0.5)


def test_sampled_as_an_evaluator_the_numbers_are_about_the_agent_and_not_about_what_is_stored(local: Store) -> None:
    """Long answers were kept always and short ones rarely, so that most of what is stored is long."""
    kept: list[Any] = []
    for number in range(400):
        is_long = number % 4 == 0
        if is_long or number % 10 == 1:
            run = a_run(number, output='x' * (9 if is_long else 3))
            kept.append((run, [an_outcome(run, probability=1.0 if is_long else 0.1)]))
    unjudged = a_run(999, output='x' * 9)
    keep(local, *kept, (unjudged, []))

    rejudged([Length()], series='stored', store=local)
    rejudged([Length()], series='agent', store=local, sampled_as='Polite')
    report = rejudged([Length()], series='half', store=local, sampled_as='Polite', sample=0.5)

    def mean(series: str) -> float:
        where = AggregateFilter(evaluator='Length', series=series, kind='score')
        (sums,) = local.aggregates(START - timedelta(days=1), START + timedelta(days=1), by=('evaluator',), where=where)
        assert sums.moments.mean is not None
        return sums.moments.mean

    # A quarter of what the agent said has nine characters; 20 of the short ones stand for 300 and more.
    weighted = (100 * 9 + len(kept[100:]) * 10 * 3) / (100 + len(kept[100:]) * 10)
    assert mean('agent') == pytest.approx(weighted)
    assert mean('stored') > 7 > 5 > weighted
    assert not said(local, 'run-999', 'agent')
    halved = [each.outcome for run, _ in kept for each in local.outcomes(run.run_id) if each.series == 'half']
    assert len(halved) == report.statuses['Length']['scored'] < len(kept)
    assert {each.probability for each in halved} == {0.5, 0.05}
    assert report.statuses['Length']['sampled_out'] == len(kept) + 1 - len(halved)
    with pytest.raises(ConfigurationError, match="sample must be 0.5, with which the series 'half' was begun, got 1"):
        rejudged([Length()], series='half', store=local, sampled_as='Polite')
    with pytest.raises(UnknownNameError, match="no evaluator 'Polit'. Did you mean 'Polite'"):
        rejudged([Length()], series='more', store=local, sampled_as='Polit')


def test_an_evaluator_that_did_not_apply_to_a_run_was_not_drawn_for_it(local: Store) -> None:
    run = a_run(1)
    keep(local, (run, [an_outcome(run, status='skipped')]))
    report = rejudged([Length()], series='again', store=local, sampled_as='Polite')
    assert report.statuses == {'Length': {'sampled_out': 1}}


# Trying again


def test_what_failed_is_tried_again_in_a_series_that_has_all_the_scores(store: Store) -> None:
    keep(store, *runs(1, 2, 3))
    first = Flaky()
    with first.broken('2'):
        assert rejudged([first], series='first', store=store).statuses == {'Flaky': {'scored': 2, 'failed': 1}}
    keep(store, *runs(4))
    report = rejudged([Flaky()], series='second', store=store, retry='first')
    assert (report.taken_over, report.statuses) == (2, {'Flaky': {'scored': 1, 'sampled_out': 1}})
    assert [said(store, f'run-{number}', 'second') for number in (1, 2, 3, 4)] == [{'Flaky': [True]}] * 3 + [{}]
    # What is there stays, and going on adds nothing.
    assert said(store, 'run-2', 'first') == {'Flaky': 'failed'}
    again = rejudged([Flaky()], series='second', store=store, retry='first')
    assert (again.already, again.taken_over, again.statuses) == (3, 0, {'Flaky': {'sampled_out': 1}})


def test_what_failed_online_is_tried_again_with_the_probability_that_it_had(local: Store) -> None:
    identity = attach(Flaky()).identity
    of_flaky: dict[str, Any] = {'evaluator': 'Flaky', 'fingerprint': identity.fingerprint}
    good, bad = a_run(1), a_run(2)
    keep(
        local,
        (good, [an_outcome(good, a_result(True, name='Flaky'), **of_flaky, probability=0.25)]),
        (bad, [an_outcome(bad, **of_flaky, status='timed_out', probability=0.5)]),
    )
    report = rejudged([Flaky()], series='again', store=local, retry='')
    assert (report.taken_over, report.statuses) == (1, {'Flaky': {'scored': 1}})
    outcomes = [each.outcome for number in (1, 2) for each in local.outcomes(f'run-{number}') if each.series == 'again']
    assert [each.probability for each in outcomes] == [0.25, 0.5]


def test_another_evaluator_does_not_try_again(local: Store) -> None:
    keep(local, *runs(1))
    rejudged([Contains('1')], series='first', store=local)
    with pytest.raises(ConfigurationError, match='Contains cannot be tried again: with its fingerprint'):
        rejudged([Contains('2')], series='second', store=local, retry='first')
    with pytest.raises(UnknownNameError, match="no series 'frist'. Did you mean 'first'"):
        rejudged([Contains('1')], series='second', store=local, retry='frist')


# What breaks


@pytest.mark.parametrize('error', [ValueError('no'), SystemExit(3), GeneratorExit()])
def test_an_evaluator_that_raises_is_an_outcome_of_its_own(local: Store, error: BaseException) -> None:
    keep(local, *runs(1, 2))
    report = rejudged([Raising(error=error, when='2'), Length()], series='again', store=local)
    assert report.statuses == {'Raising': {'scored': 1, 'failed': 1}, 'Length': {'scored': 2}}
    (failed,) = (each.outcome for each in local.outcomes('run-2') if each.outcome.status == 'failed')
    assert failed.failure is not None and failed.failure.error_type == type(error).__name__


def test_an_evaluator_that_makes_up_a_cancellation_fails(local: Store) -> None:
    @dataclass
    class Cancelling(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            raise asyncio.CancelledError

    keep(local, *runs(1))
    report = rejudged([Cancelling()], series='again', store=local)
    assert report.statuses == {'Cancelling': {'failed': 1}}


def test_an_evaluator_that_hangs_is_timed_out(local: Store, gate: Gate) -> None:
    @dataclass
    class Hanging(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            await anyio.sleep_forever()
            return True

    @dataclass
    class Stuck(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            gate.pass_sync()
            return True

    keep(local, *runs(1))
    evaluators = [OnlineEvaluator(evaluator=each, timeout=0.05) for each in (Hanging(), Stuck())]
    report = rejudged(evaluators, series='again', store=local)
    assert report.statuses == {'Hanging': {'timed_out': 1}, 'Stuck': {'timed_out': 1}}
    assert said(local, 'run-1') == {'Hanging': 'timed_out', 'Stuck': 'timed_out'}


def test_a_plain_function_that_returns_a_coroutine_is_awaited(local: Store) -> None:
    @dataclass
    class Coroutine(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> Awaitable[EvaluatorOutput]:
            async def answer() -> EvaluatorOutput:
                return ctx.output

            return answer()

    keep(local, *runs(1, 2))
    rejudged([Coroutine()], series='again', store=local)
    assert said(local, 'run-2') == {'Coroutine': ['answer 2']}


def test_runs_without_content_and_of_other_outcomes_are_skipped(local: Store) -> None:
    keep(local, *runs(1, record_content=False), *runs(2, outcome='error', error=ValueError('no')), *runs(3))
    of_errors = OnlineEvaluator(evaluator=Contains('No'), run_on=['error'])
    report = rejudged([Length(), of_errors], series='again', store=local)
    assert report.without_content == 1
    assert report.statuses == {'Length': {'skipped': 2, 'scored': 1}, 'Contains': {'skipped': 2, 'scored': 1}}
    assert said(local, 'run-1') == {}


def test_runs_that_are_deleted_meanwhile_are_counted(local: Store) -> None:
    keep(local, *runs(1, 2, 3))

    @dataclass
    class Pruning(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            return bool(local.prune(max_runs=1))

    report = rejudged([Pruning()], series='again', store=local, max_concurrency=1)
    assert (report.runs, report.gone, report.statuses) == (3, 2, {'Pruning': {'scored': 1}})


def test_a_run_whose_id_begins_like_that_of_a_deleted_one_is_not_taken_for_it(local: Store) -> None:
    keep(local, *runs(1, 10))
    judged: list[str] = []

    @dataclass
    class Pruning(Evaluator[Any, Any, Any]):
        def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> str:
            judged.append(run_of(ctx).run_id)
            local.prune(max_runs=1)
            return run_of(ctx).run_id

    report = rejudged([Pruning()], series='again', store=local, max_concurrency=1)
    assert (judged, report.gone, report.already) == (['run-1', 'run-10'], 1, 0)
    assert said(local, 'run-10') == {'Pruning': ['run-10']}


@pytest.mark.parametrize('asked', ['outcomes', 'run'])
def test_nor_is_it_where_the_run_was_deleted_before_it_was_looked_at(
    local: Store, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    kept = a_run(10)
    keep(local, *runs(1), (kept, [an_outcome(kept)]))
    read = getattr(local, asked)

    def after_pruning(run_id: str) -> Any:
        local.prune(max_runs=1)
        return read(run_id)

    monkeypatch.setattr(local, asked, after_pruning)
    report = rejudged([Length()], series='again', store=local, max_concurrency=1)
    assert (report.gone, report.statuses) == (1, {'Length': {'scored': 1}})


def test_a_score_of_a_run_that_is_deleted_meanwhile_is_not_taken_over(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(local, *runs(1, 2))
    rejudged([Length()], series='first', store=local)
    read = local.outcomes

    def outcomes(run_id: str) -> Any:
        found = read(run_id)
        local.prune(max_runs=1)
        return found

    monkeypatch.setattr(local, 'outcomes', outcomes)
    report = rejudged([Length()], series='second', store=local, retry='first', max_concurrency=1)
    assert (report.runs, report.gone, report.taken_over) == (2, 1, 1)


def test_a_database_that_goes_away_ends_it(tmp_path: Path) -> None:
    store = Store(f'sqlite:///{tmp_path / "no" / "folder" / "assay.db"}')
    with pytest.raises(StoreUnavailableError):
        rejudged([Length()], series='again', store=store)


# How it runs


@pytest.mark.anyio
@pytest.mark.parametrize('anyio_backend', ['asyncio', 'trio'])
async def test_it_can_be_awaited_and_no_more_run_at_a_time_than_asked_for(sqlite_url: str) -> None:
    @dataclass
    class Counting(Evaluator[Any, Any, Any]):
        async def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
            running.append(True)
            most.append(len(running))
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            running.pop()
            return True

    running: list[bool] = []
    most: list[int] = []
    store = Store(sqlite_url)
    await anyio.to_thread.run_sync(lambda: keep_by_hand(store, 12))
    report = await rejudge([Counting()], series='again', store=store, max_concurrency=3)
    assert report.statuses == {'Counting': {'scored': 12}}
    assert 1 <= max(most) <= 3
    assert store.close()


def keep_by_hand(store: Store, count: int) -> None:
    keep(store, *runs(*range(count)))


@pytest.mark.anyio
async def test_where_a_loop_runs_the_synchronous_one_names_the_other(local: Store) -> None:
    with pytest.raises(RuntimeError, match='await `rejudge` instead'):
        rejudge_sync([Length()], series='again', store=local)


def test_it_runs_in_a_thread_that_never_had_a_loop(local: Store) -> None:
    keep(local, *runs(1))
    reports: list[RejudgeReport] = []

    def judge() -> None:
        reports.append(rejudge_sync([Length()], series='again', store=local))
        asyncio.get_event_loop().close()
        reports.append(rejudge_sync([Length()], series='more', store=local))
        asyncio.get_event_loop().close()

    thread = threading.Thread(target=judge)
    thread.start()
    thread.join(30)
    assert [report.statuses for report in reports] == [{'Length': {'scored': 1}}] * 2


def test_a_progress_bar_can_be_asked_for(local: Store, capsys: pytest.CaptureFixture[str]) -> None:
    keep(local, *runs(1))
    rejudged([Length()], series='again', store=local, progress=True)
    assert 'Judging again' in capsys.readouterr().err


@dataclass
class Nameless(Evaluator[Any, Any, Any]):
    def get_default_evaluation_name(self) -> str:
        raise ValueError('who knows')

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> bool:
        return True


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'evaluators': []}, 'There are no evaluators'),
        ({'evaluators': [Length(), Length()]}, "names of their own, got 'Length' more than once"),
        ({'evaluators': [Nameless()]}, 'Nameless cannot say who it is: ValueError: who knows'),
        ({'series': ' '}, "series must be a name such as .*, got ' '"),
        ({'sample': 0}, 'sample must be a probability above 0 and up to 1, got 0'),
        ({'sample': True}, 'got True'),
        ({'retry': 'again', 'series': 'again'}, "retry must be another series than the new one, got 'again' for both"),
        ({'retry': '', 'sample': 0.5}, 'leave out sample and sampled_as'),
        ({'retry': '', 'sampled_as': 'Polite'}, 'leave out sample and sampled_as'),
        ({'max_concurrency': 0}, 'max_concurrency must be an integer of at least 1, got 0'),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_judged(
    local: Store, changes: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {'evaluators': [Length()], 'series': 'again', 'store': local, **changes}
    with pytest.raises(ConfigurationError, match=message):
        rejudged(given.pop('evaluators'), **given)


def test_no_more_outcomes_wait_to_be_written_than_the_store_takes(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejudging, 'MAX_WAITING', 0)
    keep(local, *runs(1, 2, 3))
    report = rejudged([Length()], series='again', store=local, max_concurrency=1)
    assert (report.statuses, local.stats().given_up) == ({'Length': {'scored': 3}}, 0)


def test_outcomes_that_cannot_be_written_in_time_are_said(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejudging, 'WRITE_SECONDS', 0.0)
    keep(local, *runs(1))
    monkeypatch.setattr(local, 'flush', lambda timeout: False)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with pytest.raises(StoreUnavailableError, match='outcomes wait to be written to sqlite'):
        rejudged([Length()], series='again', store=local)
