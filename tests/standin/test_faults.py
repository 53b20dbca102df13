"""Every fault is really wrong on the wire, seen by raw sockets."""

import base64
import gzip
import itertools
import json
import re
import shutil
import socket
import subprocess
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from cffs.standin.codecs import NAMES as CODECS
from cffs.standin.codecs import codec_wav
from cffs.standin.fault_effects_answers import SPELLINGS
from cffs.standin.faults import NAMES
from cffs.standin.request_log import RequestRecord
from cffs.standin.thread import StandinThread

START, STOP = 5000, 25_000
BODY_NBYTES = 40_000
WAIT_SECONDS = 0.4
"""How long silence must last to be called a stall."""


@dataclass
class Raw:
    """The bytes that came over the socket, and how it ended."""

    status: int
    headers: dict[str, str]
    body: bytes
    end: str
    everything: bytes


def ask(
    standin: StandinThread,
    path: str,
    *,
    method: str = "GET",
    ranged: bool = True,
    keep: bool = False,
    start: int = START,
    stop: int = STOP,
) -> Raw:
    """One request on a socket of its own, read until the end: `close`, `reset` or `silence`."""
    told = standin.credentials
    login = base64.b64encode(f"{told.login}:{told.password}".encode()).decode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Basic {login}"]
    if not keep:
        lines.append("Connection: close")
    if ranged:
        lines.append(f"Range: bytes={start}-{stop - 1}")
    return talk(standin, ("\r\n".join(lines) + "\r\n\r\n").encode(), seconds=WAIT_SECONDS)


def talk(standin: StandinThread, said: bytes, *, seconds: float) -> Raw:
    """The answer to bytes on a socket of their own, until it ends or is silent for `seconds`."""
    port = int(standin.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(said)
        received, end = bytearray(), "close"
        while True:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                end = "silence"
                break
            except ConnectionResetError:
                end = "reset"
                break
            if not piece:
                break
            received += piece
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d+) ?[^\r\n]*", head)
    headers = dict(
        line.decode("latin-1").lower().split(": ", 1) for line in head.split(b"\r\n")[1:] if status and b": " in line
    )
    return Raw(int(status[1]) if status else 0, headers, body, end, bytes(received))


@pytest.fixture
def target(standin: StandinThread) -> tuple[str, bytes]:
    """The path of a recording, and its true bytes."""
    path = next(path for path in standin.account.paths() if path.endswith(".mp3"))
    found = standin.account.object_for(path)
    assert found is not None
    assert found.total_nbytes > STOP
    return path, found.read()


