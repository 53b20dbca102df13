"""Notes on disk: what is written is read, and a note is whole whatever happens."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cffs.core.errors import AlreadyExists, NotInTree, SpoolFailed, TooLarge
from cffs.notes.draft import Draft
from cffs.notes.keys import Key, NoteKey, NoteStat, TemporaryKey
from cffs.notes.store import NoteStore

MAX_NBYTES = 64
SRT = NoteKey(88, "srt")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NoteStore]:
    made = NoteStore(tmp_path, changed=lambda key: None, wall_ms=0, max_nbytes=MAX_NBYTES)
    yield made
    made.close()


def written(store: NoteStore, key: Key, content: bytes) -> None:
    """As `cp` writes a file."""
    draft = store.open(key, creates=True)
    draft.truncate(0)
    draft.write(0, content)
    draft.flush()
    draft.release()


def content_of(store: NoteStore, key: Key) -> bytes | None:
    """What a reader gets; None where there is no such file."""
    if store.stat(key) is None:
        return None
    draft = store.open(key)
    found = draft.read(0, 2 * MAX_NBYTES)
    draft.release()
    return found


def test_where_it_lies(store: NoteStore, tmp_path: Path) -> None:
    """A note is a file of its owner's alone, in a folder of its recording, named so that it is found without cffs."""
    written(store, SRT, b"words")
    path = tmp_path / "88/88.srt"
    assert path.read_bytes() == b"words"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert store.extensions(88) == ("srt",)
    store.remove(SRT)
    assert (store.extensions(88), path.parent.exists()) == ((), False)


@pytest.mark.parametrize("truncates", [True, False])
def test_links_that_lie_in_the_folder(store: NoteStore, tmp_path: Path, truncates: bool) -> None:
    """A link in a note's place is not followed: it is no note, and a note takes its place. A recording's folder that is
    a link takes no note."""
    elsewhere = tmp_path.with_name(f"elsewhere of {tmp_path.name}")
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("precious")
    (tmp_path / "88").mkdir(mode=0o700)
    (tmp_path / "88/88.srt").symlink_to(elsewhere / "precious")
    (tmp_path / "7").symlink_to(elsewhere)
    (elsewhere / "7.txt").write_text("no note")
    assert (store.refresh(), store.all_keys()) == (True, [])
    draft = store.open(SRT, creates=True)
    if truncates:
        draft.truncate(0)
    draft.write(0, b"words")
    draft.release()
    assert (tmp_path / "88/88.srt").read_bytes() == content_of(store, SRT) == b"words"
    with pytest.raises(SpoolFailed):
        store.open(NoteKey(7, "srt"), creates=True)
    with pytest.raises(SpoolFailed):
        store.rename(SRT, NoteKey(7, "srt"), replaces=True)
    assert sorted(os.listdir(elsewhere)) == ["7.txt", "precious"]
    assert (elsewhere / "precious").read_text() == "precious"


