"""Writing runs and outcomes: all that belongs together in one transaction, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, bindparam, case, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..runs.outcome import EvaluationStatus
from .entry import OUTCOME_NAMES, Entry, PreparedOutcome, spec_text
from .schema import AGGREGATES, CELLS, CONTENTS, EVALUATORS, MARKS, OUTCOMES, RUNS, TAGS, WRITERS
from .summed_tags import SummedTags
from .tally import SUM_NAMES, Cell, Tally

__all__ = ('Batch', 'BatchWriter', 'Counted', 'Written')

_MAX_CELLS = 50_000
_CHUNK = 500
"""How many values one query asks for."""

Counted = tuple[int, EvaluationStatus, str, str, str]
"""The minute, the status, the evaluator's name and fingerprint, and the target of evaluations that were never captured."""


@dataclass(kw_only=True)
class Batch:
    """What is written at once."""

    number: int
    """Grows with each batch of a writer, and stays when one is tried again."""
    entries: Sequence[Entry]
    counts: Mapping[Counted, int] = field(default_factory=dict[Counted, int])
    count_ticket: int = 0
    """The last count that is in `counts`."""


@dataclass(kw_only=True, frozen=True)
class Written:
    """What was not there yet, and is now."""

    runs: int = 0
    outcomes: int = 0
    unknown: tuple[str, ...] = ()
    """Runs that outcomes were for, and that are not there."""


