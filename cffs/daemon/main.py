"""The daemon's entry point: logs first, then the mount.

The outcome is one line or none. Owns the order in which a daemon begins, and the user as whom it serves. It must not
know commands.

What serves a mount is imported only by the process that serves: root's helper stays small and holds no network code,
and an installation without libfuse is reported like any other failure.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cffs.core.errors import CffsError
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
    """Run the mount that the task describes until it ends; returns the exit status.

    As root with `--uid`, a child serves as that user, and this process keeps root's rights to unmount. `make_mount`
    mounts; `not_the_childs` are descriptors that such a child has no use for. Raises CffsError for what stops the mount
    before it is ready, or ends it unasked.
    """
    settings, mountpoint = Settings.from_plain(task["settings"]), Path(task["mountpoint"])

    def serve(report: Callable[[Report], None], make_mount: Callable[[], Connection]) -> int:
        return run(settings, mountpoint, report=report, make_mount=make_mount, reread=task.get("reread"))

    if os.geteuid() != 0 or settings.uid == 0:
        return serve(report, make_mount)
    from cffs.daemon.root_helper import run_as_user

    return run_as_user(settings, serve=serve, report=report, make_mount=make_mount, not_the_childs=not_the_childs)


def run(
    settings: Settings,
    mountpoint: Path,
    *,
    report: Callable[[Report], None],
    make_mount: Callable[[], Connection],
    reread: Mapping[str, Any] | None = None,
) -> int:
    """Run one mount, as the user that we are, until it ends; returns the exit status, 0 for an orderly end.

    `reread` is the command that reads the configuration again, and its input; see `run_mount` for the other arguments.
    Raises CffsError for what stops the mount before it is ready, or ends it unasked.
    """
    import trio

    from cffs.daemon import logs, malloc
    from cffs.daemon.mount import run_mount
    from cffs.daemon.reload import Reread

    malloc.keep_small()
    logs.configure(settings)
    command = None if reread is None else Reread(tuple(reread["command"]), str(reread["task"]))
    failure: CffsError | None = None
    try:
        trio.run(partial(run_mount, settings, mountpoint, report=report, make_mount=make_mount, reread=command))
    except* CffsError as group:
        # a nursery wraps whatever leaves it; the user gets the one error that stopped the mount
        failure = _first(group)
    if failure is not None:
        raise failure  # out here, since what is raised inside `except*` is wrapped again
    return 0


def _first(group: BaseExceptionGroup[CffsError]) -> CffsError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group is never empty")
