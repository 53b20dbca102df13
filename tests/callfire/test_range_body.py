"""Sniffing of a body: pages are refused, and sniffed bytes are handed out."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from cffs.callfire.transport import Transport
from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer
from cffs.core.source import v1_recording, v2_media_raw, v2_recording

FIRST_PIECE = ByteRange(0, 524_288)
PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"
VCARD = b"BEGIN:VCARD\r\nFN:Ada\r\nEND:VCARD\r\n"


class _Drip(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 1000):
            yield self._body[at : at + 1000]


def serving(body: bytes, *, total: int | None = None) -> Callable[[httpx.Request], httpx.Response]:
    """The body for every request, as 206 of an object of `total` bytes where that is given."""

    def handle(_request: httpx.Request) -> httpx.Response:
        if total is None:
            return httpx.Response(200, headers={"content-type": "audio/mpeg"}, stream=_Drip(body))
        headers = {"content-range": f"bytes 0-{len(body) - 1}/{total}"}
        return httpx.Response(206, headers=headers, stream=_Drip(body))

    return handle


@pytest.mark.parametrize("before", [b"", b"\n" * 64, b" " * 90_000, b"\xef\xbb\xbf" * 2])
async def test_a_page_is_refused_behind_any_blanks(
    mocked: Callable[..., Transport], drain: Callable[..., Any], before: bytes
) -> None:
    """A page is refused even after more blanks than are sniffed at once."""
    async with mocked(serving(before + PAGE)) as transport:
        for source in (v1_recording(7), v2_recording(7), v2_media_raw(7)):
            with pytest.raises(MalformedAnswer):
                await drain(transport, source, FIRST_PIECE)


@pytest.mark.parametrize(
    "body", [b"<i\x00" + bytes(range(256)) * 100, b" " * 50_000 + b"\0audio", b"\n" * 3000 + b"\x81"]
)
async def test_what_was_looked_at_is_handed_out(
    mocked: Callable[..., Transport], drain: Callable[..., Any], body: bytes
) -> None:
    """Every byte is handed out in order, however many the verdict took."""
    async with mocked(serving(body)) as transport:
        assert await drain(transport, v1_recording(7), FIRST_PIECE, step=100) == (0, body)


async def test_the_piece_of_a_larger_object_is_judged_as_far_as_it_goes(
    mocked: Callable[..., Transport], drain: Callable[..., Any]
) -> None:
    """One byte gives no verdict, a hundred of text do. So the size of an object may be asked for with one byte."""
    async with mocked(serving(b"<", total=1000)) as transport:
        assert await drain(transport, v1_recording(7), ByteRange(0, 1)) == (0, b"<")
    async with mocked(serving(PAGE * 3, total=1000)) as transport:
        with pytest.raises(MalformedAnswer):
            await drain(transport, v1_recording(7), ByteRange(0, len(PAGE * 3)))
    async with mocked(serving(b"null", total=4)) as transport:
        with pytest.raises(MalformedAnswer):
            await drain(transport, v1_recording(7), ByteRange(0, 4))


async def test_text_is_read_where_the_medium_is_text(
    mocked: Callable[..., Transport], drain: Callable[..., Any]
) -> None:
    """A vCard is content for a source that may be text, and a page for any other; a web page is a page for both."""
    async with mocked(serving(VCARD)) as transport:
        assert await drain(transport, v2_media_raw(7, may_be_text=True), FIRST_PIECE) == (0, VCARD)
        with pytest.raises(MalformedAnswer):
            await drain(transport, v2_media_raw(7), FIRST_PIECE)
    async with mocked(serving(PAGE)) as transport:
        with pytest.raises(MalformedAnswer):
            await drain(transport, v2_media_raw(7, may_be_text=True), FIRST_PIECE)
