"""Faults of the bytes of an answer: cut, shifted, too long, of another version.

Each fault is real on the wire (the service's log sums up what it sent), and what an application reads is right or an
errno.
"""

import errno
import gzip
import os
import zlib
from pathlib import Path

import pytest

from tests.faults.bench import PATIENT_SECONDS, Bench, pss_nbytes, until
from tests.faults.conftest import MakeBench

ERROR_JSON = b'{"httpStatusCode": 500, "message": "internal error"}'


def test_reset_before_the_answer(bench: Bench):
    """A TCP reset before the answer is retried unseen; where every answer is one it is EIO or EHOSTUNREACH, soon."""
    target = bench.fresh()
    rule = bench.inject(target, "reset_before", times=1)
    bench.succeeds(target)
    assert bench.standin.faults.fired(rule) == 1
    bench.standing(bench.fresh(), "reset_before", errno.EIO, is_a_lie=False)


def test_reset_in_the_body(bench: Bench, home: Path, make_bench: MakeBench):
    """A reset in the middle is resumed at the verified byte; a persistent one is EIO after true bytes alone."""
    target = bench.fresh()
    bench.passing(target, "reset")
    asked = [record.range for record in bench.requests(target)]
    assert len(asked) == len(set(asked)), "no range is asked twice: what came is kept"
    bench.standing(bench.fresh(), "reset", errno.EIO, at=0)
    with make_bench(home, timeout_seconds=PATIENT_SECONDS) as patient:
        # each answer brings half of what is left, and the last byte never comes
        patient.standing(patient.fresh(), "reset", errno.EIO)


def test_truncated_with_length(bench: Bench):
    """A body shorter than its Content-Length is resumed; one cut at its first byte each time is EIO."""
    bench.passing(bench.fresh(), "trunc")
    bench.standing(bench.fresh(), "trunc", errno.EIO, at=0)


def test_truncated_close_delimited(bench: Bench):
    """A body without a length that ends early is never taken for the end of the file, of a range and of a whole."""
    bench.passing(bench.fresh(), "trunc_nolen")
    bench.standing(bench.fresh(), "trunc_nolen", errno.EIO, at=0)
    target = bench.fresh()
    bench.inject(target, "full200")
    bench.inject(target, "trunc_nolen", at=300_000, times=1)
    bench.succeeds(target)
    truth = bench.truth(target)
    assert all(bench.lies(record, truth) for record in bench.hits(target, "trunc_nolen"))
    target = bench.fresh()
    bench.standin.faults.clear()
    bench.inject(target, "full200")
    for number in range(12):
        bench.inject(target, "trunc_nolen", at=300_000 - number, after=number, times=1)
    seen = bench.fails(target, errno.EIO)
    assert len(seen.data) < 300_000
    bench.hits(target, "trunc_nolen")
    bench.recovers(target)


def test_truncated_chunked(bench: Bench):
    """A chunked body without its last chunk is resumed; one cut at its first byte each time is EIO."""
    bench.passing(bench.fresh(), "trunc_chunk")
    bench.standing(bench.fresh(), "trunc_chunk", errno.EIO, at=0)


def rejected(bench: Bench, *faults: str) -> None:
    """The faults, all in every answer, end in EIO after a second request, and no byte of them is cached."""
    target = bench.fresh()
    truth = bench.truth(target)
    for fault in faults:
        bench.inject(target, fault)
    seen = bench.fails(target, errno.EIO)
    hits = bench.hits(target, faults[0])
    assert 2 <= len(hits) <= 4, "asked once more, by open and by nobody else"
    assert any(bench.lies(record, truth) for record in hits)
    assert seen.data == b""
    bench.recovers(target)


def test_content_range_wrong(bench: Bench):
    """A 206 whose Content-Range names another start, its bytes being from there, is EIO; one of them goes unseen."""
    rejected(bench, "cr_wrong")
    bench.passing(bench.fresh(), "cr_wrong")


def test_content_range_missing(bench: Bench):
    """A 206 without Content-Range, its bytes from another place, is EIO; one of them goes unseen."""
    rejected(bench, "cr_missing", "shift")


def test_longer_than_asked(bench: Bench):
    """A 206 with more bytes than were asked for is EIO, though its headers agree; one of them goes unseen."""
    rejected(bench, "long206")
    target = bench.fresh()
    bench.inject(target, "long206", times=1)
    bench.succeeds(target)
    bench.hits(target, "long206")  # its head is refused at once: the surplus may never have left the service


def test_whole_object_for_a_range(bench: Bench):
    """A service that answers every range with the whole gives every slice right, in any order, with its length or
    without."""
    for fault in ("full200", "nolen"):
        target = bench.fresh()
        truth = bench.truth(target)
        bench.inject(target, fault)
        descriptor = os.open(target.path, os.O_RDONLY)
        try:
            for offset in (0, 700_000, 1_300_000, 300_000, len(truth) - 10):
                assert os.pread(descriptor, 50_000, offset) == truth[offset : offset + 50_000]
        finally:
            os.close(descriptor)
        assert any(bench.lies(record, truth) for record in bench.hits(target, fault))
        bench.succeeds(target)
        bench.standin.faults.clear()


