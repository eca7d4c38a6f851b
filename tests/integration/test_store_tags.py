"""Sums over the runs that have a tag, beside those over all runs."""

from __future__ import annotations

from datetime import timedelta

from databases import database_url, postgres_url, sqlite_url, store
from store_samples import START, a_failure, a_result, a_run, an_outcome, keep

from pydantic_ai_assay import RunRecord
from pydantic_ai_assay.store.aggregation import AggregateBy, AggregateFilter
from pydantic_ai_assay.store.rows import Aggregate
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.store.summed_tags import MAX_SUMMED_TAGS, OTHER_TAGS

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')

UNTIL = START + timedelta(days=1)


def tagged(number: int, *tags: str) -> RunRecord:
    return a_run(number, metadata={'tags': list(tags)})


def sums(
    store: Store, *by: AggregateBy, where: AggregateFilter | None = None, kind: str = 'assertion'
) -> tuple[Aggregate, ...]:
    found = store.aggregates(START, UNTIL, by=by, where=where)
    return tuple(each for each in found if each.kind == kind)


def three_runs(store: Store) -> None:
    both, beta, none = tagged(1, 'beta', 'vip'), tagged(2, 'beta', 'beta', ''), tagged(3)
    keep(
        store,
        (both, [an_outcome(both, a_result(True))]),
        (beta, [an_outcome(beta, a_result(False))]),
        (none, [an_outcome(none, a_result(True))]),
    )


def test_a_run_counts_once_for_each_of_its_tags(store: Store) -> None:
    three_runs(store)
    by_tag = {each.tag: (each.moments.count, each.moments.mean) for each in sums(store, 'tag')}
    assert by_tag == {'beta': (2, 0.5), 'vip': (1, 1.0)}
    ended = {each.tag: each.statuses for each in sums(store, 'tag', kind='outcome')}
    assert ended == {'beta': {'scored': 2}, 'vip': {'scored': 1}}


def test_the_sums_over_all_runs_count_each_run_once(store: Store) -> None:
    three_runs(store)
    (every,) = sums(store)
    assert (every.moments.count, every.tag) == (3, None)
    (ended,) = sums(store, kind='outcome')
    assert ended.statuses == {'scored': 3}


def test_sums_are_over_the_runs_of_one_tag(store: Store) -> None:
    three_runs(store)
    (beta,) = sums(store, where=AggregateFilter(tag='beta'))
    assert (beta.moments.count, beta.moments.mean) == (2, 0.5)
    assert sums(store, where=AggregateFilter(tag='other')) == ()
    assert sums(store, where=AggregateFilter(tag='')) == sums(store)


def test_what_is_judged_again_counts_for_the_tags_of_its_run(store: Store) -> None:
    three_runs(store)
    store.add_outcomes('run-1', [an_outcome(tagged(1), fingerprint='f2')], series='again')
    assert store.flush()
    again = sums(store, 'tag', where=AggregateFilter(series='again'))
    assert {each.tag: each.moments.count for each in again} == {'beta': 1, 'vip': 1}


def test_the_sums_of_a_tag_outlive_its_runs(store: Store) -> None:
    three_runs(store)
    before = store.aggregates(START, UNTIL, by=('tag',))
    store.prune(max_runs=1)
    assert store.tags() == {}
    assert store.aggregates(START, UNTIL, by=('tag',)) == before


def test_a_run_that_is_written_twice_counts_once_for_its_tag(store: Store) -> None:
    run = tagged(1, 'beta')
    keep(store, (run, [an_outcome(run)]))
    keep(store, (run, [an_outcome(run), an_outcome(run, evaluator='Other')]))
    (beta,) = sums(store, 'tag', where=AggregateFilter(evaluator='Polite'))
    assert beta.moments.count == 1


def test_tags_that_are_new_for_every_run_are_summed_together_in_the_end(store: Store, database_url: str) -> None:
    known = tagged(0, 'known')
    keep(store, (known, [an_outcome(known)]))
    per_run, runs = 50, MAX_SUMMED_TAGS // 50 + 1
    many = [tagged(1 + run, *(f'id {run * per_run + index}' for index in range(per_run))) for run in range(runs)]
    keep(store, *((run, [an_outcome(run)]) for run in many))
    # Another writer knows those that have sums of their own, and has no room for more.
    other = Store(database_url)
    late = tagged(1_000, 'known', 'late', 'later')
    keep(other, (late, [a_failure(late)]))
    by_tag = {each.tag: each.statuses for each in sums(store, 'tag', kind='outcome')}
    assert len(by_tag) == MAX_SUMMED_TAGS + 1
    assert by_tag['known'] == {'scored': 1, 'failed': 1}
    # One of the tags of the last run but one had no room, and none of those of the last: each of the runs counts once.
    assert by_tag[OTHER_TAGS] == {'scored': 2, 'failed': 1}
    other.close()


def test_by_tag_and_agent_and_day(store: Store) -> None:
    three_runs(store)
    late = a_run(4, target='sales', metadata={'tags': 'beta'}, started_at=START + timedelta(hours=22))
    keep(store, (late, [an_outcome(late)]))
    found = store.aggregates(START, START + timedelta(days=2), by=('tag', 'target'), step='day')
    counts = {
        (each.tag, each.target, each.start and each.start.day): each.moments.count
        for each in found
        if each.kind == 'assertion'
    }
    assert counts == {('beta', 'support', 2): 2, ('vip', 'support', 2): 1, ('beta', 'sales', 3): 1}
