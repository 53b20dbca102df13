"""The index follows the notes; a failing disk costs its own callers alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import assert_no_checkpoints

from cffs.core.errors import NotInTree, SpoolFailed
from cffs.notes.account_notes import AccountNotes, NoteFile
from cffs.notes.keys import NoteKey
from cffs.notes.words import parse_words

SRT, TXT = NoteKey(88, "srt"), NoteKey(7, "txt")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], AccountNotes]:
    """Another mount of the same folder, with an index of its own."""
    made: list[AccountNotes] = []

    def new() -> AccountNotes:
        made.append(AccountNotes(tmp_path, tmp_path.parent / f"words{len(made)}.sqlite", wall_ms=0))
        return made[-1]

    return new


async def write(notes: AccountNotes, key: NoteKey, text: str) -> None:
    """As a program does that writes it whole."""
    file = await notes.open(key, creates=True)
    await file.truncate(0)
    await file.write(0, text.encode())
    await file.flush()
    await file.release()


async def test_what_is_written_is_found(make: Callable[[], AccountNotes]) -> None:
    """By the next question, which need not wait for the index to catch up by itself."""
    notes = make()
    await write(notes, SRT, "1\n00:00:01,000 --> 00:00:02,000\nI want a refund\n")
    await write(notes, TXT, "a refund was given")
    assert await notes.recordings_with(parse_words("refund")) == [7, 88]
    assert await notes.recordings_with(parse_words('"want a refund"')) == [88]
    await notes.remove(TXT)
    assert await notes.recordings_with(parse_words("refund")) == [88]
    assert (notes.extensions(88), notes.extensions(7)) == (("srt",), ())
    with pytest.raises(NotInTree):
        await notes.open(TXT)
    await notes.close()


async def test_an_index_that_is_being_built_is_waited_for(make: Callable[[], AccountNotes], tmp_path: Path) -> None:
    """A question finds every note that was there before the index, and notes are written meanwhile."""
    for number in range(1, 1201):
        (tmp_path / str(number)).mkdir(mode=0o700)
        (tmp_path / f"{number}/{number}.txt").write_text("a refund")
    notes = make()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, notes, NoteKey(2000, "srt"), "another refund")
        found = await notes.recordings_with(("refund",))
    assert found[:1200] == list(range(1, 1201))
    assert await notes.recordings_with(("another",)) == [2000]
    await notes.close()


async def test_another_mount_is_followed(make: Callable[[], AccountNotes], nursery: trio.Nursery) -> None:
    """Within a second, and without a word between them."""
    one, other = make(), make()

    class Background:
        start = staticmethod(nursery.start_soon)

    other.start(Background())
    await write(one, SRT, "refund")
    with trio.fail_after(10):
        while await other.recordings_with(("refund",)) != [88]:  # it may have seen the note empty first
            await trio.sleep(0.01)
        assert other.extensions(88) == ("srt",)
        await one.remove(SRT)
        while await other.recordings_with(("refund",)):
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


async def test_an_open_that_truncates_does_not_wait(make: Callable[[], AccountNotes], tmp_path: Path) -> None:
    """It asks the disk nothing, and returns at once; while a call is in the thread it waits for its turn."""
    notes = make()
    for text in ("words", "other words"):
        with assert_no_checkpoints():
            file = await notes.open(SRT, creates=True, truncates=True)
        with assert_no_checkpoints():
            other = await notes.open(TXT, creates=True, truncates=True)
        assert (notes.extensions(88), notes.extensions(7)) == (("srt",), ("txt",))
        await other.write(0, b"a")
        await file.write(0, text.encode())
        for one in (other, file):
            await one.flush()
            await one.release()
        assert (tmp_path / "88/88.srt").read_text() == text
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, notes, TXT, "words")
        await trio.lowlevel.checkpoint()
        file = await notes.open(SRT, truncates=True)
        await file.release()
    assert (tmp_path / "88/88.srt").read_text() == ""
    await notes.close()
    assert list((tmp_path / ".drafts").iterdir()) == []


async def test_an_open_that_is_given_up(make: Callable[[], AccountNotes], nursery: trio.Nursery) -> None:
    """A note that a given-up open has truncated in the thread is the old one again, whenever it was given up."""
    notes = make()

    class Background:
        start = staticmethod(nursery.start_soon)

    notes.start(Background())
    for delay_us in range(0, 1000, 20):
        await write(notes, SRT, "words")
        opened: list[NoteFile] = []
        async with trio.open_nursery() as openings:

            async def keep_the_thread() -> None:
                await (await notes.open(TXT, creates=True)).release()

            openings.start_soon(keep_the_thread)
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(delay_us / 1e6):
                opened.append(await notes.open(SRT, truncates=True))
        for file in opened:
            await file.release()
        with trio.fail_after(5):
            while (found := notes.stat(SRT)) is None or found.nbytes != (0 if opened else 5):
                await trio.sleep(0.001)
    nursery.cancel_scope.cancel()


async def test_a_write_that_is_given_up(make: Callable[[], AccountNotes], tmp_path: Path) -> None:
    """A note of which a write was given up is not published in part: the close fails, and the old note is whole."""
    notes = make()
    await write(notes, SRT, "old words")
    file = await notes.open(SRT, truncates=True)
    await file.write(0, b"half ")
    with trio.CancelScope() as scope:
        scope.cancel()
        await file.write(5, b"more")
    with pytest.raises(SpoolFailed):
        await file.flush()
    await file.release()
    assert (tmp_path / "88/88.srt").read_text() == "old words"
    await notes.close()


async def test_files_are_made_ahead(make: Callable[[], AccountNotes], nursery: trio.Nursery, tmp_path: Path) -> None:
    """Once a note was written, the files of the next ones are made before they are needed; none is left."""
    notes = make()

    class Background:
        start = staticmethod(nursery.start_soon)

    notes.start(Background())
    assert list((tmp_path / ".drafts").iterdir()) == []
    await write(notes, SRT, "words")
    with trio.fail_after(10):
        while not list((tmp_path / ".drafts").iterdir()):
            await trio.sleep(0.01)
    await write(notes, TXT, "words")
    assert (tmp_path / "7/7.txt").read_text() == "words"
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await notes.close()
    assert list((tmp_path / ".drafts").iterdir()) == []


async def test_a_folder_that_is_gone(make: Callable[[], AccountNotes], tmp_path: Path) -> None:
    """What is written then is an error, and is not put where the folder was."""
    notes = make()
    await write(notes, SRT, "words")
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    with pytest.raises(SpoolFailed):
        await write(notes, TXT, "words")
    assert not tmp_path.exists()
    tmp_path.with_name("elsewhere").rename(tmp_path)
    await write(notes, TXT, "words")
    assert await notes.recordings_with(("words",)) == [7, 88]