def test_the_old_note_is_whole_until_the_new_one_is(store: NoteStore, tmp_path: Path) -> None:
    """A shell's redirection closes a descriptor before anything is written; a crash then leaves the old note."""
    written(store, SRT, b"old")
    draft = store.open(SRT)
    draft.truncate(0)
    draft.flush()
    draft.write(0, b"new wor")
    assert (tmp_path / "88/88.srt").read_bytes() == b"old"
    again = NoteStore(tmp_path, changed=lambda key: None, wall_ms=0)  # what a mount after a crash finds
    assert content_of(again, SRT) == b"old"
    draft.flush()
    assert (tmp_path / "88/88.srt").read_bytes() == b"new wor"
    draft.write(7, b"ds")
    draft.release()
    assert (tmp_path / "88/88.srt").read_bytes() == b"new words"
    assert list((tmp_path / ".drafts").iterdir()) == []


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "there before"])
def test_blank(store: NoteStore, tmp_path: Path, is_new: bool) -> None:
    """A note that an open truncates is empty and listed from then on, and asks the disk nothing before the first write.
    Closed without a write it is empty; the old note is there until then."""
    if not is_new:
        written(store, SRT, b"old")
    before, turn = _everything_below(tmp_path), store.turn
    draft = store.open_blank(SRT, now_ns=5)
    assert draft is not None
    assert (store.stat(SRT), draft.read(0, 9), _everything_below(tmp_path)) == (NoteStat(0, 5), b"", before)
    assert (store.extensions(88), store.all_keys(), store.turn != turn) == (("srt",), [SRT], is_new)
    draft.flush()
    assert (_everything_below(tmp_path) == before) is not is_new  # a shell that opens with `>` closes one at once
    draft.release()
    assert (tmp_path / "88/88.srt").read_bytes() == b""
    assert list((tmp_path / ".drafts").iterdir()) == []


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "there before"])
def test_blank_on_a_disk_that_refuses(store: NoteStore, tmp_path: Path, is_new: bool) -> None:
    """Where no draft can be made, writing and closing fail, the old note is whole, and no empty one is in its place,
    although the disk would take it at the release."""
    if not is_new:
        written(store, SRT, b"old")
    draft = store.open_blank(SRT, now_ns=5)
    assert draft is not None
    away = tmp_path / "away"
    (tmp_path / ".drafts").rename(away)
    for act in (lambda: draft.write(0, b"words"), draft.flush):
        with pytest.raises(SpoolFailed):
            act()
    away.rename(tmp_path / ".drafts")
    draft.release()
    assert content_of(store, SRT) == (None if is_new else b"old")
    assert (store.extensions(88), (tmp_path / "88").exists()) == (() if is_new else ("srt",), not is_new)


def _everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_too_large(store: NoteStore) -> None:
    """A note has a limit; what reaches it is kept."""
    draft = store.open(SRT, creates=True)
    draft.write(0, b"x" * MAX_NBYTES)
    for beyond in (lambda: draft.write(MAX_NBYTES, b"x"), lambda: draft.truncate(MAX_NBYTES + 1)):
        with pytest.raises(TooLarge):
            beyond()
    draft.release()
    assert content_of(store, SRT) == b"x" * MAX_NBYTES


def test_another_mount_of_the_folder(tmp_path: Path) -> None:
    """Notes that another mount makes or removes are found after a look."""
    one, other = (NoteStore(tmp_path, changed=lambda key: None, wall_ms=0) for _ in range(2))
    written(one, SRT, b"words")
    other.refresh()
    assert (other.extensions(88), content_of(other, SRT)) == (("srt",), b"words")
    other.remove(SRT)
    one.refresh()
    assert (one.extensions(88), content_of(one, SRT)) == ((), None)


def test_a_note_that_was_not_heard_of_is_kept(tmp_path: Path) -> None:
    """What another mount wrote a moment ago is opened, renamed and removed as it is, and never replaced by an empty
    note."""
    one, other = (NoteStore(tmp_path, changed=lambda key: None, wall_ms=0) for _ in range(2))
    written(one, SRT, b"words")
    draft = other.open(SRT, creates=True)
    assert draft.read(0, MAX_NBYTES) == b"words"
    draft.write(5, b" and more")
    draft.release()
    written(one, NoteKey(9, "txt"), b"words")
    with pytest.raises(AlreadyExists):
        other.open(NoteKey(9, "txt"), creates=True, is_exclusive=True)
    other.rename(NoteKey(9, "txt"), NoteKey(9, "md"), replaces=False)
    other.remove(NoteKey(9, "md"))
    assert (tmp_path / "88/88.srt").read_bytes() == b"words and more"
    assert not (tmp_path / "9").exists()


def test_what_another_mount_wrote_is_not_hidden(tmp_path: Path) -> None:
    """A mount's own write does not pass for a look at what another mount has written since the last one."""
    one, other = (NoteStore(tmp_path, changed=lambda key: None, wall_ms=0) for _ in range(2))
    for store in (one, other):
        written(store, NoteKey(9 if store is one else 88, "txt"), b"words")
        written(store, NoteKey(9, "md" if store is one else "tsv"), b"words")
    written(one, NoteKey(9, "lrc"), b"words")
    for store in (one, other):
        store.refresh()
        assert (store.extensions(9), store.extensions(88)) == (("txt", "tsv", "lrc", "md"), ("txt",))


