"""What can be set, what cannot, and what the messages say about it."""

import math
import sys
import threading
from collections.abc import Iterator
from copy import copy
from dataclasses import fields
from types import MappingProxyType
from typing import Any, cast

import pytest
from inline_snapshot import snapshot
from pydantic_evals import online as upstream
from pydantic_evals.evaluators import Contains

from pydantic_ai_assay import (
    DEFAULT_CONFIG,
    Budget,
    ConfigurationError,
    MissingExtraError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    SamplingContext,
    configure,
    disable_evaluation,
    evaluate,
)
from pydantic_ai_assay._upstream import CURRENT_TASK_RUN, OnlineTaskRun, TaskRun
from pydantic_ai_assay.settings import own_config, own_evaluator
from pydantic_ai_assay.store.store import Store

from .samples import Always


@pytest.fixture
def default_config() -> Iterator[OnlineEvalConfig]:
    before = dict(vars(DEFAULT_CONFIG))
    yield DEFAULT_CONFIG
    vars(DEFAULT_CONFIG).clear()
    vars(DEFAULT_CONFIG).update(before)


def message_of(cls: Any, **settings: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        cls(**settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'evaluator': Always},
            snapshot("Expected an evaluator, got the class 'Always'; call it to make one."),
        ),
        ({'evaluator': 'Always'}, snapshot("Expected an instance of an `Evaluator` subclass, got 'Always'.")),
        ({'sample_rate': 1.5}, snapshot('sample_rate must be a number from 0.0 to 1.0 or a callable, got 1.5.')),
        ({'sample_rate': -0.1}, snapshot('sample_rate must be a number from 0.0 to 1.0 or a callable, got -0.1.')),
        ({'sample_rate': math.nan}, snapshot('sample_rate must be a number from 0.0 to 1.0 or a callable, got nan.')),
        ({'sample_rate': '0.5'}, snapshot("sample_rate must be a number from 0.0 to 1.0 or a callable, got '0.5'.")),
        ({'max_concurrency': 0}, snapshot('max_concurrency must be an integer of at least 1, got 0.')),
        ({'timeout': 0}, snapshot('timeout must be a positive number of seconds, got 0.')),
        ({'timeout': -1.0}, snapshot('timeout must be a positive number of seconds, got -1.0.')),
        ({'timeout': math.inf}, snapshot('timeout must be a positive number of seconds, got inf.')),
        ({'timeout': math.nan}, snapshot('timeout must be a positive number of seconds, got nan.')),
        ({'retry_wait': 0.0}, snapshot('retry_wait must be a positive number of seconds, got 0.0.')),
        ({'retries': -1}, snapshot('retries must be an integer of at least 0, got -1.')),
        ({'when': 0.5}, snapshot('when must be a function of the finished run, got 0.5.')),
        ({'sample_by': 'user'}, snapshot("sample_by must be one of 'run', 'conversation', got 'user'.")),
        ({'run_in': 'thread'}, snapshot("run_in must be one of 'auto', 'background', got 'thread'.")),
        ({'run_on': 'error'}, snapshot("run_on must be a collection such as ['error'], got 'error'.")),
        (
            {'run_on': ['success', 'failure']},
            snapshot("run_on must be one of 'success', 'error', 'cancelled', 'deferred', got 'failure'."),
        ),
    ],
)
def test_an_evaluator_setting_that_cannot_work_is_named_with_its_value(settings: dict[str, Any], message: str) -> None:
    assert message_of(OnlineEvaluator, **{'evaluator': Always(), **settings}) == message


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'default_sample_rate': 2},
            snapshot('default_sample_rate must be a number from 0.0 to 1.0 or a callable, got 2.'),
        ),
        ({'queue_size': 0}, snapshot('queue_size must be an integer of at least 1, got 0.')),
        ({'queue_bytes': -5}, snapshot('queue_bytes must be an integer of at least 1, got -5.')),
        ({'sink_timeout': 0}, snapshot('sink_timeout must be a positive number of seconds, got 0.')),
        ({'shutdown_timeout': -1}, snapshot('shutdown_timeout must be a number of seconds, 0 or more, got -1.')),
        ({'shutdown_timeout': math.nan}, snapshot('shutdown_timeout must be a number of seconds, 0 or more, got nan.')),
        (
            {'shutdown_timeout': math.inf},
            snapshot('shutdown_timeout must be a number of seconds, 0 or more, got inf.'),
        ),
        ({'shutdown_timeout': '5'}, snapshot("shutdown_timeout must be a number of seconds, 0 or more, got '5'.")),
        ({'queue_size': 1.5}, snapshot('queue_size must be an integer of at least 1, got 1.5.')),
        ({'queue_bytes': True}, snapshot('queue_bytes must be an integer of at least 1, got True.')),
        ({'span_attribute_limit': 0}, snapshot('span_attribute_limit must be an integer of at least 1, got 0.')),
        ({'overflow': 'block'}, snapshot("overflow must be one of 'drop_newest', 'drop_oldest', got 'block'.")),
        (
            {'sampling_mode': 'random'},
            snapshot("sampling_mode must be one of 'independent', 'correlated', got 'random'."),
        ),
    ],
)
def test_a_config_setting_that_cannot_work_is_named_with_its_value(settings: dict[str, Any], message: str) -> None:
    assert message_of(OnlineEvalConfig, **settings) == message


