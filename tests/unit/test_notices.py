"""Warnings, at most one a minute of each kind."""

import logging
import warnings

import pytest

from pydantic_ai_assay import AssayWarning
from pydantic_ai_assay.delivery.notices import MAX_KINDS, Notices, warn_safely


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices(clock: Clock) -> Notices:
    return Notices(clock=clock)


def test_the_first_of_a_kind_is_given_at_once(notices: Notices) -> None:
    with pytest.warns(AssayWarning, match=r'^An evaluation was dropped\.$'):
        notices.warn('dropped', 'An evaluation was dropped.')


def test_more_of_a_kind_within_a_minute_are_counted_and_told_of_with_the_next_one(
    notices: Notices, clock: Clock
) -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter('always')
        for _ in range(4):
            notices.warn('dropped', 'Dropped.')
        clock.now += 59.9
        notices.warn('dropped', 'Dropped.')
        clock.now += 0.1
        notices.warn('dropped', 'Dropped.')
        clock.now += 60
        notices.warn('dropped', 'Dropped.')
    assert [str(each.message) for each in given] == [
        'Dropped.',
        'Dropped. (4 more like this since the last warning.)',
        'Dropped.',
    ]


def test_kinds_do_not_hold_each_other_back(notices: Notices) -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter('always')
        notices.warn('dropped:A', 'A')
        notices.warn('dropped:B', 'B')
    assert [str(each.message) for each in given] == ['A', 'B']


def test_the_interval_can_be_set(clock: Clock) -> None:
    notices = Notices(interval=5.0, clock=clock)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter('always')
        notices.warn('kind', 'one')
        clock.now += 5.0
        notices.warn('kind', 'two')
    assert [str(each.message) for each in given] == ['one', 'two']


def test_where_warnings_are_errors_the_message_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warn_safely('100 % of %s')
    assert caplog.record_tuples == [('pydantic_ai_assay', logging.WARNING, '100 % of %s')]


def test_a_notice_cannot_raise_where_warnings_are_errors(notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        notices.warn('dropped', 'Dropped.')
        notices.warn('dropped', 'Dropped.')
    assert caplog.messages == ['Dropped.']


def test_without_an_injected_clock_the_monotonic_one_counts() -> None:
    notices = Notices()
    with pytest.warns(AssayWarning):
        notices.warn('kind', 'one')
    notices.warn('kind', 'one')


def test_kinds_without_end_count_as_one_until_there_is_room_again(notices: Notices, clock: Clock) -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter('always')
        notices.warn('held back', 'Held back.')
        notices.warn('held back', 'Held back.')
        for number in range(MAX_KINDS + 9):
            notices.warn(f'dropped:{number}', f'Dropped {number}.')
            notices.warn_once(f'told:{number}', f'Told {number}.')
        clock.now += 60
        notices.warn('new', 'New.')
        notices.warn('newer', 'Newer.')
        notices.warn('held back', 'Held back.')
    texts = [str(each.message) for each in given]
    assert [sum(text.startswith(word) for text in texts) for word in ('Dropped', 'Told')] == [MAX_KINDS, MAX_KINDS + 1]
    assert texts[-3:] == ['New.', 'Newer.', 'Held back. (1 more like this since the last warning.)']
