"""One mount from start to end: the kernel's session, signals, and the orderly way out.

It must not know how settings were found, how reports travel, or what the mount is made of (`daemon/assembly`).
`daemon/main` runs it. The order of the way out was measured: pyfuse3's `terminate()` alone waits for calls in flight,
so after a grace the scope around its loop is cancelled, and only then is the mount point released.
"""

import gc
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pyfuse3
import trio

from cffs.core.errors import UsageError
from cffs.core.procfs import Mount
from cffs.core.settings import Settings
from cffs.daemon.account_folder import taken
from cffs.daemon.assembly import built
from cffs.daemon.audited_operations import operations_for
from cffs.daemon.fuse_session import open_session
from cffs.daemon.mount_services import MountServices, ending_signals
from cffs.daemon.mounting import Connection, free
from cffs.daemon.reload import Reread
from cffs.daemon.report import Report
from cffs.fuse.invalidation import drain_changes

log = logging.getLogger(__name__)

#: Calls of the kernel handled at once. With pyfuse3's default of 99, a hundred hanging opens stopped the whole mount.
MAX_CALLS = 1000
#: Calls in flight get this long to end by themselves when the mount ends; contract section 10 allows 2 s for all.
GRACE_SECONDS = 0.5

#: New containers before the collector looks at the youngest (Python's own is 700): a walk of 10,000 folders makes half
#: a million, nearly all gone by themselves, and the collector took a seventh of its time.
_GARBAGE_THRESHOLD = 20_000


async def run_mount(
    settings: Settings,
    mountpoint: Path,
    *,
    report: Callable[[Report], None],
    make_mount: Callable[[], Connection],
    reread: Reread | None = None,
) -> None:
    """Mount, report ready once the mount answers, serve until a signal or an unmount, leave the mount point free.

    `make_mount` mounts once everything else is prepared; it may wait, and raises UsageError. Where another user made
    the mount (root's helper), that one frees the mount point. Raises UsageError for what stops the mount, or ends it
    against everybody's will; what it took is released whatever happens.
    """
    async with AsyncExitStack() as stack:
        folders = stack.enter_context(taken(settings, mountpoint))
        make = stack.enter_context(operations_for(settings))
        graph = await stack.enter_async_context(built(settings, mountpoint, folders, reread, make))
        for line in graph.notices:
            report(Report.notice(line))
        graph.background.start(graph.catalog.tend_forever)
        graph.background.start(drain_changes, graph.catalog, graph.kernel)
        connection = await trio.to_thread.run_sync(make_mount)
        was_told = True
        try:
            open_session(graph.operations, settings, connection)
            try:
                # What stands now stands until the end; and a page of calls makes 60,000 containers that mostly stay
                gc.freeze()
                gc.set_threshold(_GARBAGE_THRESHOLD)
                await stack.enter_async_context(graph.attending.opened(graph.background, connection.known.device))
                was_told = await _serve(connection, report, graph.attending, ending_signals(settings))
            finally:
                pyfuse3.close(unmount=False)
        finally:
            connection.close()
            places = connection.known.places()
            free(connection.known)
        _tell_the_end(mountpoint, places, was_told=was_told)


def _tell_the_end(mountpoint: Path, places: list[Mount], *, was_told: bool) -> None:
    """`places` is where it was still mounted when the kernel's end was closed."""
    if places and not was_told:
        log.error("the kernel ended the connection, which was aborted mountpoint=%s", places[-1].mountpoint)
        raise UsageError(f"the kernel ended the mount at {places[-1].mountpoint} (it was aborted); mount it again")
    log.info("unmounted mountpoint=%s", places[-1].mountpoint if places else mountpoint)


async def _serve(
    connection: Connection,
    report: Callable[[Report], None],
    attending: MountServices,
    ending: tuple[signal.Signals, ...],
) -> bool:
    """Serves until the kernel or a signal ends it; True where it was a signal."""
    told: list[int] = []
    with trio.CancelScope() as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, session, attending, ending, told)
            nursery.start_soon(_tell_when_it_answers, connection, report, attending)
            await pyfuse3.main(max_tasks=MAX_CALLS)
            attending.ending()
            nursery.cancel_scope.cancel()
    return bool(told)


async def _end_on_signal(
    session: trio.CancelScope, attending: MountServices, ending: tuple[signal.Signals, ...], told: list[int]
) -> None:
    with trio.open_signal_receiver(*ending) as signals:
        async for number in signals:
            told.append(number)
            attending.ending()
            log.info("ending signal=%s", signal.Signals(number).name)
            pyfuse3.terminate()
            # The session's loop has until then to answer what is in flight; a second signal gives it no more time
            session.deadline = min(session.deadline, trio.current_time() + GRACE_SECONDS)


async def _tell_when_it_answers(
    connection: Connection, report: Callable[[Report], None], attending: MountServices
) -> None:
    mountpoint = Path(connection.known.mountpoint)
    # its root, not its path: an automount trap lets nobody pass until the mount is reported
    await trio.to_thread.run_sync(os.stat, connection.root, abandon_on_cancel=True)
    connection.let_go_of_root()
    if not os.access(mountpoint.parent, os.X_OK, effective_ids=True):
        raise UsageError(f"uid {os.geteuid()} may not reach {mountpoint}; mount where that user may go")
    report(Report.ready())
    log.info("mounted mountpoint=%s", mountpoint)
    await attending.answered()
