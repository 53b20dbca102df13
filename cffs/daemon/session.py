"""The kernel's session of a mount: the options it is opened with, and what to do where it cannot be.

It must not know what the operations do. `daemon/mount` opens and closes it.
"""

import os
from pathlib import Path

import pyfuse3

from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.fuse.kernel_turns import KernelTurns


def open_session(
    operations: pyfuse3.Operations, settings: Settings, mountpoint: Path, fuse_descriptor: int | None
) -> None:
    """Mount, or with `fuse_descriptor` take over what root has mounted. Raises UsageError, one line with a hint."""
    options = {f"fsname=callfire:{settings.label}", "subtype=cffs", "nosuid", "nodev", "noexec"}
    if not settings.writable:
        options.add("ro")
    if settings.kernel_checks_modes:
        options.add("default_permissions")
    if settings.allow_other:
        options.add("allow_other")
    pyfuse3.trio = KernelTurns()  # type: ignore[attr-defined]  # the seam of pyfuse3.asyncio, which it does not export
    try:
        pyfuse3.init(operations, str(mountpoint) if fuse_descriptor is None else f"/dev/fd/{fuse_descriptor}", options)
    except RuntimeError as error:
        if os.geteuid() != 0 and settings.allow_other:
            hint = "is user_allow_other in /etc/fuse.conf?"
        elif not os.path.exists("/dev/fuse"):
            hint = "there is no /dev/fuse; load the fuse module"
        else:
            hint = "is fuse3 installed, and the mount point yours?"
        raise UsageError(f"cannot mount on {mountpoint}: {hint}") from error
