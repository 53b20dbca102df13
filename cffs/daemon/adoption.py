"""A mount that the caller made, served through the descriptor that it handed on.

In a container a daemon may have neither /dev/fuse nor the right to mount. A caller that has both opens the device,
mounts, and starts `cffs mount /dev/fd/N`, as one does with mountpoint-s3 and JuiceFS. The caller unmounts what it
mounted. Owns how such a descriptor is checked. It must not know what serves the mount.
"""

import os
import re
import select
import stat
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.core.procfs import Mount
from cffs.daemon.mount_table import mounts_now
from cffs.daemon.mounting import Connection, MountIdentity

_PATH = re.compile(r"/dev/fd/(\d{1,9})")
#: The number of /dev/fuse in the kernel's list of devices.
_DEV_FUSE = os.makedev(10, 229)
#: How the kernel names the connection of a mounted descriptor of /dev/fuse (seen with 6.18); older kernels do not.
_CONNECTION = re.compile(r"^fuse_connection:\s*(\d+)$", re.MULTILINE)
#: No user's number, so that every user finds that another one is to unmount.
_BY_THE_CALLER = -1


def descriptor_in(mountpoint: Path) -> int | None:
    """N of /dev/fd/N; None for any other mount point."""
    found = _PATH.fullmatch(str(mountpoint))
    return None if found is None else int(found[1])


def place_of(descriptor: int) -> Path:
    """Where the descriptor's mount is seen from here, or /dev/fd/N where it is not. Raises UsageError, one line, for a
    descriptor that serves no mount."""
    _check(descriptor)
    found = _mount_of(descriptor)
    return Path(f"/dev/fd/{descriptor}") if found is None else found.mountpoint


def adopt(descriptor: int) -> Connection:
    """The mount of the descriptor, not yet served. Raises UsageError, one line."""
    _check(descriptor)
    found = _mount_of(descriptor)
    if found is None:
        identity = MountIdentity(mountpoint=f"/dev/fd/{descriptor}", device="", source="", by_uid=_BY_THE_CALLER)
        return Connection(descriptor=os.dup(descriptor), root=-1, identity=identity)
    try:
        root = os.open(found.mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot use the mount at {found.mountpoint}: {error.strerror}") from error
    identity = MountIdentity(
        mountpoint=str(found.mountpoint), device=found.device, source=found.source, by_uid=_BY_THE_CALLER
    )
    return Connection(descriptor=os.dup(descriptor), root=root, identity=identity)


def _check(descriptor: int) -> None:
    try:
        found = os.fstat(descriptor)
    except OSError as error:
        raise UsageError(f"descriptor {descriptor} is not open; the caller opens /dev/fuse and mounts first") from error
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _DEV_FUSE:
        raise UsageError(f"descriptor {descriptor} is not of /dev/fuse")
    looking = select.poll()
    looking.register(descriptor, select.POLLIN)
    if any(events & select.POLLERR for _number, events in looking.poll(0)):
        raise UsageError(f"nothing is mounted through descriptor {descriptor}, or no longer")


def _mount_of(descriptor: int) -> Mount | None:
    """The mount in this mount table, whole and the newest; None where it is in none that is seen, or not named."""
    named = _CONNECTION.search(Path(f"/proc/self/fdinfo/{descriptor}").read_text())
    if named is None:
        return None
    device = f"0:{named[1]}"
    mounts = [mount for mount in mounts_now() if mount.device == device and mount.root == Path("/")]
    return mounts[-1] if mounts else None