def test_honest_first(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Without a rule the request is answered right, and the connection stays open."""
    path, body = target
    raw = ask(standin, path, keep=True)
    assert (raw.status, raw.body, raw.end) == (206, body[START:STOP], "silence")
    assert raw.headers["content-range"] == f"bytes {START}-{STOP - 1}/{len(body)}"
    assert standin.requests[-1].fault is None


def hit(standin: StandinThread, path: str, fault: str, **rule: object) -> Raw:
    """One request under one fault; the log must name the fault."""
    number = standin.faults.add(fault, **rule)  # type: ignore[arg-type]  # options are free
    raw = ask(standin, path)
    assert standin.faults.fired(number) == 1
    assert standin.requests[-1].fault == fault
    standin.faults.clear()
    return raw


def test_status_with_each_body(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Any status, with or without Retry-After, with JSON, HTML or no body."""
    path, _ = target
    raw = hit(standin, path, "status", code=429, retry_after=7)
    assert (raw.status, raw.headers["retry-after"], json.loads(raw.body)["httpStatusCode"]) == (429, "7", 429)
    raw = hit(standin, path, "status", body="html")
    assert (raw.status, raw.headers["content-type"], raw.body[:6]) == (503, "text/html", b"<html>")
    raw = hit(standin, path, "status", code=500, body="empty")
    assert (raw.status, raw.headers["content-length"], raw.body) == (500, "0", b"")
    raw = hit(standin, path, "absent")
    assert (raw.status, json.loads(raw.body)["httpStatusCode"]) == (404, 404)


def test_validators_that_no_other_answer_has(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """The bytes are right; ETag, date, or both differ each time."""
    path, body = target
    seen = [hit(standin, path, "new_validators").headers for _ in range(2)]
    assert len({one["etag"] for one in seen}) == len({one["last-modified"] for one in seen}) == 2
    honest = ask(standin, path).headers
    raw = hit(standin, path, "new_validators", what="date")
    assert (raw.body, raw.headers["etag"]) == (body[START:STOP], honest["etag"])
    assert raw.headers["last-modified"] != honest["last-modified"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_entries_in_every_spelling(standin: StandinThread, spelling: str) -> None:
    """v1's list in other spellings is JSON that names the recordings, except for the one that cannot be read."""
    row = next(row for row in map(standin.account.call_row, standin.account.call_ids()) if row and row["campaignId"])
    path = f"/cloud/1/files/recording/list/{row['campaignId']}/{row['id']}?apikey={standin.credentials.apikey}"
    raw = hit(standin, path, "entries", spelling=spelling)
    assert json.loads(raw.body)["successful"] is True
    for recording_id in standin.account.recording_ids(row["id"]):
        assert str(recording_id) in raw.body.decode()


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_of_telephone_systems(
    standin: StandinThread, target: tuple[str, bytes], codec: str, tmp_path: Path
) -> None:
    """A WAV of that codec has right ranges and lengths, and a decoder plays it to its end."""
    path, _body = target
    found = standin.account.object_for(path)
    assert found is not None
    whole = codec_wav(codec, seed=found.key, seconds=9)
    raw = hit(standin, path, "codec", codec=codec, seconds=9)
    assert raw.headers["content-range"].rpartition("/")[2] == str(len(whole))
    assert raw.body == whole[START:STOP]
    (tmp_path / "x.wav").write_bytes(whole)
    if shutil.which("ffmpeg"):
        line = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "x.wav"), "-f", "s16le", "-ac", "1", "-"]
        decoded = subprocess.run(line, capture_output=True, check=True)
        assert abs(len(decoded.stdout) - 9 * 16_000) < 2000
        assert decoded.stderr == b""


def test_resets(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """A TCP reset comes before anything, or after half of the body."""
    path, body = target
    raw = hit(standin, path, "reset_before")
    assert (raw.everything, raw.end) == (b"", "reset")
    raw = hit(standin, path, "reset")
    assert raw.end == "reset"
    assert raw.body == body[START : START + (STOP - START) // 2]
    assert raw.headers["content-length"] == str(STOP - START)


def test_truncations(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """A body ends short of its length, short without any length, or chunked without its last chunk."""
    path, body = target
    raw = hit(standin, path, "trunc", at=100)
    assert (raw.body, raw.end, raw.headers["content-length"]) == (body[START : START + 100], "close", "20000")
    raw = hit(standin, path, "trunc_nolen", at=100)
    assert (raw.status, raw.body, raw.end) == (206, body[START : START + 100], "close")
    assert not {"content-length", "transfer-encoding"} & set(raw.headers)
    raw = hit(standin, path, "trunc_chunk", at=100)
    assert raw.headers["transfer-encoding"] == "chunked"
    assert raw.end == "close"
    assert not raw.body.endswith(b"0\r\n\r\n")


def test_silences(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """The service sends nothing, half a status line, or half a body; with `seconds`, the rest follows."""
    path, body = target
    raw = hit(standin, path, "hang")
    assert (raw.everything, raw.end) == (b"", "silence")
    raw = hit(standin, path, "stall_head")
    assert (raw.everything, raw.end) == (b"HTTP/1.1 206 ", "silence")
    raw = hit(standin, path, "stall", at=777)
    assert (raw.body, raw.end) == (body[START : START + 777], "silence")
    raw = hit(standin, path, "stall", at=777, seconds=0.1)
    assert raw.body == body[START:STOP]


def test_drip_is_slow_and_right(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """A few right bytes come at a time; `slow` delays the first."""
    path, body = target
    standin.faults.add("drip", nbytes=2000, seconds=0.05)
    started_at = time.monotonic()
    assert ask(standin, path).body == body[START:STOP]
    assert time.monotonic() - started_at >= 9 * 0.05
    standin.faults.clear()
    standin.faults.add("slow", seconds=0.2)
    assert ask(standin, path).body == body[START:STOP]
    assert standin.requests[-1].seconds is not None
    assert standin.requests[-1].seconds >= 0.2


def test_heads_that_never_end(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """A head comes byte by byte, or interim answers without a final one; the log sums up what was sent."""
    path, body = target
    standin.faults.add("drip_head", seconds=0.01)
    started_at = time.monotonic()
    raw = ask(standin, path)
    assert time.monotonic() - started_at >= 1
    assert (raw.status, raw.body) == (206, body[START:STOP])
    assert standin.requests[-1].body_crc == zlib.crc32(body[START:STOP])
    standin.faults.clear()
    number = standin.faults.add("interim", seconds=0.01)
    port = int(standin.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        while received.count(b"103 Early Hints") < 3:
            received += connection.recv(4096)
    assert standin.faults.fired(number) == 1
    assert b"HTTP/1.1 2" not in received


def test_a_wrong_start_of_the_whole_can_be_noticed(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """A request for the whole object has no other place; the head then says where the bytes are from all the same."""
    path, body = target
    standin.faults.add("cr_wrong")
    raw = ask(standin, path, start=0, stop=len(body))
    assert (raw.headers["content-range"], raw.body) == (f"bytes 1-{len(body) - 1}/{len(body)}", body[1:])


def test_wrong_places(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Each wrong range is wrong in the bytes, and its headers lie or agree as the name says."""
    path, body = target
    total = len(body)
    raw = hit(standin, path, "full200")
    assert (raw.status, raw.body, raw.headers["content-length"]) == (200, body, str(total))
    raw = hit(standin, path, "cr_wrong")
    place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", raw.headers["content-range"])
    assert place is not None
    assert int(place[1]) != START
    assert raw.body == body[int(place[1]) : int(place[2]) + 1]
    raw = hit(standin, path, "cr_missing")
    assert (raw.status, "content-range" in raw.headers) == (206, False)
    raw = hit(standin, path, "long206")
    assert raw.body == body[START : START + len(raw.body)]
    assert len(raw.body) > STOP - START
    raw = hit(standin, path, "short_by_one")
    assert raw.body == body[START : STOP - 1]
    assert raw.headers["content-range"] == f"bytes {START}-{STOP - 2}/{total}"
    assert raw.headers["content-length"] == str(STOP - START - 1)
    raw = hit(standin, path, "shift")
    assert raw.headers["content-range"] == f"bytes {START}-{STOP - 1}/{total}"
    assert raw.body == body[START + 1 : STOP + 1]
    raw = hit(standin, path, "total_wrong")
    assert raw.headers["content-range"] == f"bytes {START}-{STOP - 1}/{total + 1}"
    raw = hit(standin, path, "total_wrong", total="*")
    assert raw.headers["content-range"] == f"bytes {START}-{STOP - 1}/*"
    raw = hit(standin, path, "416")
    assert (raw.status, raw.body, raw.headers["content-range"]) == (416, b"", f"bytes */{total}")
    assert hit(standin, path, "416", content_range="bytes */*").headers["content-range"] == "bytes */*"
    assert "content-range" not in hit(standin, path, "416", content_range=None).headers
    raw = hit(standin, path, "nolen")
    assert (raw.status, raw.headers["transfer-encoding"]) == (200, "chunked")
    assert raw.body.endswith(b"0\r\n\r\n")


def test_shift_of_a_whole_body(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Where there is no other place, the bytes are rotated: as many, and wrong."""
    path, body = target
    standin.faults.add("shift")
    raw = ask(standin, path, ranged=False)
    assert raw.body == body[1:] + body[:1]


def test_wrong_kinds(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Answers are compressed, HTML, anything else, redirected, or mislabelled."""
    path, body = target
    raw = hit(standin, path, "gzip")
    assert raw.headers["content-encoding"] == "gzip"
    assert raw.headers["content-range"] == f"bytes {START}-{STOP - 1}/{len(body)}"
    assert gzip.decompress(raw.body) == body[START:STOP]
    raw = hit(standin, path, "bomb", nbytes=50_000_000)
    assert len(raw.body) < 500_000
    assert len(gzip.decompress(raw.body)) == 50_000_000
    raw = hit(standin, path, "html200")
    assert (raw.status, raw.body[:9]) == (200, b"<!DOCTYPE")
    raw = hit(standin, path, "body", data=b"{}", content_type="audio/mpeg")
    assert (raw.status, raw.headers["content-type"], raw.body) == (200, "audio/mpeg", b"{}")
    raw = hit(standin, path, "redirect", location="http://127.0.0.1:9{path}", code=307)
    assert (raw.status, raw.headers["location"].startswith("http://127.0.0.1:9/v2/calls/")) == (307, True)
    raw = hit(standin, path, "redirect")
    assert raw.headers["location"] == standin.base_url + path
    raw = hit(standin, path, "wrong_type")
    assert (raw.headers["content-type"], raw.body) == ("text/plain", body[START:STOP])
    raw = hit(standin, path, "bighead")
    assert len(raw.headers["x-padding"]) == 300_000
    raw = hit(standin, path, "garbage")
    assert raw.status == 0
    assert raw.everything.startswith(b"\x00\x01\x02")


def test_malformed_metadata(standin: StandinThread) -> None:
    """JSON ends in the middle, or is changed by the test."""
    standin.faults.add("garbage", what="body", times=1)
    with pytest.raises(ValueError, match=r"."):
        json.loads(ask(standin, "/v2/calls", ranged=False).body)
    standin.faults.add("rows", kind="findCalls", change=lambda page: {**page, "totalCount": 10**9})
    assert json.loads(ask(standin, "/v2/calls", ranged=False).body)["totalCount"] == 10**9


def test_validators_vanish_or_change(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Answers have no tag, a weak tag, no HEAD, closed connections, or another version between two ranges."""
    path, body = target
    raw = hit(standin, path, "no_etag")
    assert "etag" not in raw.headers
    assert "last-modified" in raw.headers
    assert "last-modified" not in hit(standin, path, "no_etag", last_modified=False).headers
    assert hit(standin, path, "weak_etag").headers["etag"].startswith('w/"')
    standin.faults.add("no_head")
    assert ask(standin, path, method="HEAD").status == 405
    assert ask(standin, path).status == 206
    standin.faults.clear()
    standin.faults.add("close")
    raw = ask(standin, path, keep=True)
    standin.faults.clear()
    assert (raw.end, raw.headers["connection"], raw.body) == ("close", "close", body[START:STOP])
    before = ask(standin, path)
    after = hit(standin, path, "replace")
    assert before.headers["etag"] != after.headers["etag"]
    assert (after.status, len(after.body)) == (206, STOP - START)
    assert after.body != before.body
    assert ask(standin, path).body == after.body


def test_rules_hit_what_they_say(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Rules select by path, method, kind, range, offset, n-th match, times and probability; several may hit at once."""
    path, _ = target
    faults = standin.faults
    faults.add("status", path="/nowhere", code=500)
    faults.add("status", method="POST", code=500)
    faults.add("status", kind="getMedia|findMedia", code=500)
    faults.add("status", ranged=False, code=500)
    faults.add("status", min_offset=START + 1, code=500)
    assert ask(standin, path).status == 206
    assert ask(standin, path, ranged=False).status == 500
    faults.clear()
    faults.add("status", after=1, times=1, code=500)
    assert [ask(standin, path).status for _ in range(3)] == [206, 500, 206]
    faults.clear()
    number = faults.add("status", probability=0.5, code=500)
    for _ in range(20):
        ask(standin, path)
    assert 3 <= faults.fired(number) <= 17
    faults.clear()
    faults.add("no_etag")
    faults.add("short_by_one")
    raw = ask(standin, path)
    assert ("etag" in raw.headers, len(raw.body)) == (False, STOP - START - 1)
    assert standin.requests[-1].fault == "no_etag+short_by_one"
    with pytest.raises(KeyError):
        faults.add("no such fault")


def post(standin: StandinThread, *, stop_after_nbytes: int = BODY_NBYTES, seconds: float = 3.0) -> Raw:
    """An upload on a socket of its own, of which the client sends only `stop_after_nbytes` of the body."""
    login = base64.b64encode(f"{standin.credentials.login}:{standin.credentials.password}".encode()).decode()
    head = (
        f"POST /v2/media HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {BODY_NBYTES}\r\n\r\n"
    )
    before = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
    body = before + b"x" * (BODY_NBYTES - len(before) - 9) + b"\r\n--b--\r\n"
    return talk(standin, head.encode() + body[:stop_after_nbytes], seconds=seconds)


def logged(standin: StandinThread, *, is_ended: bool) -> RequestRecord:
    """The last request of the log, which writes its end a moment after the client saw it."""
    deadline = time.monotonic() + 10
    while is_ended and standin.requests[-1].seconds is None:
        assert time.monotonic() < deadline, "the log never saw its end"
        time.sleep(0.01)
    return standin.requests[-1]


def test_requests_that_are_not_taken_whole(standin: StandinThread) -> None:
    """Of requests that are reset, closed or stalled half-way, or slow, only the whole one has an effect; the log has
    them all."""
    before = standin.account.media.media_ids()
    for fault, end in (("reset_request", "reset"), ("close_request", ("close", "reset")), ("stall_request", "silence")):
        standin.faults.clear()
        standin.faults.add(fault, kind="createMedia")
        raw = post(standin, seconds=0.4 if fault == "stall_request" else 3.0)
        assert (raw.status, raw.end in end) == (0, True)
        record = logged(standin, is_ended=fault != "stall_request")
        assert (record.kind, record.fault, record.status, record.body_sha256) == ("createMedia", fault, 0, None)
        assert record.body_nbytes_received >= BODY_NBYTES // 2 or fault == "stall_request"
    assert standin.account.media.media_ids() == before
    standin.faults.clear()
    standin.faults.add("slow_request", kind="createMedia", nbytes=BODY_NBYTES // 4, seconds=0.01)
    assert post(standin).status == 200
    assert len(standin.account.media.media_ids()) == len(before) + 1


def test_requests_that_are_refused(standin: StandinThread) -> None:
    """After the head, half-way or after the whole body there is an answer, and no effect."""
    before = standin.account.media.media_ids()
    for after_nbytes, sent_nbytes in ((0, 0), (1000, 2000), (None, BODY_NBYTES)):
        standin.faults.clear()
        standin.faults.add("refuse", kind="createMedia", code=413, after_nbytes=after_nbytes)
        raw = post(standin, stop_after_nbytes=sent_nbytes)
        assert (raw.status, json.loads(raw.body)["httpStatusCode"]) == (413, 413)
        assert standin.requests[-1].fault == "refuse"
    assert standin.account.media.media_ids() == before


def test_several_machines(standin: StandinThread, target: tuple[str, bytes]) -> None:
    """Each answer is about the next object in turn, with its own validator and range."""
    path, body = target
    first = standin.account.object_for(path)
    standin.account.replace_object(path, data=body[::-1][:-7])
    second = standin.account.object_for(path)
    assert first is not None
    assert second is not None
    standin.faults.add("other_machine", path=path, objects=itertools.cycle([first, second]))
    for found in (first, second, first):
        raw = ask(standin, path)
        assert (raw.status, raw.body) == (206, found.read(START, STOP - START))
        assert raw.headers["etag"] == found.etag
        assert raw.headers["content-range"].endswith(f"/{found.total_nbytes}")


def test_every_fault_is_tested_here() -> None:
    """Every name occurs in a test of this file."""
    with open(__file__, encoding="utf-8") as source:
        text = source.read()
    assert [name for name in NAMES if f'"{name}"' not in text] == []
