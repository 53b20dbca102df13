"""A whole mount without a kernel: stand-in, every floor, a fake kernel.

The stand-in is reached over real HTTP; the parts are made by the daemon's own builders.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.transport import Transport
from cffs.catalog.store import Catalog
from cffs.core.ids import Inode
from cffs.core.settings import Credentials, Settings
from cffs.core.units import NS_PER_MS
from cffs.daemon.assembly import open_catalogue, open_origin
from cffs.daemon.background import NurseryBackground
from cffs.daemon.kernel_assembly import Leaves, build_reader, build_tree
from cffs.fuse.guard import CallTable, GuardedOperations
from cffs.fuse.handlers import Handlers
from cffs.fuse.handles import HandleTable
from cffs.fuse.invalidation import KernelView, drain_changes
from cffs.fuse.presentation import KernelState
from cffs.fuse.readdir import ReaddirReply
from cffs.reader.object_registry import ObjectRegistry
from cffs.standin.account import Account
from cffs.standin.server import Standin
from cffs.tree.facts_to_catalog import FactsToCatalog
from cffs.tree.inodes import InodeTable
from cffs.tree.namespace import Namespace
from tests.fuse.kernel import Kernel, take_entry

#: 2026-11-21, in ns.
NOW_NS = 1_795_000_000 * 10**9


@dataclass(frozen=True, kw_only=True)
class World:
    """What a test looks into."""

    standin: Standin
    kernel: Kernel
    #: What the kernel calls.
    operations: GuardedOperations
    #: What stands within the guard.
    handlers: Handlers
    calls: CallTable
    #: What the kernel holds.
    state: KernelState
    namespace: Namespace
    catalog: Catalog
    objects: ObjectRegistry
    transport: Transport
    cache: MemoryCache
    listener: FactsToCatalog
    background: NurseryBackground
    #: Inodes whose attributes the kernel was to forget, in order.
    invalidated: list[Inode]

    @property
    def handles(self) -> HandleTable:
        """The open handles."""
        return self.state.handles

    @property
    def inodes(self) -> InodeTable:
        """The inodes that the kernel holds."""
        return self.state.inodes

    @property
    def account(self) -> Account:
        """The account that is served."""
        return self.standin.account

    def honest(self) -> None:
        """No handler and no task met a bug, and nothing is in flight."""
        assert self.calls.bugs == self.background.bugs == 0
        assert self.calls.waiting() == []


def settings_of(standin: Standin, folder: Path, *, v1: bool = True, v2: bool = True, **changes: Any) -> Settings:
    """The settings of a mount of that stand-in, everything of its own below `folder`."""
    given = standin.credentials
    credentials = Credentials(
        apikey=given.apikey if v1 else None,
        login=given.login if v2 else None,
        password=given.password if v2 else None,
    )
    fields = {"uid": 0, "gid": 0, "v1_url": standin.v1_url, "v2_url": standin.v2_url, **changes}
    return Settings(credentials=credentials, cache_dir=folder, state_dir=folder, runtime_dir=folder, **fields)


@asynccontextmanager
async def built(
    standin: Standin,
    settings: Settings,
    folder: Path,
    budget_seconds: float,
    *,
    disk: DiskCache | None = None,
    readdir_reply: ReaddirReply = take_entry,
) -> AsyncIterator[World]:
    """The mount of that stand-in with these settings; its catalogue lies in `folder`, its blocks in `disk`."""
    invalidated: list[Inode] = []
    view = KernelView(invalidated.append, lambda _folder, _name: None)
    async with (
        open_origin(settings.origin()) as origin,
        open_catalogue(settings, folder, origin, wall_ms=lambda: NOW_NS // NS_PER_MS) as catalogue,
    ):
        cache = MemoryCache(settings.memory_nbytes)
        reader = build_reader(settings, origin, catalogue, cache=cache, disk=disk, view=view)
        leaves = Leaves(
            calls=CallTable(budget_seconds=budget_seconds),
            own_files={"status.json": lambda: b"{}\n", "inflight.json": lambda: b"[]\n"},
            now_ns=lambda: NOW_NS,
            readdir_reply=readdir_reply,
        )
        tree = build_tree(settings, origin, catalogue, reader, leaves)
        catalogue.background.start(drain_changes, catalogue.catalog, view)
        catalogue.background.start(catalogue.catalog.write_facts_forever)
        yield World(
            standin=standin,
            kernel=Kernel(tree.operations),
            operations=tree.operations,
            handlers=tree.handlers,
            calls=leaves.calls,
            state=reader.kernel,
            namespace=tree.namespace,
            catalog=catalogue.catalog,
            objects=reader.objects,
            transport=origin.transport,
            cache=cache,
            listener=reader.listener,
            background=catalogue.background,
            invalidated=invalidated,
        )
