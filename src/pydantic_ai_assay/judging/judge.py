"""A judge: one criterion, one scale, one model, and as many votes as it is asked for."""

# The annotations of the fields are read at run time, for the JSON schemas of agent specs and dataset files.

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, Literal, cast

from pydantic.json_schema import SkipJsonSchema
from pydantic_ai import Agent
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models import KnownModelName, Model
from pydantic_ai.settings import ModelSettings

from ..cached import cached_property
from ..checks import check_count, check_flag, check_function, check_mapping, check_seconds, is_several
from ..errors import ConfigurationError, JudgementError, describe
from ..runs.judgement import cause_of
from ..runs.spans import shorten
from .agent import describe_agent, describe_capabilities, describe_model
from .callbacks import CALLBACKS
from .canaries import CRITERION, CanaryCheck, CanaryReport, release
from .case import JudgeCase
from .example import Example
from .grader import Grader
from .model import JudgeModel
from .prompt import INCLUDES, PROMPT_VERSION, Include, PromptMaker
from .scale import Scale, make_scale
from .verdict import Verdict, agreement_of
from .voter import Polled, Voter

__all__ = ('Judge', 'JudgeCallback')

JudgeCallback = Callable[..., Awaitable[None] | None]
"""Called with the outcome of a judgement and the run it is about, synchronous or asynchronous."""

MAX_NAME = 48
"""Characters of a name that is made of a criterion."""
MAX_GIVEN_NAME = 200
"""Characters of a name that is given. It is on every result, in every event and in the names of spans."""
MIN_LIMIT = 200

_NOT_WHAT_IT_SAYS = ('name', 'vote_timeout', 'retries', 'canaries', 'on_fail', 'on_result')
"""Settings that leave a verdict as it is."""


