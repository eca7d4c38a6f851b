"""What a store says of what it was handed always adds up, and what it cannot take is named."""

from __future__ import annotations

import random
import threading
import time
import traceback
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from databases import database_url, postgres_url, sqlite_url, store
from pydantic_ai.usage import RunUsage
from store_samples import BOUND, a_run, an_outcome, eventually, ids, keep, locked, parts, submit, warned

from pydantic_ai_assay import ConfigurationError, OnlineEvalConfig
from pydantic_ai_assay.store.counting import Counting
from pydantic_ai_assay.store.errors import UnknownRunError
from pydantic_ai_assay.store.migration import migrate
from pydantic_ai_assay.store.store import Store
from pydantic_ai_assay.switches import current_switches

__all__ = ('database_url', 'postgres_url', 'sqlite_url', 'store')


def adds_up(store: Store) -> bool:
    stats = store.stats()
    return stats.submitted == stats.written_runs + stats.waiting + stats.given_up + stats.refused


@pytest.mark.parametrize('bound', [{'spool_runs': 3}, {'spool_bytes': 4_000}])
def test_what_was_handed_over_is_written_waits_was_given_up_or_refused(sqlite_url: str, bound: Any) -> None:
    migrate(sqlite_url)
    store = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01, **bound)
    huge = a_run(90, usage=RunUsage(requests=2**70))
    with warned('Runs were not stored because too many waited', 'A run or its outcomes were not stored'):
        with locked(sqlite_url):
            submit(store, (huge, []), *parts(1))
            eventually(lambda: store.stats().waiting_bytes > 0)
            submit(store, *parts(*range(2, 12)))
            eventually(lambda: store.stats().given_up > 0)
            assert adds_up(store), store.stats()
            assert store.stats().submitted == 12
        assert store.flush(BOUND)
    stats = store.stats()
    assert adds_up(store), stats
    assert (stats.submitted, stats.refused, stats.waiting, stats.waiting_bytes) == (12, 1, 0, 0)
    assert 0 < stats.given_up < 12
    assert store.close()


def test_runs_that_wait_in_a_batch_that_failed_count_toward_the_bound_of_bytes(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01, spool_bytes=4_000)
    with warned('Runs were not stored because too many waited'):
        with locked(sqlite_url):
            for number in range(20):
                submit(store, *parts(number))
                eventually(lambda: 0 < store.stats().waiting_bytes <= 4_000)
            eventually(lambda: store.stats().given_up > 0)
            assert 0 < store.stats().waiting_bytes <= 4_000
        assert store.flush(BOUND)
    assert store.close()


def test_counts_that_the_database_refuses_are_no_runs(store: Store) -> None:
    with warned('Counts were not stored'):
        store.count('sampled_out', 'Polite', 'f1', 'support', 2**70)
        keep(store, *parts(1))
    assert (store.stats().refused, ids(store)) == (0, ['run-1'])
    assert adds_up(store)


def test_each_of_several_outcomes_of_a_run_that_is_gone_is_counted(sqlite_url: str) -> None:
    store = Store(f'{sqlite_url}?timeout=0.01', retry_seconds=0.01)
    keep(store, *parts(1))
    with warned('run-1: no such runs in the store'):
        with locked(sqlite_url) as connection:
            for series in ('again', 'and again'):
                store.add_outcomes('run-1', [an_outcome(a_run())], series=series)
            connection.execute('DELETE FROM assay_runs')
        assert store.flush(BOUND)
    assert (store.stats().submitted, store.stats().refused) == (3, 2)
    assert adds_up(store)
    assert store.close()


def test_later_outcomes_are_of_the_very_run_that_was_named(store: Store) -> None:
    keep(store, *parts(12))
    assert store.run('run-1').record.run_id == 'run-12'
    with pytest.raises(UnknownRunError, match="There is no run 'run-1'"):
        store.add_outcomes('run-1', [an_outcome(a_run(1))], series='again')
    long = a_run(3, run_id='x' * 300)
    keep(store, (long, []))
    store.add_outcomes(long.run_id, [an_outcome(long)], series='again')
    assert store.flush(BOUND)
    assert len(store.outcomes(long.run_id)) == 1


@dataclass
class Ends:
    """Ends the program when it is looked at."""

    name: str = 'x'
    members: list[int] = field(default_factory=list[int])

    def __getattribute__(self, name: str) -> Any:
        if name in ('name', 'members', '__dict__'):
            raise SystemExit('no')
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        raise SystemExit('no')


class EndsWhenCounted(dict[str, Any]):
    def items(self) -> Any:
        raise SystemExit('no')

    def __iter__(self) -> Any:
        raise KeyboardInterrupt

    def __len__(self) -> int:
        raise SystemExit('no')


