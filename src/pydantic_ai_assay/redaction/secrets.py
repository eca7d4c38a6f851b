"""Where keys, tokens and passwords stand in a text.

Every pattern is of bounded length or ends in a possessive repetition that nothing has to follow, so that no text takes more
than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ('find_secrets', 'names_a_secret')

_TOKENS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
    (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])                # Amazon
    |AIza[\w-]{30,}+|ya29\.[\w-]{20,}+                      # Google
    |gh[oprsu]_[A-Za-z0-9]{20,}+|github_pat_\w{20,}+        # GitHub
    |gl(?:pat|cbt|dt|rt|ptt|soat)-[\w-]{16,}+               # GitLab
    |xox[a-z]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+    # Slack
    |(?:[rs]k|pk)_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{16,}+   # Stripe
    |sk-(?=[A-Za-z_-]{0,40}[0-9])[\w-]{16,}+                # OpenAI, Anthropic and others
    |(?:gsk_|xai-|pplx-|r8_|hf_|npm_)(?=[A-Za-z]{0,60}[0-9])[A-Za-z0-9]{20,}+
    |pypi-AgE[\w-]{30,}+
    |SG\.[\w-]{16,64}\.[\w-]{16,}+                          # SendGrid
    |do[opr]_v1_[a-f0-9]{32,}+                              # DigitalOcean
    |shp(?:at|ca|pa|ss)_[a-fA-F0-9]{24,}+                   # Shopify
    |pylf_v[0-9]_[a-z]{2}_[A-Za-z0-9]{20,}+                 # Logfire
    |[0-9]{8,10}:AA[\w-]{30,}+                              # Telegram
    |eyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+                     # JSON web tokens
    )""",
    re.VERBOSE | re.ASCII,
)
_URL_CREDENTIALS = re.compile(r'(?<=://)[^\s/@:?#"\'<>]{0,256}:[^\s/@"\'<>]{1,1024}(?=@)')
_HEADER = re.compile(
    r'(?i:(?<![a-z0-9])(?:bearer|basic))[ \t]{1,4}((?=[^\s\d=]{0,200}[\d=])[\w.~+/=-]{12,}+)', re.ASCII
)
_NAMES = (
    r'(?:pass(?:word|wd|phrase)|pwd|(?:api|access|private|secret|signing|encryption|account)[_\- ]?key|secret'
    r'|(?:access|auth|refresh|session|bearer|api|id)[_\- ]?token|token|credentials?)'
)
_ASSIGNMENT = re.compile(
    rf"""(?i:{_NAMES})(?P<slashes>\\{{0,3}})["']?\]?\s{{0,3}}(?:
    (?:(?P<sign>=>?|:)|\s(?i:is|was)\s)\s{{0,3}}(?:
        \\{{1,3}}"(?P<escaped>[^"\\\r\n]++)
        |"(?P<double>(?:[^"\\]|\\.)++)
        |'(?P<single>(?:[^'\\\n]|\\.)++)
        |(?P<plain>[^\s"'\\,;&<>(){{}}\[\]]{{4,}}+)
    ))""",
    re.VERBOSE | re.DOTALL,
)
_KEY_BOUND = re.compile(r'-----(BEGIN|END) [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----')
_KEY_TEXT = re.compile(r'[A-Za-z0-9+/=:,\s\\-]*+')
_SECRET_NAME = re.compile(rf'{_NAMES}$|^authorization$|^(?:set-)?cookie$')
_WORDS = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')


def find_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets stand: starts and ends."""
    yield from _private_keys(text)
    for pattern in (_TOKENS, _URL_CREDENTIALS):
        yield from (match.span() for match in pattern.finditer(text))
    yield from (match.span(1) for match in _HEADER.finditer(text))
    for match in _ASSIGNMENT.finditer(text):
        group = match.lastgroup or 'plain'
        # Outside of quotes and `=`, as in prose, a value is a secret only if it does not look like a word.
        if group == 'plain' and (match['sign'] or ':') == ':' and not re.search(r'\d', match['plain']):
            continue
        yield match.span(group)


def names_a_secret(name: str) -> bool:
    """Whether what has this name is a secret: `password`, `userPassword`, `X-Api-Key`, `GITHUB_TOKEN`."""
    return len(name) <= 200 and _SECRET_NAME.search(_WORDS.sub('_', name).lower()) is not None


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    start: int | None = None
    end = 0
    for bound in _KEY_BOUND.finditer(text):
        if bound[1] == 'END':
            if start is not None:
                yield start, bound.end()
            start = None
        elif start is None:
            start, end = bound.span()
    if start is not None:
        # Its end was cut off.
        rest = _KEY_TEXT.match(text, end)
        yield start, rest.end() if rest else end
