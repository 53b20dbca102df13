"""HTTP of the stand-in: ranges, validators, HEAD, keep-alive, TLS, pace, log."""

import ssl
import subprocess
import sys
import time

import httpx
import pytest
import trio
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.exchange import asked_range
from cffs.standin.server import Standin
from cffs.standin.thread import StandinThread


def a_recording(standin: StandinThread) -> tuple[str, bytes]:
    """A path below /v2, and its bytes."""
    path = next(path for path in standin.account.paths() if path.endswith(".mp3"))
    found = standin.account.object_for(path)
    assert found is not None
    return path.removeprefix("/v2"), found.read()


@given(st.integers(0, 60), st.none() | st.integers(0, 60), st.none() | st.integers(0, 60))
def test_ranges_mean_what_the_standard_says(total: int, first: int | None, last: int | None) -> None:
    """asked_range equals a slice of a list of positions."""
    told = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    positions = list(range(total))
    if first is None:
        wanted = None if last is None else positions[-last:] if last else []
    elif last is not None and last < first:
        wanted = None
    else:
        wanted = positions[first:] if last is None else positions[first : last + 1]
    bounds = asked_range(told, total)
    assert (None if bounds is None else positions[slice(*bounds)]) == wanted


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 100_000), st.integers(0, 60_000))
def test_any_range_is_a_slice(standin: StandinThread, v2: httpx.Client, offset: int, nbytes: int) -> None:
    """A range is 206 with exactly the slice and its place, or 416 beyond the end."""
    path, body = a_recording(standin)
    answer = v2.get(path, headers={"Range": f"bytes={offset}-{offset + nbytes}"})
    if offset >= len(body):
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{len(body)}"
        return
    stop = min(offset + nbytes + 1, len(body))
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {offset}-{stop - 1}/{len(body)}"
    assert answer.content == body[offset:stop]


def test_validators_and_head(standin: StandinThread, v2: httpx.Client) -> None:
    """If-Range by tag and date, If-None-Match, If-Match and HEAD work; a replaced object is sent whole."""
    path, body = a_recording(standin)
    head = v2.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(body)), b"")
    etag, modified = head.headers["etag"], head.headers["last-modified"]
    for told in (etag, modified):
        assert v2.get(path, headers={"Range": "bytes=0-9", "If-Range": told}).status_code == 206
    assert v2.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert v2.get(path, headers={"If-Match": '"other"'}).status_code == 412
    standin.account.replace_object("/v2" + path)
    changed = v2.get(path, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert changed.status_code == 200
    assert len(changed.content) == len(body)
    assert changed.content != body


def test_options_of_the_transport() -> None:
    """Options switch off ranges, lengths, validators and HEAD."""
    options = Options(send_length=False, send_etag=False, send_last_modified=False, answer_head=False)
    with StandinThread(Account(calls=2), options=options) as standin:
        told = standin.credentials
        path, body = a_recording(standin)
        with httpx.Client(base_url=standin.v2_url, auth=(told.login, told.password)) as client:
            answer = client.get(path, headers={"Range": "bytes=5-9"})
            assert (answer.status_code, answer.content) == (200, body)
            assert "content-length" not in answer.headers
            assert "etag" not in answer.headers
            assert client.head(path).status_code == 405


def test_one_connection_serves_many_requests_and_the_log_says_so(standin: StandinThread, v2: httpx.Client) -> None:
    """Connections are kept, and the log has method, kind, range, status and bytes of each request."""
    path, _ = a_recording(standin)
    for _ in range(3):
        v2.get(path, headers={"Range": "bytes=1-4"}, params={"q": "1"})
    v2.get("/nothing")
    deadline = time.monotonic() + 10
    while standin.requests[-1].seconds is None:  # written a moment after the client has its answer
        assert time.monotonic() < deadline
        time.sleep(0.01)
    records = standin.requests
    assert len({record.connection for record in records}) == 1
    first = records[0]
    assert (first.method, first.path, first.kind, first.range) == (
        "GET",
        "/v2" + path,
        "getCallRecordingMp3",
        "bytes=1-4",
    )
    assert (first.status, first.body_nbytes, first.query, first.fault) == (206, 4, {"q": "1"}, None)
    assert (records[-1].kind, records[-1].status) == ("unknown", 404)
    assert standin.log.since(first.number) == records[1:]
    standin.log.clear()
    assert standin.requests == []


def test_methods_that_are_not_there(v2: httpx.Client) -> None:
    """A known path answers 405 with Allow, an unknown one 404."""
    answer = v2.post("/me/account")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert v2.get("/../v2/nothing").status_code == 404


def test_latency_and_bandwidth(standin: StandinThread, v2: httpx.Client) -> None:
    """Answers wait for the latency; bodies flow at the bandwidth."""
    path, body = a_recording(standin)
    standin.link.latency_seconds = 0.2
    standin.link.bandwidth = len(body) / 0.4
    started_at = time.monotonic()
    assert v2.get(path).content == body
    assert time.monotonic() - started_at >= 0.5


async def test_it_is_an_async_context_manager() -> None:
    """It serves inside the block, is gone after it, and lets an exception through as it is."""
    with pytest.raises(ZeroDivisionError):
        async with Standin(Account(calls=1)) as standin:
            stream = await trio.open_tcp_stream("127.0.0.1", int(standin.base_url.rpartition(":")[2]))
            await stream.send_all(b"GET /v2/me/account HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 401 Unauthorized\r\n")
            await stream.aclose()
            raise ZeroDivisionError
    with pytest.raises(OSError, match=r"."):
        await trio.open_tcp_stream("127.0.0.1", int(standin.base_url.rpartition(":")[2]))


def test_tls() -> None:
    """With a context it speaks TLS, and its URLs have https."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with StandinThread(Account(calls=2), tls=server) as standin:
        told = standin.credentials
        path, body = a_recording(standin)
        assert standin.base_url.startswith("https://")
        assert httpx.get(standin.v2_url + path, auth=(told.login, told.password), verify=client).content == body
        with pytest.raises(httpx.HTTPError):
            httpx.get(standin.base_url.replace("https", "http"))
        assert httpx.get(standin.v2_url + path, auth=(told.login, told.password), verify=client).content == body


def test_a_taken_port_is_an_error() -> None:
    """The constructor raises the error of listening."""
    with StandinThread(Account(calls=1)) as first, pytest.raises(OSError, match="in use"):
        StandinThread(Account(calls=1), port=int(first.base_url.rpartition(":")[2]))


def test_run_standin_prints_what_is_needed_and_ends_on_a_signal() -> None:
    """`ready` comes first, then credentials that work; SIGTERM ends it with status 0."""
    program = "import sys; from cffs.standin.run import run_standin; sys.exit(run_standin(calls=3, stdout=sys.stdout))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(8)]
        assert lines[0].startswith("ready http://127.0.0.1:")
        told = dict(line.split("=", 1) for line in lines[1:6])
        assert lines[6:] == [f"v1 {lines[0][6:]}/cloud/1", f"v2 {lines[0][6:]}/v2"]
        login = (told["CFFS_LOGIN"], told["CFFS_PASSWORD"])
        assert httpx.get(lines[0][6:] + "/v2/me/account", auth=login).status_code == 200
        process.terminate()
        assert process.wait(10) == 0
