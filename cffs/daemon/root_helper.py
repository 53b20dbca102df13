"""Root's part of a mount for another user: mount, wait, unmount.

Root never touches the network, the catalogue, or a secret's use: the daemon is a child that becomes the user before it
does anything else. This small loop stays root's, because only root may unmount and set the kernel's read-ahead; it is
forked before any network code is imported.

Owns the mount and its end. It must not know what the daemon does.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import FrameType

from cffs.core.errors import CffsError
from cffs.core.settings import Settings
from cffs.daemon.kernel import device_number, tune
from cffs.daemon.mount_request import ask_starter, hand_over
from cffs.daemon.mounting import Connection, MountIdentity, free
from cffs.daemon.report import Report, ReportKind
from cffs.daemon.user import account_of, become

log = logging.getLogger(__name__)

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_RECEIVE_NBYTES = 65_536

Send = Callable[[Report], None]
MakeMount = Callable[[], Connection]


def run_as_user(
    settings: Settings,
    *,
    serve: Callable[[Send, MakeMount], int],
    report: Send,
    make_mount: MakeMount,
    not_the_childs: tuple[int, ...] = (),
) -> int:
    """Call `serve(report, make_mount)` in a child that runs as `settings.uid`, mount when the child asks, and unmount
    when it ends; returns its exit status. `not_the_childs` are descriptors that the child closes. Raises UsageError
    where the mount is refused."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child = os.fork()
    if child == 0:
        ours.close()
        for descriptor in not_the_childs:
            os.close(descriptor)
        _be_the_daemon(settings, its.fileno(), serve)
    its.close()
    _forward_signals(child)
    made: list[MountIdentity] = []
    try:
        try:
            with ours:
                _relay(ours.fileno(), report, make_mount, made)
        finally:  # where the mount was refused, the child finds its socket closed, and ends
            _pid, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 1
    finally:
        for identity in made:
            free(identity)


def _be_the_daemon(settings: Settings, reports: int, serve: Callable[[Send, MakeMount], int]) -> None:
    """Serve, and never return: what follows in this process is the helper's."""

    def send(report: Report) -> None:
        try:
            os.write(reports, report.to_line().encode())
        except OSError:
            return  # the helper was killed; the mount lives as long as it can
        if report.kind is ReportKind.READY and not settings.foreground:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            os.close(nowhere)

    status = 1
    try:
        for number in _FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import_module("cffs.daemon.mount")  # while the installation can be read: the user may not reach it
        become(settings.uid, settings.gid, debug=settings.debug)
        os.chdir("/")
        status = serve(send, partial(ask_starter, send, reports))
    except CffsError as error:
        send(Report.error(str(error)))
    except (ImportError, PermissionError) as error:
        name, _home = account_of(settings.uid)
        send(Report.error(f"cannot run as {name}: {error}; the installation must be readable for that user"))
    finally:
        logging.shutdown()
        os._exit(status)


def _forward_signals(child: int) -> None:
    """Pass signals on to the child from now on: this process ends by itself, after the child."""

    def forward(number: int, _frame: FrameType | None) -> None:
        try:
            os.kill(child, number)
        except ProcessLookupError:
            return

    for number in _FORWARDED:
        signal.signal(number, forward)


def _relay(reports: int, report: Send, make_mount: MakeMount, made: list[MountIdentity]) -> None:
    """Pass the child's reports on until it ends, and mount when it asks; `made` gets what was mounted."""
    waiting = b""
    while piece := os.read(reports, _RECEIVE_NBYTES):
        waiting += piece
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            received = Report.from_line(line.decode())
            if received.kind is ReportKind.MOUNT:
                connection = make_mount()
                made.append(connection.identity)
                hand_over(connection, reports)
                continue
            if received.kind is ReportKind.READY and made:
                tune(device_number(made[0].device))  # only root may set the read-ahead
            report(received)
