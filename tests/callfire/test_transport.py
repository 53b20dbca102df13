"""The policy of the transport, over mock wires in virtual time."""

import logging
import traceback

import httpx
import pytest
import trio

from cffs.callfire.v2 import V2Client
from cffs.core import errors
from cffs.core.byte_range import ByteRange
from cffs.core.settings import Credentials
from cffs.core.source import Api, Source

SOURCE = Source(Api.V2, ("calls", "recordings", "5.mp3"))
V1_SOURCE = Source(Api.V1, ("files", "recording", "5"))
OK = {"content-type": "application/json"}


def json(document: str, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={**OK, **headers}, content=document.encode())


async def test_a_hold_pauses_the_api_and_one_request_probes(mocked, autojump_clock):
    """After a 429 with Retry-After 7 nothing is sent for 7 s, then one request, then the rest; the other API goes
    on."""
    sent: list[float] = []

    async def handler(request):
        sent.append(trio.current_time())
        await trio.sleep(0.5)
        return json("{}", 429, **{"retry-after": "7"}) if len(sent) == 1 else json('{"id": 1}')

    async with mocked(handler) as transport:
        began = trio.current_time()
        v2 = V2Client(transport)
        await v2.get_account()
        assert sent[1] - began == pytest.approx(7.5)
        assert transport.health()[Api.V2].state == "online"
        sent.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(v2.get_account)
            await trio.sleep(0.6)  # held from 0.5 on
            for _ in range(5):
                nursery.start_soon(v2.get_account)
        assert len(sent) == 7
        assert sent[1] >= sent[0] + 7.5  # nothing during the hold
        assert sent[2] >= sent[1] + 0.5  # and nothing but the probe


async def test_a_hold_longer_than_the_deadline_fails_at_once(mocked, autojump_clock):
    """The caller learns it now, not at its deadline. Retry-After is clamped to a minute, and other APIs are not
    held."""

    def handler(request):
        return json("{}", 429, **{"retry-after": "99999"}) if "v2" in request.url.host else json("<", 404)

    async with mocked(handler) as transport:
        began = trio.current_time()
        for _ in range(3):
            with pytest.raises(errors.OriginBusy) as caught:
                await V2Client(transport).get_account()
            assert caught.value.hold_seconds <= 60
        assert trio.current_time() == began
        assert transport.stats.requests[Api.V2] == 1
        with pytest.raises(errors.RemoteObjectMissing):
            await transport.get(Api.V1, ("x",))


@pytest.mark.parametrize(("named_seconds", "is_waited_for"), [(14, True), (16, False), (29, False)])
async def test_a_hold_longer_than_a_readers_half_fails_at_once(mocked, autojump_clock, named_seconds, is_waited_for):
    """A handler has half of the 30 s: a pause that ends later is reported as busy, a shorter one is waited for."""
    sent = []

    def handler(request):
        sent.append(trio.current_time())
        return json("{}", 429, **{"retry-after": str(named_seconds)}) if len(sent) == 1 else json('{"id": 1}')

    async with mocked(handler) as transport:
        began = trio.current_time()
        for _ in range(2):
            if is_waited_for:
                await V2Client(transport).get_account()
            else:
                with pytest.raises(errors.OriginBusy):
                    await V2Client(transport).get_account()
        assert (sent[1] - began == pytest.approx(named_seconds)) if is_waited_for else (trio.current_time() == began)


async def test_bad_credentials_are_asked_about_once_a_minute(mocked, autojump_clock):
    """After the account's own endpoint is refused there is one request a minute, whatever is asked."""
    sent = []

    def handler(request):
        sent.append(trio.current_time())
        return json("{}", 401)

    async with mocked(handler) as transport:
        v2 = V2Client(transport)
        for _ in range(600):
            with pytest.raises(errors.AccessRefused):
                await v2.get_account()
            await trio.sleep(1)
        assert len(sent) == 10
        transport.use_credentials(Credentials(login="l", password="p"))
        with pytest.raises(errors.AccessRefused):
            await v2.get_call(5)
        assert len(sent) == 11


