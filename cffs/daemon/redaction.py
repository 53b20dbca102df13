"""Redaction of secrets in text: by the shapes they travel in, and literally.

A literal is looked for in every encoding in which it could appear.

Owns the shapes. It must not know logging.
"""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from cffs.core.settings import Credentials

HIDDEN = "***"
#: A shorter literal would black out ordinary words; the shapes below still catch it where it matters.
_SHORTEST_LITERAL = 4

_NAMED = r"""(?ix)\b(api_?key|app_?key|password|passwd|secret)("?'?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&"',;)}\]]+)"""
_HEADER = r"""(?ix)\b((?:proxy-)?authorization)(\W{1,6})((?:basic|bearer|digest)\s+)?[^\s"',)}\]]+"""
_SCHEME = r"(?i)\b(basic|bearer)(\s+)[A-Za-z0-9+/_.~-]{8,}=*"
_USERINFO = r"""(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#@"']*@"""
#: Shapes that carry a secret, whatever it is. The name of the secret is kept, so that the line stays useful.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(_NAMED), rf"\1\2{HIDDEN}"),
    (re.compile(_HEADER), rf"\1\2\3{HIDDEN}"),
    (re.compile(_SCHEME), rf"\1\2{HIDDEN}"),
    (re.compile(_USERINFO), rf"\1{HIDDEN}@"),
)


class Redactor:
    """Rewrites text so that no secret is left in it. Immutable."""

    def __init__(self, *everyone: Credentials) -> None:
        # in any case: percent-encoding has two spellings, and some libraries fold hosts and header names
        literals = {text for credentials in everyone for text in _literals(credentials)}
        # the longest first: a short secret within a longer one must not leave the rest of that behind
        ordered = sorted((text for text in literals if len(text) >= _SHORTEST_LITERAL), key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE) if ordered else None

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        if self._literal is not None:
            text = self._literal.sub(HIDDEN, text)
        for pattern, replacement in _SHAPES:
            text = pattern.sub(replacement, text)
        return text


def _literals(credentials: Credentials) -> Iterable[str]:
    """Every configured secret in raw, percent-encoded and base64 form. A login is shown elsewhere, so it is no secret
    by itself; with its password it is one."""
    for secret in (credentials.apikey, credentials.password, credentials.account_password):
        if secret:
            yield from _forms(secret)
    pairs = (
        (credentials.login, credentials.password),
        (credentials.account_login, credentials.account_password),
    )
    for login, password in pairs:
        if login and password:
            yield from _forms(f"{login}:{password}")


def _forms(secret: str) -> Iterable[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield repr(secret)[1:-1]
    yield secret.replace(" ", "+")
    yield from (quote(raw, safe=""), quote_plus(raw), quote(raw, safe="/-._~:@!$&'()*+,;="))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(raw).decode("ascii")
        yield text
        yield text.rstrip("=")