# Values of the wrong kind


class Sinking:
    async def submit(self, payload: object) -> None: ...


async def asynchronously(*_: object) -> Any: ...


class CalledAsynchronously:
    async def __call__(self, *_: object) -> Any: ...


NOT_A_FLAG = ('false', 0, None, [True])
NOT_A_FUNCTION = (5, 'print', [print], {'a': print})
NOT_SYNCHRONOUS = (*NOT_A_FUNCTION, asynchronously, CalledAsynchronously())
NOT_A_COUNT = (0, -1, 1.5, '5', True, None)
NOT_A_TIME = (-1, '5', True, math.nan, math.inf, [1])
NOT_A_SINK = (5, 'stdout', b'stdout', Sinking, {'a': Sinking()}, [5], [Sinking], [[Sinking()]], iter([Sinking()]))
NOT_A_CHOICE = (5, None, 'other', ['run'])
NOT_A_RATE = ('0.5', -1, 7, math.nan, [0.5], asynchronously)
NOT_A_BUDGET = (5, {'usd': 5, 'per': 'day'}, Budget)

REFUSED_BY_AN_EVALUATOR: dict[str, tuple[Any, ...]] = {
    'evaluator': (Always, 'Always', None, OnlineEvaluator(evaluator=Always())),
    'sample_rate': NOT_A_RATE,
    'max_concurrency': NOT_A_COUNT,
    'sink': NOT_A_SINK,
    'on_max_concurrency': NOT_A_FUNCTION,
    'on_sampling_error': NOT_SYNCHRONOUS,
    'on_error': NOT_A_FUNCTION,
    'run_on_errors': NOT_A_FLAG,
    'timeout': (0, *NOT_A_TIME),
    'retries': (-1, 1.5, '1', True, None),
    'retry_on': (*NOT_SYNCHRONOUS, [TimeoutError]),
    'retry_wait': (0, None, *NOT_A_TIME),
    'when': NOT_SYNCHRONOUS,
    'run_on': (5, 'error', {'error': True}, [5], ['failure'], [['error']], iter(['error'])),
    'sample_by': NOT_A_CHOICE,
    'run_in': NOT_A_CHOICE,
    'mode': NOT_A_CHOICE,
    'action': NOT_A_CHOICE,
    'on_unavailable': NOT_A_CHOICE,
    'budget': NOT_A_BUDGET,
    'on_result': NOT_A_FUNCTION,
    'on_fail': NOT_A_FUNCTION,
}
REFUSED_BY_A_CONFIG: dict[str, tuple[Any, ...]] = {
    'default_sink': NOT_A_SINK,
    'default_sample_rate': (None, *NOT_A_RATE),
    'emit_otel_events': NOT_A_FLAG,
    'include_baggage': NOT_A_FLAG,
    'sampling_mode': NOT_A_CHOICE,
    'enabled': NOT_A_FLAG,
    'metadata': (5, 'a', ['a'], dict),
    'on_max_concurrency': NOT_A_FUNCTION,
    'on_sampling_error': NOT_SYNCHRONOUS,
    'on_error': NOT_A_FUNCTION,
    'budget': NOT_A_BUDGET,
    'store': (5, b'sqlite://', ['sqlite:///a.db'], Sinking(), Store),
    'on_result': NOT_A_FUNCTION,
    'on_fail': NOT_A_FUNCTION,
    'queue_size': NOT_A_COUNT,
    'queue_bytes': NOT_A_COUNT,
    'overflow': NOT_A_CHOICE,
    'shutdown_timeout': (None, *NOT_A_TIME),
    'sink_timeout': (0, None, *NOT_A_TIME),
    'redact': NOT_SYNCHRONOUS,
    'span_attribute_limit': tuple(each for each in NOT_A_COUNT if each is not None),
}


