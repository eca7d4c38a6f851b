"""Replays what language models said of 419 pairs of outputs through `Judge`, and scores them as LLMBar did.

    python examples/judge_llmbar.py --data PATH [--judges 'GPT-4/*' ...] [--save FOLDER]

`PATH` is a folder with two files. `pairs.jsonl` has one pair a line: an instruction, two outputs, which of them is the
better one, and which of them each recorded judge (a model and a way to prompt it) named, once with the outputs in the
order given and once swapped. `published_statistics.jsonl` has what was published of each judge and each of the five sets.

A recorded judge is played by a function model behind a real `Judge`, so that the prompt, the answer's form, the labels, the
votes and the report are those of any other judgement. The model is told neither the pair nor the order: it finds both in the
sections of the prompt, and raises where these are not exactly what was recorded.

Accuracy is the mean of both orders, and agreement the share of the pairs of which the same output was named in both. Where
an answer had no verdict, LLMBar counted it as wrong, and two such answers as agreeing, and so does this program. For `Judge`
they are no verdicts: they lower the coverage of its report and nothing else. How many there are is in the last column of the
first table. Every recorded judge was asked about every pair, so that nothing else is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pydantic_ai_assay import Grader, Judge, JudgeCase, JudgeReport, Verdict

SETS = ('Natural', 'Neighbor', 'GPTInst', 'GPTOut', 'Manual')
"""The sets, of which all but the first are adversarial: the worse output looks like the better one."""
CHOSEN = (
    'GPT-4/Metrics_Reference',
    'PaLM2/Vanilla_NoRules',
    'ChatGPT-0301/Swap_CoT',
    'ChatGPT/Vanilla',
    'LLaMA2/Vanilla_1shot',
    'Falcon/CoT',
)
"""One judge of each model, among them the best of all, and the one with most answers without a verdict."""

CRITERION = 'The label names the output that carries out the instruction more faithfully.'
GUIDELINES = (
    'The input is the instruction. `first` and `second` are outputs of two systems for it.',
    'What the instruction asks for comes before how well an output reads, how long it is and how sure it sounds.',
    'Which of them comes first means nothing.',
)

SECTIONS = re.compile(
    r'<<<(?P<key>\w+) input \(text\)>>>\n(?P<input>.*)\n<<<(?P=key) end of input \(text\)>>>\n\n'
    r'<<<(?P=key) output \(JSON\)>>>\n(?P<output>.*)\n<<<(?P=key) end of output \(JSON\)>>>\s*',
    re.DOTALL,
)
"""All that a judge's prompt shows of a pair."""
NO_VERDICT = 'UnexpectedModelBehavior'
"""The error of a vote whose answer had no verdict."""
AT_ONCE = 32
"""Judgements under way at the same time."""

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


class Recorded:
    """Answers what one recorded judge answered about the pair that the prompt shows, in the order in which it does."""

    def __init__(self, judge: str, pairs: Iterable[Pair]) -> None:
        self._answers: dict[tuple[str, str, str], Label | None] = {}
        for pair in pairs:
            for swapped, name in zip((False, True), pair.winners[judge], strict=True):
                shown = pair.shown(swapped=swapped)
                answer = None if name == 'None' else label_of(name, swapped=swapped)
                self._answers[pair.input, shown['first'], shown['second']] = answer

    async def respond(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """Answer as recorded: with a label, or where there was none with words that are no verdict."""
        label = self.label_for(messages)
        if label is None:
            return ModelResponse(parts=[TextPart('What was answered names neither output.')])
        answer = {'reason': f'The recorded answer names the {label} output.', 'label': label}
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, answer)])

    def label_for(self, messages: Sequence[ModelMessage]) -> Label | None:
        """The label that was recorded for a prompt, if there was one.

        Raises:
            NotRecorded: If the prompt is about anything else, down to a single character.
        """
        instruction, outputs = read_prompt(messages)
        if list(outputs) != ['first', 'second']:
            raise NotRecorded(f'outputs named {list(outputs)}')
        try:
            return self._answers[instruction, outputs['first'], outputs['second']]
        except KeyError:
            raise NotRecorded(f'outputs for {instruction[:60]!r}') from None


