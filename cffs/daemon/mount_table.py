"""The mount table that this process sees, read without touching any mount.

Owns the look-up of a mount by its path: a mount that hangs answers no question itself. It must not know commands or the
daemon's calls.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.core.procfs import Mount, parse_mountinfo

_MOUNTINFO = Path("/proc/self/mountinfo")


def mounts_now() -> list[Mount]:
    """The mount table of now. Raises UsageError where the kernel does not show it."""
    try:
        return parse_mountinfo(os.fsdecode(_MOUNTINFO.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot read {_MOUNTINFO}: {error.strerror}; is /proc mounted?") from error


def mount_at(mountpoint: Path, mounts: Iterable[Mount] | None = None) -> Mount | None:
    """The topmost mount whose mount point is exactly this path, or None."""
    found = mounts_now() if mounts is None else mounts
    return next((mount for mount in reversed(list(found)) if mount.mountpoint == mountpoint), None)
