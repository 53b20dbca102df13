"""Recordings in progress: the size of now, no cache, ordinary once finished."""

import errno
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyfuse3
import pytest
import trio
from trio.testing import MockClock

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.growing_call import GrowingCall
from tests.fuse.kernel import CONTEXT, refused
from tests.fuse.kernelless_mount import World

A_SECOND = 1.01


def made(seconds: float = 3.0, **shape: object) -> tuple[Account, GrowingCall]:
    """An account, and a recording in progress in it."""
    account = Account(seed=5, calls=12, media=2, dynamic=2, **shape)  # type: ignore[arg-type]  # a test's shorthand
    return account, GrowingCall(account, account.call_ids()[0], seconds=seconds)


def path_of(live: GrowingCall, form: str) -> str:
    """The path at which the recording is opened."""
    return f"recordings/{live.id}.{form}"


async def state_told(found: World, live: GrowingCall) -> None:
    """Return once v2 has answered: a question about the recording's state does not wait for the answer."""
    with trio.fail_after(5):
        while found.catalog.recording(live.id) is None:
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def opened_before_its_state(found: World, live: GrowingCall) -> AsyncIterator[tuple[int, pyfuse3.FileInfo]]:
    """The MP3's inode and an open handle; v2 says only half a second later whether the recording is in progress."""
    found.standin.faults.add("hang", path=rf"/v2/calls/recordings/{live.id}$", seconds=0.5, times=1)
    async with found.kernel.opened(path_of(live, "mp3")) as opened:
        yield opened


async def dropped(found: World, key: str) -> None:
    """Return once v2's answer has settled what becomes of the bytes that came before it."""
    with trio.fail_after(5):
        while found.objects.first_pieces.unsettled(key) is not None:
            await trio.lowlevel.checkpoint()


def cached_nbytes(found: World, live: GrowingCall) -> int:
    """How much of the recording is held, in memory or on disk."""
    return sum(found.objects.held_nbytes(f"recording/{live.id}.{form}") for form in ("mp3", "wav"))


@pytest.mark.parametrize("form", ["mp3", "wav"])
@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(honour_ranges=False),
        Options(send_length=False),
        Options(send_etag=False, send_last_modified=False),
        Options(seed_only=True),
    ],
    ids=["ranges", "no ranges", "no length", "no validators", "seeds alone"],
)
async def test_grows_then_is_whole(world, mock_clock: MockClock, form, options):
    """stat and read give what there is now, and a second later what there is then. Once it is READY, the file is whole
    and exact."""
    account, live = made()
    if options.seed_only and form == "mp3":
        path = f"calls/{live.call_id}/{account.recording_row(live.id)['name']}.mp3"
    else:
        path = path_of(live, form)
    async with world(account, options=options) as found:
        if options.seed_only:
            await found.kernel.inode(f"calls/{live.call_id}/{account.recording_row(live.id)['name']}.json")
        for _ in range(3):
            body = live.object(form).read()
            assert (await found.kernel.stat(path)).st_size == len(body)
            assert await found.kernel.read(path) == body
            await state_told(found, live)
            live.grow(2.5)
            mock_clock.jump(A_SECOND)
        assert cached_nbytes(found, live) == 0
        fact = found.catalog.fact(f"recording/{live.id}.{form}")
        assert fact is None or fact.nbytes is None
        live.finish()
        mock_clock.jump(A_SECOND)
        body = live.object(form).read()
        async with found.kernel.opened(path) as (inode, info):
            assert not info.direct_io or not options.send_length
            assert (await found.operations.getattr(inode, CONTEXT)).st_size == len(body)
            assert await found.kernel.read_handle(inode, info) == body
        assert cached_nbytes(found, live) == len(body)


@pytest.mark.parametrize("form", ["mp3", "wav"])
async def test_a_tail_follows_to_the_true_end(world, mock_clock: MockClock, form):
    """A handle that was opened while the recording grew reads on past READY, to the end: every byte once, except for
    the head."""
    account, live = made(seconds=40)
    async with world(account) as found, found.kernel.opened(path_of(live, form)) as (_inode, info):
        body = await found.kernel.read_handle(_inode, info)
        assert info.direct_io
        await state_told(found, live)
        for step in range(4):
            live.grow(7)
            if step == 3:
                live.finish()
            mock_clock.jump(A_SECOND)
            while piece := await found.operations.read(info.fh, len(body), 65536):
                body += piece
        true = live.object(form).read()
        assert len(body) == len(true)
        assert body[4096:] == true[4096:]


