"""Making a store of a URL, where the packages it needs may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MissingExtraError

if TYPE_CHECKING:
    from .store import Store

__all__ = ('open_store',)


def open_store(url: str) -> Store:
    """Make a store of its URL. Nothing is connected to before it is used.

    Raises:
        ConfigurationError: If it is not the URL of a store.
        MissingExtraError: If the extra `store` is not installed.
    """
    try:
        from .store import Store
    except ImportError as error:
        raise MissingExtraError('A store', 'store') from error
    return Store(url)
