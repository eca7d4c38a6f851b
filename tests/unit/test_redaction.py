"""Every text of a run can be mapped, nothing of the original is changed, and what a `Redactor` finds is gone."""

import asyncio
import copy
import dataclasses
import random
import sys
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict, cast

import pytest
from hypothesis import given, strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel, HttpUrl, PostgresDsn, ValidationError
from pydantic_ai import messages as m
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.usage import RequestUsage
from pydantic_evals.otel import SpanTreeRecordingError

from pydantic_ai_assay import RunRecord
from pydantic_ai_assay.errors import ConfigurationError, MissingExtraError
from pydantic_ai_assay.redaction.redactor import REDACTION_KINDS, RedactionKind, Redactor
from pydantic_ai_assay.redaction.run import map_text
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.runs.spans import SpanCapture, SpanRecorder

from .samples import a_run, in_thread

SECRET = 'tulip-7731'


def hide(text: str) -> str:
    return text.replace(SECRET, '[HIDDEN]')


class Color(StrEnum):
    RED = 'red'


class Note(TypedDict):
    text: str


class Point(NamedTuple):
    label: str
    x: int


@dataclass(frozen=True)
class Frozen:
    text: str
    kind: Literal['note'] = 'note'


class Slotted(Frozen):
    __slots__ = ('__private', 'unset')

    def __init__(self, text: str) -> None:
        super().__init__(text)
        object.__setattr__(self, f'_{type(self).__name__}__private', SECRET)

    @property
    def private(self) -> str:
        return self.__private


@dataclass
class Holder:
    value: Any = None
    others: list[Any] = field(default_factory=list[Any])


class Model(BaseModel, extra='allow'):
    text: str
    number: int = 1
    nested: dict[str, Any] = {}
    _note: str = SECRET


class Plain:
    def __init__(self) -> None:
        self.text = SECRET


class Closing:
    closed = 0

    def __del__(self) -> None:
        type(self).closed += 1


def mapped(value: Any, function: Callable[[str], str] = hide) -> Any:
    return map_text(a_run(output=value), function).output


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (f'a {SECRET} b', 'a [HIDDEN] b'),
        ({SECRET: [SECRET, 1]}, {'[HIDDEN]': ['[HIDDEN]', 1]}),
        ((SECRET, {SECRET}, frozenset({SECRET})), ('[HIDDEN]', {'[HIDDEN]'}, frozenset({'[HIDDEN]'}))),
        (OrderedDict({'a': SECRET}), OrderedDict({'a': '[HIDDEN]'})),
        (defaultdict[str, str](str, a=SECRET), {'a': '[HIDDEN]'}),
        (deque([SECRET], maxlen=3), deque(['[HIDDEN]'], maxlen=3)),
        (Point(SECRET, 2), Point('[HIDDEN]', 2)),
        (Frozen(SECRET), Frozen('[HIDDEN]')),
        (Color.RED, Color.RED),
        (SECRET.encode(), b'[HIDDEN]'),
        (b'\xff\xfe' + SECRET.encode(), b''),
        (PurePosixPath('/home') / SECRET, PurePosixPath('/home/[HIDDEN]')),
        (HttpUrl(f'https://example.com/{SECRET}'), HttpUrl('https://example.com/[HIDDEN]')),
        (PostgresDsn(f'postgres://u:{SECRET}@h/d'), PostgresDsn('postgres://u:[HIDDEN]@h/d')),
        (Plain(), '<Plain withheld>'),
        (
            [1, 2.5, None, True, datetime(2026, 1, 2, tzinfo=UTC)],
            [1, 2.5, None, True, datetime(2026, 1, 2, tzinfo=UTC)],
        ),
    ],
)
def test_values_keep_their_shape_and_lose_their_text(value: Any, expected: Any) -> None:
    result = mapped(value)
    assert result == expected
    if not isinstance(value, defaultdict | Plain):
        assert type(result) is type(value)


def test_an_address_that_is_text_when_it_is_written_becomes_text() -> None:
    assert mapped(ip_address('10.1.2.3'), lambda text: text.replace('10.1.2.3', 'gone')) == 'gone'
    assert mapped(ip_address('10.1.2.3')) == ip_address('10.1.2.3')


