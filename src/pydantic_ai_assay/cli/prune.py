"""`assay prune`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import DEFAULT_STORE, JsonOption, StoreOption, app, opened
from .terminal import console, error_console, print_json

if TYPE_CHECKING:
    from ..store.rows import StoreInfo
    from ..store.store import Store

__all__ = ('prune',)

STEPS = 50
"""In how many steps runs are deleted, between which progress is shown."""


@app.command()
def prune(
    store: StoreOption = DEFAULT_STORE,
    older_than: Annotated[str | None, typer.Option(metavar='TIME', help="Delete runs that are older: '30d'.")] = None,
    max_runs: Annotated[int | None, typer.Option(metavar='NUMBER', min=1, help='Keep the newest so many.')] = None,
    max_bytes: Annotated[
        int | None, typer.Option(metavar='NUMBER', min=1, help='Keep the newest whose contents fit, compressed.')
    ] = None,
    yes: Annotated[bool, typer.Option('--yes', '-y', help='Do not ask.')] = False,
    json: JsonOption = False,
) -> None:
    """Delete old runs with their outcomes and feedback. The sums that reports are made from stay."""
    from ..errors import ConfigurationError
    from ..store.reader import Reader
    from ..store.retention import duration_of

    bounds = {'older_than': duration_of('older_than', older_than), 'max_runs': max_runs, 'max_bytes': max_bytes}
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    if not bounds:
        raise ConfigurationError('Say what to keep: --older-than, --max-runs or --max-bytes.')
    with opened(store) as source:
        info = source.ask(Reader.info, source.url)
        if not yes:
            typer.confirm(f'Delete runs of the {info.runs:,} in {source.url} for good?', abort=True, err=True)
        deleted = _delete(source, info, bounds)
        # Others may have written or deleted meanwhile.
        left = source.ask(Reader.count_runs)
    if json:
        print_json({'deleted': deleted, 'left': left})
    else:
        console().print(f'Deleted {deleted:,} of {deleted + left:,} runs.')


def _delete(store: Store, info: StoreInfo, bounds: Mapping[str, Any]) -> int:
    from rich.progress import Progress

    deleted = 0
    terminal = error_console()
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        # What there was little of to begin with no step narrows.
        narrowing = [*steps(info, bounds, datetime.now(UTC)), bounds]
        for step in progress.track(narrowing, description='Deleting'):
            deleted += store.prune(**step)
    return deleted


def steps(info: StoreInfo, bounds: Mapping[str, Any], now: datetime) -> Iterator[dict[str, Any]]:
    """Bounds that become narrower, up to those that are wanted."""
    found: dict[str, Any] = {
        'older_than': None if info.oldest is None else now - info.oldest,
        'max_runs': info.runs,
        'max_bytes': info.content_bytes,
    }
    for step in range(1, STEPS + 1):
        yield {
            name: _between(found[name], bound, step / STEPS)
            for name, bound in bounds.items()
            if found[name] is not None and found[name] > bound
        } or dict(bounds)


def _between(found: Any, bound: Any, share: float) -> Any:
    if share == 1:
        return bound
    between = found + (bound - found) * share
    return between if isinstance(between, timedelta) else max(bound, int(between))
