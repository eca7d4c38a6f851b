"""The table: rows, what they must reach, and how they are shown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from .samples import Estimate

__all__ = ('Row', 'Target', 'as_json', 'as_markdown', 'as_text', 'check_markers', 'environment', 'write_markdown')

START = '<!-- benchmark:start -->'
END = '<!-- benchmark:end -->'
HEADINGS = ('measure', 'ours', 'upstream', 'ratio', 'must reach', 'aim', 'met')
WIDE_INTERVAL = 0.25
"""Half of a 95 % interval, as a share of what must be reached, from which it is called noisy."""


@dataclass(kw_only=True, frozen=True)
class Target:
    """What a row must reach."""

    of: Literal['ours', 'ratio', 'count']
    """What is held against it: our figure, its ratio to upstream's, or a count that must be exact."""
    must: float
    """The bound."""
    aim: float | None = None
    """The bound that is aimed at."""
    at_least: bool = False
    """Whether more is better."""

    def meets(self, figure: float, bound: float) -> bool:
        """Whether a figure keeps within a bound."""
        if self.of == 'count':
            return figure == bound
        return figure >= bound if self.at_least else figure <= bound


@dataclass(kw_only=True, frozen=True)
class Row:
    """One measure."""

    measure: str
    ours: float
    upstream: float | None
    """`None` where it was not measured."""
    target: Target
    unit: str = ''
    ratio: float | None = None
    interval: Estimate | None = None
    """The 95 % interval of the figure that is held against the target, where there is one."""
    remark: str | None = None
    """What else there is to know about the figures."""
    fault: str | None = None
    """What is wrong although the count is right."""
    doubt: str | None = None
    """Why the figure is not to be trusted, where its interval does not tell."""

    @property
    def figure(self) -> float:
        """What is held against the target."""
        if self.target.of == 'ratio':
            assert self.ratio is not None
            return self.ratio
        return self.ours

    @property
    def met(self) -> Literal['no', 'yes', 'aim']:
        """Whether what must be reached is, and what is aimed at."""
        target = self.target
        if self.fault is not None or not target.meets(self.figure, target.must):
            return 'no'
        return 'aim' if target.aim is not None and target.meets(self.figure, target.aim) else 'yes'

    @property
    def is_wrong(self) -> bool:
        """Whether a count that must be exact is not."""
        return self.target.of == 'count' and self.met == 'no'

    @property
    def warning(self) -> str | None:
        """Why the figure is not to be trusted, if it is not."""
        interval = self.interval
        if self.doubt is not None:
            return f'NOISY: {self.doubt}'
        if interval is None:
            return None
        if self.target.meets(interval.low, self.target.must) != self.target.meets(interval.high, self.target.must):
            return 'NOISY: its interval spans what must be reached'
        if interval.high - interval.low > 2 * WIDE_INTERVAL * self.target.must:
            return 'NOISY: its interval is wide'
        return None

    def cells(self) -> tuple[str, ...]:
        """The cells of this row."""
        target = self.target
        return (
            self.measure,
            self._shown(self.ours),
            self._shown(self.upstream),
            f'{self.ratio:.2f} ×' if self.ratio is not None else '',
            self._bound(target.must),
            self._bound(target.aim) if target.aim is not None else '',
            self.met,
        )

    def note(self) -> str | None:
        """What is said about this row below the table, if anything."""
        parts: list[str] = []
        if self.interval is not None:
            parts.append(f'95 % interval {self.interval.low:.3g} to {self.interval.high:.3g}')
        parts.extend(part for part in (self.remark, self.warning, self.fault) if part is not None)
        return f'{self.measure}: {"; ".join(parts)}' if parts else None

    def _shown(self, figure: float | None) -> str:
        if figure is None:
            return '–'
        if self.target.of == 'count':
            return f'{figure:,.0f} of {self.target.must:,.0f}'
        digits = 0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2
        return f'{figure:,.{digits}f} {self.unit}'.rstrip()

    def _bound(self, bound: float) -> str:
        target = self.target
        if target.of == 'count':
            return f'{bound:,.0f}'
        unit = '× upstream' if target.of == 'ratio' else self.unit
        return f'{"≥" if target.at_least else "≤"} {bound:g} {unit}'


def environment() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        'measured': datetime.now(UTC).date().isoformat(),
        'python': platform.python_version(),
        'system': f'{platform.system()} {platform.machine()}',
        'processors': os.cpu_count(),
        **{name: version(name) for name in ('pydantic-ai-assay', 'pydantic-evals', 'logfire', 'opentelemetry-sdk')},
    }


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal, notes below it."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, '  '.join('-' * width for width in widths))
    return '\n'.join([*lines, '', *_notes(rows)])


def as_markdown(rows: Sequence[Row], *, command: str) -> str:
    """The table for a page of the documentation."""
    cells = [HEADINGS, ('---',) * len(HEADINGS), *(row.cells() for row in rows)]
    where = environment()
    packages = ', '.join(f'{name} {where[name]}' for name in ('pydantic-evals', 'logfire', 'opentelemetry-sdk'))
    return '\n'.join(
        [
            f'Measured on {where["measured"]} with `{command}`: Python {where["python"]}, {where["system"]}, '
            f'{where["processors"]} processors, {packages}.',
            '',
            *(f'| {" | ".join(line)} |' for line in cells),
            '',
            *(f'- {note}' for note in _notes(rows)),
        ]
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    return [note for row in rows if (note := row.note()) is not None]


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """The table for programs."""
    return {
        'environment': environment(),
        'rows': [{**asdict(row), 'figure': row.figure, 'met': row.met, 'warning': row.warning} for row in rows],
    }


def check_markers(page: Path) -> None:
    """Check that the table has a place on a page.

    Raises:
        ValueError: If it has none, or more than one.
    """
    _split(page.read_text(encoding='utf-8'), page)


def write_markdown(page: Path, table: str) -> None:
    """Put the table in its place on a page and keep the rest of it."""
    before, after = _split(page.read_text(encoding='utf-8'), page)
    page.write_text(f'{before}{START}\n{table}\n{END}{after}', encoding='utf-8')


def _split(text: str, page: Path) -> tuple[str, str]:
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise ValueError(f'{page} must have the lines {START} and {END}, in this order, once each.')
    return text[: text.index(START)], text[text.index(END) + len(END) :]