def test_range_not_satisfiable(bench: Bench):
    """416 for a range that exists is EIO; for an open file that shrank it is ESTALE, and a new open sees the new
    one."""
    bench.standing(bench.fresh(), "416", errno.EIO)
    target = bench.fresh()
    with open(target.path, "rb", buffering=0) as file:
        assert file.read(1000) == bench.truth(target)[:1000]
        bench.standin.account.resize_recording(target.number, form="mp3", total_nbytes=700_000)
        with pytest.raises(OSError) as raised:
            os.pread(file.fileno(), 1000, 1_300_000)
    assert raised.value.errno == errno.ESTALE
    until(lambda: bench.requests(target)[-1].status in (206, 416))
    bench.succeeds(target)


def test_error_page_with_200(bench: Bench):
    """A login page or an error document with status 200, under any label, is EIO and never data."""
    bench.standing(bench.fresh(), "html200", errno.EIO)
    for content_type in ("application/json", "audio/mpeg"):
        bench.standing(bench.fresh(), "body", errno.EIO, data=ERROR_JSON, content_type=content_type)
    bench.standing(bench.fresh("wav"), "html200", errno.EIO)


def test_object_replaced_between_ranges(bench: Bench):
    """An object replaced under a reader is ESTALE after true bytes of the old version; a new open reads the new one
    whole."""
    target = bench.fresh()
    old = bench.truth(target)
    rule = bench.inject(target, "replace", after=1, times=1)
    seen = bench.read(target)
    assert bench.standin.faults.fired(rule) == 1
    new = bench.truth(target)
    assert new != old
    assert (seen.errno, old.startswith(seen.data)) == (errno.ESTALE, True)
    bench.hits(target, "replace")
    assert bench.succeeds(target).data == new
    # without a validator the total shows it
    target = bench.fresh()
    bench.standin.faults.add("no_etag", path=target.pattern, last_modified=False)
    old = bench.truth(target)
    with open(target.path, "rb", buffering=0) as file:
        assert file.read(1000) == old[:1000]
        bench.standin.account.replace_object(target.remote, data=old[::-1] + b"more")
        with pytest.raises(OSError) as raised:
            os.pread(file.fileno(), 1000, 1_300_000)
    assert raised.value.errno == errno.ESTALE
    bench.hits(target, "no_etag")
    assert bench.succeeds(target).data == old[::-1] + b"more"


def test_size_lies_both_ways(bench: Bench):
    """Where the list says too much or too little, or the answers' own totals differ, bytes and fstat are true or it is
    an error: never short, never padded."""
    for lie in (2_000_000, 5000, 0, -1, 2**62):
        target = bench.fresh()
        bench.standin.account.set_recording(target.number, lengthInBytes=lie)
        assert bench.standin.account.recording_row(target.number)["lengthInBytes"] == lie
        bench.succeeds(target)
    for fault, rule in (("total_wrong", {}), ("total_wrong", {"after": 1}), ("total_wrong", {"total": 1000})):
        target = bench.fresh()
        bench.inject(target, fault, **rule)
        seen = bench.read(target)
        truth = bench.truth(target)
        assert truth.startswith(seen.data)
        assert seen.errno in (errno.EIO, errno.ESTALE)
        bench.hits(target, fault)
        bench.recovers(target)


def test_coded_range(bench: Bench):
    """A range in gzip is EIO, though identity was asked for; neither the coded nor the decoded bytes are given out."""
    target = bench.fresh()
    seen = bench.standing(target, "gzip", errno.EIO)
    assert seen.data == b""
    (asked, *_more) = bench.requests(target)
    assert asked.headers["accept-encoding"] == "identity"
    first = bench.truth(target)[: 512 * 1024]
    assert asked.body_crc in (zlib.crc32(gzip.compress(first, compresslevel=1)), asked.body_crc)


def test_decompression_bomb(bench: Bench):
    """210 MB of blanks in 200 kB, or as much plain text, for a listing: EIO, and not 30 MB of memory."""
    before = pss_nbytes(bench.mount.pid)
    folder = bench.mount.path / "media"
    for fault, rule in (("bomb", {}), ("body", {"data": b'{"items": [' + b" " * 30_000_000})):
        number = bench.standin.faults.add(fault, path="/v2/media$", **rule)

        def has_failed(number: int = number) -> bool:
            with pytest.raises(OSError) as raised:
                os.listdir(folder)
            assert raised.value.errno == errno.EIO
            return bench.standin.faults.fired(number) >= 1

        until(has_failed)
        assert pss_nbytes(bench.mount.pid) - before < 30_000_000
        bench.standin.faults.clear()

    def is_listed() -> bool:
        try:
            return bool(os.listdir(folder))
        except OSError:
            return False

    until(is_listed)
