"""Every fault of the stand-in over real HTTP: right bytes or the right exception."""

import time

import pytest
import trio

from cffs.callfire.response_checks import Pinned
from cffs.callfire.transport import Transport
from cffs.callfire.v2 import V2Client
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.source import Api, Source
from cffs.standin import faults as standin_faults
from cffs.standin.answers import Options
from cffs.standin.server import Standin
from tests.exhaustion import no_descriptors

#: `shift` sends other bytes under a right head, `total_wrong` another total, and `short_by_one` another length to a
#: whole GET: one answer alone does not show these. A pinned version shows the last two; the reader's tests hold the
#: first.
UNSEEN = {"shift", "total_wrong", "short_by_one"}
#: Faults with another object, or with a body that the test must give.
OTHERS = {"rows", "body", "codec", "other_machine"}
MAX_ATTEMPTS = 4
MAX_HOPS = 6


def first_object(standin: Standin) -> tuple[Source, bytes]:
    path = next(path for path in standin.account.paths() if path.startswith("/v2/calls/recordings/"))
    found = standin.account.object_for(path)
    return Source(Api.V2, tuple(path.removeprefix("/v2/").split("/"))), found.read()


@pytest.mark.parametrize("asked", [None, ByteRange(1000, 5000), ByteRange(0, 200_000)], ids=["whole", "inner", "start"])
@pytest.mark.parametrize("fault", [name for name in standin_faults.NAMES if name not in UNSEEN | OTHERS])
async def test_a_standing_fault_gives_right_bytes_or_an_error(standin, settings_for, drain, fault, asked):
    """A reader never gets a wrong byte, after at most four attempts, and within the total time and one idle time."""
    source, content = first_object(standin)
    if fault == "cr_wrong" and asked == ByteRange(0, 200_000):
        asked = ByteRange(
            0, len(content) - 5000
        )  # the bytes of a whole body are rotated under a right head, which no client can see
    standin.faults.add(fault)
    began = time.monotonic()
    async with Transport(settings_for(standin, timeout_seconds=0.8)) as transport:
        try:
            with_total = None if asked is None else asked.clamped(len(content))
            # A drip ends with its caller's time only; the others end with ours, however busy the machine is.
            with trio.move_on_after(0.9 if fault == "drip" else 4.0) as scope:
                start, received = await drain(transport, source, asked)
                now = standin.account.object_for("/v2/" + source.path).read()
                stop = start + len(received)
                assert received in (content[start:stop], now[start:stop])
                if asked is None or start == 0 < asked.start:
                    assert stop == len(content)
                else:
                    assert (start, stop) == (with_total.start, with_total.stop)
            assert fault == "drip" or not scope.cancelled_caught
        except (errors.OriginFault, errors.DeadlineExceeded, errors.OriginUnreachable, errors.RemoteObjectMissing):
            pass
    assert len(standin.requests) <= (MAX_HOPS if fault == "redirect" else MAX_ATTEMPTS)
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("fault", "options", "error"),
    [
        ("trunc", {}, errors.TruncatedAnswer),
        ("trunc_nolen", {}, errors.TruncatedAnswer),
        ("trunc_chunk", {}, errors.TruncatedAnswer),
        ("reset", {}, errors.TruncatedAnswer),
        ("stall", {}, errors.DeadlineExceeded),
        ("hang", {}, errors.DeadlineExceeded),
        ("stall_head", {}, errors.DeadlineExceeded),
        ("reset_before", {}, errors.TruncatedAnswer),
        ("cr_wrong", {}, errors.MalformedAnswer),
        ("cr_missing", {}, errors.MalformedAnswer),
        ("long206", {}, errors.MalformedAnswer),
        ("html200", {}, errors.MalformedAnswer),
        ("gzip", {}, errors.MalformedAnswer),
        ("bomb", {}, errors.MalformedAnswer),
        ("garbage", {}, errors.MalformedAnswer),
        ("bighead", {}, errors.MalformedAnswer),
        ("redirect", {}, errors.ServerFailure),
        ("416", {}, errors.RangeNotSatisfiable),
        ("absent", {}, errors.RemoteObjectMissing),
        ("status", {"code": 500}, errors.ServerFailure),
        ("status", {"code": 503}, errors.ServerFailure),
        ("status", {"code": 401}, errors.AccessRefused),
        ("status", {"code": 403, "body": "html"}, errors.AccessRefused),
        ("status", {"code": 410}, errors.RemoteObjectMissing),
        ("status", {"code": 405}, errors.ObjectRefused),
        ("status", {"code": 429, "retry_after": 9}, errors.OriginBusy),
        ("status", {"code": 503, "retry_after": 9}, errors.OriginBusy),
    ],
)
async def test_each_fault_has_its_error(standin, settings_for, drain, fault, options, error):
    """The type of the exception says what went wrong, so that the errno can."""
    source, _content = first_object(standin)
    standin.faults.add(fault, **options)
    timeout_seconds = 0.6 if error is errors.DeadlineExceeded else 3.0  # four tries end before it, however busy
    async with Transport(settings_for(standin, timeout_seconds=timeout_seconds)) as transport:
        with pytest.raises(error):
            await drain(transport, source, ByteRange(1000, 5000))
        assert sum(transport.stats.errors.values()) > 0 or error in (
            errors.RemoteObjectMissing,
            errors.RangeNotSatisfiable,
        )