@dataclass(repr=False, kw_only=True)
class Judge(Grader):
    """Grades an output by one criterion, with a model.

    It is an evaluator: attach it with `OnlineEvaluation`, put it into a `Dataset`, name it in an agent spec, or ask it
    yourself with `judge`. What it is shown is fenced off from what it is told.

    Raises:
        ConfigurationError: If a setting has a value that cannot work.

    Example:
    ```python
    from pydantic_ai import Agent

    from pydantic_ai_assay import Judge, OnlineEvaluation

    agent = Agent(
        'openai:gpt-5.2',
        name='support',
        capabilities=[OnlineEvaluation(evaluators=[Judge('The reply answers the question that was asked')])],
    )
    ```
    """

    criterion: str = field(kw_only=False)
    """What is judged by: one statement that is true of a good output."""
    name: str | None = None
    """What results are called. Default: the words of the criterion, shortened to 48 characters with a hash at the end."""
    guidelines: Sequence[str] = ()
    """What the judge should mind."""
    scale: Literal['binary'] | tuple[int, int] | tuple[float, float] = 'binary'
    """`'binary'` for pass or fail, or the worst and the best score. Scores are whole numbers if both of these are."""
    threshold: int | float | None = None
    """The lowest score that passes. The score is kept: the results are `<name>_score` and `<name>_pass`."""
    labels: Sequence[str] | None = None
    """The labels one of which the judge gives, instead of a scale."""
    passing: Sequence[str] | None = None
    """The labels that pass. The results are then `<name>_label` and `<name>_pass`."""
    examples: Sequence[Example] = ()
    """Cases that were graded correctly."""
    include: Sequence[Include] | Set[Include] = frozenset(('input', 'conversation', 'reference'))
    """What the judge is shown beside the output: `'input'`, `'conversation'` (the turns before), `'tool_calls'` (what was
    done in between, by nested agents too), `'reference'` (where there is one), `'system_prompt'`."""
    section_limit: int = 20_000
    """Characters to which each of these, and the output, is shortened in its middle."""
    model: Model | KnownModelName | str | None = None
    """The model. Default: the one set with `set_default_judge_model` of pydantic-evals."""
    model_settings: ModelSettings | None = None
    """Settings for the model. Default: a temperature of 0 where the model takes one and there is one sample; several votes are
    cast at the temperature that the model has by itself."""
    capabilities: SkipJsonSchema[Sequence[AbstractCapability[Any]]] | None = None
    """Capabilities of the judge's agent."""
    agent: SkipJsonSchema[AbstractAgent[Any, Any]] | None = None
    """An agent of your own that judges, with its model, settings, instructions, tools and capabilities."""
    samples: int = 1
    """How many votes there are. They are cast at once; the majority decides, or the mean of the scores."""
    quorum: int | None = None
    """How many votes there must be for a verdict. Default: more than half of `samples`."""
    vote_timeout: float | None = None
    """Seconds that each vote may take. Default: no limit of its own.

    In any case, where the evaluation is about to time out and `quorum` votes are there, the verdict is made of them.
    """
    retries: int = 2
    """How often the model is asked again when its answer is not a valid verdict."""
    canaries: bool = False
    """Whether the judge grades the canaries once per process, a few beside each of its first judgements."""
    on_fail: JudgeCallback | None = field(default=None, compare=False)
    """Called when a run that was judged online does not pass."""
    on_result: JudgeCallback | None = field(default=None, compare=False)
    """Called with every result of a run that was judged online."""

    def __post_init__(self) -> None:
        """Check the settings."""
        _check_texts(self)
        _check_numbers(self)
        _check_agent(self)
        _check_callbacks(self)
        if isinstance(cast(object, self.scale), list):
            # As YAML has it.
            self.scale = cast('tuple[float, float]', tuple(cast('list[float]', self.scale)))
        self.include = _checked_include(self.include)
        self.examples = tuple(map(Example.of, _listed('examples', self.examples)))
        scale = self._scale
        for example in self.examples:
            problem = scale.check(example.verdict)
            if problem:
                raise ConfigurationError(
                    f'The verdict of an example must be one that the judge can give: {problem}; got {example.verdict!r}.'
                )

    @cached_property
    def _scale(self) -> Scale:
        return make_scale(self.scale, threshold=self.threshold, labels=self.labels, passing=self.passing)

    @cached_property
    def _voter(self) -> Voter:
        scale, name = self._scale, self.get_default_evaluation_name()
        own: Agent[Any, Any] | None = None
        if self.agent is None:
            own = Agent(output_type=scale.verdict_type, name=name, capabilities=self.capabilities)
        return Voter(
            judge=name,
            agent=own or cast('AbstractAgent[Any, Any]', self.agent),
            output_type=scale.verdict_type if own is None else None,
            model=JudgeModel(self.model, self.model_settings, self.agent, is_steady=self.samples == 1),
            prompts=PromptMaker(
                criterion=self.criterion,
                guidelines=tuple(self.guidelines),
                scale=scale,
                examples=tuple(self.examples),
                include=frozenset(self.include),
                limit=self.section_limit,
            ),
            scale=scale,
            retries=self.retries,
        )

    async def grade(self, case: JudgeCase) -> Verdict:
        """Give a verdict on a case, and note every vote in the log of the current evaluation.

        Raises:
            JudgementError: If there are fewer votes than the quorum. That is neither a 0 nor a fail.
        """
        if not self.canaries:
            return await self._judged(case)
        check = CanaryCheck.of(f'{self.get_default_evaluation_name()}:{self.fingerprint_settings()!r}')
        return await check.beside(partial(self._judged, case), self._probe)

    async def _judged(self, case: JudgeCase) -> Verdict:
        return self._verdict(await self._poll(case))

    async def _poll(self, case: JudgeCase) -> list[Polled]:
        if self.samples == 1 and self.vote_timeout is None:
            return [await self._voter.ask(case, sample=0)]
        return await self._voter.poll(case, samples=self.samples, quorum=self._needed, vote_timeout=self.vote_timeout)

    @property
    def _needed(self) -> int:
        return self.samples // 2 + 1 if self.quorum is None else self.quorum

    def _verdict(self, polled: Sequence[Polled]) -> Verdict:
        votes = tuple(vote for vote, _ in polled)
        valid = [vote for vote in votes if vote.value is not None]
        if len(valid) < self._needed:
            errors = [error for _, error in polled if error is not None]
            several = '' if self.samples == 1 else f' ({len(valid)} of {self.samples} votes, {self._needed} needed)'
            listed = '; '.join(dict.fromkeys(map(describe, errors)))
            raise JudgementError(f'{self._name} gave no verdict{several}: {listed}') from cause_of(errors)
        reading = self._scale.combine(valid)
        return Verdict(
            value=reading.value,
            passed=reading.passed,
            reason=reading.reason,
            votes=votes,
            agreement=agreement_of(votes),
        )

    async def check_canaries(self) -> CanaryReport:
        """Have the judge grade a built-in set of bad outputs that try to steer it, and see how many get through.

        They are graded with the model, the prompt, the scale and the samples of this judge, and by a criterion by which
        all of them are bad; its own criterion, guidelines and examples are left out. Where the judge gives labels, they are
        graded as pass or fail. The share that got through is also the metric `assay.judge.canaries`.
        """
        return await release(*self._probe())

    def _probe(self) -> tuple[Grader, Callable[[Verdict], bool]]:
        """The judge that grades canaries, and whether a verdict of it says that an output is good."""
        scale = self._scale
        probe = replace(
            self,
            criterion=CRITERION,
            name=self.get_default_evaluation_name(),
            guidelines=(),
            examples=(),
            labels=None,
            passing=None,
            include=frozenset(('input', 'reference')),
            canaries=False,
        )
        if self.labels is not None:
            scale = probe._scale
        return probe, lambda verdict: scale.approves(verdict.value)

    def get_default_evaluation_name(self) -> str:
        """The name that results go by."""
        return self._name

    @cached_property
    def _name(self) -> str:
        return _name_of(self.criterion) if self.name is None else self.name

    def fingerprint_settings(self) -> dict[str, Any]:
        """What tells this judge from one that may come to other verdicts."""
        settings = {each: getattr(self, each) for each in self.__dataclass_fields__ if each not in _NOT_WHAT_IT_SAYS}
        return {
            **settings,
            'prompt_version': PROMPT_VERSION,
            'scale': list(self.scale) if isinstance(self.scale, tuple) else self.scale,
            'include': sorted(self.include),
            'examples': [example.as_data() for example in self.examples],
            'model': describe_model(self.model) if self.agent is None else None,
            'agent': None if self.agent is None else describe_agent(self.agent),
            'capabilities': describe_capabilities(self.capabilities or ()),
        }

    def build_serialization_arguments(self) -> dict[str, Any]:
        """The settings that are not the default, in a form that specs and dataset files can hold.

        Callbacks are left out. A model object is its id; an agent and capabilities are names, of which no judge can be made.
        """
        arguments = super().build_serialization_arguments()
        for callback in CALLBACKS:
            arguments.pop(callback, None)
        forms: Mapping[str, Callable[[Any], Any]] = {
            'model': lambda model: model.model_id if isinstance(model, Model) else model,
            'agent': lambda agent: agent.name or type(agent).__name__,
            'capabilities': lambda capabilities: [type(each).__name__ for each in capabilities],
            'include': sorted,
            'examples': lambda examples: [example.as_data() for example in examples],
        }
        return {name: forms[name](value) if name in forms else value for name, value in arguments.items()}


