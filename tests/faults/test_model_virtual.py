"""The reference model against the read path, under virtual time."""

import errno
import random
import tempfile
import zlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from trio.testing import MockClock

from cffs.cache.disk_index import files_below
from cffs.core.errors import (
    CffsError,
    MalformedAnswer,
    OriginUnreachable,
    RangeNotSatisfiable,
    ServerFailure,
    TruncatedAnswer,
)
from cffs.core.source import v2_recording
from cffs.fuse.errnos import errno_of
from tests.conftest import EXPLORES
from tests.faults.reference_model import SCHEDULES, Play, Step
from tests.reader.simulated_link import MIB, Fault, Lab, Remote, corrupting_fault, disk_in, laboratory

HANDLER_SECONDS = 15.0


@dataclass(kw_only=True)
class Told(Remote):
    """An object of given bytes."""

    data: bytes

    def content(self, start: int, nbytes: int) -> bytes:
        return self.data[start : start + nbytes]


def told(content: bytes) -> Told:
    """The object of those bytes; its validator is theirs."""
    return Told(total=len(content), data=content, validator=f'"{zlib.crc32(content)}"')


def fault_of(name: str, options: dict[str, Any]) -> Fault:
    """The stand-in's faults that the simulated link can have."""
    match name:
        case "reset" | "trunc" | "trunc_nolen" | "trunc_chunk":
            return Fault(after_nbytes=options.get("at", 100_000), body=TruncatedAnswer("simulated"))
        case "reset_before":
            return Fault(head=OriginUnreachable("simulated"))
        case "html200" | "gzip" | "cr_wrong":
            return Fault(head=MalformedAnswer("simulated"))
        case "long206":
            return corrupting_fault(70_000)
        case "short_by_one":
            return Fault(answers_nbytes=100_000)
        case "416":
            return Fault(head=RangeNotSatisfiable(None))
        case "stall" | "hang":
            return Fault(after_nbytes=options.get("at", 0), stalls=True)
        case "status":
            return Fault(head=ServerFailure(options["code"], "simulated"))
    return Fault()


class Virtual:
    """The reader over a simulated link, with a disk cache."""

    faults_hit_all = True

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._outer, self._folder = stack, folder
        self._objects: dict[str, Remote] = {}
        self._machines: dict[str, list[Remote]] = {}
        self._inner = AsyncExitStack()
        self._lab: Lab | None = None

    async def begin(self, contents: dict[int, bytes]) -> None:
        for thing, content in contents.items():
            await self.serve(thing, content)
        await self._enter()
        self._outer.push_async_callback(lambda: self._inner.aclose())

    async def _enter(self) -> None:
        self._inner = AsyncExitStack()
        self._disk = disk_in(self._folder, limit_nbytes=3 * MIB)
        self._inner.callback(self._disk.close)
        lab = laboratory(latency_seconds=0.02, bytes_per_second=20e6, memory_nbytes=4 * MIB, disk=self._disk)
        self._lab = await self._inner.enter_async_context(lab)
        self._lab.origin.objects = self._objects
        self._lab.origin.machines = self._machines

    async def names(self) -> None:
        return None

    async def stat(self, _thing: int) -> None:
        return None

    async def open(self, thing: int) -> tuple[Any, int]:
        source = v2_recording(thing + 1)
        handle = await self._limited(self._lab.objects.open(source.key, (source,)))
        return handle, handle.total_nbytes

    async def read(self, handle: Any, offset: int, nbytes: int) -> bytes:
        return bytes(await self._limited(handle.read(offset, nbytes)))

    async def _limited(self, call: Any) -> Any:
        try:
            with trio.fail_after(HANDLER_SECONDS):
                return await call
        except trio.TooSlowError:
            raise OSError(errno.ETIMEDOUT, "too slow") from None
        except CffsError as error:
            raise OSError(errno_of(error), str(error)) from None

    async def close(self, handle: Any) -> None:
        handle.close()

    async def serve(self, thing: int, content: bytes | None) -> None:
        key = v2_recording(thing + 1).key
        self._machines.pop(key, None)
        if content is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = told(content)

    async def serve_in_turn(self, thing: int, contents: list[bytes]) -> None:
        self._machines[v2_recording(thing + 1).key] = [told(content) for content in contents]

    async def fault(self, _thing: int, name: str, options: dict[str, Any], times: int) -> None:
        self._lab.origin.faults += [fault_of(name, options) for _ in range(times)]

    async def calm(self) -> None:
        self._lab.origin.faults.clear()

    async def later(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def restart(self, *, forget: bool) -> None:
        await self._inner.aclose()
        if forget:
            for path in files_below(self._folder):
                path.unlink()
        await self._enter()

    async def corrupt(self, seed: int) -> None:
        flip(list(files_below(self._folder)), seed)

    async def evict(self) -> None:
        self._disk.index.clear(pinned_too=True)


def flip(paths: list[Path], seed: int) -> None:
    """Flip a bit of every eighth KiB."""
    dice = random.Random(seed)
    for path in paths:
        with path.open("r+b", buffering=0) as file:
            for position in range(dice.randrange(8192), path.stat().st_size, 8192):
                file.seek(position)
                byte = file.read(1)
                file.seek(position)
                file.write(bytes([byte[0] ^ 1 << dice.randrange(8)]))


@pytest.mark.timeout(600)
@settings(
    max_examples=1000 if EXPLORES else 100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(SCHEDULES)
def test_virtual(steps: list[Step]) -> None:
    """Whatever happens: true bytes of the version opened, never an older one than was seen, errors only while there is
    trouble, and in peace everything."""

    async def main(folder: Path) -> None:
        async with AsyncExitStack() as stack:
            await Play(Virtual(stack, folder)).run(steps)

    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock=MockClock(autojump_threshold=0))
