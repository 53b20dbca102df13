"""The tree over a real transport and stand-in: all of a mount but the kernel."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cffs.cache.memory import MemoryCache
from cffs.catalog.account_sync import AccountSync
from cffs.catalog.listing_sync import ListingSync
from cffs.catalog.store import Catalog
from cffs.core.settings import Credentials, Settings
from cffs.core.units import MIB, NS_PER_MS
from cffs.daemon.assembly import open_catalogue, open_origin
from cffs.daemon.kernel_assembly import Leaves, build_reader, build_tree
from cffs.fuse.guard import CallTable
from cffs.fuse.invalidation import KernelView
from cffs.reader.object_registry import ObjectRegistry
from cffs.standin.thread import StandinThread
from cffs.tree.contents import Document, Entry, Remote
from cffs.tree.inodes import ROOT
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import Node
from cffs.tree.routes import FOLDERS

TIMEOUT = 5.0


class World:
    """One mount's tree, by paths."""

    def __init__(
        self,
        *,
        standin: StandinThread,
        namespace: Namespace,
        account: AccountSync,
        listings: ListingSync,
        catalog: Catalog,
        objects: ObjectRegistry,
    ) -> None:
        self.standin, self.namespace, self.account, self.catalog = standin, namespace, account, catalog
        self.listings, self.objects = listings, objects

    def requests(self, kind: str | None = None) -> int:
        """How many requests so far (of one operation, or of several joined by `|`)."""
        kinds = kind.split("|") if kind else None
        return sum(kinds is None or record.kind in kinds for record in self.standin.requests)

    async def node(self, path: str) -> Node:
        """The node of a path, looked up name by name as the kernel does. Raises what lookup raises."""
        node = ROOT
        for name in path.split("/"):
            node = await self.namespace.lookup(node, name)
        return node

    async def entries(self, path: str = "") -> list[Entry]:
        """A folder's entries, as readdir reads them."""
        node = await self.node(path) if path else ROOT
        return await self.entries_of(node)

    async def entries_of(self, node: Node) -> list[Entry]:
        """A folder's entries by its node, as readdir reads them."""
        await self.namespace.prepare(node)
        found: list[Entry] = []
        while True:
            more = await self.namespace.page(node, after=found[-1].offset if found else 0)
            if more:
                found += more
            elif not await self.namespace.wait_for_entries(node):
                return found

    async def names(self, path: str = "") -> list[str]:
        """The names that a folder shows."""
        return [entry.name for entry in await self.entries(path)]

    async def describe(self, path: str) -> Description:
        """What stat shows without a request."""
        return self.namespace.describe(await self.node(path))

    async def remote(self, path: str) -> Remote:
        """The content of an audio or media file."""
        content = self.namespace.content(await self.node(path))
        assert isinstance(content, Remote)
        return content

    async def text(self, path: str) -> bytes:
        """The bytes of a rendered file."""
        content = self.namespace.content(await self.node(path))
        assert isinstance(content, Document)
        return await self.namespace.load(content)

    async def data(self, path: str) -> bytes:
        """The bytes of an audio or media file, through the reader."""
        remote = await self.remote(path)
        file = await self.objects.open(remote.key, remote.sources, hint_nbytes=remote.hint_nbytes)
        try:
            assert file.total_nbytes is not None
            found = bytearray()
            while chunk := await file.read(len(found), 131_072):
                found += bytes(chunk)
            return bytes(found)
        finally:
            file.close()

    async def walk(self, path: str = "") -> dict[str, Node]:
        """Every path below, as `find` sees them: each entry is looked up, described, and descended into."""
        node = await self.node(path) if path else ROOT
        found: dict[str, Node] = {}
        await self._walk(node, path, found)
        return found

    async def _walk(self, node: Node, path: str, found: dict[str, Node]) -> None:
        for entry in await self.entries_of(node):
            below = f"{path}/{entry.name}".lstrip("/")
            looked_up = await self.namespace.lookup(node, entry.name)
            assert looked_up == entry.node, below
            assert self.namespace.inodes.number(looked_up) == self.namespace.inodes.number(entry.node), below
            assert self.namespace.describe(looked_up).is_folder == (entry.node.kind in FOLDERS)
            found[below] = entry.node
            if entry.node.kind in FOLDERS:
                await self._walk(entry.node, below, found)


@asynccontextmanager
async def opened(
    standin: StandinThread,
    folder: Path,
    *,
    v1: bool = True,
    v2: bool = True,
    account_login: bool = True,
    formats: tuple[str, ...] = (),
    timezone: str = "UTC",
    lists_ids: bool = False,
    dir_ttl_seconds: float = 60.0,
    timeout_seconds: float = TIMEOUT,
    wall_ms: Callable[[], int] = lambda: 1_717_300_000_000,
) -> AsyncIterator[World]:
    """The tree of the stand-in's account with the given credentials; the catalogue lies in `folder`."""
    given = standin.credentials
    settings = Settings(
        credentials=Credentials(
            apikey=given.apikey if v1 else None,
            login=given.login if v2 else None,
            password=given.password if v2 else None,
            account_login=given.account_login if account_login else None,
            account_password=given.account_password if account_login else None,
        ),
        cache_dir=folder,
        state_dir=folder,
        runtime_dir=folder,
        uid=0,
        gid=0,
        v1_url=standin.v1_url,
        v2_url=standin.v2_url,
        memory_nbytes=8 * MIB,
        connections=4,
        timeout_seconds=timeout_seconds,
        dir_ttl_seconds=dir_ttl_seconds,
        formats=formats,
        timezone=timezone,
        names="ids" if lists_ids else "people",
    )
    async with (
        open_origin(settings.origin()) as origin,
        open_catalogue(settings, folder, origin, wall_ms=wall_ms) as catalogue,
    ):
        reader = build_reader(
            settings,
            origin,
            catalogue,
            cache=MemoryCache(settings.memory_nbytes),
            disk=None,
            view=KernelView(lambda _inode: None, lambda _folder, _name: None),
        )
        leaves = Leaves(
            calls=CallTable(budget_seconds=timeout_seconds),
            own_files={"status.json": lambda: b"{}\n", "metrics": lambda: b"up 1\n"},
            now_ns=lambda: wall_ms() * NS_PER_MS,
        )
        yield World(
            standin=standin,
            namespace=build_tree(settings, origin, catalogue, reader, leaves).namespace,
            account=catalogue.account,
            listings=catalogue.listings,
            catalog=catalogue.catalog,
            objects=reader.objects,
        )
        assert catalogue.background.bugs == 0