def read_prompt(messages: Sequence[ModelMessage]) -> tuple[str, Mapping[str, str]]:
    """The instruction and the outputs in the sections of a judge's prompt, if these have the key that the judge was told.

    Raises:
        NotRecorded: If the prompt has other sections, or lacks the criterion or one of the guidelines.
    """
    (request,) = messages
    assert isinstance(request, ModelRequest)
    (part,) = request.parts
    assert isinstance(part, UserPromptPart)
    told = request.instructions or ''
    sections = SECTIONS.fullmatch(str(part.content))
    if sections is None or f'The key of this message is {sections["key"]};' not in told:
        raise NotRecorded('sections other than an input and an output, or another key')
    if not all(text in told for text in (CRITERION, *GUIDELINES)):
        raise NotRecorded('instructions without the criterion or a guideline')
    return sections['input'], json.loads(sections['output'])


# The judges


@dataclass(repr=False, kw_only=True)
class InOrder(Grader):
    """Shows a judge the outputs of a pair in one order, and says which of the two it named."""

    asked: Judge
    swapped: bool

    def get_default_evaluation_name(self) -> str:
        return f'{self.asked.get_default_evaluation_name()} {"swapped" if self.swapped else "given"}'

    async def grade(self, case: JudgeCase) -> Verdict:
        pair = case.output
        assert isinstance(pair, Pair)
        verdict = await self.asked.grade(replace(case, input=pair.input, output=pair.shown(swapped=self.swapped)))
        return replace(verdict, value=name_of(verdict.value, swapped=self.swapped))


def judge_with(model: Model, name: str) -> Judge:
    """A judge that says which output is the better one. It is asked once, as those that were recorded."""
    return Judge(CRITERION, name=name, guidelines=GUIDELINES, labels=['first', 'second'], model=model, retries=0)


def recorded_judge(name: str, pairs: Iterable[Pair]) -> Judge:
    """A judge whose model answers what was recorded."""
    return judge_with(FunctionModel(Recorded(name, pairs).respond, model_name=f'{name} recorded'), name)


@dataclass(kw_only=True, frozen=True)
class Reports:
    """What a judge said of pairs: one report for each order, with the same pairs in the same places."""

    given: JudgeReport
    swapped: JudgeReport

    def save(self, folder: Path) -> None:
        """Write both to files in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for report in (self.given, self.swapped):
            report.save(folder / f'{report.judge.replace("/", "-").replace(" ", "-")}.json')


async def judge_pairs(judge: Judge, pairs: Sequence[Pair]) -> Reports:
    """Have a judge say of each pair which output is the better one, in both orders.

    Raises:
        RuntimeError: If a verdict is missing for another reason than that the answer had none.
    """
    cases = [JudgeCase(output=pair, name=f'{pair.subset}-{pair.index}') for pair in pairs]
    reports = [
        await InOrder(asked=judge, swapped=swapped).judge_many(cases, max_concurrency=AT_ONCE, progress=False)
        for swapped in (False, True)
    ]
    for result in (result for report in reports for result in report.failures):
        if {vote.error for vote in result.votes} - {None} != {NO_VERDICT}:
            raise RuntimeError(f'{result.name} was not judged: {result.error}')
    return Reports(given=reports[0], swapped=reports[1])


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
    """Pairs of which it named the same output in both orders, or none in either."""
    without_verdict: int
    """Answers without a verdict, of two for each pair."""

    @classmethod
    def of(cls, pairs: Sequence[Pair], reports: Reports, subset: str) -> Score:
        """The score of one set of pairs."""
        results = zip(pairs, reports.given.results, reports.swapped.results, strict=True)
        # A result without a verdict has no value, and `None` is neither output.
        named = [(str(p.label), given.value, swapped.value) for p, given, swapped in results if p.subset == subset]
        return cls(
            n=len(named),
            correct_given=sum(given == better for better, given, _ in named),
            correct_swapped=sum(swapped == better for better, _, swapped in named),
            correct_both=sum(given == swapped == better for better, given, swapped in named),
            equal=sum(given == swapped for _, given, swapped in named),
            without_verdict=sum((given is None) + (swapped is None) for _, given, swapped in named),
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


Scores = Mapping[str, Mapping[str, Score]]
"""By judge and set."""


async def replay(pairs: Sequence[Pair], names: Iterable[str], folder: Path | None = None) -> Scores:
    """Replay what recorded judges said of pairs, one judge after the other, and score it.

    Args:
        pairs: The pairs.
        names: The judges.
        folder: Where their reports are saved.
    """
    scores: dict[str, dict[str, Score]] = {}
    subsets = list(dict.fromkeys(pair.subset for pair in pairs))
    for name in names:
        reports = await judge_pairs(recorded_judge(name, pairs), pairs)
        if folder is not None:
            reports.save(folder)
        scores[name] = {subset: Score.of(pairs, reports, subset) for subset in subsets}
    return scores


# The tables


def print_tables(scores: Scores, published: Mapping[tuple[str, str], Published], console: Console) -> None:
    """Print accuracy and agreement, the published ones beside them."""
    accuracy, agreement = new_table('accuracy', 'no verdict'), new_table('agreement of both orders')
    for name, by_set in scores.items():
        rows = [published[name, subset] for subset in SETS]
        missing = sum(score.without_verdict for score in by_set.values())
        here = [by_set[subset].accuracy for subset in SETS]
        accuracy.add_row(name, *cells(here, [row.correct_average for row in rows]), str(missing))
        here = [by_set[subset].agreement for subset in SETS]
        agreement.add_row(name, *cells(here, [row.agreement_percent for row in rows]))
    console.print('In each cell: replayed, published (%). The last pair is the mean of the four adversarial sets.\n')
    console.print(accuracy, '', agreement)


def new_table(title: str, *headings: str) -> Table:
    """A table with a column for each set."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(title)
    for heading in (*SETS, 'adversarial', *headings):
        table.add_column(heading, justify='right')
    return table


