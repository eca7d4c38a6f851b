"""The fence around what is shown to a judge: marks with a key that what stands between them cannot know."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ('Fence', 'new_key')


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Fence:
    """Marks where a section begins and where it ends."""

    key: str
    """What both marks have in common, and no text between them contains."""

    @classmethod
    def around(cls, texts: Iterable[str], make_key: Callable[[], str] = new_key) -> Fence:
        """Make a fence that none of these texts can close or imitate.

        Args:
            texts: What will stand inside.
            make_key: Makes a key. A key that one of the texts contains is made longer until none does.
        """
        held = list(texts)
        key = make_key()
        while any(key in text for text in held):
            key += make_key()
        return cls(key)

    def opening(self, name: str) -> str:
        """The line before a section."""
        return f'<<<{self.key} {name}>>>'

    def closing(self, name: str) -> str:
        """The line after a section."""
        return f'<<<{self.key} end of {name}>>>'

    def enclose(self, name: str, text: str) -> str:
        """A section with its marks."""
        return f'{self.opening(name)}\n{text}\n{self.closing(name)}'

    def sections(self, text: str) -> list[tuple[str, str]]:
        """The names and contents of the sections in a text, and nothing of what stands around them."""
        key = re.escape(self.key)
        mark = re.compile(f'^<<<{key} (?!end of )([^\n]*)>>>\n(.*?)\n<<<{key} end of \\1>>>$', re.DOTALL | re.MULTILINE)
        return mark.findall(text)

    def outside(self, text: str) -> str:
        """What stands around the sections of a text."""
        for name, content in self.sections(text):
            text = text.replace(self.enclose(name, content), '', 1)
        return text
