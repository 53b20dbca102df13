"""Whole files read through the operations, against the stand-in's own bytes."""

import errno
import os

import pyfuse3
import pytest
import trio

from cffs.core.source import v2_recording
from cffs.fuse.handles import RemoteHandle
from cffs.reader.object_info import Learned
from cffs.standin.account import Account
from cffs.standin.answers import Options
from tests.fuse.kernel import CONTEXT, refused

MIB = 1024 * 1024


def account(**changes) -> Account:
    """Twelve calls; the first one's recording is larger than one request."""
    made = Account(**{"seed": 5, "calls": 12, "media": 8, "dynamic": 4, **changes})
    made.resize_recording(first_recording(made), form="mp3", total_nbytes=3 * MIB + 17)
    made.resize_recording(first_recording(made), form="wav", total_nbytes=2 * MIB + 1)
    return made


def first_recording(of: Account) -> int:
    return next(number for call_id in of.call_ids() for number in of.recording_ids(call_id))


def mp3(number: int) -> str:
    return f"/v2/calls/recordings/{number}.mp3"


def wav(number: int) -> str:
    return f"/cloud/1/files/recording/{number}"


def recordings(of: Account) -> list[int]:
    return [number for call_id in of.call_ids() for number in of.recording_ids(call_id)]


def by_id(of: Account) -> dict[str, str]:
    """Everything that opens by an id: its path in the mount and at the service."""
    found = {f"recordings/{number}.mp3": mp3(number) for number in recordings(of)}
    found |= {f"recordings/{number}.wav": wav(number) for number in recordings(of)}
    found |= {f"media/{number}": f"/v2/media/{number}/file" for number in of.media.media_ids()}
    return found | dynamic(of)


def dynamic(of: Account) -> dict[str, str]:
    return {"dynamic/" + "/".join(n.parts): of.dynamic_path(n, form="wav") for n in of.media.dynamic}


def in_calls(of: Account) -> dict[str, str]:
    """Everything that opens by campaign, call and name, as the service's two documents have it."""
    found = {}
    for call_id in of.call_ids():
        campaign_id = of.call_row(call_id).get("campaignId")
        for row in of.recording_rows(call_id) if campaign_id else ():
            found[f"campaigns/{campaign_id}/{call_id}/{row['name']}.mp3"] = mp3(row["id"])
            found[f"campaigns/{campaign_id}/{call_id}/{row['id']}.wav"] = wav(row["id"])
    return found


async def assert_same(world, expected: dict[str, str], **reading) -> None:
    assert expected
    for local, remote in expected.items():
        true = world.account.object_for(remote).read()
        assert await world.kernel.read(local, **reading) == true, local


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"honour_ranges": False},
        {"send_length": False},
        {"send_etag": False},
        {"send_etag": False, "send_last_modified": False, "honour_ranges": False},
        {"answer_head": False, "embed_recordings": False, "know_total": False},
        {"max_limit": 100, "echo_paging": False},
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
async def test_whole_files_are_the_services(world, changes):
    """Every kind of file reads as exactly the service's bytes, whatever the origin leaves out."""
    async with world(account(), options=Options(**changes)) as mount:
        await assert_same(mount, by_id(mount.account) | in_calls(mount.account))


async def test_whole_files_by_the_two_documents_alone(world):
    """On an origin that offers only what the two documents describe, files open by lookup and read right."""
    async with world(account(), options=Options(seed_only=True)) as mount:
        media = {f"media/{n}": f"/v2/media/{n}/file" for n in mount.account.media.media_ids()}
        await assert_same(mount, in_calls(mount.account) | media | dynamic(mount.account))


async def test_with_v1_alone(world):
    """With a v1 key alone, WAVs and dynamic recordings open; MP3s, media and me are absent, and nothing fails."""
    async with world(account(), v2=False) as mount:
        wavs = {local: remote for local, remote in in_calls(mount.account).items() if local.endswith(".wav")}
        await assert_same(mount, wavs | dynamic(mount.account))
        assert await mount.kernel.listing("") == ["README.txt", "campaigns", "recordings", "dynamic"]
        for name in ("media", "me", "calls"):
            assert (await mount.kernel.lookup(pyfuse3.ROOT_INODE, name)).st_ino == 0


async def test_with_v2_alone(world):
    """With a v2 login alone, MP3s and media open; WAVs and dynamic recordings are absent."""
    async with world(account(), v1=False) as mount:
        await assert_same(mount, {n: r for n, r in in_calls(mount.account).items() if n.endswith(".mp3")})
        assert "dynamic" not in await mount.kernel.listing("")