def cells(replayed: Sequence[float], published: Sequence[str]) -> list[Text]:
    """Figures of all sets with the published ones, marked where they differ in any digit."""
    figures = [float(figure.removesuffix('%')) for figure in published]
    both = zip((*replayed, fmean(replayed[1:])), (*figures, fmean(figures[1:])), strict=True)
    return [Text(f'{here:.1f} {there:>4.1f}', style='' if here == there else 'bold red') for here, there in both]


def chosen(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that fit one of the patterns.

    Raises:
        LookupError: If one of the patterns fits no name.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise LookupError(f'no judge is called {pattern}; there are {", ".join(names)}')
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def main() -> int:
    parser = argparse.ArgumentParser(description='Replay recorded judges of LLMBar through `Judge`, and score them.')
    parser.add_argument('--data', type=Path, required=True, help='folder with pairs.jsonl, published_statistics.jsonl')
    parser.add_argument(
        '--judges',
        nargs='+',
        default=CHOSEN,
        metavar='NAME',
        help="names, * for any part of one (default: one of each model; '*')",
    )
    parser.add_argument('--save', type=Path, metavar='FOLDER', help='where the report of each judge is saved')
    options = parser.parse_args()
    path: Path = options.data
    for file in ('pairs.jsonl', 'published_statistics.jsonl'):
        if not (path / file).is_file():
            parser.error(f'there is no {file} in {path}')
    pairs, published = load_pairs(path), load_published(path)
    try:
        names = chosen(options.judges, list(pairs[0].winners))
    except LookupError as error:
        parser.error(str(error))
    if {pair.subset for pair in pairs} != set(SETS):
        parser.error(f'pairs.jsonl must have pairs of {", ".join(SETS)}')
    started = time.perf_counter()
    scores = asyncio.run(replay(pairs, names, options.save))
    seconds = time.perf_counter() - started
    console = Console(width=120)
    print_tables(scores, published, console)
    rows = [score.is_as_published(published[name, subset]) for name in names for subset, score in scores[name].items()]
    console.print(f'\njudges {len(names)}, judgements {2 * len(pairs) * len(names):,}, seconds {seconds:.1f}')
    console.print(f'as published, to the last digit: {sum(rows)} of {len(rows)} sets')
    return 0 if all(rows) else 1


if __name__ == '__main__':
    sys.exit(main())