def test_models_keep_their_class_their_extras_and_which_fields_were_set() -> None:
    model = Model.model_validate({'text': SECRET, 'nested': {'a': SECRET}, f'x {SECRET}': SECRET})
    result = mapped(model)
    assert type(result) is Model
    assert result.model_dump(exclude_unset=True) == {
        'text': '[HIDDEN]',
        'nested': {'a': '[HIDDEN]'},
        'x [HIDDEN]': '[HIDDEN]',
    }
    assert SECRET not in repr(result.__pydantic_private__)
    assert model.text == SECRET


def test_slots_and_private_attributes_are_reached() -> None:
    result = mapped(Slotted(SECRET))
    assert (result.text, result.private) == ('[HIDDEN]', '[HIDDEN]')


def test_a_text_that_a_type_names_stays_whatever_the_function_does() -> None:
    assert mapped(Frozen('some'), lambda _: 'X') == Frozen('X', kind='note')
    # Nothing keeps a field from holding something else than its type says.
    assert mapped(Frozen('some', kind=cast(Any, SECRET))).kind == '[HIDDEN]'


def test_keys_that_become_the_same_keep_their_values() -> None:
    assert mapped({'a': 1, 'b': 2, 'c': 3}, lambda _: 'X') == {'X': 1, 'X (2)': 2, 'X (3)': 3}


def test_what_is_closed_with_its_last_reference_is_not_copied() -> None:
    value = Closing()
    assert mapped([value]) == ['<Closing withheld>']
    assert Closing.closed == 0


def test_cycles_end_and_stay_cycles() -> None:
    items: list[Any] = [SECRET]
    holder = Holder(value=(items, SECRET), others=items)
    items += [items, holder, {'self': items}]
    result = mapped(items)
    assert result[0] == '[HIDDEN]'
    assert result[1] is result
    assert result[2].others is result
    assert result[2].value[0] is result
    assert result[3]['self'] is result


def test_a_tuple_that_holds_itself_by_way_of_a_list_stays_one() -> None:
    items: list[Any] = [SECRET]
    value = (items, SECRET)
    items.append(value)
    result = mapped(value)
    assert result[0][0] == result[1] == '[HIDDEN]'
    assert result[0][1] is result


@dataclass
class Dice(random.Random):
    """A dataclass whose state is not in its attributes alone."""

    owner: str = SECRET


@dataclass
class Vague:
    """A dataclass whose annotations cannot be read."""

    text: 'Unknown'  # pyright: ignore[reportUndefinedVariable]  # noqa: F821


def test_what_cannot_be_made_anew_is_withheld() -> None:
    assert mapped(Dice()) == '<Dice withheld>'


def test_annotations_that_cannot_be_read_name_nothing() -> None:
    assert mapped(Vague(SECRET)) == Vague('[HIDDEN]')


def test_what_is_nested_too_deeply_is_withheld() -> None:
    value: Any = SECRET
    for _ in range(5_000):
        value = [value]
    result = in_thread(lambda: mapped(value))
    depth = 0
    while isinstance(result, list):
        result, depth = cast('list[Any]', result)[0], depth + 1
    assert (result, depth) == ('<list withheld>', 100)


def test_a_function_that_returns_no_text_is_an_error() -> None:
    with pytest.raises(TypeError, match='not to NoneType'):
        mapped('some', cast(Any, lambda _: None))  # pyright: ignore[reportUnknownLambdaType]


# Exceptions


class Complaint(ValueError):
    def __init__(self, customer: str, *, reason: str) -> None:
        super().__init__(customer)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.args[0]} complained: {self.reason}'


class Fixed(Exception):
    """Its text is none of its arguments."""

    def __str__(self) -> str:
        return f'it was {SECRET}'


class Registered(Exception):
    """Keeps a list of what is derived from it."""

    derived: ClassVar[list[type[Exception]]] = []

    def __init_subclass__(cls) -> None:
        cls.derived.append(cls)

    def __str__(self) -> str:
        return f'it was {SECRET}'


class Mute(Exception):
    def __str__(self) -> str:
        raise KeyError(SECRET)


