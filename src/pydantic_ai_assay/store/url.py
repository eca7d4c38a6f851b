"""The URL of a store, as a user writes it."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import ConfigurationError

__all__ = ('asynchronous_url', 'file_of', 'shown_url', 'store_url')

EXAMPLES = "such as 'sqlite:///assay.db' or 'postgresql://user:password@host/database'"
_SQLITE = ('sqlite', 'sqlite+pysqlite', 'sqlite+aiosqlite')
_POSTGRESQL = ('postgres', 'postgresql', 'postgresql+psycopg')


def store_url(url: str) -> URL:
    """The URL of a store, with the driver that is used for it.

    Raises:
        ConfigurationError: If it is no URL, or of a database that cannot be a store. The message has no password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or '@' in (parsed.host or ''):
        # The text may have a password anywhere, so that none of it is shown, nor the error that quotes a part.
        raise ConfigurationError(
            f'store must be the URL of a database, {EXAMPLES}; this one cannot be read. In a password, write @, / and : '
            'as %40, %2F and %3A (percent-encoded).'
        )
    if parsed.drivername in _POSTGRESQL:
        return parsed.set(drivername='postgresql+psycopg')
    if parsed.drivername not in _SQLITE:
        raise ConfigurationError(
            f'store must be the URL of SQLite or PostgreSQL, {EXAMPLES}, got {shown_url(parsed)!r}.'
        )
    if file_of(parsed) is None:
        raise ConfigurationError(f'store must name a file, such as sqlite:///assay.db, got {shown_url(parsed)!r}.')
    _check_options(parsed)
    return parsed.set(drivername='sqlite+pysqlite')


def _check_options(url: URL) -> None:
    """Check what the driver of SQLite would refuse when it is connected to, long after it was set."""
    for name, value in url.query.items():
        if name != 'timeout':
            raise ConfigurationError(f'store has no option {name!r} on SQLite, only timeout.')
        if not (isinstance(value, str) and re.fullmatch(r'\d{1,6}(\.\d{1,6})?', value)):
            raise ConfigurationError('The option timeout of store must be a number of seconds, such as timeout=5.')


def asynchronous_url(url: URL) -> URL:
    """The same database by its asynchronous driver."""
    return url.set(drivername='sqlite+aiosqlite') if url.get_backend_name() == 'sqlite' else url


def shown_url(url: URL) -> str:
    """The URL as users write it: without a driver, and without passwords."""
    hidden = {name: 'hidden' for name in url.query if 'password' in name.lower()}
    return url.set(drivername=url.get_backend_name()).update_query_dict(hidden).render_as_string(hide_password=True)


def file_of(url: URL) -> Path | None:
    """The file of an SQLite database; `None` where the database is a server's, or in memory."""
    if url.get_backend_name() != 'sqlite' or not url.database or url.database == ':memory:' or 'mode' in url.query:
        return None
    return Path(url.database)