async def test_an_answer_that_never_comes_is_a_deadline(mocked, autojump_clock):
    """The total time holds although bytes drip in for ever, and the connection is closed."""
    closed = []

    async def drip():
        try:
            while True:
                yield b" "
                await trio.sleep(1)
        finally:
            closed.append(True)

    async with mocked(lambda request: httpx.Response(200, content=drip()), timeout_seconds=9.0) as transport:
        began = trio.current_time()
        with pytest.raises(errors.DeadlineExceeded):
            await V2Client(transport).get_account()
        assert trio.current_time() - began == pytest.approx(9)
        assert closed


async def test_metadata_is_bounded(mocked):
    """A body without end is cut at the bound, and not asked for a third time."""

    class Endless(httpx.AsyncByteStream):
        def __aiter__(self):
            return self

        async def __anext__(self):
            await trio.lowlevel.checkpoint()
            return bytes(2**20)

    async with mocked(lambda request: httpx.Response(200, stream=Endless())) as transport:
        with pytest.raises(errors.MalformedAnswer):
            await transport.get(Api.V2, ("x",), max_nbytes=10**6)
        assert transport.stats.requests[Api.V2] == 2
        assert transport.stats.bytes_fetched < 10 * 2**20


@pytest.mark.parametrize("error", [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.WriteError])
async def test_an_act_is_sent_once(mocked, error, autojump_clock):
    """Whatever is lost after the connection was made, DELETE and POST are not repeated, nor after 5xx and 429."""
    sent = []

    def handler(request):
        sent.append((request.method, request.extensions["wire"]))
        raise error("x")

    async with mocked(handler) as transport:
        with pytest.raises(errors.CffsError):
            await V2Client(transport).delete_credential(5)
    assert sent == [("DELETE", "acts")]
    for status in (500, 503, 429, 307):
        async with mocked(
            lambda request, status=status: sent.append(1) or json("{}", status, location="https://v2.example.com/z")
        ) as transport:
            sent.clear()
            with pytest.raises(errors.CffsError):
                await V2Client(transport).create_credential("n")
            assert len(sent) == 1


async def test_an_upload_is_streamed_whole(mocked):
    """The multipart body has both fields and an exact length, the id is returned, and names cannot break out of their
    quotes."""
    seen = {}

    async def handler(request):
        seen["body"] = b"".join([chunk async for chunk in request.stream])
        seen["length"] = int(request.headers["content-length"])
        seen["type"] = request.headers["content-type"]
        return json('{"id": 77}', 201)

    async def content():
        yield b"abc"
        yield b"def"

    async with mocked(handler) as transport:
        media_id = await V2Client(transport).create_media(content(), nbytes=6, filename='a"\r\nb.mp3', name="song")
    assert media_id == 77
    assert seen["length"] == len(seen["body"])
    boundary = seen["type"].partition("boundary=")[2].encode()
    assert seen["body"].count(b"--" + boundary) == 3
    assert b"\r\n\r\nabcdef\r\n--" in seen["body"]
    assert b'filename="a%22%0D%0Ab.mp3"' in seen["body"]


async def test_secrets_go_to_their_origin_only(mocked):
    """Across redirects, Basic and key go to their own origin; others get nothing, not even what the origin echoed into
    the URL."""
    seen = []

    def handler(request):
        seen.append((request.extensions["wire"], str(request.url), dict(request.headers)))
        if request.url.host == "cdn.example.com":
            return httpx.Response(200, headers={"content-type": "audio/mpeg"}, content=b"ID3 bytes")
        return httpx.Response(302, headers={"location": f"https://cdn.example.com/x?{request.url.query.decode()}&s=1"})

    async with mocked(handler) as transport:
        for source in (SOURCE, V1_SOURCE):
            async with transport.open_range(source, None) as answer:
                assert await answer.receive_into(memoryview(bytearray(100))) == 9
    home, away, home_v1, away_v1 = seen
    assert home[0] == home_v1[0] == "origin"
    assert away[0] == away_v1[0] == "bare"
    assert home[2]["authorization"].startswith("Basic ")
    assert "CANARYKEYv1%26%3D%2F%3F" in home_v1[1]
    assert "authorization" not in home_v1[2]
    for _, url, headers in (away, away_v1):
        assert "CANARY" not in url
        assert "s=1" in url
        assert {"authorization", "referer", "cookie"}.isdisjoint(headers)
    assert all(headers["accept-encoding"] == "identity" for _, _, headers in seen)


