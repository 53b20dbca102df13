"""One mount from start to end: session, signals, the orderly way out.

The order of the way out was measured. pyfuse3's `terminate()` alone waits for calls in flight; so after a grace period
the scope around its loop is cancelled, and only then is the mount point released.

Owns that order. It must not know how settings were found, how reports travel, or what the mount is made of
(`daemon/mount_parts`).
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
from cffs.daemon.audit_log import open_audit_log
from cffs.daemon.fuse_session import open_session
from cffs.daemon.mount_parts import assembled
from cffs.daemon.mount_services import MountServices, ending_signals
from cffs.daemon.mounting import Connection, free
from cffs.daemon.reload import Reread
from cffs.daemon.report import Report
from cffs.fuse.invalidation import drain_changes

log = logging.getLogger(__name__)

#: Calls of the kernel that are handled at once. With pyfuse3's default of 99, a hundred hanging opens stopped the whole
#: mount.
MAX_CALLS = 1000
#: When the mount ends, calls in flight get this long to end by themselves. All of the end may take 2 s
#: (`cffs/docs/semantics.md#ends`).
GRACE_SECONDS = 0.5

#: New containers before the garbage collector looks at the youngest (Python's default is 700). A walk of 10,000 folders
#: makes half a million, nearly all of which are freed by themselves, and the collector took a seventh of its time.
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

    `make_mount` mounts, once everything else is prepared; it may wait, and raises UsageError. Where another user made
    the mount (root's helper), that user frees the mount point. Raises UsageError for what stops the mount, or ends it
    unasked; whatever happens, what was taken is released.
    """
    async with AsyncExitStack() as stack:
        folders = stack.enter_context(taken(settings, mountpoint))
        audit = stack.enter_context(open_audit_log(settings.audit_log))
        parts = await stack.enter_async_context(assembled(settings, mountpoint, folders, reread=reread, audit=audit))
        for line in parts.notices:
            report(Report.notice(line))
        parts.background.start(parts.catalog.tend_forever)
        parts.background.start(drain_changes, parts.catalog, parts.view)
        connection = await trio.to_thread.run_sync(make_mount)
        was_signalled = True
        try:
            open_session(parts.operations, settings, connection)
            try:
                # what exists now exists until the end, and a page of calls makes 60,000 containers that mostly stay
                gc.freeze()
                gc.set_threshold(_GARBAGE_THRESHOLD)
                await stack.enter_async_context(parts.services.opened(parts.background, connection.identity.device))
                was_signalled = await _serve(connection, report, parts.services, ending_signals(settings))
            finally:
                pyfuse3.close(unmount=False)
        finally:
            connection.close()
            places = connection.identity.places()
            free(connection.identity)
        _check_end(mountpoint, places, was_signalled=was_signalled)


def _check_end(mountpoint: Path, places: list[Mount], *, was_signalled: bool) -> None:
    """Log the end, or raise UsageError where it was not asked for. `places` is where the file system was still mounted
    when the kernel's end was closed."""
    if places and not was_signalled:
        log.error("connection aborted mountpoint=%s", places[-1].mountpoint)
        raise UsageError(f"the kernel ended the mount at {places[-1].mountpoint} (it was aborted); mount it again")
    log.info("unmounted mountpoint=%s", places[-1].mountpoint if places else mountpoint)


async def _serve(
    connection: Connection,
    report: Callable[[Report], None],
    services: MountServices,
    ending: tuple[signal.Signals, ...],
) -> bool:
    """Serve until the kernel or a signal ends the mount; True where it was a signal."""
    signalled: list[int] = []
    with trio.CancelScope() as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, session, services, ending, signalled)
            nursery.start_soon(_report_ready, connection, report, services)
            await pyfuse3.main(max_tasks=MAX_CALLS)
            services.note_ending()
            nursery.cancel_scope.cancel()
    return bool(signalled)


async def _end_on_signal(
    session: trio.CancelScope, services: MountServices, ending: tuple[signal.Signals, ...], signalled: list[int]
) -> None:
    with trio.open_signal_receiver(*ending) as signals:
        async for number in signals:
            signalled.append(number)
            services.note_ending()
            log.info("ending signal=%s", signal.Signals(number).name)
            pyfuse3.terminate()
            # calls in flight can be answered until the deadline; a second signal gives them no more time
            session.deadline = min(session.deadline, trio.current_time() + GRACE_SECONDS)


async def _report_ready(connection: Connection, report: Callable[[Report], None], services: MountServices) -> None:
    mountpoint = Path(connection.identity.mountpoint)
    if connection.root >= 0:
        # its root, not its path: an automount trap blocks every caller until the mount is reported
        await trio.to_thread.run_sync(os.stat, connection.root, abandon_on_cancel=True)
        connection.close_root()
    if not os.access(mountpoint.parent, os.X_OK, effective_ids=True):
        raise UsageError(f"uid {os.geteuid()} may not reach {mountpoint}; mount where that user may go")
    report(Report.ready())
    log.info("mounted mountpoint=%s", mountpoint)
    await services.report_forever()
