"""Lookups, folders and refusals, through the operations."""

import errno
import os
import stat

import pyfuse3
import pytest

from cffs.standin.account import Account
from tests.fuse.kernel import CONTEXT, ROOT, refused
from tests.fuse.test_attributes import FIELDS
from tests.fuse.test_reading import account, first_recording, recordings


async def test_forgetting_leaves_the_root_alone(world):
    """After the kernel has forgotten every lookup, listings included, the table holds the root and nothing else."""
    async with world(account()) as mount:
        kernel = mount.kernel
        for path in ("campaigns", "calls", "recordings", "media", "media/by-name", "dynamic", "me", "me/billing"):
            await kernel.listing(path, room=7)
        for name in await kernel.listing("campaigns"):
            await kernel.listing(f"campaigns/{name}")
        for number in recordings(mount.account):
            await kernel.read(f"recordings/{number}.mp3")
        await kernel.read(".cffs/status.json")
        assert len(mount.inodes) == len(kernel.lookups) + 1
        await kernel.forget_all()
        assert len(mount.inodes) == 1
        with refused(errno.ESTALE):
            await mount.operations.getattr(2, CONTEXT)
        await mount.operations.forget([(ROOT, 10), (2**40, 1)])
        assert (await mount.operations.getattr(ROOT, CONTEXT)).st_ino == ROOT
        assert await kernel.listing("recordings")


@pytest.mark.parametrize("formats", [("mp3",), ("wav",), ("mp3", "wav")])
async def test_listings_tell_what_stat_does(world, formats):
    """What the kernel believes of a listing is what GETATTR shows, also of files that were read, whose size had to be
    asked, that are broken or in progress. (What is still to be asked it does not believe.)"""
    made = account()
    silent, broken, growing, read = recordings(made)[:4]
    made.set_recording(silent, lengthInBytes=-1)
    made.set_recording(broken, state="ERROR")
    made.set_recording(growing, state="RECORDING")
    async with world(made, formats=formats) as mount:
        await mount.kernel.listing("recordings")
        await mount.kernel.read(f"recordings/{read}.{formats[-1]}")
        await told_and_shown(mount)  # the sizes that no listing gives are asked for here
        found = await told_and_shown(mount)
        believed = {path: both for path, both in found.items() if both[0][FIELDS.index("attr_timeout")]}
        assert len(believed) > 100
        for path, (listed, alone) in believed.items():
            assert listed == alone, path


async def told_and_shown(mount) -> dict[str, tuple[list[object], list[object]]]:
    """Every path that is listed, with what its listing showed and what GETATTR shows."""
    todo, found = [""], {}
    while todo:
        folder = todo.pop()
        async with mount.kernel.opened_folder(folder) as handle:
            after, entries = 0, []
            while taken := (await mount.kernel.readdir_plus(handle, after=after)).taken:
                entries += taken
                after = taken[-1][2]
        for name, listed, _place in entries:
            path = f"{folder}/{os.fsdecode(name)}".lstrip("/")
            todo += [path] if stat.S_ISDIR(listed.st_mode) else []
            found[path] = values(listed), values(await mount.operations.getattr(listed.st_ino, CONTEXT))
    return found


def values(attributes: pyfuse3.EntryAttributes) -> list[object]:
    return [getattr(attributes, field) for field in FIELDS]