async def test_redirects_are_few_and_https(mocked):
    """A loop ends at the sixth hop; http, private hosts and other schemes are not followed; no cookie is kept."""
    locations = ["https://v2.example.com/loop", "http://cdn.example.com/", "https://10.0.0.1/", "gopher://x/"]
    for location in locations:
        seen = []

        def handler(request, seen=seen, location=location):
            seen.append(request)
            return httpx.Response(302, headers={"location": location, "set-cookie": "a=b"})

        async with mocked(handler) as transport:
            with pytest.raises((errors.MalformedAnswer, errors.ServerFailure)):
                async with transport.open_range(SOURCE, None):
                    pass
        assert len(seen) == (6 if location == locations[0] else 2)  # a loop is not retried
        assert all("cookie" not in request.headers for request in seen)


async def test_hostile_segments_stay_segments(mocked):
    """No name adds or removes a path segment, a query or a fragment."""
    seen = []
    names = ["..", ".", "a/b", "a?b=c", "a#b", "a%2Fb", "é\udc80", "a\r\nb", "@", "//", "x;y", ":", "\\"]

    def handler(request):
        seen.append(request.url.raw_path)
        return json('{"id": 1}')

    async with mocked(handler) as transport:
        for name in names:
            await transport.get(Api.V2, ("calls", "1", "recordings", name), query={"a": "b&c"})
    for path in seen:
        assert path.count(b"/") == 5
        assert path.startswith(b"/v2/calls/1/recordings/")
        assert path.endswith(b"?a=b%26c")
    assert len(set(seen)) == len(names)


@pytest.mark.parametrize(
    "fail",
    [
        httpx.ConnectError("CANARYKEYv1&=/?"),
        httpx.ReadError("CANARYTOKENv2"),
        httpx.ReadTimeout("CANARYTOKENv2"),
        httpx.RemoteProtocolError("CANARYTOKENv2"),
        httpx.LocalProtocolError("CANARYTOKENv2"),
        400,
        401,
        404,
        429,
        500,
        "body",
    ],
    ids=repr,
)
async def test_no_secret_in_any_error_or_log(mocked, drain, fail, caplog, autojump_clock):
    """No canary occurs in any form in str, repr, tracebacks (without the reprs of locals), contexts, statistics and
    DEBUG logs."""
    caplog.set_level(logging.DEBUG)
    forms = ["CANARY", "Q0FOQVJZ"]

    def handler(request):
        if isinstance(fail, int):
            echo = {"message": f"bad {request.url} {request.headers.get('authorization')} CANARYTOKENv2"}
            return httpx.Response(fail, json=echo)
        if fail == "body":

            async def broken():
                yield b"ID3"
                raise httpx.ReadError(str(request.url))

            return httpx.Response(200, content=broken())
        raise fail

    async with mocked(handler, timeout_seconds=3.0) as transport:
        for source in (SOURCE, V1_SOURCE):
            with pytest.raises(errors.CffsError) as caught:
                await drain(transport, source, ByteRange(0, 10))
            error = caught.value
            chain, seen = [error], [str(error), repr(error), repr(error.args)]
            while chain:
                one = chain.pop()
                seen += [str(one), repr(one)]
                assert not isinstance(one, httpx.HTTPError)
                chain += [other for other in (one.__cause__, one.__context__) if other is not None]
            seen += traceback.format_exception(error)
            seen += [repr(transport.stats), *(record.getMessage() for record in caplog.records)]
            source_lines = ("def ", 'CANARYTOKENv2"}', "httpx.")
            for text in seen:
                shown = "\n".join(line for line in text.splitlines() if not any(mark in line for mark in source_lines))
                assert not any(form in shown for form in forms), shown
    assert logging.getLogger("httpx").level == logging.WARNING


async def test_offline_asks_nothing(mocked):
    """With --offline every request raises OriginUnreachable at once, and none is sent."""
    async with mocked(lambda request: 1 / 0, offline=True) as transport:
        with pytest.raises(errors.OriginUnreachable):
            await V2Client(transport).get_account()
        with pytest.raises(errors.OriginUnreachable):
            async with transport.open_range(SOURCE, None):
                pass


