"""One inode is one version: its size and its pages.

This holds whichever machine of the service answers, and whichever program looks meanwhile.
"""

import errno
import itertools
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pyfuse3
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from cffs.core.source import v2_recording
from cffs.standin.account import Account
from cffs.standin.answers import Options
from cffs.standin.objects import StandinObject
from cffs.standin.server import Standin
from tests.conftest import EXPLORES
from tests.fuse.kernel import CONTEXT, READ_NBYTES, refused
from tests.fuse.kernelless_mount import World, built, settings_of
from tests.fuse.pages import Opened, PageCache
from tests.reader.simulated_link import MIB, disk_in

FILES = 6
NBYTES = 300_001
#: Which versions the machines of the service have of the file that changes, in the order in which they answer: two of
#: one size, and one of another.
SERVED = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2, 0))


def account() -> Account:
    """A folder of files of one size. The sizes that its listing gives are other ones."""
    made = Account(seed=7, calls=FILES, media=0, dynamic=0)
    for number in recordings(made):
        made.resize_recording(number, form="mp3", total_nbytes=NBYTES)
        made.set_recording(number, lengthInBytes=NBYTES - 1000)
    return made


def recordings(made: Account) -> list[int]:
    return sorted(number for call_id in made.call_ids() for number in made.recording_ids(call_id))


def below(number: int) -> str:
    return f"/v2/calls/recordings/{number}.mp3"


class Service:
    """One file of several versions, which the machines of the service have in turn."""

    def __init__(self, standin: Standin, number: int) -> None:
        made = standin.account
        self._faults, self.path = standin.faults, below(number)
        self.versions: list[StandinObject] = []
        for data in (None, made.object_for(self.path).read()[::-1], made.object_for(self.path).read()[5:]):
            if data is not None:
                made.replace_object(self.path, data=data)
            self.versions.append(made.object_for(self.path))
        self._rule = 0
        self.serve((0,))

    def serve(self, turns: tuple[int, ...]) -> None:
        self._faults.remove(self._rule)
        objects = itertools.cycle([self.versions[number] for number in turns])
        self._rule = self._faults.add("other_machine", path=self.path.replace(".", r"\."), objects=objects)


class Play:
    """Plays steps through the page cache; every check is made here."""

    def __init__(self, world: World, clock: MockClock) -> None:
        self.world, self.clock = world, clock
        self.pages = PageCache(world.kernel, world.invalidated)
        self.numbers = recordings(world.account)
        self.changing = self.numbers[3]
        self.service = Service(world.standin, self.changing)
        self.bodies = [version.read() for version in self.service.versions]
        self.held: dict[int, tuple[Opened, set[int]]] = {}

    def path(self, number: int) -> str:
        return f"recordings/{number}.mp3"

    async def step(self, name: str, first: int, second: int) -> None:
        match name:
            case "serve":
                self.service.serve(SERVED[first])
            case "walk":
                await self.walk()
            case "open":
                await self.open(first)
            case "read":
                await self.read(first, second)
            case "close":
                await self.close(first)
            case "stat":
                assert await self.pages.stat(self.path(self.changing)) > 0
            case "list":
                await self.world.kernel.listing("recordings")
            case "pages":
                self.pages.drop(await self.world.kernel.inode(self.path(self.changing)))
            case "memory":
                self.world.cache.drop_object(f"recording/{self.changing}.mp3")
            case "all":
                for slot in list(self.held):
                    await self.close(slot)
                await self.pages.drop_everything()
            case "later":
                self.clock.jump(6)

    async def walk(self) -> None:
        """Read every file in the folder's order, as `cp -r` does: the following files are read ahead."""
        for number in self.numbers:
            if number == self.changing:
                await self.open(3)
                await self.read(3, 0)
                await self.read(3, NBYTES - 10)
                await self.close(3)
                continue
            file = await self.pages.open(self.path(number))
            true = self.world.account.object_for(below(number)).read()
            assert await self.pages.read(file, 0, NBYTES + 1) == true
            await self.pages.close(file)

    async def open(self, slot: int) -> None:
        await self.close(slot)
        try:
            file = await self.pages.open(self.path(self.changing))
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            return
        size = await self.pages.fstat(file.inode)
        versions = {n for n, body in enumerate(self.bodies) if len(body) == size}
        assert versions, f"fstat after open says {size}, which no version has"
        self.held[slot] = file, versions

    async def read(self, slot: int, offset: int, *, is_certain: bool = False) -> None:
        if slot not in self.held and not is_certain:
            return
        file, versions = self.held[slot]
        try:
            data = await self.pages.read(file, offset, READ_NBYTES)
        except OSError as error:
            if error.errno != errno.ESTALE or is_certain:
                raise
            return
        versions &= {n for n in versions if data == self.bodies[n][offset : offset + READ_NBYTES]}
        assert versions, "bytes of no version, or of two, or behind the end"
        assert await self.pages.fstat(file.inode) == len(self.bodies[min(versions)])

    async def close(self, slot: int) -> None:
        held = self.held.pop(slot, None)
        if held is not None:
            await self.pages.close(held[0])

    async def in_peace(self) -> None:
        """One machine is left. What is kept of an earlier version may still be read, and the first pass may find that
        it is gone. The next passes meet no error, and the last one reports no change."""
        for slot in list(self.held):
            await self.close(slot)
        self.service.serve((2,))
        versions = []
        for number in range(3):
            self.clock.jump(6)
            await self.walk()
            await self.open(0)
            for offset in range(0, NBYTES + READ_NBYTES, READ_NBYTES):
                await self.read(0, offset, is_certain=number > 0)
            await self.close(0)
            versions.append(self.world.catalog.fact(f"recording/{self.changing}.mp3").version)
        assert versions[1] == versions[2]


