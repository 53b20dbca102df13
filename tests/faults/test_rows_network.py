"""Faults of silence and the network: stalls, drips, DNS, certificates, sleep.

The stopwatch is outside: `Bench` holds every single call under `--timeout`.
"""

import errno
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from cffs.standin.thread import StandinThread
from tests.faults.bench import CANARIES, NOISE, RECOVERY_SECONDS, Bench, make_account, until
from tests.faults.conftest import MakeBench, with_shim

#: As long as a laptop's lid stays closed in a meeting.
SUSPEND_SECONDS = 90
#: Errnos in which the read that was waiting may end, if not in its bytes.
WAKING = (errno.ETIMEDOUT, errno.EIO, errno.EHOSTUNREACH)


def test_stalled_head(bench: Bench):
    """No answer at all, half a status line, and interim answers without end are ETIMEDOUT within --timeout."""
    targets = {fault: bench.fresh() for fault in ("hang", "stall_head", "interim")}
    for fault, target in targets.items():
        bench.inject(target, fault)
    together(bench, *targets.values())
    for fault, target in targets.items():
        bench.hits(target, fault)
    for target in targets.values():
        bench.recovers(target)


def together(bench: Bench, *targets, errnos: tuple[int, ...] = (errno.ETIMEDOUT,)) -> None:
    """All of them fail at one time, so that they wait together."""
    problems = []

    def fails(target) -> None:
        try:
            bench.fails(target, *errnos)
        except AssertionError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=fails, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_stalled_body(bench: Bench):
    """A body that stops in the middle, at its first byte or before its last is ETIMEDOUT within --timeout, after true
    bytes."""
    targets = {at: bench.fresh() for at in (0, 100_000, 400_000)}
    for at, target in targets.items():
        bench.inject(target, "stall", at=at)
    together(bench, *targets.values())
    for target in targets.values():
        truth = bench.truth(target)
        assert any(bench.lies(record, truth) for record in bench.hits(target, "stall"))
    for target in targets.values():
        bench.recovers(target)


def test_slow_drip(bench: Bench):
    """A byte every tenth of a second, of the body or of the head, never idles and is ETIMEDOUT within --timeout."""
    targets = {"drip": bench.fresh(), "drip_head": bench.fresh()}
    for fault, target in targets.items():
        bench.inject(target, fault)
    together(bench, *targets.values())
    for fault, target in targets.items():
        assert all(record.body_nbytes < 1000 for record in bench.hits(target, fault))
    for target in targets.values():
        bench.recovers(target)


def test_name_does_not_resolve(home: Path, make_bench: MakeBench):
    """Without a name for the service every question is EHOSTUNREACH at once and the mount's own files answer; when the
    name is back everything works within 5 s, by itself."""
    with StandinThread(make_account(calls=20), credentials=CANARIES) as standin:
        port = standin.base_url.rpartition(":")[2]
        variables, shim = with_shim(home)
        variables |= {
            "CFFS_V1_URL": f"http://origin.invalid:{port}/cloud/1",
            "CFFS_V2_URL": f"http://origin.invalid:{port}/v2",
        }
        (shim / "resolves").touch()
        with make_bench(home, "--insecure-http", standin=standin, **variables) as bench:
            cached, cold = bench.fresh(), bench.fresh()
            bench.succeeds(cached)
            (shim / "resolves").unlink()
            port_taken = int(port)
            standin.close()  # an open connection would go on
            bench.fails(cold, errno.EHOSTUNREACH)
            until(lambda: bench.origin()["v2"] == "offline")
            for _ in range(5):
                assert bench.fails(cold, errno.EHOSTUNREACH).slowest_seconds < 0.2 * NOISE
            bench.succeeds(cached)
            with StandinThread(standin.account, port=port_taken, credentials=CANARIES) as again:
                time.sleep(0.5)
                assert again.requests == [], "the name is still gone"
                (shim / "resolves").touch()
                bench.standin = again
                bench.recovers(cold)
            assert bench.origin()["v2"] == "online"
            bench.alive()


