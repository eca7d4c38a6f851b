"""Replays what language models said of 419 pairs of outputs through `Judge`, and scores them as LLMBar did.

    python examples/judge_llmbar.py --data PATH [--judges 'GPT-4/*' ...] [--save FOLDER]

`PATH` is a folder with two files. `pairs.jsonl` has one pair a line: an instruction, two outputs, which of them is the
better one, and which of them each recorded judge (a model and a way to prompt it) named, once with the outputs in the
order given and once swapped. `published_statistics.jsonl` has what was published of each judge and each of the five sets.

A recorded judge is played by a function model behind a real `Judge`, so that the prompt, the answer's form, the labels,
both orders, the panel and the report are those of any other judgement. The model is told neither the pair nor the order. It
finds both in the sections of the prompt, and raises where these are not exactly what was recorded.

Accuracy is the mean of both orders, and agreement the share of the pairs of which the same output was named in both. Where
an answer had no verdict, LLMBar counted it as wrong, and two such answers as agreeing; so does this program, which needs all
pairs in its denominators. For `Judge` they are no verdicts: they lower the coverage and nothing else. How many there are
is in the last column. A judge that was not recorded is not among the names that can be chosen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pydantic_ai_assay import Grader, Judge, JudgeCase, JudgeReport, JudgeResult, Panel, Verdict

SETS = ('Natural', 'Neighbor', 'GPTInst', 'GPTOut', 'Manual')
ADVERSARIAL = SETS[1:]
"""The sets in which the worse output is the one that looks better."""
CHOSEN = (
    'GPT-4/Metrics_Reference',
    'GPT-4/Vanilla_2shot',
    'PaLM2/Metrics_Reference',
    'PaLM2/Vanilla_NoRules',
    'ChatGPT/Vanilla',
    'ChatGPT-0301/Swap_CoT',
    'LLaMA2/Vanilla_1shot',
    'Falcon/CoT',
)
"""All six models; the best judge, the one with most answers that had no verdict, and one that is hardly more than a coin."""

CRITERION = 'The label names the output that carries out the instruction more faithfully.'
GUIDELINES = (
    'The input is the instruction. `first` and `second` are outputs of two systems for it.',
    'What the instruction asks for comes before how well an output reads, how long it is and how sure it sounds.',
    'Which of them comes first means nothing.',
)

Name = Literal['1', '2']
Label = Literal['first', 'second']


# The recording


class Pair(BaseModel):
    """Two outputs for one instruction."""

    subset: str
    index: int
    input: str
    output_1: str
    output_2: str
    label: Literal[1, 2]
    winners: dict[str, tuple[Name | Literal['None'], Name | Literal['None']]]
    """Which output each recorded judge named: in the order given, and with both swapped."""

    def shown(self, *, swapped: bool) -> dict[Label, str]:
        """The outputs in one order."""
        first, second = (self.output_2, self.output_1) if swapped else (self.output_1, self.output_2)
        return {'first': first, 'second': second}


class Published(BaseModel):
    """What was published of one judge and one set."""

    subset: str
    evaluator: str
    correct_given: int = Field(alias='correct_False')
    correct_swapped: int = Field(alias='correct_True')
    correct_both: int
    equal: int
    n: int
    correct_average: str
    agreement_percent: str


def load_pairs(path: Path) -> list[Pair]:
    """Read the pairs from the folder `path`."""
    lines = (path / 'pairs.jsonl').read_text(encoding='utf-8').splitlines()
    return [Pair.model_validate_json(line) for line in lines]


def load_published(path: Path) -> dict[tuple[str, str], Published]:
    """Read what was published from the folder `path`, by judge and set."""
    lines = (path / 'published_statistics.jsonl').read_text(encoding='utf-8').splitlines()
    rows = [Published.model_validate_json(line) for line in lines]
    return {(row.evaluator, row.subset): row for row in rows}


def name_of(label: object, *, swapped: bool) -> Name:
    """The output that stands where a label says."""
    return '1' if (label == 'first') is not swapped else '2'


def label_of(name: Name, *, swapped: bool) -> Label:
    """Where an output stands."""
    return 'first' if (name == '1') is not swapped else 'second'


# The model that answers what was recorded


class NotRecorded(LookupError):
    """The model was shown something about which nothing was recorded."""


NO_VERDICT = 'UnexpectedModelBehavior'
"""The error of a vote whose answer had no verdict."""


class Recorded:
    """Answers what one recorded judge answered about the pair that the prompt shows, in the order in which it does."""

    def __init__(self, judge: str, pairs: Iterable[Pair]) -> None:
        self._answers: dict[tuple[str, str, str], Label | None] = {}
        for pair in pairs:
            for swapped, name in enumerate(pair.winners[judge]):
                shown = pair.shown(swapped=bool(swapped))
                answer = None if name == 'None' else label_of(name, swapped=bool(swapped))
                self._answers[pair.input, shown['first'], shown['second']] = answer

    def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """Answer as recorded: with a label, or where there was none with words that are no verdict."""
        instruction, outputs = read_prompt(messages)
        if list(outputs) != ['first', 'second']:
            raise NotRecorded(f'outputs named {list(outputs)}')
        try:
            label = self._answers[instruction, outputs['first'], outputs['second']]
        except KeyError:
            raise NotRecorded(f'the pair for {instruction[:60]!r}') from None
        if label is None:
            return ModelResponse(parts=[TextPart('What was answered names neither output.')])
        answer = {'reason': f'The recorded answer names the {label} output.', 'label': label}
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])


def read_prompt(messages: Sequence[ModelMessage]) -> tuple[str, Mapping[str, str]]:
    """The instruction and the outputs in the sections of a judge's prompt, which have the key that the judge was told."""
    (request,) = messages
    assert isinstance(request, ModelRequest)
    (part,) = request.parts
    assert isinstance(part, UserPromptPart)
    key = re.search(r'The key of this message is (\w+);', request.instructions or '')
    if key is None or CRITERION not in (request.instructions or ''):
        raise NotRecorded('instructions without the key or the criterion')
    pattern = rf'<<<{key[1]} input \(text\)>>>\n(.*)\n<<<{key[1]} end of input \(text\)>>>\n\n'
    pattern += rf'<<<{key[1]} output \(JSON\)>>>\n(.*)\n<<<{key[1]} end of output \(JSON\)>>>\s*'
    sections = re.fullmatch(pattern, str(part.content), re.DOTALL)
    if sections is None:
        raise NotRecorded('sections other than an input and an output')
    return sections[1], json.loads(sections[2])


