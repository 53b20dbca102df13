"""Machines of one account that share through a real Redis server.

Each has a reader of its own, and all have one origin. It is simulated, so that every byte it has is known; the server
and the clock are real.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from cffs.cache.memory import MemoryCache
from cffs.core.settings import ReaderSettings
from cffs.core.source import Source, v2_recording
from cffs.reader.object_info import Known
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.reader.shared_opener import SharedOpener
from cffs.reader.shared_transfer import BlockSharing
from cffs.shared.block_store import BlockStore
from cffs.shared.lease_keeper import LeaseKeeper
from cffs.shared.leases import Leases
from cffs.shared.server import SharedServer
from cffs.shared.write_queue import WriteQueue
from tests.reader.simulated_link import MIB, Facts, NurseryBackground, Origin


@dataclass
class Machine:
    """A reader that shares; `sharing` has its counters."""

    opener: SharedOpener
    objects: ObjectRegistry
    sharing: BlockSharing
    facts: Facts
    cache: MemoryCache

    async def opened(self, source: Source) -> OpenFile:
        """A handle, opened with what this machine's catalogue would know."""
        known = self.facts.known(source.key)
        if known is not None:  # a catalogue does not know the source
            known = Known(total_nbytes=known.total_nbytes, validator=known.validator)
        return await self.objects.open(source.key, (source,), known=known)

    async def read_all(self, source: Source) -> bytes:
        """All bytes of an object, READ by READ as a kernel asks."""
        handle = await self.opened(source)
        try:
            parts = []
            while part := bytes(await handle.read(sum(map(len, parts)), 128 * 1024)):
                parts.append(part)
            return b"".join(parts)
        finally:
            handle.close()


class Later:
    """Keeps what is started until a test runs it."""

    def __init__(self) -> None:
        self._started: list[Callable[[], Awaitable[None]]] = []

    def start(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """See Background."""
        self._started.append(partial(function, *arguments))

    async def run(self) -> None:
        """Run what was started."""
        while self._started:
            await self._started.pop(0)()


def leases_on(server: SharedServer, background: Later | None = None) -> Leases:
    """The leases on a server, of one machine."""
    return Leases(server, WriteQueue(background or Later(), is_up=lambda: server.is_up))


def sharing_on(server: SharedServer, nursery: trio.Nursery) -> BlockSharing:
    """The parts of a machine that talk to the server."""
    background = NurseryBackground(nursery)
    queue = WriteQueue(background, is_up=lambda: server.is_up)
    leases = Leases(server, queue)
    return BlockSharing(store=BlockStore(server), leases=leases, keeper=LeaseKeeper(leases, background), queue=queue)


@asynccontextmanager
async def machine(
    server: SharedServer,
    origin: Origin,
    *,
    memory_nbytes: int = 64 * MIB,
    timeout_seconds: float = 30.0,
    revalidate_seconds: float = 0.0,
) -> AsyncIterator[Machine]:
    """One machine; what is still running at the end is cancelled."""
    cache, facts = MemoryCache(memory_nbytes), Facts()
    async with trio.open_nursery() as nursery:
        sharing = sharing_on(server, nursery)
        opener = SharedOpener(origin, sharing, timeout_seconds=timeout_seconds, revalidate_seconds=revalidate_seconds)
        objects = ObjectRegistry(
            opener=opener,
            origin=opener.origin,
            cache=cache,
            background=NurseryBackground(nursery),
            settings=ReaderSettings(
                memory_nbytes=memory_nbytes,
                connections=16,
                timeout_seconds=timeout_seconds,
                revalidate_seconds=revalidate_seconds,
            ),
            listener=facts,
        )
        yield Machine(opener, objects, sharing, facts, cache)
        nursery.cancel_scope.cancel()


async def written(*machines: Machine) -> None:
    """Return once nothing waits to be written to the server."""
    while any(one.sharing.queue.is_writing for one in machines):
        await trio.sleep(0.001)


def recording(number: int) -> Source:
    """The source of one of many recordings."""
    return v2_recording(number)
