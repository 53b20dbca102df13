"""From a task, as the command wrote it, to a running mount: as this user, or as the one that root named.

It must not know commands. `daemon/__main__` and, in the foreground, `cli/launch` call it.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cffs.core.settings import Settings
from cffs.daemon.mounting import Connection
from cffs.daemon.report import Report


def start(
    task: Mapping[str, Any],
    *,
    report: Callable[[Report], None],
    make_mount: Callable[[], Connection],
    not_the_childs: tuple[int, ...] = (),
) -> int:
    """Runs the mount that the task describes until it ends; the exit status. Raises CffsError, and ImportError where
    the installation is broken. `make_mount` mounts; `not_the_childs` are descriptors of no use to a daemon that is a
    child of ours."""
    settings, mountpoint = Settings.from_plain(task["settings"]), Path(task["mountpoint"])

    def serve(tell: Callable[[Report], None], mount: Callable[[], Connection]) -> int:
        # imported late: a broken installation (no libfuse) is then reported like any other failure
        from cffs.daemon.main import run

        more: dict[str, Any] = {}
        told = task.get("reread")
        if told is not None:
            from cffs.daemon.reload import Reread

            more["reread"] = Reread(tuple(told["command"]), str(told["task"]))
        return run(settings, mountpoint, report=tell, make_mount=mount, **more)

    if os.geteuid() != 0 or settings.uid == 0:
        return serve(report, make_mount)
    from cffs.daemon.root_helper import run_as_user

    return run_as_user(settings, serve=serve, report=report, make_mount=make_mount, not_the_childs=not_the_childs)
