"""The attribute cache: attributes are shown again only while they hold."""

from collections.abc import Callable
from typing import Any

import pyfuse3
import pytest
import trio
import trio.testing

from cffs.core.ids import Inode
from cffs.core.source import v2_recording
from cffs.core.values import RecordingState
from cffs.fuse.attribute_cache import AttributeCache
from cffs.fuse.attributes import AttributeMaker
from cffs.standin.account import Account
from cffs.tree.contents import Remote
from cffs.tree.object_keys import object_key
from tests.fuse.kernel import CONTEXT, Token
from tests.fuse.kernelless_mount import NOW_NS, World

ONE = Inode(17)
FILES = 12


def account() -> Account:
    """A folder of files whose sizes its listing gives."""
    made = Account(seed=7, calls=FILES, media=0, dynamic=0)
    for number in recordings(made):
        made.resize_recording(number, form="mp3", total_nbytes=20_000 + number % 1000)
        made.set_recording(number, lengthInBytes=20_000 + number % 1000)
    return made


def recordings(made: Account) -> list[int]:
    """All values that a listing can give of a file."""
    return sorted(number for call_id in made.call_ids() for number in made.recording_ids(call_id))


def content_of(**changes: Any) -> Remote:
    """An MP3, as its listing describes it."""
    told = Remote("recording/1.mp3", (v2_recording(1),), hint_nbytes=7, created_ms=1)
    return told._replace(**changes)


def attributes_of(nbytes: int = 7, *, attr_timeout: float = 30.0, at_ns: int = 1_000_000) -> pyfuse3.EntryAttributes:
    """The attributes of a file."""
    attributes = pyfuse3.EntryAttributes()
    attributes.st_size, attributes.attr_timeout, attributes.st_mtime_ns = nbytes, attr_timeout, at_ns
    return attributes


def steady() -> AttributeCache:
    """A cache that may keep attributes: nothing has changed for a while."""
    kept = AttributeCache(most=3)
    kept.stamped("now")
    kept.stamped("now")
    return kept


def test_kept_as_they_were() -> None:
    """What was shown is shown again, whatever the object that it was made in shows meanwhile."""
    kept, shown = steady(), attributes_of()
    kept.keep(ONE, content_of(), shown, is_exact=False, now_ns=NOW_NS)
    shown.st_size = 8
    found = kept.get(ONE, content_of(sources=()))
    assert found is not None
    assert (found.attributes.st_size, found.is_exact, found.key) == (7, False, "recording/1.mp3")
    assert kept.get(Inode(18), content_of()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "recording/2.mp3"},
        {"hint_nbytes": 8},
        {"hint_nbytes": None},
        {"created_ms": 2},
        {"state": RecordingState.RECORDING},
        {"seen_ms": 1},
    ],
)
def test_not_where_the_listing_tells_otherwise(changes: dict[str, Any]) -> None:
    """Every value that a listing gives of a file counts."""
    kept = steady()
    kept.keep(ONE, content_of(), attributes_of(), is_exact=True, now_ns=NOW_NS)
    assert kept.get(ONE, content_of(**changes)) is None


@pytest.mark.parametrize("shown", [{"attr_timeout": 0.0}, {"at_ns": NOW_NS}])
def test_what_passes_is_not_kept(shown: dict[str, Any]) -> None:
    """Attributes that the kernel may not believe are not kept, nor is a time that moves with the clock."""
    kept = steady()
    kept.keep(ONE, content_of(), attributes_of(**shown), is_exact=True, now_ns=NOW_NS)
    assert not len(kept)


def test_void_once_the_stamp_is_another() -> None:
    """No attributes are kept before the stamp has stayed the same."""
    kept = steady()
    kept.keep(ONE, content_of(), attributes_of(), is_exact=True, now_ns=NOW_NS)
    kept.stamped("later")
    assert not len(kept)
    kept.keep(ONE, content_of(), attributes_of(), is_exact=True, now_ns=NOW_NS)
    assert not len(kept)
    kept.stamped("later")
    kept.keep(ONE, content_of(), attributes_of(), is_exact=True, now_ns=NOW_NS)
    assert len(kept) == 1


def test_never_more_than_may_be() -> None:
    """The cache is bounded, however many files there are. The first ones of a folder that does not fit stay, where the
    folder's next listing finds them, and are renewed where they change."""
    kept = steady()
    for number in range(1, 11):
        kept.keep(Inode(number), content_of(), attributes_of(), is_exact=True, now_ns=NOW_NS)
        assert 1 <= len(kept) <= 3
    kept.keep(Inode(2), content_of(), attributes_of(8), is_exact=True, now_ns=NOW_NS)
    found = [kept.get(Inode(number), content_of()) for number in range(1, 11)]
    assert [one and one.attributes.st_size for one in found] == [7, 8, 7, *[None] * 7]


