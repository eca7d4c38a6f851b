"""`assay check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .app import DEFAULT_STORE, EXIT_UNMET, JsonOption, StoreOption, app, opened
from .shown import shown_moment
from .terminal import console, print_json

if TYPE_CHECKING:
    from ..store.rows import StoreInfo
    from .table import ColumnKind

__all__ = ('check',)


@dataclass(kw_only=True, frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    is_ok: bool | None
    """`None` where it is not in use."""
    detail: str


@app.command()
def check(
    store: StoreOption = DEFAULT_STORE,
    events: Annotated[
        bool, typer.Option('--events/--no-events', help='Send an event to where this environment says events go.')
    ] = True,
    json: JsonOption = False,
) -> None:
    """Whether the store can be reached, its tables are current, and events leave. Exits with 1 if not."""
    findings = [_environment(), *_store(store), *([_events()] if events else [])]
    if json:
        print_json({'ok': all(each.is_ok is not False for each in findings), 'checks': [asdict(e) for e in findings]})
    else:
        from .table import print_table

        words = {True: 'ok', False: 'FAILED', None: 'not in use'}
        headings: dict[str, ColumnKind] = {'check': 'whole', 'result': 'whole', 'detail': 'name'}
        print_table(headings, [[each.name, words[each.is_ok], ' '.join(each.detail.split())] for each in findings])
        if all(each.is_ok is not False for each in findings):
            console().print('\nAll is well.')
    if any(each.is_ok is False for each in findings):
        raise typer.Exit(EXIT_UNMET)


def _environment() -> Finding:
    from ..errors import ConfigurationError
    from ..switches import check_switches, current_switches

    try:
        check_switches()
    except ConfigurationError as error:
        return Finding(name='environment', is_ok=False, detail=str(error))
    if not current_switches().evaluations:
        return Finding(name='environment', is_ok=False, detail='ASSAY_EVALUATIONS switches all evaluations off.')
    return Finding(name='environment', is_ok=True, detail='Every variable ASSAY_* that is set can be read.')


def _store(url: str) -> Iterator[Finding]:
    with opened(url) as store:
        info = store.info()
    yield Finding(
        name='store',
        is_ok=info.is_reachable,
        detail=f'{info.url} can be reached.' if info.is_reachable else info.error or '',
    )
    if info.is_reachable:
        current = f'The tables are of revision {info.revision}, which is the one of this version.'
        yield Finding(name='tables', is_ok=info.is_current, detail=current if info.is_current else info.error or '')
    if info.is_current:
        yield Finding(name='content', is_ok=True if info.runs else None, detail=_content_of(info))


def _content_of(info: StoreInfo) -> str:
    if info.oldest is None or info.newest is None:
        return 'No runs yet.'
    times = f'{shown_moment(info.oldest)} to {shown_moment(info.newest)} UTC'
    megabytes = info.database_bytes / 1_000_000
    return f'{info.runs:,} runs from {times}, {info.outcomes:,} outcomes, {megabytes:,.1f} MB.'


def _events() -> Finding:
    from .trial_event import destinations, send

    places = destinations()
    if not places:
        return Finding(
            name='events',
            is_ok=None,
            detail='Neither LOGFIRE_TOKEN nor OTEL_EXPORTER_OTLP_ENDPOINT is set in this environment.',
        )
    failures = [f'{place.endpoint}: {failure}' for place in places if (failure := send(place)) is not None]
    if failures:
        return Finding(name='events', is_ok=False, detail='; '.join(failures))
    return Finding(
        name='events', is_ok=True, detail=f'An event was taken by {", ".join(place.endpoint for place in places)}.'
    )
