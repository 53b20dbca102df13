"""What an application sees of a misbehaving service: right bytes or the errno."""

import errno
import logging

import pyfuse3
import pytest
import trio

from cffs.catalog.missing_objects import APART_MS
from tests.fuse.kernel import CONTEXT, refused
from tests.fuse.test_reading import MIB, account, first_recording, mp3, recordings, wav

#: A fault, its options, and what the application sees where the fault hits every answer of a recording's bytes.
STANDING = [
    ("absent", {}, errno.ENOENT),
    ("status", {"code": 410}, errno.ENOENT),
    ("status", {"code": 401}, errno.EACCES),
    ("status", {"code": 403}, errno.EACCES),
    ("status", {"code": 400}, errno.EIO),
    ("status", {"code": 418}, errno.EIO),
    ("status", {"code": 500}, errno.EIO),
    ("status", {"code": 503}, errno.EIO),
    ("status", {"code": 429, "retry_after": 50}, errno.EIO),
    ("status", {"code": 503, "retry_after": 50}, errno.EIO),
    ("gzip", {}, errno.EIO),
    ("html200", {}, errno.EIO),
    ("body", {"data": b'{"error": "no"}', "content_type": "application/json"}, errno.EIO),
    ("body", {"data": b"", "content_type": "audio/mpeg"}, errno.EIO),
    ("redirect", {}, errno.EIO),
    ("bighead", {}, errno.EIO),
    ("garbage", {}, errno.EIO),
    ("trunc", {}, errno.EIO),
    ("reset", {}, errno.EIO),
    ("trunc_chunk", {}, errno.EIO),
    ("cr_wrong", {}, errno.EIO),
    ("416", {}, errno.EIO),
    ("long206", {}, errno.EIO),
    ("hang", {}, errno.ETIMEDOUT),
    ("stall_head", {}, errno.ETIMEDOUT),
]
#: Faults that do not disturb a reader: the bytes are right.
HARMLESS = [
    ("wrong_type", {}),
    ("no_etag", {}),
    ("weak_etag", {}),
    ("full200", {}),
    ("nolen", {}),
    ("short_by_one", {}),
    ("close", {}),
    ("drip", {"nbytes": 65_536, "seconds": 0.001}),
    ("total_wrong", {"total": "*"}),
]
#: A fault that hits only the first answers: a retry mends it.
PASSING = ["reset_before", "reset", "trunc", "trunc_chunk", "garbage"]


def _name(case: object) -> str:
    return "-".join(map(str, case.values())) if isinstance(case, dict) else str(case)


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "by name"])
@pytest.mark.parametrize(("fault", "options", "expected"), STANDING, ids=_name)
async def test_a_standing_fault(world, caplog, fault, options, expected, is_listed):
    """A fault in every answer gives its errno at stat, open or read, and no byte that is not the service's; the file
    beside it reads right. Where the errno is EIO, a log line says why."""
    caplog.set_level(logging.WARNING)
    made = account()
    number, neighbour = recordings(made)[0], recordings(made)[-1]
    true = made.object_for(mp3(number)).read()
    budget_seconds = 0.5 if expected == errno.ETIMEDOUT else 5.0
    async with world(made, timeout_seconds=2 * budget_seconds, budget_seconds=budget_seconds) as mount:
        path = f"recordings/{number}.mp3"
        if is_listed:
            await mount.kernel.listing("recordings")
        call_id = made.recording_row(number)["callId"]
        mount.standin.faults.add(fault, path=rf"{number}\.mp3$|calls/{call_id}/recordings/", **options)
        body = bytearray()
        with refused(expected):
            inode = (await mount.kernel.walk(path)).st_ino
            await mount.operations.getattr(inode, CONTEXT)
            info = await mount.kernel.open(inode)
            while piece := await mount.operations.read(info.fh, len(body), 128 * 1024):
                body += piece
        assert body == true[: len(body)]
        if expected == errno.EIO:
            assert [line for line in caplog.records if line.name == "cffs.fuse.guard" and f"{number}" in line.message]
        if "retry_after" not in options:
            other = await mount.kernel.read(f"recordings/{neighbour}.mp3")
            assert other == made.object_for(mp3(neighbour)).read()


@pytest.mark.parametrize(("fault", "options"), HARMLESS, ids=_name)
async def test_a_harmless_fault(world, fault, options):
    """An answer that is odd but not wrong is read right."""
    made = account()
    number = first_recording(made)
    async with world(made) as mount:
        mount.standin.faults.add(fault, path=rf"{number}\.mp3$|/recording/{number}$", **options)
        for path, remote in ((f"recordings/{number}.mp3", mp3(number)), (f"recordings/{number}.wav", wav(number))):
            assert await mount.kernel.read(path) == made.object_for(remote).read()


@pytest.mark.parametrize("fault", PASSING)
async def test_a_passing_fault(world, fault):
    """A fault that hits one answer is mended by a retry, and no application sees it."""
    made = account()
    number = first_recording(made)
    async with world(made) as mount:
        path = f"recordings/{number}.mp3"
        rule = mount.standin.faults.add(fault, path=f"{number}.mp3", times=1)
        assert await mount.kernel.read(path) == made.object_for(mp3(number)).read()
        assert mount.standin.faults.fired(rule) == 1


