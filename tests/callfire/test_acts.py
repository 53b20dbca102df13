"""Acts (uploads, credentials, phone calls) over real sockets, on both wires.

An act is sent once, and where its result is not known, the error says so.
"""

import hashlib
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from cffs.callfire.multipart import PIECE_NBYTES
from cffs.callfire.transport import Transport
from cffs.callfire.v2 import V2Client
from cffs.callfire.wire.interfaces import Wires
from cffs.callfire.wire.pool import ConnectionPool
from cffs.callfire.wire.sockets import Stream
from cffs.core import errors
from cffs.core.source import Api
from cffs.standin.answers import Options
from cffs.standin.server import Standin
from tests.callfire.conftest import make_settings
from tests.callfire.raw_server import raw_server

SONG = b"ID3" + random.Random(1).randbytes(400_000)
CREATED = b'HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n{"id": 77}'


class Content:
    """A file of `nbytes` in chunks, which counts the chunks that were asked for."""

    def __init__(self, data: bytes = SONG, *, chunk_nbytes: int = 64 * 1024) -> None:
        self.data = data
        self.chunk_nbytes = chunk_nbytes
        self.asked = 0

    def __aiter__(self) -> "Content":
        return self

    async def __anext__(self) -> bytes:
        chunk = self.data[self.asked : self.asked + self.chunk_nbytes]
        if not chunk:
            raise StopAsyncIteration
        self.asked += len(chunk)
        return chunk


async def upload(transport: Transport, content: Content | None = None, **options) -> int:
    content = content or Content()
    return await V2Client(transport).create_media(
        content, nbytes=len(content.data), filename="song.mp3", name="song", **options
    )


def posts(standin: Standin) -> list:
    return [record for record in standin.requests if record.method != "GET"]


@asynccontextmanager
async def transport_to(base_url: str, settings, **options) -> AsyncIterator[Transport]:
    async with Transport(settings(v1_url=base_url, v2_url=base_url, timeout_seconds=2.0), **options) as transport:
        yield transport


async def test_an_upload_arrives_whole_and_tells_its_progress(standin, transport):
    """One POST carries the right bytes and name, and the progress rises to the file's size, a piece at a time."""
    told: list[int] = []
    media_id = await upload(transport, progress=told.append)
    assert standin.account.media.media_object(media_id).read() == SONG
    (record,) = posts(standin)
    assert record.file_sha256 == hashlib.sha256(SONG).hexdigest()
    assert record.form["name"] == "song"
    assert told == sorted(told)
    assert told[-1] == len(SONG)
    assert max(after - before for before, after in zip([0, *told], told, strict=False)) <= PIECE_NBYTES


async def test_a_duplicate_names_what_is_there(standin, transport):
    """The id of the existing media file is read from the service's message."""
    first = await upload(transport)
    with pytest.raises(errors.DuplicateMedia) as caught:
        await upload(transport)
    assert caught.value.media_id == first
    assert len(posts(standin)) == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, errors.ActRefused),
        (401, errors.AccessRefused),
        (403, errors.AccessRefused),
        (404, errors.OperationNotOffered),
        (413, errors.UploadTooLarge),
        (415, errors.ActRefused),
        (429, errors.OriginBusy),
        (307, errors.ServerFailure),
        (500, errors.ActUncertain),
        (502, errors.ActUncertain),
        (503, errors.ActUncertain),
    ],
)
@pytest.mark.parametrize("after_nbytes", [0, None])
async def test_each_refusal_has_its_type(standin, transport, code, error, after_nbytes):
    """A refusal before, within or after the body raises one type of error, after one request, and nothing happened."""
    before = standin.account.media.media_ids()
    standin.faults.add("refuse", kind="createMedia", code=code, after_nbytes=after_nbytes)
    with pytest.raises(error) as caught:
        await upload(transport)
    assert type(caught.value) is error
    assert getattr(caught.value, "status", code) == code
    assert len(posts(standin)) == 1
    assert standin.account.media.media_ids() == before