@pytest.mark.parametrize(
    'error',
    [
        ValueError(f'bad {SECRET}', {'a': SECRET}),
        KeyError(SECRET),
        Complaint(SECRET, reason=SECRET),
        ModelHTTPError(500, 'some', {'message': SECRET}),
        TimeoutError(SECRET),
        asyncio.CancelledError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
)
def test_errors_keep_their_class(error: BaseException) -> None:
    result = mapped(error)
    assert type(result) is type(error)
    assert str(result) == hide(str(error))
    assert SECRET not in f'{result!r} {result.args} {vars(result)}'


@pytest.mark.parametrize(
    'error',
    [
        FileNotFoundError(2, 'No such file', f'/home/{SECRET}'),
        UnicodeDecodeError('utf-8', SECRET.encode(), 0, 1, f'bad {SECRET}'),
        Fixed(),
    ],
)
def test_errors_whose_text_comes_from_elsewhere_keep_their_kind_and_name(error: BaseException) -> None:
    result = mapped(error)
    assert isinstance(result, type(error))
    assert type(result).__name__ == type(error).__name__
    assert str(result) == hide(str(error))
    assert SECRET not in f'{result!r} {result.args}'


def test_an_error_from_which_none_can_be_derived_keeps_its_name_and_what_it_derives_from() -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({'text': {'a': SECRET}})
    result = mapped(caught.value)
    assert isinstance(result, ValueError)
    assert type(result).__name__ == 'ValidationError'
    assert str(result) == hide(str(caught.value)) != str(caught.value)


def test_no_class_is_derived_from_one_that_would_notice() -> None:
    result = mapped(Registered())
    assert (type(result).__name__, type(result).__mro__[1], str(result)) == ('Registered', Exception, 'it was [HIDDEN]')
    assert Registered.derived == []


def test_an_error_whose_text_raises_is_mapped() -> None:
    result = mapped(Mute(SECRET))
    assert type(result) is Mute
    assert result.args == ('[HIDDEN]',)


def test_causes_contexts_and_notes_are_mapped_and_tracebacks_left_out() -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise ValueError(SECRET) from cause
    except ValueError as error:
        error.add_note(SECRET)
        error.args = (SECRET, error)
        result = mapped(error)
    assert result.__traceback__ is None
    assert result.__cause__.args == ('[HIDDEN]',)
    assert result.__cause__.__traceback__ is None
    assert result.__context__ is result.__cause__
    assert result.__suppress_context__
    assert result.__notes__ == ['[HIDDEN]']


# Messages


def conversation() -> list[m.ModelMessage]:
    """A conversation that holds the secret in every kind of part."""
    details = {'raw': SECRET}
    return [
        m.ModelRequest(
            parts=[
                m.SystemPromptPart(SECRET, dynamic_ref=SECRET),
                m.UserPromptPart(SECRET),
                m.UserPromptPart(
                    [
                        SECRET,
                        m.TextContent(SECRET, metadata={'a': SECRET}),
                        m.StructuredContent({'a': SECRET}),
                        m.ImageUrl(f'https://example.com/{SECRET}.png', identifier=SECRET),
                        m.BinaryContent(SECRET.encode(), media_type='text/plain', identifier=SECRET),
                        m.BinaryContent(b'\xff' + SECRET.encode(), media_type='image/png'),
                        m.CachePoint(),
                    ]
                ),
                m.ToolReturnPart('lookup', {'a': [SECRET]}, tool_call_id='call-1', metadata=SECRET),
                m.ToolReturnPart('lookup', SECRET, tool_call_id='call-2', outcome='failed'),
                m.ToolReturnPart('lookup', f'wrong: {SECRET}', tool_call_id='call-3', outcome='retried'),
                m.RetryFeedbackPart(f'wrong: {SECRET}', retry=m.RetryInfo(cause='no_output')),
            ],
            instructions=SECRET,
            metadata={SECRET: SECRET},
            run_id='run-1',
            conversation_id='conversation-1',
        ),
        m.ModelResponse(
            parts=[
                m.TextPart(SECRET, provider_name='some', provider_details=details),
                m.ThinkingPart(SECRET, signature=SECRET),
                m.ToolCallPart('lookup', {'query': SECRET}, tool_call_id='call-1'),
                m.ToolCallPart('lookup', f'{{"query": "{SECRET}"}}', tool_call_id='call-2'),
                m.NativeToolCallPart('web_search', {'query': SECRET}),
                m.NativeToolReturnPart('web_search', {'found': SECRET}),
                m.FilePart(m.BinaryContent(b'\xff' + SECRET.encode(), media_type='image/png')),
                m.CompactionPart(SECRET),
            ],
            usage=RequestUsage(input_tokens=3),
            model_name='some',
            provider_details=details,
            finish_reason='stop',
            run_id='run-1',
            conversation_id='conversation-1',
            history_digest='0123',
        ),
    ]


def test_every_part_of_messages_is_mapped() -> None:
    messages = tuple(conversation())
    before = copy.deepcopy(messages)
    run = map_text(a_run(messages=messages, new_message_index=0), hide)
    dumped = m.ModelMessagesTypeAdapter.dump_json(list(run.messages)).decode()
    assert SECRET not in dumped + repr(run.messages)
    assert messages == before
    assert run.tools_called == ('lookup', 'lookup', 'web_search')
    assert m.ModelMessagesTypeAdapter.validate_json(dumped)
    assert cast(m.ModelResponse, run.messages[1]).history_digest is None


def test_messages_keep_their_kinds_and_ids_whatever_the_function_does() -> None:
    run = map_text(a_run(messages=tuple(conversation())), lambda _: 'X')
    for new, old in zip(run.messages, conversation(), strict=True):
        assert (new.kind, new.run_id, new.conversation_id) == (old.kind, 'run-1', 'conversation-1')
        assert [(type(part), part.part_kind) for part in new.parts] == [(type(p), p.part_kind) for p in old.parts]
    assert cast(m.RetryFeedbackPart, run.messages[0].parts[-1]).retry.cause == 'no_output'
    assert cast(m.ModelResponse, run.messages[1]).usage.input_tokens == 3
    assert cast(m.ModelResponse, run.messages[1]).finish_reason == 'stop'


# Records

places = st.sampled_from(
    ['inputs', 'output', 'expected_output', 'metadata', 'attributes', 'baggage', 'error', 'messages']
)
leaves = st.one_of(
    st.none(), st.integers(), st.booleans(), st.text(max_size=5), st.just(SECRET), st.just(SECRET.encode())
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(st.just(SECRET), st.text(max_size=3)), inner, max_size=3),
        st.builds(Holder, inner, st.lists(inner, max_size=2)),
        inner.map(lambda value: Model(text=SECRET, nested={'a': value})),
        inner.map(lambda value: ValueError(SECRET, value)),
        inner.map(lambda value: m.ToolReturnPart('t', value, tool_call_id=SECRET)),
    ),
    max_leaves=12,
)