async def test_another_recording_in_its_place(world, mock_clock: MockClock):
    """A reader whose bytes are no longer those of the object gets ESTALE, and no mixture."""
    account, live = made(seconds=40)
    async with world(account) as found, found.kernel.opened(path_of(live, "mp3")) as (_inode, info):
        body = await found.kernel.read_handle(_inode, info)
        await state_told(found, live)
        account.replace_object(f"/v2/calls/recordings/{live.id}.mp3")
        live.grow(5)
        mock_clock.jump(A_SECOND)
        for _ in range(2):
            with refused(errno.ESTALE):
                await found.operations.read(info.fh, len(body), 65536)


async def test_at_most_once_a_second(world, mock_clock: MockClock):
    """However many look and read within a second, the state and the size are asked once, and each piece once for a
    handle."""
    account, live = made()
    path = path_of(live, "mp3")
    async with world(account) as found:
        await found.kernel.stat(path)
        await state_told(found, live)
        await found.kernel.stat(path)
        before = len(found.standin.requests)
        for _ in range(20):
            await found.kernel.stat(path)
        assert len(found.standin.requests) == before
        async with found.kernel.opened(path) as (inode, info):
            for _ in range(20):
                await found.kernel.read_handle(inode, info)
        assert len(found.standin.requests) == before + 1
        mock_clock.jump(A_SECOND)
        for _ in range(20):
            await found.kernel.stat(path)
        assert len(found.standin.requests) == before + 3


async def test_new_number_once_finished(world, mock_clock: MockClock):
    """The inode that was opened while the recording grew is stale once it is finished, so that no page of that time can
    be served."""
    account, live = made()
    path = path_of(live, "mp3")
    async with world(account) as found:
        await found.kernel.stat(path)
        await state_told(found, live)
        await found.kernel.read(path)
        old = await found.kernel.inode(path)
        live.grow(1)
        live.finish()
        mock_clock.jump(A_SECOND)
        with refused(errno.ESTALE):
            await found.kernel.open(old)
        assert await found.kernel.inode(path) != old
        assert await found.kernel.read(path) == live.object("mp3").read()


async def test_known_too_early(world, mock_clock: MockClock):
    """A WAV that was read before it was known to be growing does not stay as short as it was."""
    account, live = made()
    path = path_of(live, "wav")
    async with world(account) as found:
        assert await found.kernel.read(path) == live.object("wav").read()
        await found.kernel.stat(f"recordings/{live.id}.json")
        live.grow(5)
        mock_clock.jump(A_SECOND)
        assert await found.kernel.read(path) == live.object("wav").read()
        live.grow(5)
        live.finish()
        mock_clock.jump(A_SECOND)
        assert await found.kernel.read(path) == live.object("wav").read()


async def test_fails(world, mock_clock: MockClock, caplog):
    """In state ERROR the reason is in the recording's .json. An open of the MP3 is EIO, and so is a read through an
    open handle."""
    account, live = made()
    path = path_of(live, "mp3")
    async with world(account) as found:
        await found.kernel.stat(f"recordings/{live.id}.json")
        async with found.kernel.opened(path) as (inode, info):
            assert await found.kernel.read_handle(inode, info)
            live.fail("the caller hung up at once")
            mock_clock.jump(A_SECOND)
            with refused(errno.EIO):
                await found.operations.read(info.fh, 0, 4096)
        with refused(errno.EIO):
            await found.kernel.read(path)
        told = json.loads(await found.kernel.read(f"recordings/{live.id}.json"))
        assert (told["state"], told["stateReason"]) == ("ERROR", "the caller hung up at once")
    assert "state ERROR" in caplog.text


async def test_the_wav_of_what_failed_is_asked(world, mock_clock: MockClock):
    """A recording in state ERROR may be broken, and need not be: its WAV is what the service gives."""
    account, live = made()
    path = path_of(live, "wav")
    async with world(account) as found:
        await found.kernel.stat(f"recordings/{live.id}.json")
        live.fail("the caller hung up at once")
        mock_clock.jump(A_SECOND)
        assert await found.kernel.read(path) == live.object("wav").read()