class BatchWriter:
    """Writes batches in transactions of its caller's, which must end in a commit or in `forget`."""

    def __init__(self, writer_id: str) -> None:
        self._writer_id = writer_id
        self._evaluators: dict[tuple[str, str], int] = {}
        self._described: set[tuple[str, str]] = set()
        self._cells: dict[Cell, int] = {}
        self._summed_tags = SummedTags()

    def forget(self) -> None:
        """Forget what is known of the database: a transaction was rolled back, or others have changed it."""
        self._evaluators.clear()
        self._described.clear()
        self._cells.clear()
        self._summed_tags.forget()

    def write(self, connection: Connection, batch: Batch, now: int) -> Written:
        """Write what of a batch is not there.

        Args:
            connection: In a transaction that has done nothing yet.
            batch: What to write.
            now: Microseconds since 1970.
        """
        run_number, outcome_number = _take_numbers(connection, batch)
        if not self._begin(connection, batch.number, now):
            return Written()
        numbers, new_runs = self._write_runs(connection, batch.entries, run_number, now)
        outcomes, unknown = self._new_outcomes(connection, batch.entries, numbers, new_runs)
        self._resolve_evaluators(connection, outcomes, batch.counts, now)
        self._summed_tags.admit(connection, (tag for _, outcome in outcomes for tag in outcome.tags))
        tally = self._tally(outcomes, batch.counts)
        rows = [
            (outcome_number + index, run, self._evaluators[outcome.evaluator], *outcome.values)
            for index, (run, outcome) in enumerate(outcomes)
        ]
        _insert_all(connection, OUTCOMES, ('id', 'run', 'evaluator', *OUTCOME_NAMES), rows)
        self._add_sums(connection, tally)
        size = sum([len(each.content) + len(each.spans or b'') for each in new_runs])
        size += sum([outcome.detail_bytes for _, outcome in outcomes])
        connection.execute(
            update(MARKS).values(
                runs=MARKS.c.runs + len(new_runs), outcomes=MARKS.c.outcomes + len(rows), bytes=MARKS.c.bytes + size
            )
        )
        return Written(runs=len(new_runs), outcomes=len(rows), unknown=unknown)

    def _begin(self, connection: Connection, number: int, now: int) -> bool:
        """Note the batch. Returns whether it is new: else its commit was not confirmed, and had succeeded."""
        mine = WRITERS.c.id == self._writer_id
        last = connection.execute(select(WRITERS.c.batch).where(mine)).scalar()
        if last is None:
            # Perhaps a database that was emptied, in which others have the numbers that are known.
            self.forget()
            connection.execute(insert(WRITERS), {'id': self._writer_id, 'batch': number, 'written_at': now})
            return True
        if last >= number:
            return False
        connection.execute(update(WRITERS).where(mine).values(batch=number, written_at=now))
        return True

    def _write_runs(
        self, connection: Connection, entries: Sequence[Entry], number: int, now: int
    ) -> tuple[dict[str, int], list[Entry]]:
        """Write the runs that are not there. Returns the numbers of all, and those that are new."""
        numbers: dict[str, int] = {}
        for chunk in _chunks({entry.run_id: None for entry in entries}):
            marks = ', '.join([_mark(connection)] * len(chunk))
            statement = f'SELECT run_id, id FROM {RUNS.name} WHERE run_id IN ({marks})'
            numbers.update(map(tuple, connection.exec_driver_sql(statement, tuple(chunk))))
        new: list[Entry] = []
        for entry in entries:
            if entry.run is not None and entry.run_id not in numbers:
                numbers[entry.run_id] = number
                number += 1
                new.append(entry)
        rows = [each.run or {} for each in new]
        contents = [(numbers[each.run_id], each.content, each.spans) for each in new]
        tags = [
            (numbers[each.run_id], tag, row['started_at'])
            for each, row in zip(new, rows, strict=True)
            for tag in each.tags
        ]
        # They were all made by the same function, with their values in the same order.
        names = tuple(rows[0]) if rows else ()
        numbered = [(numbers[row['run_id']], *row.values()) for row in rows]
        _insert_all(connection, RUNS, ('id', *names), numbered)
        _insert_all(connection, CONTENTS, ('run', 'content', 'spans'), contents)
        _insert_all(connection, TAGS, ('run', 'tag', 'started_at'), tags)
        return numbers, new

    def _new_outcomes(
        self, connection: Connection, entries: Sequence[Entry], numbers: Mapping[str, int], new: Sequence[Entry]
    ) -> tuple[list[tuple[int, PreparedOutcome]], tuple[str, ...]]:
        """The outcomes that are not there, with the number of their run, and the runs that are unknown."""
        written = {each.run_id for each in new}
        there: set[tuple[int, str, str, str]] = set()
        old = {numbers[entry.run_id] for entry in entries if entry.run_id in numbers and entry.run_id not in written}
        for chunk in _chunks(old):
            found = connection.execute(
                select(OUTCOMES.c.run, EVALUATORS.c.name, EVALUATORS.c.fingerprint, OUTCOMES.c.series)
                .join(EVALUATORS, EVALUATORS.c.id == OUTCOMES.c.evaluator)
                .where(OUTCOMES.c.run.in_(chunk))
            )
            there.update((run, name, fingerprint, series) for run, name, fingerprint, series in found)
        outcomes: list[tuple[int, PreparedOutcome]] = []
        unknown: dict[str, None] = {}
        for entry in entries:
            run = numbers.get(entry.run_id)
            if run is None:
                unknown[entry.run_id] = None
                continue
            for outcome in entry.outcomes:
                key = (run, *outcome.evaluator, outcome.series)
                if key not in there:
                    there.add(key)
                    outcomes.append((run, outcome))
        return outcomes, tuple(unknown)

    def _resolve_evaluators(
        self,
        connection: Connection,
        outcomes: Sequence[tuple[int, PreparedOutcome]],
        counts: Iterable[Counted],
        now: int,
    ) -> None:
        """Find or make the evaluators' rows, and describe those that have not been."""
        wanted = {(name, fingerprint): None for _, _, name, fingerprint, _ in counts}
        described: dict[tuple[str, str], PreparedOutcome] = {}
        for _, outcome in outcomes:
            if outcome.evaluator in self._described:
                continue
            wanted[outcome.evaluator] = None
            if (outcome.spec or outcome.version) is not None:
                first = described.setdefault(outcome.evaluator, outcome)
                if first.spec is None:
                    described[outcome.evaluator] = outcome
        for name, fingerprint in wanted:
            key = name, fingerprint
            if key in self._evaluators:
                continue
            same = (EVALUATORS.c.name == name) & (EVALUATORS.c.fingerprint == fingerprint)
            number = connection.execute(select(EVALUATORS.c.id).where(same)).scalar()
            if number is None:
                row = {'name': name, 'fingerprint': fingerprint, 'first_seen': now}
                number = connection.execute(insert(EVALUATORS).returning(EVALUATORS.c.id), row).scalar_one()
            self._evaluators[key] = number
        for key, outcome in described.items():
            known: dict[str, Any] = {'version': outcome.version}
            if outcome.spec is not None:
                known['spec'] = spec_text(outcome.spec)
                self._described.add(key)
            connection.execute(update(EVALUATORS).where(EVALUATORS.c.id == self._evaluators[key]).values(known))

    def _tally(self, outcomes: Sequence[tuple[int, PreparedOutcome]], counts: Mapping[Counted, int]) -> Tally:
        tally = Tally()
        for _, outcome in outcomes:
            tally.add(outcome.cell, outcome.minute, outcome.contribution)
            for tag in self._summed_tags.of(outcome.tags) if outcome.tags else ():
                tally.add(outcome.cell._replace(tag=tag), outcome.minute, outcome.contribution)
        for (minute, status, name, fingerprint, target), number in counts.items():
            tally.count(Cell('', target, '', name, fingerprint, 'outcome', '', '', '', ''), minute, status, number)
        return tally

    def _add_sums(self, connection: Connection, tally: Tally) -> None:
        if not len(tally):
            return
        if len(self._cells) > _MAX_CELLS:
            self._cells.clear()
        self._resolve_cells(connection, [cell for cell in tally.cells if cell not in self._cells])
        connection.execute(_adding(connection.dialect.name), list(tally.rows(self._cells)))

    def _resolve_cells(self, connection: Connection, cells: Sequence[Cell]) -> None:
        by_key = {cell.key: cell for cell in cells}
        for chunk in _chunks(by_key):
            for key, number in connection.execute(select(CELLS.c.key, CELLS.c.id).where(CELLS.c.key.in_(chunk))):
                self._cells[by_key.pop(key)] = number
        for key, cell in by_key.items():
            row = {**cell._asdict(), 'key': key, 'evaluator': self._evaluators[cell.evaluator, cell.fingerprint]}
            del row['fingerprint']
            self._cells[cell] = connection.execute(insert(CELLS).returning(CELLS.c.id), row).scalar_one()


