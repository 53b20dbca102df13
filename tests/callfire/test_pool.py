"""The own wire in isolation, over socket pairs and in virtual time."""

import socket
from contextlib import suppress

import h11
import httpx
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cffs.callfire.keyring import Keyring
from cffs.callfire.request import Request
from cffs.callfire.transport import Transport
from cffs.callfire.url_policy import origin_of
from cffs.callfire.wire.exchange import AttemptFailed, Exchange
from cffs.callfire.wire.http1 import MAX_HEAD_NBYTES, Body, Head
from cffs.callfire.wire.interfaces import Wires
from cffs.callfire.wire.pool import ConnectionPool
from cffs.callfire.wire.sockets import Stream
from cffs.core.errors import CffsError, DeadlineExceeded
from cffs.core.settings import Credentials
from cffs.core.source import Api, v2_recording

URL = "http://v2.example.com/v2/x"
TIMEOUT = {"connect": 5.0, "pool": 1.0, "head": 7.0, "read": 3.0, "write": 3.0}
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh\0llo"


class Peers:
    """Replaces a Dialler: each connection is one end of a pair with `answer` in it already; `others` are the far
    ends."""

    def __init__(self, answer: bytes = HELLO, *, closes: bool = False, seconds: float = 0.0) -> None:
        self.answer, self.closes, self.seconds = answer, closes, seconds
        self.others: list[socket.socket] = []

    async def connect(self, scheme: str, host: str, port: int) -> Stream:
        await trio.sleep(self.seconds)
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self.others.append(theirs)
        self.say(-1)
        if self.closes:
            theirs.shutdown(socket.SHUT_WR)
        return Stream(ours)

    def say(self, index: int, answer: bytes | None = None) -> None:
        said = self.answer if answer is None else answer
        assert self.others[index].send(said) == len(said) if said else True

    def is_closed(self, index: int) -> bool:
        """True where our end was closed, whatever it had sent before."""
        try:
            while self.others[index].recv(65536):
                pass
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        for end in self.others:
            end.close()


@pytest.fixture
def peers():
    """Peers, closed at the end."""
    made = Peers()
    yield made
    made.close()


def wire_to(peers: Peers, *, connections: int = 4, reuse: bool = True) -> ConnectionPool:
    return ConnectionPool(peers, connections=connections, scratch=memoryview(bytearray(65536)), reuse=reuse)


def request(url: str = URL) -> httpx.Request:
    return httpx.Request("GET", url, extensions={"timeout": TIMEOUT})


async def ask(wire: ConnectionPool) -> bytes:
    response = await wire.handle_async_request(request())
    try:
        return b"".join([piece async for piece in response.stream])
    finally:
        await response.stream.aclose()


async def test_a_connection_is_used_again_and_not_too_late(peers, mock_clock):
    """Within fifteen seconds a connection is reused; one kept for longer is closed, and a new one is made."""
    wire = wire_to(peers)
    assert await ask(wire) == b"h\0llo"
    peers.say(0)
    # Unrequested bytes would look like garbage, so a second answer is given only when it was asked for.
    assert await ask(wire) == b"h\0llo"
    assert len(peers.others) == 2
    assert peers.is_closed(0)
    mock_clock.jump(16)
    assert await ask(wire) == b"h\0llo"
    assert len(peers.others) == 3
    assert peers.is_closed(1)
    await wire.aclose()
    assert peers.is_closed(2)


async def test_a_silent_idle_connection_is_reused(peers):
    """An idle connection on which nothing came carries the next request."""
    wire = wire_to(peers)
    async with trio.open_nursery() as nursery:
        assert await ask(wire) == b"h\0llo"

        async def answer_later():
            while b"GET" not in peers.others[0].recv(65536, socket.MSG_PEEK).removeprefix(first):
                await trio.sleep(0.001)
            peers.say(0)

        first = peers.others[0].recv(65536, socket.MSG_PEEK)
        nursery.start_soon(answer_later)
        assert await ask(wire) == b"h\0llo"
    assert len(peers.others) == 1
    await wire.aclose()