@pytest.mark.parametrize("fault", ["reset_before", "html200", "cr_wrong", "cr_missing", "garbage", "gzip", "long206"])
async def test_a_passing_fault_is_ridden_out(standin, transport, drain, fault):
    """One bad answer costs one retry and no error."""
    source, content = first_object(standin)
    standin.faults.add(fault, times=1)
    assert await drain(transport, source, ByteRange(1000, 5000)) == (1000, content[1000:5000])
    assert transport.stats.retries == 1
    assert len(standin.requests) == 2


async def test_a_burst_of_503_is_ridden_out_within_four_tries(standin, transport, drain):
    """Three failures before an answer are hidden from the reader."""
    source, content = first_object(standin)
    standin.faults.add("status", code=503, times=3)
    assert await drain(transport, source, ByteRange(0, 100)) == (0, content[:100])
    assert len(standin.requests) == 4


@pytest.mark.parametrize("status", [401, 403, 404, 410, 400, 405])
async def test_a_plain_no_is_never_asked_again(standin, transport, drain, status):
    """A refusal or an absence costs one request."""
    source, _content = first_object(standin)
    standin.faults.add("status", code=status)
    with pytest.raises(errors.CffsError):
        await drain(transport, source, None)
    assert len(standin.requests) == 1


async def test_a_replaced_object_is_seen(standin, transport, drain):
    """A pinned validator or total that differs raises RemoteObjectChanged; versions are never mixed."""
    source, content = first_object(standin)
    async with transport.open_range(source, ByteRange(0, 10)) as answer:
        pinned = Pinned(validator=answer.validator, total=answer.total)
    assert await drain(transport, source, ByteRange(10, 20), pinned=pinned) == (10, content[10:20])
    standin.account.replace_object("/v2/" + source.path)
    with pytest.raises(errors.RemoteObjectChanged):
        await drain(transport, source, ByteRange(20, 30), pinned=pinned)
    for fault in ("total_wrong",):
        standin.faults.add(fault)
        with pytest.raises(errors.RemoteObjectChanged):
            await drain(transport, source, ByteRange(0, 10), pinned=Pinned(total=len(content)))


async def test_objects_without_length_ranges_or_validators_are_read(settings_for, drain):
    """A chunked object without ranges and validators is read right, and the plan says what is not known."""
    options = Options(send_length=False, send_etag=False, send_last_modified=False, honour_ranges=False)
    async with Standin(options=options) as standin, Transport(settings_for(standin)) as transport:
        source, content = first_object(standin)
        assert await drain(transport, source, ByteRange(1000, 2000)) == (0, content)
        async with transport.open_range(source, None) as answer:
            assert (answer.start, answer.stop, answer.total, answer.validator) == (0, None, None, None)


async def test_small_buffers_and_early_closing_lose_nothing(standin, transport, drain):
    """Any buffer size gives the same bytes, and a body left early leaves the pool usable, over and over."""
    source, content = first_object(standin)
    assert await drain(transport, source, ByteRange(5, 5000), step=7) == (5, content[5:5000])
    for _ in range(30):
        async with transport.open_range(source, None) as answer:
            assert await answer.receive_into(memoryview(bytearray(10))) == 10
    assert await drain(transport, source, None) == (0, content)


