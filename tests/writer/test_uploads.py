"""Uploads from create to the last close, with real spool files.

The service answers as the tests ask it to.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from cffs.catalog.single_flight import SingleFlight
from cffs.catalog.store import Catalog
from cffs.core.errors import (
    ActRefused,
    ActUncertain,
    AlreadyExists,
    AlreadySent,
    Busy,
    CffsError,
    ContentRefused,
    DuplicateMedia,
    OriginUnreachable,
    RemoteObjectMissing,
    StaleHandle,
    TooLarge,
)
from cffs.core.v2_parsers import parse_media
from cffs.core.values import Media, Page
from cffs.daemon.background import open_background
from cffs.writer.sender import Sender
from cffs.writer.spool import Spool
from cffs.writer.uploads import Uploads

WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(100_000)
LIMIT = 200_000
NOBODY = 2**22 + 1


@dataclass
class Service:
    """The operations that an upload needs. `failure` is raised by the next upload, `hold` keeps it waiting."""

    got: list[tuple[str | None, str, bytes]] = field(default_factory=list)
    media: dict[int, Media] = field(default_factory=dict)
    failure: CffsError | None = None
    describes: bool = True
    hold: trio.Event | None = None
    begun: int = 0

    async def create_media(
        self,
        content: AsyncIterable[bytes],
        *,
        nbytes: int,
        filename: str,
        name: str | None = None,
        content_type: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Accept a file."""
        self.begun += 1
        body = b""
        async for chunk in content:
            body += chunk
            if progress is not None:
                progress(len(body))
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        assert len(body) == nbytes
        self.got.append((name, content_type, body))
        return self.add(str(name), content_type)

    def add(self, name: str, content_type: str = "audio/x-wav") -> int:
        """The file exists."""
        media_id = 1000 + len(self.media)
        self.media[media_id] = parse_media({"id": media_id, "name": name, "mediaType": content_type, "created": 5})
        return media_id

    async def get_media(self, media_id: int) -> Media:
        """Describe a file."""
        if not self.describes:
            raise RemoteObjectMissing("not yet")
        return self.media[media_id]

    async def find_media(self, *, limit: int, offset: int, name_filter: str | None = None) -> Page[Media]:
        """List the files of a name."""
        items = tuple(media for media in self.media.values() if (name_filter or "") in media.name)
        return Page(items=items, limit=limit, offset=offset, total=len(items), received=len(items), refused=0)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a test looks into."""

    uploads: Uploads
    service: Service
    catalog: Catalog
    folder: Path
    appeared: list[int]

    def spooled(self) -> list[bytes]:
        """The files in the spool."""
        return [path.read_bytes() for path in self.folder.glob("*/*")]

    async def write(self, name: str, body: bytes = WAV) -> None:
        """Open, write, close."""
        _upload, handle = await self.uploads.create(name, NOBODY)
        await handle.write(0, body)
        try:
            await handle.flush()
        finally:
            await handle.release()


@asynccontextmanager
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    """The uploads of a mount with an empty account."""
    folder = tmp_path / "spool"
    folder.mkdir()
    appeared: list[int] = []
    service = Service()
    async with open_background() as background, Catalog.opened(tmp_path / "catalog.sqlite") as catalog:
        questions = SingleFlight(background, timeout_seconds=5, is_offline=lambda _api: False)
        sender = Sender(service, catalog=catalog, single_flight=questions, wall_ms=lambda: 7, appeared=appeared.append)
        uploads = Uploads(
            spool=Spool(folder),
            sender=sender,
            background=background,
            limit_nbytes=LIMIT,
            inode_of=lambda number: 10**12 + number,
            wall_ms=lambda: 7,
        )
        yield Made(uploads=uploads, service=service, catalog=catalog, folder=folder, appeared=appeared)
        await uploads.aclose()
        assert background.bugs == 0


async def settled() -> None:
    """Return once the background has nothing left to do."""
    for _ in range(50):
        await trio.sleep(0.002)


async def test_the_last_close_sends(tmp_path):
    """What was written is sent at close, under its stem. The file is in the catalogue, the kernel looks its names up
    again, and the name that was written stands for it. What stood in for it is given up once the service serves it."""
    async with made(tmp_path) as world:
        await world.write("On hold. 1.wav")
        assert world.service.got == [("On hold. 1", "audio/x-wav", WAV)]
        assert world.appeared == [1000]
        row = world.catalog.media_file(1000)
        assert row is not None
        assert (row.stem, row.extension, row.created_ms) == ("On hold. 1", "wav", 5)
        assert world.uploads.find("On hold. 1.wav") is None
        assert world.uploads.uploaded.media_id("On hold. 1.wav") == 1000
        stand_in = world.uploads.stand_in(1000)
        assert stand_in is not None
        assert await stand_in.read(0, 4) == b"RIFF"
        world.uploads.served(1000)
        assert await stand_in.read(0, 4) == b"RIFF", "whoever reads it goes on"
        await stand_in.release()
        assert world.uploads.stand_in(1000) is None
        await settled()
        assert world.spooled() == []


async def test_a_file_that_the_service_does_not_describe(tmp_path):
    """Where the service has no description, what was sent describes the file."""
    async with made(tmp_path) as world:
        world.service.describes = False
        await world.write("tune.wav")
        row = world.catalog.media_file(1000)
        assert row is not None
        assert (row.stem, row.extension, row.hint_nbytes, row.created_ms) == ("tune", "wav", len(WAV), 7)


async def test_closes_at_the_same_time(tmp_path):
    """Two closes at once are one request, and both get its result, good or bad."""
    for failure in (None, ActRefused("no")):
        async with made(_fresh(tmp_path, failure)) as world:
            world.service.hold, world.service.failure = trio.Event(), failure
            upload, first = await world.uploads.create("tune.wav", NOBODY)
            second = world.uploads.open(upload, writes=True, pid=NOBODY)
            await first.write(0, WAV)
            ends: list[object] = []

            async def close(handle=first, ends=ends):
                try:
                    await handle.flush()
                    ends.append(None)
                except CffsError as problem:
                    ends.append(problem)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(close, first)
                nursery.start_soon(close, second)
                while not world.service.begun:
                    await trio.sleep(0.001)
                with pytest.raises((AlreadySent, ActUncertain)):
                    await first.write(0, b"late")
                with pytest.raises(Busy):
                    world.uploads.open(upload, writes=True, pid=NOBODY)
                with pytest.raises(Busy):
                    world.uploads.remove(upload)
                world.service.hold.set()
            assert ends == [failure, failure]
            assert world.service.begun == 1
            for handle in (first, second):
                await handle.release()


def _fresh(tmp_path: Path, what: object) -> Path:
    folder = tmp_path / type(what).__name__
    folder.mkdir()
    return folder


async def test_writing_on_after_it_was_sent(tmp_path):
    """Where /proc shows no other descriptor the first close sends, and what is written after it is refused."""
    async with made(tmp_path) as world:
        _upload, handle = await world.uploads.create("tune.wav", NOBODY)
        await handle.write(0, WAV)
        await handle.flush()
        with pytest.raises(AlreadySent):
            await handle.write(5, b"more")
        await handle.flush()
        await handle.release()
        assert world.service.begun == 1


async def test_nothing_is_sent_without_bytes(tmp_path):
    """A file into which nothing was written is forgotten at its last release; one with a temporary name is kept."""
    async with made(tmp_path) as world:
        for name in ("tune.wav", "tune.part"):
            upload, handle = await world.uploads.create(name, NOBODY)
            await handle.flush()
            await handle.release()
            assert (world.uploads.find(name) is None) == (name == "tune.wav")
        with pytest.raises(ContentRefused):
            await world.uploads.rename(upload, "tune.wav", replaces=True)
        assert world.service.begun == 0


async def test_the_rename_sends(tmp_path):
    """A file with a temporary name is sent by the rename to a name of a media type, also over an empty file. Renamed to
    another temporary name, it only has that. A rename that fails leaves the old name and its bytes."""
    async with made(tmp_path) as world:
        await world.write("tune.part")
        upload = world.uploads.find("tune.part")
        assert upload is not None
        assert world.service.begun == 0
        await world.uploads.rename(upload, "tune.tmp", replaces=True)
        assert [path.name for path in world.folder.glob("*/*")] == ["tune.tmp"]
        for wrong in ("tune.txt", "tune.mp3", "tune.png"):
            with pytest.raises(ContentRefused):
                await world.uploads.rename(upload, wrong, replaces=True)
        world.service.failure = ActRefused("not today")
        with pytest.raises(ActRefused):
            await world.uploads.rename(upload, "tune.wav", replaces=True)
        assert world.uploads.find("tune.tmp") is upload
        _other, placeholder = await world.uploads.create("tune.wav", NOBODY)
        with pytest.raises(AlreadyExists):
            await world.uploads.rename(upload, "tune.wav", replaces=False)
        await world.uploads.rename(upload, "tune.wav", replaces=True)
        await placeholder.release()
        assert world.service.got == [("tune", "audio/x-wav", WAV)]
        assert world.uploads.find("tune.tmp") is world.uploads.find("tune.wav") is None
        assert world.uploads.uploaded.media_id("tune.wav") == 1000


async def test_a_removed_file_is_never_sent(tmp_path):
    """A file that is removed while it is open takes bytes in vain, and nothing of it stays."""
    async with made(tmp_path) as world:
        upload, handle = await world.uploads.create("tune.wav", NOBODY)
        await handle.write(0, WAV)
        world.uploads.remove(upload)
        assert world.uploads.find("tune.wav") is None
        await handle.write(0, WAV)
        await handle.flush()
        await handle.release()
        with pytest.raises(StaleHandle):
            world.uploads.get(upload.number)
        await settled()
        assert (world.service.begun, world.spooled()) == (0, [])


async def test_what_lacks_a_piece_is_not_sent(tmp_path):
    """A write that was refused is refused again at close, until the file is emptied and written afresh."""
    async with made(tmp_path) as world:
        upload, handle = await world.uploads.create("tune.wav", NOBODY)
        await handle.write(0, WAV)
        with pytest.raises(TooLarge):
            await handle.write(LIMIT - 1, b"xx")
        for attempt in (handle.flush(), handle.fsync(), handle.write(0, b"R")):
            with pytest.raises(TooLarge):
                await attempt
        assert world.service.begun == 0
        await handle.truncate(0)
        await handle.write(0, WAV)
        await handle.flush()
        await handle.release()
        assert upload.media_id == 1000
        with pytest.raises(TooLarge):
            _other, more = await world.uploads.create("other.wav", NOBODY)
            await more.truncate(LIMIT + 1)


@pytest.mark.parametrize(
    "failure", [ActRefused("no"), OriginUnreachable("no network"), ActUncertain("the upload", "reset")]
)
async def test_a_refusal_leaves_nothing(tmp_path, failure):
    """Whatever the reason of the service's refusal, the name is gone, and so are the bytes."""
    async with made(tmp_path) as world:
        world.service.failure = failure
        with pytest.raises(type(failure)):
            await world.write("tune.wav")
        await settled()
        assert (world.uploads.find("tune.wav"), world.uploads.uploaded.media_id("tune.wav")) == (None, None)
        assert world.spooled() == []
        await world.write("tune.wav")
        assert world.service.begun == 2


