"""The assembly of an account: its service, catalogue, objects and tree.

Every part gets what it needs when it is made; nothing is set afterwards, but for the search for credentials
(`Transport.renew_by`). So the tables that parts above and below share (inodes, handles, calls in flight) are made
before both. Each floor has a builder here; what the kernel speaks to is built in `daemon/kernel_assembly`.
`daemon/mount_parts` puts one mount together with these builders, `fsspec_plugin/` a tree without a mount, and tests
put together theirs, with other leaves.

Owns which part is given which. It must not know how a mount starts and ends, nor the kernel: it works where pyfuse3
cannot be imported.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.health import HealthState
from cffs.callfire.metadata_transport import MetadataTransport
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
from cffs.daemon.background import NurseryBackground, open_background
from cffs.daemon.sharing import Sharing
from cffs.notes.account_notes import AccountNotes
from cffs.reader.digests import Digests
from cffs.reader.object_info import FactsListener
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.range_opener import RangeOpener
from cffs.tree.context import Context, SearchNote
from cffs.tree.nodes import Node
from cffs.writer.account_actions import AccountActions
from cffs.writer.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginParts:
    """The way to the service; a client is None where its API has no credentials. Where machines share, `opener` may
    answer with what another one fetched, and `origin` asks the service itself."""

    transport: Transport
    opener: RangeOpener
    origin: RangeOpener
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
class TreeLeaves:
    """What the tree ends in. `now_ns` is the wall clock; `mountpoint` is what stands before the paths of the tree."""

    own_files: Mapping[str, Callable[[], bytes]]
    now_ns: Callable[[], int] = time.time_ns
    search_note: SearchNote = field(default_factory=SearchNote)
    uploads: Uploads | None = None
    notes: AccountNotes | None = None
    mountpoint: str = ""


# -- the builders --


@asynccontextmanager
async def open_origin(settings: OriginSettings, sharing: Sharing | None = None) -> AsyncIterator[OriginParts]:
    """The service, by its transport and the clients of its APIs; connections are closed at the end. With `sharing`,
    the rate, the holds, fetched bytes and answers are those of all machines of the account."""
    async with _transport(settings, sharing) as transport:
        known = settings.credentials
        asking: MetadataTransport = transport if sharing is None else sharing.transport_over(transport)
        shared = None if sharing is None else sharing.opener_over(transport)
        yield OriginParts(
            transport=transport,
            opener=shared or transport,
            origin=transport if shared is None else shared.origin,
            v1=V1Client(asking) if known.has_v1 else None,
            v2=V2Client(asking) if known.has_v2 else None,
        )


def _transport(settings: OriginSettings, sharing: Sharing | None) -> Transport:
    if sharing is None:
        return Transport(settings)
    transport = Transport(settings, counter=sharing.counter, on_hold=sharing.counter.note_hold)
    sharing.pause.hold = transport.hold
    return transport


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


def build_objects(
    settings: Settings,
    origin: OriginParts,
    catalogue: CatalogueParts,
    *,
    cache: MemoryCache,
    disk: DiskCache | None,
    listener: FactsListener,
) -> ObjectRegistry:
    """The reader of objects, over the caches given. `listener` learns what answers say."""
    return ObjectRegistry(
        opener=origin.opener,
        origin=origin.origin,
        cache=cache,
        disk=disk,
        background=catalogue.background,
        settings=settings.reader(),
        listener=listener,
    )


def build_context(
    settings: Settings,
    origin: OriginParts,
    catalogue: CatalogueParts,
    *,
    objects: ObjectRegistry,
    leaves: TreeLeaves,
    name_changed: Callable[[Node, str], None],
) -> Context:
    """What the tree works with. `name_changed`: see Context."""
    catalog = catalogue.catalog
    return Context(
        account=catalogue.account,
        listings=catalogue.listings,
        completion=RowCompletion(catalogue.account),
        catalog=catalog,
        settings=settings.tree(),
        objects=objects,
        own_files=leaves.own_files,
        actions=AccountActions(catalogue.account, wall_ms=lambda: leaves.now_ns() // NS_PER_MS),
        digest=Digests(objects).digest,
        name_changed=name_changed,
        is_writable=settings.writable,
        uploads=leaves.uploads,
        notes=leaves.notes,
        mountpoint=leaves.mountpoint,
        today=lambda: "-".join(date_folders(leaves.now_ns(), zone=catalog.zone)),
        is_refused=origin.transport.is_refused,
        search_note=leaves.search_note,
    )
