"""What 65 judges said of the 419 pairs of LLMBar, replayed through `Judge`, with the published accuracies."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from pydantic_ai_assay import JudgeReport, Panel

if TYPE_CHECKING:
    from examples.judge_llmbar import Pair, Scores

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'examples' / 'judge_llmbar.py'
DATA = ROOT.parent / 'shared' / 'data' / 'llmbar'

pytestmark = pytest.mark.skipif(
    not all((DATA / name).is_file() for name in ('pairs.jsonl', 'published_statistics.jsonl')),
    reason='the verdicts of the judges are not there: ../shared/data/llmbar, seen from the checkout',
)

JUDGES = (
    'GPT-4/Metrics_Reference',
    'PaLM2/Vanilla_NoRules',
    'ChatGPT/Vanilla',
    'LLaMA2/Vanilla_1shot',
    'Falcon/CoT',
)
SETS = {'Natural': 100, 'Neighbor': 134, 'GPTInst': 92, 'GPTOut': 47, 'Manual': 46}


COUNTS = {
    'n': 'n',
    'correct_given': 'correct_False',
    'correct_swapped': 'correct_True',
    'correct_both': 'correct_both',
    'equal': 'equal',
}
"""Names of the published counts by ours."""


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding='utf-8').splitlines()]


@pytest.fixture(scope='module', autouse=True)
def examples_can_be_imported() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'path', [str(ROOT), *sys.path])
        yield


@pytest.fixture(scope='module')
def pairs() -> list[Pair]:
    from examples.judge_llmbar import load_pairs

    return load_pairs(DATA)


@pytest.fixture(scope='module')
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('reports')


@pytest.fixture(scope='module')
def scores(pairs: list[Pair], reports: Path) -> Scores:
    from examples.judge_llmbar import replay

    return asyncio.run(replay(pairs, JUDGES, reports))


def manual(pairs: Sequence[Pair]) -> list[Pair]:
    """The smallest of the sets."""
    return [pair for pair in pairs if pair.subset == 'Manual']


@pytest.mark.parametrize('subset', SETS)
@pytest.mark.parametrize('judge', JUDGES)
def test_accuracy_and_agreement_are_the_published_ones_to_the_last_digit(
    scores: Scores, judge: str, subset: str
) -> None:
    score = scores[judge][subset]
    (row,) = (row for row in read('published_statistics.jsonl') if (row['evaluator'], row['subset']) == (judge, subset))
    assert f'{score.accuracy}%' == row['correct_average']
    assert f'{score.agreement}%' == row['agreement_percent']
    assert {ours: getattr(score, ours) for ours in COUNTS} == {ours: row[theirs] for ours, theirs in COUNTS.items()}


def test_the_best_judge_has_the_published_mean_of_the_adversarial_sets(scores: Scores) -> None:
    means = {judge: sum(scores[judge][name].accuracy for name in list(SETS)[1:]) / 4 for judge in JUDGES}
    assert max(means, key=means.__getitem__) == 'GPT-4/Metrics_Reference'
    assert {judge: round(mean, 1) for judge, mean in means.items()} == snapshot(
        {
            'GPT-4/Metrics_Reference': 82.8,
            'PaLM2/Vanilla_NoRules': 60.7,
            'ChatGPT/Vanilla': 30.6,
            'LLaMA2/Vanilla_1shot': 38.2,
            'Falcon/CoT': 50.4,
        }
    )


@pytest.mark.parametrize('judge', JUDGES)
@pytest.mark.parametrize('order', ['given', 'swapped'])
def test_each_result_is_the_recorded_one_and_where_none_was_recorded_there_is_none(
    scores: Scores, reports: Path, judge: str, order: str
) -> None:
    report = JudgeReport.load(reports / f'{judge.replace("/", "-")}-{order}.json')
    recorded = [row['winners'][judge][order == 'swapped'] for row in read('pairs.jsonl')]
    assert [str(result.value) for result in report.results] == recorded
    assert report.coverage == (419 - recorded.count('None')) / 419
    assert report.labels == {name: count for name, count in Counter(recorded).most_common() if name != 'None'}
    for result in report.results:
        (vote,) = result.votes
        assert (vote.judge, vote.model, vote.usage.requests) == (judge, f'{judge} recorded', 1)
        assert (result.status, vote.error) in (('scored', None), ('failed', 'UnexpectedModelBehavior'))


def test_answers_without_a_verdict_are_counted(scores: Scores) -> None:
    rows = read('pairs.jsonl')
    for judge in JUDGES:
        missing = sum(row['winners'][judge].count('None') for row in rows)
        assert sum(score.without_verdict for score in scores[judge].values()) == missing
    assert sum(score.without_verdict for score in scores['PaLM2/Vanilla_NoRules'].values()) == 16


def test_both_orders_in_a_panel_agree_as_often_as_published(pairs: list[Pair]) -> None:
    from examples.judge_llmbar import InOrder, recorded_judge

    name = 'GPT-4/Metrics_Reference'
    asked = recorded_judge(name, pairs)
    panel = Panel([InOrder(asked=asked, swapped=False), InOrder(asked=asked, swapped=True)])
    report = asyncio.run(panel.judge_many([{'output': pair} for pair in manual(pairs)], progress=False))
    (row,) = (
        row for row in read('published_statistics.jsonl') if (row['evaluator'], row['subset']) == (name, 'Manual')
    )
    assert sum(result.agreement == 1.0 for result in report.results) == row['equal']
    assert (report.n, report.coverage) == (row['n'], 1.0)
    assert [len(result.votes) for result in report.results] == [2] * report.n


@pytest.mark.parametrize('judge', ['GPT-4/Metrics_Reference', 'Falcon/CoT'])
def test_a_vote_against_the_recorded_one_is_outvoted(pairs: list[Pair], judge: str) -> None:
    from examples.judge_llmbar import Recorded, Score, judge_pairs, judge_with, read_prompt

    recorded = Recorded(judge, pairs)
    asked: Counter[str] = Counter()

    async def contradict_once(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        shown = json.dumps(read_prompt(messages))
        asked[shown] += 1
        label = recorded.label_for(messages)
        if label is None or asked[shown] != 2:
            return await recorded.respond(messages, info)
        other = 'second' if label == 'first' else 'first'
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {'reason': 'No.', 'label': other})])

    some = manual(pairs)
    voting = replace(judge_with(FunctionModel(contradict_once), judge), samples=3)
    reports = asyncio.run(judge_pairs(voting, some))
    (row,) = (
        row for row in read('published_statistics.jsonl') if (row['evaluator'], row['subset']) == (judge, 'Manual')
    )
    score = Score.of(some, reports, 'Manual')
    assert (f'{score.accuracy}%', f'{score.agreement}%') == (row['correct_average'], row['agreement_percent'])
    assert set(asked.values()) == {3}
    scored = [result for report in (reports.given, reports.swapped) for result in report.results if result.value]
    assert {result.agreement for result in scored} == {1 / 3}
    assert len(scored) + score.without_verdict == 2 * len(some)


@pytest.mark.parametrize(
    'changed',
    [
        {'include': ()},
        {'section_limit': 200},
        {'guidelines': ()},
        {'criterion': 'It is polite'},
    ],
    ids=str,
)
def test_a_prompt_that_shows_anything_else_is_noticed(pairs: list[Pair], changed: dict[str, Any]) -> None:
    from examples.judge_llmbar import judge_pairs, recorded_judge

    judge = replace(recorded_judge('ChatGPT/Vanilla', pairs), **changed)
    with pytest.raises(RuntimeError, match=r'Manual-0 was not judged: JudgementError: .*NotRecorded'):
        asyncio.run(judge_pairs(judge, manual(pairs)))


def test_a_pair_that_differs_in_one_character_is_noticed(pairs: list[Pair]) -> None:
    from examples.judge_llmbar import judge_pairs, recorded_judge

    pair = pairs[0].model_copy(update={'output_1': f'{pairs[0].output_1} '})
    with pytest.raises(RuntimeError, match='Natural-0 was not judged: .*NotRecorded'):
        asyncio.run(judge_pairs(recorded_judge('ChatGPT/Vanilla', pairs), [pair]))


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-W', 'error', str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_the_script_prints_the_figures_beside_the_published_ones() -> None:
    done = run_script('--data', DATA, '--judges', 'GPT-4/Metrics_R*')
    assert (done.returncode, done.stderr) == (0, '')
    rows = [' '.join(line.split()) for line in done.stdout.splitlines() if line.startswith('GPT-4/Metrics_Reference')]
    assert rows == snapshot(
        [
            'GPT-4/Metrics_Reference 96.0 96.0 85.4 85.4 89.7 89.7 72.3 72.3 83.7 83.7 82.8 82.8 0',
            'GPT-4/Metrics_Reference 96.0 96.0 94.8 94.8 90.2 90.2 83.0 83.0 84.8 84.8 88.2 88.2',
        ]
    )
    counts, verdict = done.stdout.splitlines()[-2:]
    assert re.fullmatch(r'judges 1, judgements 838, seconds \d+\.\d', counts)
    assert verdict == 'as published, to the last digit: 5 of 5 sets'


def test_the_script_fails_where_a_verdict_is_another(tmp_path: Path) -> None:
    shutil.copy(DATA / 'published_statistics.jsonl', tmp_path)
    rows = read('pairs.jsonl')
    rows[0]['winners']['Falcon/CoT'].reverse()
    (tmp_path / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, rows)), encoding='utf-8')
    done = run_script('--data', tmp_path, '--judges', 'Falcon/CoT')
    assert (done.returncode, done.stderr) == (1, '')
    assert done.stdout.splitlines()[-1] == 'as published, to the last digit: 4 of 5 sets'


def test_the_script_says_what_is_not_there(tmp_path: Path) -> None:
    done = run_script('--data', tmp_path)
    assert done.returncode == 2
    assert f'there is no pairs.jsonl in {tmp_path}' in done.stderr
    done = run_script('--data', DATA, '--judges', 'GPT-4/*', 'GPT-5/*')
    assert done.returncode == 2
    assert 'no judge is called GPT-5/*; there are ChatGPT-0301/CoT, ' in done.stderr