@pytest.mark.parametrize("step", [1000, 4096, 65536, 1 << 20])
async def test_any_read_size(world, step):
    """The bytes do not depend on how large the READs are."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        await assert_same(mount, {f"recordings/{number}.wav": wav(number)}, step=step)


async def test_reads_beyond_the_end(world):
    """A READ across the end is short, one beyond it empty."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        true = mount.account.object_for(mp3(number)).read()
        async with mount.kernel.opened(f"recordings/{number}.mp3") as (_inode, info):
            assert await mount.operations.read(info.fh, len(true) - 10, 4096) == true[-10:]
            assert await mount.operations.read(info.fh, len(true), 4096) == b""
            assert await mount.operations.read(info.fh, 2**50, 4096) == b""


@pytest.mark.parametrize("factor", [0.5, 1.3])
async def test_fstat_is_exact_after_open(world, factor):
    """Before an open, stat shows the hint, even a wrong one. Once open has returned, the kernel was made to ask again,
    and gets the exact size."""
    made = account()
    number = recordings(made)[-1]
    exact = made.object_for(mp3(number)).total_nbytes
    made.set_recording(number, lengthInBytes=int(exact * factor))
    async with world(made) as mount:
        path = f"recordings/{number}.mp3"
        await mount.kernel.listing("recordings")
        assert (await mount.kernel.stat(path)).st_size == int(exact * factor)
        async with mount.kernel.opened(path) as (inode, info):
            assert mount.invalidated[-1:] == [inode]
            shown = await mount.operations.getattr(inode, CONTEXT)
            assert (shown.st_size, info.direct_io) == (exact, False)
        assert await mount.kernel.read(path) == made.object_for(mp3(number)).read()


async def test_fstat_is_exact_where_another_handle_learned_it(world):
    """An open that asks nothing, because the size was learned a moment ago, still makes the kernel drop the hint."""
    made = account()
    number = recordings(made)[-1]
    made.set_recording(number, lengthInBytes=7)
    async with world(made) as mount:
        inode = await mount.kernel.inode(f"recordings/{number}.mp3")
        await mount.operations.getattr(inode, CONTEXT)
        mount.listener.learned(
            Learned(
                key=f"recording/{number}.mp3",
                source=v2_recording(number),
                total_nbytes=made.object_for(mp3(number)).total_nbytes,
                validator=None,
                last_modified_ns=None,
            )
        )
        info = await mount.kernel.open(inode)  # before the task that drains changes has had its turn
        assert mount.invalidated == [inode]
        await mount.operations.release(info.fh)


@pytest.mark.parametrize("told", [0, -1, ..., 2**41, "many"], ids=repr)
async def test_a_size_nobody_tells_is_asked_once(world, told):
    """Without a usable hint stat asks the origin once, and an open afterwards asks nothing."""
    made = account()
    number = first_recording(made)
    made.set_recording(number, lengthInBytes=told)
    async with world(made) as mount:
        path = f"recordings/{number}.mp3"
        await mount.kernel.listing("recordings")
        inode = await mount.kernel.inode(path)
        mount.standin.log.clear()
        for _ in range(3):
            shown = await mount.operations.getattr(inode, CONTEXT)
            assert shown.st_size == 3 * MIB + 17
        (asked,) = mount.standin.requests
        assert asked.range == "bytes=0-0"
        info = await mount.kernel.open(inode)
        await mount.operations.release(info.fh)
        assert len(mount.standin.requests) == 1


async def test_lookup_and_readdir_never_ask_for_a_size(world):
    """A size that is not known costs nothing until stat or open needs it."""
    made = account()
    for number in recordings(made):
        made.set_recording(number, lengthInBytes=...)
    async with world(made) as mount:
        assert await mount.kernel.listing("recordings")
        await mount.kernel.inode(f"recordings/{first_recording(made)}.mp3")
        assert not [asked for asked in mount.standin.requests if asked.range]