def _name_of(criterion: str) -> str:
    words = re.findall(r'\w+', criterion.lower())
    name = '_'.join(words)
    if 0 < len(name) <= MAX_NAME:
        return name
    digest = sha256(criterion.encode(errors='replace')).hexdigest()[:6]
    start = name[: MAX_NAME - len(digest) - 1].rpartition('_')[0] or name[: MAX_NAME - len(digest) - 1] or 'judge'
    return f'{start}_{digest}'


def _check_texts(judge: Judge) -> None:
    if not _is_text(judge.criterion):
        raise ConfigurationError(f'criterion must be a text that is not empty, got {judge.criterion!r}.')
    if judge.name is not None and (not _is_text(judge.name) or len(judge.name) > MAX_GIVEN_NAME):
        raise ConfigurationError(
            f'name must be None, or a text of 1 to {MAX_GIVEN_NAME} characters that is not blank, got '
            f'{shorten(repr(judge.name), 100)}.'
        )
    for guideline in _listed('guidelines', judge.guidelines):
        if not _is_text(guideline):
            raise ConfigurationError(f'guidelines must be texts that are not empty, got {guideline!r}.')


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _listed(name: str, value: object) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f'{name} must be a list, got {value!r}.')
    return cast('Sequence[Any]', value)


def _check_numbers(judge: Judge) -> None:
    check_count('samples', judge.samples, 1)
    check_count('retries', judge.retries, 0)
    check_count('section_limit', judge.section_limit, MIN_LIMIT)
    check_flag('canaries', judge.canaries)
    if judge.vote_timeout is not None:
        check_seconds('vote_timeout', judge.vote_timeout)
    quorum: object = judge.quorum
    is_count = isinstance(quorum, int) and not isinstance(quorum, bool)
    if quorum is not None and not (is_count and 1 <= cast('int', quorum) <= judge.samples):
        raise ConfigurationError(
            f'quorum must be None or an integer from 1 to samples={judge.samples}, got {quorum!r}.'
        )


def _check_callbacks(judge: Judge) -> None:
    for name in CALLBACKS:
        check_function(name, getattr(judge, name), 'None or a function')


def _check_agent(judge: Any) -> None:
    agent, model, capabilities = judge.agent, judge.model, judge.capabilities
    if model is not None and not _is_text(model) and not isinstance(model, Model):
        raise ConfigurationError(f'model must be a model or the name of one, got {model!r}.')
    check_mapping('model_settings', judge.model_settings)
    if capabilities is not None:
        for each in _listed('capabilities', capabilities):
            if not isinstance(each, AbstractCapability):
                raise ConfigurationError(f'capabilities must be capabilities of Pydantic AI, got {each!r}.')
    if agent is None:
        return
    if not isinstance(agent, AbstractAgent):
        raise ConfigurationError(f'agent must be an agent of Pydantic AI, got {agent!r}.')
    for name in ('model', 'model_settings', 'capabilities'):
        if getattr(judge, name) is not None:
            raise ConfigurationError(
                f'{name} must be None where the judge has an agent of its own, got {getattr(judge, name)!r}; set it on the '
                'agent.'
            )


def _checked_include(include: object) -> frozenset[Include]:
    allowed = ', '.join(map(repr, sorted(INCLUDES)))
    if not is_several(include):
        raise ConfigurationError(f'include must be a set of {allowed}, got {include!r}.')
    for each in include:
        if not isinstance(each, str) or each not in INCLUDES:
            raise ConfigurationError(f'include must be a set of {allowed}, got {each!r}.')
    return frozenset(include)
