"""The audit log's file: its lines, its mode, its rotation.

No reader ever waits for it.
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cffs.core.errors import UsageError
from cffs.daemon.audit_log import KEPT_FILES, AuditLog


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("bits", [0o000, 0o077])
def test_lines_are_whole_in_order_and_private(tmp_path, bits):
    """What was noted is there when the block ends, one JSON object a line, in a file of 0600 whatever the umask."""
    path = tmp_path / "audit"
    for start in (0, 500):
        with umask(bits):
            log = AuditLog(path)
        with log.writing():
            for number in range(start, start + 500):
                log.note({"number": number, "path": "caf\u00e9 \n \ud800"})
    assert [line["number"] for line in lines(path)] == list(range(1000))
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_rotated_by_size(tmp_path):
    """A file that has become too long is moved aside; each has mode 0600, and at most nine old ones are kept."""
    path = tmp_path / "audit"
    for number in range(60):
        log = AuditLog(path, rotate_nbytes=20)
        with log.writing():
            log.note({"number": number, "padding": "x" * 20})
    assert [line["number"] for line in lines(path)] == [59]
    for age in range(1, KEPT_FILES + 1):
        kept = tmp_path / f"audit.{age}"
        assert [line["number"] for line in lines(kept)] == [59 - age]
        assert kept.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == KEPT_FILES + 1


def test_a_file_moved_away_is_replaced(tmp_path):
    """logrotate needs no signal: lines after the move are in a new file."""
    path = tmp_path / "audit"
    log = AuditLog(path)
    with log.writing():
        log.note({"number": 1})
        wait_for(lambda: lines(path))
        path.rename(tmp_path / "moved")
        log.note({"number": 2})
    assert (lines(tmp_path / "moved"), lines(path)) == ([{"number": 1}], [{"number": 2}])


def test_nobody_waits_for_a_disk_that_hangs(tmp_path, caplog):
    """With no writer, notes return at once; what is lost is one line in the log, and one in the file."""
    log = AuditLog(tmp_path / "audit", most_waiting=100)
    began_at = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for number in range(5000):
            log.note({"number": number})
    assert time.monotonic() - began_at < 5
    assert len(caplog.records) == 1
    with log.writing():
        pass  # the disk comes back
    assert lines(tmp_path / "audit") == [{"lost": 4900}, *({"number": number} for number in range(100))]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path, caplog):
    """While the file's folder is gone, lines are lost, with one line in the log; afterwards it goes on, and says how
    many."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AuditLog(folder / "audit")
    with caplog.at_level(logging.WARNING), log.writing():
        folder.rename(tmp_path / "away")
        for number in range(3):
            log.note({"number": number})
            wait_for(lambda many=number + 1: log._lost == many)
        assert [record.message.split(" file=")[0] for record in caplog.records] == [
            "audit log loses lines, reads go on"
        ]
        folder.mkdir()
        log.note({"number": 3})
    assert lines(folder / "audit") == [{"lost": 3}, {"number": 3}]
    assert len(caplog.records) == 2


def test_a_full_disk_leaves_no_half_line(tmp_path):
    """A write that the file system cuts short is taken back, so that every line in the file is whole."""
    program = f"""
import resource, sys
from pathlib import Path
from cffs.daemon.audit_log import AuditLog
log = AuditLog(Path({str(tmp_path / "audit")!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
with log.writing():
    for number in range(300):
        log.note({{"number": number}})
        while not log._waiting.empty():
            pass
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=30, cwd=Path(__file__).parents[2])
    found = lines(tmp_path / "audit")
    assert found[0] == {"number": 0}
    assert (tmp_path / "audit").stat().st_size <= 1000


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder", "pipe"])
def test_what_is_no_plain_file_is_refused(tmp_path, kind):
    """What is no plain file is refused in one line that names the option, and is untouched."""
    path, other = tmp_path / "audit", tmp_path / "other"
    other.write_text("mine")
    {
        "symlink": lambda: path.symlink_to(other),
        "hard link": lambda: path.hardlink_to(other),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    with pytest.raises(UsageError, match="--audit-log"):
        AuditLog(path)
    assert other.read_text() == "mine"


def wait_for(found) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            if found():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.01)