def planted(place: str, value: Any) -> RunRecord:
    if place in ('metadata', 'attributes', 'baggage'):
        value = {SECRET: value, 'more': SECRET}
    elif place == 'error':
        value = RuntimeError(SECRET, value)
    elif place == 'messages':
        value = (m.ModelRequest([m.UserPromptPart(SECRET), m.ToolReturnPart('t', value, tool_call_id='1')]),)
    return a_run(**{place: value})


@given(places, trees)
def test_no_planted_text_survives_anywhere_and_the_original_is_unchanged(place: str, value: Any) -> None:
    run = planted(place, value)
    before = repr(run)
    result = map_text(run, hide)
    assert repr(run) == before
    assert SECRET not in repr(result)


def test_ids_and_numbers_stay_and_dependencies_go() -> None:
    run = a_run(
        deps=SECRET, agent_name='support', conversation_id='c', metadata={'a': SECRET}, recorded_metrics={'n': 1}
    )
    result = map_text(run, lambda _: 'X')
    assert result.deps is None
    assert run.deps == SECRET
    changed = {f.name for f in dataclasses.fields(run) if getattr(run, f.name) != getattr(result, f.name)}
    assert changed == {'deps', 'inputs', 'output', 'metadata', 'recorded_metrics'}
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.output = 1  # pyright: ignore[reportAttributeAccessIssue]


