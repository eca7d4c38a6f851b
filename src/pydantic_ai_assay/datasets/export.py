"""Exporting stored runs to a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import ConfigurationError
from ..known_store import known_store
from ..reports.known import require_conditions
from ..stored_runs import each_run, unless_gone, up_to_now
from .case import Expected, case_of
from .case_file import CaseFile
from .chat import UnsupportedContentError
from .choice import GroupBy, check_choice, chosen_runs
from .line_file import LineFile
from .table_file import TableFile, row_of_run
from .tuning import Pairing, chat_example
from .turn import turn_in

if TYPE_CHECKING:
    from ..store.rows import StoredRun
    from ..store.run_filter import RunFilter
    from ..store.store import Store

__all__ = ('ExportFormat', 'ExportReport', 'LeftOut', 'export_dataset')

ExportFormat = Literal['cases', 'chat', 'preferences', 'csv']
"""What is written.

- `'cases'`: a dataset of pydantic-evals, as YAML or JSON.
- `'chat'`: one example a line for fine-tuning, with the tool calls.
- `'preferences'`: one pair of a better and a worse answer a line, for preference tuning.
- `'csv'`: a table with a row for each run.
"""

LeftOut = Literal['without_content', 'incomplete', 'unfinished', 'unsupported', 'without_pair', 'gone']
"""Why a chosen run is not in the file.

- `'without_content'`: what was said is not stored, because content is not recorded.
- `'incomplete'`: its messages were too large to be kept as a whole, or cannot be read.
- `'unfinished'`: it did not end with an answer.
- `'unsupported'`: it has audio without a transcript, video, documents, tools that the provider ran, or a summary in place of
  earlier messages, for which the format has no place; or the call of a tool without what it returned, or the reverse.
- `'without_pair'`: there is neither a correction of its answer nor a better answer to the same prompt.
- `'gone'`: it was deleted in the meantime.
"""

_WITH_ANSWER = ('success', 'deferred')
"""How a run ended that ends with what the model said, be it the call of a tool that is somebody else's to run."""
_BY_SUFFIX: Mapping[str, ExportFormat] = {
    '.yaml': 'cases',
    '.yml': 'cases',
    '.json': 'cases',
    '.jsonl': 'chat',
    '.csv': 'csv',
}


@dataclass(kw_only=True, frozen=True)
class ExportReport:
    """What was written."""

    path: Path
    format: ExportFormat
    added: int
    """How many cases, examples, pairs or rows are new in the file."""
    duplicates: int
    """How many it had already."""
    total: int
    """How many it has now."""
    left_out: Mapping[LeftOut, int] = field(default_factory=dict[LeftOut, int])
    """How many chosen runs are not in it, and why."""


def export_dataset(
    path: str | PathLike[str],
    *,
    store: Store | str | None = None,
    where: RunFilter | None = None,
    format: ExportFormat | None = None,
    append: bool = False,
    sample: float = 1.0,
    per_group: int | None = None,
    group_by: GroupBy | None = None,
    name: str | None = None,
    history: bool = False,
    expected: Expected = 'known',
    correction: str = 'correction',
    distinct_inputs: bool = False,
    rejected: RunFilter | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
) -> ExportReport:
    """Write stored runs to a file that others can use.

    The file is replaced as a whole, so that nobody sees half of it. Which runs are drawn depends on their ids alone.

    Args:
        path: The file.
        store: The store or its URL. Default: that of `configure(store=...)`, else of `ASSAY_STORE`.
        where: Which runs. Default: all. For preferences, those with the better answers.
        format: What is written. Default: by the end of the path: `.yaml`, `.yml` and `.json` are cases, `.jsonl` is
            chat, `.csv` is a table.
        append: Add to what is in the file. What it has already is not written again.
        sample: The share of the runs that is taken.
        per_group: How many runs of each group are taken at most.
        group_by: What a group has in common. Default: all runs are one group.
        name: For cases, the name of the dataset. Default: that in the file, else the name of the file.
        history: For cases, whether the inputs are the prompt and the messages before it, as
            `{'prompt': ..., 'message_history': [...]}`, rather than the prompt alone.
        expected: For cases, what they expect: `'known'` for what is known to be right, that is a correction or the run's
            `expected_output`; `'output'` for what the run answered where neither is there.
        correction: The name of the feedback whose text is what the answer should have been.
        distinct_inputs: For cases, whether two with the same inputs are duplicates.
        rejected: For preferences, the runs with the worse answers. Default: those of `where` that were corrected.
        tools: For chat and preferences, the tools that the model was offered, as its provider takes them. Default: those
            in the spans of each run.

    Raises:
        ConfigurationError: If an argument cannot work, or the file cannot be read, added to or written.
        UnknownNameError: If no evaluator or feedback has the name that `where` or `rejected` has.
        MissingExtraError: If the extra `store` is not installed.
        StoreError: If the store cannot be read.
    """
    file = Path(path)
    written = _format_of(file, format)
    check_choice(sample, per_group, group_by)
    _check(written, rejected, expected)
    kept_in = known_store(store)
    for conditions in (where, rejected):
        require_conditions(kept_in, conditions)
    chosen = _Chosen(kept_in, partial(chosen_runs, sample=sample, per_group=per_group, group_by=group_by))
    read: Callable[[], CaseFile | LineFile | TableFile]
    made: Iterable[Any]
    if written == 'cases':
        read = partial(CaseFile, file, name=name, append=append, distinct_inputs=distinct_inputs)
        make = partial(case_of, history=history, expected=expected, correction=correction)
        made = map(make, chosen.with_content(where, whole=history))
    elif written == 'csv':
        read = partial(TableFile, file, append=append)
        made = map(row_of_run, chosen.runs(where))
    else:
        read = partial(LineFile, file, append=append)
        if written == 'chat':
            made = _examples(chosen, where, tools)
        else:
            made = _pairs(chosen, where, rejected, Pairing(correction=correction, tools=tools))
    # What cannot be added to is said before the store is read.
    seen = _state_of(file)
    target = read()
    new = list(made)
    with turn_in(file.resolve().parent):
        # Another job, or a person, may have added to it meanwhile.
        if append and _state_of(file) != seen:
            target = read()
        added = Counter(target.add(each) for each in new)
        target.write()
    return ExportReport(
        path=file,
        format=written,
        added=added[True],
        duplicates=added[False],
        total=len(target),
        left_out=dict(chosen.left_out),
    )


