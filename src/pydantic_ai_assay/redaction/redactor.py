"""A ready redaction: marks in place of secrets and common personal data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Literal, get_args

from ..errors import ConfigurationError, MissingExtraError
from ..runs.record import RunRecord
from .identifiers import find_cards, find_emails, find_ibans, find_ip_addresses, find_phone_numbers, find_ssns
from .run import map_run
from .secrets import find_secrets, names_a_secret

__all__ = ('REDACTION_KINDS', 'RedactionKind', 'Redactor')

RedactionKind = Literal['secret', 'email', 'iban', 'credit_card', 'us_ssn', 'ip_address', 'phone']
"""What a `Redactor` can find.

- `'secret'`: API keys, access tokens, private keys, passwords in URLs and assignments.
- `'email'`: e-mail addresses.
- `'iban'`: international bank account numbers with the right check digits.
- `'credit_card'`: numbers of payment cards with the right check digit.
- `'us_ssn'`: US social security numbers, written in three groups.
- `'ip_address'`: IPv4 and IPv6 addresses.
- `'phone'`: phone numbers.
"""

REDACTION_KINDS: tuple[RedactionKind, ...] = get_args(RedactionKind)

_ESCAPED_SPACE = re.compile(r'\\(?:[nrt]|u00a0|xa0)')
# Latin, Arabic, Persian and Hindi digits that are not those of ASCII.
_DIGITS = {first + n: str(n) for first in (0xFF10, 0x0660, 0x06F0, 0x0966) for n in range(10)}
_FINDERS: dict[RedactionKind, Callable[[str], Iterator[tuple[int, int]]]] = {
    'secret': find_secrets,
    'email': find_emails,
    'iban': find_ibans,
    'credit_card': find_cards,
    'us_ssn': find_ssns,
    'ip_address': find_ip_addresses,
}


class Redactor:
    """Puts marks such as `[EMAIL]` in place of secrets and common personal data: `OnlineEvalConfig(redact=Redactor())`.

    It finds what has a recognizable form. Names, street addresses and dates of birth have none, and stay.
    """

    def __init__(
        self,
        *,
        kinds: Collection[RedactionKind] = REDACTION_KINDS,
        phone_regions: Sequence[str] = ('US',),
        marks: Mapping[RedactionKind, str] | None = None,
    ) -> None:
        """Choose what is found, and what is put in its place.

        Args:
            kinds: What is looked for.
            phone_regions: Countries (ISO 3166, two letters) whose phone numbers are found without a `+` as well.
            marks: What is put in place of each kind, where it is to be another than the kind in capitals in brackets.

        Raises:
            MissingExtraError: If the extra `redaction` is not installed.
            ConfigurationError: If a kind or region is unknown.
        """
        if find_spec('phonenumbers') is None or find_spec('stdnum') is None:
            raise MissingExtraError('`Redactor`', 'redaction')
        _check_known('kinds', kinds, REDACTION_KINDS)
        _check_known('marks', marks or (), REDACTION_KINDS)
        if phone_regions:
            from phonenumbers import SUPPORTED_REGIONS

            _check_known('phone_regions', phone_regions, sorted(SUPPORTED_REGIONS))
        self._kinds: tuple[RedactionKind, ...] = tuple(kind for kind in REDACTION_KINDS if kind in kinds)
        self._phone_regions = tuple(phone_regions)
        self._marks: dict[RedactionKind, str] = {kind: f'[{kind.upper()}]' for kind in REDACTION_KINDS}
        self._marks.update(marks or {})

    def __call__(self, run: RunRecord) -> RunRecord:
        """Make a record with marks in place of what was found in a run. The run stays as it is.

        What stands under a name such as `password` or `api_key` is taken for a secret, whatever it looks like.
        """
        return map_run(run, self.redact_text, self._mark_of_name if 'secret' in self._kinds else None)

    def redact_text(self, text: str) -> str:
        """Put marks in place of what is found in a text."""
        # In JSON and in the text of errors, words may begin right after a line break that is written as two letters.
        view = _ESCAPED_SPACE.sub(lambda match: ' ' * len(match[0]), text)
        if not view.isascii():
            view = view.translate(_DIGITS)
        found = sorted(
            (start, rank, end) for rank, kind in enumerate(self._kinds) for start, end in self._find(kind, view)
        )
        pieces: list[str] = []
        done = 0
        for start, rank, end in found:
            if start >= done:
                pieces += text[done:start], self._marks[self._kinds[rank]]
            done = max(done, end)
        return ''.join([*pieces, text[done:]])

    def _find(self, kind: RedactionKind, text: str) -> Iterator[tuple[int, int]]:
        if kind == 'phone':
            return find_phone_numbers(text, self._phone_regions)
        return _FINDERS[kind](text)

    def _mark_of_name(self, name: str) -> str | None:
        return self._marks['secret'] if names_a_secret(name) else None


def _check_known(setting: str, given: Collection[str], known: Collection[str]) -> None:
    if isinstance(given, str):
        raise ConfigurationError(f'{setting}={given!r} must be a collection of texts, not one text.')
    if unknown := [each for each in given if each not in known]:
        allowed = ', '.join(repr(each) for each in known)
        raise ConfigurationError(f'{setting} has {unknown[0]!r}, which is unknown. Allowed are: {allowed}.')
