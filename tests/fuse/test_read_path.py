"""The path of one READ through the modules of cffs."""

import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any

import pytest
import trio

from cffs.standin.account import Account

MIB = 1024 * 1024
READ_NBYTES = 128 * 1024
#: A READ that memory serves passes no more modules than these: guard, operations, handles, remote_file, byte_range,
#: tiered_cache, memory, extents, cursor.
MOST_MODULES = 9
TOTAL_NBYTES = 40 * MIB + 17
#: More than a stream may have ahead of its reader, however busy the machine is between two READs.
STREAM_NBYTES = 160 * MIB


def traced(read: Coroutine[Any, Any, bytes]) -> tuple[bytes, set[str]]:
    """The answer of a READ that must not wait, and the modules of cffs that it passed."""
    passed = set[str]()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            module = frame.f_globals.get("__name__", "")
            if module.startswith("cffs."):
                passed.add(module)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        read.send(None)
    except StopIteration as done:
        return done.value, passed
    finally:
        sys.setprofile(before)
        read.close()
    raise AssertionError("a READ of bytes in memory waited")


def account(total_nbytes: int = TOTAL_NBYTES) -> tuple[Account, int]:
    made = Account(seed=5, calls=12, media=8, dynamic=4)
    number = next(number for call_id in made.call_ids() for number in made.recording_ids(call_id))
    made.resize_recording(number, form="wav", total_nbytes=total_nbytes)
    return made, number


@pytest.mark.parametrize("offset", [0, 5 * READ_NBYTES, 7 * MIB + 100], ids=["first", "in order", "elsewhere"])
async def test_a_read_of_a_whole_file_in_memory_passes_few_modules(world, offset):
    """Where all of a file is in memory, a READ of it passes at most nine modules, wherever it lies."""
    made, number = account()
    async with world(made, memory_nbytes=256 * MIB) as mount:
        async with mount.kernel.opened(f"recordings/{number}.wav") as (inode, info):
            await mount.kernel.read_handle(inode, info)
        async with mount.kernel.opened(f"recordings/{number}.wav") as (_inode, info):
            true = made.object_for(f"/cloud/1/files/recording/{number}").read()
            data, passed = traced(mount.operations.read(info.fh, offset, READ_NBYTES))
            assert data == true[offset : offset + READ_NBYTES]
            assert len(passed) <= MOST_MODULES, sorted(passed)


async def test_a_read_of_a_stream_passes_few_modules(world):
    """While a stream arrives, a READ of bytes that are there passes at most nine modules, except for one READ in four:
    one in eight moves the window, and one in eight frees a buffer after the reader."""
    made, number = account(STREAM_NBYTES)
    async with world(made, memory_nbytes=64 * MIB) as mount:
        async with mount.kernel.opened(f"recordings/{number}.wav") as (_inode, info):
            for offset in range(0, 16 * MIB, READ_NBYTES):
                await mount.operations.read(info.fh, offset, READ_NBYTES)
            (handle,) = mount.handles.of_object(mount.handles.get(info.fh).key)
            while handle.file.arrived_nbytes < 20 * MIB:
                await trio.sleep(0.01)
            assert handle.file.arrived_nbytes < STREAM_NBYTES
            found = [
                traced(mount.operations.read(info.fh, offset, READ_NBYTES))[1]
                for offset in range(16 * MIB, 20 * MIB, READ_NBYTES)
            ]
    longer = [sorted(passed) for passed in found if len(passed) > MOST_MODULES]
    assert len(longer) <= len(found) // 4, longer[0]
