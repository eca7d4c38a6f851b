"""What came of judging on its own: one result per case, and what they come to."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.usage import RunUsage
from pydantic_core import to_json

from ..cached import cached_property
from ..errors import ConfigurationError, describe
from ..runs.judgement import Judgement, Vote
from ..runs.outcome import EvaluationStatus
from ..runs.spans import shorten
from .answer import Answer
from .case import JudgeCase

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ('JudgeReport', 'JudgeResult')

MAX_OUTPUT = 500
"""Characters to which a result shortens what was judged."""
FORMAT = 1
"""The version of the files that `save` writes."""


@dataclass(kw_only=True, frozen=True)
class JudgeResult:
    """What came of judging one case."""

    status: EvaluationStatus
    """`'scored'`, or where there is no verdict `'failed'` or `'timed_out'`. That is neither a 0 nor a fail."""
    index: int = 0
    """The place of the case among those that were judged together."""
    name: str | None = None
    """What the case is called, if it has a name."""
    output: str = ''
    """What was judged, as text, shortened to about 500 characters."""
    value: bool | int | float | str | None = None
    """The score, the label, or for a binary judge whether the case passes."""
    passed: bool | None = None
    """Whether the case passes; `None` where that is not known."""
    reason: str | None = None
    """Why."""
    error: str | None = None
    """What went wrong, where there is no verdict."""
    agreement: float | None = None
    """The share of the pairs of votes that agree, where more than one voted."""
    duration: float = 0.0
    """How long the judging took, in seconds."""
    votes: tuple[Vote, ...] = ()
    """Every call of a judge, in the order in which they ended, those that failed included."""

    @classmethod
    def of(cls, answer: Answer, case: JudgeCase, index: int = 0) -> JudgeResult:
        """The result that an answer stands for."""
        verdict = answer.verdict
        return cls(
            status='scored' if verdict is not None else 'timed_out' if answer.is_late else 'failed',
            index=index,
            name=None if case.name is None else str(case.name),
            output=_text_of(case.output),
            value=None if verdict is None else verdict.value,
            passed=None if verdict is None else verdict.passed,
            reason=None if verdict is None else verdict.reason,
            error=None if answer.error is None else describe(answer.error),
            agreement=None if verdict is None else verdict.agreement,
            duration=answer.vote.duration,
            votes=answer.calls,
        )

    @classmethod
    def without_case(cls, error: Exception, index: int) -> JudgeResult:
        """The result of something that is no case."""
        return cls(status='failed', index=index, error=describe(error))

    @property
    def usage(self) -> RunUsage:
        """What the votes used, together."""
        return Judgement(votes=self.votes).usage

    @property
    def cost(self) -> Decimal | None:
        """What the votes cost in USD, or `None` if none of their models has a known price."""
        return self.usage.cost

    @property
    def score(self) -> int | float | None:
        """The value, where that is a number; passing or not is no number."""
        return None if isinstance(self.value, bool | str) else self.value

    @property
    def model(self) -> str | None:
        """Name of the model that answered; `None` where none did, or several: those are `models`."""
        models = self.models
        return models[0] if len(models) == 1 else None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that answered, each once."""
        return Judgement(votes=self.votes).models


