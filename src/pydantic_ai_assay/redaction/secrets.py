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
    |AIza[\w-]{30,}+|ya29\.[\w-]{20,}+|GOCSPX-[\w-]{20,}+|1//0[\w-]{20,}+   # Google
    |gh[oprsu]_[A-Za-z0-9]{20,}+|github_pat_\w{20,}+        # GitHub
    |gl(?:pat|cbt|dt|rt|ptt|soat)-[\w-]{16,}+               # GitLab
    |xox[a-z]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+    # Slack
    |hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{20,}+
    |discord(?:app)?\.com/api/webhooks/[0-9]{15,25}/[\w-]{10,}+
    |(?:[rs]k|pk)_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{16,}+   # Stripe
    |sk-(?=[A-Za-z_-]{0,40}[0-9])[\w-]{16,}+|sk-[A-Za-z]{32,}+      # OpenAI, Anthropic and others
    |(?:gsk_|xai-|pplx-|r8_|hf_|npm_)(?:(?=[A-Za-z]{0,60}[0-9])[A-Za-z0-9]{20,}+|[A-Za-z]{30,}+)
    |pypi-AgE[\w-]{30,}+
    |SG\.[\w-]{16,64}\.[\w-]{16,}+                          # SendGrid
    |SK[a-f0-9]{32}(?![A-Za-z0-9])|key-[a-f0-9]{32}(?![A-Za-z0-9])  # Twilio, Mailgun
    |do[opr]_v1_[a-f0-9]{32,}+                              # DigitalOcean
    |shp(?:at|ca|pa|ss)_[a-fA-F0-9]{24,}+                   # Shopify
    |pylf_v[0-9]_[a-z]{2}_[A-Za-z0-9]{20,}+                 # Logfire
    |[0-9]{8,10}:AA[\w-]{30,}+                              # Telegram
    |dapi[a-f0-9]{32,}+|lin_api_[A-Za-z0-9]{20,}+|ntn_[A-Za-z0-9]{30,}+|secret_[A-Za-z0-9]{40,}+
    |fig[dou]_[\w-]{20,}+|hvs\.[\w-]{20,}+|dp\.(?:pt|st|ct)\.[\w.-]{20,}+|gl(?:sa|c)_[\w+/=]{20,}+
    |NRAK-[A-Z0-9]{20,}+|ATATT3[\w=-]{20,}+|tvly-[\w-]{16,}+|lsv2_(?:pt|sk)_\w{20,}+|sbp_[a-f0-9]{32,}+
    |dckr_(?:pat|oat)_[\w-]{16,}+|sntry[su]_[\w+/=]{20,}+|AGE-SECRET-KEY-1[A-Z0-9]{40,}+
    |eyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+(?:\.[\w-]*+\.[\w-]*+)?      # JSON web tokens, signed and encrypted
    )""",
    re.VERBOSE | re.ASCII,
)
# A password may hold what should have been escaped. A port and a path do not make one.
_URL_CREDENTIALS = re.compile(
    r'(?<=://)[^\s/@:?#"\'<>]{0,256}:(?:[^\s/"\'<>]{1,1024}|(?!\d{1,5}/)[^\s@"\'<>]{1,1024})(?=@)'
)
_TOKEN_LIKE = r'(?=[^\s\d=]{0,200}[\d=]|\w{0,30}[a-z][A-Z]|[\w-]{20})'
_HEADERS = (
    re.compile(rf'(?i:(?<![a-z0-9])(?:bearer|basic))[ \t]{{1,4}}({_TOKEN_LIKE}[\w.~+/=-]{{12,}}+)', re.ASCII),
    # Written with a capital, what follows is rarely prose.
    re.compile(r'(?<![A-Za-z0-9])(?:Bearer|BEARER)[ \t]{1,4}((?!(?i:auth|cred|cert|token))[\w.~+/=-]{12,}+)', re.ASCII),
    re.compile(
        r'(?i:(?<![a-z0-9-])(?:proxy-)?authorization)["\']?\s{0,3}[:=]\s{0,3}["\']?(?:'
        r'(?i:bearer|basic|token|digest|apikey|api-key|negotiate|bot)[ \t]{1,4}([^\s"\'\\<>]{6,}+)'
        r'|([^\s"\'\\<>]{16,}+))'
    ),
    re.compile(r'(?i:(?<![a-z0-9])(?:set-)?cookie:)[ \t]{0,4}([^\s=;,"\'<>]{1,100}=[^\r\n"\'<>]{4,4000})'),
    re.compile(r'(?<=Private-Lines: )(\d{1,3}\s[A-Za-z0-9+/=\s]{1,8000})'),
    re.compile(r'(?<!\S)(?:-u|--user)[ =]["\']?([^\s:"\'/]{1,100}:[^\s"\'/]{3,200})'),
    re.compile(
        r'(?i:(?<=[?&;])(?:key|sig|signature|auth|pass|pw|jwt|hmac|sid|session|sessionid|code'
        r'|x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)))=([^\s&#"\'<>]{8,2000})'
    ),
    # Codes that are typed in to pay or to log in.
    re.compile(
        r'(?i:(?<![a-z])(?:cvv2?|cvc2?|csc|pin|otp|(?:security|verification|one-time) code))'
        r'(?:\s{0,3}[:=#]\s{0,3}|\s(?i:is|was)\s|\s)(\d{3,8})(?![\w-])'
    ),
)
_PASSWORD = (
    r'pass(?:word|wd|phrase|code|wort)|pwd|kennwort|contrase(?:ñ|n)a|mot\sde\spasse|senha|wachtwoord|has[łl]o'
    r'|парол[ья]|密码|パスワード'
)
_COMPOUND = (
    r'(?:api|access|private|secret|signing|encryption|account|shared[_\- ]?access|master|client)[_\- ]?(?:secret|key)'
    r'|(?:access|auth|refresh|session|bearer|api|id|csrf|client)[_\- ]?token'
)
_NAMES = rf'(?:{_PASSWORD}|{_COMPOUND}|secret|token|credentials?)'
_ASSIGNMENT = re.compile(
    rf"""(?i:{_NAMES}|(?<![a-z])(?:pass|pw)(?==))(?P<slashes>\\{{0,3}})["']?\]?\s{{0,3}}(?:
    (?:(?P<sign>=>?|:)|\s(?i:is|was|ist|est|es|é)\s)\s{{0,3}}(?:
        \\{{1,3}}"(?P<escaped>[^"\\\r\n]++)
        |"(?P<double>(?:[^"\\]|\\.)++)
        |'(?P<single>(?:[^'\\\n]|\\.)++)
        |(?P<plain>[^\s"'\\,;&<>(){{}}\[\]]{{4,}}+)
    ))""",
    re.VERBOSE | re.DOTALL,
)
# A name that is no word of prose, or a line's only word: then letters are enough.
_LETTERS = re.compile(
    rf'(?i:(?:{_PASSWORD})|{_COMPOUND})["\']?:[ \t]{{0,8}}'
    r'(?!(?i:str|string|text|bytes|null|none|true|false|required|optional|object|any|int|integer|number|boolean)\b)'
    r'([^\s"\'\\,;&<>(){}\[\]]{4,200})(?=[ \t]*(?:[\r\n,;})\]]|\Z))'
)
_TAG = re.compile(rf'(?i:<[\w:-]{{0,40}}(?:{_NAMES}))>([^<>]{{1,1000}})</')
_OPTION = re.compile(rf'(?i:(?<!\S)--?[a-z-]{{0,40}}(?:{_NAMES}))[ \t]["\']?([^\s"\'-][^\s"\']{{3,500}})')
_KEY_BOUND = re.compile(r'-----(BEGIN|END) [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----')
_KEY_TEXT = re.compile(r'[A-Za-z0-9+/=:,\s\\-]*+')
_SECRET_NAME = re.compile(rf'(?:{_NAMES})$|^authorization$|^(?:set-)?cookie$')
_WORDS = re.compile(r'(?<=[a-z0-9])(?=[A-Z])')


def find_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets stand: starts and ends."""
    yield from _private_keys(text)
    for pattern in (_TOKENS, _URL_CREDENTIALS):
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in (*_HEADERS, _LETTERS, _TAG, _OPTION):
        yield from (match.span(match.lastindex or 0) for match in pattern.finditer(text))
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