# The judges


@dataclass(repr=False, kw_only=True)
class InOrder(Grader):
    """Shows a judge the outputs of a pair in one order, and says which of the two it named."""

    judge: Judge
    swapped: bool

    def get_default_evaluation_name(self) -> str:
        return self.judge.get_default_evaluation_name()

    async def grade(self, case: JudgeCase) -> Verdict:
        pair = case.output
        assert isinstance(pair, Pair)
        shown = replace(case, input=pair.input, output=pair.shown(swapped=self.swapped))
        verdict = await self.judge.grade(shown)
        return replace(verdict, value=name_of(verdict.value, swapped=self.swapped))


def panel_of(name: str, judge: Judge) -> Panel:
    """A panel of one judge that is asked in both orders. One order in which it gives a verdict is enough."""
    given = InOrder(judge=replace(judge, name='given'), swapped=False)
    swapped = InOrder(judge=replace(judge, name='swapped'), swapped=True)
    return Panel([given, swapped], name=name, quorum=1)


def judge_with(model: Model) -> Judge:
    """The judge that is asked for the better output. As those that were recorded, it is asked once."""
    return Judge(CRITERION, guidelines=GUIDELINES, labels=['first', 'second'], model=model, retries=0)


def recorded_judge(name: str, pairs: Iterable[Pair]) -> Judge:
    """A judge whose model answers what was recorded."""
    return judge_with(FunctionModel(Recorded(name, pairs).respond, model_name=f'{name}-recorded'))


