"""The reference model over real sockets, on a clock that can be put forward.

Everything but the kernel takes part.
"""

import itertools
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pyfuse3
import pytest
import trio
from hypothesis import HealthCheck, given, settings

from cffs.cache.disk_index import files_below
from cffs.standin.account import Account
from cffs.standin.server import Standin
from tests.conftest import EXPLORES
from tests.faults.reference_model import SCHEDULES, SILENT, SILENT_SECONDS, Play, Step
from tests.faults.test_model_virtual import flip
from tests.fuse.kernel import CONTEXT
from tests.fuse.kernelless_mount import World, built, settings_of
from tests.reader.simulated_link import MIB, disk_in

#: Far more than a busy machine needs; where the service is silent, the clock is put forward by so much.
TIMEOUT_SECONDS = 20.0


class Forward(trio.abc.Clock):
    """Real time, and the time that was skipped."""

    def __init__(self) -> None:
        self.skipped_seconds = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return time.monotonic() + self.skipped_seconds

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self.current_time()


class Sockets:
    """The mount without a kernel, and the stand-in in its loop."""

    faults_hit_all = False

    def __init__(self, stack: AsyncExitStack, folder: Path, clock: Forward) -> None:
        self._outer, self._folder, self._clock = stack, folder, clock
        self._inner = AsyncExitStack()
        self._account = Account(seed=3, calls=0, media=0, dynamic=0)
        self._numbers: list[int] = []
        self._rules: dict[int, int] = {}
        self._in_turn: dict[int, int] = {}
        self._silent: set[int] = set()

    async def begin(self, contents: dict[int, bytes]) -> None:
        for thing, content in contents.items():
            self._numbers.append(self._account.add_recording(self._account.add_call(recordings=0)))
            await self.serve(thing, content)
        self._standin = await self._outer.enter_async_context(Standin(self._account))
        await self._enter()
        self._outer.push_async_callback(lambda: self._inner.aclose())
        await self._world.kernel.listing("recordings")

    async def _enter(self) -> None:
        self._inner = AsyncExitStack()
        self._disk = disk_in(self._folder / "blocks", limit_nbytes=3 * MIB)
        self._inner.callback(self._disk.close)
        told = settings_of(self._standin, self._folder, timeout_seconds=TIMEOUT_SECONDS, memory_nbytes=4 * MIB)
        self._world: World = await self._inner.enter_async_context(
            built(self._standin, told, self._folder, TIMEOUT_SECONDS / 2, disk=self._disk)
        )

    def _path(self, thing: int) -> str:
        return f"recordings/{self._numbers[thing]}.mp3"

    def _remote(self, thing: int) -> str:
        return f"/v2/calls/recordings/{self._numbers[thing]}.mp3"

    async def names(self) -> set[int]:
        try:
            names = await self._world.kernel.listing("recordings")
        except pyfuse3.FUSEError as error:
            raise OSError(error.errno_, os.strerror(error.errno_)) from None
        return {self._numbers.index(int(name.partition(".")[0])) for name in names if name.endswith(".mp3")}

    async def stat(self, thing: int) -> int:
        try:
            return (await self._world.kernel.stat(self._path(thing))).st_size
        except pyfuse3.FUSEError as error:
            raise OSError(error.errno_, os.strerror(error.errno_)) from None

    async def open(self, thing: int) -> tuple[Any, int]:
        stack = AsyncExitStack()
        try:
            async with self._impatient(thing):
                inode, info = await stack.enter_async_context(self._world.kernel.opened(self._path(thing)))
                return (stack, info, thing), (await self._world.operations.getattr(inode, CONTEXT)).st_size
        except pyfuse3.FUSEError as error:
            await stack.aclose()
            raise OSError(error.errno_, os.strerror(error.errno_)) from None

    async def read(self, handle: Any, offset: int, nbytes: int) -> bytes:
        try:
            async with self._impatient(handle[2]):
                return bytes(await self._world.operations.read(handle[1].fh, offset, nbytes))
        except pyfuse3.FUSEError as error:
            raise OSError(error.errno_, os.strerror(error.errno_)) from None

    @asynccontextmanager
    async def _impatient(self, thing: int) -> AsyncIterator[None]:
        """While a call waits for a service that is silent about the thing, skip time."""

        async def fly() -> None:
            while thing in self._silent:
                await trio.sleep(SILENT_SECONDS)
                self._clock.skipped_seconds += TIMEOUT_SECONDS

        flying = trio.CancelScope()

        async def until_cancelled() -> None:
            with flying:
                await fly()

        raised: list[pyfuse3.FUSEError] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_cancelled)
            try:
                yield
            except pyfuse3.FUSEError as error:
                raised.append(error)  # out of the nursery, which would wrap it
            finally:
                flying.cancel()
        if raised:
            raise raised[0]

    async def close(self, handle: Any) -> None:
        await handle[0].aclose()

    async def serve(self, thing: int, content: bytes | None) -> None:
        self._agree(thing)
        if content is None:
            self._account.delete_recording(self._numbers[thing])
        else:
            self._account.replace_object(self._remote(thing), data=content)

    async def serve_in_turn(self, thing: int, contents: list[bytes]) -> None:
        self._agree(thing)
        path, objects = self._remote(thing), []
        for content in contents:
            self._account.replace_object(path, data=content)
            objects.append(self._account.object_for(path))
        turns = itertools.cycle(objects)
        self._in_turn[thing] = self._standin.faults.add("other_machine", path=re.escape(path), objects=turns)

    def _agree(self, thing: int) -> None:
        if thing in self._in_turn:
            self._standin.faults.remove(self._in_turn.pop(thing))

    async def fault(self, thing: int, name: str, options: dict[str, Any], times: int) -> None:
        if thing in self._rules:
            self._standin.faults.remove(self._rules[thing])
        if name in SILENT:
            self._silent.add(thing)
        pattern = rf"/{self._numbers[thing]}\.mp3$|/{self._account.recording_row(self._numbers[thing])['callId']}/"
        self._rules[thing] = self._standin.faults.add(name, path=pattern, times=times, **options)

    async def calm(self) -> None:
        self._standin.faults.clear()
        self._silent.clear()

    async def later(self, seconds: float) -> None:
        self._clock.skipped_seconds += seconds
        await trio.sleep(0.01)

    async def restart(self, *, forget: bool) -> None:
        self._world.honest()
        await self._inner.aclose()
        if forget:
            for path in files_below(self._folder / "blocks"):
                path.unlink()
        await self._enter()

    async def corrupt(self, seed: int) -> None:
        flip(list(files_below(self._folder / "blocks")), seed)

    async def evict(self) -> None:
        self._disk.index.clear(pinned_too=True)


@pytest.mark.timeout(600)
@settings(
    max_examples=300 if EXPLORES else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(SCHEDULES)
def test_sockets(steps: list[Step]) -> None:
    """Whatever happens on the wire: true bytes of the version opened, never an older one than was seen, errors only
    while there is trouble, everything known listed, and in peace everything."""

    async def main(folder: Path, clock: Forward) -> None:
        async with AsyncExitStack() as stack:
            await Play(Sockets(stack, folder, clock)).run(steps)

    clock = Forward()
    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock, clock=clock)
