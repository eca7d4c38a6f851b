"""The store in which what is judged is kept, by its setting or its environment variable."""

from __future__ import annotations

import sys
import threading
from typing import ClassVar

from ..errors import ConfigurationError, MissingExtraError
from ..settings import OnlineEvalConfig, ResultStore
from ..switches import shown_url

__all__ = ('StoreRegistry', 'flush_stores', 'store_of')


class StoreRegistry:
    """The stores of this process that were given by their URLs: one for each."""

    lock: ClassVar[threading.Lock] = threading.Lock()
    """Held while a store is opened. A forked child makes another one."""
    stores: ClassVar[dict[str, ResultStore]] = {}

    @classmethod
    def open(cls, url: str) -> ResultStore:
        """The store at a URL. Nothing is connected to before something is kept.

        Raises:
            ConfigurationError: If it is not the URL of a store.
            MissingExtraError: If the extra `store` is not installed.
        """
        store = cls.stores.get(url)
        if store is None:
            from ..store.opening import open_store

            with cls.lock:
                store = cls.stores.get(url) or cls.stores.setdefault(url, open_store(url))
        return store


def store_of(config: OnlineEvalConfig, variable: str | None) -> ResultStore | None:
    """The store of a config, else that of the environment variable `ASSAY_STORE`, if there is one.

    Args:
        config: The config.
        variable: The value of the variable.

    Raises:
        ConfigurationError: If it is not the URL of a store.
        MissingExtraError: If the extra `store` is not installed.
    """
    if config.store is not None:
        return StoreRegistry.open(config.store) if isinstance(config.store, str) else config.store
    if not variable:
        return None
    try:
        return StoreRegistry.open(variable)
    except (ConfigurationError, MissingExtraError) as error:
        raise ConfigurationError(
            f'The environment variable ASSAY_STORE cannot be used: {error} Got {shown_url(variable)}.'
        ) from error


def flush_stores() -> None:
    """Write what waits in any store, where one is in use. An ordinary end of the process does so by itself."""
    module = sys.modules.get('pydantic_ai_assay.store.store')
    if module is not None:
        module.flush_stores()