STEP = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("read"), st.integers(0, 2), st.sampled_from([0, 5000, READ_NBYTES, NBYTES - 10, NBYTES])),
    st.tuples(st.just("read"), st.integers(0, 2), st.sampled_from([0, NBYTES - 10])),
    st.tuples(st.just("serve"), st.integers(0, len(SERVED) - 1), st.just(0)),
    st.tuples(
        st.sampled_from(["walk", "stat", "list", "pages", "memory", "all", "later", "close"]),
        st.integers(0, 2),
        st.just(0),
    ),
)


@pytest.mark.timeout(300)
@settings(max_examples=200 if EXPLORES else 12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, min_size=3, max_size=16), has_disk=st.booleans())
def test_versions_through_the_page_cache(steps: list[tuple[str, int, int]], has_disk: bool) -> None:
    """Whichever machine answers, whichever program looks, whatever is evicted: fstat after open shows the size of one
    version, and all pages are that version's. Once things are quiet there is no error, no change and no further
    request."""

    async def main(folder: Path, clock: MockClock) -> None:
        async with AsyncExitStack() as stack:
            standin = await stack.enter_async_context(Standin(account()))
            disk = disk_in(folder / "blocks") if has_disk else None
            told = settings_of(standin, folder, memory_nbytes=4 * MIB)
            world = await stack.enter_async_context(built(standin, told, folder, 5.0, disk=disk))
            await world.kernel.listing("recordings")
            play = Play(world, clock)
            await play.walk()
            for step in steps:
                await play.step(*step)
            await play.in_peace()
            world.honest()

    clock = MockClock()
    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, Path(folder), clock, clock=clock)


@pytest.mark.parametrize("now", [0, 2])
async def test_a_folder_in_order_after_a_change(world, mock_clock: MockClock, now: int) -> None:
    """A file that was read ahead in one pass, and changed afterwards, is read ahead and opened in its version of now in
    the next pass: its size is right while it is open, the change is reported once, and nothing is fetched twice."""
    async with world(account(), memory_nbytes=MIB) as mount:
        play = Play(mount, mock_clock)
        await mount.kernel.listing("recordings")
        for _ in range(2):
            await play.walk()
        play.service.serve((2,))
        play.pages.drop(await mount.kernel.inode(play.path(play.changing)))
        mount.cache.drop_object(f"recording/{play.changing}.mp3")
        file = await play.pages.open(play.path(play.changing))
        with pytest.raises(OSError, match="Stale"):
            await play.pages.read(file, 0, READ_NBYTES)
        await play.pages.close(file)
        play.service.serve((now,))
        for turn in range(3):
            mock_clock.jump(6)
            mount.cache.drop_object(f"recording/{play.changing}.mp3")
            for number in play.numbers[:3]:
                await mount.kernel.read(play.path(number))
            file = await play.pages.open(play.path(play.changing))
            nbytes = len(play.bodies[now])
            assert await play.pages.fstat(file.inode) == nbytes
            assert await play.pages.read(file, nbytes - 10, READ_NBYTES) == play.bodies[now][-10:]
            await play.pages.close(file)
            fact = mount.catalog.fact(f"recording/{play.changing}.mp3")
            assert (fact.version, fact.nbytes) == (1, nbytes), turn