def listed(refused: dict[str, tuple[Any, ...]]) -> list[Any]:
    return [pytest.param(name, value, id=f'{name}-{value!r}'[:60]) for name in refused for value in refused[name]]


def test_every_setting_is_tried_with_values_of_the_wrong_kind() -> None:
    assert list(REFUSED_BY_AN_EVALUATOR) == [field.name for field in fields(OnlineEvaluator)]
    assert list(REFUSED_BY_A_CONFIG) == [field.name for field in fields(OnlineEvalConfig)]


@pytest.mark.parametrize(('name', 'value'), listed(REFUSED_BY_AN_EVALUATOR))
def test_a_value_of_the_wrong_kind_for_an_evaluator_is_named(name: str, value: Any) -> None:
    message = message_of(OnlineEvaluator, **{'evaluator': Always(), name: value})
    assert message.startswith(f'{name} must ' if name != 'evaluator' else 'Expected an ')
    assert says(message, value)


@pytest.mark.parametrize(('name', 'value'), listed(REFUSED_BY_A_CONFIG))
def test_a_value_of_the_wrong_kind_for_a_config_is_named(
    name: str, value: Any, default_config: OnlineEvalConfig
) -> None:
    message = message_of(OnlineEvalConfig, **{name: value})
    assert message.startswith(f'{name} must ')
    assert says(message, value)
    assert message_of(configure, **{name: value}) == message


def says(message: str, value: Any) -> bool:
    """Whether a message shows what was given, or what of it was wrong."""
    shown = [getattr(value, '__name__', ''), repr(value)]
    if isinstance(value, list):
        shown += map(repr, cast('list[Any]', value))
    return any(f'got {each}' in message or f"got the class '{each}'" in message for each in shown)


OF_PYDANTIC_EVALS = {name: REFUSED_BY_AN_EVALUATOR[name] for name in (f.name for f in fields(upstream.OnlineEvaluator))}
OF_PYDANTIC_EVALS_CONFIG = {
    name: REFUSED_BY_A_CONFIG[name] for name in (f.name for f in fields(upstream.OnlineEvalConfig))
}


@pytest.mark.parametrize(('name', 'value'), listed(OF_PYDANTIC_EVALS))
def test_an_evaluator_of_pydantic_evals_is_checked_when_it_is_attached(name: str, value: Any) -> None:
    theirs = upstream.OnlineEvaluator(evaluator=Always())
    setattr(theirs, name, value)
    expected = message_of(OnlineEvaluator, **{'evaluator': Always(), name: value})
    assert message_of(OnlineEvaluation, evaluators=[theirs]) == expected
    assert message_of(lambda: evaluate(theirs)) == expected


@pytest.mark.parametrize(('name', 'value'), listed(OF_PYDANTIC_EVALS_CONFIG))
def test_a_config_of_pydantic_evals_is_checked_when_it_is_used(name: str, value: Any) -> None:
    theirs = upstream.OnlineEvalConfig(**{name: value})
    expected = message_of(OnlineEvalConfig, **{name: value})
    assert message_of(OnlineEvaluation, evaluators=[Always()], config=theirs) == expected


@pytest.mark.parametrize(
    'config', [{'default_sample_rate': 0.5}, OnlineEvalConfig, upstream.OnlineEvalConfig, 0.5, 'default']
)
def test_what_is_no_config_is_refused(config: Any) -> None:
    message = message_of(OnlineEvaluation, evaluators=[Always()], config=config)
    assert message == f'config must be an OnlineEvalConfig, such as OnlineEvalConfig(), got {config!r}.'


