"""The tree over a real transport and a real stand-in: everything of a mount but the kernel."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cffs.cache.memory import MemoryCache
from cffs.callfire.health import HealthState
from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog.account_sync import Account
from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.settings import Credentials, OriginSettings, ReaderSettings, TreeSettings
from cffs.daemon.background import NurseryBackground, open_background
from cffs.fuse.invalidation import FactsToCatalog
from cffs.reader.digests import Digests
from cffs.reader.object_registry import ObjectRegistry
from cffs.standin.thread import StandinThread
from cffs.tree.context import Context
from cffs.tree.inodes import ROOT, InodeTable
from cffs.tree.namespace import Description, Namespace
from cffs.tree.nodes import Document, Entry, Node, Remote
from cffs.tree.routes import FOLDERS
from cffs.writer.account_actions import AccountActions

TIMEOUT = 5.0


class World:
    """One mount's tree, by paths."""

    def __init__(
        self,
        *,
        standin: StandinThread,
        namespace: Namespace,
        account: Account,
        catalog: Catalog,
        objects: ObjectRegistry,
    ) -> None:
        self.standin, self.namespace, self.account, self.catalog = standin, namespace, account, catalog
        self.objects = objects

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
        """The same for a node."""
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
        """What stat shows without a question."""
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
    """The tree of the stand-in's account with the credentials given; the catalogue lies in `folder`."""
    told = standin.credentials
    credentials = Credentials(
        apikey=told.apikey if v1 else None,
        login=told.login if v2 else None,
        password=told.password if v2 else None,
        account_login=told.account_login if account_login else None,
        account_password=told.account_password if account_login else None,
    )
    origin = OriginSettings(
        v1_url=standin.v1_url,
        v2_url=standin.v2_url,
        credentials=credentials,
        timeout_seconds=timeout_seconds,
        connections=4,
        ca_bundle=None,
        insecure_http=False,
        offline=False,
    )
    async with (
        Transport(origin) as transport,
        Catalog.opened(folder / "catalog.sqlite", timezone=timezone) as catalog,
        open_background() as background,
    ):
        yield _built(
            standin,
            transport,
            catalog,
            background,
            v1=V1Client(transport) if v1 else None,
            v2=V2Client(transport) if v2 else None,
            account_login=account_login,
            timeout_seconds=timeout_seconds,
            wall_ms=wall_ms,
            settings=TreeSettings(
                dir_ttl_seconds=dir_ttl_seconds,
                formats=formats,
                lists_ids=lists_ids,
                exact_sizes=False,
                offline=False,
                timeout_seconds=timeout_seconds,
            ),
        )
        assert background.bugs == 0


def _built(
    standin: StandinThread,
    transport: Transport,
    catalog: Catalog,
    background: NurseryBackground,
    *,
    v1: V1Client | None,
    v2: V2Client | None,
    account_login: bool,
    timeout_seconds: float,
    wall_ms: Callable[[], int],
    settings: TreeSettings,
) -> World:
    account = Account(
        catalog=catalog,
        questions=SingleFlight(
            background,
            timeout_seconds=timeout_seconds,
            is_offline=lambda api: transport.health()[api].state == HealthState.OFFLINE,
        ),
        background=background,
        v1=v1,
        v2=v2,
        has_account_login=account_login,
        ttl_seconds=settings.dir_ttl_seconds,
        wall_ms=wall_ms,
    )
    objects = ObjectRegistry(
        opener=transport,
        cache=MemoryCache(8 * 2**20),
        background=background,
        settings=ReaderSettings(memory_nbytes=8 * 2**20, connections=4, timeout_seconds=timeout_seconds),
        listener=FactsToCatalog(catalog, InodeTable(catalog.versions)),
    )

    own_files: dict[str, Any] = {"status.json": lambda: b"{}\n", "metrics": lambda: b"up 1\n"}
    context = Context(
        account=account,
        catalog=catalog,
        settings=settings,
        objects=objects,
        own_files=own_files,
        acts=AccountActions(account, wall_ms=wall_ms),
        digest=Digests(objects).digest,
    )
    namespace = Namespace(context, InodeTable(catalog.versions))
    return World(standin=standin, namespace=namespace, account=account, catalog=catalog, objects=objects)
