"""The body of an accepted answer, handed out byte by byte as promised or not at all.

It owns the count of bytes against the plan and the look at the first ones; it must not know requests, retries or
httpx. `callfire/transport` makes one inside each `open_range`, `reader/` drains it.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from cffs.callfire.request_limiter import Slot
from cffs.callfire.response_checks import BodyPlan
from cffs.callfire.stats import Stats
from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer, TruncatedAnswer
from cffs.core.media_content import MIN_JUDGED_NBYTES, ContentVerdict, judge
from cffs.core.units import KIB

#: What the first look takes in at first: enough for a verdict on everything but blanks. It is copied once more.
_SNIFF_NBYTES = 16 * KIB


class Body(Protocol):
    """Where the raw bytes come from."""

    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes into `buffer`: how many, 0 at the end."""

    @property
    def has_buffered(self) -> bool:
        """True where a byte is here already."""


class RangeResponse:
    """One answer's bytes: those of the object from `start` up to `stop`.

    `stop` is None where only the body's end tells it, and may lie before the asked stop where the origin gave less
    (legal for 206): ask again from there. `total`, `validator`, `last_modified_ns` are None where the answer was
    silent. Its one owner is whoever entered `Transport.open_range`.
    """

    def __init__(
        self,
        plan: BodyPlan,
        body: Body,
        *,
        slot: Slot,
        stats: Stats,
        confirm_end: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """`confirm_end` is asked about an end that nothing but a closed connection tells; it raises where it lies."""
        self.start = plan.start
        self.stop = plan.stop
        self.total = plan.total
        self.validator = plan.validator
        self.last_modified_ns = plan.last_modified_ns
        self.answered_ms: int | None = plan.answered_ms
        self.content_type = plan.content_type
        #: The offset of the next byte `receive_into` gives.
        self.offset = plan.start
        self._has_length = plan.content_nbytes is not None
        self._body = body
        self._slot = slot
        self._stats = stats
        self._confirm_end = None if plan.framed else confirm_end
        self._received_stop = plan.start
        self._rest = memoryview(b"")
        self._ended = False

    @property
    def has_begun(self) -> bool:
        """True once a byte of the body came."""
        return self._received_stop > self.start

    async def sniff(self, *, may_be_text: bool = False, check_page: Callable[[bytes], None] | None = None) -> None:
        """Take in enough of the body to tell a page from content. Called once, before anything is handed out.

        Only where the body starts at the object's first byte: further in, audio may look like anything. Always a
        checkpoint; raises MalformedAnswer for a page, or what `check_page` raises about its bytes, and what
        `receive_into` raises.
        """
        if self.start != 0:
            return
        buffer, nbytes, verdict = bytearray(_SNIFF_NBYTES), 0, ContentVerdict.OPEN
        while verdict is ContentVerdict.OPEN:
            if nbytes == len(buffer):
                buffer = buffer + bytes(len(buffer))  # blanks, so far: they prove nothing
            received = await self._receive(memoryview(buffer)[nbytes:])
            nbytes += received
            if not received and nbytes < MIN_JUDGED_NBYTES and self.total != nbytes and self.stop is not None:
                break  # too small a piece of an object to tell anything
            verdict = judge(bytes(buffer[:nbytes]), is_whole=not received, may_be_text=may_be_text)
        self._rest = memoryview(buffer)[:nbytes]
        if verdict is ContentVerdict.PAGE:
            if check_page is not None:
                check_page(bytes(self._rest))
            raise MalformedAnswer("the answer is a page or a document where audio was asked for")

    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes of the object into `buffer`, at most all of it; how many, 0 only at the verified end.

        A checkpoint whenever it waits for the network, none when bytes are at hand. If cancelled, nothing is
        given twice, and the answer is of no more use. Raises TruncatedAnswer when the connection ended before the
        promised end, MalformedAnswer when more came than promised, DeadlineExceeded when nothing came for too long.
        """
        if not len(buffer):
            return 0
        if self._rest:
            nbytes = min(len(buffer), len(self._rest))
            buffer[:nbytes] = self._rest[:nbytes]
            self._rest = self._rest[nbytes:]
        else:
            nbytes = await self._receive(buffer)
        self.offset += nbytes
        return nbytes

    async def _receive(self, buffer: memoryview) -> int:
        """The next bytes, checked against the promise; 0 at the end only."""
        if self._ended:
            return 0
        if self.stop == self._received_stop:
            await self._require_end()
            return 0
        nbytes = await self._body.receive_into(
            buffer if self.stop is None else buffer[: self.stop - self._received_stop]
        )
        self._slot.note_progress()
        self._stats.bytes_fetched += nbytes
        self._received_stop += nbytes
        if not nbytes:
            if self.stop is not None:
                raise TruncatedAnswer(f"the body ended {self.stop - self._received_stop} bytes early")
            if self._confirm_end is not None:
                await self._confirm_end(self._received_stop)
            self._ended = True
        elif self.stop == self._received_stop and (self._has_length or self._body.has_buffered):
            # Where the framing ends here, this takes no more from the network, and gives the connection back.
            await self._require_end()
        return nbytes

    async def _require_end(self) -> None:
        if await self._body.receive_into(memoryview(bytearray(1))):
            raise MalformedAnswer("more bytes came than the answer promised")
        self._ended = True


def range_headers(byte_range: ByteRange | None) -> dict[str, str]:
    """What asks for `byte_range`, or for all. HTTP names the last byte; nowhere else in cffs does that form exist."""
    if byte_range is None:
        return {"accept": "*/*"}
    return {"accept": "*/*", "range": f"bytes={byte_range.start}-{byte_range.stop - 1}"}