@pytest.mark.parametrize(
    'evaluators', [Contains('a'), Always, 'Contains', {'a': Always()}, None, 5, iter([Always()]), OnlineEvaluator]
)
def test_evaluators_are_a_list(evaluators: Any) -> None:
    message = message_of(OnlineEvaluation, evaluators=evaluators)
    assert message == f'evaluators must be a list, got {evaluators!r}.'


# What is given in lists and the like


def test_lists_and_mappings_are_taken_as_they_are_when_they_are_given() -> None:
    sink = Sinking()
    sinks, tags = [sink], ['a']
    run_on: set[Any] = {'error'}
    metadata: dict[str, Any] = {'tags': tags, 'of': {'team': ('a', tags)}}
    config = OnlineEvalConfig(default_sink=sinks, metadata=metadata)
    online = OnlineEvaluator(evaluator=Always(), sink=sinks, run_on=run_on)
    sinks.clear()
    run_on.add('success')
    tags.append('b')
    metadata['of']['team'] = 'b'
    assert config.metadata == {'tags': ['a'], 'of': {'team': ('a', ['a'])}}
    assert (config.default_sink, online.sink) == ([sink], [sink])
    assert (online.sees('error'), online.sees('success')) == (True, False)


def test_configure_keeps_no_hold_of_what_it_is_given(default_config: OnlineEvalConfig) -> None:
    sink = Sinking()
    sinks, metadata = [sink], {'team': 'a'}
    configure(default_sink=sinks, metadata=metadata)
    sinks.clear()
    metadata['team'] = 'b'
    assert (default_config.default_sink, default_config.metadata) == ([sink], {'team': 'a'})


def test_metadata_may_be_any_mapping_and_hold_anything() -> None:
    lock = threading.Lock()
    assert OnlineEvalConfig(metadata=MappingProxyType({'lock': lock})).metadata == {'lock': lock}  # pyright: ignore[reportArgumentType]


def half(context: SamplingContext) -> float:
    return 0.5


@pytest.mark.parametrize(
    'settings',
    [
        {'sample_rate': 0},
        {'sample_rate': 1},
        {'sample_rate': True},
        {'sample_rate': half},
        {'timeout': None},
        {'timeout': 0.001},
        {'max_concurrency': 1},
        {'run_on': frozenset[str]()},
        {'run_on': {'success', 'error', 'cancelled', 'deferred'}},
        {'retries': 3},
    ],
)
def test_the_ends_of_what_is_allowed_are_allowed(settings: dict[str, Any]) -> None:
    evaluator = OnlineEvaluator(evaluator=Always(), **settings)
    assert {name: getattr(evaluator, name) for name in settings} == settings


def test_a_span_attribute_limit_may_be_lifted_and_a_shutdown_may_be_immediate() -> None:
    config = OnlineEvalConfig(span_attribute_limit=None, shutdown_timeout=0, sink_timeout=0.1, queue_size=1)
    assert (config.span_attribute_limit, config.shutdown_timeout) == (None, 0)


def test_retries_without_their_extra_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'tenacity', None)
    OnlineEvaluator(evaluator=Always())
    with pytest.raises(MissingExtraError, match='extra .retries.'):
        OnlineEvaluator(evaluator=Always(), retries=1)


def test_a_capability_refuses_what_is_no_evaluator() -> None:
    with pytest.raises(ConfigurationError, match='call it to make one'):
        OnlineEvaluation(evaluators=[Always])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ('settings', 'seen'),
    [
        ({}, {'success'}),
        ({'run_on_errors': True}, {'success', 'error'}),
        ({'run_on': ['cancelled', 'deferred']}, {'cancelled', 'deferred'}),
        ({'run_on': ['cancelled'], 'run_on_errors': True}, {'cancelled'}),
        ({'run_on': []}, set[str]()),
    ],
)
def test_run_on_decides_alone_where_it_is_set(settings: dict[str, Any], seen: set[str]) -> None:
    evaluator = OnlineEvaluator(evaluator=Always(), **settings)
    outcomes = ('success', 'error', 'cancelled', 'deferred')
    assert {outcome for outcome in outcomes if evaluator.sees(outcome)} == seen


# configure()


