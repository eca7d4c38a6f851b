"""What leaves the process of a run: redacted, withheld, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conftest import Collected, Gate, counted
from evaluators import Calling, NotEmpty
from logfire.testing import CaptureLogfire
from opentelemetry import baggage, context as otel_context
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from pydantic_evals.evaluators import EvaluationReason

from pydantic_ai_assay import (
    ConfigurationError,
    OnlineEvalConfig,
    OnlineEvaluation,
    OnlineEvaluator,
    RunRecord,
    evaluate,
    submit,
    wait_for_evaluations,
)
from pydantic_ai_assay.execution.pipeline import PIPELINE

pytestmark = pytest.mark.anyio

SECRET = 'sk-hidden'


def an_agent(config: OnlineEvalConfig, *evaluators: Any) -> Agent[None, str]:
    return Agent(
        TestModel(custom_output_text=f'the key is {SECRET}'),
        name='support',
        deps_type=type(None),
        capabilities=[OnlineEvaluation[None](evaluators=evaluators, config=config)],
    )


def without_secret(run: RunRecord) -> RunRecord:
    return replace(run, inputs=None, output=run.output.replace(SECRET, '[KEY]'), messages=(), spans=None)


def quote(ctx: Any) -> EvaluationReason:
    return EvaluationReason(True, f'It says {ctx.output}')


async def test_everybody_is_shown_the_redacted_run(collected: Collected, capfire: CaptureLogfire) -> None:
    redacted: list[RunRecord] = []

    def redact(run: RunRecord) -> RunRecord:
        redacted.append(run)
        return without_secret(run)

    agent = an_agent(OnlineEvalConfig(default_sink=collected, redact=redact), Calling(quote), NotEmpty())
    await agent.run(f'my key is {SECRET}')
    await wait_for_evaluations()
    assert len(redacted) == 1
    assert SECRET in str(redacted[0].messages)
    assert collected.run.output == collected.payloads[0].context.output == 'the key is [KEY]'
    assert [result.reason for result in collected.results] == ['It says the key is [KEY]', None]
    assert SECRET not in str(collected.payloads)
    logs = capfire.log_exporter.exported_logs_as_dicts()
    assert [log['attributes']['assay.status'] for log in logs] == ['scored', 'scored']
    assert SECRET not in str(logs)


async def test_a_condition_over_the_run_sees_it_as_it_was(collected: Collected) -> None:
    config = OnlineEvalConfig(default_sink=collected, redact=without_secret)
    with_key = OnlineEvaluator(evaluator=NotEmpty(), when=lambda run: SECRET in run.output)
    await an_agent(config, with_key).run('hi')
    await wait_for_evaluations()
    assert collected.values == {'NotEmpty': True}


class Reveals(Exception):
    pass


def raising(run: RunRecord) -> RunRecord:
    raise Reveals(f'cannot redact {run.output}')


def not_a_run(run: RunRecord) -> Any:
    return {'output': run.output}


@pytest.mark.parametrize(('redact', 'error'), [(raising, 'Reveals'), (not_a_run, 'TypeError')])
async def test_when_it_cannot_be_redacted_nothing_leaves(
    collected: Collected, capfire: CaptureLogfire, redact: Any, error: str
) -> None:
    agent = an_agent(OnlineEvalConfig(default_sink=collected, redact=redact), Calling(quote), NotEmpty())
    token = otel_context.attach(baggage.set_baggage('user', SECRET))
    await agent.run(f'my key is {SECRET}', metadata={'tenant': SECRET})
    otel_context.detach(token)
    await wait_for_evaluations()
    message = f'RedactionError: `redact` raised {error}; the run was shown to nobody and its content is withheld.'
    assert [(failure.name, failure.error_message) for failure in collected.failures] == [
        ('Calling', message),
        ('NotEmpty', message),
    ]
    assert collected.statuses == {'Calling': 'failed', 'NotEmpty': 'failed'}
    run = collected.run
    assert (run.inputs, run.output, run.messages, run.metadata) == (None, None, (), None)
    logs = capfire.log_exporter.exported_logs_as_dicts()
    assert [log['attributes']['error.type'] for log in logs] == ['RedactionError'] * 2
    assert SECRET not in str(logs) + str(collected.payloads)


async def test_a_redaction_that_hangs_is_given_up(collected: Collected, gate: Gate) -> None:
    def hang(run: RunRecord) -> RunRecord:
        gate.pass_sync()
        return run

    await an_agent(OnlineEvalConfig(default_sink=collected, redact=hang, sink_timeout=0.05), NotEmpty()).run('hi')
    await wait_for_evaluations()
    gate.open()
    (failure,) = collected.failures
    assert failure.error_message.startswith('RedactionError: `redact` raised TimeoutError')


async def test_each_config_redacts_for_its_own_evaluators(collected: Collected) -> None:
    plain = OnlineEvalConfig(default_sink=collected)
    hidden = OnlineEvalConfig(default_sink=collected, redact=without_secret)
    agent = an_agent(plain, Calling(lambda ctx: SECRET in ctx.output, 'plain'))
    hiding = OnlineEvaluation[None](evaluators=[Calling(lambda ctx: SECRET in ctx.output, 'hidden')], config=hidden)
    await agent.run('hi', capabilities=[hiding])
    await wait_for_evaluations()
    assert collected.values == {'plain': True, 'hidden': False}
    shown = {payload.outcomes[0].evaluator: SECRET in payload.run.output for payload in collected.payloads}
    assert shown == {'plain': True, 'hidden': False}


def test_what_is_to_redact_must_be_a_function() -> None:
    with pytest.raises(
        ConfigurationError, match=r"redact must be a function that takes and returns a run, got 'keys'\."
    ):
        OnlineEvalConfig(redact='keys')  # pyright: ignore[reportArgumentType]


async def test_content_stays_out_of_events_and_sinks(
    collected: Collected, capfire: CaptureLogfire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', 'false')

    def fail(ctx: Any) -> bool:
        raise ValueError(f'odd: {ctx.output}')

    seen: list[str] = []

    def quote_and_keep(ctx: Any) -> EvaluationReason:
        seen.append(ctx.output)
        return quote(ctx)

    config = OnlineEvalConfig(default_sink=collected)
    await an_agent(config, Calling(quote_and_keep, 'quote'), Calling(fail, 'fail')).run(
        f'my key is {SECRET}', metadata={'tenant': 'acme'}
    )

    @evaluate(
        OnlineEvaluator(evaluator=NotEmpty(), run_on=['error']), config=config, extract_args=True, record_return=True
    )
    def look_up(key: str) -> str:
        raise KeyError(key)

    with pytest.raises(KeyError):
        look_up(SECRET)
    submit(NotEmpty(), inputs=SECRET, output=SECRET, target='chain', config=config)
    await wait_for_evaluations()

    assert seen == [f'the key is {SECRET}']
    assert sorted(outcome.status for outcome in collected.outcomes) == ['failed', 'scored', 'scored', 'scored']
    assert [result.reason for result in collected.results] == [None] * 3
    assert [(failure.error_type, failure.error_message) for failure in collected.failures] == [
        ('ValueError', '(withheld)')
    ]
    (of_agent,) = [payload for payload in collected.payloads if payload.target == 'support']
    assert (of_agent.run.output, of_agent.context.output, of_agent.context.inputs) == (None, None, None)
    assert of_agent.run.metadata == {'tenant': 'acme'}
    (of_function,) = [payload for payload in collected.payloads if payload.target == 'look_up']
    assert str(of_function.run.error) == 'KeyError (its text is withheld)'
    assert SECRET not in str(collected.payloads)
    assert SECRET not in str(capfire.log_exporter.exported_logs_as_dicts())
    # The spans that the agent's own instrumentation exports follow its own settings.
    ours = [
        span for span in capfire.exporter.exported_spans_as_dict() if span['name'].startswith(('evaluator', 'Calling'))
    ]
    assert len(ours) == 5
    assert SECRET not in str(ours)


@pytest.mark.parametrize(
    ('redact', 'content', 'is_shown'),
    [(None, 'true', True), (None, 'false', False), (without_secret, 'true', False), (without_secret, 'false', False)],
)
def test_the_text_of_an_error_is_on_a_span_only_where_nothing_is_redacted_or_left_out(
    collected: Collected,
    capfire: CaptureLogfire,
    monkeypatch: pytest.MonkeyPatch,
    redact: Any,
    content: str,
    is_shown: bool,
) -> None:
    monkeypatch.setenv('ASSAY_RECORD_CONTENT', content)

    @evaluate(NotEmpty(), config=OnlineEvalConfig(default_sink=collected, redact=redact))
    def look_up(key: str) -> str:
        raise KeyError(SECRET)

    with pytest.raises(KeyError):
        look_up(SECRET)
    assert PIPELINE.executor.wait_idle(10.0)
    (span,) = [s for s in capfire.exporter.exported_spans_as_dict() if s['name'].startswith('Calling')]
    assert (SECRET in str(span)) == is_shown
    assert span['attributes'].get('logfire.level_num') == 17


async def test_calls_and_what_is_submitted_are_redacted_once_for_all_evaluators(collected: Collected) -> None:
    redacted: list[str] = []

    def redact(run: RunRecord) -> RunRecord:
        redacted.append(run.target)
        return replace(run, inputs=None, output='redacted')

    config = OnlineEvalConfig(default_sink=collected, redact=redact)
    evaluators = [NotEmpty(), Calling(quote), OnlineEvaluator(evaluator=Calling(quote, 'other'), sample_rate=1.0)]

    @evaluate(*evaluators, config=config)
    def look_up(key: str) -> str:
        return key

    look_up(SECRET)
    submit(*evaluators, inputs=SECRET, output=SECRET, target='chain', config=config)
    await wait_for_evaluations()
    assert sorted(redacted) == ['chain', 'look_up']
    assert {payload.run.output for payload in collected.payloads} == {'redacted'}
    assert SECRET not in str(collected.payloads)


async def test_evaluation_can_be_switched_off_and_on(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = an_agent(OnlineEvalConfig(default_sink=collected), NotEmpty())
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'false')
    await agent.run('hi')
    await wait_for_evaluations()
    assert counted('NotEmpty') == {}
    monkeypatch.setenv('ASSAY_EVALUATIONS', 'true')
    await agent.run('hi')
    await wait_for_evaluations()
    assert counted('NotEmpty') == {'scored': 1}


async def test_the_environment_caps_every_rate(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '0.5')
    config = OnlineEvalConfig(default_sink=collected)
    agent = an_agent(
        config,
        Calling(lambda ctx: True, 'always'),
        OnlineEvaluator(evaluator=Calling(lambda ctx: True, 'seldom'), sample_rate=0.1),
        OnlineEvaluator(evaluator=Calling(lambda ctx: True, 'when'), when=lambda run: True),
        OnlineEvaluator(evaluator=Calling(lambda ctx: True, 'callable'), sample_rate=lambda context: 1.0),
    )
    for number in range(60):
        await agent.run('hi', run_id=f'run-{number}')
    await wait_for_evaluations()
    probabilities = {(outcome.evaluator, outcome.probability) for outcome in collected.outcomes}
    assert probabilities == {('always', 0.5), ('seldom', 0.1), ('when', 0.5), ('callable', 0.5)}
    for name in ('always', 'when', 'callable'):
        counts = counted(name)
        assert 15 <= counts['scored'] <= 45
        assert counts['scored'] + counts['sampled_out'] == 60


def test_a_variable_that_cannot_be_read_is_an_error_where_evaluators_are_attached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ASSAY_SAMPLE_RATE', '150%')
    with pytest.raises(ConfigurationError, match="ASSAY_SAMPLE_RATE.*'150%'"):
        an_agent(OnlineEvalConfig(), NotEmpty())
