"""`--audit-log` on a real mount: a line for each recording that was read."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.mount.mounting import account_variables, mounted, run


def test_every_recording_opened_is_a_line(said, home, standin):
    """The last close notes time, uid, process, program, path and bytes; a second reader's bytes count although they are
    cached; listings and rendered files are no recordings."""
    log = home / "audit"
    with mounted(said, home, account_variables(standin), "--audit-log", str(log)) as mount:
        folder = mount.path / "recordings"
        names = sorted(name for name in os.listdir(folder) if name.endswith(".mp3"))
        size = (folder / names[0]).stat().st_size
        (folder / names[0].replace(".mp3", ".json")).read_bytes()
        cat = subprocess.Popen(["cat", folder / names[0]], stdout=subprocess.DEVNULL)
        assert cat.wait(timeout=30) == 0
        (folder / names[0]).read_bytes()
        descriptor = os.open(folder / names[1], os.O_RDONLY)
        other = os.dup(descriptor)
        assert os.pread(descriptor, 100, 0)
        os.close(descriptor)
        assert [line["path"] for line in told(log, 2)] == [f"recordings/{names[0]}"] * 2
        os.close(other)
        view = next((mount.path / "by-number").iterdir())
        by_view = next(path for path in sorted(view.iterdir()) if path.suffix == ".mp3")
        by_view.read_bytes()
        found = told(log, 4)
    first, second, third, fourth = found
    program = os.path.realpath(shutil.which("cat") or "")
    assert (first["pid"], first["program"], first["bytes_read"]) == (cat.pid, program, size)
    assert (second["pid"], second["program"]) == (os.getpid(), os.path.realpath(sys.executable))
    assert second["bytes_read"] == size
    assert (third["path"], third["uid"]) == (f"recordings/{names[1]}", os.getuid())
    assert third["bytes_read"] >= 100
    assert fourth["path"] == str(by_view.relative_to(mount.path))
    assert list(first) == ["time", "uid", "pid", "program", "path", "bytes_read"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_lost_line_disturbs_no_read(said, home, standin):
    """With the log's folder gone reads succeed; once it is back the log says how many lines it lacks. It works beside
    `--thumbnailers head` as well."""
    folder = home / "logs"
    folder.mkdir()
    options = ("--audit-log", str(folder / "audit"), "--thumbnailers", "head")
    with mounted(said, home, account_variables(standin), *options) as mount:
        first, second = sorted((mount.path / "recordings").glob("*.mp3"))[:2]
        folder.rename(home / "away")
        assert first.read_bytes()
        deadline = time.monotonic() + 20
        while "audit log loses lines" not in mount.log():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        folder.mkdir()
        assert second.read_bytes()
        found = told(folder / "audit", 2)
    assert found[0] == {"lost": 1}
    assert (found[1]["path"], found[1]["pid"]) == (f"recordings/{second.name}", os.getpid())


def test_a_reader_that_outlives_the_mount_is_noted(said, home, standin):
    """A recording that is open when a signal ends the mount has its line too."""
    log, path = home / "audit", home / "mnt"
    path.mkdir()
    done = run(said, home, "mount", "--audit-log", log, path, **account_variables(standin))
    assert done.returncode == 0, done.stderr
    try:
        pid = json.loads((path / ".cffs/status.json").read_bytes())["pid"]
        name = next(name for name in sorted(os.listdir(path / "recordings")) if name.endswith(".mp3"))
        descriptor = os.open(path / "recordings" / name, os.O_RDONLY)
        try:
            assert os.read(descriptor, 1)
            os.kill(pid, signal.SIGTERM)
            (found,) = told(log, 1)
        finally:
            with suppress(OSError):  # of a mount that is gone
                os.close(descriptor)
    finally:
        run(said, home, "umount", "--lazy", path)
    assert (found["path"], found["pid"]) == (f"recordings/{name}", os.getpid())
    assert found["bytes_read"] >= 1


def told(log: Path, count: int) -> list[dict[str, object]]:
    """The log's lines, once there are so many."""
    deadline = time.monotonic() + 20
    while True:
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count, found
            return found
        time.sleep(0.02)
