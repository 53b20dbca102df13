"""The helper of the udev rule raises the read-ahead of cffs mounts, and no other.

A real udev is not needed: the helper is started as udev starts it. The mounts are an ordinary user's, made through
fusermount3, and served by this test, which decides when FUSE_INIT is answered.
"""

import array
import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELPER = ROOT / "scripts/tools/debian/read-ahead"
#: The ordinary user that every system has.
USER = "nobody"
FUSE = Path("/dev/fuse")
#: What fuse_kernel.h calls FUSE_INIT; the heads of a request and of an answer.
FUSE_INIT, REQUEST, ANSWER = 26, struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
#: fuse_init_out up to max_write, and what follows it.
INIT_OUT = struct.Struct("=IIIIHHI36x")
#: udev runs some 20 programs at a time on two cores.
AT_ONCE = 20
MOUNTS = 100


@dataclass
class Raw:
    """A mount without a file system: its kernel's end, and the number N of its device 0:N."""

    path: Path
    descriptor: int
    number: str

    def read_ahead_kb(self) -> int:
        """What is set now."""
        return int(Path(f"/sys/class/bdi/0:{self.number}/read_ahead_kb").read_text())

    def answer_init(self) -> None:
        """As a daemon does that takes what the kernel offers."""
        request = os.read(self.descriptor, 1 << 18)
        nbytes, opcode, unique, *_ = REQUEST.unpack_from(request)
        assert (nbytes, opcode) == (len(request), FUSE_INIT)
        major, _minor, max_readahead, _flags = struct.unpack_from("=IIII", request, REQUEST.size)
        body = INIT_OUT.pack(major, 31, max_readahead, 0, 12, 9, 131072)
        os.write(self.descriptor, ANSWER.pack(ANSWER.size + len(body), 0, unique) + body)


def mounted_raw(path: Path, *, subtype: str = "cffs") -> Raw:
    """A mount of the ordinary user there."""
    account = pwd.getpwnam(USER)
    path.mkdir()
    os.chown(path, account.pw_uid, account.pw_gid)
    ours, its = socket.socketpair()
    with ours, its:
        subprocess.run(
            ["fusermount3", "-o", f"ro,nosuid,nodev,fsname=callfire:test,subtype={subtype}", "--", str(path)],
            check=True,
            user=USER,
            group=account.pw_gid,
            extra_groups=[],
            pass_fds=(its.fileno(),),
            env={"PATH": os.environ["PATH"], "_FUSE_COMMFD": str(its.fileno())},
        )
        numbers = array.array("i")
        _data, ancillary, *_ = ours.recvmsg(1, socket.CMSG_SPACE(numbers.itemsize))
        numbers.frombytes(ancillary[0][2])
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    (device,) = [fields[2] for fields in lines if fields[4] == str(path)]
    return Raw(path, numbers[0], device.removeprefix("0:"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the ordinary user reaches; what is mounted below it is unmounted at the end."""
    if FUSE.stat().st_mode & 0o006 != 0o006:
        FUSE.chmod(0o666)  # as udev does
    place = Path(tempfile.mkdtemp(prefix="cffs-read-ahead-"))
    place.chmod(0o755)
    yield place
    for path in place.iterdir():
        subprocess.run(["umount", "--lazy", str(path)], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(place)


def called_as_udev_does(number: str, *, fusectl: bool) -> subprocess.CompletedProcess[str]:
    """The helper with udev's argument and environment, in a mount table that follows this one as udev's does."""
    device = f"0:{number}"
    environment = {
        "ACTION": "add",
        "DEVPATH": f"/devices/virtual/bdi/{device}",
        "SUBSYSTEM": "bdi",
        "SEQNUM": "4711",
        "USEC_INITIALIZED": "1",
    }
    show = "mount -t fusectl fusectl /sys/fs/fuse/connections && " if fusectl else ""
    hide = "umount -q /sys/fs/fuse/connections; " if not fusectl else ""
    script = f'PATH=/usr/sbin:/usr/bin:/sbin:/bin; {hide}{show}exec env -u PATH "$@"'
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh", str(HELPER), device]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("fusectl", [True, False])
def test_a_hundred_mounts_of_a_user_end_at_1024(folder, fusectl):
    """Whenever FUSE_INIT is answered, before the helper looks or a second later, each mount ends at 1024 KiB; no call
    of the helper says a word or fails."""
    made, lock = list[Raw](), threading.Lock()

    def mount_and_tune(index: int) -> subprocess.CompletedProcess[str]:
        with lock:
            raw = mounted_raw(folder / str(index))
            made.append(raw)
        if index % 4 == 0:
            raw.answer_init()
            return called_as_udev_does(raw.number, fusectl=fusectl)
        later = threading.Timer(index % 10 / 10, raw.answer_init)
        later.start()
        done = called_as_udev_does(raw.number, fusectl=fusectl)
        later.join()
        return done

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(mount_and_tune, range(MOUNTS)))
    try:
        assert [raw.read_ahead_kb() for raw in made] == [1024] * MOUNTS
        assert {(one.returncode, one.stdout, one.stderr) for one in done} == {(0, "", "")}
    finally:
        for raw in made:
            os.close(raw.descriptor)


def test_the_kernel_cuts_what_is_set_too_early(folder):
    """The reason for the wait: a value set before FUSE_INIT is answered is gone after the answer."""
    raw = mounted_raw(folder / "early")
    before = raw.read_ahead_kb()
    Path(f"/sys/class/bdi/0:{raw.number}/read_ahead_kb").write_text("1024")
    raw.answer_init()
    assert raw.read_ahead_kb() == before < 1024
    os.close(raw.descriptor)


def test_other_mounts_are_left_alone(folder):
    """A mount of FUSE that is not cffs's keeps its value, and the helper ends at once."""
    raw = mounted_raw(folder / "other", subtype="sshfs")
    raw.answer_init()
    before, began_at = raw.read_ahead_kb(), time.monotonic()
    assert called_as_udev_does(raw.number, fusectl=True).returncode == 0
    assert raw.read_ahead_kb() == before
    assert time.monotonic() - began_at < 2
    os.close(raw.descriptor)


@pytest.mark.parametrize("argument", ["", "0:", "0:../../../tmp", "0:1 2", "8:0x", "0:1/../2", "0:$(touch /tmp/x)"])
def test_only_device_numbers_are_taken(argument):
    """Anything but the number of a device ends the helper before it looks at anything."""
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=openat,execve", str(HELPER), argument], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "/sys" not in done.stderr
    assert done.stderr.count("execve(") == 1


def test_a_mount_that_never_comes_is_not_waited_for_long():
    """Without a mount the helper gives up after about two seconds: udev's other work waits for it."""
    began_at = time.monotonic()
    assert called_as_udev_does("99999999", fusectl=False).returncode == 0
    assert 1 < time.monotonic() - began_at < 15


def test_the_rule_calls_the_helper_of_the_package():
    """The rule is about devices without a disk that appear, and names the helper where the package puts it."""
    text = (ROOT / "scripts/tools/debian/60-cffs.rules").read_text()
    (rule,) = [line for line in text.splitlines() if not line.startswith("#")]
    assert rule == 'ACTION=="add", SUBSYSTEM=="bdi", KERNEL=="0:[0-9]*", RUN+="/usr/lib/cffs/read-ahead %k"'
    assert '/ "read-ahead", mode=0o755' in (ROOT / "scripts/tools/package.py").read_text()