def test_configure_changes_what_it_is_given_and_nothing_else(default_config: OnlineEvalConfig) -> None:
    before = dict(vars(default_config))

    def sink(*_: object) -> None: ...

    given: dict[str, Any] = {'default_sink': sink, 'queue_size': 5, 'metadata': {'team': 'a'}, 'enabled': False}
    configure(**given)
    assert vars(default_config) == {**before, **given}


def test_configure_takes_every_setting_of_a_config(default_config: OnlineEvalConfig) -> None:
    everything: dict[str, Any] = {
        'default_sink': None,
        'default_sample_rate': 0.5,
        'sampling_mode': 'correlated',
        'enabled': False,
        'metadata': None,
        'on_max_concurrency': None,
        'on_sampling_error': None,
        'on_error': None,
        'emit_otel_events': False,
        'include_baggage': False,
        'budget': None,
        'store': None,
        'on_result': None,
        'on_fail': None,
        'queue_size': 2,
        'queue_bytes': 3,
        'overflow': 'drop_oldest',
        'shutdown_timeout': 4.0,
        'sink_timeout': 5.0,
        'redact': copy,
        'span_attribute_limit': None,
    }
    assert set(everything) == {field.name for field in fields(OnlineEvalConfig)}
    configure(**everything)
    assert vars(default_config) == everything


def test_configure_does_all_or_nothing(default_config: OnlineEvalConfig) -> None:
    before = dict(vars(default_config))
    with pytest.raises(ConfigurationError, match=r'queue_bytes must be an integer of at least 1, got 0\.'):
        configure(queue_size=7, metadata={'a': 1}, queue_bytes=0)
    assert vars(default_config) == before


def test_a_value_in_force_is_checked_together_with_the_new_one(default_config: OnlineEvalConfig) -> None:
    default_config.queue_size = 0
    with pytest.raises(ConfigurationError, match=r'queue_size must be an integer of at least 1, got 0\.'):
        configure(enabled=False)
    assert default_config.enabled


# Objects of pydantic-evals


def test_a_config_of_pydantic_evals_is_viewed_live() -> None:
    theirs = upstream.OnlineEvalConfig(default_sample_rate=0.5, metadata={'a': 1})
    view = own_config(theirs)
    assert isinstance(view, OnlineEvalConfig)
    assert (view.default_sample_rate, view.metadata, view.queue_size, view.overflow) == (
        0.5,
        {'a': 1},
        10_000,
        'drop_newest',
    )
    theirs.default_sample_rate = 0.75
    theirs.enabled = False
    assert (view.default_sample_rate, view.should_evaluate()) == (0.75, False)


def test_an_evaluator_of_pydantic_evals_is_viewed_live() -> None:
    theirs = upstream.OnlineEvaluator(evaluator=Always(), sample_rate=0.5, run_on_errors=True)
    view = own_evaluator(theirs)
    assert isinstance(view, OnlineEvaluator)
    assert (view.evaluator, view.sample_rate, view.max_concurrency) == (theirs.evaluator, 0.5, 10)
    assert (view.timeout, view.retries, view.when, view.sample_by, view.run_in) == (60.0, 0, None, 'run', 'auto')
    assert view.sees('error')
    theirs.run_on_errors = False
    theirs.sample_rate = None
    assert not view.sees('error')
    assert view.sample_rate is None


def test_our_own_objects_are_taken_as_they_are() -> None:
    config, evaluator = OnlineEvalConfig(), OnlineEvaluator(evaluator=Always())
    assert own_config(config) is config
    assert own_evaluator(evaluator) is evaluator


def test_a_bare_evaluator_gets_the_default_settings() -> None:
    bare = Always()
    evaluator = own_evaluator(bare)
    assert evaluator.evaluator is bare
    assert evaluator.sample_rate is None


# Whether to evaluate


def test_runs_are_evaluated_unless_switched_off_or_inside_a_dataset() -> None:
    config = OnlineEvalConfig()
    assert config.should_evaluate()
    assert not OnlineEvalConfig(enabled=False).should_evaluate()
    with disable_evaluation():
        assert not config.should_evaluate()
    with upstream.disable_evaluation():
        assert not config.should_evaluate()
    token = CURRENT_TASK_RUN.set(TaskRun())
    try:
        assert not config.should_evaluate()
        CURRENT_TASK_RUN.set(OnlineTaskRun(None))
        assert config.should_evaluate()
    finally:
        CURRENT_TASK_RUN.reset(token)