def test_untrusted_tls(home: Path, make_bench: MakeBench, said):
    """A certificate of an unknown authority, of another host or out of date: no request arrives, what is asked is an
    error, and the mount's own files answer; with the authority given it works."""
    from tests.mount.mounting import account_variables, mounted

    authority, other = trustme.CA(), trustme.CA()
    bundle = home / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    from datetime import UTC, datetime

    certificates = {
        "good": authority.issue_cert("127.0.0.1"),
        "unknown": other.issue_cert("127.0.0.1"),
        "other host": authority.issue_cert("192.0.2.7"),
        "out of date": authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    }
    for number, (name, certificate) in enumerate(certificates.items()):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        with StandinThread(make_account(calls=3), credentials=CANARIES, tls=context) as standin:
            folder = home / str(number)
            folder.mkdir()
            told = {**account_variables(standin), "CFFS_CA_BUNDLE": str(bundle), "CFFS_TIMEOUT": "4"}
            with mounted(said, folder, told) as mount:
                if name == "good":
                    assert os.listdir(mount.path / "campaigns")
                    assert standin.requests
                    continue
                began_at = time.monotonic()
                with pytest.raises(OSError) as raised:
                    os.listdir(mount.path / "campaigns")
                assert raised.value.errno == errno.EHOSTUNREACH, name
                assert time.monotonic() - began_at < 4
                assert standin.requests == [], name
                assert mount.status()["origin"]["state"] == "offline"


def test_error_is_not_cached(bench: Bench):
    """A descriptor that met an error reads right once the fault is gone: after EIO at once, after a timeout within 5 s;
    no page of the failure stays."""
    for fault, options, expected in (("status", {"code": 500}, errno.EIO), ("hang", {}, errno.ETIMEDOUT)):
        target = bench.fresh()
        truth = bench.truth(target)
        with open(target.path, "rb", buffering=0) as file:
            assert file.read(1000) == truth[:1000]
            bench.inject(target, fault, **options)
            with bench.watched(), pytest.raises(OSError) as raised:
                os.pread(file.fileno(), 1000, 1_300_000)
            assert raised.value.errno == expected
            bench.hits(target, fault)
            bench.standin.faults.clear()

            def is_right(file=file, truth: bytes = truth) -> bool:
                try:
                    return os.pread(file.fileno(), 1000, 1_300_000) == truth[1_300_000:1_301_000]
                except OSError:
                    return False

            until(is_right, seconds=RECOVERY_SECONDS)


def test_suspend(home: Path, make_bench: MakeBench):
    """After 90 s of sleep (2 of them real, the rest skipped on the daemon's clock) in which the service dropped every
    connection, a blocked read and the first new one are answered within --timeout of waking."""
    variables, shim = with_shim(home)
    sleep_and_wake(home, make_bench, 2, lambda: (shim / "later").write_text(str(SUSPEND_SECONDS - 2)), **variables)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_suspend_for_real(home: Path, make_bench: MakeBench):
    """After 90 s of real sleep in which the service dropped every connection, reads are answered within --timeout."""
    sleep_and_wake(home, make_bench, SUSPEND_SECONDS, lambda: None)


def sleep_and_wake(
    home: Path, make_bench: MakeBench, seconds: float, skip: Callable[[], object], **variables: str
) -> None:
    """Stop the daemon with a read waiting, drop its connections, let the time go by, continue, read."""
    with StandinThread(make_account(calls=20), credentials=CANARIES) as standin:
        with make_bench(home, standin=standin, **variables) as bench:
            bench.succeeds(bench.fresh())
            blocked, cold = bench.fresh(), bench.fresh()
            bench.inject(blocked, "hang")
            reader = subprocess.Popen(
                ["cat", blocked.path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            until(lambda: any("hang" in (record.fault or "") for record in bench.requests(blocked)))
            os.kill(bench.mount.pid, signal.SIGSTOP)
            port = int(standin.base_url.rpartition(":")[2])
            standin.close()
            time.sleep(seconds)
            skip()
            with StandinThread(standin.account, port=port, credentials=CANARIES) as again:
                bench.standin = again
                os.kill(bench.mount.pid, signal.SIGCONT)
                woke_at = time.monotonic()
                bench.succeeds(cold)
                _, said = reader.communicate(timeout=bench.timeout_seconds * NOISE)
                assert time.monotonic() - woke_at < bench.timeout_seconds
                assert not said or any(os.strerror(number) in said for number in WAKING), said
                bench.recovers(blocked)
                bench.alive()