async def test_what_is_there_already_appears(tmp_path):
    """A duplicate's own entry is in the catalogue; after a lost answer, what the service has under that name."""
    async with made(tmp_path) as world:
        there = world.service.add("older")
        world.service.failure = DuplicateMedia(there)
        with pytest.raises(DuplicateMedia):
            await world.write("tune.wav")
        assert world.appeared == [there]
        lost = world.service.add("tune")
        world.service.add("tune of another name")
        world.service.failure = ActUncertain("the upload", "reset")
        with pytest.raises(ActUncertain):
            await world.write("tune.wav")
        assert world.appeared == [there, lost]
        assert world.catalog.media_file(lost) is not None


async def test_a_cancelled_upload_is_not_sent_again(tmp_path):
    """A close that is cut off says nothing of what became of the file: later closes report that, and the upload is not
    repeated."""
    async with made(tmp_path) as world:
        world.service.hold = trio.Event()
        _upload, handle = await world.uploads.create("tune.wav", NOBODY)
        await handle.write(0, WAV)
        with trio.move_on_after(0.2) as scope:
            await handle.flush()
        assert scope.cancelled_caught
        world.service.hold = None
        with pytest.raises(ActUncertain):
            await handle.flush()
        await handle.release()
        assert world.service.begun == 1


