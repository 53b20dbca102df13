"""`--rate` on a real mount: what the service's own log shows."""

import json
import os
import subprocess
import time

from tests.callfire.test_departure_log import most_in_a_span
from tests.mount.mounting import WATCHDOG_SECONDS, account_variables, mounted, run, until
from tests.shared.redis_server import RedisServer


def test_many_programs_keep_to_the_rate(said, home, standin):
    """From the mount's first request on, no second holds more than ten, whatever eight programs at once read; their
    bytes are right, the wait has its name, and what is here waits for nothing."""
    variables = account_variables(standin)
    with mounted(said, home, variables, "--rate", "10/s") as mount:
        folder = mount.path / "recordings"
        stems = [name.removesuffix(".mp3") for name in os.listdir(folder) if name.endswith(".mp3")][:20]
        names = [f"{stem}.{form}" for stem in stems for form in ("mp3", "wav")]  # of v2 and of v1: four seconds of 10/s
        readers = [
            subprocess.Popen(["cat", *names[index::8]], cwd=folder, stdout=subprocess.PIPE) for index in range(8)
        ]
        reasons: set[str] = set()

        def has_seen_the_wait() -> bool:
            waiting = json.loads((mount.path / ".cffs/inflight.json").read_bytes())
            reasons.update(call["waits_for"] for call in waiting)
            return any("the request rate of --rate" in reason for reason in reasons)

        until(has_seen_the_wait)
        shown = run(said, home, "status", mount.path, **variables)
        assert "  rate      limit 10/s, sent " in shown.stdout
        nbytes = sum(len(reader.communicate(timeout=WATCHDOG_SECONDS)[0]) for reader in readers)
        assert [reader.returncode for reader in readers] == [0] * 8
        assert nbytes == sum((folder / name).stat().st_size for name in names)
        rate = mount.status()["rate"]
        assert (rate["limit"], rate["requests"], rate["span_seconds"]) == ("10/s", 10, 1.0)
        assert rate["waited_seconds"] > 1
        assert "cffs_rate_waited_seconds " in (mount.path / ".cffs/metrics").read_text()
        began = time.monotonic()
        before = len(standin.requests)
        for name in names:
            (folder / name).read_bytes()
        assert time.monotonic() - began < 2
    times = [record.started_at for record in standin.requests]
    assert most_in_a_span(times, 1.0) <= 10
    assert len(times) >= len(names) == 40
    assert len(times) - before < 3


def test_a_mount_starts_where_the_rate_is_used_up(said, home, standin):
    """With a request a minute the mount is there, says what it could not check, and its own files answer; a call that
    would need a request fails within its own time."""
    with mounted(said, home, account_variables(standin), "--rate", "1/min", "--timeout", "2") as mount:
        assert len(standin.requests) == 1
        began = time.monotonic()
        try:
            os.listdir(mount.path / "recordings")
        except OSError:
            pass
        assert time.monotonic() - began < 5
        assert mount.status()["rate"]["sent"] == 1
        assert mount.status()["origin"]["state"] == "online"
    assert len(standin.requests) == 1


def test_a_rate_that_is_none(said, home, standin):
    """One line says how a rate is written, and nothing is mounted."""
    for rate in ("0/s", "ten", "10/h"):
        done = run(said, home, "mount", "--rate", rate, home / "mnt", **account_variables(standin))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "10/s or 600/min" in done.stderr
    assert not standin.requests


def test_two_mounts_have_one_rate(said, home, standin):
    """Mounts that share a server keep to one rate together. One that starts before the server says so in one line,
    works, and joins; the password of the URL shows nowhere."""
    server = RedisServer(home, options=("--requirepass", "sHaReDsEcReT"))
    url = server.url.replace("//", "//:sHaReDsEcReT@")
    variables = account_variables(standin)
    options = ("--rate", "10/s", "--shared", url)
    try:
        with mounted(said, home, variables, *options) as early:
            notice = f"shared server {server.url}: no connection: Connection refused; until it is back this machine has"
            assert any(notice in text for text in said.outputs)
            assert [line for line in early.status()["notes"] if line.startswith(notice)]
            server.start()
            other = home / "other"
            other.mkdir()
            with mounted(said, other, variables, *options) as late:
                until(lambda: [mount.status()["shared"]["machines"] for mount in (early, late)] == [2, 2])
                names = sorted(os.listdir(early.path / "recordings"))[:8]
                readers = [
                    subprocess.Popen(
                        ["cat", *names[index::4]], cwd=mount.path / "recordings", stdout=subprocess.DEVNULL
                    )
                    for mount in (early, late)
                    for index in range(4)
                ]
                assert [reader.wait(WATCHDOG_SECONDS) for reader in readers] == [0] * 8
                # a busy machine may take an answer of over 50 ms for an outage, for a moment
                until(lambda: [mount.status()["shared"]["rate"] for mount in (early, late)] == ["together"] * 2)
                line = f"  shared    server {server.url}, state up, machines 2, rate together"
                until(lambda: line in run(said, home, "status", early.path, **variables).stdout)
    finally:
        server.stop()
    assert most_in_a_span([record.started_at for record in standin.requests], 1.0) <= 10
    assert not any("sHaReDsEcReT" in text for text in said.outputs)
