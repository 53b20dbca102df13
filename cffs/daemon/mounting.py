"""Mounting and unmounting, as root or through fusermount3.

A mount that was moved is found again, and unmounted where it lies. The process that the caller started mounts, not the
daemon: an automount trap lets its own process group through, and keeps every other process waiting until the mount is
there.

Owns how a mount is recognised in the mount table. It must not know what serves the mount.
"""

import array
import ctypes
import errno
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.core.procfs import FILESYSTEM, Mount
from cffs.core.settings import Settings
from cffs.daemon.mount_table import mount_at, mounts_now

#: <sys/mount.h>.
_MS_RDONLY = 1
#: MS_NOSUID, MS_NODEV, MS_NOEXEC.
_FLAGS = 2 | 4 | 8
_MS_REMOUNT = 32
_MNT_DETACH = 2
#: fusermount3 answers in milliseconds.
_TOOL_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.02
#: The variable that names to fusermount3 the socket on which it answers.
_ANSWER_ON = "_FUSE_COMMFD"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountIdentity:
    """What distinguishes a mount from every other in the mount table, whatever became of its path."""

    mountpoint: str
    device: str
    source: str
    #: The user who mounted it, and who is to unmount it.
    by_uid: int

    def places(self) -> list[Mount]:
        """Where it is mounted now, the newest place first: it may have been moved, or bound to further places."""
        return [
            mount
            for mount in reversed(mounts_now())
            if (mount.device, mount.source, mount.filesystem) == (self.device, self.source, FILESYSTEM)
        ]


@dataclass(slots=True, kw_only=True)
class Connection:
    """A mount that was just made, not yet served. `descriptor` is the kernel's end, `root` (O_PATH) its root folder, or
    -1 where the mount is not seen from here."""

    descriptor: int
    root: int
    identity: MountIdentity

    def take(self) -> int:
        """Return the kernel's end, which the caller has to close from now on."""
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor

    def close_root(self) -> None:
        """Close the root folder, which keeps the mount busy for as long as it is open."""
        root, self.root = self.root, -1
        if root >= 0:
            os.close(root)

    def close(self) -> None:
        """Close what is still open. Without another holder of the kernel's end, the mount is dead then."""
        self.close_root()
        descriptor = self.take()
        if descriptor >= 0:
            os.close(descriptor)


def mount(settings: Settings, mountpoint: Path) -> Connection:
    """Mount on `mountpoint`, where no FUSE file system is mounted yet. Raises UsageError, one line.

    The folder is locked meanwhile, so that of several processes that mount on it, one wins.
    """
    with _locked(mountpoint) as folder:
        _require_free(mountpoint)
        source = source_of(settings)
        descriptor = _mounted(settings, mountpoint, folder, source)
        root = -1
        try:
            root = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            made = mount_at(mountpoint)
            if made is None or not made.is_cffs:
                raise UsageError(f"cannot mount on {mountpoint}: it was taken away at once")
        except BaseException as error:
            os.close(descriptor)
            if root >= 0:
                os.close(root)
            if isinstance(error, OSError):
                raise UsageError(f"cannot mount on {mountpoint}: {error.strerror}") from error
            raise
    identity = MountIdentity(mountpoint=str(mountpoint), device=made.device, source=source, by_uid=os.geteuid())
    return Connection(descriptor=descriptor, root=root, identity=identity)


def set_flags(mountpoint: Path, *, is_read_only: bool) -> None:
    """Remount what is mounted there, read-only or writable; nosuid, nodev and noexec stay. Raises UsageError, one
    line."""
    flags = ctypes.c_ulong(_MS_REMOUNT | _FLAGS | (_MS_RDONLY if is_read_only else 0))
    if _libc().mount(b"none", os.fsencode(mountpoint), FILESYSTEM.encode(), flags, None) != 0:
        raise UsageError(f"cannot remount {mountpoint}: {os.strerror(ctypes.get_errno())}")


def free(identity: MountIdentity) -> list[Path]:
    """Unmount it everywhere in this mount table, lazily: a program that still holds it gets errors. Returns where it
    was mounted. Does nothing where another user mounted it. Never raises."""
    if identity.by_uid != os.geteuid():
        return []
    try:
        places = identity.places()
    except UsageError:
        return []
    for place in places:
        if os.geteuid() != 0 or not _unmounted(place):
            _free_by_tool(place.mountpoint)
    return [place.mountpoint for place in places]