def _take_numbers(connection: Connection, batch: Batch) -> tuple[int, int]:
    """Numbers for the runs and outcomes of a batch. Until the transaction ends, no other writer gets any."""
    runs, outcomes = len(batch.entries), sum(len(entry.outcomes) for entry in batch.entries)
    last_run, last_outcome = connection.execute(
        update(MARKS)
        .values(last_run=MARKS.c.last_run + runs, last_outcome=MARKS.c.last_outcome + outcomes)
        .returning(MARKS.c.last_run, MARKS.c.last_outcome)
    ).one()
    return last_run - runs + 1, last_outcome - outcomes + 1


def _insert_all(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, past the preparation of each parameter, which none of their types needs and which takes longer."""
    if rows:
        connection.exec_driver_sql(_insertion(table.name, names, _mark(connection)), list(rows))


@cache
def _insertion(table: str, names: tuple[str, ...], mark: str) -> str:
    columns = ', '.join(f'"{name}"' for name in names)
    return f'INSERT INTO {table} ({columns}) VALUES ({", ".join([mark] * len(names))})'


def _mark(connection: Connection) -> str:
    """What stands for a parameter."""
    return '?' if connection.dialect.name == 'sqlite' else '%s'


@cache
def _adding(dialect: str) -> Any:
    """A statement that adds sums to those that are there."""
    statement: Any = (sqlite if dialect == 'sqlite' else postgresql).insert(AGGREGATES)
    new, old = statement.excluded, AGGREGATES.c
    changes: dict[str, Any] = {name: old[name] + new[name] for name in SUM_NAMES}
    for name in ('minimum', 'maximum', 'first_at', 'last_at'):
        is_further = new[name] < old[name] if name in ('minimum', 'first_at') else new[name] > old[name]
        changes[name] = case((old[name].is_(None) | is_further, new[name]), else_=old[name])
    return statement.values({column.name: bindparam(column.name) for column in AGGREGATES.c}).on_conflict_do_update(
        index_elements=['resolution', 'start', 'cell'], set_=changes
    )


def _chunks(values: Iterable[Any]) -> Iterable[list[Any]]:
    rest = iter(values)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