async def test_nothing_given_out_yet(world, mock_clock: MockClock):
    """While the origin has no byte of it the file is empty, and not missing; once bytes come, they are read."""
    account, live = made()
    path = path_of(live, "mp3")
    async with world(account) as found:
        found.standin.faults.add("status", path=rf"{live.id}\.mp3$|recordings/[a-z_%0-9]*\.mp3$", code=404)
        assert (await found.kernel.stat(path)).st_size == 0
        assert await found.kernel.read(path) == b""
        found.standin.faults.clear()
        mock_clock.jump(A_SECOND)
        assert await found.kernel.read(path) == live.object("mp3").read()


async def test_other_file_ids(world, mock_clock: MockClock):
    """Where v1 numbers its files otherwise, a call's WAVs are cached only when none of its recordings is in
    progress."""
    account, live = made(v1_ids_differ=True)
    row = account.call_row(live.call_id)
    path = f"campaigns/{row['campaignId']}/{live.call_id}/{account.v1_file_id(live.id)}.wav"
    async with world(account) as found:
        assert await found.kernel.read(path) == live.object("wav").read()
        live.grow(3)
        live.finish()
        mock_clock.jump(A_SECOND)
        assert await found.kernel.read(path) == live.object("wav").read()


@pytest.mark.parametrize("reads_before", [False, True], ids=["nothing read", "read before"])
@pytest.mark.parametrize("grows", [False, True], ids=["whole", "a part"])
async def test_finished_a_moment_ago(world, reads_before, grows):
    """A file that is opened when its recording has just ended, or just before, is read to its true end, although the
    bytes of the open are dropped once v2 says so."""
    account, live = made(seconds=40)
    path, key = path_of(live, "mp3"), f"recording/{live.id}.mp3"
    async with world(account) as found:
        if not grows:
            live.finish()
        async with opened_before_its_state(found, live) as (_inode, info):
            body = await found.operations.read(info.fh, 0, 65536) if reads_before else b""
            assert found.catalog.recording(live.id) is None
            if grows:
                live.grow(7)
                live.finish()
            await dropped(found, key)
            while piece := await found.operations.read(info.fh, len(body), 65536):
                body += piece
            assert body == live.object("mp3").read()
        assert await found.kernel.read(path) == body


async def test_replaced_before_its_state_is_known(world):
    """A file that is another one while it is read, before its state is known, is ESTALE and no mixture, also
    afterwards."""
    account, live = made(seconds=800)
    live.finish()
    async with world(account) as found:
        async with opened_before_its_state(found, live) as (_inode, info):
            assert await found.operations.read(info.fh, 0, 2048)
            account.replace_object(f"/v2/calls/recordings/{live.id}.mp3")
            with refused(errno.ESTALE):
                await found.operations.read(info.fh, 2_000_000, 65536)
            await state_told(found, live)
            for offset in (2048, 2_000_000):
                with refused(errno.ESTALE):
                    await found.operations.read(info.fh, offset, 65536)


@pytest.mark.parametrize("reads_on", [False, True], ids=["at once", "after a READ"])
async def test_replaced_once_its_state_is_known(world, reads_on):
    """Nor is a file mixed whose object is replaced after v2 has said that it had just ended."""
    account, live = made(seconds=800)
    live.finish()
    async with world(account) as found:
        async with opened_before_its_state(found, live) as (_inode, info):
            assert await found.operations.read(info.fh, 0, 65536)
            await dropped(found, f"recording/{live.id}.mp3")
            if reads_on:
                assert await found.operations.read(info.fh, 65536, 4096)
            account.replace_object(f"/v2/calls/recordings/{live.id}.mp3")
            for _ in range(2):
                with refused(errno.ESTALE):
                    await found.operations.read(info.fh, 2_000_000, 65536)


async def test_what_had_just_ended_is_kept(world):
    """The rest of a file that was opened as its recording ended is fetched as that of any other file, and kept."""
    account, live = made(seconds=800)
    live.finish()
    path, key = path_of(live, "mp3"), f"recording/{live.id}.mp3"
    async with world(account) as found:
        async with opened_before_its_state(found, live) as (inode, info):
            assert await found.operations.read(info.fh, 0, 65536)
            await dropped(found, key)
            asked = len(found.standin.requests)
            body = await found.kernel.read_handle(inode, info)
            assert body == live.object("mp3").read()
            assert len(found.standin.requests) - asked <= 5
        asked = len(found.standin.requests)
        assert (await found.kernel.read(path), len(found.standin.requests)) == (body, asked)
