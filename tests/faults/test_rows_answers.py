"""Faults of answers that say no, or say it badly.

A fault of one object uses the module's mount; one that changes the state of a whole API has a mount of its own.
"""

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from cffs.standin.request_log import RequestRecord
from cffs.standin.thread import StandinThread
from tests import canary
from tests.faults.bench import CANARIES, NOISE, PATIENT_SECONDS, Bench, Target, make_account, until
from tests.faults.conftest import MakeBench

#: The longest hold (cffs/docs/semantics.md#errors).
MOST_TRIES = 4
MOST_HOLD_SECONDS = 60
MOST_HOPS = 5


def hit_and_next(bench: Bench, target: Target) -> tuple[RequestRecord, RequestRecord]:
    """The one answer that was bent, and the request after it."""
    (hit,) = bench.hits(target, "status")
    return hit, next(record for record in bench.requests(target) if record.number > hit.number)


def test_busy_429(home: Path, make_bench: MakeBench):
    """Retry-After in seconds, as a date, as nonsense and absent is waited for where it ends before the deadline; an
    absurd one is 60 s, EIO at once, and no request; cached reads and the other API go on."""

    def soon() -> str:
        # a date has whole seconds: up to one from now
        return format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)

    with make_bench(home, timeout_seconds=PATIENT_SECONDS) as bench:
        for retry_after, shortest in (("1", 0.9), (soon, 0.0), ("0", 0.0), ("soon", 0.5), ("-5", 0.0), (None, 0.5)):
            target = bench.fresh()
            told = retry_after() if callable(retry_after) else retry_after
            options = {} if told is None else {"retry_after": told}
            bench.inject(target, "status", code=429, times=1, **options)
            seen = bench.succeeds(target)
            first, second = hit_and_next(bench, target)
            assert first.status == 429
            assert second.started_at - first.started_at >= shortest, (told, str(seen))
            bench.standin.faults.clear()
        cached, held, other = bench.fresh(), bench.fresh("wav"), bench.fresh()
        bench.succeeds(cached)
        bench.inject(held, "status", code=429, retry_after="99999999999")
        assert bench.fails(held, errno.EIO).slowest_seconds < 0.2 * NOISE
        bench.hits(held, "status")
        assert 50 < bench.origin()["held_until"] <= MOST_HOLD_SECONDS
        bench.standin.log.clear()
        for _ in range(20):
            assert bench.fails(held, errno.EIO).slowest_seconds < 0.1 * NOISE
        assert bench.standin.requests == [], "one pause, shared by all"
        bench.succeeds(cached)
        bench.succeeds(other)
        assert bench.origin()["state"] == "degraded"
        bench.alive()
    with make_bench(home, timeout_seconds=PATIENT_SECONDS) as bench:
        target = bench.fresh()
        bench.inject(target, "status", code=503, retry_after=1, times=1)
        bench.succeeds(target)
        first, second = hit_and_next(bench, target)
        assert second.started_at - first.started_at >= 0.9, "503 with Retry-After is a hold too"


def test_bursts_of_5xx(bench: Bench):
    """Three bad answers in a row are ridden out unseen; persistent ones are EIO after four attempts, and the state is
    shown."""
    for code in (500, 502, 503, 504):
        target = bench.fresh()
        bench.inject(target, "status", code=code, times=MOST_TRIES - 1, body="html")
        bench.succeeds(target)
        assert [record.status for record in bench.hits(target, "status")] == [code] * (MOST_TRIES - 1)
        bench.standin.faults.clear()
    target = bench.fresh()
    bench.inject(target, "status", code=503)
    seen = bench.fails(target, errno.EIO)
    # by the object's own number, and where that fails by its name: never more than four each
    for path in {record.path for record in bench.requests(target)}:
        assert len([record for record in bench.requests(target) if record.path == path]) <= MOST_TRIES
    assert seen.slowest_seconds < 0.5 * NOISE
    bench.recovers(target)


def test_refused_object(bench: Bench):
    """401 or 403 on one object is EACCES after one request, concerns no neighbour, and is not remembered."""
    for code in (401, 403):
        target, neighbour = bench.fresh(), bench.fresh()
        bench.standing(target, "status", errno.EACCES, code=code)
        assert len([record for record in bench.requests(target) if record.status == code]) == 1
        bench.succeeds(neighbour)
        assert bench.origin()["state"] == "online"