@pytest.mark.parametrize('value', [Ends(), EndsWhenCounted(a=1)], ids=['object', 'dict'])
def test_a_value_that_ends_the_program_when_it_is_looked_at_does_not_end_the_writing(store: Store, value: Any) -> None:
    submit(store, (a_run(1, output=value, metadata={'value': value}), []), *parts(2))
    with warned():
        assert store.flush(BOUND), store.stats()
    assert 'run-2' in ids(store)
    assert adds_up(store), store.stats()


def test_what_nobody_can_make_small_ends_no_thread(store: Store) -> None:
    class Late(float):
        def __float__(self) -> float:
            raise SystemExit('no')

    with warned('not stored: SystemExit'):
        submit(store, (a_run(1, duration=Late(1)), []), *parts(2))
        assert store.flush(BOUND), store.stats()
    assert (ids(store), store.stats().refused) == (['run-2'], 1)
    assert adds_up(store)


@pytest.mark.parametrize(
    'value', [10**400, 10**5_000, float('nan'), None, b'x'], ids=['big', 'huge', 'nan', 'none', 'bytes']
)
def test_feedback_that_no_number_holds_is_refused(store: Store, value: Any) -> None:
    with pytest.raises(ConfigurationError, match='The value of feedback must be'):
        store.add_feedback('helpful', value, run_id='run-1')


def test_many_threads_flush_and_close_while_others_hand_over(store: Store) -> None:
    def hand_over(offset: int) -> None:
        for number in range(20):
            submit(store, *parts(offset * 100 + number))
            assert store.flush(BOUND)
        assert store.close()

    threads = [threading.Thread(target=hand_over, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert store.flush(BOUND)
    assert (store.info().runs, store.stats().written_runs, adds_up(store)) == (80, 80, True)


@pytest.mark.parametrize(
    ('url', 'message'),
    [
        ('postgresql://me:hunter2@x@host/db', 'percent'),
        ('postgresql://me:a@b:hunter2/x@host/db', 'cannot be read'),
        ('postgresql://me:x@host:hunter2/db', 'cannot be read'),
        ('sqlite:///assay.db?timeout=hunter2', 'timeout'),
        ('sqlite:///assay.db?nonsense=hunter2', 'nonsense'),
        ('sqlite:///assay.db?cached_statements=5', 'only timeout'),
    ],
)
def test_what_is_wrong_with_a_url_is_told_at_once_and_no_password_with_it(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        Store(url)
    assert 'hunter2' not in ''.join(traceback.format_exception(raised.value)).replace(f'Store({url!r})', '')


def test_an_option_that_the_server_would_not_take_is_told_when_it_is_asked() -> None:
    with closing(Store('postgresql://me:hunter2@127.0.0.1/db?port=abc')) as store:
        with pytest.raises(ConfigurationError, match="port=abc is not what it must be: .*'abc'") as raised:
            store.runs()
    assert 'hunter2' not in str(raised.value)


def test_what_keeps_the_url_of_a_store_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_STORE', 'postgresql://me:hunter2@host/db')
    config = OnlineEvalConfig(store='postgresql://me:hunter2@host/db')
    assert 'hunter2' not in f'{config!r} {current_switches()!r}'


def test_many_large_runs_at_once_are_all_written_where_the_database_takes_them(store: Store, database_url: str) -> None:
    """More of them than may wait: none has to, for what was handed over is made small as it is written."""
    small = Store(database_url, spool_bytes=200_000)
    runs = [a_run(number, output=random.Random(number).randbytes(20_000)) for number in range(100)]
    submit(small, *((run, [an_outcome(run)]) for run in runs))
    assert small.flush(BOUND)
    assert (small.stats().written_runs, small.stats().given_up) == (100, 0)
    assert small.close()
    assert store.info().runs == 100


def test_closing_takes_no_longer_than_it_may(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = Store(f'{sqlite_url}?timeout=1', retry_seconds=30)
    with warned(), locked(sqlite_url):
        submit(store, *parts(1))
        begun = time.monotonic()
        assert not store.close(0.2)
        assert time.monotonic() - begun < 0.9
    # What waits is written by the next thread.
    assert store.flush(BOUND)
    assert ids(store) == ['run-1']
    assert store.close()


def test_counts_without_end_are_held_within_bounds_and_none_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('pydantic_ai_assay.store.counting.MAX_COUNTS', 3)
    counting = Counting()
    for number in range(100):
        counting.add('sampled_out', f'Evaluator {number}', '', f'target {number}', 1)
        counting.add('sampled_out', 'Evaluator 0', '', 'target 0', 1)
    assert (len(counting), counting.total) == (7, 200)
    counts = {key[2:]: number for key, number in counting.take().items()}
    assert counts['Evaluator 0', '', 'target 0'] == 101
    assert counts['(others)', '', '(others)'] == 94
    assert len(counting) == 0
    for number in range(20):
        store.count('sampled_out', 'Polite', '', f'target {number}')
    assert store.flush(BOUND)
    found = store.aggregates(timedelta(days=2), by=())
    assert sum(each.statuses['sampled_out'] for each in found) == 20
