"""Promised names: LOOKUP answers at once, and the next call proves the name."""

import errno
import os
import stat

import pyfuse3
import pytest
import trio
from trio.testing import MockClock

from cffs.core.names import encode_name
from cffs.standin.answers import Options
from tests.fuse.kernel import CONTEXT, ROOT, Kernel, is_promise, refused
from tests.fuse.kernelless_mount import World
from tests.fuse.test_reading import account, first_recording

HASH = "0123456789abcdef0123456789abcdef"


def unknown(mount: World) -> dict[str, bool]:
    """Well-formed names that no row knows, in every place of the tree, and whether they are folders."""
    return {
        "campaigns/5/7": True,
        "campaigns/5/7/88.wav": False,
        "campaigns/5/7/call_recording.mp3": False,
        "campaigns/5/7/call.json": False,
        "calls/7": True,
        "calls/7/x.json": False,
        "calls/7/call.json": False,
        "recordings/88.mp3": False,
        "recordings/88.wav": False,
        "recordings/88.json": False,
        "recordings/88@0-1.wav": False,
        f"dynamic/{HASH}/2012/8/7/a.wav": False,
        "media/88": False,
        "media/88.png": False,
        "media/88.json": False,
        "media/by-name/holiday.png": False,
        "media/public/nobody-has-this-key.png": False,
        "by-number/12135550100": True,
        "by-label/none such": True,
    }


async def looked_up(kernel: Kernel, path: str) -> pyfuse3.EntryAttributes:
    """LOOKUP after LOOKUP, and nothing else."""
    attributes = None
    for name in path.split("/"):
        attributes = await kernel.lookup(ROOT if attributes is None else attributes.st_ino, name)
        assert attributes.st_ino, path
    return attributes


async def test_no_lookup_waits(world, mock_clock: MockClock):
    """Whatever hangs, every well-formed name of the read-only tree is looked up without a checkpoint, as a promise that
    the kernel does not believe and no listing shows."""
    async with world(account()) as mount:
        mount.standin.faults.add("hang")
        before = trio.current_time()
        for path, is_folder in unknown(mount).items():
            attributes = await looked_up(mount.kernel, path)
            assert is_promise(attributes), path
            assert stat.S_ISDIR(attributes.st_mode) is is_folder, path
        assert trio.current_time() == before
        assert mount.catalog.counts()["recordings"] == mount.catalog.counts()["calls"] == 0
        mount.standin.faults.clear()
    assert mock_clock


async def test_a_promise_that_is_denied(world, mock_clock: MockClock):
    """GETATTR, OPEN, ACCESS and OPENDIR of a promised name are ENOENT where it is denied; from then on so is LOOKUP,
    for 30 s from the answer."""
    async with world(account()) as mount:
        operations = mount.operations
        for path, is_folder in unknown(mount).items():
            if path.startswith(("campaigns/5/7/", "calls/7/", "by-label")):
                continue  # known from what was asked just before
            promised = await looked_up(mount.kernel, path)
            with refused(errno.ENOENT):
                await operations.getattr(promised.st_ino, CONTEXT)
            with refused(errno.ENOENT):
                await operations.access(promised.st_ino, os.R_OK, CONTEXT)
            with refused(errno.ENOENT):
                await (operations.opendir if is_folder else operations.open)(
                    promised.st_ino, *(() if is_folder else (os.O_RDONLY,)), CONTEXT
                )
    assert mock_clock


async def test_the_kernel_remembers_a_denial_for_what_is_left_of_it(world, mock_clock: MockClock):
    """A negative entry lasts until 30 s after the service's answer, whenever it is given; then the service is asked
    again."""
    async with world(account()) as mount:
        folder = await mount.kernel.inode("recordings")
        with refused(errno.ENOENT):
            await mount.kernel.stat("recordings/88.mp3")
        mock_clock.jump(27)
        attributes = await mount.kernel.lookup(folder, "88.mp3")
        assert attributes.st_ino == 0
        assert 0 < attributes.entry_timeout <= 3
        mock_clock.jump(4)
        assert is_promise(await mount.kernel.lookup(folder, "88.mp3"))


async def test_a_promise_that_is_kept(world):
    """A proven name is looked up as known, under the inode that it was promised with, and is believed for long."""
    made = account()
    number = first_recording(made)
    async with world(made) as mount:
        folder = await mount.kernel.inode("recordings")
        for name in (f"{number}.mp3", f"{number}.wav", f"{number}.json"):
            promised = await mount.kernel.lookup(folder, name)
            shown = await mount.operations.getattr(promised.st_ino, CONTEXT)
            assert shown.st_size > 0
            found = await mount.kernel.lookup(folder, name)
            assert found.st_ino == shown.st_ino == promised.st_ino
            assert found.entry_timeout >= 60