async def judge_pairs(panel: Panel, pairs: Sequence[Pair]) -> JudgeReport:
    """Have a panel judge pairs."""
    cases = [JudgeCase(output=pair, name=f'{pair.subset}-{pair.index}') for pair in pairs]
    return await panel.judge_many(cases, max_concurrency=32, progress=False)


# The scores


@dataclass(kw_only=True, frozen=True)
class Score:
    """How well a judge told the better output from the worse one."""

    n: int
    """Pairs."""
    correct_given: int
    """Pairs of which it named the better output in the order given."""
    correct_swapped: int
    """Pairs of which it did with both swapped."""
    correct_both: int
    """Pairs of which it did in both orders."""
    equal: int
    """Pairs of which it named the same output in both orders, or in neither gave a verdict."""
    without_verdict: int
    """Answers without a verdict, of twice as many as there are pairs."""

    @classmethod
    def of(cls, judged: Iterable[tuple[Pair, JudgeResult]]) -> Score:
        """The score of what was judged.

        Raises:
            RuntimeError: If a verdict is missing for another reason than that none was recorded.
        """
        named = [(str(pair.label), *names_in(result), result) for pair, result in judged]
        return cls(
            n=len(named),
            correct_given=sum(given == better for better, given, _, _ in named),
            correct_swapped=sum(swapped == better for better, _, swapped, _ in named),
            correct_both=sum(given == swapped == better for better, given, swapped, _ in named),
            equal=sum(result.agreement == 1.0 or given is swapped is None for _, given, swapped, result in named),
            without_verdict=sum((given is None) + (swapped is None) for _, given, swapped, _ in named),
        )

    @property
    def accuracy(self) -> float:
        """Mean of both orders, in percent."""
        return (self.correct_given + self.correct_swapped) / (2 * self.n) * 100

    @property
    def agreement(self) -> float:
        """Of both orders, in percent."""
        return self.equal / self.n * 100

    def is_as_published(self, row: Published) -> bool:
        """Whether each count, and each digit of both percentages, is the published one."""
        counts = (self.n, self.correct_given, self.correct_swapped, self.correct_both, self.equal)
        figures = (f'{self.accuracy}%', f'{self.agreement}%')
        published = (row.n, row.correct_given, row.correct_swapped, row.correct_both, row.equal)
        return counts == published and figures == (row.correct_average, row.agreement_percent)


def names_in(result: JudgeResult) -> tuple[Name | None, Name | None]:
    """The outputs that were named in both orders, by the majority of the votes in each; `None` without a verdict."""
    faults = {vote.error for vote in result.votes} - {None, NO_VERDICT}
    if faults or not result.votes:
        raise RuntimeError(f'{result.name} was not judged: {", ".join(map(str, faults))} {result.error or ""}')
    votes = {name: [vote.value for vote in result.votes if vote.judge == name] for name in ('given', 'swapped')}
    given, swapped = (max(set(said), key=said.count) for said in votes.values())
    return (
        None if given is None else name_of(given, swapped=False),
        None if swapped is None else name_of(swapped, swapped=True),
    )


def scores_of(report: JudgeReport, pairs: Sequence[Pair]) -> dict[str, Score]:
    """The score of each set that occurs."""
    judged = list(zip(pairs, report.results, strict=True))
    subsets = dict.fromkeys(pair.subset for pair in pairs)
    return {subset: Score.of(each for each in judged if each[0].subset == subset) for subset in subsets}


async def replay(pairs: Sequence[Pair], name: str) -> JudgeReport:
    """Replay what one recorded judge said of pairs."""
    return await judge_pairs(panel_of(name, recorded_judge(name, pairs)), pairs)