def test_refused_account(home: Path, make_bench: MakeBench):
    """Three refused objects in a row are auth-failed: EACCES without a request, what is cached is read, the other API
    works, and the log names no credential."""
    with make_bench(home) as bench:
        cached = bench.fresh()
        bench.succeeds(cached)
        bench.standin.faults.add("status", path="^/v2/", code=401)
        for _ in range(3):
            target = bench.fresh()
            bench.fails(target, errno.EACCES)
            bench.hits(target, "status")
        assert bench.origin()["v2"] == bench.origin()["state"] == "auth-failed"
        bench.standin.log.clear()
        for _ in range(10):
            assert bench.fails(bench.fresh(), errno.EACCES).slowest_seconds < 0.1 * NOISE
        assert [record for record in bench.standin.requests if record.path.startswith("/v2/")] == []
        bench.succeeds(cached)
        bench.succeeds(bench.fresh("wav"))
        bench.standin.faults.clear()
        bench.alive()
        log = bench.mount.log().encode()
        assert canary.shows(log) is None


def test_listed_object_is_gone(bench: Bench):
    """A listed recording that the service denies is ENOENT at open; under an open handle it is ENOENT, ESTALE or EIO,
    never zeros; and its name goes once it is denied by its number too."""
    for code in (404, 410):
        target = bench.fresh()
        bench.inject(target, "status", code=code)
        seen = bench.fails(target, errno.ENOENT)
        assert seen.data == b""
        bench.hits(target, "status")
        bench.standin.faults.clear()
    target = bench.fresh()
    with open(target.path, "rb", buffering=0) as file:
        assert file.read(1000) == bench.truth(target)[:1000]
        bench.standin.account.delete_recording(target.number)
        with pytest.raises(OSError) as raised:
            os.pread(file.fileno(), 1000, 1_300_000)
    assert raised.value.errno in (errno.ENOENT, errno.ESTALE, errno.EIO)
    until(lambda: any(record.status == 404 for record in bench.requests(target)))
    assert bench.read(target).errno in (errno.ENOENT, errno.ESTALE)


def test_transient_is_never_absent(bench: Bench):
    """A lookup that fails with 500, 503, a reset or a page is an error other than ENOENT, and works once the service
    does: only 404 and 410 say that something is not there."""
    account = bench.standin.account
    for fault, options in (
        ("status", {"code": 500}),
        ("status", {"code": 503}),
        ("reset_before", {}),
        ("html200", {}),
        ("garbage", {}),
    ):
        number = account.add_recording(account.add_call(), mp3_nbytes=100_000)
        target = bench.target(number)
        rule = bench.standin.faults.add(fault, path=f"/{number}|calls/", **options)
        with pytest.raises(OSError) as raised:
            os.stat(target.path)
        assert raised.value.errno == errno.EIO, fault
        assert bench.standin.faults.fired(rule) >= 1
        bench.recovers(target)
    with pytest.raises(FileNotFoundError):
        os.stat(bench.mount.path / "recordings/77003.mp3")


