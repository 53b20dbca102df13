"""The first look at files that no listing showed: what they cost.

It is one request for the body and at most one for the metadata, whatever the two answer.
"""

import errno
from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.media_store import DynamicName
from tests.fuse.kernel import CONTEXT, Kernel, refused
from tests.fuse.kernelless_mount import World
from tests.fuse.test_reading import account, recordings

#: Slow enough that the metadata and the body are asked for one after the other, and the second is waited for.
NO_DATE = Options(send_last_modified=False)
FORMS = ["mp3", "wav"]


def asked(mount: World) -> Counter[str]:
    """How often each operation was asked for; the ranges of bodies are those of the first piece."""
    bodies = [record for record in mount.standin.requests if record.range is not None]
    assert {record.range for record in bodies} <= {"bytes=0-524287"}
    return Counter(record.kind for record in mount.standin.requests)


async def idle(mount: World) -> None:
    """Return once no question is under way in the background."""
    with trio.fail_after(5):
        while mount.namespace._context.account._single_flight._pending:
            await trio.lowlevel.checkpoint()


def a_small_one(made: Account) -> int:
    """A recording whose two forms are both smaller than 512 KiB."""
    number = recordings(made)[-1]
    for form in FORMS:
        made.resize_recording(number, form=form, total_nbytes=300_000)
    return number


def true(made: Account, number: int, form: str) -> bytes:
    """The bytes of the recording."""
    found = made.recording_object(number, form=form)
    assert found is not None
    return found.read()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("checks_modes", [True, False])
@pytest.mark.parametrize("which", [{}, {"v1": False}, {"v2": False}], ids=["both", "v2", "v1"])
@pytest.mark.parametrize("options", [Options(), NO_DATE], ids=["old", "no date"])
async def test_what_it_costs(world, form, checks_modes, which, options):
    """From the first look to the end: one request for the bytes, and one for the metadata only where the answer does
    not say that the file is old and v2 can be asked. A second look asks nothing."""
    if {"mp3": "v2", "wav": "v1"}[form] in which:
        pytest.skip("the other API's")
    made = account()
    number = a_small_one(made)
    async with world(made, options=options, **which) as mount:
        kernel = Kernel(mount.operations, checks_modes=checks_modes)
        path = f"recordings/{number}.{form}"
        assert await kernel.read(path) == true(made, number, form)
        await idle(mount)
        body = {"mp3": "getCallRecordingMp3", "wav": "getRecording"}[form]
        metadata = {"getCallRecording": 1} if options is NO_DATE and which.get("v2", True) else {}
        assert asked(mount) == {body: 1, **metadata}
        mount.standin.log.clear()
        assert await kernel.read(path) == true(made, number, form)
        assert (await kernel.stat(path)).st_size == 300_000
        assert asked(mount) == {}


async def test_other_files_cost_one_body(world):
    """Dynamic recordings and public media cost only their body; other media cost their metadata too, since they are
    listed then."""
    made = account()
    made.media.add_dynamic(DynamicName(hash_code="abcdefgh", year="2012", month="8", campaign="5", filename="a.wav"))
    async with world(made) as mount:
        assert await mount.kernel.read("dynamic/abcdefgh/2012/8/5/a.wav")
        assert asked(mount) == {"getDynamic": 1}
        mount.standin.log.clear()
        media_id = made.media.media_ids()[0]
        row = made.media.media_row(media_id, root_url="http://127.0.0.1")
        extension = row["publicUrl"].rpartition(".")[2]
        assert await mount.kernel.read(f"media/{media_id}.{extension}")
        await idle(mount)
        assert asked(mount) == {"getMediaData": 1, "getMedia": 1}
        assert mount.catalog.media_file(media_id) is not None


async def test_raw_media(world):
    """`media/{id}` is the file whatever its type, text too, by one request for the bytes and one for the metadata; an
    error page in its place is EIO, and what is missing costs a request to each."""
    made = Account(seed=5, calls=4, media=16)
    types = {made.media.extension(media_id): media_id for media_id in made.media.media_ids()}
    assert {"vcf", "", "mp3"} <= types.keys()
    async with world(made) as mount:
        for extension, media_id in types.items():
            mount.standin.log.clear()
            found = made.media.media_object(media_id)
            assert await mount.kernel.read(f"media/{media_id}") == found.read()
            await idle(mount)
            bodies = 3 if extension == "vcf" else 1  # text is taken for a passing page, twice, until the metadata come
            assert asked(mount) == {"getMediaDataBinary": bodies, "getMedia": 1}, extension
        mount.standin.log.clear()
        with refused(errno.ENOENT):
            await mount.kernel.read("media/88")
        await idle(mount)
        assert sum(asked(mount).values()) == 2


