"""Whatever an agent can take or return has a stored form, and comes back as documented."""

from __future__ import annotations

import gc
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import ip_address
from math import inf, isnan, nan
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict
from pydantic_ai.messages import BinaryContent, ImageUrl

from pydantic_ai_assay.store.compression import pack_json, unpack
from pydantic_ai_assay.store.values import StoredError, StoredValue, ValueEncoder, decode

LIMIT = 100_000


def stored(value: Any, limit: int = LIMIT) -> Any:
    """The value, written and read back."""
    return decode(unpack(pack_json(ValueEncoder(limit)(value))))


class Colour(Enum):
    RED = 'red'


class Level(IntEnum):
    LOW = 1


class Text(str):
    pass


class Fraction(float):
    pass


class Answer(BaseModel):
    model_config = ConfigDict(extra='allow')

    text: str
    tags: list[str] = []


@dataclass
class Point:
    x: Any
    y: Any = field(init=False)


class Pair(NamedTuple):
    left: Any
    right: Any


class Opaque:
    def __repr__(self) -> str:
        return 'Opaque!'


class Rude:
    def __repr__(self) -> str:
        raise SystemExit('no')


class Unspoken(Exception):
    def __str__(self) -> str:
        raise RuntimeError('no')


class Attrs:
    __attrs_attrs__ = ('colour',)

    def __init__(self) -> None:
        self.colour = 'red'


class Trap:
    """Has the fields of a class of attrs, and raises when one is read."""

    __attrs_attrs__ = ('colour',)

    @property
    def colour(self) -> str:
        raise ValueError('trapped')


SAME = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.text(st.characters(categories=['Cs']) | st.just('\x00'))
    | st.binary()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(st.integers() | st.text() | st.just('$'), inner)
        | st.frozensets(st.integers() | st.text())
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


@given(SAME)
def test_values_of_these_kinds_come_back_equal(value: Any) -> None:
    back = stored(value)
    assert back == value
    assert type(back) is type(value)


ANYTHING = st.recursive(
    SAME
    | st.builds(Opaque)
    | st.builds(Rude)
    | st.builds(Unspoken)
    | st.builds(Attrs)
    | st.builds(Trap)
    | st.builds(Answer, text=st.text(), more=st.builds(Opaque))
    | st.sampled_from([nan, inf, Colour.RED, Level.LOW, Text('t'), Fraction(0.5), 10**3000, print, Point])
    | st.builds(pow, st.just(2), st.just(300_000))
    | st.binary(min_size=2000, max_size=3000).map(memoryview)
    | st.builds(Point, st.integers()),
    lambda inner: (
        st.lists(inner)
        | st.builds(Point, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(ValueError, inner)
        | st.dictionaries(st.text() | st.builds(Opaque), inner).map(MappingProxyType)
        | st.lists(inner).map(deque)
    ),
    max_leaves=20,
)


@given(ANYTHING, st.integers(0, 3000))
def test_any_value_is_stored_or_left_out_visibly_and_nothing_raises(value: Any, limit: int) -> None:
    document = pack_json(ValueEncoder(limit)(value))
    assert repr(decode(unpack(document)))
    # What stands for a value that is left out is small.
    assert len(document) < 3 * limit + 10_000


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (Colour.RED, 'red'),
        (Level.LOW, 1),
        (Text('t'), 't'),
        (Fraction(0.5), 0.5),
        (10**3000, 10**3000),
        (inf, inf),
        (bytearray(b'ab'), b'ab'),
        (memoryview(b'ab'), b'ab'),
        (deque([1, 2]), deque([1, 2])),
        (OrderedDict[str, int](a=1), {'a': 1}),
        (Counter('aab'), {'a': 2, 'b': 1}),
        (MappingProxyType({'a': 1}), {'a': 1}),
        (Path('a') / 'b', str(Path('a/b'))),
        ({'$': 'text', 'v': 'not marked by us'}, {'$': 'text', 'v': 'not marked by us'}),
        ({(1, 2): 'x'}, {(1, 2): 'x'}),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (date(2026, 1, 2), date(2026, 1, 2)),
        (time(3, 4), time(3, 4)),
        (timedelta(days=-1, microseconds=1), timedelta(days=-1, microseconds=1)),
        (UUID(int=1), UUID(int=1)),
        (Decimal('1.10'), Decimal('1.10')),
        (ImageUrl('https://example.com/a.png'), ImageUrl('https://example.com/a.png')),
    ],
)
def test_values_come_back_as_this(value: Any, expected: Any) -> None:
    back = stored(value)
    assert back == expected
    assert type(back) is type(expected)


def test_not_a_number_comes_back_as_that() -> None:
    assert isnan(stored(nan))