@pytest.mark.parametrize(
    ("fault", "options", "done"),
    [
        ("status", {"code": 500}, True),
        ("reset_before", {}, True),
        ("garbage", {}, True),
        ("garbage", {"what": "body"}, True),
        ("trunc", {"at": 3}, True),
        ("hang", {}, True),
        ("reset_request", {}, False),
        ("close_request", {}, False),
        ("stall_request", {}, False),
    ],
)
async def test_an_end_that_is_not_known_is_uncertain(standin, settings_for, fault, options, done):
    """Whatever is lost after sending began: one request is made, and the error is ActUncertain."""
    before = len(standin.account.media.media_ids())
    standin.faults.add(fault, kind="createMedia", **options)
    async with Transport(settings_for(standin), upload_idle_seconds=0.4) as transport:
        with pytest.raises(errors.ActUncertain, match="uncertain"), trio.fail_after(10):
            await upload(transport, Content(SONG * 40))
    assert len(posts(standin)) == 1
    assert len(standin.account.media.media_ids()) - before == done


@pytest.mark.parametrize("act", ["create_credential", "delete_credential", "send_verification_code", "verify"])
@pytest.mark.parametrize("fault", ["reset_before", "status", "hang", "garbage"])
async def test_every_act_is_sent_once(standin, settings_for, act, fault):
    """A lost answer to any act makes it uncertain, and there is one request, whatever the service did."""
    standin.faults.add(fault, method="POST")
    standin.faults.add(fault, method="DELETE")
    credential_id = int(standin.account.me.credentials()[0]["id"])
    async with Transport(settings_for(standin, timeout_seconds=0.5)) as transport:
        v2 = V2Client(transport)
        acts = {
            "create_credential": lambda: v2.create_credential("n"),
            "delete_credential": lambda: v2.delete_credential(credential_id),
            "send_verification_code": lambda: v2.send_verification_code("12135551122"),
            "verify": lambda: v2.verify_caller_id("12135551122", "0000"),
        }
        # An odd status is a failure of the service, and what was done before it is not known either.
        with pytest.raises(errors.ActUncertain):
            await acts[act]()
    assert len(posts(standin)) == 1


async def test_what_was_never_sent_is_not_uncertain(settings, standin):
    """A refused connection, missing credentials and an API known to be offline raise their own errors: nothing was
    sent."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    async with transport_to(f"http://127.0.0.1:{port}", settings) as transport:
        for _ in range(2):  # the second time it is known
            content = Content()
            with pytest.raises(errors.OriginUnreachable):
                await upload(transport, content)
            assert content.asked == 0


class Pool(httpx.AsyncBaseTransport):
    """A wire without a free connection at first; the requests that it sends later are in `sent`."""

    def __init__(self) -> None:
        self.refused = 0
        self.sent: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.refused:
            self.refused += 1
            raise httpx.PoolTimeout("x")
        self.sent.append(b"".join([chunk async for chunk in request.stream]))
        return httpx.Response(201, json={"id": 77})


async def test_an_act_is_tried_again_where_no_connection_came_about(autojump_clock):
    """After a connection that failed, a second one carries one whole request, although its body is a stream."""
    pool = Pool()

    def wires(bases, **_options):
        return {
            api: Wires(base_url=url, base=base, origin=pool, acts=pool, bare=pool) for api, (url, base) in bases.items()
        }

    async with Transport(make_settings(), make_wires=wires) as transport:
        assert await upload(transport) == 77
    assert pool.refused == len(pool.sent) == 1
    assert SONG in pool.sent[0]


async def test_an_answer_without_an_id_is_uncertain(settings):
    """After a 201 with an unreadable body the media file exists, but its id is not known."""
    for body in (b"", b"{}", b"<html>", b'{"id": -1}'):
        answer = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        async with raw_server(lambda n, answer=answer: (answer,)) as server:
            async with transport_to(server.base_url, settings) as transport:
                with pytest.raises(errors.ActUncertain):
                    await V2Client(transport).create_credential("n")
            assert len(server.heads) == 1


@pytest.fixture
def minutes(autojump_clock):
    """Virtual time that lets the kernel carry bytes over loopback before it jumps."""
    autojump_clock.autojump_threshold = 0.05
    return autojump_clock


async def test_ten_minutes_of_silence_end_after_half_a_minute(minutes, standin, settings_for):
    """The service takes half of an upload and then nothing for ten minutes: the caller has its error after 30 s."""
    standin.faults.add("stall_request", kind="createMedia", seconds=600)
    async with Transport(settings_for(standin, timeout_seconds=30)) as transport:
        with pytest.raises(errors.ActUncertain):
            await upload(transport, Content(SONG * 40))
        assert 30 <= trio.current_time() < 45
    assert len(posts(standin)) == 1


class Pair:
    """Replaces a Dialler by a pair of sockets, so that no timer of the kernel's TCP runs beside the virtual clock."""

    def __init__(self) -> None:
        self.far: socket.socket | None = None

    async def connect(self, _scheme: str, _host: str, _port: int) -> Stream:
        await trio.lowlevel.checkpoint()
        near, self.far = socket.socketpair()
        for end in (near, self.far):
            end.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        return Stream(near)


