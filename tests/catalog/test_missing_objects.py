"""Denied objects: remembered once, removed at the second denial an hour later."""

from pathlib import Path

import pytest

from cffs.catalog import upserts
from cffs.catalog.missing_objects import APART_MS
from cffs.catalog.rows import DynamicRow
from cffs.catalog.store import Catalog
from cffs.core.values import RecordingList
from tests.catalog.factories import call, media, recording

NOW_MS = 1_800_000_000_000
DYNAMIC = DynamicRow(0, "0123abcd", "2024", "8", "5", "a b.wav")
#: Keys of objects, and how the catalogue is asked for their rows.
KEYS = {
    "recording/9.mp3": lambda catalog: catalog.recording(9),
    "recording/88.wav": lambda catalog: catalog.file(88),
    "media/3.jpg": lambda catalog: catalog.media_file(3),
    "dynamic/0123abcd/2024/8/5/a b.wav": lambda catalog: catalog.dynamic_file(
        ("0123abcd", "2024", "8", "5"), "a b.wav"
    ),
    "call/7": lambda catalog: catalog.call(7),
}


async def fill(catalog: Catalog) -> None:
    """A call with two recordings and a file, a media file, a dynamic recording."""

    def batch(db):
        upserts.put_call(db, call(7, recordings=(recording(9, "x"), recording(10, "y"))))
        listing = RecordingList(campaign_id=5, call_id=7, file_ids=(88,), refused=0)
        upserts.put_files(db, listing, campaign_id=5, call_id=7)
        upserts.put_media(db, media(3))
        upserts.put_dynamic(db, DYNAMIC)

    await catalog.write(batch)


@pytest.mark.parametrize("key", KEYS)
async def test_twice_an_hour_apart(catalog: Catalog, key: str) -> None:
    """The second denial, an hour after the first, removes the row and is in `changes`; earlier ones do not count."""
    await fill(catalog)
    for at_ms in (NOW_MS, NOW_MS + 1, NOW_MS + APART_MS - 1):
        assert not await catalog.note_missing(key, now_ms=at_ms)
        assert KEYS[key](catalog) is not None
    assert await catalog.note_missing(key, now_ms=NOW_MS + APART_MS)
    assert KEYS[key](catalog) is None
    assert (await catalog.changes.drain())[0] == {key}
    assert not await catalog.note_missing(key, now_ms=NOW_MS + 9 * APART_MS)


async def test_remembered_by_the_next_mount(tmp_path: Path) -> None:
    """The first denial survives a restart, and so does an answer in between that voids it."""
    path = tmp_path / "catalog.sqlite"
    async with Catalog.opened(path) as catalog:
        await fill(catalog)
        for key in ("recording/9.mp3", "recording/10.mp3"):
            assert not await catalog.note_missing(key, now_ms=NOW_MS)
    async with Catalog.opened(path) as catalog:
        catalog.learn(object_key="recording/10.mp3", source="s", nbytes=5, validator=None, modified_ns=None)
    async with Catalog.opened(path) as catalog:
        assert await catalog.note_missing("recording/9.mp3", now_ms=NOW_MS + APART_MS)
        assert not await catalog.note_missing("recording/10.mp3", now_ms=NOW_MS + APART_MS)
        assert [row.id for row in catalog.recordings_of_call(7)] == [10]


async def test_it_leaves_the_views_and_facts(catalog: Catalog) -> None:
    """A removed call takes its recordings along, out of every folder that showed them; its campaign stays."""
    await fill(catalog)
    catalog.learn(object_key="recording/9.mp3", source="s", nbytes=5, validator=None, modified_ns=None)
    folder = catalog.views.folder("number", "12135550100")
    assert folder is not None
    assert len(catalog.views.of_folder(folder.seq, after_seq=0)) == 2
    for at_ms in (NOW_MS, NOW_MS + APART_MS):
        await catalog.note_missing("call/7", now_ms=at_ms)
    assert catalog.views.of_folder(folder.seq, after_seq=0) == []
    assert catalog.recordings(after_seq=0) == catalog.files_of_call(7) == []
    assert catalog.campaign(5) is not None


async def test_a_sequence_number_is_not_given_again(catalog: Catalog) -> None:
    """A recording that comes after the newest one was removed is newer than it: `cffs watch` goes by sequence
    numbers."""
    await fill(catalog)
    newest = catalog.recordings(after_seq=0)[-1]
    for at_ms in (NOW_MS, NOW_MS + APART_MS):
        await catalog.note_missing(f"recording/{newest.id}.mp3", now_ms=at_ms)
    await catalog.write(lambda db: upserts.put_recording(db, recording(11, "z"), call_id=7, campaign_id=5))
    assert [row.id for row in catalog.recordings(after_seq=newest.seq)] == [11]


@pytest.mark.parametrize("key", ["recording/77.mp3", "media/3.gif", "media/3/file", "moment/9@1-2.wav", "call/x", ""])
async def test_what_has_no_row_is_not_remembered(catalog: Catalog, key: str) -> None:
    """Neither an object that was never known nor another form of one leaves anything."""
    await fill(catalog)
    for at_ms in (NOW_MS, NOW_MS + APART_MS):
        assert not await catalog.note_missing(key, now_ms=at_ms)
    assert catalog.media_file(3) is not None
    assert catalog.recording(9) is not None


async def test_a_clock_that_was_set_back(catalog: Catalog) -> None:
    """A first denial in the future is taken as one of now, so that a wrong clock costs an hour and not a row."""
    await fill(catalog)
    await catalog.note_missing("recording/9.mp3", now_ms=NOW_MS + 10 * APART_MS)
    assert not await catalog.note_missing("recording/9.mp3", now_ms=NOW_MS)
    assert not await catalog.note_missing("recording/9.mp3", now_ms=NOW_MS + APART_MS - 1)
    assert await catalog.note_missing("recording/9.mp3", now_ms=NOW_MS + APART_MS)