def test_no_look_after_own_writes(store: NoteStore) -> None:
    """What a mount writes and removes itself does not make it read the folders of all recordings again."""
    for recording_id in range(1, 4):
        written(store, NoteKey(recording_id, "txt"), b"words")
    store.remove(NoteKey(2, "txt"))
    store.files.make_ahead()
    written(store, NoteKey(5, "txt"), b"words")
    assert not store.refresh()


def test_a_shell_over_a_note_that_was_not_heard_of(tmp_path: Path) -> None:
    """A shell's redirection closes a descriptor before anything is written: what another mount wrote a moment ago is
    kept until there is something in its place."""
    one, other = (NoteStore(tmp_path, changed=lambda key: None, wall_ms=0) for _ in range(2))
    written(one, SRT, b"words")
    draft = other.open_blank(SRT, now_ns=1)
    assert draft is not None
    draft.flush()
    assert (tmp_path / "88/88.srt").read_bytes() == b"words"
    draft.write(0, b"new words")
    draft.release()
    assert (tmp_path / "88/88.srt").read_bytes() == b"new words"


@pytest.mark.parametrize("is_removed", [True, False], ids=["removed", "replaced"])
def test_what_one_handle_writes_is_of_one_note(tmp_path: Path, is_removed: bool) -> None:
    """Where another mount replaces or removes the note between two closes of a handle, the handle's note is whole."""
    one, other = (NoteStore(tmp_path, changed=lambda key: None, wall_ms=0) for _ in range(2))
    draft = one.open(SRT, creates=True)
    draft.write(0, b"some ")
    draft.flush()
    other.refresh()
    if is_removed:
        other.remove(SRT)
    else:
        written(other, SRT, b"x")
    draft.write(5, b"words")
    draft.release()
    assert (tmp_path / "88/88.srt").read_bytes() == b"some words"


def test_an_empty_note_is_as_old_as_its_open(store: NoteStore, tmp_path: Path) -> None:
    """The file of a note may have been made long before; its time is that of the note."""
    store.files.make_ahead()
    for path in (tmp_path / ".drafts").iterdir():
        os.utime(path, (0, 0))
    for key in (SRT, TemporaryKey(7, "a~")):
        store.open(key, creates=True).release()
        found = store.stat(key)
        assert found is not None
        assert found.modified_ns > 0


def test_what_a_full_disk_refused_is_not_made_up_with_the_old(store: NoteStore, tmp_path: Path) -> None:
    """Where a note was truncated and a write failed, what is written next is all that is in it."""
    written(store, SRT, b"old words")
    draft = store.open_blank(SRT, now_ns=5)
    assert draft is not None
    (tmp_path / ".drafts").rename(tmp_path / "away")
    for act in (lambda: draft.write(0, b"a\n"), draft.flush):
        with pytest.raises(SpoolFailed):
            act()
    (tmp_path / "away").rename(tmp_path / ".drafts")
    draft.write(0, b"b\n")
    draft.release()
    assert content_of(store, SRT) == b"b\n"


def test_a_blank_note_that_is_removed(store: NoteStore, tmp_path: Path) -> None:
    """It is not listed any more, which changes the turn; what is written to it then leaves nothing."""
    draft = store.open_blank(SRT, now_ns=5)
    assert draft is not None
    turn = store.turn
    store.remove(SRT)
    assert (store.extensions(88), store.turn != turn) == ((), True)
    draft.write(0, b"words")
    assert draft.read(0, 9) == b"words"
    draft.flush()
    draft.release()
    assert _everything_below(tmp_path) == [".drafts"]


def test_a_link_is_not_followed(store: NoteStore, tmp_path: Path) -> None:
    """What somebody put in the place of a note is never written through."""
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / "88").mkdir()
    os.symlink(target, tmp_path / "88/88.srt")
    assert store.stat(SRT) is None
    written(store, SRT, b"words")
    assert target.read_bytes() == b"mine"


KEYS = st.sampled_from(
    [NoteKey(1, "txt"), NoteKey(1, "srt"), NoteKey(2, "txt"), TemporaryKey(7, ".a.XXXXXX"), TemporaryKey(7, "a~")]
)
BYTES = st.binary(max_size=9)


