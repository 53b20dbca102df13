"""HTTP as real servers speak it, good and bad, from raw sockets on both wires."""

import pytest
import trio

from cffs.callfire.transport import Transport
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.source import Api, Source
from tests.callfire.raw_server import raw_server

OK = b"HTTP/1.1 200 OK\r\n"
SOURCE = Source(Api.V2, ("calls", "recordings", "5.mp3"))


def sized(body: bytes, *lines: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in (*lines, b"Content-Length: %d" % len(body))) + b"\r\n" + body


GOOD = {
    "plain": (sized(b"hello"), b"hello"),
    "empty": (sized(b""), b""),
    "1.0 with a length": ((b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",), b"hello"),
    "1.0 without": ((b"HTTP/1.0 200 OK\r\n\r\nhello",), b"hello"),
    "1.0 that claims to go on": (
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",),
        b"hello",
    ),
    "until it closes": ((OK + b"\r\nhello",), b"hello"),
    "close told": ((sized(b"hello", b"Connection: close"),), b"hello"),
    "closes without notice": ((sized(b"hello"),), b"hello"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "hints before": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5 + sized(b"hello"), b"hello"),
    "continue before": (b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"hello"), b"hello"),
    "100 lines": (sized(b"hello", *(b"X-%d: %s" % (n, b"y" * 200) for n in range(100))), b"hello"),
    "the same length twice": (sized(b"hello", b"Content-Length: 5"), b"hello"),
    "a list of one length": (OK + b"Content-Length: 5, 5\r\n\r\nhello", b"hello"),
    "a folded other line": (sized(b"hello", b"X-Long: a\r\n  b"), b"hello"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    "chunks, decorated": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n003;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: y\r\n\r\n",
        b"hello",
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
}
BAD = {
    "both a length and chunks": (
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        errors.MalformedAnswer,
    ),
    "two lengths": (sized(b"hello", b"Content-Length: 6"), errors.MalformedAnswer),
    "a list of two lengths": (OK + b"Content-Length: 5, 6\r\n\r\nhello", errors.MalformedAnswer),
    "a folded length": (OK + b"Content-Length: 5\r\n 5\r\n\r\nhello", errors.MalformedAnswer),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\nhello", errors.MalformedAnswer),
    "a signed length": (OK + b"Content-Length: +5\r\n\r\nhello", errors.MalformedAnswer),
    "a hexadecimal length": (OK + b"Content-Length: 0x5\r\n\r\nhello", errors.MalformedAnswer),
    "an endless length": (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello", errors.MalformedAnswer),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", errors.MalformedAnswer),
    "two codings": (OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", errors.MalformedAnswer),
    "a head of 300 KB": (sized(b"hello", b"X: " + b"y" * 300_000), errors.MalformedAnswer),
    "a head of 30,000 lines": (sized(b"hello", *[b"X: yyyyy"] * 30_000), errors.MalformedAnswer),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", errors.MalformedAnswer),
    "no status": (b"HTTP/1.1 abc\r\n\r\n", errors.MalformedAnswer),
    "a status of nothing": (b"HTTP/1.1 000 OK\r\n\r\n", errors.MalformedAnswer),
    "switching protocols": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", errors.MalformedAnswer),
    "a NUL in a line": (sized(b"hello", b"X: a\0b"), errors.MalformedAnswer),
    "a line without colon": (sized(b"hello", b"what"), errors.MalformedAnswer),
    "closed before": ((b"",), errors.TruncatedAnswer),
    "closed in the head": ((OK + b"Content-Le",), errors.TruncatedAnswer),
    "closed in the body": ((OK + b"Content-Length: 6\r\n\r\nhello",), errors.TruncatedAnswer),
    "closed in a chunk": ((OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello",), errors.TruncatedAnswer),
    "closed before the last chunk": (
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",),
        errors.TruncatedAnswer,
    ),
    "no chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n", errors.TruncatedAnswer),
    "chunks run together": (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", errors.TruncatedAnswer),
    "only hints": (b"HTTP/1.1 103 Early Hints\r\n\r\n", errors.DeadlineExceeded),
    "half a head": (OK, errors.DeadlineExceeded),
}


def transport_to(base_url, settings, *, timeout_seconds=1.0, **changes):
    return Transport(settings(v2_url=f"{base_url}/v2", timeout_seconds=timeout_seconds, **changes))


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_readable_is_read(settings, name):
    """Every legal way to end a body gives exactly its bytes, time after time, without a retry."""
    answer, body = GOOD[name]
    async with raw_server(lambda n: answer) as server, transport_to(server.base_url, settings) as transport:
        for _ in range(3):
            assert (await transport.get(Api.V2, ("x",))).body == body
            await trio.sleep(0.01)  # let a close arrive
        assert transport.stats.retries == 0
        kept = not isinstance(answer, tuple)
        assert server.connections == ([0, 0, 0] if kept else [0, 1, 2])


@pytest.mark.parametrize("name", BAD)
async def test_what_is_not_is_refused_and_its_connection_dropped(settings, name):
    """Each malformed answer raises its error, and the next request gets its own answer on a new connection."""
    answer, error = BAD[name]
    is_bad = True
    timeout_seconds = 1.0 if error is errors.DeadlineExceeded else 5.0  # four tries end before it, however busy
    async with (
        raw_server(lambda n: answer if is_bad else sized(b"good")) as server,
        transport_to(server.base_url, settings, timeout_seconds=timeout_seconds) as transport,
    ):
        with pytest.raises(error):
            await transport.get(Api.V2, ("x",))
        is_bad, asked = False, len(server.connections)
        assert (await transport.get(Api.V2, ("x",))).body == b"good"
        assert server.connections == list(range(asked + 1))


@pytest.mark.parametrize(
    "answer",
    [
        sized(b"hello") + b"garbage",
        sized(b"hello") + sized(b"a forged answer"),
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + sized(b"a forged answer"),
        b"HTTP/1.1 204 No Content\r\n\r\nhello",
    ],
    ids=["length", "forged", "chunks", "204"],
)
async def test_trailing_bytes_cost_the_connection(settings, answer):
    """Bytes after a body belong to no answer, and the connection is not used again."""
    async with raw_server(lambda n: answer) as server, transport_to(server.base_url, settings) as transport:
        for _ in range(3):
            assert (await transport.get(Api.V2, ("x",))).body in (b"hello", b"")
        assert server.connections == [0, 1, 2]


async def test_bytes_that_come_later_cost_the_connection(settings):
    """Bytes that arrive on an idle connection are noticed before it is used again."""
    async with raw_server(lambda n: sized(b"hello")) as server, transport_to(server.base_url, settings) as transport:
        assert (await transport.get(Api.V2, ("x",))).body == b"hello"
        await trio.sleep(0.01)  # the server's task is done with the stream
        await server.streams[0].send_all(sized(b"a forged answer"))
        await trio.sleep(0.01)
        assert (await transport.get(Api.V2, ("x",))).body == b"hello"
        assert server.connections == [0, 1]


async def test_an_act_is_on_a_connection_of_its_own(settings):
    """A kept connection may be dead, and then it is not known whether the act arrived: acts never use one."""
    async with raw_server(lambda n: sized(b'{"id": 1}')) as server:
        async with transport_to(server.base_url, settings) as transport:
            await transport.get(Api.V2, ("x",))
            for _ in range(2):
                await transport.send("POST", Api.V2, ("x",), content=b"{}")
            await transport.get(Api.V2, ("x",))
        assert server.connections == [0, 1, 2, 0]


async def test_an_early_no_to_an_upload_is_read(settings):
    """Where a server answers 413 and closes before it has read the body, its answer is reported, not a broken pipe."""
    no = (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",)
    async with raw_server(lambda n: no) as server, transport_to(server.base_url, settings) as transport:
        with pytest.raises((errors.UploadTooLarge, errors.ActUncertain)), trio.fail_after(5):
            await transport.send("POST", Api.V2, ("x",), content=bytes(2**24))
        assert len(server.heads) == 1


async def test_a_body_is_counted_although_its_pieces_are_small(settings, drain):
    """Ranges of a large body through buffers of odd sizes give every byte once, in order."""
    content = b"ID3" + bytes(range(251)) * 3000

    def answer(n):
        first, last = (int(text) for text in server.heads[-1].partition(b"bytes=")[2].split(b"\r")[0].split(b"-"))
        head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n"
        return head % (first, last, len(content), last + 1 - first) + content[first : last + 1]

    async with raw_server(answer) as server, transport_to(server.base_url, settings) as transport:
        for start, stop, step in ((0, len(content), 65536), (5, 300_000, 7777), (1, 20_000, 1), (3, 4, 10)):
            assert await drain(transport, SOURCE, ByteRange(start, stop), step=step) == (start, content[start:stop])
        assert set(server.connections) == {0}


async def test_more_chunks_than_the_range_promised_are_refused(settings, drain):
    """A chunked 206 that goes on after its Content-Range is malformed, however its chunks are cut."""
    for chunks in (b"a\r\n0123456789\r\n", b"5\r\n01234\r\n5\r\n56789\r\n"):
        answer = (
            b"HTTP/1.1 206 OK\r\nContent-Range: bytes 3-7/99\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunks
            + b"0\r\n\r\n"
        )
        async with (
            raw_server(lambda n, answer=answer: answer) as server,
            transport_to(server.base_url, settings) as transport,
        ):
            with pytest.raises(errors.MalformedAnswer):
                await drain(transport, SOURCE, ByteRange(3, 8))