async def test_unknown_length(world):
    """An origin that gives no length until its end: the whole file is read right, and stat is never too small
    meanwhile."""
    made = account()
    number = first_recording(made)
    made.set_recording(number, lengthInBytes=1000)
    true = made.object_for(mp3(number)).read()
    async with world(made, options=Options(send_length=False), timeout_seconds=0.9) as mount:
        mount.standin.link.bandwidth = 2 * MIB
        async with mount.kernel.opened(f"recordings/{number}.mp3") as (inode, info):
            assert info.direct_io
            assert not info.keep_cache
            body = bytearray()
            while piece := await mount.operations.read(info.fh, len(body), 128 * 1024):
                body += piece
                shown = (await mount.operations.getattr(inode, CONTEXT)).st_size
                assert shown > len(body) or shown == len(true)
            assert body == true
            assert (await mount.operations.getattr(inode, CONTEXT)).st_size == len(true)


async def test_a_hundred_readers_one_fetch(world):
    """A hundred programs that open and read one small file together cost one request for its bytes."""
    made = account()
    number = recordings(made)[-1]
    made.resize_recording(number, form="mp3", total_nbytes=500_000)
    true = made.object_for(mp3(number)).read()
    async with world(made) as mount:
        path = f"recordings/{number}.mp3"

        async def reader() -> None:
            assert await mount.kernel.read(path) == true

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(reader)
        assert len(mount.standin.requests) == 1
        assert mount.handles.files() == 0


async def test_a_changed_object_is_stale_then_new(world):
    """A changed object is ESTALE for a handle that is open; the next open finds a new inode and the new bytes."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        path = f"recordings/{number}.mp3"
        old = mount.account.object_for(mp3(number)).read()
        async with mount.kernel.opened(path) as (old_inode, info):
            assert await mount.operations.read(info.fh, 0, 4096) == old[:4096]
            mount.account.replace_object(mp3(number))
            new = mount.account.object_for(mp3(number)).read()
            assert new != old
            body, offset = bytearray(), 0
            with refused(errno.ESTALE):
                while True:
                    piece = await mount.operations.read(info.fh, offset, 128 * 1024)
                    body += piece
                    offset += len(piece)
            assert body == old[: len(body)]
            with refused(errno.ESTALE):
                await mount.kernel.open(old_inode)
            assert await mount.kernel.read(path) == new
            assert await mount.kernel.inode(path) != old_inode
            with refused(errno.ESTALE):
                await mount.operations.read(info.fh, len(old) - 10, 10)


async def test_a_change_noticed_after_the_last_close(world):
    """Pages belong to the inode. Where a change is noticed while no program has the file open, the old inode is stale
    as well, so that no page of the old version is shown as the new one."""
    async with world(account()) as mount:
        number = recordings(mount.account)[-1]
        path = f"recordings/{number}.mp3"
        await mount.kernel.read(path)
        old_inode = await mount.kernel.inode(path)
        mount.account.replace_object(mp3(number))
        mount.listener.changed(f"recording/{number}.mp3")
        mount.objects.forget(f"recording/{number}.mp3")
        with refused(errno.ESTALE):
            await mount.kernel.open(old_inode)
        assert mount.handles.files() == 0
        assert await mount.kernel.read(path) == mount.account.object_for(mp3(number)).read()
        assert await mount.kernel.inode(path) != old_inode


async def test_a_broken_recording_fails_at_open(world, caplog):
    """State ERROR is EIO at an open of the MP3, without a request for its bytes. stat and the metadata still answer,
    and the WAV is the service's to give: such a recording may be broken, and need not be."""
    made = account()
    number = first_recording(made)
    made.set_recording(number, state="ERROR")
    async with world(made) as mount:
        await mount.kernel.listing("recordings")
        inode = await mount.kernel.inode(f"recordings/{number}.mp3")
        mount.standin.log.clear()
        with refused(errno.EIO):
            await mount.kernel.open(inode)
        assert mount.standin.requests == []
        assert b'"ERROR"' in await mount.kernel.read(f"recordings/{number}.json")
        wav = mount.account.object_for(f"/cloud/1/files/recording/{number}")
        assert await mount.kernel.read(f"recordings/{number}.wav") == wav.read()
    assert "state ERROR" in caplog.text