# The tables


def table_of(
    title: str,
    scores: Mapping[str, Mapping[str, Score]],
    published: Mapping[tuple[str, str], Published],
    replayed_figure: Callable[[Score], float],
    published_figure: Callable[[Published], str],
) -> Table:
    """A figure of all judges and sets, the published one beside it."""
    table = Table(title=title, title_justify='left', box=None, pad_edge=False, padding=(0, 1))
    table.add_column('')
    for heading in (*SETS, 'adversarial'):
        table.add_column(heading, justify='right')
    table.add_column('no verdict', justify='right')
    for name, by_set in scores.items():
        here = [replayed_figure(by_set[subset]) for subset in SETS]
        there = [float(published_figure(published[name, subset]).removesuffix('%')) for subset in SETS]
        cells = zip((*here, fmean(here[1:])), (*there, fmean(there[1:])), strict=True)
        missing = sum(score.without_verdict for score in by_set.values())
        table.add_row(Text(name), *(cell(*figures) for figures in cells), str(missing or ''))
    return table


def cell(replayed: float, published: float) -> Text:
    """Two figures side by side, marked where they differ in any digit."""
    return Text(f'{replayed:.1f} {published:.1f}', style='' if replayed == published else 'bold red')


def print_tables(
    scores: Mapping[str, Mapping[str, Score]], published: Mapping[tuple[str, str], Published], console: Console
) -> None:
    """Print accuracy and agreement."""
    console.print('In each cell: replayed, published. The adversarial column is the mean of the four sets before it.\n')
    console.print(
        table_of('Accuracy', scores, published, lambda score: score.accuracy, lambda row: row.correct_average),
        '',
        table_of(
            'Agreement of both orders', scores, published, lambda score: score.agreement, lambda row: row.agreement_percent
        ),
    )


def chosen(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that fit one of the patterns."""
    patterns = list(patterns)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def main() -> int:
    parser = argparse.ArgumentParser(description='Replay recorded judges of LLMBar through `Judge`, and score them.')
    parser.add_argument('--data', type=Path, required=True, help='folder with pairs.jsonl, published_statistics.jsonl')
    parser.add_argument(
        '--judges', nargs='+', default=CHOSEN, metavar='NAME', help="names, * for any part of one (default: 8 of 65; '*')"
    )
    parser.add_argument('--save', type=Path, metavar='FOLDER', help='where the report of each judge is saved')
    options = parser.parse_args()
    path: Path = options.data
    for file in ('pairs.jsonl', 'published_statistics.jsonl'):
        if not (path / file).is_file():
            parser.error(f'there is no {file} in {path}')
    pairs, published = load_pairs(path), load_published(path)
    names = chosen(options.judges, list(pairs[0].winners))
    if not names:
        parser.error(f'no judge is called {" or ".join(options.judges)}; there are {", ".join(pairs[0].winners)}')
    if {pair.subset for pair in pairs} != set(SETS):
        parser.error(f'pairs.jsonl must have pairs of {", ".join(SETS)}')
    started = time.perf_counter()
    scores: dict[str, dict[str, Score]] = {}
    calls = 0
    for name in names:
        report = asyncio.run(replay(pairs, name))
        scores[name] = scores_of(report, pairs)
        calls += sum(len(result.votes) for result in report.results)
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            report.save(options.save / f'{name.replace("/", "-")}.json')
    console = Console(width=120)
    print_tables(scores, published, console)
    rows = [score.is_as_published(published[name, subset]) for name in names for subset, score in scores[name].items()]
    console.print(f'\n{len(names)} judges, {len(pairs)} pairs, {calls:,} calls in {time.perf_counter() - started:.1f} s')
    console.print(f'As published, to the last digit: {sum(rows)} of {len(rows)} sets')
    return 0 if all(rows) else 1


if __name__ == '__main__':
    sys.exit(main())
