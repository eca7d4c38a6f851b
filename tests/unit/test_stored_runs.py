"""What is kept of a run that is larger than its room, cannot be looked at, or was judged by pydantic-evals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic_evals.evaluators import EvaluationResult, EvaluatorFailure, EvaluatorSpec
from pydantic_evals.online import SpanReference

from pydantic_ai_assay import RunRecord
from pydantic_ai_assay.runs.context import build_context
from pydantic_ai_assay.store.compression import pack_json, unpack
from pydantic_ai_assay.store.entry import encode_entry, row_of
from pydantic_ai_assay.store.stored_run import record_of, summary_of
from pydantic_ai_assay.store.stored_spans import StoredSpans
from pydantic_ai_assay.store.upstream_payload import outcomes_of, run_of_payload

from .samples import a_run
from .test_store_parts import NOW, a_node, an_upstream_payload, restored


def read_back(run: RunRecord) -> tuple[RunRecord, dict[str, str]]:
    entry = encode_entry(run, [], NOW)
    assert entry.run is not None
    return record_of(summary_of(SimpleNamespace(**entry.run)), entry.content, entry.spans)


def test_each_part_of_a_run_that_was_not_kept_whole_is_named_with_the_reason() -> None:
    large = StoredSpans([a_node(number, text='x' * 100_000) for number in range(1, 100)])
    record, refused = read_back(
        a_run(
            inputs=['x', b'x' * 3_000_000],
            output='x' * 50_000_000,
            metadata={'found': {str(number): number for number in range(500_000)}},
            attributes={'numbers': list(range(500_000))},
            spans=large,
        )
    )
    assert set(refused) == {'inputs', 'output', 'metadata', 'attributes', 'spans'}
    assert refused['output'] == '48000008 characters of a text are left out'
    assert refused['inputs'] == 'a builtins.bytes is left out: 3000000 bytes are too large'
    assert 'entries of a mapping are left out' in refused['metadata']
    assert 'members of a collection are left out' in refused['attributes']
    assert 'long texts in them are shortened' in refused['spans']
    assert record.output.endswith('… [48000008 characters left out]')
    assert read_back(a_run(spans=StoredSpans([a_node(1)])))[1] == {}


class Unset:
    """A stand-in for an object that is not there, as those of a request that is over."""

    # Objects that stand in for others say what those are; to override it is the point.
    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError('outside of a request')


def test_what_cannot_be_looked_at_does_not_take_what_is_around_it_with_it() -> None:
    record, refused = read_back(a_run(metadata={'request': Unset(), 'a': 1}, attributes={'request': Unset(), 'b': 2}))
    assert record.metadata is not None
    assert (record.metadata['a'], record.attributes['b']) == (1, 2)
    assert set(refused) == {'metadata', 'attributes'}
    assert build_context(record, None).attributes['b'] == 2


def test_mappings_that_are_not_there_are_mappings_still() -> None:
    run = a_run()
    document = unpack(encode_entry(run, [], NOW).content)
    for name in ('metadata', 'attributes', 'metrics', 'baggage'):
        document[name] = {'$': 'left_out', 'type': 'builtins.dict', 'why': 'it raised ValueError: no'}
    record, refused = record_of(summary_of(SimpleNamespace(**row_of(run, NOW))), pack_json(document), None)
    for part in (record.metadata, record.attributes, record.recorded_metrics, record.baggage):
        assert part is not None
        assert repr(part['…']) == '[builtins.dict left out: it raised ValueError: no]'
    assert set(refused) == {'metadata', 'attributes', 'metrics', 'baggage'}


# Spans


def test_long_texts_of_spans_are_shortened_before_any_span_is_left_out() -> None:
    many = StoredSpans([a_node(number, text='x' * 5_000, tokens=number) for number in range(1, 20)])
    spans, refused = restored(many, 40_000)
    assert refused == spans.refused == 'the spans are larger than 40000 characters: long texts in them are shortened'
    assert [node.attributes['tokens'] for node in spans.nodes] == list(range(1, 20))
    assert '4000 characters left out' in str(spans.nodes[0].attributes['text'])
    (root,) = spans.tree().roots
    assert len(root.children) == 18


def test_the_span_around_the_others_is_the_last_to_be_left_out() -> None:
    # Spans come in the order in which they ended, the outermost last.
    many = [a_node(number, text='x' * 100) for number in range(2, 100)]
    root = replace(a_node(1), start_timestamp=NOW - timedelta(seconds=1))
    spans, refused = restored(StoredSpans([*many, root]), 1000)
    assert refused is not None
    assert [node.name for node in spans.tree().roots] == ['span 1']


# What pydantic-evals hands over


def test_all_that_is_handed_over_of_one_call_has_one_beginning() -> None:
    payload = an_upstream_payload(span=SpanReference(trace_id=format(1, '032x'), span_id=format(2, '016x')))
    began = [run_of_payload(payload, NOW + timedelta(seconds=late)).started_at for late in (1, 60)]
    # Its first span began at `NOW`, and its duration is two seconds.
    assert began == [NOW - timedelta(seconds=1)] * 2
    late = an_upstream_payload(span=payload.span_reference)
    assert run_of_payload(late, NOW + timedelta(seconds=60)).started_at == NOW


@pytest.mark.parametrize(
    ('arguments', 'name'),
    [
        (None, 'Judge'),
        (('polite',), 'Judge'),
        ({'evaluation_name': 'Polite'}, 'Polite'),
        ({'evaluation_name': None}, 'Judge'),
        ({'assertion': {'evaluation_name': 'Polite'}, 'score': False}, 'Polite'),
        ({'assertion': False, 'score': {'evaluation_name': 'Politeness'}}, 'Politeness'),
    ],
)
def test_an_evaluator_of_pydantic_evals_has_one_name_whatever_it_says(arguments: Any, name: str) -> None:
    source = EvaluatorSpec(name='Judge', arguments=arguments)
    one = [EvaluationResult(name='one', value=True, reason=None, source=source)]
    two = [*one, EvaluationResult(name='two', value=True, reason=None, source=source)]
    failure = [EvaluatorFailure(name='own', error_message='m', error_stacktrace='s', source=source)]
    outcomes = [
        outcomes_of(payload, run_of_payload(payload, NOW), NOW)[0]
        for payload in (
            replace(an_upstream_payload(), results=one, failures=[]),
            replace(an_upstream_payload(), results=two, failures=[]),
            replace(an_upstream_payload(), results=[], failures=failure),
        )
    ]
    assert [each.evaluator for each in outcomes] == [name] * 3
    assert len({each.fingerprint for each in outcomes}) == 1