class Notes(RuleBasedStateMachine):
    """Any sequence of calls leaves what a dictionary of byte strings would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.heard: list[NoteKey] = []
        self.store = NoteStore(Path(self.folder.name), changed=self.heard.append, wall_ms=0, max_nbytes=MAX_NBYTES)
        self.model: dict[Key, bytearray] = {}
        self.open: list[tuple[Draft, bytearray]] = []

    @rule(key=KEYS, is_exclusive=st.booleans())
    def create(self, key: Key, is_exclusive: bool) -> None:
        if is_exclusive and key in self.model:
            with pytest.raises(AlreadyExists):
                self.store.open(key, creates=True, is_exclusive=True)
            return
        draft = self.store.open(key, creates=True, is_exclusive=is_exclusive)
        self.open.append((draft, self.model.setdefault(key, bytearray())))

    @rule(key=KEYS)
    def create_blank(self, key: Key) -> None:
        draft = self.store.open_blank(key, now_ns=1)
        assert (draft is None) == any(other.key == key for other, _content in self.open if not other.is_forgotten)
        if draft is not None:
            content = self.model.setdefault(key, bytearray())
            content.clear()
            self.open.append((draft, content))

    @rule()
    def make_ahead(self) -> None:
        self.store.files.make_ahead()

    @rule(key=KEYS)
    def open_existing(self, key: Key) -> None:
        if key not in self.model:
            with pytest.raises(NotInTree):
                self.store.open(key)
            return
        self.open.append((self.store.open(key), self.model[key]))

    @rule(data=BYTES, offset=st.integers(0, 20), which=st.integers(0, 9))
    def write(self, data: bytes, offset: int, which: int) -> None:
        if self.open:
            draft, content = self.open[which % len(self.open)]
            assert draft.write(offset, data) == len(data)
            if data:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data

    @rule(nbytes=st.integers(0, 20), which=st.integers(0, 9))
    def truncate(self, nbytes: int, which: int) -> None:
        if self.open:
            draft, content = self.open[which % len(self.open)]
            draft.truncate(nbytes)
            del content[nbytes:]
            content.extend(bytes(nbytes - len(content)))

    @rule(which=st.integers(0, 9), how=st.sampled_from(["flush", "sync"]))
    def flush(self, which: int, how: str) -> None:
        if self.open:
            getattr(self.open[which % len(self.open)][0], how)()

    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        if self.open:
            self.open.pop(which % len(self.open))[0].release()

    @rule(old=KEYS, new=KEYS, replaces=st.booleans())
    def rename(self, old: Key, new: Key, replaces: bool) -> None:
        if old not in self.model:
            with pytest.raises(NotInTree):
                self.store.rename(old, new, replaces=replaces)
        elif new in self.model and not replaces and old != new:
            with pytest.raises(AlreadyExists):
                self.store.rename(old, new, replaces=replaces)
        else:
            self.store.rename(old, new, replaces=replaces)
            self.model[new] = self.model.pop(old)

    @rule(key=KEYS)
    def remove(self, key: Key) -> None:
        if key not in self.model:
            with pytest.raises(NotInTree):
                self.store.remove(key)
        else:
            self.store.remove(key)
            del self.model[key]

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        for key in (NoteKey(1, "txt"), NoteKey(1, "srt"), NoteKey(2, "txt"), TemporaryKey(7, ".a.XXXXXX")):
            found, content = self.store.stat(key), self.model.get(key)
            assert (None if found is None else found.nbytes) == (None if content is None else len(content))
        for draft, content in self.open:
            assert draft.read(0, 2 * MAX_NBYTES) == bytes(content)
        for recording_id in (1, 2):
            known = [
                key.extension for key in self.model if isinstance(key, NoteKey) and key.recording_id == recording_id
            ]
            assert sorted(self.store.extensions(recording_id)) == sorted(known)

    def teardown(self) -> None:
        for draft, _content in self.open:
            draft.release()
        for key, content in self.model.items():
            assert content_of(self.store, key) == bytes(content)
        self.store.close()
        assert os.listdir(Path(self.folder.name) / ".drafts") == []
        self.folder.cleanup()


TestNotes = Notes.TestCase
TestNotes.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