# Spans


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> tuple[SpanCapture, Callable[[], None]]:
    """The spans of a run that holds the secret in a name, attributes, an event and an error; its own ends later."""
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, 'get_tracer_provider', lambda: provider)
    recorder = SpanRecorder()
    tracer = provider.get_tracer('test')
    own = tracer.start_span('run', attributes={'gen_ai.prompt': SECRET, 'list': [SECRET, SECRET]})
    spans = recorder.open(own, is_own=True, parent=None, limit=None)
    with trace.use_span(own), pytest.raises(ValueError, match=SECRET):
        with tracer.start_as_current_span(f'child {SECRET}') as child:
            child.add_event('event', {'text': SECRET})
            child.set_attributes({'gen_ai.request.model': 'some', 'gen_ai.usage.input_tokens': 5})
            raise ValueError(SECRET)
    return spans, own.end


Captured = tuple[SpanCapture, Callable[[], None]]


def test_spans_are_mapped_when_they_are_looked_at(captured: Captured) -> None:
    spans, end = captured
    run = map_text(a_run(spans=spans), hide)
    assert run.spans is not None
    (child,) = run.spans.all_spans()
    assert child.name == 'child [HIDDEN]'
    assert spans.is_open
    end()
    assert not spans.is_open
    tree = run.spans.tree()
    assert run.spans.tree() is tree
    (root,) = tree.roots
    assert root.attributes == {'gen_ai.prompt': '[HIDDEN]', 'list': ('[HIDDEN]', '[HIDDEN]')}
    assert [node.name for node in root.children] == ['child [HIDDEN]']
    assert SECRET not in ''.join(
        f'{each.name} {each.attributes} {getattr(each, "events", ())}' for each in run.spans.all_spans()
    )
    assert next(iter(spans.all_spans())).name == f'child {SECRET}'


def test_evaluators_see_mapped_spans_and_their_metrics(captured: Captured) -> None:
    spans, end = captured
    end()
    context = build_context(map_text(a_run(spans=spans), hide), None)
    assert context.metrics == {'input_tokens': 5}
    assert context.span_tree.any({'name_equals': 'child [HIDDEN]'})


def test_spans_are_withheld_when_mapping_them_raises(captured: Captured) -> None:
    def fail(text: str) -> str:
        raise LookupError(text)

    spans, end = captured
    run = map_text(a_run(spans=spans, inputs=None, output=None), fail)
    end()
    assert run.spans is not None
    assert list(run.spans.all_spans()) == []
    with pytest.raises(SpanTreeRecordingError, match='raised LookupError') as caught:
        run.spans.tree()
    assert SECRET not in str(caught.value)


def test_spans_that_were_not_recorded_say_why() -> None:
    spans = SpanRecorder().open(trace.INVALID_SPAN, is_own=False, parent=None, limit=None)
    spans.recording_error = 'no provider'
    run = map_text(a_run(spans=spans), hide)
    assert run.spans is not None
    with pytest.raises(SpanTreeRecordingError, match='no provider'):
        run.spans.tree()
    run.spans.close()


# The ready redaction