@dataclass(kw_only=True, frozen=True)
class JudgeReport:
    """What came of judging many cases.

    Printed, it is a table of the results with what they come to. All statistics are about the cases that were scored:
    `coverage` says how many those are.
    """

    judge: str
    """The judge's name."""
    version: str | None = None
    """The judge's version, if it has one."""
    fingerprint: str | None = None
    """What tells the judge from one that may come to other verdicts; `None` in files of earlier versions."""
    results: tuple[JudgeResult, ...] = field(repr=False)
    """One result per case, in the order of the cases."""
    duration: float
    """How long all of it took, in seconds."""
    finished_at: datetime
    """When it ended (UTC)."""

    @property
    def n(self) -> int:
        """How many cases there are, failed ones included."""
        return len(self.results)

    @cached_property
    def counts(self) -> Mapping[EvaluationStatus, int]:
        """How many cases ended in which status."""
        return dict(Counter(result.status for result in self.results))

    @property
    def coverage(self) -> float:
        """The share of the cases that were scored."""
        return self.counts.get('scored', 0) / self.n

    @property
    def failures(self) -> tuple[JudgeResult, ...]:
        """The results without a verdict."""
        return tuple(result for result in self.results if result.status != 'scored')

    @cached_property
    def scores(self) -> tuple[float, ...]:
        """The scores that are numbers, from low to high. Passing or not is no number."""
        return tuple(sorted(float(result.score) for result in self.results if result.score is not None))

    @property
    def mean(self) -> float | None:
        """The mean of the scores; `None` if there are none."""
        return statistics.mean(self.scores) if self.scores else None

    @property
    def min(self) -> float | None:
        """The lowest score; `None` if there are none."""
        return self.scores[0] if self.scores else None

    @property
    def max(self) -> float | None:
        """The highest score; `None` if there are none."""
        return self.scores[-1] if self.scores else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation of the scores (by n - 1); `None` for fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def p50(self) -> float | None:
        """The median of the scores; `None` if there are none."""
        return self.quantile(0.5)

    @property
    def p95(self) -> float | None:
        """The 95th percentile of the scores; `None` if there are none."""
        return self.quantile(0.95)

    def quantile(self, share: float) -> float | None:
        """The score that a share of the scores do not exceed, between two of them on the line that joins them.

        Args:
            share: From 0, the lowest score, to 1, the highest.

        Raises:
            ConfigurationError: If `share` is not from 0 to 1.
        """
        if not 0.0 <= share <= 1.0:
            raise ConfigurationError(f'share must be from 0 to 1, got {share!r}.')
        if not self.scores:
            return None
        whole, part = divmod(share * (len(self.scores) - 1), 1.0)
        low = self.scores[int(whole)]
        high = self.scores[min(int(whole) + 1, len(self.scores) - 1)]
        # Rounding must not lead out of the two, which may be equal.
        return min(max(low * (1.0 - part) + high * part, low), high)

    @property
    def pass_rate(self) -> float | None:
        """The share that passes, of the cases where that is known; `None` if there are none."""
        passes = [result.passed for result in self.results if result.passed is not None]
        return sum(passes) / len(passes) if passes else None

    @cached_property
    def labels(self) -> Mapping[str, int]:
        """How often each label was given, the most frequent first."""
        return dict(Counter(result.value for result in self.results if isinstance(result.value, str)).most_common())

    @cached_property
    def usage(self) -> RunUsage:
        """What all votes used, together."""
        return Judgement(votes=tuple(vote for result in self.results for vote in result.votes)).usage

    @property
    def cost(self) -> Decimal | None:
        """What the votes cost in USD, or `None` if none of their models has a known price."""
        return self.usage.cost

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report to a file, as JSON.

        Args:
            path: The file. One that exists is replaced.
        """
        document = {'format': FORMAT, 'report': _ADAPTER.dump_python(self, mode='json')}
        # What agents wrote may have lone surrogates, which no file can hold.
        text = json.dumps(document, ensure_ascii=False, indent=1).encode(errors='replace')
        Path(path).write_bytes(text)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> JudgeReport:
        """Read a report that `save` wrote.

        Args:
            path: The file.

        Raises:
            ConfigurationError: If the file is no report, or one of a later version of this package.
            OSError: If it cannot be read.
        """
        try:
            document: Any = json.loads(Path(path).read_bytes())
            version = document['format']
        except (ValueError, TypeError, LookupError):
            raise ConfigurationError(f'{path} is no report of judgements.') from None
        if version != FORMAT:
            raise ConfigurationError(
                f'{path} is a report of format {version!r}, and this version of the package reads {FORMAT}.'
            )
        try:
            return _ADAPTER.validate_python(document.get('report'))
        except ValidationError as error:
            raise ConfigurationError(f'{path} is no report of judgements: {error.errors()[0]["msg"]}.') from error

    def render(self, *, rows: int | None = None, width: int | None = None) -> str:
        """The report as a table.

        Args:
            rows: How many results are shown at most. Default: 50.
            width: Characters of a line. Default: those of the terminal, or 120.
        """
        from .table import render

        return render(self, rows=rows, width=width)

    def __str__(self) -> str:
        return self.render()

    def __rich__(self) -> RenderableType:
        from .table import table_of

        return table_of(self)


_ADAPTER = TypeAdapter(JudgeReport)


def _text_of(output: object) -> str:
    """What was judged, as text, whatever it does when it is asked for it."""
    if isinstance(output, str):
        return shorten(output, MAX_OUTPUT)
    try:
        text = to_json(output, serialize_unknown=True, bytes_mode='base64', inf_nan_mode='strings').decode()
    except Exception as error:
        return f'<{type(output).__name__} whose text raised {type(error).__name__}>'
    return shorten(text, MAX_OUTPUT)
