"""`python -m benchmarks`: measure and print the table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from . import at_once, caller_path, guardrail, judging, loop_lag, memory, process_end, store, throughput
from .table import Row, as_json, as_markdown, as_text, check_markers, write_markdown

TIMED = (caller_path, guardrail, loop_lag, throughput, judging, store)
"""Measures of time, one after the other: nothing else may run beside them."""
COUNTED = (at_once, process_end, memory)
"""Counts, which come out the same in company."""
EXPLANATION = """\
Every measure has a process of its own, in which both packages take turns in an order drawn anew each round; figures are
medians. What one process cannot compare (with Logfire configured or not, how a process ends, memory) has one process per
case. A row with NOISY in its note says little; measure again on a quieter machine."""


def main() -> int:
    """Measure, print and write. Returns 1 if a count that must be exact is not, else 0."""
    arguments = _parse()
    if arguments.markdown is not None:
        try:
            check_markers(arguments.markdown)
        except (OSError, ValueError) as error:
            print(f'Cannot write the table: {error}', file=sys.stderr)
            return 2
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    if busy > 0.25:
        print(f'The machine is busy already (load of {busy:.0%}): times will be noisy.', file=sys.stderr)
    rows = _measure(quick=arguments.quick)
    print(as_text(rows))
    print(f'\n{EXPLANATION}')
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(rows), indent=2) + '\n', encoding='utf-8')
    if arguments.markdown is not None:
        command = 'python -m benchmarks --quick' if arguments.quick else 'python -m benchmarks'
        write_markdown(arguments.markdown, f'{as_markdown(rows, command=command)}\n\n{EXPLANATION}')
    wrong = [row for row in rows if row.is_wrong]
    for row in wrong:
        print(f'WRONG: {row.measure}: {row.ours:.0f} of {row.target.must:.0f}', file=sys.stderr)
    return 1 if wrong else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='a short run, with noisier figures')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures to this file')
    parser.add_argument(
        '--markdown', type=Path, metavar='FILE', help='also write the table between the markers of this page'
    )
    return parser.parse_args()


def _measure(*, quick: bool) -> list[Row]:
    timed = [_run(module, quick=quick) for module in TIMED]
    with ThreadPoolExecutor(2) as pool:
        counted = list(pool.map(partial(_run, quick=quick), COUNTED))
    return [row for rows in (*timed, *counted) for row in rows]


def _run(module: Any, *, quick: bool) -> list[Row]:
    start = time.perf_counter()
    rows: Callable[..., list[Row]] = module.rows
    measured = rows(quick=quick)
    name = module.__name__.rpartition('.')[2].replace('_', ' ')
    print(f'measured {name} in {time.perf_counter() - start:.0f} s', file=sys.stderr)
    return measured


if __name__ == '__main__':
    sys.exit(main())