async def test_rendered_files_are_snapshots(world):
    """A rendered file is as it was at its open, through pages, whatever changes. An open meanwhile shows the content of
    now, under an inode of its own, so that no page and no size is the other's; each fstat is exact."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        path = f"recordings/{number}.json"
        before = await mount.kernel.read(path)
        async with mount.kernel.opened(path) as (inode, info):
            await mount.catalog.write(
                lambda db: db.execute("UPDATE recordings SET document = ? WHERE id = ?", (b"x" * 99999, number))
            )
            async with mount.kernel.opened(path) as (other, other_info):
                assert other != inode
                assert await mount.kernel.read_handle(other, other_info) == b"x" * 99999
                assert await mount.kernel.read_handle(inode, info) == before
                assert not info.direct_io
                assert not other_info.direct_io
                shown = await mount.kernel.entry(path)
                assert (shown.st_ino, shown.st_size) == (other, 99999)
            async with mount.kernel.opened(path) as (again, _info):
                assert again == other
        mount.invalidated.clear()
        async with mount.kernel.opened(path) as (again, info):
            assert again == other
            assert mount.invalidated == [other]
            assert not info.keep_cache
            assert (await mount.operations.getattr(other, CONTEXT)).st_size == 99999


async def test_rendered_sizes_are_believed_no_longer_than_hints(world):
    """The size of a rendered file may change under its inode, so the kernel asks again after a listing's time to
    live."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        assert (await mount.kernel.stat(f"recordings/{number}.json")).attr_timeout == 60
        await mount.kernel.read(f"recordings/{number}.mp3")
        assert (await mount.kernel.stat(f"recordings/{number}.mp3")).attr_timeout == 3600


async def test_asked_documents(world):
    """A document that must be asked for shows its size and its bytes; a second read within the time to live asks
    nothing."""
    async with world(account()) as mount:
        body = await mount.kernel.read("me/account.json")
        assert b'"id"' in body
        mount.standin.log.clear()
        assert (await mount.kernel.stat("me/account.json")).st_size == len(body)
        assert await mount.kernel.read("me/account.json") == body
        assert mount.standin.requests == []


async def test_pages_are_kept_of_sized_files_only(world):
    """A file whose size is known keeps its pages from open to open. A handle costs nothing once it is released."""
    async with world(account()) as mount:
        async with mount.kernel.opened(f"recordings/{first_recording(mount.account)}.mp3") as (_inode, info):
            assert (info.direct_io, info.keep_cache, info.nonseekable) == (False, True, False)
            assert isinstance(mount.handles.get(info.fh), RemoteHandle)
        with refused(errno.ESTALE):
            await mount.operations.read(info.fh, 0, 1)
        await mount.operations.release(info.fh)


async def test_opening_flags(world):
    """An open for writing or truncating is EROFS; reading flags of every kind open."""
    async with world(account()) as mount:
        inode = await mount.kernel.inode(f"recordings/{first_recording(mount.account)}.mp3")
        writing = (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for flags in writing:
            with refused(errno.EROFS):
                await mount.kernel.open(inode, flags)
        for flags in (os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME):
            info = await mount.kernel.open(inode, flags)
            await mount.operations.release(info.fh)
        with refused(errno.EISDIR):
            await mount.kernel.open(pyfuse3.ROOT_INODE)
        with refused(errno.EROFS):
            await mount.kernel.open(pyfuse3.ROOT_INODE, os.O_RDWR)


async def test_blocks_are_what_is_held(world):
    """st_blocks is 1 before a byte is read, grows with what is read, and is the whole size once all is here."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        path = f"recordings/{number}.mp3"
        async with mount.kernel.opened(path) as (inode, info):
            await mount.operations.read(info.fh, 0, 4096)
            some = (await mount.operations.getattr(inode, CONTEXT)).st_blocks
            assert 8 <= some < (3 * MIB + 17) / 512
            await mount.kernel.read_handle(inode, info)
            assert (await mount.operations.getattr(inode, CONTEXT)).st_blocks == (3 * MIB + 17 + 511) // 512
        assert (await mount.kernel.stat(f"recordings/{number}.wav")).st_blocks >= 1


async def test_opens_that_meet_a_change_together(world):
    """Two opens of one old inode find the change together: both are stale, and there is one new inode."""
    async with world(account()) as mount:
        number = recordings(mount.account)[-1]
        path = f"recordings/{number}.mp3"
        await mount.kernel.read(path)
        old_inode = await mount.kernel.inode(path)
        mount.account.replace_object(mp3(number))
        mount.listener.changed(f"recording/{number}.mp3")
        mount.objects.forget(f"recording/{number}.mp3")

        async def attempt() -> None:
            with refused(errno.ESTALE):
                await mount.kernel.open(old_inode)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            nursery.start_soon(attempt)
        new_inode = await mount.kernel.inode(path)
        assert new_inode != old_inode
        info = await mount.kernel.open(new_inode)
        await mount.operations.release(info.fh)