def _state_of(file: Path) -> tuple[int, ...] | None:
    """What changes with what is in a file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Chosen:
    """The runs that are exported, and why some of them are not."""

    def __init__(self, store: Store, choose: Callable[[Iterable[Any]], list[str]]) -> None:
        self._store = store
        self._choose = choose
        self.left_out: Counter[LeftOut] = Counter()

    def runs(self, where: RunFilter | None) -> Iterator[StoredRun]:
        """The chosen runs for which conditions hold, from the oldest on."""
        for run_id in self._choose(each_run(self._store, up_to_now(where))):
            stored = unless_gone(self._store.run, run_id)
            if stored is None:
                self.left_out['gone'] += 1
            else:
                yield stored

    def with_content(self, where: RunFilter | None, *, whole: bool) -> Iterator[StoredRun]:
        """Those of which it is stored what was said; with `whole`, all the messages."""
        for stored in self.runs(where):
            if not stored.record.record_content:
                self.left_out['without_content'] += 1
            elif whole and 'messages' in stored.refused:
                self.left_out['incomplete'] += 1
            else:
                yield stored


def _examples(chosen: _Chosen, where: RunFilter | None, tools: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for stored in chosen.with_content(where, whole=True):
        try:
            has_ended = stored.record.outcome in _WITH_ANSWER
            example = chat_example(stored.record, tools) if has_ended else None
        except UnsupportedContentError:
            chosen.left_out['unsupported'] += 1
            continue
        if example is None:
            chosen.left_out['unfinished'] += 1
        else:
            yield example


def _pairs(
    chosen: _Chosen, where: RunFilter | None, rejected: RunFilter | None, pairing: Pairing
) -> Iterator[dict[str, Any]]:
    if rejected is not None:
        for stored in _finished(chosen, where):
            try:
                pairing.prefer(stored)
            except UnsupportedContentError:
                chosen.left_out['unsupported'] += 1
    for stored in _finished(chosen, where if rejected is None else rejected):
        try:
            pairs = list(pairing.pairs(stored))
        except UnsupportedContentError:
            chosen.left_out['unsupported'] += 1
            continue
        if not pairs:
            chosen.left_out['without_pair'] += 1
        yield from pairs


def _finished(chosen: _Chosen, where: RunFilter | None) -> Iterator[StoredRun]:
    for stored in chosen.with_content(where, whole=True):
        if stored.record.outcome in _WITH_ANSWER:
            yield stored
        else:
            chosen.left_out['unfinished'] += 1


def _format_of(path: Path, format: object) -> ExportFormat:
    suffix = path.suffix.lower()
    if format is None:
        if suffix not in _BY_SUFFIX:
            raise ConfigurationError(
                f'path must end in one of {", ".join(_BY_SUFFIX)}, or give format; got {str(path)!r}.'
            )
        return _BY_SUFFIX[suffix]
    for known in get_args(ExportFormat):
        if format == known:
            if known == 'cases' and _BY_SUFFIX.get(suffix) != 'cases':
                raise ConfigurationError(f'path must end in .yaml, .yml or .json for cases, got {str(path)!r}.')
            return known
    raise ConfigurationError(f'format must be one of {", ".join(map(repr, get_args(ExportFormat)))}, got {format!r}.')


def _check(format: ExportFormat, rejected: object, expected: object) -> None:
    if rejected is not None and format != 'preferences':
        raise ConfigurationError(f"rejected is for format='preferences', got format={format!r}.")
    if expected not in get_args(Expected):
        raise ConfigurationError(f"expected must be 'known' or 'output', got {expected!r}.")
