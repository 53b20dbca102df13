"""A whole mount without a kernel: the stand-in over real HTTP, every floor above it, and the fake kernel on top."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.health import HealthState
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import Account as CatalogAccount
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.settings import Credentials, Settings
from cffs.daemon.background import NurseryBackground, open_background
from cffs.fuse.attributes import AttributeMaker, KernelCaching
from cffs.fuse.guard import CallTable
from cffs.fuse.invalidation import FactsToCatalog, KernelView, drain_changes
from cffs.fuse.operations import Operations
from cffs.reader.object_registry import ObjectRegistry
from cffs.standin.account import Account
from cffs.standin.server import Standin
from cffs.tree.context import Context
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from cffs.tree.xattrs import attributes_teller
from cffs.writer.account_actions import AccountActions
from tests.fuse.kernel import Kernel, take_entry

#: 2026-11-21, in ns.
NOW_NS = 1_795_000_000 * 10**9


@dataclass(frozen=True, kw_only=True)
class World:
    """What a test looks into."""

    standin: Standin
    kernel: Kernel
    operations: Operations
    inodes: InodeTable
    catalog: Catalog
    objects: ObjectRegistry
    transport: Transport
    cache: MemoryCache
    listener: FactsToCatalog
    background: NurseryBackground
    #: Inodes whose attributes the kernel was told to forget, in order.
    invalidated: list[Inode]

    @property
    def account(self) -> Account:
        """What is served."""
        return self.standin.account

    def honest(self) -> None:
        """No handler and no task met a bug, and nothing is in flight."""
        assert self.operations.calls.bugs == self.background.bugs == 0
        assert self.operations.calls.waiting() == []


def settings_of(standin: Standin, folder: Path, *, v1: bool = True, v2: bool = True, **changes: Any) -> Settings:
    """What a mount of that stand-in is told, everything of its own below `folder`."""
    given = standin.credentials
    credentials = Credentials(
        apikey=given.apikey if v1 else None,
        login=given.login if v2 else None,
        password=given.password if v2 else None,
    )
    told = {"uid": 0, "gid": 0, "v1_url": standin.v1_url, "v2_url": standin.v2_url, **changes}
    return Settings(credentials=credentials, cache_dir=folder, state_dir=folder, runtime_dir=folder, **told)


@asynccontextmanager
async def built(
    standin: Standin, settings: Settings, folder: Path, budget_seconds: float, *, disk: DiskCache | None = None
) -> AsyncIterator[World]:
    """The mount of that stand-in with these settings; its catalogue lies in `folder`, its blocks in `disk`."""
    async with (
        Transport(settings.origin()) as transport,
        Catalog.opened(folder / "catalog.sqlite") as catalog,
        open_background() as background,
    ):
        cache, inodes, invalidated = MemoryCache(settings.memory_nbytes), InodeTable(catalog.versions), []
        listener = FactsToCatalog(catalog, inodes)
        objects = ObjectRegistry(
            opener=transport,
            cache=cache,
            disk=disk,
            background=background,
            settings=settings.reader(),
            listener=listener,
        )

        questions = SingleFlight(
            background,
            timeout_seconds=settings.timeout_seconds,
            is_offline=lambda api: transport.health()[api].state == HealthState.OFFLINE,
        )
        account = CatalogAccount(
            catalog=catalog,
            questions=questions,
            background=background,
            v1=V1Client(transport) if settings.credentials.has_v1 else None,
            v2=V2Client(transport) if settings.credentials.has_v2 else None,
            has_account_login=False,
            ttl_seconds=settings.dir_ttl_seconds,
            wall_ms=lambda: NOW_NS // 10**6,
        )
        own_files = {"status.json": lambda: b"{}\n", "inflight.json": lambda: b"[]\n"}
        context = Context(
            account=account,
            catalog=catalog,
            settings=settings.tree(),
            objects=objects,
            own_files=own_files,
            acts=AccountActions(account, wall_ms=lambda: NOW_NS // 10**6),
        )
        kernel_view, namespace = KernelView(invalidated.append), Namespace(context, inodes)
        operations = Operations(
            namespace=namespace,
            objects=objects,
            catalog=catalog,
            attributes=AttributeMaker(
                settings.fuse(), KernelCaching(), first_seen_ns=catalog.first_seen_ms * 1_000_000
            ),
            kernel=kernel_view,
            calls=CallTable(budget_seconds=budget_seconds),
            now_ns=lambda: NOW_NS,
            readdir_reply=take_entry,
            attributes_of=attributes_teller(context, namespace, objects.held_nbytes, settings.origin().url_of)
            if settings.xattrs
            else None,
        )
        listener.attend(kernel_view, operations.shown)
        background.start(drain_changes, catalog, kernel_view)
        background.start(catalog.write_facts_forever)
        yield World(
            standin=standin,
            kernel=Kernel(operations),
            operations=operations,
            inodes=inodes,
            catalog=catalog,
            objects=objects,
            transport=transport,
            cache=cache,
            listener=listener,
            background=background,
            invalidated=invalidated,
        )