async def test_a_page_in_place_of_raw_media(world, caplog):
    """A page that comes as the bytes of a sound is an error, whichever of bytes and metadata comes first."""
    made = account()
    media_id = next(i for i in made.media.media_ids() if made.media.extension(i) == "mp3")
    made.replace_object(f"/v2/media/{media_id}/file", data=b"<html><body>Sorry, come again</body></html>")
    async with world(made) as mount:
        for _ in range(2):
            with refused(errno.EIO):
                await mount.kernel.read(f"media/{media_id}")
    assert "page" in caplog.text


@pytest.mark.parametrize("form", FORMS)
async def test_metadata_that_hang(world, form):
    """Metadata that are not answered delay no reader: the bytes are read, and kept nowhere."""
    made = account()
    number = a_small_one(made)
    async with world(made, options=NO_DATE) as mount:
        rule = mount.standin.faults.add("hang", path=f"calls/recordings/{number}$")
        path = f"recordings/{number}.{form}"
        with trio.fail_after(1):
            for _ in range(2):
                assert await mount.kernel.read(path) == true(made, number, form)
        assert mount.catalog.fact(f"recording/{number}.{form}") is None
        mount.standin.faults.remove(rule)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", [{"kind": "status", "code": 500}, {"kind": "reset"}], ids=["500", "reset"])
async def test_metadata_that_fail(world, form, fault):
    """Where the metadata fail, the bytes are read, and none of them is kept."""
    made = account()
    number = a_small_one(made)
    async with world(made, options=NO_DATE) as mount:
        options = dict(fault)
        mount.standin.faults.add(options.pop("kind"), path=f"calls/recordings/{number}$", **options)
        path = f"recordings/{number}.{form}"
        assert await mount.kernel.read(path) == true(made, number, form)
        await idle(mount)
        assert mount.objects.held_nbytes(f"recording/{number}.{form}") == 0
        mount.standin.faults.clear()
        assert await mount.kernel.read(path) == true(made, number, form)
        await idle(mount)
        assert mount.objects.held_nbytes(f"recording/{number}.{form}") == 300_000


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", [404, 410, 403, 405])
async def test_bytes_without_metadata(world, form, code):
    """Where v2 denies a file that gives bytes, the bytes are the file."""
    made = account()
    number = a_small_one(made)
    async with world(made, options=NO_DATE) as mount:
        mount.standin.faults.add("status", path=f"calls/recordings/{number}$", code=code)
        path = f"recordings/{number}.{form}"
        assert await mount.kernel.read(path) == true(made, number, form)
        await idle(mount)
        assert mount.objects.held_nbytes(f"recording/{number}.{form}") == 300_000


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("state", ["READY", "ERROR"])
async def test_metadata_without_bytes(world, form, state):
    """A file that v2 describes and that has no bytes is missing."""
    made = account()
    number = a_small_one(made)
    made.set_recording(number, state=state)
    async with world(made) as mount:
        mount.standin.faults.add("status", path=rf"{number}\.mp3$|files/recording/{number}$", code=404)
        with refused(errno.ENOENT):
            await mount.kernel.read(f"recordings/{number}.{form}")


@pytest.mark.parametrize("form", FORMS)
async def test_being_made_and_nothing_given_out(world, form):
    """Where v2 says that the recording is in progress, the file exists and is empty; it is not missing."""
    made = account()
    number = a_small_one(made)
    made.set_recording(number, state="RECORDING")
    async with world(made) as mount:
        bodies = rf"{number}\.mp3$|recordings/[^/]*\.mp3$|files/recording/{number}$"
        mount.standin.faults.add("status", path=bodies, code=404)
        assert (await mount.kernel.stat(f"recordings/{number}.{form}")).st_size == 0
        assert await mount.kernel.read(f"recordings/{number}.{form}") == b""


@pytest.mark.parametrize("form", FORMS)
async def test_being_made_and_a_whole_body(world, form):
    """Where v2 says that the recording is in progress, a body that looks whole is kept nowhere."""
    made = account()
    number = a_small_one(made)
    made.set_recording(number, state="RECORDING")
    async with world(made, options=NO_DATE) as mount:
        assert await mount.kernel.read(f"recordings/{number}.{form}") == true(made, number, form)
        await idle(mount)
        assert mount.objects.held_nbytes(f"recording/{number}.{form}") == 0
        assert mount.catalog.fact(f"recording/{number}.{form}") is None


