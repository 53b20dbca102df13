"""The kernel's session of a mount: what libfuse needs to serve it.

Owns libfuse's options. It must not know what the operations do.
"""

import os

import pyfuse3

from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.daemon.mounting import Connection
from cffs.fuse.pyfuse3_loop import TrioShim


def open_session(operations: pyfuse3.Operations, settings: Settings, connection: Connection) -> None:
    """Begin to serve the mount; `pyfuse3.close` closes the kernel's end. Raises UsageError, one line."""
    options = {f"fsname=callfire:{settings.label}", "subtype=cffs", "nosuid", "nodev", "noexec"}
    if settings.is_read_only:
        options.add("ro")
    if settings.kernel_checks_modes:
        options.add("default_permissions")
    if settings.allow_other:
        options.add("allow_other")
    pyfuse3.trio = TrioShim()  # type: ignore[attr-defined]  # where pyfuse3.asyncio puts its own; it is not exported
    descriptor = connection.take()
    try:
        pyfuse3.init(operations, f"/dev/fd/{descriptor}", options)
    except RuntimeError as error:
        os.close(descriptor)
        raise UsageError(
            f"cannot serve {connection.identity.mountpoint}: libfuse refuses it; is fuse3 whole?"
        ) from error
