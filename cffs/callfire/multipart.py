"""The body of an upload: a file as multipart/form-data, streamed (RFC 7578).

It owns the framing and the size of a piece. It must not know files on disk or what the service answers.
"""

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable

from cffs.core.units import KIB

#: Handed to the socket at a time: a slow network must take this much within the idle limit (30 s) to count as moving.
PIECE_NBYTES = 16 * KIB


class MultipartUpload:
    """The framing of one file of exactly `nbytes`, with an optional `name` field before it."""

    def __init__(self, *, filename: str, name: str | None, content_type: str, nbytes: int) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = []
        if name is not None:
            parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\n{name}\r\n')
        # Escaped as browsers do: a name cannot end its own quotes.
        escaped = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        # The name of a file on disk may hold lone surrogates; the service gets what can be encoded.
        self._head = "".join(parts).encode("utf-8", "replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode("ascii")
        #: The length of the whole body.
        self.nbytes = len(self._head) + nbytes + len(self._tail)

    async def body(
        self, content: AsyncIterable[bytes], progress: Callable[[int], None] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The body around `content`. After each piece that was taken, `progress` gets the number of content bytes so
        far. Close it when it is left early."""
        yield self._head
        taken_nbytes = 0
        async for chunk in content:
            for position in range(0, len(chunk), PIECE_NBYTES):
                piece = chunk[position : position + PIECE_NBYTES]
                yield piece
                taken_nbytes += len(piece)
                if progress is not None:
                    progress(taken_nbytes)
        yield self._tail