async def test_an_unframed_end_is_confirmed(mocked):
    """A body that ends with its connection only is believed where a second answer agrees, and not otherwise."""
    content = b"ID3" + bytes(range(256)) * 20

    class Unframed(httpx.AsyncByteStream):
        def __init__(self, body: bytes) -> None:
            self.body = body

        async def __aiter__(self):
            yield self.body

    for second, good in ((416, True), (206, False), (200, True), (-200, False)):
        bodies = []

        def handler(request, second=second, bodies=bodies):
            wanted = request.headers.get("range")
            if wanted is None:
                return httpx.Response(200, stream=Unframed(content))
            bodies.append(wanted)
            if second == 416:
                return httpx.Response(416, headers={"content-range": f"bytes */{len(content)}"})
            if second == 206:
                total = len(content) + 9
                return httpx.Response(
                    206, headers={"content-range": f"bytes {len(content)}-{len(content)}/{total}"}, content=b"x"
                )
            return httpx.Response(200, stream=Unframed(content if second > 0 else content + b"more"))

        received = bytearray()
        async with mocked(handler) as transport:
            transport_answer = transport.open_range(SOURCE, None)
            try:
                async with transport_answer as answer:
                    buffer = memoryview(bytearray(1000))
                    while nbytes := await answer.receive_into(buffer):
                        received += buffer[:nbytes]
                assert good
                assert received == content
            except errors.TruncatedAnswer:
                assert not good
        assert bodies == [f"bytes={len(content)}-{len(content)}"]


async def test_a_cancelled_request_leaves_no_trace(mocked, autojump_clock):
    """Slots, probes and connections are given back when the caller gives up, wherever it waits."""

    async def handler(request):
        await trio.sleep_forever()

    async with mocked(handler, connections=1) as transport:
        for _ in range(20):
            with trio.move_on_after(0.25):
                async with transport.open_range(SOURCE, None):
                    pass
        assert not transport._bodies._slots
        assert transport.health()[Api.V2].state == "online"


async def test_an_api_without_credentials_is_never_asked(mocked):
    """Without a key the request is refused here, at once."""
    async with mocked(lambda request: 1 / 0, credentials=Credentials(apikey="k")) as transport:
        with pytest.raises(errors.AccessRefused):
            await V2Client(transport).get_account()
        with pytest.raises(errors.AccessRefused):
            await V2Client(transport).find_credentials(limit=1, offset=0)


#: A page that repeats the request in words by which a secret cannot be recognised.
ECHO = "no call for CANARYKEYv1&=/?, CANARYKEYv1%26%3D%2F%3F, CANARYTOKENv2 and Q0FOQVJZU0lEdjI6Q0FOQVJZVE9LRU52Mg=="


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 500])
async def test_no_secret_in_what_a_question_fails_with(mocked, status, caplog, autojump_clock):
    """The error of a question or an act has the service's own words, but no secret that they repeat."""
    caplog.set_level(logging.DEBUG)
    asks = (lambda v2: v2.get_account(), lambda v2: v2.send_verification_code("12135550100"))
    for ask in asks:
        async with mocked(lambda _request: httpx.Response(status, json={"message": ECHO})) as transport:
            with pytest.raises(errors.CffsError) as caught:
                await ask(V2Client(transport))
            assert "no call for ***" in str(caught.value)
            seen = [str(caught.value), repr(caught.value.args), repr(transport.stats)]
            for text in (*seen, *(record.getMessage() for record in caplog.records)):
                assert "CANARY" not in text
                assert "Q0FOQVJZ" not in text


@pytest.mark.parametrize("status", [500, 403])
async def test_no_secret_in_a_line_for_people(mocked, status, caplog, autojump_clock):
    """Where an object has the name of a secret, the lines of statistics, log and health do not show it."""
    caplog.set_level(logging.DEBUG)
    async with mocked(lambda _request: httpx.Response(status)) as transport:
        for call_id in (5, 6, 7):
            with pytest.raises(errors.CffsError):
                await V2Client(transport).get_recording_by_name(call_id, "CANARYTOKENv2")
        said = [record.getMessage() for record in caplog.records]
        assert any("to=auth-failed" in text for text in said) == (status == 403)
        assert any("request failed" in text for text in said)
        for text in (*said, *(line.line for line in transport.stats.last_errors)):
            assert "CANARY" not in text
        assert all("***" in line.line for line in transport.stats.last_errors)
        assert transport.stats.last_errors