async def test_a_failure_is_not_remembered(world):
    """Once the service is well again, the next open works at once."""
    made = account()
    number = first_recording(made)
    async with world(made) as mount:
        path = f"recordings/{number}.mp3"
        mount.standin.faults.add("status", path=f"{number}.mp3", code=500)
        with refused(errno.EIO):
            await mount.kernel.read(path)
        assert mount.handles.files() == 0
        mount.standin.faults.clear()
        assert await mount.kernel.read(path) == made.object_for(mp3(number)).read()


async def test_a_hanging_read_disturbs_nobody(world):
    """While one file's bytes hang, other files, folders and the mount's own files answer. The hanging READ ends with
    ETIMEDOUT and is in flight until then; afterwards its handle fails at once."""
    made = account()
    number, neighbour = recordings(made)[0], recordings(made)[-1]
    async with (
        world(made, timeout_seconds=4.0, budget_seconds=2.0) as mount,
        mount.kernel.opened(f"recordings/{number}.mp3") as (_inode, info),
    ):
        mount.standin.faults.add("hang", path=f"{number}.mp3")

        async def blocked() -> None:
            with refused(errno.ETIMEDOUT):
                await mount.operations.read(info.fh, 2 * MIB, 4096)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked)
            await trio.testing.wait_all_tasks_blocked(0.01)
            (waiting,) = mount.calls.waiting()
            assert (waiting.operation, waiting.subject) == ("read", f"MP3[{number}]")
            with trio.fail_after(1.8):
                true = made.object_for(mp3(neighbour)).read()
                assert await mount.kernel.read(f"recordings/{neighbour}.mp3") == true
                assert await mount.kernel.listing("campaigns")
                assert await mount.kernel.read(".cffs/status.json")
        with trio.fail_after(1.0), refused(errno.ETIMEDOUT):
            await mount.operations.read(info.fh, 2 * MIB, 4096)


async def test_a_name_that_hangs_is_not_remembered(world):
    """A name for which the service gives no answer is looked up at once. Its stat is ETIMEDOUT, and works as soon as
    the service does."""
    made = account()
    number = first_recording(made)
    async with world(made, timeout_seconds=1.0, budget_seconds=0.5) as mount:
        folder = await mount.kernel.inode("recordings")
        rule = mount.standin.faults.add("hang", path=rf"recordings/{number}(\.mp3)?$")
        assert (await mount.kernel.lookup(folder, f"{number}.mp3")).st_ino
        with refused(errno.ETIMEDOUT):
            await mount.kernel.stat(f"recordings/{number}.mp3")
        mount.standin.faults.remove(rule)
        with trio.fail_after(5):
            while True:
                await trio.lowlevel.checkpoint()
                try:
                    assert (await mount.kernel.stat(f"recordings/{number}.mp3")).st_size
                    break
                except pyfuse3.FUSEError as error:
                    if error.errno_ != errno.ETIMEDOUT:
                        raise


async def test_a_listing_that_fails_is_an_error_and_not_an_empty_folder(world):
    """A folder whose first listing fails answers with the errno of the failure; what is known is shown nevertheless."""
    async with world(account()) as mount:
        number = first_recording(mount.account)
        mount.standin.faults.add("status", path="/v2/calls$|/v2/media$", code=500)
        for path in ("media", "recordings"):
            with refused(errno.EIO):
                await mount.kernel.listing(path)
        await mount.kernel.inode(f"recordings/{number}.mp3")
        with trio.fail_after(5):
            while mount.catalog.recording(number) is None:
                await trio.lowlevel.checkpoint()
        assert f"{number}.mp3" in await mount.kernel.listing("recordings")


async def test_no_answer_of_the_account_is_eacces(world):
    """Refused credentials are EACCES, for documents, folders and files alike."""
    async with world(account()) as mount:
        mount.standin.faults.add("status", path="/v2/", code=401)
        with refused(errno.EACCES):
            await mount.kernel.stat("me/account.json")
        with refused(errno.EACCES):
            await mount.kernel.listing("campaigns")


async def test_stat_after_a_change_without_a_hint(world):
    """Where a changed object has no hint, its size is asked again: stat never shows a made-up number."""
    made = account()
    number = recordings(made)[-1]
    made.set_recording(number, lengthInBytes=...)
    async with world(made) as mount:
        path = f"recordings/{number}.mp3"
        await mount.kernel.read(path)
        made.replace_object(mp3(number), data=b"ID3" + bytes(1000))
        mount.listener.changed(f"recording/{number}.mp3")
        mount.objects.forget(f"recording/{number}.mp3")
        inode = await mount.kernel.inode(path)
        assert (await mount.operations.getattr(inode, CONTEXT)).st_size == 1003


async def test_a_file_denied_for_an_hour_leaves(world):
    """The open of a file that the service denies is ENOENT. Where the service denied it an hour earlier as well, its
    name leaves the listing; the names beside it stay."""
    made = account()
    number = recordings(made)[0]
    async with world(made) as mount:
        listed = await mount.kernel.listing("recordings")
        inode = await mount.kernel.inode(f"recordings/{number}.mp3")
        call_id = made.recording_row(number)["callId"]
        mount.standin.faults.add("absent", path=rf"{number}\.mp3$|calls/{call_id}/recordings/")
        with refused(errno.ENOENT):
            await mount.kernel.open(inode)
        assert await mount.kernel.listing("recordings") == listed
        await mount.catalog.write(lambda db: db.execute("UPDATE absences SET first_ms = first_ms - ?", (APART_MS,)))
        with refused(errno.ENOENT):
            await mount.kernel.open(inode)
        left = set(listed) - set(await mount.kernel.listing("recordings"))
        assert left == {f"{number}.mp3"}
