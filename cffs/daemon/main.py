"""The daemon's entry point: logs first, then the mount, whatever comes out of it as one line or none.

It must not know commands. `daemon/__main__` and, in the foreground, `cli/launch` call it.
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio

from cffs.core.errors import CffsError
from cffs.core.settings import Settings
from cffs.daemon import logs, malloc
from cffs.daemon.mount import run_mount
from cffs.daemon.mounting import Connection
from cffs.daemon.reload import Reread
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


log = logging.getLogger(__name__)


def run(
    settings: Settings,
    mountpoint: Path,
    *,
    report: Callable[[Report], None],
    make_mount: Callable[[], Connection],
    reread: Reread | None = None,
) -> int:
    """Run one mount until it ends; returns the exit status, 0 for an orderly end. See `run_mount` for the arguments.

    Raises CffsError for what stops the mount before it is ready, or ends it against everybody's will.
    """
    malloc.keep_small()
    logs.configure(settings)
    failure: CffsError | None = None
    try:
        trio.run(partial(run_mount, settings, mountpoint, report=report, make_mount=make_mount, reread=reread))
    except* CffsError as group:
        # A nursery wraps whatever leaves it; the user is told the one thing that stopped the mount
        failure = _first(group)
    if failure is not None:
        raise failure  # out here: what is raised inside `except*` is wrapped again
    return 0


def _first(group: BaseExceptionGroup[CffsError]) -> CffsError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group is never empty")
