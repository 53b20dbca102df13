"""From a task, as the command wrote it, to a running mount: as this user, or as the one that root named.

It must not know commands. `daemon/__main__` and, in the foreground, `cli/launch` call it.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cffs.core.settings import Settings
from cffs.daemon.report import Report


def start(task: Mapping[str, Any], *, report: Callable[[Report], None], not_the_childs: tuple[int, ...] = ()) -> int:
    """Runs the mount that the task describes until it ends; the exit status. Raises CffsError, and ImportError where
    the installation is broken. `not_the_childs` are descriptors of no use to a daemon that is a child of ours."""
    settings, mountpoint = Settings.from_plain(task["settings"]), Path(task["mountpoint"])

    def serve(tell: Callable[[Report], None], fuse_descriptor: int | None = None) -> int:
        # imported late: a broken installation (no libfuse) is then reported like any other failure
        from cffs.daemon.main import run

        more: dict[str, Any] = {} if fuse_descriptor is None else {"fuse_descriptor": fuse_descriptor}
        told = task.get("reread")
        if told is not None:
            from cffs.daemon.reload import Reread

            more["reread"] = Reread(tuple(told["command"]), str(told["task"]))
        return run(settings, mountpoint, report=tell, **more)

    if os.geteuid() != 0 or settings.uid == 0:
        return serve(report)
    from cffs.daemon.root_helper import run_as_user

    return run_as_user(settings, mountpoint, serve=serve, report=report, not_the_childs=not_the_childs)
