"""The assembly of a mount: four builders make its parts, floor by floor.

`assembled` puts one whole mount together.

Owns which part is given which. It must not know how a mount starts and ends, and it opens nothing of the kernel's.

Every part gets what it needs when it is made; nothing is set afterwards. So the tables that parts above and below share
(inodes, handles, calls in flight) are made before both. Tests use these builders with other leaves.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyfuse3
import trio

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.health import HealthState
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.listing_sync import ListingSync
from cffs.catalog.row_completion import RowCompletion
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import UsageError
from cffs.core.settings import OriginSettings, Settings
from cffs.core.units import NS_PER_MS
from cffs.daemon import malloc
from cffs.daemon.account_folder import AccountFolders
from cffs.daemon.audit_log import AuditLog
from cffs.daemon.audited_operations import AuditedOperations, noting
from cffs.daemon.background import NurseryBackground, open_background
from cffs.daemon.control import Command
from cffs.daemon.credentials_check import CredentialsCheck
from cffs.daemon.descriptor_shares import descriptor_limit, shares
from cffs.daemon.disk_cache_setup import cache_commands, open_disk_cache, trouble_notes
from cffs.daemon.explain import Explain
from cffs.daemon.kernel import handler_budget, request_limit_seconds
from cffs.daemon.mount_services import MountServices, ServiceState
from cffs.daemon.prefetch_command import PrefetchCommand
from cffs.daemon.probe_command import ProbeCommand
from cffs.daemon.reload import LiveSettings, Reread, reload_and_log
from cffs.daemon.status import Status, config_toml
from cffs.daemon.thumbnailers import HeadForThumbnailers
from cffs.daemon.upload_setup import opened_uploads
from cffs.fuse.attributes import AttributeMaker, KernelCaching
from cffs.fuse.guard import CallTable, GuardedOperations
from cffs.fuse.handlers import Handlers
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import FactsToCatalog
from cffs.fuse.operations import Operations
from cffs.fuse.presentation import KernelState, KernelView, Presentation
from cffs.fuse.readdir import ReaddirReply
from cffs.reader.digests import Digests
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.context import Context, SearchNote
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.uploads import forget_names
from cffs.tree.xattrs import attributes_teller
from cffs.writer.account_actions import AccountActions
from cffs.writer.uploads import Uploads

#: The kernel asks a failed read a second time, so a handler has half of what the application was promised.
HANDLER_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginParts:
    """The way to the service; a client is None where its API has no credentials."""

    transport: Transport
    v1: V1Client | None
    v2: V2Client | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueParts:
    """What is known of the account, and the background whose tasks learn more."""

    catalog: Catalog
    background: NurseryBackground
    single_flight: SingleFlight
    account: AccountSync
    listings: ListingSync


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderParts:
    """The bytes of objects, and what the kernel holds of them."""

    cache: MemoryCache
    disk: DiskCache | None
    kernel: KernelState
    listener: FactsToCatalog
    objects: ObjectRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeParts:
    """The tree, and the operations over it. `audited` is the wrapper that notes open files, where there is one."""

    namespace: Namespace
    handlers: Handlers
    operations: GuardedOperations
    audited: AuditedOperations | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """What the tree and the operations end in: a mount gives its own, a test what it can look into."""

    calls: CallTable
    own_files: Mapping[str, Callable[[], bytes]]
    now_ns: Callable[[], int] = time.time_ns
    readdir_reply: ReaddirReply = pyfuse3.readdir_reply
    search_note: SearchNote = field(default_factory=SearchNote)
    uploads: Uploads | None = None
    audit: AuditLog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MountParts:
    """A mount, ready to be handed to the kernel. `notices` are lines for the user."""

    operations: pyfuse3.Operations
    background: NurseryBackground
    catalog: Catalog
    view: KernelView
    notices: tuple[str, ...]
    services: MountServices


# -- the four builders --


@asynccontextmanager
async def open_origin(settings: OriginSettings) -> AsyncIterator[OriginParts]:
    """The service, by its transport and the clients of its APIs; connections are closed at the end."""
    async with Transport(settings) as transport:
        known = settings.credentials
        yield OriginParts(
            transport=transport,
            v1=V1Client(transport) if known.has_v1 else None,
            v2=V2Client(transport) if known.has_v2 else None,
        )


@asynccontextmanager
async def open_catalogue(
    settings: Settings, folder: Path, origin: OriginParts, *, wall_ms: Callable[[], int]
) -> AsyncIterator[CatalogueParts]:
    """The catalogue in `folder`, and the account whose rows it holds. The background's tasks end before the catalogue
    is closed. Raises UsageError where the folder cannot be used."""
    async with AsyncExitStack() as stack:
        try:
            opened = Catalog.opened(folder / "catalog.sqlite", timezone=settings.timezone, wall_ms=wall_ms)
            catalog = await stack.enter_async_context(opened)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"cannot use the folder {folder}: {reason}") from error
        background = await stack.enter_async_context(open_background())
        single_flight = SingleFlight(
            background,
            timeout_seconds=settings.timeout_seconds,
            is_offline=lambda api: origin.transport.health()[api].state == HealthState.OFFLINE,
        )
        account = AccountSync(
            catalog=catalog,
            single_flight=single_flight,
            v1=origin.v1,
            v2=origin.v2,
            has_account_login=settings.credentials.has_account,
            ttl_seconds=settings.dir_ttl_seconds,
            wall_ms=wall_ms,
        )
        listings = ListingSync(account, background=background, ttl_seconds=settings.dir_ttl_seconds, wall_ms=wall_ms)
        yield CatalogueParts(
            catalog=catalog, background=background, single_flight=single_flight, account=account, listings=listings
        )


def build_reader(
    settings: Settings,
    origin: OriginParts,
    catalogue: CatalogueParts,
    *,
    cache: MemoryCache,
    disk: DiskCache | None,
    view: KernelView,
) -> ReaderParts:
    """The reader of objects, over the caches given. `view` is the way into the kernel."""
    kernel = KernelState(
        inodes=InodeTable(catalogue.catalog.versions), versions=InodeVersions(), handles=HandleTable(), view=view
    )
    listener = FactsToCatalog(catalogue.catalog, kernel)
    objects = ObjectRegistry(
        opener=origin.transport,
        cache=cache,
        disk=disk,
        background=catalogue.background,
        settings=settings.reader(),
        listener=listener,
    )
    return ReaderParts(cache=cache, disk=disk, kernel=kernel, listener=listener, objects=objects)


def build_tree(
    settings: Settings, origin: OriginParts, catalogue: CatalogueParts, reader: ReaderParts, leaves: Leaves
) -> TreeParts:
    """The tree, the handlers over it, what the settings wrap around these, and the guard around it all."""
    catalog, objects, kernel = catalogue.catalog, reader.objects, reader.kernel
    context = Context(
        account=catalogue.account,
        listings=catalogue.listings,
        completion=RowCompletion(catalogue.account),
        catalog=catalog,
        settings=settings.tree(),
        objects=objects,
        own_files=leaves.own_files,
        acts=AccountActions(catalogue.account, wall_ms=lambda: leaves.now_ns() // NS_PER_MS),
        digest=Digests(objects).digest,
        name_changed=kernel.forget_name,
        is_writable=settings.writable,
        uploads=leaves.uploads,
        is_refused=origin.transport.is_refused,
        search_note=leaves.search_note,
    )
    namespace = Namespace(context, kernel.inodes)
    first_seen_ns = catalog.first_seen_ms * NS_PER_MS
    url_of = settings.origin().url_of
    handlers: Handlers = Operations(
        Presentation(
            namespace=namespace,
            objects=objects,
            catalog=catalog,
            kernel=kernel,
            attributes=AttributeMaker(settings.fuse(), KernelCaching(), first_seen_ns=first_seen_ns),
            now_ns=leaves.now_ns,
        ),
        budget_seconds=leaves.calls.budget_seconds,
        readdir_reply=leaves.readdir_reply if leaves.audit is None else noting(leaves.readdir_reply),
        attributes_of=attributes_teller(context, namespace, objects.held_nbytes, url_of) if settings.xattrs else None,
    )
    if settings.thumbnailers == "head":
        handlers = HeadForThumbnailers(handlers, kernel.handles)
    audited = None
    if leaves.audit is not None:
        handlers = audited = AuditedOperations(handlers, kernel=kernel, audit=leaves.audit, now_ns=leaves.now_ns)
    operations = GuardedOperations(handlers, leaves.calls)
    return TreeParts(namespace=namespace, handlers=handlers, operations=operations, audited=audited)


# -- one mount --


@asynccontextmanager
async def assembled(
    settings: Settings, mountpoint: Path, folders: AccountFolders, *, reread: Reread | None, audit: AuditLog | None
) -> AsyncIterator[MountParts]:
    """A whole mount, of which only the kernel is missing. Raises UsageError for what stops it."""
    mounted_at = trio.current_time()
    given = shares(descriptor_limit(), connections=settings.connections)
    lean = replace(settings, connections=given.connections)
    async with (
        open_origin(lean.origin()) as origin,
        open_catalogue(lean, folders.state, origin, wall_ms=_wall_ms) as catalogue,
        AsyncExitStack() as stack,
    ):
        catalog, background = catalogue.catalog, catalogue.background
        check = CredentialsCheck(origin.transport, settings.origin())
        notices = await check.start()
        background.start(check.repeat_until_known)
        cache = MemoryCache(settings.memory_nbytes, give_back=malloc.give_back)
        disk = await open_disk_cache(folders.cache, limit_nbytes=settings.cache_nbytes, most_open_files=given.files)
        reader = build_reader(lean, origin, catalogue, cache=cache, disk=disk, view=KernelView())
        uploads, leftover_notices = await stack.enter_async_context(
            opened_uploads(
                settings,
                folders.cache / "spool",
                v2=origin.v2,
                catalog=catalog,
                single_flight=catalogue.single_flight,
                background=background,
                inodes=reader.kernel.inodes,
                wall_ms=_wall_ms,
                appeared=lambda media_id: forget_names(catalog, reader.kernel.forget_name, media_id),
            )
        )
        calls = _call_table(settings, origin.transport)
        live = LiveSettings(
            settings, reread=reread, use_credentials=lambda new: origin.transport.use_credentials(new.credentials)
        )
        origin.transport.renew_by(lambda: reload_and_log(live), background)
        search_note, state = SearchNote(), ServiceState()
        status = Status(
            settings=settings,
            mountpoint=mountpoint,
            mounted_at=mounted_at,
            transport=origin.transport,
            cache=cache,
            disk=disk,
            objects=reader.objects,
            catalog=catalog,
            handles=reader.kernel.handles,
            calls=calls,
            background=background,
            reports=(
                lambda: {"offline_asked_for": settings.offline},
                lambda: {"notes": [*check.notes(), *trouble_notes(disk), *search_note.lines()]},
                uploads.report if uploads is not None else dict,
                state.report,
                lambda: {"held": _held(reader.kernel.inodes)},
            ),
        )
        own_files = {**status.files(), "config.toml": lambda: config_toml(live.now).encode()}
        leaves = Leaves(calls=calls, own_files=own_files, search_note=search_note, uploads=uploads, audit=audit)
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
                commands=_commands(settings, origin, disk, reader.objects, tree.namespace, status),
            ),
        )


def _call_table(settings: Settings, transport: Transport) -> CallTable:
    limit_seconds = request_limit_seconds()
    return CallTable(
        budget_seconds=handler_budget(settings.timeout_seconds * HANDLER_SHARE, limit_seconds),
        limit_seconds=None if limit_seconds is None else limit_seconds / 2,
        failing=transport.failing,
    )


def _commands(
    settings: Settings,
    origin: OriginParts,
    disk: DiskCache,
    objects: ObjectRegistry,
    namespace: Namespace,
    status: Status,
) -> dict[str, Command]:
    """What the control socket can be asked about the tree and its bytes."""
    prefetch = PrefetchCommand(
        namespace=namespace, objects=objects, disk=disk, budget_seconds=status.calls.budget_seconds
    )
    probe = ProbeCommand(
        settings=settings,
        transport=origin.transport,
        catalog=status.catalog,
        namespace=namespace,
        kept=status.capabilities,
        wall_ms=_wall_ms,
        expect=objects.expect,
    )
    explain = Explain(
        settings=settings, namespace=namespace, catalog=status.catalog, objects=objects, transport=origin.transport
    )
    return {**cache_commands(disk, namespace), **prefetch.commands(), "probe": probe.probe, "why": explain.why}


def _held(inodes: InodeTable) -> dict[str, int]:
    """Counts that return to their baseline in a soak test."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    return {"tasks": tasks, "inodes": len(inodes), "lookups": inodes.lookups}


def _zone_notice(timezone: str, catalog: Catalog) -> tuple[str, ...]:
    if catalog.zone.key == timezone:
        return ()
    return (f"names tell times in {catalog.zone.key}, the zone of this account's first mount, not in {timezone}",)


def _wall_ms() -> int:
    return time.time_ns() // NS_PER_MS