async def test_ten_minutes_of_slow_progress_are_no_stall(autojump_clock):
    """A service that takes 16 KiB every 25 s gets the whole upload, although it lasts longer than ten minutes.

    The upload goes on even while only the kernel has bytes left to send. This runs on our own wire, since httpx cannot
    see them.
    """
    pair, received = Pair(), bytearray()
    wire = ConnectionPool(pair, connections=4, scratch=memoryview(bytearray(65536)))

    def wires(bases, **_options):
        return {
            api: Wires(base_url=url, base=base, origin=wire, acts=wire, bare=wire) for api, (url, base) in bases.items()
        }

    async def serve() -> None:
        while pair.far is None:
            await trio.sleep(1)
        with trio.socket.from_stdlib_socket(pair.far) as far:
            while SONG not in bytes(received):
                received.extend(await far.recv(16 * 1024))
                await trio.sleep(25)
            await far.send(CREATED)

    async with Transport(make_settings(), make_wires=wires) as transport, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        assert await upload(transport, Content(SONG)) == 77
    assert trio.current_time() > 600


@pytest.mark.parametrize("fault", ["stall_request", "hang"])
async def test_no_progress_ends_an_upload_on_the_wire(standin, settings_for, fault):
    """Where the service stops receiving, or never answers, the upload ends after the limit, counted from the last
    progress."""
    standin.faults.add(fault, kind="createMedia")
    async with Transport(settings_for(standin, timeout_seconds=60), upload_idle_seconds=0.6) as transport:
        began = time.monotonic()
        with pytest.raises(errors.ActUncertain):
            await upload(transport, Content(SONG * 40))
        assert 0.5 < time.monotonic() - began < 5
    assert len(posts(standin)) == 1


async def test_a_slow_upload_is_no_stalled_one(standin, settings_for):
    """A service that reads a little every 0.2 s for longer than the limit of 0.6 s gets the whole upload."""
    standin.faults.add("slow_request", kind="createMedia", nbytes=2 * 2**20, seconds=0.2)
    async with Transport(settings_for(standin, timeout_seconds=60), upload_idle_seconds=0.6) as transport:
        began = time.monotonic()
        content = Content(SONG * 24)
        media_id = await upload(transport, content)
        assert time.monotonic() - began > 0.6
    assert standin.account.media.media_object(media_id).read() == content.data


async def test_the_service_answers_before_the_end(settings_for):
    """After a 413 that follows the head of 40 MB, the rest of the file is not even read, where our own wire sends
    it."""
    async with Standin(options=Options(max_upload_nbytes=1000)) as standin:
        standin.faults.add("refuse", kind="createMedia", code=413, after_nbytes=0)
        async with Transport(settings_for(standin, wire="own")) as transport:
            content = Content(bytes(40 * 2**20))
            with pytest.raises(errors.UploadTooLarge):
                await upload(transport, content)
            assert content.asked < len(content.data)


async def test_a_failure_of_the_file_is_the_callers_own(standin, transport):
    """A CffsError raised by the content reaches the caller as it is, and the service has no half of a file."""

    class Broken(Content):
        async def __anext__(self) -> bytes:
            if self.asked:
                raise errors.StaleHandle("the spool is gone")
            return await super().__anext__()

    before = standin.account.media.media_ids()
    with pytest.raises(errors.StaleHandle):
        await upload(transport, Broken())
    assert standin.account.media.media_ids() == before
    assert transport.health()[Api.V2].state == "online"


async def test_a_cancelled_upload_leaves_nothing_open(standin, transport):
    """A cancel in the middle of the body closes the connection, and the service has no half of a file."""
    before = standin.account.media.media_ids()
    rule = standin.faults.add("stall_request", kind="createMedia")
    with trio.move_on_after(0.3) as scope:
        await upload(transport, Content(SONG * 40))
    assert scope.cancelled_caught
    standin.faults.remove(rule)
    assert standin.account.media.media_ids() == before
    assert await upload(transport)