def test_malformed_bodies(home: Path, make_bench: MakeBench):
    """JSON and XML that end early, are nested without end, of another charset or shape, and bytes that are no HTTP: EIO
    for the caller, no bug, and the answer after it is taken."""
    bodies = (
        b'{"items": [{"id": 1, "na',
        b"[" * 200_000,
        b'{"items": 7}',
        b'{"items": [{"id": {"a": 1}}, null, 3], "totalCount": "many"}',
        b'\xff\xfe{\x00"\x00i\x00',
        '{"items": "größe"}'.encode("latin-1"),
        b'{"items": [{"id": ' + b"9" * 6000 + b"}]}",
        b"",
    )
    with make_bench(home) as bench:
        faults, account = bench.standin.faults, bench.standin.account
        for body in bodies:
            number = account.add_recording(account.add_call(), mp3_nbytes=1000)
            rule = faults.add("body", path=f"/recordings/{number}$", data=body, content_type="application/json")
            with pytest.raises(OSError) as raised:
                # the MP3's own bytes show that it is there; what the service says of it is in the .json alone
                (bench.mount.path / f"recordings/{number}.json").read_bytes()
            assert raised.value.errno == errno.EIO
            assert faults.fired(rule) >= 1
        # nothing is known yet, so nothing can be shown in its place
        asked = {"media": "/v2/media$", "me/callerids": "callerids", "me/account.json": "account$"}
        for path, pattern in asked.items():
            rule = faults.add("body", path=pattern, data=bodies[0], content_type="application/json")
            with pytest.raises(OSError) as raised:
                where = bench.mount.path / path
                where.read_bytes() if path.endswith(".json") else os.listdir(where)
            assert raised.value.errno == errno.EIO, path
            assert faults.fired(rule) >= 1, path
        faults.clear()
        target = bench.fresh()
        bench.standing(target, "garbage", errno.EIO, is_a_lie=False)
        # v1's list of a call's recordings is XML
        call_id = bench.standin.account.add_call()
        campaign = bench.standin.account.call_row(call_id)["campaignId"]
        documents = (
            b"<?xml version='1.0'?><ResourceList><Recording>",
            b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            b"\0",
        )
        for body in documents:
            rule = bench.standin.faults.add("body", path="^/cloud/", data=body, content_type="application/xml")
            with suppress(OSError):  # v2 may tell enough
                os.listdir(bench.mount.path / f"campaigns/{campaign}/{call_id}")
                os.stat(bench.mount.path / f"calls/{call_id}")
            bench.standin.faults.remove(rule)

        def works() -> bool:
            try:
                return bool(os.listdir(bench.mount.path / "media"))
            except OSError:
                return False

        until(works)
        bench.alive()


def test_huge_headers(bench: Bench):
    """A head of 300 kB, or of 20,000 short lines' size, is EIO at once."""
    assert bench.standing(bench.fresh(), "bighead", errno.EIO, is_a_lie=False).slowest_seconds < 0.5 * NOISE
    bench.standing(bench.fresh(), "bighead", errno.EIO, nbytes=20_000_000, is_a_lie=False)


def test_redirect_loop(bench: Bench):
    """A redirect to itself, and one back and forth, is EIO after at most five hops for each attempt."""
    target = bench.fresh()
    bench.inject(target, "redirect")
    seen = bench.fails(target, errno.EIO)
    assert len(bench.hits(target, "redirect")) <= (MOST_HOPS + 1) * MOST_TRIES
    assert seen.slowest_seconds < 0.7 * NOISE
    bench.recovers(target)


def test_redirect_to_another_host(bench: Bench):
    """Bytes on another host are read from there, and that host's log holds no key, password, cookie or referrer; a
    target that may not be asked is EIO, one without a listener EHOSTUNREACH, one that refuses EACCES."""
    with StandinThread(make_account(calls=90), credentials=CANARIES) as elsewhere:
        for form in ("mp3", "wav"):
            target = bench.fresh(form)
            store = "/store/" + target.path.name
            elsewhere.faults.add(
                "body", path=f"^{store}$", data=bench.truth(target), content_type="audio/mpeg", status=200
            )
            bench.inject(target, "redirect", location=elsewhere.base_url + store)
            bench.succeeds(target)
            bench.hits(target, "redirect")
        assert elsewhere.requests
        for record in elsewhere.requests:
            said = " ".join((record.path, *record.query.values(), *record.headers, *record.headers.values())).encode()
            assert canary.shows(said) is None
            assert not {"authorization", "referer", "cookie", "proxy-authorization"} & set(record.headers)
            assert "apikey" not in record.query
    bench.standin.faults.clear()
    target = bench.fresh()
    for location, expected in (
        ("http://169.254.169.254/x", errno.EIO),
        ("file:///etc/passwd", errno.EIO),
        ("//[", errno.EIO),
        ("ftp://127.0.0.1/x", errno.EIO),
        ("http://127.0.0.1:1/", errno.EHOSTUNREACH),  # there is no listener: no trouble of the API's, which goes on
    ):
        bench.inject(target, "redirect", location=location)
        bench.fails(target, expected)
        bench.hits(target, "redirect")
        assert bench.origin()["v2"] == "online"
        bench.standin.faults.clear()
    bench.recovers(target)
    target = bench.fresh()
    with StandinThread(make_account(calls=1), credentials=CANARIES) as elsewhere:
        elsewhere.faults.add("status", code=403)
        bench.inject(target, "redirect", location=f"{elsewhere.base_url}/store")
        bench.fails(target, errno.EACCES)
        assert elsewhere.requests
        assert bench.origin()["v2"] == "online"
    bench.recovers(target)
