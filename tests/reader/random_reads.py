"""Random preads through reader, caches, transport and HTTP, checked byte by byte.

    .venv/bin/python -m tests.reader.random_reads --seed 7 --count 1000000

There are several objects, together eight times the memory, and a disk cache that holds half of them. Tasks read at
random, in order, and at the ends, each with two handles; some leave in the middle of a READ. The disk's threads and the
stand-in's run beside them. The tool prints what it counted, and exits with 1 where a byte was wrong or too little was
read to mean anything.
"""

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import trio

from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.transport import Transport
from cffs.core.errors import DeadlineExceeded
from cffs.core.settings import Credentials, OriginSettings, ReaderSettings
from cffs.core.source import v1_recording
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.remote_file import OpenFile
from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.reader.simulated_link import MIB, Facts, NurseryBackground

OBJECTS = 4
OBJECT_NBYTES = 8 * MIB
MEMORY_NBYTES = 4 * MIB
DISK_NBYTES = 16 * MIB
READERS = 8
SIZES = (1, 700, 4096, 20_000, 65_536, 131_072)
#: One READ in this many is given up after a moment.
GIVEN_UP = 100


@dataclass
class Tally:
    """What was read, and what went wrong."""

    reads: int = 0
    wrong: int = 0
    cancelled: int = 0
    reopened: int = 0
    first_wrong: str = ""
    counts: dict[str, float] = field(default_factory=dict)


@dataclass
class Truth:
    """An object, and its bytes as the stand-in holds them."""

    number: int
    content: bytes

    @property
    def key(self) -> str:
        return v1_recording(self.number).key


class Reader:
    """One task with two handles on each object."""

    def __init__(self, objects: ObjectRegistry, truths: list[Truth], seed: int, tally: Tally) -> None:
        self._objects = objects
        self._truths = truths
        self._dice = random.Random(seed)
        self._tally = tally
        self._handles: dict[tuple[int, int], OpenFile] = {}

    async def _handle(self, truth: Truth, which: int) -> OpenFile:
        handle = self._handles.get((truth.number, which))
        if handle is None:
            source = v1_recording(truth.number)
            handle = self._handles[truth.number, which] = await self._objects.open(truth.key, (source,))
        return handle

    def _close(self, truth: Truth, which: int) -> None:
        handle = self._handles.pop((truth.number, which), None)
        if handle is not None:
            handle.close()

    async def run(self, count: int) -> None:
        """Make `count` preads: mostly anywhere, at times several in order, or at an end."""
        while count > 0:
            truth, which = self._dice.choice(self._truths), self._dice.randrange(2)
            burst = self._dice.choice((1, 1, 1, 1, 1, 1, 30))
            total = len(truth.content)
            offset = self._dice.choice((0, total - 4096, *(self._dice.randrange(total) for _ in range(8))))
            for _ in range(min(burst, count)):
                nbytes = 131_072 if burst > 1 else self._dice.choice(SIZES)
                await self._pread(truth, which, offset, nbytes)
                offset, count = offset + nbytes, count - 1
            if self._dice.random() < 0.002:
                self._close(truth, which)
        for number, which in list(self._handles):
            self._handles.pop((number, which)).close()

    async def _pread(self, truth: Truth, which: int, offset: int, nbytes: int) -> None:
        seconds = self._dice.random() * 0.002 if self._dice.randrange(GIVEN_UP) == 0 else 60.0
        self._tally.reads += 1
        with trio.move_on_after(seconds) as patience:
            try:
                data = await (await self._handle(truth, which)).read(offset, nbytes)
            except DeadlineExceeded:
                self._tally.reopened += 1
                self._close(truth, which)
                return
            if data != truth.content[offset : offset + nbytes]:
                self._tally.wrong += 1
                self._tally.first_wrong = self._tally.first_wrong or f"{truth.key} {offset}+{nbytes}"
        self._tally.cancelled += patience.cancelled_caught


async def play(*, seed: int, count: int, folder: Path) -> Tally:
    """Run all tasks; return what they counted."""
    tally = Tally()
    with StandinThread(Account(seed=seed, calls=1)) as standin:
        call = standin.account.call_ids()[0]
        truths = []
        for _ in range(OBJECTS):
            number = standin.account.add_recording(call, wav_nbytes=OBJECT_NBYTES)
            found = standin.account.object_for(f"/cloud/1/files/recording/{number}")
            assert found is not None
            truths.append(Truth(number, found.read()))
        origin = OriginSettings(
            v1_url=standin.v1_url,
            v2_url=standin.v2_url,
            credentials=Credentials(apikey=standin.credentials.apikey),
            timeout_seconds=30.0,
            connections=16,
            ca_bundle=None,
            insecure_http=False,
            offline=False,
        )
        memory = MemoryCache(MEMORY_NBYTES)
        disk = DiskCache(folder, limit_nbytes=DISK_NBYTES, timer=trio.current_time, wall_seconds=trio.current_time)
        disk.scan()
        async with Transport(origin) as transport, trio.open_nursery() as background:
            objects = ObjectRegistry(
                opener=transport,
                cache=memory,
                disk=disk,
                background=NurseryBackground(background),
                settings=ReaderSettings(memory_nbytes=MEMORY_NBYTES, connections=16, timeout_seconds=30.0),
                listener=Facts(),
            )
            async with trio.open_nursery() as nursery:
                for index in range(READERS):
                    reader = Reader(objects, truths, seed * 1000 + index, tally)
                    nursery.start_soon(reader.run, count // READERS)
            background.cancel_scope.cancel()
            tally.counts = {
                "requests": len(standin.requests),
                "misses": memory.counters.misses / max(1, memory.counters.misses + memory.counters.hits),
                "disk_hits": objects.disk_hits,
                "evictions": memory.counters.evictions,
                "corrupt_blocks": disk.corrupt_blocks,
                "memory_over": max(0, memory.used_nbytes - MEMORY_NBYTES),
            }
        disk.close()
    return tally


def main() -> int:
    """Run the tool; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1_000_000)
    arguments = parser.parse_args()
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cffs-preads-") as folder:
        found = trio.run(lambda: play(seed=arguments.seed, count=arguments.count, folder=Path(folder)))
    counts = ", ".join(f"{name} {value:.3g}" for name, value in found.counts.items())
    print(f"seed {arguments.seed}: {found.reads} preads, {found.wrong} wrong {found.first_wrong}")
    print(f"{found.cancelled} cancelled, {found.reopened} reopened, {counts}, {time.monotonic() - began_at:.0f} s")
    meant = found.counts["misses"] >= 0.3 and found.counts["evictions"] >= 1000 and found.cancelled >= 100
    if not meant:
        print("too little went on: at least 30 % misses, 1000 evictions and 100 cancellations are asked for")
    return 1 if found.wrong or found.counts["corrupt_blocks"] or not meant else 0


if __name__ == "__main__":
    sys.exit(main())