async def test_the_pool_is_bounded(peers, autojump_clock):
    """With both places taken, a third request waits for at most the pool's time; a freed place goes to the one that
    waits."""
    peers.answer = b""
    wire = wire_to(peers, connections=2)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(wire.handle_async_request, request())
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        with pytest.raises(httpx.PoolTimeout):
            await ask(wire)
        assert trio.current_time() - began == pytest.approx(1)
        assert len(peers.others) == 2
        peers.answer = HELLO
        with trio.move_on_after(0.5):
            nursery.cancel_scope.cancel()
            await trio.sleep_forever()
    assert await ask(wire) == b"h\0llo"
    assert [peers.is_closed(0), peers.is_closed(1)] == [True, True]
    await wire.aclose()


async def test_a_request_is_held_back_on_its_connection(autojump_clock):
    """Where it must wait to leave, it does so on a connection that stands, with nothing written; it leaves at once
    then."""
    peers = Peers(b"", seconds=2.0)
    wire, asked = wire_to(peers), request()

    async def may_leave() -> None:
        assert trio.current_time() - began == pytest.approx(2.0)
        await trio.sleep(3)
        with pytest.raises(BlockingIOError):
            peers.others[0].recv(1)
        nursery.start_soon(answer_later)

    async def answer_later() -> None:
        await trio.sleep(1)
        assert peers.others[0].recv(3) == b"GET"
        peers.say(0, HELLO)

    asked.extensions["may_leave"] = may_leave
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        response = await wire.handle_async_request(asked)
    assert trio.current_time() - began == pytest.approx(6.0, abs=0.01)
    assert response.status_code == 200
    await response.stream.aclose()
    await wire.aclose()
    peers.close()


async def test_a_connection_that_closed_while_it_waited_is_replaced(peers):
    """An act that would be written on a dead connection would be one of which it is not known whether it happened."""
    peers.answer = b""
    wire, asked = wire_to(peers, reuse=False), request()

    async def may_leave() -> None:
        await trio.lowlevel.checkpoint()
        peers.others[0].shutdown(socket.SHUT_WR)
        peers.answer = HELLO

    asked.extensions["may_leave"] = may_leave
    response = await wire.handle_async_request(asked)
    assert response.status_code == 200
    assert len(peers.others) == 2
    assert peers.is_closed(0)
    await response.stream.aclose()
    await wire.aclose()


async def test_what_may_not_leave_gives_its_connection_up(peers):
    """An error of the wait, or a cancellation, closes the connection and frees its place."""
    peers.answer = b""
    wire, asked = wire_to(peers, connections=1), request()

    async def may_leave() -> None:
        raise KeyError("not now")

    asked.extensions["may_leave"] = may_leave
    for _ in range(3):
        with pytest.raises(KeyError):
            await wire.handle_async_request(asked)
    assert all(peers.is_closed(index) for index in range(3))
    await wire.aclose()


async def test_idle_ones_make_room(peers):
    """Idle and busy connections together never exceed the pool's size: the oldest idle ones are closed."""
    wire = wire_to(peers, connections=3)
    bodies = []
    for n in range(3):
        bodies.append(await wire.handle_async_request(request(f"http://h{n}.example.com/")))
    for response in bodies:
        assert [piece async for piece in response.stream] == [b"h\0llo"]
    assert await ask(wire) == b"h\0llo"
    assert peers.is_closed(0)
    assert len(wire._idle) == 3
    await wire.aclose()
    assert all(map(peers.is_closed, range(4)))


@pytest.mark.parametrize("where", ["dialling", "head", "body"])
async def test_cancelled_anywhere_leaves_the_pool_clean(peers, where, autojump_clock):
    """After a cancel while dialling, in the head or in the body, the place is free and the connection closed."""
    peers.seconds = 9.0 if where == "dialling" else 0.0
    peers.answer = {"dialling": HELLO, "head": HELLO[:20], "body": HELLO[:-1]}[where]
    wire = wire_to(peers, connections=1)
    for _ in range(3):
        with trio.move_on_after(0.5) as scope:
            await ask(wire)
        assert scope.cancelled_caught
        assert wire._busy.value == 1
    assert all(map(peers.is_closed, range(len(peers.others))))
    peers.answer, peers.seconds = HELLO, 0.0
    assert await ask(wire) == b"h\0llo"
    await wire.aclose()


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [(b"", 7), (HELLO[:20], 7), (HELLO[:-5], 7), (HELLO[:-1], 3)],
    ids=["nothing", "half a head", "no body", "half a body"],
)
async def test_silence_ends_in_time(peers, answer, seconds, autojump_clock):
    """A request ends after seven seconds without a head or a first byte of the body, and after three within the
    body."""
    peers.answer = answer
    wire = wire_to(peers)
    began = trio.current_time()
    with pytest.raises(httpx.ReadTimeout):
        await ask(wire)
    assert trio.current_time() - began == pytest.approx(seconds)
    assert peers.is_closed(0)


