"""Where numbers and addresses that identify a person stand in a text.

Candidates come from patterns of bounded length; whether they are what they look like is decided by their check digits and by
the numbering plans of phonenumbers and python-stdnum, which are imported when they are first needed.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterator, Sequence

__all__ = ('find_cards', 'find_emails', 'find_ibans', 'find_ip_addresses', 'find_phone_numbers', 'find_ssns')

_LOCAL_REVERSED = re.compile(r'[^\s<>()\[\]{},;:"\'@\\/=|]{1,64}')
_QUOTED_REVERSED = re.compile(r'"[^"\r\n]{1,62}"')
_AT = re.compile('@|%40')
_DOMAIN = re.compile(r'(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}|[^\W\d_]{2,63})')
_SPACE = ' \u00a0\u202f'
_HYPHEN = r'\u2010-\u2015\u2212-'
_DIGIT_GROUPS = re.compile(rf'(?<![^\W_])(?<!\d[.,])\d(?:[{_SPACE}{_HYPHEN}]?\d){{11,}}+(?![^\W_])', re.ASCII)
_DOTTED_CARD = re.compile(r'(?<!\w)(?<!\d[.,])\d{4}(?:\.\d{4}){3}(?!\w)', re.ASCII)
_GROUP = re.compile(r'\d+', re.ASCII)
_CARD = re.compile(
    r'4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}|6[02457]\d{14,17}'
)
_IBAN_GAP = rf'[{_SPACE}.{_HYPHEN}]'
_IBAN = re.compile(rf'(?<![^\W_])[A-Za-z]{{2}}\d{{2}}(?:{_IBAN_GAP}?[A-Za-z0-9]){{10,30}}', re.ASCII)
_SSN = re.compile(r'(?<![\w-])(?<!\d\.)\d{3}([- .])\d{2}\1\d{4}(?![\w-])', re.ASCII)
_NAMED_SSN = re.compile(
    r'(?i:\bssn|social security(?: number| no\.?)?)(?:\s(?:is|was))?[\s:=#]{1,4}(\d{9})(?![\w-])', re.ASCII
)
_IPV4 = re.compile(r'(?<!\w)(?<!\w\.)(?<![Vv]ersion )\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w|-\w)', re.ASCII)
_IPV6 = re.compile(
    r'(?<![\w:])(?<!\w\.)(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:])', re.ASCII
)
_INTERNATIONAL = re.compile(r'\(?\+\(?\d')
_DIALLED = re.compile(r'(?<![\w+-])(?<!\d[.,])00(?=[1-9]\d{0,2}[ /-]\(?\d)', re.ASCII)
_PIECE = 20_000
_OVERLAP = 250
_ENOUGH_DIGITS = re.compile(r'(?:\d\D{0,4}){6}')


def find_emails(text: str) -> Iterator[tuple[int, int]]:
    """E-mail addresses, international ones included."""
    for sign in _AT.finditer(text):
        at, end = sign.span()
        if domain := _DOMAIN.match(text, end):
            before = text[max(0, at - 64) : at][::-1]
            local = _QUOTED_REVERSED.match(before) or _LOCAL_REVERSED.match(before)
            if local:
                yield at - local.end(), domain.end()


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of payment cards: an issuer's prefix and length, and the right check digit."""
    from stdnum import luhn

    for match in _DOTTED_CARD.finditer(text):
        number = match[0].replace('.', '')
        if _CARD.fullmatch(number) and luhn.is_valid(number):
            yield match.span()
    for match in _DIGIT_GROUPS.finditer(text):
        groups = [group.span() for group in _GROUP.finditer(text, *match.span())]
        for first, (start, _) in enumerate(groups):
            number = ''
            for group_start, end in groups[first : first + 5]:
                number += text[group_start : min(end, group_start + 20)]
                if len(number) > 19:
                    break
                if _CARD.fullmatch(number) and luhn.is_valid(number):
                    yield start, end
                if end - group_start < 4:
                    # Cards are written in groups of four to six digits; only the last may be shorter.
                    break


def find_ibans(text: str) -> Iterator[tuple[int, int]]:
    """International bank account numbers: a country's format, and the right check digits."""
    from stdnum import iban
    from stdnum.iso7064 import mod_97_10

    for match in _IBAN.finditer(text):
        ends = [at for at in range(match.start() + 4, match.end()) if text[at].isalnum()][10:]
        number = re.sub(_IBAN_GAP, '', match[0]).upper()
        for length in range(len(number), 14, -1):
            candidate = number[:length]
            if mod_97_10.is_valid(candidate[4:] + candidate[:4]) and iban.is_valid(candidate):
                yield match.start(), ends[length - 15] + 1
                break


def find_ssns(text: str) -> Iterator[tuple[int, int]]:
    """US social security numbers, written in three groups; never-issued ones are left."""
    from stdnum.us import ssn

    for match in _SSN.finditer(text):
        if ssn.is_valid(match[0].replace(match[1], '-')):
            yield match.span()
    for match in _NAMED_SSN.finditer(text):
        if ssn.is_valid(match[1]):
            yield match.span(1)


def find_ip_addresses(text: str) -> Iterator[tuple[int, int]]:
    """IPv4 addresses, and IPv6 addresses of some length."""
    for match in _IPV4.finditer(text):
        if _is_address(match[0]):
            yield match.span()
    for match in _IPV6.finditer(text):
        # Scopes and slices of code such as `a::b` are valid, too.
        digits = match[0].replace(':', '')
        if len(digits) >= 5 and not digits.isalpha() and _is_address(match[0]):
            yield match.span()


def find_phone_numbers(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Phone numbers: international ones, and those of some regions as they are written there, in groups."""
    if not _ENOUGH_DIGITS.search(text):
        return
    from phonenumbers import Leniency, PhoneNumberMatcher

    dialled = {match.end() - 1 for match in _DIALLED.finditer(text)}
    text = _DIALLED.sub(' +', text)
    for offset, piece in _pieces(text):
        for match in PhoneNumberMatcher(piece, None, Leniency.POSSIBLE, sys.maxsize):
            # Sums have a sign and a number, too.
            if _INTERNATIONAL.match(match.raw_string) and not piece[max(0, match.start - 1) : match.start].isalnum():
                start = offset + match.start
                yield start - (start in dialled), offset + match.end
        for region in regions:
            for match in PhoneNumberMatcher(piece, region, Leniency.VALID, sys.maxsize):
                # A number without any grouping may be an order's or an article's.
                if not match.raw_string.isdecimal():
                    yield offset + match.start, offset + match.end


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """A long text in pieces that overlap by more than a number is long: matching takes more than linear time."""
    for offset in range(0, max(len(text) - _OVERLAP, 1), _PIECE):
        yield offset, text[offset : offset + _PIECE + _OVERLAP]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