@pytest.mark.parametrize("told_nbytes", [0, 7, 10**9])
@pytest.mark.parametrize("form", FORMS)
async def test_another_size_than_told(world, form, told_nbytes):
    """The size is that of the body, whatever v2 said."""
    made = account()
    number = a_small_one(made)
    made.set_recording(number, lengthInBytes=told_nbytes)
    async with world(made, options=NO_DATE) as mount:
        path = f"recordings/{number}.{form}"
        for _ in range(2):
            assert (await mount.kernel.stat(path)).st_size == 300_000
            assert await mount.kernel.read(path) == true(made, number, form)
            await idle(mount)


async def test_broken_by_the_metadata(world, caplog):
    """In state ERROR the MP3 is refused once v2 has said so."""
    made = account()
    number = a_small_one(made)
    made.set_recording(number, state="ERROR")
    async with world(made, options=NO_DATE) as mount:
        await mount.kernel.stat(f"recordings/{number}.mp3")
        await idle(mount)
        with refused(errno.EIO):
            await mount.kernel.read(f"recordings/{number}.mp3")
    assert "state ERROR" in caplog.text


@pytest.mark.parametrize("form", FORMS)
async def test_a_body_that_hangs(world, form):
    """Where the body does not come and v2 knows the recording, stat shows v2's hint; an open of it waits in vain."""
    made = account()
    number = a_small_one(made)
    made.set_recording(number, lengthInBytes=300_000, lengthInSeconds=100)
    async with world(made, timeout_seconds=6.0, budget_seconds=3.0) as mount:
        mount.standin.faults.add("hang", path=rf"{number}\.mp3$|files/recording/{number}$")
        inode = (await mount.kernel.walk(f"recordings/{number}.{form}")).st_ino
        began = trio.current_time()
        if form == "mp3":
            assert (await mount.operations.getattr(inode, CONTEXT)).st_size == 300_000
            assert trio.current_time() - began < 2.5
        with refused(errno.ETIMEDOUT):
            await mount.kernel.open(inode)


@pytest.mark.parametrize("form", FORMS)
async def test_denied_by_both(world, form):
    """A file that neither API knows is missing, for one request to each, and for no request within the next 30 s."""
    async with world(account()) as mount:
        for _ in range(3):
            with refused(errno.ENOENT):
                await mount.kernel.read(f"recordings/88.{form}")
        assert sum(asked(mount).values()) <= 3  # and, once a mount, whether v2 has recordings by id at all


@pytest.mark.parametrize("form", FORMS)
async def test_a_name_denied_then_made(world, mock_clock: MockClock, form):
    """A recording that appears is there at most 30 s after it was denied, and is not asked for before."""
    made = account()
    number = a_small_one(made)
    async with world(made) as mount:
        mount.standin.faults.add("status", path=rf"recordings?/{number}(\.mp3)?$", code=404)
        path = f"recordings/{number}.{form}"
        with refused(errno.ENOENT):
            await mount.kernel.read(path)
        mount.standin.faults.clear()
        mount.standin.log.clear()
        mock_clock.jump(29)
        with refused(errno.ENOENT):
            await mount.kernel.read(path)
        assert asked(mount) == {}
        mock_clock.jump(2)
        assert await mount.kernel.read(path) == true(made, number, form)


@pytest.mark.parametrize("form", FORMS)
async def test_proven_then_gone(world, mock_clock: MockClock, form):
    """A file that was read once, and is then gone at the service, stays readable from here, and is missing once its
    bytes are dropped."""
    made = account()
    number = a_small_one(made)
    async with world(made) as mount:
        path = f"recordings/{number}.{form}"
        assert await mount.kernel.read(path) == true(made, number, form)
        mount.standin.faults.add("status", path=rf"recordings?/{number}(\.mp3)?$", code=404)
        assert await mount.kernel.read(path) == true(made, number, form)
        mock_clock.jump(10)
        mount.cache.drop_object(f"recording/{number}.{form}")
        with refused(errno.ENOENT):
            await mount.kernel.read(path)


@pytest.mark.parametrize("options", [Options(honour_ranges=False), Options(send_length=False)])
async def test_odd_origins(world, options):
    """An origin that ignores ranges, or gives no length, gives whole files for one request each."""
    made = account()
    number = a_small_one(made)
    async with world(made, options=options) as mount:
        for form in FORMS:
            assert await mount.kernel.read(f"recordings/{number}.{form}") == true(made, number, form)
        await idle(mount)
        assert asked(mount)["getCallRecordingMp3"] == asked(mount)["getRecording"] == 1
