"""Every channel of a verbose mount's life: no credential shows in any."""

import os
from pathlib import Path

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.canary import CANARIES, Evidence
from tests.mount.mounting import account_variables, mounted, run


def test_no_channel_shows_a_credential(said, home, standin):
    """Output of every command, log, audit log, cache, state and config folders, process, mount table, names,
    attributes, the mount's own files, the control socket, and a host that was redirected to: all of them were looked
    at, while reads succeed, fail, are redirected, refused and garbled."""
    evidence, audit = Evidence(), home / "audit"
    with StandinThread(Account(seed=3, calls=2), credentials=CANARIES) as other:
        other.faults.add("body", data=b"ID3 another's bytes", status=200, content_type="audio/mpeg")
        variables = account_variables(standin)
        options = ("--debug", "--audit-log", str(audit), "--timeout", "4", "--xattrs", "--writable")
        with mounted(said, home, variables, *options) as mount:
            (mount.path / "media/a.mp3.part").write_bytes(b"ID3 spooled, never sent")
            # backwards: read forwards, the next ones would be prefetched before a fault could hit them
            recordings = sorted((mount.path / "recordings").glob("*.mp3"), reverse=True)
            wavs = [path.with_suffix(".wav") for path in recordings]
            for path in (*recordings[:3], *wavs[:3], mount.path / "me/account.json"):
                path.read_bytes()
            faults = (
                ("redirect", {"location": other.base_url + "/signed{path}?{query}"}),
                ("redirect", {"location": "http://169.254.169.254/x?{query}"}),
                ("redirect", {"location": "{path}?{query}"}),
                ("status", {"code": 401}),
                ("garbage", {}),
            )
            for number, (fault, fields) in enumerate(faults, start=3):
                for path in (recordings[number], wavs[number]):
                    rule = standin.faults.add(fault, **fields)
                    try:
                        path.read_bytes()
                    except OSError:
                        pass  # the error itself is held by other tests
                    standin.faults.remove(rule)
            for name in os.listdir(mount.path / "me/api/credentials"):
                (mount.path / "me/api/credentials" / name).read_bytes()
            evidence.add_tree(mount.path)
            evidence.add_process(mount.pid)
            evidence.add_mount_table(Path("/proc/self/mountinfo"))
            control = Path(str(mount.status()["control"]))
            evidence.add_control(control, ["hello", "status", "inflight", "reload", "no such command"])
            for command in (
                ("status", mount.path),
                ("status", "--json"),
                ("doctor",),
                ("config", "show"),
                ("config", "show", "--json"),
                ("cache", "stats"),
                ("cache", "verify"),
                ("prefetch", recordings[0]),
            ):
                done = run(said, home, *command, **variables)
                evidence.add("stdout", done.stdout)
                evidence.add("stderr", done.stderr)
        evidence.add_requests(other.requests)
    assert list((home / "cache").rglob("spool/*/*.part")), "what waits to be sent is looked at too"
    for name in ("config", "cache", "state"):
        if (home / name).exists():
            evidence.add_files(name, home / name)
    evidence.add("log", (home / "log").read_bytes())
    evidence.add("audit log", audit.read_bytes())
    assert evidence.found() == []
    for channel in ("cache", "state", "log", "audit log", "names", "xattrs", "own files", "process", "mount table"):
        assert any(evidence.pieces[channel]), channel
    for channel in ("control socket", "another host", "stdout", "stderr"):
        assert any(evidence.pieces[channel]), channel