FOUND: list[tuple[RedactionKind, str]] = [
    ('email', 'ada@example.com'),
    ('email', 'Ada.Lovelace+x@mail.example.co.uk'),
    ('email', 'grüße@münchen.example'),
    ('phone', '+1 415 555 2671'),
    ('phone', '+14155552671'),
    ('phone', '(415) 555-2671'),
    ('phone', '+44 20 7946 0958'),
    ('credit_card', '4111 1111 1111 1111'),
    ('credit_card', '4111111111111111'),
    ('credit_card', '3782 822463 10005'),
    ('iban', 'DE89370400440532013000'),
    ('iban', 'GB82 WEST 1234 5698 7654 32'),
    ('ip_address', '192.168.10.42'),
    ('ip_address', '2001:db8::8a2e:370:7334'),
    ('us_ssn', '536-90-4399'),
    ('us_ssn', '536 90 4399'),
    ('secret', 'AKIAIOSFODNN7EXAMPLF'),
    ('secret', 'ghp_' + 'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8'),
    ('secret', 'sk-proj-' + 'A1b2C3d4E5f6' * 5),
    ('secret', 'xoxb-' + '123456789012-1234567890123-AbCdEfGhIjKlMnOp'),
    ('secret', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN'),
    ('secret', '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY-----'),
    ('secret', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----'),
    ('secret', '-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----'),
    ('secret', 'github_pat_' + '11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ'),
    ('secret', 'sk-' + 'abcdefghijKLMNOPQRSTuvwxyzABCDEFGHIJ'),
    ('secret', 'hf_' + 'abcdefghijklmnopqrstuvwxyzABCDEFGH'),
    ('secret', 'GOCSPX-' + '1a2b3c4d5e6f7g8h9i0jklmnopqr'),
    ('secret', 'hooks.slack.com/services/' + 'T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX'),
    ('secret', 'discord.com/api/webhooks/123456789012345678/' + 'abcDEF-123_ghiJKL'),
    ('secret', 'SK' + '0123456789abcdef' * 2),
    ('secret', 'key-' + '0123456789abcdef' * 2),
    ('secret', 'dapi' + '0123456789abcdef' * 2),
    ('secret', 'hvs.' + 'CAESIJabcdefghijklmnopqrstuvwxyz0123456789'),
    ('secret', 'eyJhbGciOiJkaXIi0.' + 'OKOawDo13gRp2ojaHV7.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT'),
    ('email', '用户@例え.テスト'),
    ('email', 'ada@example.xn--p1ai'),
    ('email', 'ada%40example.com'),
    ('email', '"ada lovelace"@example.com'),
    ('credit_card', '4111-1111-1111-1111'),
    ('credit_card', '4111.1111.1111.1111'),
    ('credit_card', '4111\u20131111\u20131111\u20131111'),
    ('credit_card', '4111\u00a01111\u00a01111\u00a01111'),
    ('credit_card', '\uff14' + '\uff11' * 15),
    ('credit_card', '30569309025904'),
    ('iban', 'DE89.3704.0044.0532.0130.00'),
    ('iban', 'DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000'),
    ('iban', 'MT84MALT011000012345MTLCAST001S'),
    ('us_ssn', '536.90.4399'),
    ('phone', '0049 30 901820'),
]
KEPT = [
    'Order 4111111111111112 shipped',
    'order #1234567890 and #W5744371',
    'on 2026-01-02 at 12:30:45, 2026-11-21T15:07:21.123456+00:00',
    'USD 1,234.56 and 99.99 EUR, 12 345 678.90',
    '1735689600',
    'product 9523456873',
    'version 10.4.2.1 and 10.4.2.1-beta',
    'tracking 1Z999AA10123456784',
    'ISBN 978-3-16-148410-0',
    '000-12-3456',
    'the @decorator of std::vector<int> and a::b at 3:4:5',
    '550e8400-e29b-41d4-a716-446655440000',
    '9b74c9897bac770ffc029102a200c5de',
    'DE89370400440532013001',
    'lat 52.520008, lon 13.404954, 3.14159265358979',
    'the password is required; reset my password: please do',
    'a sk-learn-pipeline-with-many-steps',
    'max_tokens=4096, tokens: 1234',
    '10 + 12345678',
    'Basic understanding and bearer certificates; Bearer authentication is simpler than a bearer bond',
    'token: string, password: required, api_key: null',
    'the secret is persistence, and a token of gratitude: flowers for everyone',
    'https://example.com:8080/@ada and https://example.com/a:b',
    'boarding pass: 12A, pass 3 of 4, the PIN code, pin 3 to the wall',
    'sr_key=12, <token> and <password>, a --password-file, curl -u',
    'The authorization: see below. I like cookies: they taste good.',
    '4111.1111.1111.1112 and 3.1111.2222.3333',
    'SSN 000000000, 00 30 901820',
    'sk-abcdefgh and hf_model and key-value',
    'everything at @example.com',
]


@pytest.mark.parametrize(('kind', 'text'), FOUND)
def test_what_is_found_is_replaced_by_its_mark(kind: RedactionKind, text: str) -> None:
    assert Redactor().redact_text(f'It is {text}, she said.') == f'It is [{kind.upper()}], she said.'
    assert Redactor(kinds=[kind]).redact_text(text) == f'[{kind.upper()}]'


@pytest.mark.parametrize('text', KEPT)
def test_numbers_dates_and_prices_stay(text: str) -> None:
    assert Redactor().redact_text(text) == text


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('password=hunter-two!', 'password=[SECRET]'),
        ('my password is hunter2', 'my password is [SECRET]'),
        ('{"api_key": "abc def", "x": 1}', '{"api_key": "[SECRET]", "x": 1}'),
        (r'{\"api_key\": \"abc\", \"x\": 1}', r'{\"api_key\": \"[SECRET]\", \"x\": 1}'),
        ("{'token': 'a\\'b'}", "{'token': '[SECRET]'}"),
        ('postgres://admin:hunter2@db/x', 'postgres://[SECRET]@db/x'),
        ('postgres://admin:hunter2@db.example.com/x', 'postgres://[SECRET]/x'),
        ('Authorization: Bearer abcDEF123456ghi', 'Authorization: Bearer [SECRET]'),
        ('-----BEGIN PRIVATE KEY-----\nMIIE', '[SECRET]'),
        ('-----END PRIVATE KEY-----', '-----END PRIVATE KEY-----'),
        ('1 4111 1111 1111 1111 2', '1 [CREDIT_CARD] 2'),
        ('IBAN DE89 3704 0044 0532 0130 00 IS MINE', 'IBAN [IBAN] IS MINE'),
        (
            r'{"note": "mine:\n4111 1111 1111 1111\n\u00a0ada@example.com"}',
            r'{"note": "mine:\n[CREDIT_CARD]\n\u00a0[EMAIL]"}',
        ),
        ('999.1.1.1 and 8.8.8.8.', '999.1.1.1 and [IP_ADDRESS].'),
        ('postgres://u:p@ss@host/db', 'postgres://[SECRET]@host/db'),
        ('postgres://u:p@s@s@db.example.com/x?mail=a', 'postgres://[SECRET]/x?mail=a'),
        ('postgres://u:pa/ss@host/db', 'postgres://[SECRET]@host/db'),
        ('redis://:swordfish@cache:6379/0', 'redis://[SECRET]@cache:6379/0'),
        ('Authorization: Bearer abcdefghijklmnopqrstuvwxyz', 'Authorization: Bearer [SECRET]'),
        ('-H "Authorization: Bearer swordfish"', '-H "Authorization: Bearer [SECRET]"'),
        ('use Bearer mytokenisthis here', 'use Bearer [SECRET] here'),
        ('a bearer AbCdEfGhIjKl', 'a bearer [SECRET]'),
        ('Authorization: Token swordfish', 'Authorization: Token [SECRET]'),
        ('Authorization: abcdefghijklmnop', 'Authorization: [SECRET]'),
        ('token=swordfish', 'token=[SECRET]'),
        ('pass=swordfish;pw=swordfish', 'pass=[SECRET];pw=[SECRET]'),
        ('api_key: swordfish', 'api_key: [SECRET]'),
        ('API Key: swordfish', 'API Key: [SECRET]'),
        ('X-API-Key: swordfish\r\nAccept: text', 'X-API-Key: [SECRET]\r\nAccept: text'),
        ('Username: ada\nPassword: swordfish\n', 'Username: ada\nPassword: [SECRET]\n'),
        ('Mein Passwort ist geheim123', 'Mein Passwort ist [SECRET]'),
        ('Server=db;Uid=sa;Pwd=swordfish;', 'Server=db;Uid=sa;Pwd=[SECRET];'),
        ('AccountKey=abcDEF/+12==;Suffix=x', 'AccountKey=[SECRET];Suffix=x'),
        ('aws_secret_access_key = abc/DEF/EXAMPLEKEY', 'aws_secret_access_key = [SECRET]'),
        ('https://x.example/?key=abcdefghij&x=1', 'https://x.example/?key=[SECRET]&x=1'),
        ('https://x.example/?sv=2&sig=abcDEF%2Bxyz%3D', 'https://x.example/?sv=2&sig=[SECRET]'),
        ('<db><password>swordfish</password></db>', '<db><password>[SECRET]</password></db>'),
        ('mysql --password swordfish -u root', 'mysql --password [SECRET] -u root'),
        ('curl -u ada:swordfish https://x.example', 'curl -u [SECRET] https://x.example'),
        ('Cookie: session=abcdef; theme=dark', 'Cookie: [SECRET]'),
        ('PuTTY\nPrivate-Lines: 1\nAAAAIKmn\nPrivate-MAC: 12', 'PuTTY\nPrivate-Lines: [SECRET]-MAC: 12'),
        (
            'CVV: 123, my PIN is 4711, verification code 482913',
            'CVV: [SECRET], my PIN is [SECRET], verification code [SECRET]',
        ),
        ('my SSN is 536904399', 'my SSN is [US_SSN]'),
        ('.8.8.8.8 and 1.8.8.8.8', '.[IP_ADDRESS] and 1.8.8.8.8'),
    ],
)
def test_only_the_secret_is_replaced(text: str, expected: str) -> None:
    assert Redactor().redact_text(text) == expected


