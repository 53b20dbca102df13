"""The body of an accepted answer: exactly the promised bytes, or an error.

It owns the header that asks for a range, the count of bytes against the plan, and the sniffing of the first ones. It
must not know how a request is sent or repeated, nor httpx.
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

#: Sniffed at first: enough for a verdict on everything but blanks. These bytes are copied once more.
_SNIFF_NBYTES = 16 * KIB


class Body(Protocol):
    """The source of the raw bytes."""

    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes into `buffer`; returns their number, 0 at the end."""

    @property
    def has_buffered(self) -> bool:
        """True where a byte can be had without waiting."""


class RangeBody:
    """One answer's bytes: those of the object from `start` up to `stop`.

    `stop` is None where it shows only at the body's end. It may lie before the stop that was asked for, where the
    origin gave less, which is legal for 206: ask again from there. `total`, `validator` and `last_modified_ns` are None
    where the answer does not give them. Its one owner is the task that entered `Transport.open_range`.
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
        """`confirm_end` checks an end that is nothing but a closed connection; it raises where the body was cut."""
        self.start = plan.start
        self.stop = plan.stop
        self.total = plan.total
        self.validator = plan.validator
        self.last_modified_ns = plan.last_modified_ns
        self.answered_ms: int | None = plan.answered_ms
        #: Nothing comes between the caller and the origin.
        self.waited_seconds: float | None = 0.0
        self.content_type = plan.content_type
        #: The offset of the next byte that `receive_into` gives.
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
        """True once a byte of the body has come."""
        return self._received_stop > self.start

    async def sniff(self, *, may_be_text: bool = False, check_page: Callable[[bytes], None] | None = None) -> None:
        """Receive enough of the body to tell content from a page. Called once, before anything is handed out.

        It looks only where the body starts at the object's first byte: further in, audio may look like anything. A
        checkpoint where it looks. Raises MalformedAnswer for a page, or what `check_page` raises about it, and
        everything that `receive_into` raises.
        """
        if self.start != 0:
            return
        buffer, nbytes, verdict = bytearray(_SNIFF_NBYTES), 0, ContentVerdict.OPEN
        while verdict is ContentVerdict.OPEN:
            if nbytes == len(buffer):
                buffer = buffer + bytes(len(buffer))  # only blanks so far, which prove nothing
            received = await self._receive(memoryview(buffer)[nbytes:])
            nbytes += received
            if not received and nbytes < MIN_JUDGED_NBYTES and self.total != nbytes and self.stop is not None:
                break  # too small a piece of an object for a verdict
            verdict = judge(bytes(buffer[:nbytes]), is_whole=not received, may_be_text=may_be_text)
        self._rest = memoryview(buffer)[:nbytes]
        if verdict is ContentVerdict.PAGE:
            if check_page is not None:
                check_page(bytes(self._rest))
            raise MalformedAnswer("the answer is a page or a document where audio was asked for")

    async def receive_into(self, buffer: memoryview) -> int:
        """Put the next bytes of the object into `buffer`; returns their number, 0 only at the verified end.

        A checkpoint whenever it waits for the network, none where bytes are buffered. After a cancel no byte is given
        twice, and the answer is of no more use. Raises TruncatedAnswer where the connection ended before the promised
        end, MalformedAnswer where more came than promised, DeadlineExceeded where nothing came for too long.
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

    def publish(self) -> None:
        """Where machines share, others may have what it brings; by itself it shares nothing."""

    async def _receive(self, buffer: memoryview) -> int:
        """The next bytes, checked against the plan; 0 only at the end."""
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
            # Where the framing ends here, this takes nothing more from the network and gives the connection back.
            await self._require_end()
        return nbytes

    async def _require_end(self) -> None:
        if await self._body.receive_into(memoryview(bytearray(1))):
            raise MalformedAnswer("more bytes came than the answer promised")
        self._ended = True


def range_headers(byte_range: ByteRange | None) -> dict[str, str]:
    """The headers that ask for `byte_range`, or for all. HTTP names the last byte; that form exists only here."""
    if byte_range is None:
        return {"accept": "*/*"}
    return {"accept": "*/*", "range": f"bytes={byte_range.start}-{byte_range.stop - 1}"}
