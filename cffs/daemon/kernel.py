"""The kernel's settings for a mount: read-ahead, background requests, time limits.

Read-ahead decides how large the kernel's reads are: 128 KiB by default, while reads of 1 MiB cost half the time (see
`cffs/docs/performance.md#fuse-limits`). Only root may write it. `max_background` is how many of them run at once, 12 by
default; its file belongs to the user who mounted, and exists where fusectl is mounted. A mount works without any of
this.

Owns the values that are wished for. It must not know the daemon's calls.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from cffs.core.procfs import parse_mountinfo
from cffs.daemon.mount_table import mount_at

log = logging.getLogger(__name__)

READ_AHEAD_KB = 1024
#: The kernel asks a failed read a second time, so a handler has half of what the application was promised, less what
#: the kernel and a busy machine add: with a full half, 4.01 s were measured of a promised 4.
HANDLER_SHARE = 0.49
#: As many background requests as may hang on the wire. A cold read is one too, and waits in the kernel where there are
#: too few.
MAX_BACKGROUND = 512
_BDI = Path("/sys/class/bdi")
_CONNECTIONS = Path("/sys/fs/fuse/connections")
_LIMITS = Path("/proc/sys/fs/fuse")


@dataclass(frozen=True, slots=True)
class Tuning:
    """The kernel's settings for one mount; None where they are not shown."""

    read_ahead_kb: int | None = None
    max_background: int | None = None
    request_timeout_seconds: int | None = None

    def plain(self) -> dict[str, object]:
        """The settings as status.json shows them."""
        return asdict(self)


def device_of(mountpoint: Path, *, mountinfo: str | None = None) -> int | None:
    """N of the device 0:N that is mounted topmost there. From the mount table, since a stat would ask the mount
    itself."""
    found = mount_at(mountpoint, None if mountinfo is None else parse_mountinfo(mountinfo))
    return None if found is None else device_number(found.device)


def device_number(device: str) -> int | None:
    """N of 0:N; None for a device with a major number."""
    major, _, minor = device.partition(":")
    return int(minor) if major == "0" and minor.isdecimal() else None


def tuning_of(device: int | None) -> Tuning:
    """The settings of now."""
    if device is None:
        return Tuning(request_timeout_seconds=request_limit_seconds())
    return Tuning(
        read_ahead_kb=_number(_BDI / f"0:{device}/read_ahead_kb"),
        max_background=_number(_CONNECTIONS / f"{device}/max_background"),
        request_timeout_seconds=request_limit_seconds(),
    )


def tune(device: int | None) -> Tuning:
    """Raise the settings that we may raise, lowering none; returns what is set then. Never raises an exception."""
    if device is not None:
        _raise_to(_BDI / f"0:{device}/read_ahead_kb", READ_AHEAD_KB)
        _raise_to(_CONNECTIONS / f"{device}/max_background", MAX_BACKGROUND)
        _raise_to(_CONNECTIONS / f"{device}/congestion_threshold", MAX_BACKGROUND * 3 // 4)
    return tuning_of(device)


def request_limit_seconds(folder: Path = _LIMITS) -> int | None:
    """How long one request may stay unanswered before the kernel ends the whole connection; None where it never
    does."""
    default, most = (_number(folder / f"{name}_request_timeout") or 0 for name in ("default", "max"))
    if default and most:
        return min(default, most)
    return default or most or None


def handler_budget(budget_seconds: float, limit_seconds: int | None) -> float:
    """The budget of one handler, at most half of what the kernel gives a request."""
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
        log.debug("kernel setting not raised path=%s value=%d reason=%s", path, now, error.strerror)
