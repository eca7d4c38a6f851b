"""What can go wrong with a store, and what a user can do about it.

AssayError
└── StoreError              a store could not do what it was asked
    ├── StoreUnavailableError   the database cannot be reached, or is locked or full (also a `ConnectionError`)
    ├── SchemaError         the database has not the tables of this version
    └── UnknownRunError     no run, or more than one, has this id (also a `LookupError`)
"""

from __future__ import annotations

from ..errors import AssayError

__all__ = ('SchemaError', 'StoreError', 'StoreUnavailableError', 'UnknownRunError')


class StoreError(AssayError):
    """A store could not do what it was asked."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The database cannot be reached, or is locked or full. What waits to be written is written when it is back."""


class SchemaError(StoreError):
    """The database has not the tables of this version: run `assay migrate` with its URL."""


class UnknownRunError(StoreError, LookupError):
    """No run in the store has this id, or more than one has an id that begins so."""