async def test_a_stale_inode_is_forgotten_too(world):
    """A retired inode leaves the table when its last lookup is given back."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        path = f"recordings/{number}.mp3"
        async with mount.kernel.opened(path):
            mount.listener.changed(f"recording/{number}.mp3")
        await mount.kernel.inode(path)
        await mount.kernel.forget_all()
        assert len(mount.inodes) == 1


async def test_inodes_are_stable_and_shared(world):
    """A file has one inode in every folder that shows it, at every lookup; folders have inodes of their own."""
    async with world(account()) as mount:
        made = mount.account
        call_id = next(c for c in made.call_ids() if made.call_row(c).get("campaignId") and made.recording_ids(c))
        campaign_id, row = made.call_row(call_id)["campaignId"], made.recording_rows(call_id)[0]
        paths = (f"campaigns/{campaign_id}/{call_id}/{row['name']}.mp3", f"recordings/{row['id']}.mp3")
        numbers = {await mount.kernel.inode(path) for path in paths * 2}
        assert len(numbers) == 1
        async with mount.kernel.opened_folder("recordings") as folder:
            listed = {name: inode for name, inode, _ in await mount.kernel.readdir(folder, room=1000)}
        assert listed[f"{row['id']}.mp3"] in numbers
        assert await mount.kernel.inode(f"calls/{call_id}") != await mount.kernel.inode(
            f"campaigns/{campaign_id}/{call_id}"
        )


@pytest.mark.parametrize("room", [1, 3, 1000])
async def test_a_listing_in_pieces(world, room):
    """However few entries fit a reply, each is given once, and the offsets ascend."""
    async with world(Account(seed=5, calls=40, media=8, dynamic=4)) as mount:
        for path in ("", "campaigns", "recordings", "media", "media/by-name", "me"):
            whole = await mount.kernel.listing(path, room=100_000)
            assert await mount.kernel.listing(path, room=room) == whole
            assert len(set(whole)) == len(whole) > 0


async def test_a_listing_resumed_and_rewound_anywhere(world):
    """Reading on from any offset gives exactly the entries after it, once each, in any order of asking."""
    async with world(Account(seed=5, calls=40, media=8, dynamic=4)) as mount:
        for path in ("", "recordings", "media"):
            async with mount.kernel.opened_folder(path) as folder:
                whole = []
                while entries := await mount.kernel.readdir(folder, after=whole[-1][2] if whole else 0, room=13):
                    whole += entries
                places = [place for _, _, place in whole]
                assert places == sorted(set(places))
                assert places[0] > 0
                for index in [*range(len(whole) - 1, -1, -7), 0, len(whole) // 2]:
                    rest = await mount.kernel.readdir(folder, after=whole[index][2], room=5)
                    assert rest == whole[index + 1 : index + 6]
                assert (await mount.kernel.readdir(folder, after=0, room=5)) == whole[:5]


async def test_a_refused_entry_is_no_lookup(world):
    """An entry that did not fit the reply is not counted, so that forgetting balances."""
    async with world(account()) as mount:
        async with mount.kernel.opened_folder("recordings") as folder:
            await mount.kernel.readdir(folder, room=1)
        assert len(mount.inodes) == len(mount.kernel.lookups) + 1


async def test_listed_names_look_up_to_the_same_inode(world):
    """Every listed name resolves, to the inode that the listing gave."""
    async with world(account()) as mount:
        for path in ("campaigns", "recordings", "media", "media/by-name", "media/public"):
            async with mount.kernel.opened_folder(path) as folder:
                entries = await mount.kernel.readdir(folder, room=1000)
            assert entries
            for name, inode, _place in entries:
                assert await mount.kernel.inode(f"{path}/{name}") == inode


async def test_own_files_are_there_and_not_listed(world):
    """.cffs opens by its name, is not listed in the root, and costs no request."""
    async with world(account()) as mount:
        assert ".cffs" not in await mount.kernel.listing("")
        mount.standin.log.clear()
        assert await mount.kernel.listing(".cffs") == ["status.json", "inflight.json"]
        assert await mount.kernel.read(".cffs/status.json") == b"{}\n"
        assert (await mount.kernel.stat(".cffs/status.json")).st_size == 3
        async with mount.kernel.opened(".cffs/status.json") as (_inode, info):
            assert info.direct_io
        assert mount.standin.requests == []


async def test_names_that_are_none(world):
    """A name that the tree cannot hold is a negative entry without a request; a name that the service denies is one for
    30 s."""
    async with world(account()) as mount:
        folder = await mount.kernel.inode("recordings")
        mount.standin.log.clear()
        for name in (".hidden", "autorun.inf", ".Trash-0", "nonsense", "007.mp3", "0.wav", "1.ogg", "\udcff", "-1.mp3"):
            attributes = await mount.kernel.lookup(folder, name)
            assert (attributes.st_ino, attributes.entry_timeout) == (0, 300), name
        assert mount.standin.requests == []
        with refused(errno.ENOENT):
            await mount.kernel.stat("recordings/999.mp3")
        attributes = await mount.kernel.lookup(folder, "999.mp3")
        assert attributes.st_ino == 0
        assert 29 < attributes.entry_timeout <= 30
        mount.standin.log.clear()
        assert (await mount.kernel.lookup(folder, "999.mp3")).st_ino == 0
        assert mount.standin.requests == []


async def test_refusals_of_names(world):
    """A name over 255 bytes is ENAMETOOLONG, a file used as a folder ENOTDIR, an unknown inode ESTALE."""
    async with world(account()) as mount:
        file = await mount.kernel.inode(f"recordings/{first_recording(mount.account)}.mp3")
        with refused(errno.ENAMETOOLONG):
            await mount.kernel.lookup(ROOT, "n" * 256)
        with refused(errno.ENAMETOOLONG):
            await mount.kernel.lookup(ROOT, "é" * 128)
        assert (await mount.kernel.lookup(ROOT, "é" * 127)).st_ino == 0
        with refused(errno.ENOTDIR):
            await mount.kernel.lookup(file, "x")
        with refused(errno.ENOTDIR):
            await mount.operations.opendir(file, CONTEXT)
        with refused(errno.ESTALE):
            await mount.kernel.lookup(999_999, "x")
        with refused(errno.ESTALE):
            await mount.operations.readdir(999_999, 0, None)
        with refused(errno.ESTALE):
            await mount.operations.read(999_999, 0, 1)


async def test_handles_of_the_wrong_kind(world):
    """A folder's handle cannot be read, and a file's cannot be listed."""
    async with world(account()) as mount:
        async with mount.kernel.opened_folder("recordings") as folder:
            with refused(errno.EISDIR):
                await mount.operations.read(folder, 0, 1)
        async with mount.kernel.opened(".cffs/status.json") as (_inode, info):
            with refused(errno.ENOTDIR):
                await mount.operations.readdir(info.fh, 0, None)


#: A call of the kernel, its arguments, and the errno.
REFUSALS = [
    ("setattr", (ROOT, pyfuse3.EntryAttributes(), pyfuse3.SetattrFields(), None, CONTEXT), errno.EROFS),
    ("create", (ROOT, b"x", 0o644, os.O_WRONLY, CONTEXT), errno.EROFS),
    ("write", (1, 0, b"x"), errno.EROFS),
    ("mkdir", (ROOT, b"x", 0o755, CONTEXT), errno.EROFS),
    ("unlink", (ROOT, b"x", CONTEXT), errno.EROFS),
    ("rmdir", (ROOT, b"x", CONTEXT), errno.EROFS),
    ("rename", (ROOT, b"x", ROOT, b"y", 0, CONTEXT), errno.EROFS),
    ("mknod", (ROOT, b"x", 0o644, 0, CONTEXT), errno.EPERM),
    ("symlink", (ROOT, b"x", b"y", CONTEXT), errno.EPERM),
    ("link", (2, ROOT, b"y", CONTEXT), errno.EPERM),
    ("setxattr", (ROOT, b"user.x", b"y", CONTEXT), errno.ENOTSUP),
    ("removexattr", (ROOT, b"user.x", CONTEXT), errno.ENOTSUP),
    ("getxattr", (ROOT, b"user.x", CONTEXT), errno.ENOSYS),
    ("listxattr", (ROOT, CONTEXT), errno.ENOSYS),
    ("poll", (1, None, CONTEXT), errno.ENOSYS),
    ("readlink", (ROOT, CONTEXT), errno.EINVAL),
]


async def test_refusals(world):
    """Every call that the mount refuses has its errno; ENOSYS occurs only where the kernel then answers by itself."""
    async with world(account()) as mount:
        for name, arguments, expected in REFUSALS:
            if name == "poll":
                arguments = (ROOT, *arguments)
            with refused(expected):
                await getattr(mount.operations, name)(*arguments)
        assert mount.standin.requests == []


async def test_calls_that_have_nothing_to_do(world):
    """flush, fsync, fsyncdir and a second release succeed: a flush that fails makes every close fail."""
    async with world(account()) as mount:
        async with mount.kernel.opened(".cffs/status.json") as (inode, info):
            await mount.operations.fsync(info.fh, True)
            assert await mount.operations.access(inode, os.R_OK, CONTEXT)
            with refused(errno.EROFS):
                await mount.operations.access(inode, os.W_OK, CONTEXT)
        await mount.operations.flush(info.fh)
        await mount.operations.fsyncdir(info.fh, False)
        await mount.operations.release(info.fh)


async def test_statfs_costs_nothing(world):
    """statfs shows the bytes of all recordings and media that are known, and costs no request."""
    async with world(account()) as mount:
        before = await mount.operations.statfs(CONTEXT)
        assert before.f_blocks == 1
        assert mount.standin.requests == []
        await mount.kernel.listing("recordings")
        await mount.kernel.listing("media")
        standin, asked = mount.account, len(mount.standin.requests)
        known = sum(row["lengthInBytes"] for call in standin.call_ids() for row in standin.recording_rows(call))
        known += sum(
            standin.media.media_row(ident, root_url="")["lengthInBytes"] for ident in standin.media.media_ids()
        )
        told = await mount.operations.statfs(CONTEXT)
        assert known <= told.f_blocks * told.f_frsize < known + told.f_frsize
        assert told.f_bfree == told.f_bavail == 0
        assert len(mount.standin.requests) == asked


async def test_a_damaged_catalogue_fails_statfs_alone(world):
    """statfs of a catalogue whose totals are unreadable is EIO, no bug, and no end of the mount."""
    async with world(account()) as mount:
        await mount.catalog.write(lambda db: db.execute("UPDATE totals SET nbytes = 'unreadable'"))
        with refused(errno.EIO):
            await mount.operations.statfs(CONTEXT)
        await mount.catalog.write(lambda db: db.execute("UPDATE totals SET nbytes = 0"))
        assert (await mount.operations.statfs(CONTEXT)).f_blocks == 1


async def test_subjects_are_for_people(world):
    """A call in flight names the kind and the id of what it is about, whether it came with an inode or a handle."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        async with mount.kernel.opened(f"recordings/{number}.mp3") as (inode, info):
            assert mount.handlers.describe_inode(inode) == f"MP3[{number}]"
            assert mount.handlers.describe_handle(info.fh) == f"MP3[{number}]"
        assert mount.handlers.describe_inode(pyfuse3.ROOT_INODE) == "ROOT"
        assert mount.handlers.describe_inode(10**6) == "1000000"
        assert mount.handlers.describe_handle(10**6) == "handle 1000000"