def test_binary_content_comes_back_as_it_was() -> None:
    content = BinaryContent(b'\x00\xff', media_type='application/pdf')
    back = stored(['look', content])
    assert (back[0], back[1].data, back[1].media_type) == ('look', b'\x00\xff', 'application/pdf')


def test_models_dataclasses_and_named_tuples_come_back_with_their_fields() -> None:
    answer = stored(Answer(text='hello', tags=['a'], extra=1))  # pyright: ignore[reportCallIssue]
    assert isinstance(answer, StoredValue)
    assert (answer.text, answer.tags, answer.extra) == ('hello', ['a'], 1)
    assert answer.type_name.endswith('.Answer')
    assert repr(answer) == "Answer(text='hello', tags=['a'], extra=1)"
    point = stored(Point(x=answer))
    assert isinstance(point.x, StoredValue)
    with pytest.raises(AttributeError, match="has no field 'y'"):
        _ = point.y
    assert stored(Pair(1, 2)).right == 2
    assert stored(Attrs()).colour == 'red'


def test_other_objects_come_back_as_what_they_showed() -> None:
    back = stored(Opaque())
    assert (repr(back), dict(back.fields)) == ('Opaque!', {})
    assert repr(stored(Rude())) == '<Rude, whose repr raised SystemExit>'
    assert repr(stored(ip_address('::1'))) == "IPv6Address('::1')"


def test_errors_come_back_as_errors_with_their_text() -> None:
    back = stored(ValueError('broken'))
    assert isinstance(back, StoredError)
    assert (str(back), back.type_name, repr(back)) == ('broken', 'builtins.ValueError', "ValueError('broken')")
    assert str(stored(Unspoken())) == '(its text raised RuntimeError)'


def test_what_contains_itself_ends() -> None:
    value: list[Any] = [1]
    value.append(value)
    back = stored(value)
    assert back[0] == 1
    assert repr(back[1]) == '[the builtins.list around it]'
    # What is merely there twice is not taken for that.
    twice = ['x']
    assert stored([twice, twice]) == [['x'], ['x']]


def test_what_lies_too_deep_is_left_out() -> None:
    value: Any = 'x'
    for _ in range(1000):
        value = [value]
    assert 'left out: too deep' in repr(stored(value))


def test_a_large_text_is_cut_and_says_so() -> None:
    back = stored('x' * 50_000_000, 1000)
    assert back.startswith('xxxx')
    assert back.endswith('characters left out]')
    assert len(back) < 1100


def test_large_collections_and_bytes_are_cut_and_say_so() -> None:
    back = stored(list(range(100_000)), 1000)
    assert back[:3] == [0, 1, 2]
    assert 'more left out' in repr(back[-1])
    fewer = stored({str(number): number for number in range(100_000)}, 1000)
    assert 'more left out' in repr(fewer['…'])
    assert '50000000 bytes are too large' in repr(stored(b'x' * 50_000_000))
    picture = BinaryContent(b'x' * 1_000_000, media_type='image/png')
    assert '1000000 bytes of image/png are too large' in repr(stored(picture))
    assert '5000000 bits are too large' in repr(stored(1 << 4_999_999))
    assert 'builtins.int left out: too large' in repr(stored(Pair('x' * 100, 1), 50))


def test_members_that_cannot_be_hashed_any_more_do_not_lose_the_rest() -> None:
    assert stored({(1, 2), 'x'}) in ({(1, 2), 'x'},)
    frozen = stored(frozenset({frozenset({Pair(1, 2)})}))
    assert isinstance(frozen, frozenset)

    @dataclass(frozen=True)
    class Key:
        number: int

    assert len(stored({Key(1): 'one'})) == 1


def test_a_value_that_raises_when_it_is_looked_at_is_left_out() -> None:
    assert 'it raised ValueError: trapped' in repr(stored(Trap()))


@pytest.mark.parametrize(
    'document',
    [{'$': 'of the future', 'v': 1}, {'$': 'float', 'v': 'x'}, {'$': 'bytes'}, {'$': 'user_content', 'v': 5}],
)
def test_what_a_later_version_wrote_is_shown_as_unknown(document: Any) -> None:
    assert repr(decode(document)) == '[of a kind this version does not know]'


def test_unhashable_stand_ins_are_kept_in_a_list_or_under_their_text() -> None:
    assert decode({'$': 'set', 'v': [[1], 2]}) == [[1], 2]
    assert decode({'$': 'dict', 'v': [[[1], 'x']]}) == {'[1]': 'x'}


def test_nothing_of_a_value_is_held() -> None:
    value = Opaque()
    ValueEncoder(LIMIT)([value])
    assert [each for each in gc.get_referrers(value) if isinstance(each, list)] == []
