"""The daemon's process: settings from stdin, reports to a socket, no terminal.

Owns the process's descriptors. It must not know how settings are resolved, nor what a mount does. argv holds the number
of the socket and no setting, since every user can read argv.
"""

import json
import os
import sys
from functools import partial

from cffs.core.errors import CffsError
from cffs.daemon.hardening import harden
from cffs.daemon.report import Report, ReportKind


def main() -> int:
    """Run the mount that stdin describes; returns the process's exit status.

    An exception that is a bug ends the process with its traceback on stderr, whose last line the command shows.
    """
    report_descriptor = int(sys.argv[1])
    os.set_inheritable(report_descriptor, False)
    os.umask(0o077)
    task = json.load(sys.stdin)
    harden(debug=bool(task["settings"].get("debug")))
    os.chdir("/")

    def send(report: Report) -> None:
        try:
            os.write(report_descriptor, report.to_line().encode())
        except BrokenPipeError:
            return  # the command is gone (Ctrl-C); whether the mount goes on does not depend on it
        if report.kind is ReportKind.READY:
            _leave_terminal(report_descriptor)

    try:
        # imported late: a broken installation (no libfuse) is then reported like any other failure
        from cffs.daemon.main import start
        from cffs.daemon.mount_request import ask_starter

        return start(
            task,
            report=send,
            make_mount=partial(ask_starter, send, report_descriptor),
            not_the_childs=(report_descriptor,),
        )
    except CffsError as error:
        send(Report.error(str(error)))
        return 1
    except ImportError as error:
        send(Report.error(f"cannot start: {error}; install libfuse3 and reinstall cffs"))
        return 1


def _leave_terminal(report_descriptor: int) -> None:
    """Point the standard streams and the socket at /dev/null, so that nothing of the starter's stays open.

    The socket's number stays in use: a later write to it must not meet another file.
    """
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2, report_descriptor):
        os.dup2(nowhere, descriptor, inheritable=descriptor <= 2)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