@pytest.mark.parametrize("said_early", [0, 20, len(HELLO) - 5])
@pytest.mark.parametrize(("late_seconds", "is_in_time"), [(12.0, True), (29.0, True), (31.0, False)])
async def test_a_late_first_byte_is_waited_for(peers, said_early, late_seconds, is_in_time, settings, autojump_clock):
    """An answer that the service has to make first is waited for within half of the timeout, in one request.

    This holds where the wait is in vain too, and where all or a part of the head comes at once.
    """
    peers.answer = HELLO[:said_early]

    def wires(bases, *, ca_bundle, connections):
        wire = wire_to(peers)
        made = {"origin": wire, "acts": wire, "bare": wire}
        return {api: Wires(base_url=url, base=base, **made) for api, (url, base) in bases.items()}

    async def answer_later():
        await trio.sleep(late_seconds)
        peers.say(0, HELLO[said_early:])

    async with (
        Transport(settings(timeout_seconds=60.0), make_wires=wires) as transport,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_later)
        buffer = memoryview(bytearray(10))
        try:
            async with transport.open_range(v2_recording(1), None) as answer:
                assert is_in_time
                assert buffer[: await answer.receive_into(buffer)] == b"h\0llo"
        except DeadlineExceeded:
            assert not is_in_time
        nursery.cancel_scope.cancel()
        assert transport.stats.requests[Api.V2] == 1


async def test_a_head_that_drips_is_no_head(peers, autojump_clock):
    """A byte a second keeps no request alive: the whole head has the time of one wait."""
    peers.answer = b"HTTP/1.1 200 OK\r\n"
    wire = wire_to(peers)
    async with trio.open_nursery() as nursery:

        async def drip():
            while True:
                await trio.sleep(1)
                peers.say(0, b"X")

        began = trio.current_time()
        nursery.start_soon(drip)
        with pytest.raises(httpx.ReadTimeout):
            await ask(wire)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began == pytest.approx(7)


@pytest.mark.parametrize(
    ("length", "here", "is_kept"),
    [(5, 5, True), (100_000, 100_000, True), (100_000, 99_999, False), (1_000_000, 100_000, False), (None, 9, False)],
)
async def test_leaving_early_keeps_the_connection_only_where_little_is_left_and_here(peers, length, here, is_kept):
    """With less than 256 KiB left, all of it arrived, the connection is read and kept; otherwise it is closed without
    waiting."""
    told = b"" if length is None else b"Content-Length: %d\r\n" % length
    peers.answer = b"HTTP/1.1 200 OK\r\n" + told + b"\r\n" + bytes(here)
    wire = wire_to(peers)
    response = await wire.handle_async_request(request())
    assert await response.stream.receive_into(memoryview(bytearray(1))) == 1
    await response.stream.aclose()
    assert len(wire._idle) == is_kept
    assert peers.is_closed(0) is not is_kept
    assert wire._busy.value == 4
    await wire.aclose()


async def test_a_head_request_has_no_body(peers):
    """Whatever length its head gives, no byte is waited for, and the connection is kept."""
    peers.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    wire = wire_to(peers)
    response = await wire.handle_async_request(httpx.Request("HEAD", URL))
    assert [piece async for piece in response.stream] == []
    assert len(wire._idle) == 1
    await wire.aclose()


async def test_a_closed_pool_keeps_nothing(peers):
    """A connection that comes back after the end is closed."""
    wire = wire_to(peers)
    response = await wire.handle_async_request(request())
    await wire.aclose()
    assert [piece async for piece in response.stream] == [b"h\0llo"]
    assert peers.is_closed(0)


async def test_bytes_go_straight_into_the_buffer(peers):
    """After the bytes that came with the head, one receive fills the caller's buffer with all that the kernel has."""
    body = bytes(range(256)) * 600
    peers.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    wire = wire_to(peers)
    response = await wire.handle_async_request(request())
    buffer, sizes, filled = memoryview(bytearray(len(body))), [], 0
    while nbytes := await response.stream.receive_into(buffer[filled:]):
        sizes.append(nbytes)
        filled += nbytes
    assert bytes(buffer) == body
    assert len(sizes) == 2
    await wire.aclose()


