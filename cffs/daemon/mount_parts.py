"""One mount put together: its parts, and around them its status and services.

Owns what only a mount of the daemon has: the credential check, uploads, the mount's own files, the commands of the
control socket. It must not know how a mount starts and ends, and it opens nothing of the kernel's.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyfuse3
import trio

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.transport import Transport
from cffs.catalog.store import Catalog
from cffs.core.settings import Settings
from cffs.core.units import NS_PER_MS
from cffs.daemon import malloc
from cffs.daemon.account_folder import AccountFolders
from cffs.daemon.assembly import CatalogueParts, OriginParts, open_catalogue, open_origin
from cffs.daemon.audit_log import AuditLog
from cffs.daemon.background import NurseryBackground
from cffs.daemon.control import Command
from cffs.daemon.credentials_check import CredentialsCheck
from cffs.daemon.descriptor_shares import descriptor_limit, shares
from cffs.daemon.disk_cache_setup import cache_commands, open_disk_cache, trouble_notes
from cffs.daemon.explain import Explain
from cffs.daemon.folder_facts import FolderFacts
from cffs.daemon.kernel import HANDLER_SHARE, handler_budget, request_limit_seconds
from cffs.daemon.kernel_assembly import Leaves, ReaderParts, build_reader, build_tree
from cffs.daemon.mount_services import MountServices, ServiceState
from cffs.daemon.notes_setup import opened_notes
from cffs.daemon.prefetch_command import PrefetchCommand
from cffs.daemon.probe_command import ProbeCommand
from cffs.daemon.reload import LiveSettings, Reread, reload_and_log
from cffs.daemon.sharing import opened_sharing
from cffs.daemon.status import Status, config_toml
from cffs.daemon.upload_setup import opened_uploads
from cffs.fuse.guard import CallTable
from cffs.fuse.invalidation import KernelView
from cffs.tree.context import SearchNote
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.uploads import forget_names

#: Returns fields for the top of status.json.
_Report = Callable[[], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountParts:
    """A mount, ready to be handed to the kernel. `notices` are lines for the user."""

    operations: pyfuse3.Operations
    background: NurseryBackground
    catalog: Catalog
    view: KernelView
    notices: tuple[str, ...]
    services: MountServices


@asynccontextmanager
async def assembled(
    settings: Settings, mountpoint: Path, folders: AccountFolders, *, reread: Reread | None, audit: AuditLog | None
) -> AsyncIterator[MountParts]:
    """A whole mount, of which only the kernel is missing. Raises UsageError for what stops it."""
    mounted_at = trio.current_time()
    given = shares(descriptor_limit(), connections=settings.connections)
    lean = replace(settings, connections=given.connections)
    async with (
        opened_sharing(lean) as sharing,
        open_origin(lean.origin(), sharing) as origin,
        open_catalogue(lean, folders.state, origin, wall_ms=_wall_ms) as catalogue,
        AsyncExitStack() as stack,
    ):
        transport, catalog, background = origin.transport, catalogue.catalog, catalogue.background
        check = CredentialsCheck(transport, settings.origin())
        catalogue.account.learn_campaigns()  # beside the credentials, so that it is known when the mount is reported
        shared_notes = sharing.notes if sharing is not None else list
        notices = (*shared_notes(), *await check.start())
        background.start(check.repeat_until_known)
        cache = MemoryCache(settings.memory_nbytes, give_back=malloc.give_back)
        disk = await open_disk_cache(folders.cache, limit_nbytes=settings.cache_nbytes, most_open_files=given.files)
        reader = build_reader(lean, origin, catalogue, cache=cache, disk=disk, view=KernelView())
        inodes, forget_name = reader.kernel.inodes, reader.kernel.forget_name
        uploads, leftover_notices = await stack.enter_async_context(
            opened_uploads(
                settings,
                folders.cache / "spool",
                v2=origin.v2,
                catalog=catalog,
                single_flight=catalogue.single_flight,
                background=background,
                inodes=inodes,
                wall_ms=_wall_ms,
                appeared=lambda media_id: forget_names(catalog, forget_name, media_id),
            )
        )
        kept = opened_notes(settings, folders.state, background, wall_ms=_wall_ms)
        notes = await stack.enter_async_context(kept)
        live = LiveSettings(settings, reread=reread, use_credentials=lambda s: transport.use_credentials(s.credentials))
        transport.renew_by(lambda: reload_and_log(live), background)
        search_note, state = SearchNote(), ServiceState()
        reports: tuple[_Report, ...] = (
            lambda: {"offline_asked_for": settings.offline},
            lambda: {"notes": [*check.notes(), *shared_notes(), *trouble_notes(disk), *search_note.lines()]},
            sharing.report if sharing is not None else dict,
            uploads.report if uploads is not None else dict,
            state.report,
            lambda: {"held": _held(inodes)},
        )
        status = _status(
            settings=settings,
            mountpoint=mountpoint,
            mounted_at=mounted_at,
            origin=origin,
            catalogue=catalogue,
            reader=reader,
            disk=disk,
            reports=reports,
        )
        own_files = {**status.files(), "config.toml": lambda: config_toml(live.now).encode()}
        leaves = Leaves(
            calls=status.calls,
            own_files=own_files,
            search_note=search_note,
            uploads=uploads,
            notes=notes,
            mountpoint=str(mountpoint),
            audit=audit,
        )
        tree = build_tree(lean, origin, catalogue, reader, leaves)
        if tree.audited is not None:
            stack.callback(tree.audited.note_open_files)
        if given.connections < settings.connections:
            notices += (f"few descriptors (ulimit -n): at most {given.connections} connections at once",)
        yield MountParts(
            operations=tree.operations,
            background=background,
            catalog=catalog,
            view=reader.kernel.view,
            notices=notices + leftover_notices + _zone_notice(settings.timezone, catalog),
            services=MountServices(
                live=live,
                mountpoint=mountpoint,
                inflight=status.inflight,
                status=status.status,
                note_read_ahead=reader.objects.note_read_ahead,
                state=state,
                commands=_commands(status, disk, tree.namespace),
            ),
        )


def _status(
    *,
    settings: Settings,
    mountpoint: Path,
    mounted_at: float,
    origin: OriginParts,
    catalogue: CatalogueParts,
    reader: ReaderParts,
    disk: DiskCache,
    reports: tuple[_Report, ...],
) -> Status:
    """What the mount's own files show."""
    return Status(
        settings=settings,
        mountpoint=mountpoint,
        mounted_at=mounted_at,
        transport=origin.transport,
        cache=reader.cache,
        disk=disk,
        objects=reader.objects,
        catalog=catalogue.catalog,
        handles=reader.kernel.handles,
        calls=_call_table(settings, origin.transport),
        background=catalogue.background,
        reports=reports,
    )