def test_what_stands_under_a_name_of_secrets_is_a_secret_whatever_it_looks_like() -> None:
    run = a_run(output={'userPassword': 'correct horse', 'X-Api-Key': ['a', 1], 'passwords': 'three', 'login': 'ada'})
    assert Redactor()(run).output == {
        'userPassword': '[SECRET]',
        'X-Api-Key': ['[SECRET]', 1],
        'passwords': 'three',
        'login': 'ada',
    }
    assert Redactor(kinds=['email'])(run).output == run.output


def test_kinds_marks_and_regions_can_be_chosen() -> None:
    redactor = Redactor(kinds=['email', 'phone'], phone_regions=['DE'], marks={'email': '<mail>'})
    text = 'ada@example.com, 030 901820, (415) 555-2671, +1 415 555 2671, 8.8.8.8'
    assert redactor.redact_text(text) == '<mail>, [PHONE], (415) 555-2671, [PHONE], 8.8.8.8'
    assert Redactor(phone_regions=[]).redact_text('(415) 555-2671') == '(415) 555-2671'


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'kinds': ['e-mail']}, "kinds has 'e-mail', which is unknown. Allowed are: 'secret', 'email'"),
        ({'kinds': 'email'}, "kinds='email' must be a collection of texts"),
        ({'marks': {'mail': 'x'}}, "marks has 'mail'"),
        ({'phone_regions': ['Germany']}, "phone_regions has 'Germany'"),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Redactor(**settings)