async def test_connections_are_kept_where_bodies_end(standin, transport, drain):
    """Ten ranges need one connection."""
    source, _content = first_object(standin)
    for n in range(10):
        await drain(transport, source, ByteRange(n, n + 50_000))
    assert len({record.connection for record in standin.requests}) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_descriptor_left_is_no_dead_network(settings_for, standin, drain, host):
    """Where this process may open neither a socket nor a file to resolve a name by, the request fails as a local
    shortage.

    The API stays online, and the next request is sent.
    """
    source, content = first_object(standin)
    base = standin.base_url.replace("127.0.0.1", host)
    async with Transport(settings_for(standin, v1_url=f"{base}/cloud/1", v2_url=f"{base}/v2")) as transport:
        with no_descriptors(), pytest.raises(errors.LocalShortage):
            await drain(transport, source)
        assert transport.health()[Api.V2].state == "online"
        assert (await drain(transport, source))[1] == content


async def test_a_network_that_returns_is_used_again(settings_for, drain):
    """Refused connections make the API offline at once, with errors within a second, and the next probe brings it
    back."""
    async with Standin() as standin:
        settings = settings_for(standin)
        port = int(standin.base_url.rpartition(":")[2])
    async with Transport(settings) as transport:
        v2 = V2Client(transport)
        with pytest.raises(errors.OriginUnreachable):
            await v2.get_account()
        assert transport.health()[Api.V2].state == "offline"
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(errors.OriginUnreachable):
                await v2.get_account()
        assert time.monotonic() - began < 1
        async with Standin(port=port):
            with trio.fail_after(5):
                while True:
                    try:
                        await v2.get_account()
                        break
                    except errors.OriginUnreachable:
                        await trio.sleep(0.2)
        assert transport.health()[Api.V2].state == "online"
        assert transport.health()[Api.V1].state == "online"


async def test_cancelled_bodies_leave_the_pool_clean(standin, settings_for, drain):
    """After readers that gave up in the head, in the body and between them, the next one gets its bytes, on few
    connections."""
    source, content = first_object(standin)
    async with Transport(settings_for(standin, timeout_seconds=5.0)) as transport:
        for fault in ("stall", "stall_head", "drip"):
            rule = standin.faults.add(fault)
            async with trio.open_nursery() as nursery:
                for n in range(8):

                    async def give_up(seconds):
                        with trio.move_on_after(seconds):
                            await drain(transport, source, None)

                    nursery.start_soon(give_up, 0.02 * n)
            standin.faults.remove(rule)
            assert await drain(transport, source, ByteRange(3, 9000)) == (3, content[3:9000])
        assert transport.health()[Api.V2].state == "online"


async def test_a_name_that_does_not_resolve_is_offline(settings):
    """After a DNS failure the API is offline, and further requests fail at once."""
    async with Transport(settings(v2_url="https://cffs-test.invalid/v2")) as transport:
        for _ in range(3):
            with pytest.raises(errors.OriginUnreachable), trio.fail_after(8):
                await V2Client(transport).get_account()
        assert transport.health()[Api.V2].state == "offline"
        assert transport.stats.requests[Api.V2] == 1


async def test_hung_objects_do_not_stop_a_healthy_one(standin, settings_for, drain):
    """With every slot taken by hanging bodies and questions, another file and another question wait about a second."""
    source, content = first_object(standin)
    standin.faults.add("hang", path="media")
    settings = settings_for(standin, timeout_seconds=6.0, connections=2)
    async with Transport(settings) as transport, trio.open_nursery() as nursery:

        async def hang(media_id):
            await transport.get(Api.V2, ("media", str(media_id)))

        async def hang_body(media_id):
            await drain(transport, Source(Api.V2, ("media", str(media_id), "file")))

        for media_id in range(1, 5):
            nursery.start_soon(hang, media_id)
            nursery.start_soon(hang_body, media_id)
        await trio.sleep(0.1)
        began = trio.current_time()
        assert await drain(transport, source, ByteRange(0, 100)) == (0, content[:100])
        assert await V2Client(transport).get_account()
        assert trio.current_time() - began < 3.5
        nursery.cancel_scope.cancel()