#: Real answers, to be changed by the fuzzer.
ANSWERS = [
    HELLO,
    b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nETag: "a"\r\nContent-Length: 5\r\n\r\nhello',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 302 Found\r\nLocation: https://v2.example.com/v2/y\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b"\0", b"\xff", b"0", b"-1", b"99999999999999999999", b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Content-Range: bytes 0-2/3\r\n", b"HTTP/1.1 103 Early\r\n\r\n", b"x" * 3000,
]  # fmt: skip


@st.composite
def bent_answers(draw: st.DrawFn) -> bytes:
    """An answer with parts cut out, doubled or replaced; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    answer = draw(st.sampled_from(ANSWERS))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(answer)))
        stop = draw(st.integers(start, min(len(answer), start + 30)))
        answer = answer[:start] + draw(st.sampled_from([*PIECES, answer[start:stop] * 2, b""])) + answer[stop:]
    return answer


def exchange_with(wire: ConnectionPool) -> Exchange:
    base = "https://v2.example.com/v2"
    wires = Wires(base_url=base, base=origin_of(base), origin=wire, acts=wire, bare=wire)
    keyring = Keyring(Credentials(login="l", password="p"), {Api.V2: origin_of(base)})
    return Exchange({Api.V2: wires}, keyring)


async def receive_all(peers: Peers, step: int) -> None:
    """Ask through the exchange and read the body; check the errors, the length, the places and the closed ends."""
    wire = wire_to(peers)
    asked = Request(
        method="GET", api=Api.V2, path="x", query=(), headers={},
        connect_seconds=1.0, head_seconds=1.0, idle_seconds=1.0
    )  # fmt: skip
    with trio.fail_after(60), suppress(AttemptFailed):
        opened = await exchange_with(wire).open(asked)
        received, buffer = 0, memoryview(bytearray(step))
        with suppress(CffsError):
            while nbytes := await opened.receive_into(buffer):
                assert 0 < nbytes <= step
                received += nbytes
            length = opened.headers.get("content-length")
            assert length is None or received == int(length) or opened.status in (204, 304)
        await opened.aclose()
    assert wire._busy.value == 4
    await wire.aclose()
    assert all(map(peers.is_closed, range(len(peers.others))))


def in_virtual_time(peers: Peers, step: int) -> None:
    try:
        trio.run(receive_all, peers, step, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        peers.close()


@given(answer=bent_answers(), closes=st.booleans(), step=st.sampled_from([1, 7, 65536]))
@hypothesis_settings(max_examples=300, deadline=None)
def test_any_bytes_end_in_an_answer_or_in_our_error(answer, closes, step):
    """Any bytes end without a hang, with our exceptions only, within the length, and with every place free."""
    in_virtual_time(Peers(answer, closes=closes), step)


@given(lines=st.lists(st.binary(max_size=40), max_size=20), status=st.integers(0, 999))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_header_lines_end_in_an_answer_or_in_our_error(lines, status):
    """A right status line with any lines after it ends as well as any bytes do."""
    head = b"HTTP/1.1 %03d X\r\n" % status + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    in_virtual_time(Peers(head, closes=True), 65536)


async def test_a_head_without_end_is_refused_early(peers):
    """Not much more is read of an endless head than is allowed."""
    peers.answer = b"HTTP/1.1 200 OK\r\nX: " + b"y" * (MAX_HEAD_NBYTES + 50_000)
    wire = wire_to(peers)
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(wire)
    assert peers.is_closed(0)


async def test_single_bytes_do_not_hold_the_loop(peers):
    """During ten thousand chunks of one byte another task runs again and again."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000)
    head = Head(parser, parser.next_event(), method="GET", is_sent=True)
    stream = await peers.connect("http", "x", 80)
    body = Body(stream, head, request(), memoryview(bytearray(10)), lambda _kept: stream.close())
    turns, buffer = [], memoryview(bytearray(100))
    async with trio.open_nursery() as nursery:

        async def count():
            while True:
                turns.append(True)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(count)
        for _ in range(10_000):
            assert await body.receive_into(buffer) == 1
        nursery.cancel_scope.cancel()
    assert len(turns) > 1000
    await body.aclose()