def _call_table(settings: Settings, transport: Transport) -> CallTable:
    limit_seconds = request_limit_seconds()
    return CallTable(
        budget_seconds=handler_budget(settings.timeout_seconds * HANDLER_SHARE, limit_seconds),
        limit_seconds=None if limit_seconds is None else limit_seconds / 2,
        failing=transport.failing,
    )


def _commands(status: Status, disk: DiskCache, namespace: Namespace) -> dict[str, Command]:
    """What the control socket can be asked about the tree and its bytes."""
    settings, transport, catalog, objects = status.settings, status.transport, status.catalog, status.objects
    prefetch = PrefetchCommand(
        namespace=namespace, objects=objects, disk=disk, budget_seconds=status.calls.budget_seconds
    )
    probe = ProbeCommand(
        settings=settings,
        transport=transport,
        catalog=catalog,
        namespace=namespace,
        kept=status.capabilities,
        wall_ms=_wall_ms,
        expect=objects.expect,
    )
    explain = Explain(settings=settings, namespace=namespace, catalog=catalog, objects=objects, transport=transport)
    facts = FolderFacts(namespace=namespace, catalog=catalog, objects=objects, disk=disk)
    return {
        **cache_commands(disk, namespace),
        **prefetch.commands(),
        "known": facts.known,
        "probe": probe.probe,
        "why": explain.why,
    }


def _held(inodes: InodeTable) -> dict[str, int]:
    """Counts that return to their baseline in a soak test."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    return {"tasks": tasks, "inodes": len(inodes), "lookups": inodes.lookups}


def _zone_notice(timezone: str, catalog: Catalog) -> tuple[str, ...]:
    if catalog.zone.key == timezone:
        return ()
    return (f"names show times in {catalog.zone.key}, the zone of this account's first mount, not in {timezone}",)


def _wall_ms() -> int:
    return time.time_ns() // NS_PER_MS