def told(attributes: pyfuse3.EntryAttributes) -> tuple[Any, ...]:
    """Everything that the kernel is shown of a file."""
    names = ("st_ino", "st_mode", "st_size", "st_blocks", "st_mtime_ns", "st_uid", "attr_timeout", "entry_timeout")
    return tuple(getattr(attributes, name) for name in names)


class Made:
    """How many attributes of files listings had to make."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("make", "only_listed"):
            monkeypatch.setattr(AttributeMaker, name, self._counted(getattr(AttributeMaker, name)))

    def _counted(self, make: Callable[..., pyfuse3.EntryAttributes]) -> Callable[..., pyfuse3.EntryAttributes]:
        def counted(*given: Any, **named: Any) -> pyfuse3.EntryAttributes:
            self.count += make.__name__ == "only_listed" or named.get("is_listed", False)
            return make(*given, **named)

        return counted


async def listed(mount: World) -> list[pyfuse3.EntryAttributes]:
    """What a listing shows of the MP3s of recordings/, a few entries at a time."""
    found, after = [], 0
    async with mount.kernel.opened_folder("recordings") as handle:
        while True:
            token = Token(5, [])
            await mount.operations.readdir(handle, after, token)
            if not token.taken:
                return [attributes for name, attributes in found if name.endswith(b".mp3")]
            for name, attributes, place in token.taken:
                found.append((name, attributes))
                inode, after = attributes.st_ino, place
                mount.kernel.lookups[inode] = mount.kernel.lookups.get(inode, 0) + 1


async def require_true(mount: World) -> dict[str, tuple[Any, ...]]:
    """A listing, and the next one, show of each file what a stat of it shows, which is made afresh, if the kernel may
    believe it at all."""
    shown = {}
    for _which in range(2):
        found = await listed(mount)
        assert len(found) == FILES
        believed = [attributes for attributes in found if attributes.attr_timeout]
        assert len(believed) >= FILES - 2
        for attributes in believed:
            assert told(attributes) == told(await mount.operations.getattr(attributes.st_ino, CONTEXT))
        shown = {object_key(mount.inodes.node(attributes.st_ino)): told(attributes) for attributes in found}
    return shown


async def test_the_second_listing_makes_none(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second listing makes no attributes, even where the first had to wait for entries; its attributes can still be
    taken back from the kernel."""
    made = Made(monkeypatch)
    async with world(account(), v1=False) as mount:
        first = [told(attributes) for attributes in await listed(mount)]
        assert made.count >= FILES
        made.count = 0
        assert [told(attributes) for attributes in await listed(mount)] == first
        assert made.count <= 5  # those of the first reply
        made.count = 0
        assert [told(attributes) for attributes in await listed(mount)] == first
        assert not made.count
        await mount.kernel.forget_all()
        assert mount.inodes.lookups == 1
        assert [told(attributes) for attributes in await listed(mount)] == first
        assert not made.count
        # what is learned is taken back from the kernel as after any other listing
        number = int(recordings(mount.account)[0])
        mount.invalidated.clear()
        await mount.kernel.read(f"recordings/{number}.mp3")
        await trio.testing.wait_all_tasks_blocked()
        assert first[0][0] in mount.invalidated


async def test_whatever_happens_a_listing_shows_what_stat_shows(world) -> None:
    """Between two listings files are read, learned of, changed, dropped, described otherwise and forgotten. Each time
    one file is shown otherwise, and no other."""
    async with world(account()) as mount:
        # the last, so that nothing is read ahead
        *_rest, learned, rewritten, held, opened = recordings(mount.account)
        shown = await require_true(mount)

        async def require_changed(number: int) -> None:
            nonlocal shown
            before, shown = shown, await require_true(mount)
            assert {key for key, what in shown.items() if what != before[key]} == {f"recording/{number}.mp3"}

        async def write(statement: str) -> None:
            await mount.catalog.write(lambda db: db.execute(statement, (rewritten,)))

        source = v2_recording(learned).key
        mount.catalog.learn(
            object_key=f"recording/{learned}.mp3", source=source, nbytes=99, validator=None, modified_ns=None
        )
        await require_changed(learned)
        await write("UPDATE recordings SET hint_nbytes = 12345 WHERE id = ?")
        await require_changed(rewritten)
        await write("UPDATE recordings SET created_ms = created_ms - 5000 WHERE id = ?")
        await require_changed(rewritten)
        await mount.kernel.read(f"recordings/{held}.mp3")
        await require_changed(held)
        mount.objects.let_go(f"recording/{held}.mp3")
        await require_changed(held)
        async with mount.kernel.opened(f"recordings/{opened}.mp3") as (inode, info):
            await require_changed(opened)
            await mount.operations.read(info.fh, 0, 4096)
            await require_true(mount)
            mount.objects.forget(f"recording/{opened}.mp3")
            shown = await require_true(mount)
            assert shown[f"recording/{opened}.mp3"][0] != inode
        await mount.kernel.forget_all()
        await require_true(mount)