def test_a_missing_library_is_named_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without(MetaPathFinder):
        """Finds everything but one package."""

        def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
            return None if fullname == 'stdnum' else PathFinder.find_spec(fullname, cast(Any, path))

    monkeypatch.delitem(sys.modules, 'stdnum', raising=False)
    monkeypatch.setattr(sys, 'meta_path', [Without()])
    with pytest.raises(MissingExtraError, match=r"`Redactor` needs .* 'redaction'"):
        Redactor()


@pytest.mark.parametrize(
    'piece',
    ['1', '1 ', '1.', 'a@', 'a', '@', '-----BEGIN PRIVATE KEY-----', '://a:b', 'eyJaaaaaaaaa.', 'sk-', '+1 (', 'DE89 ']
    + [
        '4111 ',
        '1.1.1.1 ',
        'abcd:',
        'password="',
        'password ',
        'bearer ',
        '123-45 ',
        ' ',
        'key=\\"',
        'SG.aaaaaaaaaaaaaaaaaaaa.',
        '://a:',
        'Bearer a',
        'Bearer aaaaaaaaaaaaaaa-',
        'authorization: bearer ',
        'cookie:a=',
        '?key=',
        'cvv ',
        '<token>',
        '--token ',
        '-u a:',
        'Private-Lines: 1\n',
        'api_key: a',
        'api_key: ',
        'secret_',
        '%40',
        '"a@',
        'DE89.',
        '00491 ',
        'ssn ',
    ],
)
def test_any_text_is_redacted_in_bounded_time(piece: str) -> None:
    redactor = Redactor()
    text = (piece * 50_000)[:50_000]
    started = time.process_time()
    redactor.redact_text(text)
    assert time.process_time() - started < 10


@given(st.sampled_from(FOUND), places, st.text(alphabet=' .,;\n', max_size=3))
def test_nothing_found_survives_in_any_place_of_a_run(
    found: tuple[RedactionKind, str], place: str, around: str
) -> None:
    _, text = found
    run = planted(place, {'said': [f'so {around}{text}{around} it is']})
    assert text not in repr(Redactor()(run)).encode().decode('unicode_escape')


def test_a_run_is_redacted_where_its_text_is_repeated() -> None:
    assert set(REDACTION_KINDS) == {kind for kind, _ in FOUND}
    result = Redactor()(a_run(inputs='ada@example.com', output='To ada@example.com'))
    assert (result.inputs, result.output) == ('[EMAIL]', 'To [EMAIL]')
