"""An HTTP request to the service, as a value.

It owns the value that travels unchanged from the transport to the wire. It holds no secret: credentials are added on
the way out, for each hop, where they belong (`callfire/keyring`). It must not know how a request is sent or repeated.
"""

import math
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cffs.callfire.path_patterns import object_of
from cffs.core.source import Api

#: A handshake with a distant service takes well under a second; a lost SYN is repeated after 1, 3 and 7 seconds.
CONNECT_SECONDS = 10.0
#: A body is judged by the time without a byte, not by its total time: see cffs/docs/service.md#timeouts.
IDLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request. `path` is below the API's base URL, percent-encoded; `query` and `headers` hold no secret.

    `as_account` asks with the account's own login instead of the API's credentials. `proves_credentials` marks the
    account's own endpoint, whose refusal alone means that the credentials are bad. `idempotent` is False for an act
    (POST, DELETE), which is sent again only where the service provably did nothing. `may_be_text` says that an answer
    in plain text is not an error page. `follow` says whether redirects are followed.

    `total_seconds` bounds all attempts of one run of the request loop together (`Session.run` makes a second one where
    refused credentials are replaced), `head_seconds` the wait for the head of an answer and then for the first byte of
    its body, `idle_seconds` the wait for each further piece.
    """

    method: str
    api: Api
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str]
    as_account: bool = False
    proves_credentials: bool = False
    content: bytes | AsyncIterable[bytes] | None = None
    idempotent: bool = True
    may_be_text: bool = False
    follow: bool = True
    head_seconds: float
    idle_seconds: float
    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = math.inf

    @property
    def what(self) -> str:
        """The request in messages: method and path, without the query, which may hold a secret."""
        return f"{self.method} {self.api}:{self.path}"

    @property
    def subject(self) -> str:
        """The object that a refusal or a failure is about."""
        return object_of(self.path)

    @property
    def is_streamed(self) -> bool:
        """True where the content comes piece by piece, so that it can be sent only once."""
        return self.content is not None and not isinstance(self.content, bytes)

    def with_changes(self, **changes: Any) -> "Request":
        """This request with other values in the fields named."""
        return replace(self, **changes)
