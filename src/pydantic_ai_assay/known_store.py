"""The store that a function works on: the one it is given, or the one that runs are kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import ConfigurationError, MissingExtraError
from .execution.keeping import StoreRegistry, store_of
from .settings import DEFAULT_CONFIG
from .switches import current_switches

if TYPE_CHECKING:
    from .store.store import Store

__all__ = ('known_store',)


def known_store(store: Store | str | None) -> Store:
    """The store that is meant.

    Args:
        store: The store, its URL, or `None` for the one of `configure(store=...)`, else of `ASSAY_STORE`.

    Raises:
        ConfigurationError: If it is not a store or the URL of one, or there is none.
        MissingExtraError: If the extra `store` is not installed.
    """
    try:
        from .store.store import Store
    except ImportError as error:
        raise MissingExtraError('A store', 'store') from error

    if isinstance(store, str):
        found = StoreRegistry.open(store)
    else:
        found = store_of(DEFAULT_CONFIG, current_switches().store) if store is None else store
    if found is None:
        raise ConfigurationError(
            "There is no store: give store='sqlite:///assay.db', or set it with `configure(store=...)` or ASSAY_STORE."
        )
    if not isinstance(found, Store):
        raise ConfigurationError(f"store must be a Store or a URL such as 'sqlite:///assay.db', got {found!r}.")
    return found
