"""Names that somebody typed, and those that were perhaps meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ..errors import AssayError

__all__ = ('UnknownNameError', 'require_known')

MAX_LISTED = 10


class UnknownNameError(AssayError, LookupError):
    """Nothing has this name. The message says which names are near."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.near = near(name, known := sorted(set(known)))
        if self.near:
            hint = f'Did you mean {" or ".join(map(repr, self.near))}?'
        elif known:
            listed = ', '.join(map(repr, known[:MAX_LISTED]))
            hint = f'There is {listed}{", and others" if len(known) > MAX_LISTED else ""}.'
        else:
            hint = 'There is none at all.'
        super().__init__(f'There is no {what} {name!r}. {hint}')


def near(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Those of the known names that are most like it, the most alike first."""
    by_folded = {each.casefold(): each for each in known}
    folded = name.casefold()
    if not folded:
        return ()
    found = get_close_matches(folded, by_folded, n=3, cutoff=0.6) or [each for each in by_folded if folded in each][:3]
    return tuple(by_folded[each] for each in found)


def require_known(what: str, name: str | None, known: Iterable[str]) -> None:
    """See that a name is known.

    Raises:
        UnknownNameError: If it is not.
    """
    known = set(known)
    if name is not None and name not in known:
        raise UnknownNameError(what, name, known)
