"""Root's mount of another user: mounts, lets the daemon run as that user, waits for its end, and frees the mount point.

It must not know what the daemon does. `daemon/main` calls it. Root never touches the network, the catalogue or a
secret's use: the daemon is a child that becomes the user before it does anything; what stays root is this small loop,
because nobody else may unmount and set the kernel's read-ahead. It was forked before any network code was imported.
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
from cffs.daemon.mounting import Connection, Known, free
from cffs.daemon.report import Report, ReportKind
from cffs.daemon.user import account_of, become

log = logging.getLogger(__name__)

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
#: The child's reports are the helper's own business.
_RECEIVE_NBYTES = 65_536

Tell = Callable[[Report], None]
MakeMount = Callable[[], Connection]


def run_as_user(
    settings: Settings,
    *,
    serve: Callable[[Tell, MakeMount], int],
    report: Tell,
    make_mount: MakeMount,
    not_the_childs: tuple[int, ...] = (),
) -> int:
    """Calls `serve(report, make_mount)` in a child that is `settings.uid`, mounts for it when it asks, and unmounts
    when it ends; the exit status. `not_the_childs` are descriptors that the child closes. Raises UsageError where the
    mount is refused."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child = os.fork()
    if child == 0:
        ours.close()
        for descriptor in not_the_childs:
            os.close(descriptor)
        _be_the_daemon(settings, its.fileno(), serve)
    its.close()
    _forward_signals(child)
    made: list[Known] = []
    try:
        try:
            with ours:
                _relay(ours.fileno(), report, make_mount, made)
        finally:  # where the mount was refused, the child hears that nobody answers, and ends
            _pid, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 1
    finally:
        for known in made:
            free(known)


def _be_the_daemon(settings: Settings, reports: int, serve: Callable[[Tell, MakeMount], int]) -> None:
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
        status = serve(tell, partial(ask_starter, tell, reports))
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


def _relay(reports: int, report: Tell, make_mount: MakeMount, made: list[Known]) -> None:
    """Passes the child's reports on until it ends, and mounts where it asks; what was mounted is in `made`."""
    waiting = b""
    while piece := os.read(reports, _RECEIVE_NBYTES):
        waiting += piece
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            told = Report.from_line(line.decode())
            if told.kind is ReportKind.MOUNT:
                connection = make_mount()
                made.append(connection.known)
                hand_over(connection, reports)
                continue
            if told.kind is ReportKind.READY and made:
                tune(device_number(made[0].device))  # read-ahead: root's alone
            report(told)
