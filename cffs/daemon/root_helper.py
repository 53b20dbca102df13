"""Root's mount of another user: mounts, lets the daemon run as that user, waits for its end, and frees the mount point.

It must not know what the daemon does. `daemon/start` calls it. Root never touches the network, the catalogue or a
secret's use: the daemon is a child that becomes the user before it does anything; what stays root is this small loop,
because nobody else may unmount and set the kernel's read-ahead. It was forked before any network code was imported.
"""

import ctypes
import logging
import os
import signal
import stat
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import FrameType

from cffs.core.errors import CffsError, UsageError
from cffs.core.settings import Settings
from cffs.daemon.identity import account_of, become
from cffs.daemon.kernel import device_of, tune
from cffs.daemon.report import Report, ReportKind

log = logging.getLogger(__name__)

#: <sys/mount.h>.
_MS_RDONLY = 1
#: MS_NOSUID, MS_NODEV, MS_NOEXEC.
_FLAGS = 2 | 4 | 8
_MNT_DETACH = 2
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
#: The child's report pipe is the helper's own business.
_RECEIVE_NBYTES = 65_536


def run_as_user(
    settings: Settings,
    mountpoint: Path,
    *,
    serve: Callable[[Callable[[Report], None], int], int],
    report: Callable[[Report], None],
    not_the_childs: tuple[int, ...] = (),
) -> int:
    """Mounts as root, calls `serve(report, fuse descriptor)` in a child that is `settings.uid`, and unmounts when that
    ends; the exit status. `not_the_childs` are descriptors that the child closes. Raises UsageError where the mount is
    refused."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    _mount(settings, mountpoint, device)
    number = device_of(mountpoint)
    try:
        reports, child_end = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            os.close(reports)
            for descriptor in not_the_childs:
                os.close(descriptor)
            _be_the_daemon(settings, child_end, lambda report: serve(report, device))
        # a copy left open here would keep the connection alive after the daemon's end
        os.close(device)
        os.close(child_end)
        _forward_signals(child)
        try:
            _relay(reports, report, number)
            _pid, status = os.waitpid(child, 0)
        finally:
            os.close(reports)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 1
    finally:
        _unmount(mountpoint, number)


def _mount(settings: Settings, mountpoint: Path, device: int) -> None:
    root_mode = stat.S_IFDIR
    data = f"fd={device},rootmode={root_mode:o},user_id={settings.uid},group_id={settings.gid}"
    if settings.kernel_checks_modes:
        data += ",default_permissions"
    if settings.allow_other:
        data += ",allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (f"callfire:{settings.label}".encode(), os.fsencode(mountpoint), b"fuse.cffs")
    flags = _FLAGS if settings.writable else _FLAGS | _MS_RDONLY
    if libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()) != 0:
        reason = os.strerror(ctypes.get_errno())
        os.close(device)
        raise UsageError(f"cannot mount on {mountpoint}: {reason}")


def _unmount(mountpoint: Path, number: int | None) -> None:
    """Lazily: whatever still holds it keeps nothing but errors. Only ours: another mount may lie there by now."""
    if number is not None and device_of(mountpoint) == number:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.umount2(os.fsencode(mountpoint), _MNT_DETACH)


def _be_the_daemon(settings: Settings, reports: int, serve: Callable[[Callable[[Report], None]], int]) -> None:
    """Never returns: what follows in this process is the helper's."""

    def tell(told: Report) -> None:
        try:
            os.write(reports, told.to_line().encode())
        except OSError:
            return  # the helper was killed; the mount lives as long as it can
        if told.kind is ReportKind.READY and not settings.foreground:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            os.close(nowhere)

    status = 1
    try:
        for number in _FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import_module("cffs.daemon.main")  # while the installation can be read: that user may not reach it
        become(settings.uid, settings.gid, debug=settings.debug)
        os.chdir("/")
        status = serve(tell)
    except CffsError as error:
        tell(Report.error(str(error)))
    except (ImportError, PermissionError) as error:
        name, _home = account_of(settings.uid)
        tell(Report.error(f"cannot run as {name}: {error}; the installation must be readable for that user"))
    finally:
        logging.shutdown()
        os._exit(status)


def _forward_signals(child: int) -> None:
    """From now on: this process ends by itself, when the child has."""

    def forward(number: int, _frame: FrameType | None) -> None:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            return

    for number in _FORWARDED:
        signal.signal(number, forward)


def _relay(reports: int, report: Callable[[Report], None], number: int | None) -> None:
    """Passes the child's reports on until it ends."""
    waiting = b""
    while piece := os.read(reports, _RECEIVE_NBYTES):
        waiting += piece
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            told = Report.from_line(line.decode())
            if told.kind is ReportKind.READY:
                tune(number)  # read-ahead: root's alone
            report(told)
