"""The keyring: which origin gets which secret, and redaction of secrets; pure.

It owns the credentials of a session and every spelling of them. It must not know requests or redirects: given an origin
and an API, it returns a query or a header.
"""

import base64
import re
from urllib.parse import quote, quote_plus, urlsplit

from cffs.callfire.url_policy import Origin
from cffs.core.errors import AccessRefused, MalformedAnswer
from cffs.core.settings import Credentials
from cffs.core.source import Api

_APIKEY_PARAMETER = re.compile(r"(?i)(?<=[?&])apikey=[^&#]*&?", re.ASCII)
#: Shorter texts are test values, no secrets, and their redaction would blot out half of every message.
_SHORTEST_HIDDEN = 4


class Keyring:
    """The credentials, bound to the origins they are meant for. Never shown; it has no other state."""

    def __init__(self, credentials: Credentials, origins: dict[Api, Origin]) -> None:
        self._credentials = credentials
        self._origins = origins
        self._hidden = _spellings(credentials)

    def require(self, api: Api, *, as_account: bool) -> None:
        """Raise AccessRefused where there are no credentials for the API, so that no request is made."""
        known = self._credentials
        if not (known.has_account if as_account else known.has_v1 if api is Api.V1 else known.has_v2):
            raise AccessRefused(f"no credentials for {'the account' if as_account else api} are configured")

    def api_at(self, origin: Origin, *, preferred: Api) -> Api | None:
        """The API that `origin` belongs to, `preferred` first where both live there; None for every other origin."""
        for api in (preferred, *self._origins):
            if self._origins[api] == origin:
                return api
        return None

    def query(self, api: Api) -> dict[str, str]:
        """The credentials of `api` in the query: the key of v1."""
        return {"apikey": self._credentials.apikey or ""} if api is Api.V1 else {}

    def headers(self, api: Api, *, as_account: bool) -> dict[str, str]:
        """The credentials of `api` in the headers: Basic for v2, by the account's own login where `as_account` is
        true."""
        if api is Api.V1:
            return {}
        known = self._credentials
        pair = (known.account_login, known.account_password) if as_account else (known.login, known.password)
        if not pair[0] or not pair[1]:
            return {}  # redirected from v1 to v2's origin, and v2 has no credentials
        return {"authorization": "Basic " + _basic(pair[0], pair[1])}

    def without_secrets(self, url: str) -> str:
        """`url`, the target of a redirect to another origin, without an `apikey` that may be echoed in it.

        Raises MalformedAnswer where one of our secrets is in it in any other way.
        """
        cleaned = _APIKEY_PARAMETER.sub("", url).rstrip("?&") if urlsplit(url).query else url
        if self.redacted(cleaned) != cleaned:
            raise MalformedAnswer("redirected elsewhere with one of our own secrets in the URL")
        return cleaned

    def redacted(self, text: str) -> str:
        """`text` with every spelling of every secret replaced by `***`."""
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text


def _basic(login: str, password: str) -> str:
    return base64.b64encode(f"{login}:{password}".encode()).decode("ascii")


def _spellings(credentials: Credentials) -> tuple[str, ...]:
    known = credentials
    plain = [known.apikey, known.password, known.account_password]
    pairs = [(known.login, known.password), (known.account_login, known.account_password)]
    basics = [_basic(login, password) for login, password in pairs if login and password]
    found = {
        spelling
        for secret in [*plain, *basics]
        if secret and len(secret) >= _SHORTEST_HIDDEN
        for spelling in (secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode())
    }
    return tuple(sorted(found, key=len, reverse=True))  # the longest first: a spelling may contain another