@pytest.mark.parametrize("data", [b"\xff\xfb" + bytes(5000), b"\xff" * NBYTES], ids=["other size", "same size"])
@pytest.mark.parametrize("is_told", [True, False])
async def test_an_inode_is_one_version_however_its_change_was_learned(
    world, mock_clock: MockClock, data: bytes, *, is_told: bool
):
    """The object of an inode that was opened and closed has changed. The inode is not opened again, however the change
    was found."""
    async with world(account()) as mount:
        number = recordings(mount.account)[0]
        path, key = f"recordings/{number}.mp3", f"recording/{number}.mp3"
        await mount.kernel.read(path)
        inode = await mount.kernel.inode(path)
        mount.account.replace_object(below(number), data=data)
        new = mount.account.object_for(below(number))
        if is_told:
            mount.objects.forget(key)
        else:
            mock_clock.jump(6)
            source = mount.catalog.fact(key).source
            mount.catalog.learn(object_key=key, source=source, nbytes=len(data), validator=new.etag, modified_ns=None)
        with refused(errno.ESTALE):
            await mount.kernel.open(inode)
        assert await mount.kernel.inode(path) != inode
        assert await mount.kernel.read(path) == new.read()


async def test_what_is_shown_of_an_inode_of_an_earlier_version(world) -> None:
    """A program that has the inode open is shown its size until it closes it; afterwards the name is looked up
    again."""
    async with world(account()) as mount:
        number = recordings(mount.account)[0]
        path = f"recordings/{number}.mp3"
        async with mount.kernel.opened(path) as (inode, _info):
            mount.account.replace_object(below(number), data=b"\xff\xfb" + bytes(5000))
            mount.invalidated.clear()
            mount.objects.forget(f"recording/{number}.mp3")
            assert mount.invalidated == [inode]
            assert await mount.kernel.read(path) == mount.account.object_for(below(number)).read()
            assert (await mount.operations.getattr(inode, CONTEXT)).st_size == NBYTES
        with refused(errno.ESTALE):
            await mount.operations.getattr(inode, CONTEXT)
        assert (await mount.kernel.stat(path)).st_size == 5002


async def test_a_size_that_was_shown_before_the_first_open(world) -> None:
    """Whatever size an inode was shown, exact or not, and under however many names of its object: an open of it makes
    the kernel ask again, and the answer is the size of what is open."""
    async with world(account()) as mount:
        number = recordings(mount.account)[0]
        key, path = f"recording/{number}.mp3", f"recordings/{number}.mp3"
        source = v2_recording(number).key
        fact_of = {"object_key": key, "source": source, "validator": None, "modified_ns": None}
        mount.catalog.learn(nbytes=99, **fact_of)
        inode = await mount.kernel.inode(path)
        assert (await mount.operations.getattr(inode, CONTEXT)).st_size == 99
        mount.catalog.learn(nbytes=NBYTES, **fact_of)
        await trio.testing.wait_all_tasks_blocked()
        mount.invalidated.clear()
        info = await mount.kernel.open(inode)
        assert inode in mount.invalidated
        assert (await mount.operations.getattr(inode, CONTEXT)).st_size == NBYTES
        await mount.operations.release(info.fh)


async def test_no_page_is_kept_from_an_open_without_a_size(world) -> None:
    """Pages that a private mapping made before the size was known may end anywhere. The next open drops them, and from
    then on pages are kept."""
    made = account()
    number = recordings(made)[0]
    made.resize_recording(number, form="mp3", total_nbytes=3 * MIB)
    async with world(made, options=Options(send_length=False), timeout_seconds=0.9) as mount:
        mount.standin.link.bandwidth = 2 * MIB
        told = []
        for _ in range(3):
            async with mount.kernel.opened(f"recordings/{number}.mp3") as (inode, info):
                await mount.kernel.read_handle(inode, info)
                told.append((info.direct_io, info.keep_cache))
        assert told == [(True, False), (False, False), (False, True)]


