"""The small parts of a store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai.messages import ModelRequest, ToolReturnPart
from pydantic_ai.usage import RunUsage
from pydantic_evals.evaluators import EvaluationResult, EvaluatorContext, EvaluatorFailure, EvaluatorSpec
from pydantic_evals.online import SinkPayload, SpanReference
from pydantic_evals.otel import SpanNode, SpanTree, SpanTreeRecordingError

from pydantic_ai_assay.analysis.moments import Moments
from pydantic_ai_assay.runs.outcome import EVALUATION_STATUSES
from pydantic_ai_assay.store.aggregation import AggregateFilter, aggregates_query, segments
from pydantic_ai_assay.store.compression import pack, pack_json, unpack
from pydantic_ai_assay.store.entry import Entry, encode_entry, micros, row_of
from pydantic_ai_assay.store.spool import Spool
from pydantic_ai_assay.store.stored_run import record_of, summary_of
from pydantic_ai_assay.store.stored_spans import StoredSpans, encode_spans
from pydantic_ai_assay.store.tally import MOMENT_NAMES, RESOLUTIONS, Cell, Contribution, Observed, Tally
from pydantic_ai_assay.store.text import clean_text, path_text, preview_text, short_text
from pydantic_ai_assay.store.upstream_payload import outcomes_of, run_of_payload

from .samples import a_run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


# Texts


@given(st.text() | st.text(st.characters(categories=['Cs', 'Cc', 'Ll'])))
def test_any_text_becomes_one_that_databases_take(text: str) -> None:
    for made in (clean_text(text), short_text(text), preview_text(text)):
        assert '\x00' not in made
        made.encode()
    assert len(short_text(text)) <= 200
    assert len(preview_text(text * 100)) <= 3000


def test_long_names_stay_different() -> None:
    assert short_text('x' * 200) == 'x' * 200
    names = {short_text('x' * 300 + end) for end in ('a', 'b', '\x00', '\ud800')}
    assert len(names) == 4
    assert {len(name) for name in names} == {200}


def test_the_path_of_an_inner_agent_begins_with_that_of_the_outer() -> None:
    assert path_text(()) == '[]'
    assert path_text(('a"b', 'ü')) == '["a\\"b", "ü"]'
    assert path_text(('a', 'b')).startswith(path_text(('a',))[:-1])
    assert path_text(('a', 'b')) == '["a", "b"]'


# Compression


@given(st.binary(max_size=2_000))
def test_packing_adds_a_few_bytes_at_most(document: bytes) -> None:
    assert len(pack(document)) <= len(document) + 20


def test_packed_values_come_back() -> None:
    for value in (None, [1, 'x' * 1000], {'a': '\ud800' * 200}, 'ü\x00', 1.5):
        assert unpack(pack_json(value)) == value
    assert len(pack_json(['x' * 1000])) < 100
    varied = [str(number) for number in range(5_000)]
    assert unpack(pack_json(varied)) == varied


def packed_and_back(value: Any) -> Any:
    return unpack(pack_json(value))


def test_several_threads_pack_and_unpack_at_once() -> None:
    values = [[f'thread {index}', *range(index, index + 20_000)] for index in range(8)]
    with ThreadPoolExecutor(len(values)) as threads:
        assert list(threads.map(packed_and_back, values * 4)) == values * 4


def test_integers_with_more_digits_than_python_reads_come_back_as_texts() -> None:
    digits = '9' * 5_000
    assert unpack(pack(b'[1, %s]' % digits.encode())) == [1, digits]


# The spool


def an_entry(size: int) -> Entry:
    return Entry(run_id='run', run=None, size=size)


def test_the_spool_takes_what_fits_and_gives_it_back_in_order() -> None:
    spool = Spool(max_bytes=100)
    entries = [an_entry(40), an_entry(50), an_entry(10)]
    assert [spool.add(each) for each in [*entries, an_entry(1)]] == [True, True, True, False]
    assert spool.bytes == 100
    assert spool.take(entries=5, size=45) == entries[:1]
    assert spool.take(entries=1, size=1) == entries[1:2]
    assert spool.take(entries=5, size=100) == entries[2:]
    assert spool.take(entries=5, size=100) == []
    assert (spool.ready_bytes, spool.bytes) == (0, 100)
    spool.let_go(entries)
    assert spool.bytes == 0
    assert not spool.add(an_entry(101))


# Sums


def a_cell(**changes: str) -> Cell:
    return Cell(**{**dict.fromkeys(Cell._fields, ''), 'kind': 'outcome', **changes})


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200_000).map(lambda minute: minute * 60),
            st.floats(0.01, 1),
            st.floats(-1e6, 1e6),
            st.sampled_from(EVALUATION_STATUSES),
        ),
        min_size=1,
    )
)
def test_sums_are_those_of_the_moments(outcomes: list[tuple[int, float, float, Any]]) -> None:
    tally = Tally()
    for minute, probability, value, status in outcomes:
        observed = [Observed('score', 'Score', '', value)]
        taken = (1.0, 0.0, 1)
        tally.add(a_cell(), minute, Contribution(status, 1 / probability, minute, taken, observed))
    numbers = {cell: index for index, cell in enumerate(sorted(tally.cells))}
    rows = list(tally.rows(numbers))
    score = numbers[a_cell(kind='score', name='Score')]
    for resolution in RESOLUTIONS:
        for start in {minute - minute % resolution for minute, *_ in outcomes}:
            within = [each for each in outcomes if start <= each[0] < start + resolution]
            expected = Moments.of([value for _, _, value, _ in within], [probability for _, probability, *_ in within])
            (row,) = [
                each for each in rows if (each['resolution'], each['start'], each['cell']) == (resolution, start, score)
            ]
            for name in MOMENT_NAMES:
                assert row[name] == pytest.approx(getattr(expected, name), rel=1e-6, abs=1e-3)
            assert (row['minimum'], row['maximum']) == (expected.minimum, expected.maximum)
            assert (row['first_at'], row['last_at']) == (min(m for m, *_ in within), max(m for m, *_ in within))
    totals = {status: 0 for status in EVALUATION_STATUSES}
    for row in rows:
        if row['resolution'] == 60:
            for status in EVALUATION_STATUSES:
                totals[status] += row[status]
    assert totals == {status: sum(each[3] == status for each in outcomes) for status in EVALUATION_STATUSES}


def test_times_widen_in_both_directions() -> None:
    tally = Tally()
    for at in (5, 3, 9, 4):
        tally.add(a_cell(), 0, Contribution('scored', 1.0, at, (0.0,) * 7, []))
    first = next(tally.rows({a_cell(): 1}))
    assert (first['first_at'], first['last_at'], first['scored']) == (3, 9, 4)


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from(RESOLUTIONS))
def test_any_stretch_of_time_is_covered_once_with_few_parts(since: int, length: int, coarsest: int) -> None:
    until = since + length
    parts = segments(since, until, coarsest)
    assert len(parts) <= 7
    at = since - since % 60
    for resolution, start, stop in parts:
        assert start == at < stop
        assert start % resolution == stop % resolution == 0
        assert resolution <= coarsest
        at = stop
    assert not parts or at == until + -until % 60


def test_no_time_has_no_sums() -> None:
    assert aggregates_query(NOW, NOW.replace(second=0), (), None, AggregateFilter()) is None


# Entries


def test_times_without_a_zone_are_taken_for_utc() -> None:
    assert micros(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (None, None),
        ('hello', 'hello'),
        (['look at', object(), 'this'], 'look at this'),
        ({'question': 'why'}, '{"question":"why"}'),
        ([1, 2], '[1,2]'),
        (RunUsage(requests=1), None),
        (ValueError('x'), None),
        (5, '5'),
    ],
)
def test_previews_show_the_beginning(value: Any, expected: str | None) -> None:
    row = row_of(a_run(inputs=value, output=value), NOW)
    if not isinstance(value, RunUsage):
        assert (row['prompt'], row['answer']) == (expected, expected)
    else:
        assert '"requests":1' in row['prompt']


@pytest.mark.parametrize(
    ('metadata', 'variant', 'tags'),
    [
        (None, None, ()),
        ({}, None, ()),
        ({'variant': 'a', 'tags': 'one'}, 'a', ('one',)),
        ({'variant': 2, 'tags': ['x', 'y', 'x', 5]}, '2', ('x', 'y')),
        ({'variant': [], 'tags': 5}, None, ()),
        ({'tags': {'x'}}, None, ('x',)),
        ({'variant': 10**5_000, 'tags': bytes(10_000)}, None, ()),
    ],
)
def test_variants_and_tags_are_read_from_the_metadata(
    metadata: Any, variant: str | None, tags: tuple[str, ...]
) -> None:
    entry = encode_entry(a_run(metadata=metadata), [], NOW)
    assert entry.run is not None
    assert (entry.run['variant'], entry.tags) == (variant, tags)


def test_messages_that_have_no_json_form_are_named() -> None:
    part = ToolReturnPart(tool_name='look', content=object(), tool_call_id='call-1')
    document = unpack(encode_entry(a_run(messages=(ModelRequest(parts=[part]),)), [], NOW).content)
    assert document['refused']['messages'].startswith('parts of the messages have no JSON form')


def test_usage_that_has_no_json_form_is_refused_and_the_rest_kept() -> None:
    usage: Any = RunUsage()
    usage.input_tokens = object()
    run = a_run()
    object.__setattr__(run, 'usage', usage)
    object.__setattr__(usage, 'output_tokens', 0)
    entry = encode_entry(run, [], NOW)
    document = unpack(entry.content)
    assert document['usage'] == {}
    assert 'it has no JSON form: ' in document['refused']['usage']
    assert document['output'] == 'an answer'


# Spans


def a_node(number: int, **attributes: Any) -> SpanNode:
    return SpanNode(
        name=f'span {number}',
        trace_id=1,
        span_id=number,
        parent_span_id=None if number == 1 else 1,
        start_timestamp=NOW,
        end_timestamp=NOW + timedelta(microseconds=number),
        attributes=attributes,
        status='ok',
    )


def restored(spans: Any, limit: int = 10_000) -> tuple[StoredSpans, str | None]:
    document, refused = encode_spans(spans, limit)
    return StoredSpans.decode(unpack(document)), refused


def test_spans_come_back_as_a_tree() -> None:
    spans, refused = restored(StoredSpans([a_node(1, a=1), a_node(2, b=('x', 'y')), a_node(3, c='\ud800')]))
    assert refused is None
    tree = spans.tree()
    assert tree is spans.tree()
    (root,) = tree.roots
    assert [(child.name, child.attributes, child.status) for child in root.children] == [
        ('span 2', {'b': ('x', 'y')}, 'ok'),
        ('span 3', {'c': '\ud800'}, 'ok'),
    ]
    assert root.duration == timedelta(microseconds=1)
    assert len(list(spans.all_spans())) == 3
    spans.close()


def test_spans_of_opentelemetry_are_kept_as_well() -> None:
    tracer = TracerProvider().get_tracer('test')
    with tracer.start_as_current_span('outside') as span:
        span.set_attribute('a', True)

    class Captured:
        recording_error = None

        def all_spans(self) -> Any:
            return iter([span])

        def tree(self) -> SpanTree:
            return SpanTree()

        def close(self) -> None: ...

    spans, _ = restored(Captured())
    assert [(node.name, node.attributes) for node in spans.nodes] == [('outside', {'a': True})]


def test_why_spans_were_not_recorded_is_kept() -> None:
    spans, _ = restored(StoredSpans((), recording_error='no provider'))
    with pytest.raises(SpanTreeRecordingError, match='no provider'):
        spans.tree()


def test_spans_beyond_the_room_there_is_are_left_out() -> None:
    many = StoredSpans([a_node(number, text='x' * 100) for number in range(1, 100)])
    spans, refused = restored(many, 1000)
    assert refused == f'there is only room for the first {len(spans.nodes)} spans'
    assert 0 < len(spans.nodes) < 20
    assert all(isinstance(node.attributes, dict) for node in spans.nodes)
    one, _ = restored(StoredSpans([a_node(1, text='x' * 100), a_node(2)]), 8)
    assert 'left out' in str(one.nodes[0].attributes)


def test_spans_that_cannot_be_read_are_refused() -> None:
    broken = a_node(1)
    broken.start_timestamp = None  # type: ignore[assignment]
    spans, refused = restored(StoredSpans([broken]))
    assert refused is not None and refused.startswith('the spans have no JSON form')
    with pytest.raises(SpanTreeRecordingError, match='no JSON form'):
        spans.tree()


# What pydantic-evals hands over


def an_upstream_payload(output: Any = 'answer', span: SpanReference | None = None) -> SinkPayload:
    source = EvaluatorSpec(name='Many', arguments=None)
    tree: Any = SpanTreeRecordingError('no provider')
    if span is not None:
        tree = SpanTree()
        tree.add_spans([a_node(1)])
    context = EvaluatorContext[Any, Any, Any](
        name='case',
        inputs={'question': 'why'},
        metadata={'variant': 'a'},
        expected_output=None,
        output=output,
        duration=2.0,
        _span_tree=tree,
        attributes={},
        metrics={'m': 1},
    )
    return SinkPayload(
        results=[EvaluationResult(name=name, value=1.0, reason=None, source=source) for name in ('a', 'b')],
        failures=[EvaluatorFailure(name='F', error_message='m', error_stacktrace='s', source=source)],
        context=context,
        span_reference=span,
        target='answer_question',
    )


def test_a_payload_of_pydantic_evals_becomes_a_run_with_outcomes() -> None:
    span = SpanReference(trace_id=format(1, '032x'), span_id=format(2, '016x'))
    payload = an_upstream_payload(span=span)
    run = run_of_payload(payload, NOW)
    assert (run.run_id, run.target, run.outcome) == (f'{span.trace_id}:{span.span_id}', 'answer_question', 'success')
    assert (run.span_reference, run.started_at) == (span, NOW - timedelta(seconds=2))
    assert run.spans is not None and len(run.spans.tree().roots) == 1
    outcomes = outcomes_of(payload, run, NOW)
    assert [(each.evaluator, each.status, len(each.results)) for each in outcomes] == [
        ('Many', 'scored', 2),
        ('Many', 'failed', 0),
    ]
    assert encode_entry(run, outcomes, NOW).size > 0


def test_without_a_span_each_call_is_a_run_of_its_own() -> None:
    payloads = [an_upstream_payload(output=ValueError('broken')) for _ in range(2)]
    first, again, other = (run_of_payload(payload, NOW) for payload in (payloads[0], payloads[0], payloads[1]))
    assert first.run_id == again.run_id != other.run_id
    assert (first.outcome, str(first.error)) == ('error', 'broken')


# Reading what a later version wrote


def test_parts_of_a_run_that_this_version_cannot_read_are_named() -> None:
    run = a_run()
    document = unpack(encode_entry(run, [], NOW).content)
    document['messages'] = [{'kind': 'of the future'}]
    document['usage'] = {'input_tokens': 'many'}
    summary = summary_of(SimpleNamespace(**row_of(run, NOW)))
    record, refused = record_of(summary, pack_json(document), None)
    assert (record.messages, record.usage) == ((), RunUsage())
    assert set(refused) == {'messages', 'usage'}
