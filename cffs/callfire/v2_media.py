"""API v2, media: what is stored, and sending a file.

It must not know spooling or files on disk: an upload is a stream of bytes. Media's bytes are sources (`core.source`),
opened by `Transport.open_range`. Quoted operations are of the second document, "public" ones of the public one only.
"""

import secrets
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from cffs.callfire.v2_asking import V2Asking, query_of
from cffs.core.source import Api
from cffs.core.values import Media, Page
from cffs.core.wire_v2 import parse_media, parse_resource_id, require_id


class V2Media(V2Asking):
    """The operations below /media."""

    async def find_media(
        self, *, limit: int, offset: int, name_filter: str | None = None, fields: str | None = None
    ) -> Page[Media]:
        """A page of media (public "findMedia"); `name_filter` is a part of the file name. Always a checkpoint."""
        query = query_of(fields=fields, limit=limit, offset=offset, filter=name_filter)
        return await self._page(("media",), parse_media, query=query)

    async def get_media(self, media_id: int, *, fields: str | None = None) -> Media:
        """One media's metadata ("getMedia"). Always a checkpoint; MalformedAnswer for another id than asked."""
        media = parse_media(await self._document(("media", str(media_id)), query=query_of(fields=fields)))
        require_id(media.id, media_id, what="media")
        return media

    async def create_media(
        self,
        content: AsyncIterable[bytes],
        *,
        nbytes: int,
        filename: str,
        name: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> int:
        """Upload a file of exactly `nbytes` ("createMedia"); the id it was given. `name` is the media's own name.

        Sent at most once. Always a checkpoint; if cancelled, or the answer is lost, it may or may not exist. A refusal
        is ServerFailure with its status (400 type or duplicate, 413 too large) and the service's words.
        """
        boundary = secrets.token_hex(16)
        head, tail = _multipart(boundary, filename=filename, name=name, content_type=content_type)
        async with aclosing(_joined(head, content, tail)) as body:
            answer = await self._transport.send(
                "POST",
                Api.V2,
                ("media",),
                content=body,
                content_type=f"multipart/form-data; boundary={boundary}",
                content_nbytes=len(head) + nbytes + len(tail),
            )
        return parse_resource_id(answer.body)


def _multipart(boundary: str, *, filename: str, name: str | None, content_type: str) -> tuple[bytes, bytes]:
    """What stands before and after the file's bytes. Names are escaped as browsers do: they cannot end their quotes."""
    parts = []
    if name is not None:
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\n{name}\r\n')
    escaped = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    # A name of a file on disk may hold lone surrogates; the service gets what it can read.
    return "".join(parts).encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode("ascii")


async def _joined(head: bytes, content: AsyncIterable[bytes], tail: bytes) -> AsyncGenerator[bytes, None]:
    yield head
    async for chunk in content:
        yield chunk
    yield tail
