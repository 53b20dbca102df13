"""What a mount is made of: every part of it, made and wired together, ready to be handed to the kernel.

It must not know how a mount starts and ends; it opens nothing of the kernel's. `daemon/mount` builds it.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from cffs.cache.memory import MemoryCache
from cffs.callfire.health import HealthState
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import Account
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.core.units import NS_PER_MS
from cffs.daemon import malloc
from cffs.daemon.account_folder import AccountFolders
from cffs.daemon.background import NurseryBackground, open_background
from cffs.daemon.credentials_check import CredentialsCheck
from cffs.daemon.descriptor_shares import descriptor_limit, shares
from cffs.daemon.disk_cache_setup import commands, opened_blocks
from cffs.daemon.disk_cache_setup import notes as disk_notes
from cffs.daemon.explain import Explain
from cffs.daemon.kernel import handler_budget, request_limit_seconds
from cffs.daemon.mount_services import MountServices
from cffs.daemon.prefetch_command import PrefetchCommand
from cffs.daemon.probe_command import ProbeCommand
from cffs.daemon.reload import LiveSettings, Reread, reload_and_log
from cffs.daemon.status import Status, config_toml
from cffs.daemon.upload_setup import opened_uploads
from cffs.fuse.attributes import AttributeMaker, KernelCaching
from cffs.fuse.guard import CallTable
from cffs.fuse.invalidation import FactsToCatalog, KernelView
from cffs.fuse.listing_order import known_of
from cffs.fuse.operations import Operations
from cffs.reader.digests import Digests
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.context import Context
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.uploads import tell_names
from cffs.tree.xattrs import attributes_teller
from cffs.writer.account_actions import AccountActions

#: A failed read is asked of us twice by the kernel, so a handler has half of what the application was promised.
HANDLER_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MountParts:
    """What a mount is made of, ready to be handed to the kernel."""

    operations: Operations
    background: NurseryBackground
    catalog: Catalog
    kernel: KernelView
    notices: tuple[str, ...]
    attending: MountServices


@asynccontextmanager
async def built(
    settings: Settings,
    mountpoint: Path,
    folders: AccountFolders,
    reread: Reread | None,
    make: Callable[..., Operations],
) -> AsyncIterator[MountParts]:
    mounted_at = trio.current_time()
    given = shares(descriptor_limit(), connections=settings.connections)
    lean = replace(settings, connections=given.connections)
    async with (
        Transport(lean.origin()) as transport,
        _catalog(folders.state, settings.timezone) as catalog,
        open_background() as background,  # its tasks end before what they use is closed
        AsyncExitStack() as stack,
    ):
        v1 = V1Client(transport) if settings.credentials.has_v1 else None
        v2 = V2Client(transport) if settings.credentials.has_v2 else None
        credentials_check = CredentialsCheck(transport, settings.origin())
        missing = await credentials_check.start()
        background.start(credentials_check.repeat_until_known)
        cache = MemoryCache(settings.memory_nbytes, give_back=malloc.give_back)
        disk = await opened_blocks(folders.cache, limit_nbytes=settings.cache_nbytes, most_open_files=given.files)
        inodes = InodeTable(catalog.versions)
        listener = FactsToCatalog(catalog, inodes)
        objects = ObjectRegistry(
            opener=transport,
            cache=cache,
            disk=disk,
            background=background,
            settings=lean.reader(),
            listener=listener,
        )
        questions = SingleFlight(
            background,
            timeout_seconds=settings.timeout_seconds,
            is_offline=lambda api: transport.health()[api].state == HealthState.OFFLINE,
        )
        account = Account(
            catalog=catalog,
            questions=questions,
            background=background,
            v1=v1,
            v2=v2,
            has_account_login=settings.credentials.has_account,
            ttl_seconds=settings.dir_ttl_seconds,
            wall_ms=_wall_ms,
        )
        own_files: dict[str, Callable[[], bytes]] = {}
        kernel = KernelView()
        uploads, left = await stack.enter_async_context(
            opened_uploads(
                settings,
                folders.cache / "spool",
                v2=account.v2,
                catalog=catalog,
                questions=questions,
                background=background,
                inodes=inodes,
                wall_ms=_wall_ms,
                appeared=lambda media_id: tell_names(context, media_id),
            )
        )
        context = Context(
            account=account,
            catalog=catalog,
            settings=settings.tree(),
            objects=objects,
            own_files=own_files,
            acts=AccountActions(account, wall_ms=_wall_ms),
            digest=Digests(objects).digest,
            name_changed=lambda folder, name: kernel.forget_name(inodes.number(folder), name),
            is_writable=settings.writable,
            uploads=uploads,
            is_refused=transport.is_refused,
        )
        namespace = Namespace(context, inodes)
        limit_seconds = request_limit_seconds()
        operations = make(
            namespace=namespace,
            objects=objects,
            catalog=catalog,
            attributes=AttributeMaker(
                settings.fuse(), KernelCaching(), first_seen_ns=catalog.first_seen_ms * NS_PER_MS
            ),
            kernel=kernel,
            calls=CallTable(
                budget_seconds=handler_budget(settings.timeout_seconds * HANDLER_SHARE, limit_seconds),
                limit_seconds=None if limit_seconds is None else limit_seconds / 2,
                failing=transport.failing,
            ),
            now_ns=time.time_ns,
            attributes_of=attributes_teller(context, namespace, objects.held_nbytes, settings.origin().url_of)
            if settings.xattrs
            else None,
        )
        listener.attend(kernel, operations.shown)
        status = Status(
            settings=settings,
            mountpoint=mountpoint,
            mounted_at=mounted_at,
            transport=transport,
            cache=cache,
            disk=disk,
            objects=objects,
            catalog=catalog,
            operations=operations,
            background=background,
        )
        status.more.append(lambda: {"offline_asked_for": settings.offline})
        status.more.append(
            lambda: {"notes": [*credentials_check.notes(), *disk_notes(disk), *context.search_note.lines()]}
        )
        if uploads is not None:
            status.more.append(uploads.told)
        live = LiveSettings(
            settings, reread=reread, use_credentials=lambda new: transport.use_credentials(new.credentials)
        )
        transport.renew_by(lambda: reload_and_log(live), background)
        attending = _attending(live, status, namespace)
        own_files.update(status.files())
        own_files["config.toml"] = lambda: config_toml(live.now).encode()
        notices = missing + left + _zone_notice(settings.timezone, catalog)
        if given.connections < settings.connections:
            notices += (f"few descriptors (ulimit -n): at most {given.connections} connections at once",)
        yield MountParts(
            operations=operations,
            background=background,
            catalog=catalog,
            kernel=kernel,
            notices=notices,
            attending=attending,
        )


def _zone_notice(timezone: str, catalog: Catalog) -> tuple[str, ...]:
    if catalog.zone.key == timezone:
        return ()
    return (f"names tell times in {catalog.zone.key}, the zone of this account's first mount, not in {timezone}",)


def _attending(live: LiveSettings, status: Status, namespace: Namespace) -> MountServices:
    """Who answers the control socket, and what it can be asked."""
    settings, transport, catalog, objects = status.settings, status.transport, status.catalog, status.objects
    attending = MountServices(
        live=live,
        mountpoint=status.mountpoint,
        inflight=status.inflight,
        status=status.status,
        note_read_ahead=objects.note_read_ahead,
    )
    bringing = PrefetchCommand(
        namespace=namespace,
        objects=objects,
        disk=status.disk,
        known_of=partial(known_of, catalog),
        budget_seconds=status.operations.calls.budget_seconds,
    )
    for name, command in (commands(status.disk, namespace) | bringing.commands()).items():
        attending.add_command(name, command)
    probing = ProbeCommand(
        settings=settings,
        transport=transport,
        catalog=catalog,
        namespace=namespace,
        kept=status.capabilities,
        wall_ms=_wall_ms,
        expect=objects.expect,
    )
    attending.add_command("probe", probing.probe)
    story = Explain(settings=settings, namespace=namespace, catalog=catalog, objects=objects, transport=transport)
    attending.add_command("why", story.why)
    inodes, living = namespace.inodes, trio.lowlevel.current_statistics  # what returns to its baseline in a soak
    status.more.append(attending.told)
    status.more.append(
        lambda: {"held": {"tasks": living().tasks_living, "inodes": len(inodes), "lookups": inodes.lookups}}
    )
    return attending


@asynccontextmanager
async def _catalog(state: Path, timezone: str) -> AsyncIterator[Catalog]:
    async with AsyncExitStack() as stack:
        try:
            opened = Catalog.opened(state / "catalog.sqlite", timezone=timezone, wall_ms=_wall_ms)
            catalog = await stack.enter_async_context(opened)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"cannot use the folder {state}: {reason}") from error
        yield catalog


def _wall_ms() -> int:
    return time.time_ns() // NS_PER_MS