async def test_what_is_kept_when_the_mount_ends(tmp_path):
    """At the end, what was not sent stays in the spool under its name; everything else is removed from it."""
    async with made(tmp_path) as world:
        await world.write("sent.wav")
        await world.write("unsent.part")
        await world.uploads.create("empty.wav", NOBODY)
        assert len(world.spooled()) == 3
    assert [(path.name, path.read_bytes()) for path in world.folder.glob("*/*")] == [("unsent.part", WAV)]


async def test_what_status_tells(tmp_path):
    """status.json shows the files under way, how far they are, and how many there were."""
    async with made(tmp_path) as world:
        await world.write("sent.wav")
        world.service.failure = ActRefused("no")
        with pytest.raises(ActRefused):
            await world.write("refused.wav")
        _upload, handle = await world.uploads.create("now.wav", NOBODY)
        await handle.write(0, b"RIFF")
        assert world.uploads.report()["uploads"] == {
            "sent": 1,
            "refused": 1,
            "active": [{"name": "now.wav", "state": "writing", "bytes": 4, "sent_bytes": 0}],
            "refusals": [{"time": "1970-01-01T00:00:00+00:00", "name": "refused.wav", "reason": "no"}],
        }
        await handle.release()


async def test_every_refusal_is_told_with_its_reason(tmp_path):
    """A name that is no media name, a content of another type, a file that is too large, and the service's own refusal
    are listed once each, under the name that was written, with the reason; the last ten are kept."""
    async with made(tmp_path) as world:
        with pytest.raises(ContentRefused):
            await world.write("song.xyz")
        with pytest.raises(ContentRefused):
            await world.write("page.wav", b"<html>no audio</html>" * 100)
        _upload, handle = await world.uploads.create("long.wav", NOBODY)
        with pytest.raises(TooLarge):
            await handle.write(0, bytes(LIMIT + 1))
        with pytest.raises(TooLarge):
            await handle.flush()
        await handle.release()
        world.service.failure = ActRefused("the type is not one of ours")
        with pytest.raises(ActRefused):
            await world.write("tune.wav")
        told = world.uploads.report()["uploads"]["refusals"]
        assert [one["name"] for one in told] == ["song.xyz", "page.wav", "long.wav", "tune.wav"]
        assert told[-1]["reason"] == "the type is not one of ours"
        assert all(one["reason"] for one in told)
        for number in range(12):
            with pytest.raises(ContentRefused):
                await world.write(f"{number}.xyz")
        assert [one["name"] for one in world.uploads.report()["uploads"]["refusals"]] == [
            f"{n}.xyz" for n in range(2, 12)
        ]