def _unmounted(place: Mount) -> bool:
    """Unmount as root: this very mount, not another that lies at its path meanwhile."""
    try:
        top = os.open(place.mountpoint, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fields = Path(f"/proc/self/fdinfo/{top}").read_text().split()
        if fields[fields.index("mnt_id:") + 1] != str(place.mount_id):
            return False
        return bool(_libc().umount2(f"/proc/self/fd/{top}".encode(), _MNT_DETACH) == 0)
    except (OSError, ValueError, IndexError):
        return False
    finally:
        os.close(top)


def source_of(settings: Settings) -> str:
    """The source that the mount table shows."""
    return f"callfire:{settings.label}"


def _require_free(mountpoint: Path) -> None:
    existing = mount_at(mountpoint)
    if existing is not None and existing.filesystem.startswith("fuse"):
        raise UsageError(f"{mountpoint} is already mounted ({existing.source}); unmount it first")


@contextmanager
def _locked(mountpoint: Path) -> Iterator[int]:
    """Keep other processes of cffs from mounting there, for the length of the block; yields the folder. The lock is on
    the folder itself, below whatever is mounted on it meanwhile."""
    try:
        below = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _require_free(mountpoint)
            folder = os.open(f"/proc/self/fd/{below}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(below)
    except OSError as error:
        raise UsageError(f"cannot mount on {mountpoint}: {error.strerror}") from error
    try:
        if os.readlink(f"/proc/self/fd/{folder}") != str(mountpoint):
            # the path had no links when it was checked: root must not have been led elsewhere since
            raise UsageError(f"cannot mount on {mountpoint}: a link was put into its path")
        _lock(folder, mountpoint)
        yield folder
    finally:
        os.close(folder)


def _lock(folder: int, mountpoint: Path) -> None:
    """Lock the folder. A process that mounts there holds the lock for milliseconds; any other that can read the folder
    could hold it for ever, so the wait is bounded."""
    deadline = time.monotonic() + _TOOL_SECONDS
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UsageError(f"cannot mount on {mountpoint}: another program holds a lock on it") from None
            pause.wait(_LOCK_PAUSE_SECONDS)
        except OSError:
            return  # a file system without locks: the mount table is checked nevertheless
        else:
            return


def _mounted(settings: Settings, mountpoint: Path, folder: int, source: str) -> int:
    """Mount on that very folder; returns the kernel's end. Raises UsageError."""
    if os.geteuid() != 0:
        return _mounted_by_tool(settings, mountpoint, source)
    try:
        descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        hint = "there is no /dev/fuse; load the fuse module" if isinstance(error, FileNotFoundError) else error.strerror
        raise UsageError(f"cannot mount on {mountpoint}: {hint}") from error
    data = f"fd={descriptor},rootmode={stat.S_IFDIR:o},user_id={settings.uid},group_id={settings.gid}"
    for option in _options(settings):
        data += f",{option}"
    flags = ctypes.c_ulong(_FLAGS | _MS_RDONLY if settings.is_read_only else _FLAGS)
    libc = _libc()
    if libc.mount(source.encode(), f"/proc/self/fd/{folder}".encode(), FILESYSTEM.encode(), flags, data.encode()) != 0:
        number = ctypes.get_errno()
        os.close(descriptor)
        if number == errno.EPERM and _tool() is not None:  # root of a container that may not mount
            return _mounted_by_tool(settings, mountpoint, source)
        raise UsageError(f"cannot mount on {mountpoint}: {os.strerror(number)}")
    return descriptor


def _options(settings: Settings) -> list[str]:
    named = {"default_permissions": settings.kernel_checks_modes, "allow_other": settings.allow_other}
    return [name for name, is_wanted in named.items() if is_wanted]


def _mounted_by_tool(settings: Settings, mountpoint: Path, source: str) -> int:
    tool = _tool()
    if tool is None:
        raise UsageError(f"cannot mount on {mountpoint}: there is no fusermount3; install fuse3")
    escaped = source.replace("\\", "\\\\").replace(",", "\\,")
    options = [f"fsname={escaped}", "subtype=cffs", "nosuid", "nodev", "noexec", *_options(settings)]
    if settings.is_read_only:
        options.append("ro")
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        with its:
            child = subprocess.Popen(  # noqa: S603  # a fixed list of arguments
                [tool, "-o", ",".join(options), "--", str(mountpoint)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(its.fileno(),),
                env=_tool_environment() | {_ANSWER_ON: str(its.fileno())},
            )
        _output, said = child.communicate()
        received = _received(ours)
    if child.returncode == 0 and received is not None:
        return received
    if received is not None:
        os.close(received)
    raise UsageError(f"cannot mount on {mountpoint}: {_reason(said, settings)}")


def _received(channel: socket.socket) -> int | None:
    """The descriptor that was sent; None where none was."""
    descriptors = array.array("i")
    # without waiting: the tool has ended, so what it sent has arrived
    flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    _data, ancillary, _flags, _address = channel.recvmsg(1, socket.CMSG_SPACE(descriptors.itemsize), flags)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: descriptors.itemsize])
    return descriptors[0] if descriptors else None


def _reason(said: bytes, settings: Settings) -> str:
    if settings.allow_other and b"user_allow_other" in said:
        return "--allow-other needs a line user_allow_other in /etc/fuse.conf"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse; load the fuse module"
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "fusermount3 gave no reason"


def _free_by_tool(place: Path) -> None:
    tool = _tool()
    if tool is None:
        return
    try:
        subprocess.run(  # noqa: S603  # a fixed list of arguments
            [tool, "-u", "-z", "-q", "--", str(place)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_tool_environment(),
            timeout=_TOOL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return  # it stays, as a dead mount that the next mount clears


def _tool() -> str | None:
    return shutil.which("fusermount3") or shutil.which("fusermount")


def _tool_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
