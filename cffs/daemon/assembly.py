"""The assembly of a mount: four builders make its parts, floor by floor.

Every part gets what it needs when it is made; nothing is set afterwards, but for the search for credentials
(`Transport.renew_by`). So the tables that parts above and below share (inodes, handles, calls in flight) are made
before both. `daemon/mount_parts` puts one mount together with these builders, and tests put together theirs, with other
leaves.

Owns which part is given which. It must not know how a mount starts and ends, and it opens nothing of the kernel's.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyfuse3

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
from cffs.core.times import date_folders
from cffs.core.units import NS_PER_MS
from cffs.daemon.audit_log import AuditLog
from cffs.daemon.audited_operations import AuditedOperations, noting
from cffs.daemon.background import NurseryBackground, open_background
from cffs.daemon.thumbnailers import HeadForThumbnailers
from cffs.fuse.attributes import AttributeMaker, KernelCaching
from cffs.fuse.guard import CallTable, GuardedOperations
from cffs.fuse.handlers import Handlers
from cffs.fuse.handles import HandleTable
from cffs.fuse.inode_versions import InodeVersions
from cffs.fuse.invalidation import FactsToCatalog
from cffs.fuse.operations import Operations
from cffs.fuse.presentation import KernelState, KernelView, Presentation
from cffs.fuse.readdir import ReaddirReply
from cffs.notes.account_notes import AccountNotes
from cffs.reader.digests import Digests
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.context import Context, SearchNote
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.xattrs import attributes_teller
from cffs.writer.account_actions import AccountActions
from cffs.writer.uploads import Uploads


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
    notes: AccountNotes | None = None
    mountpoint: str = ""
    audit: AuditLog | None = None


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
        actions=AccountActions(catalogue.account, wall_ms=lambda: leaves.now_ns() // NS_PER_MS),
        digest=Digests(objects).digest,
        name_changed=kernel.forget_name,
        is_writable=settings.writable,
        uploads=leaves.uploads,
        notes=leaves.notes,
        mountpoint=leaves.mountpoint,
        today=lambda: "-".join(date_folders(leaves.now_ns(), zone=catalog.zone)),
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
