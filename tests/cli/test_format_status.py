"""A mount's status as lines, also where the daemon is older or newer."""

import pytest

from cffs.cli.format_status import duration, lines_of, size


@pytest.mark.parametrize(
    ("nbytes", "shown"), [(0, "0B"), (1023, "1023B"), (1536, "1.5K"), (64 * 2**20, "64.0M"), (None, "?")]
)
def test_sizes(nbytes, shown):
    """Sizes are written as --memory-size is."""
    assert size(nbytes) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0 s"), (61, "1 min"), (3700, "1 h 1 min"), (90_000, "1 d 1 h")])
def test_durations(seconds, shown):
    """Durations are written with the units that people use."""
    assert duration(seconds) == shown


def test_status_of_another_version():
    """A status with parts missing, or of unexpected types, still reads."""
    odd = {
        "mountpoint": "/m\x1b[31m",
        "origin": {"state": ["x"], "capabilities": {"v1": {"wav": {"range": "honoured"}}}},
    }
    lines = list(lines_of({**odd, "cache": 3, "last_errors": ["one\ntwo"], "kernel": {"read_ahead_kb": None}}))
    assert not any("\x1b" in line or "\n" in line for line in lines)
    assert any("range honoured" in line for line in lines)
    assert list(lines_of({})) == ["?  ?"]


def test_what_was_refused():
    """The last refusals are lines with their reasons, and so is what is wrong with the mount as a whole."""
    refusals = [{"time": "2026-11-30T10:00:00+00:00", "name": "a\x1b.wav", "reason": "no\ncontent"}, "odd"]
    status = {"mountpoint": "/m", "origin": {"state": "offline"}, "offline_asked_for": True}
    status |= {"uploads": {"refused": 1, "active": [], "refusals": refusals}, "notes": ["cache: disk full; x"]}
    assert list(lines_of(status)) == [
        "/m  offline (asked for)",
        "    cache: disk full; x",
        "  uploads   refused 1",
        "    2026-11-30T10:00:00+00:00 refused a\\x1b.wav: no content",
    ]
    assert list(lines_of({"notes": 3, "uploads": {"refusals": 7}, "offline_asked_for": "x"})) == ["?  ?"]


def test_the_rate():
    """The limit, what left within it, and what waits; without --rate there is no line."""
    rate = {"limit": "10/s", "requests": 10, "span_seconds": 1.0, "sent": 9, "waiting": 2, "waited_seconds": 61.5}
    assert list(lines_of({"rate": rate}))[1:] == ["  rate      limit 10/s, sent 9, waiting 2, waited 1 min in all"]
    assert list(lines_of({"rate": {**rate, "waited_seconds": "x"}}))[1:] == [
        "  rate      limit 10/s, sent 9, waiting 2"
    ]


def test_uploads_under_way():
    """An upload under way is shown with its progress; unknown values of another version are passed over."""
    active = [{"name": "tune\n.wav", "state": "sending", "bytes": 2048, "sent_bytes": 1024}, 3]
    lines = list(lines_of({"uploads": {"sent": 2, "refused": 0, "active": active}}))
    assert lines[1:] == ["  uploads   sent 2, refused 0", "    tune .wav  sending, 1.0K of 2.0K sent"]
    assert list(lines_of({"uploads": {"active": 7}})) == ["?  ?"]


def test_the_shared_server():
    """Where it is, whether it is there, and who counts the rate; without --shared there is no line."""
    shared = {"server": "redis://h:6379", "state": "up", "machines": 3, "rate": "together", "calls": {"answered": 5}}
    assert list(lines_of({"shared": shared}))[1:] == [
        "  shared    server redis://h:6379, state up, machines 3, rate together"
    ]
