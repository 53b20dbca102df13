"""What the clients of the APIs need of a transport: questions and acts.

`callfire/transport` sends each of them; where machines share, answers that another machine got may come first
(`shared/answers`). It owns the protocol. It must not know what an operation means.
"""

from collections.abc import AsyncIterable, Callable
from typing import Protocol

from cffs.callfire.response_checks import NotFoundMeans
from cffs.callfire.status_reader import Response
from cffs.callfire.transport import MAX_METADATA_NBYTES, Query
from cffs.core.source import Api


class MetadataTransport(Protocol):
    """A way to ask and to act."""

    async def get(
        self,
        api: Api,
        segments: tuple[str, ...],
        *,
        query: Query = (),
        accept: str = "application/json",
        max_nbytes: int = MAX_METADATA_NBYTES,
        as_account: bool = False,
        not_found: NotFoundMeans = NotFoundMeans.OBJECT,
        proves_credentials: bool = False,
        require: Callable[[bytes], None] | None = None,
    ) -> Response:
        """See Transport.get."""
        ...

    async def send(
        self,
        method: str,
        api: Api,
        segments: tuple[str, ...],
        *,
        content: bytes | AsyncIterable[bytes] | None = None,
        content_type: str = "application/json",
        content_nbytes: int | None = None,
        as_account: bool = False,
    ) -> Response:
        """See Transport.send."""
        ...