# -- answers without bytes, and answers that do not agree --

#: Paths of every kind of file whose bytes are the service's, and what answers there.
EMPTIED = r"/(recordings/\d+\.mp3|files/recording/.*|media/.*)$"


async def test_a_body_without_bytes_is_no_file(world, tmp_path: Path) -> None:
    """While the service answers with an empty body, the open of any form is EIO, and stat never shows 0. Nothing is
    remembered, here or in the next mount: with the next true answer the file is read whole."""
    made = Account(seed=5, calls=3, media=2, dynamic=1)
    paths = every_form(made)
    for is_again in (False, True):
        async with world(made) as mount:
            rule = mount.standin.faults.add("body", path=EMPTIED, data=b"", content_type="audio/mpeg")
            for path in paths if not is_again else []:
                with refused(errno.EIO):
                    await mount.kernel.read(path)
                try:
                    assert (await mount.kernel.stat(path)).st_size > 0
                except pyfuse3.FUSEError as error:
                    if error.errno_ != errno.EIO:
                        raise
            mount.standin.faults.remove(rule)
            for path, remote in paths.items():
                assert await mount.kernel.read(path) == made.object_for(remote).read()


@pytest.mark.parametrize("content_range", ["bytes */0", "bytes */*", None])
async def test_an_empty_file_that_is_stated(world, mock_clock: MockClock, content_range: str | None) -> None:
    """An answer that no range can be satisfied states that a file is empty. Where no length and no duration is known,
    the file is shown empty for a few seconds; otherwise it is EIO."""
    made = Account(seed=5, calls=3, media=2, dynamic=1)
    mock_clock.rate = 1.0
    async with world(made) as mount:
        rule = mount.standin.faults.add("416", path=EMPTIED, content_range=content_range)
        for path in every_form(made):
            if path.startswith("dynamic"):
                async with mount.kernel.opened(path) as (inode, info):
                    assert (await mount.operations.getattr(inode, CONTEXT)).st_size == 0
                    assert await mount.operations.read(info.fh, 0, 4096) == b""
            else:
                with refused(errno.EIO):
                    await mount.kernel.read(path)
        mount.standin.faults.remove(rule)
        mock_clock.jump(6)
        await trio.testing.wait_all_tasks_blocked()
        for path, remote in every_form(made).items():
            assert await mount.kernel.read(path) == made.object_for(remote).read()


async def test_an_empty_file_that_its_metadata_tell_of(world) -> None:
    """A recording without bytes, of which v2 says so, is an empty file."""
    made = account()
    number = recordings(made)[0]
    made.set_recording(number, lengthInBytes=0, lengthInSeconds=0)
    async with world(made) as mount:
        await mount.kernel.listing("recordings")
        mount.standin.faults.add("body", path=below(number), data=b"", content_type="audio/mpeg")
        for _ in range(2):
            assert await mount.kernel.read(f"recordings/{number}.mp3") == b""
            assert mount.catalog.fact(f"recording/{number}.mp3") is None


def every_form(made: Account) -> dict[str, str]:
    """The path of one file of each kind, in the mount and at the service."""
    number, media_id, name = recordings(made)[0], made.media.media_ids()[0], next(iter(made.media.dynamic))
    return {
        f"recordings/{number}.mp3": below(number),
        f"recordings/{number}.wav": f"/cloud/1/files/recording/{number}",
        f"media/{media_id}": f"/v2/media/{media_id}/file",
        "dynamic/" + "/".join(name.parts): made.dynamic_path(name, form="wav"),
    }


async def test_validators_that_differ_with_each_answer(world, mock_clock: MockClock) -> None:
    """Whatever validator each answer has, a file is read by the first open, under one inode as long as its pages are
    kept, and no change is reported."""
    made = account()
    small, large = recordings(made)[:2]
    made.resize_recording(large, form="wav", total_nbytes=1_500_044)
    async with world(made) as mount:
        mount.standin.faults.add("new_validators")
        for number in (small, large):
            path, key = f"recordings/{number}.wav", f"recording/{number}.wav"
            true = made.object_for(f"/cloud/1/files/recording/{number}").read()
            for _ in range(2):
                assert await mount.kernel.read(path) == true
                mount.cache.drop_object(key)
                mock_clock.jump(6)
            assert mount.catalog.fact(key).nbytes == len(true)
