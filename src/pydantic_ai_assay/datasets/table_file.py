"""A table of runs as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .plain import plain, plain_text
from .replacement import read_text, replace_text

if TYPE_CHECKING:
    from ..store.rows import StoredRun

__all__ = ('TableFile', 'row_of_run')

COLUMNS = (
    'run_id',
    'target',
    'agent_path',
    'conversation_id',
    'started_at',
    'duration',
    'outcome',
    'error',
    'model',
    'variant',
    'tags',
    'requests',
    'input_tokens',
    'output_tokens',
    'cost',
    'input',
    'output',
    'without_score',
)
FORMULA = ('=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠')
"""How a cell begins that a spreadsheet would compute."""


def row_of_run(stored: StoredRun) -> dict[str, Any]:
    """The row of a run. `None` is an empty cell."""
    summary, record = stored.summary, stored.record
    row: dict[str, Any] = {
        'run_id': record.run_id,
        'target': record.target,
        'agent_path': ' / '.join(record.agent_path),
        'conversation_id': record.conversation_id,
        'started_at': record.started_at.isoformat(),
        'duration': record.duration,
        'outcome': record.outcome,
        'error': summary.error_type,
        'model': record.model_name,
        'variant': summary.variant,
        'tags': ', '.join(stored.tags),
        'requests': summary.requests,
        'input_tokens': summary.input_tokens,
        'output_tokens': summary.output_tokens,
        'cost': summary.cost,
        'input': plain_text(record.inputs),
        'output': '' if record.error is not None else plain_text(record.output),
    }
    without_score: list[str] = []
    for each in stored.outcomes:
        outcome = each.outcome
        series = f' [{each.series}]' if each.series else ''
        if outcome.status != 'scored':
            without_score.append(f'{outcome.evaluator}{series}: {outcome.status}')
        for result in outcome.results:
            is_named_so = result.name == outcome.evaluator and result.name not in COLUMNS
            name = result.name if is_named_so else f'{outcome.evaluator}.{result.name}'
            row[f'{name}{series}'] = plain(result.value)
    row['without_score'] = '; '.join(without_score)
    for said in sorted(stored.feedback, key=lambda each: each.at):
        row[f'feedback.{said.name}'] = said.value
    return row


class TableFile:
    """The rows in a file, by run."""

    def __init__(self, path: Path, *, append: bool) -> None:
        """Read what is there.

        Raises:
            ConfigurationError: If there is something that cannot be added to.
        """
        self._path = path
        self._columns: dict[str, None] = dict.fromkeys(COLUMNS)
        self._rows: list[dict[str, str]] = []
        text = read_text(path) if append else None
        if text is not None:
            self._read(text)
        self._known = {row['run_id'] for row in self._rows}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: dict[str, Any]) -> bool:
        """Add a row. Returns whether its run was not there yet."""
        cells = {_cell(name): _cell(value) for name, value in row.items()}
        if cells['run_id'] in self._known:
            return False
        self._known.add(cells['run_id'])
        self._columns.update(dict.fromkeys(cells))
        self._rows.append(cells)
        return True

    def write(self) -> None:
        """Write the file."""
        text = io.StringIO()
        # Before Python 3.13, what the line terminator has is all that is quoted; RFC 4180 has this one.
        writer = csv.DictWriter(text, list(self._columns), restval='', lineterminator='\r\n')
        writer.writeheader()
        writer.writerows(self._rows)
        replace_text(self._path, text.getvalue())

    def _read(self, text: str) -> None:
        try:
            reader = csv.DictReader(io.StringIO(text, newline=''), strict=True)
            rows = list(reader)
        except csv.Error as error:
            raise ConfigurationError(f'{self._path} cannot be added to, for it is no CSV: {error}.') from error
        columns = list(reader.fieldnames or ())
        if 'run_id' not in columns or any(None in row or None in row.values() for row in rows):
            raise ConfigurationError(
                f'{self._path} cannot be added to, for it is no table of runs: it must have a column run_id, and each row '
                'as many cells as there are columns.'
            )
        self._columns = {**dict.fromkeys(columns), **self._columns}
        self._rows = rows


def _cell(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int | float):
        return repr(value)
    text = plain_text(value)
    return f"'{text}" if text.startswith(FORMULA) else text
