"""API v2, media: what is stored, and sending a file.

It must not know spooling or files on disk: an upload is a stream of bytes. Media's bytes are sources (`core.source`),
opened by `Transport.open_range`. Quoted operations are of the second document, "public" ones of the public one only.
"""

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing

from cffs.callfire.v2_base import V2Base, answer_to, query_of
from cffs.core.api_v2 import parse_media, parse_resource_id, require_id
from cffs.core.source import Api
from cffs.core.units import KIB
from cffs.core.values import Media, Page

#: Handed to the socket at a time: what a slow network must take within the idle limit (30 s) to count as moving.
PIECE_NBYTES = 16 * KIB


class V2Media(V2Base):
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
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Upload a file of exactly `nbytes` ("createMedia"); the id it was given. `name` is the media's own name.

        Sent at most once, and never whole in memory: `content` is asked for its next bytes when those before were taken
        by the network, and `progress` is told how many of its bytes were, after each piece. `content` may raise
        CffsErrors only. There is no total limit, only one on time without progress (`Transport.send`).
        Always a checkpoint. Raises DuplicateMedia, UploadTooLarge, ActRefused (a refused type, say) where the service
        refused it, ActUncertain where it may exist or not, as it may when cancelled; after any other error it does not.
        """
        boundary = secrets.token_hex(16)
        head, tail = _multipart(boundary, filename=filename, name=name, content_type=content_type)
        async with aclosing(_joined(head, content, tail, progress or _ignore)) as body:
            answer = await self._transport.send(
                "POST",
                Api.V2,
                ("media",),
                content=body,
                content_type=f"multipart/form-data; boundary={boundary}",
                content_nbytes=len(head) + nbytes + len(tail),
            )
        with answer_to(f"the upload of {nbytes} bytes"):
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


def _ignore(_nbytes: int) -> None:
    """Nobody watches the progress."""


async def _joined(
    head: bytes, content: AsyncIterable[bytes], tail: bytes, progress: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    yield head
    taken_nbytes = 0
    async for chunk in content:
        for position in range(0, len(chunk), PIECE_NBYTES):
            piece = chunk[position : position + PIECE_NBYTES]
            yield piece
            taken_nbytes += len(piece)
            progress(taken_nbytes)
    yield tail
