"""Whatever an agent can take or return has a stored form, and comes back as documented."""

from __future__ import annotations

import copy
import gc
import pickle
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
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_ai.messages import BinaryContent, ImageUrl
from pydantic_core import to_jsonable_python

from pydantic_ai_assay.store.compression import pack_json, unpack
from pydantic_ai_assay.store.values import StoredError, StoredValue, ValueEncoder, cut_in, decode

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


class Form(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    fields: list[str]
    shown: bool


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


class Leaving:
    __attrs_attrs__ = ('colour',)

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error or SystemExit('no')

    @property
    def colour(self) -> str:
        raise self.error


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


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


def test_stand_ins_are_equal_where_the_objects_would_be() -> None:
    answer, same = Answer(text='a', tags=['x']), stored(Answer(text='a', tags=['x']))
    assert same == stored(answer) == answer == same
    assert hash(same) == hash(stored(answer))
    assert [same, Point(x=same)] == stored([answer, Point(x=answer)])
    assert same != stored(Answer(text='b'))
    assert same != Answer(text='b')
    assert same != 'a'
    assert stored(Point(1)) != stored(Pair(1, 2))
    # Of what is only shown, or left out, nobody knows.
    opaque = stored(Opaque())
    assert opaque == opaque != stored(Opaque())
    assert stored('x' * 100, 10) != stored([1], 0)
    assert stored(Pair('x', 1), 0) != stored(Pair('x', 1), 0)


def test_stand_ins_go_by_the_names_of_the_classes() -> None:
    assert type(stored(Answer(text='a'))).__name__ == 'Answer'
    assert type(stored(Opaque())).__name__ == 'Opaque'
    assert type(stored(ValueError('no'))).__name__ == 'ValueError'
    assert type(decode({'$': 'object', 'type': 'a.Box[b.Item]\x00', 'shown': 'Box'})).__name__ == 'Box[b.Item]\\x00'


def of_its_class(value: object) -> TypeAdapter[Any]:
    return TypeAdapter(type(value))


def test_stand_ins_serialize_as_the_objects_would() -> None:
    answer = Answer(text='a', tags=['x'])
    for value in (answer, {'answers': [answer]}):
        assert to_jsonable_python(stored(value)) == to_jsonable_python(value)
    assert of_its_class(stored(answer)).dump_python(stored(answer)) == {'text': 'a', 'tags': ['x']}
    shown: dict[str, Any] = {'type_name': f'{__name__}.Opaque', 'shown': 'Opaque!', 'fields': {}}
    assert to_jsonable_python(stored(Opaque())) == shown


def test_fields_take_the_place_of_what_a_stand_in_says_of_itself() -> None:
    form = stored(Form(fields=['name'], shown=True))
    assert (form.fields, form.shown) == (['name'], True)
    assert form.type_name.endswith('.Form')


def test_stand_ins_are_stored_as_the_objects_would_be() -> None:
    for value in (Answer(text='a'), Opaque(), ValueError('no'), Form(fields=['a'], shown=False)):
        assert ValueEncoder(LIMIT)(stored(value)) == ValueEncoder(LIMIT)(value)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize('copied', [copy.copy, copy.deepcopy, pickled])
def test_stand_ins_can_be_copied(copied: Any) -> None:
    answer, opaque, error = (stored(each) for each in (Answer(text='a'), Opaque(), ValueError('no')))
    assert copied(answer) == answer
    assert (repr(copied(opaque)), repr(copied(error))) == ('Opaque!', "ValueError('no')")
    assert copied(error).type_name == 'builtins.ValueError'


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
    by_number = stored({number: number for number in range(100_000)}, 1000)
    assert by_number[1] == 1 and len(by_number) < 100
    assert 'more left out' in repr(by_number['$'])
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


def test_a_value_that_raises_when_it_is_looked_at_is_left_out_by_itself() -> None:
    assert 'it raised ValueError: trapped' in repr(stored(Trap()))
    assert repr(stored({'a': [1, Trap()], 'b': 2})).endswith("it raised ValueError: trapped]], 'b': 2}")
    assert 'it raised SystemExit: no' in repr(stored([Leaving()])[0])


def test_ctrl_c_is_not_taken_for_a_value_that_raises() -> None:
    with pytest.raises(KeyboardInterrupt):
        stored([Leaving(KeyboardInterrupt())])


@pytest.mark.parametrize(
    ('value', 'limit', 'why'),
    [
        ('x' * 100, 28, '80 characters of a text are left out'),
        ({'a': ['x' * 100]}, 100, '25 characters of a text are left out'),
        ([1] * 100, 100, '88 members of a collection are left out'),
        ({str(number): number for number in range(100)}, 100, '90 entries of a mapping are left out'),
        ([b'x' * 100], 100, 'a builtins.bytes is left out: 100 bytes are too large'),
        ({'$': 'text', 'left_out': 5, 'v': Opaque()}, LIMIT, None),
        ([CYCLE, Opaque(), 1.5], LIMIT, None),
    ],
)
def test_why_a_value_is_not_whole_is_said(value: Any, limit: int, why: str | None) -> None:
    assert cut_in(ValueEncoder(limit)(value)) == why


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
