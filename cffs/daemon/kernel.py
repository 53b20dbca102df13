"""The kernel's side of a mount: its device number, read-ahead, background requests, and the limits on a request's time.

It must not know the daemon's calls. `daemon/mount` raises what it may once the mount answers, `daemon/root_helper`
does it for a daemon that is not root any more, `cli/doctor` only looks. Nothing here is needed for a mount to work.

Read-ahead decides how large the kernel's reads are (128 KiB of one by default, measured in the project's notes: 1 MiB
reads cost half the time); only root may write it. `max_background` is how many of them run at once (12 by default); its
file belongs to who mounted, and exists where fusectl is mounted.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from cffs.core.procfs import parse_mountinfo
from cffs.daemon.mount_table import mount_at

log = logging.getLogger(__name__)

READ_AHEAD_KB = 1024
#: A cold read is one of them as well, and waits in the kernel where they are too few: as many as may hang on the wire.
MAX_BACKGROUND = 512
_BDI = Path("/sys/class/bdi")
_CONNECTIONS = Path("/sys/fs/fuse/connections")
_LIMITS = Path("/proc/sys/fs/fuse")


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the kernel does for one mount now; None where it does not tell."""

    read_ahead_kb: int | None = None
    max_background: int | None = None
    request_timeout_seconds: int | None = None

    def plain(self) -> dict[str, object]:
        """For status.json."""
        return asdict(self)


def device_of(mountpoint: Path, *, mountinfo: str | None = None) -> int | None:
    """N of the device 0:N mounted topmost there; told by the mount table, since a stat would ask the mount itself."""
    found = mount_at(mountpoint, None if mountinfo is None else parse_mountinfo(mountinfo))
    return None if found is None else device_number(found.device)


def device_number(device: str) -> int | None:
    """N of 0:N; None for a device with a major number."""
    major, _, minor = device.partition(":")
    return int(minor) if major == "0" and minor.isdecimal() else None


def look(device: int | None) -> Tuning:
    """What is set now."""
    if device is None:
        return Tuning(request_timeout_seconds=request_limit_seconds())
    return Tuning(
        read_ahead_kb=_number(_BDI / f"0:{device}/read_ahead_kb"),
        max_background=_number(_CONNECTIONS / f"{device}/max_background"),
        request_timeout_seconds=request_limit_seconds(),
    )


def tune(device: int | None) -> Tuning:
    """Raise what may be raised, never lower; then what is set. Never raises."""
    if device is not None:
        _raise_to(_BDI / f"0:{device}/read_ahead_kb", READ_AHEAD_KB)
        _raise_to(_CONNECTIONS / f"{device}/max_background", MAX_BACKGROUND)
        _raise_to(_CONNECTIONS / f"{device}/congestion_threshold", MAX_BACKGROUND * 3 // 4)
    return look(device)


def request_limit_seconds(folder: Path = _LIMITS) -> int | None:
    """After how long the kernel ends the whole connection over one unanswered request; None where it does not."""
    default, most = (_number(folder / f"{name}_request_timeout") or 0 for name in ("default", "max"))
    if default and most:
        return min(default, most)
    return default or most or None


def handler_budget(budget_seconds: float, limit_seconds: int | None) -> float:
    """The time of one handler: never more than half of what the kernel gives a request."""
    return budget_seconds if limit_seconds is None else min(budget_seconds, limit_seconds / 2)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _raise_to(path: Path, value: int) -> None:
    now = _number(path)
    if now is None or now >= value:
        return
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        log.debug("kernel setting kept path=%s value=%d reason=%s", path, now, error.strerror)