async def test_a_promise_of_what_only_the_answer_tells(world):
    """A name of which only the service's answer says what it stands for leads to the inode that the file has
    everywhere."""
    made = account()
    call_id = next(c for c in made.call_ids() if made.recording_ids(c))
    row = made.recording_rows(call_id)[0]
    async with world(made, options=Options(embed_recordings=False)) as mount:
        path = f"calls/{call_id}/{encode_name(row['name'])}.mp3"
        promised = await mount.kernel.walk(path)
        assert is_promise(promised)
        with refused(errno.ESTALE):
            await mount.operations.getattr(promised.st_ino, CONTEXT)
        assert await mount.kernel.inode(path) == await mount.kernel.inode(f"recordings/{row['id']}.mp3")


@pytest.mark.parametrize("checks_modes", [True, False])
async def test_below_a_promise(world, checks_modes):
    """Names in a promised folder are promised as well, and proven after it, whichever is asked about first."""
    made = account()
    call_id = next(c for c in made.call_ids() if made.call_row(c).get("campaignId") and made.recording_ids(c))
    campaign_id, row = made.call_row(call_id)["campaignId"], made.recording_rows(call_id)[0]
    async with world(made) as mount:
        kernel = Kernel(mount.operations, checks_modes=checks_modes)
        for name in (f"{encode_name(row['name'])}.mp3", "call.json", "playlist.m3u8"):
            assert await kernel.read(f"campaigns/{campaign_id}/{call_id}/{name}")
        for name in ("call.json", "88.wav", "x.mp3"):
            with refused(errno.ENOENT):
                await kernel.read(f"campaigns/{campaign_id}/77/{name}")
            with refused(errno.ENOENT):
                await kernel.read(f"calls/77/{name}")
        with refused(errno.ENOENT):
            await kernel.listing(f"campaigns/{campaign_id}/77")


async def test_a_forgotten_promise_leaves_nothing(world):
    """However many names were promised, once the kernel forgets them neither inode nor promise is left."""
    async with world(account()) as mount:
        folder = await mount.kernel.inode("recordings")
        for number in range(200, 300):
            await mount.kernel.lookup(folder, f"{number}.mp3")
        await mount.kernel.forget_all()
        assert len(mount.inodes) == 1
        assert len(mount.inodes._given) < 10
        assert not mount.namespace.promised_names._unproven


async def test_a_promise_is_listed_nowhere(world):
    """A promised name is in no listing, whether it is proven, denied or neither."""
    made = account()
    async with world(made) as mount:
        await mount.kernel.lookup(await mount.kernel.inode("recordings"), "88.mp3")
        await mount.kernel.lookup(await mount.kernel.inode("calls"), "77")
        assert "88.mp3" not in await mount.kernel.listing("recordings")
        assert "77" not in await mount.kernel.listing("calls")


async def test_a_number_is_looked_up_before_it_is_rung(world):
    """Names that `mkdir` makes are never promised: on a read-only mount they would seem to exist."""
    async with world(account()) as mount:
        folder = await mount.kernel.inode("me/callerids")
        assert (await mount.kernel.lookup(folder, "19990000000")).st_ino == 0


HOSTILE = ["\n.mp3", "%2e%2e.mp3", "..mp3", "a" * 251 + ".mp3", "é" * 125 + ".mp3", "x\x01.json", "-rf.mp3", "a b.wav"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("which", [{}, {"v1": False}, {"v2": False}], ids=["both", "v2", "v1"])
async def test_hostile_names(world, name, which):
    """A name that nothing can have is missing, whatever it is made of, below what is known, promised or denied."""
    made = account()
    call_id = next(c for c in made.call_ids() if made.call_row(c).get("campaignId") and made.recording_ids(c))
    campaign_id = made.call_row(call_id)["campaignId"]
    async with world(made, **which) as mount:
        for checks_modes in (True, False):
            kernel = Kernel(mount.operations, checks_modes=checks_modes)
            for folder in (
                f"campaigns/{campaign_id}/{call_id}",
                f"campaigns/{campaign_id}/77",
                "calls/77",
                "recordings",
            ):
                with refused(errno.ENOENT):
                    await kernel.read(f"{folder}/{name}")


async def test_names_probed_by_habit_cost_nothing(world):
    """Below a promise as well, names that file managers probe by habit are denied without a question."""
    async with world(account()) as mount:
        mount.standin.faults.add("hang")
        promised = await looked_up(mount.kernel, "campaigns/5/7")
        mount.standin.log.clear()
        for name in (".hidden", ".directory", ".Trash-1000", "autorun.inf", "Thumbs.db", ".git", "folder.jpg"):
            assert (await mount.kernel.lookup(promised.st_ino, name)).st_ino == 0
        mount.standin.faults.clear()
        assert {record.kind for record in mount.standin.requests} <= {"getCall", "listRecordings"}
