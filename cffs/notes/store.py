"""Notes on disk: one folder a recording, readable without cffs.

It owns the files below one account's folder of `--notes DIR`. It must not know what is in them.

A note is `{recording id}/{recording id}.{extension}`; drafts and files under temporary names lie in `.drafts/`. Two
mounts may share the folder: each publishes whole files, and the last one wins. Each creation and removal touches the
account's folder, by whose time the other mount knows to look again.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import AlreadyExists, NotInTree, SpoolFailed, TooLarge
from cffs.core.ids import parse_id
from cffs.core.units import MIB, MS_PER_SECOND
from cffs.notes.draft import Draft, disk_errors, require_stat, stat_of
from cffs.notes.draft_files import NEW, DraftFiles
from cffs.notes.keys import EXTENSIONS, Key, NoteKey, NoteStat, TemporaryKey
from cffs.notes.shared_folder import SharedFolder, touch

#: A transcript of a day of speech is under 1 MiB; more is a mistake (`cp recording.wav note.txt`), answered by EFBIG.
MAX_NOTE_NBYTES = 64 * MIB


@dataclass(slots=True)
class _Temporary:
    path: Path
    stat: NoteStat


class NoteStore:
    """The notes of one account. One thread at a time may use it, but for what does no I/O, which any thread may."""

    def __init__(
        self, folder: Path, *, changed: Callable[[NoteKey], None], wall_ms: int, max_nbytes: int = MAX_NOTE_NBYTES
    ) -> None:
        """`folder` is the account's, 0700 and there. `changed` hears of each note that was published, renamed or
        removed here; `wall_ms` is the time of now. Raises SpoolFull or SpoolFailed."""
        self._folder = folder
        self.files = DraftFiles(folder / ".drafts", now_seconds=wall_ms / MS_PER_SECOND)
        self._changed = changed
        self._max_nbytes = max_nbytes
        self._notes: dict[int, dict[str, NoteStat]] = {}
        self._temporary: dict[TemporaryKey, _Temporary] = {}
        self._drafts: dict[Key, Draft] = {}
        #: When the folder of each recording was last changed, as of the last look: what has not changed is not read.
        self._folder_ns: dict[int, int] = {}
        #: Where a file went that was renamed while it was open: the kernel goes on asking by the old name's inode.
        self._renamed: dict[Key, Key] = {}
        self._account = SharedFolder(folder)
        #: Another value once other notes exist.
        self.turn = 0
        self.refresh()

    def refresh(self) -> bool:
        """Look which notes exist, where another mount has changed some since the last look; False where none has."""
        with disk_errors():
            seen_ns = self._account.now_ns()
            if seen_ns == self._account.seen_ns:
                return False
            found, seen = {}, {}
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    recording_id = parse_id(entry.name)
                    if recording_id is None or not entry.is_dir(follow_symlinks=False):
                        continue
                    changed_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                    if changed_ns == self._folder_ns.get(recording_id):
                        stats = self._notes.get(recording_id, {})
                    else:
                        stats = self._stats_in(recording_id)
                    seen[recording_id] = changed_ns
                    if stats:
                        found[recording_id] = stats
        self._notes, self._folder_ns, self._account.seen_ns = found, seen, seen_ns
        self.turn += 1
        return True

    def extensions(self, recording_id: int) -> tuple[str, ...]:
        """Which notes the recording has, in listing order, as of the last look. No I/O."""
        published = self._notes.get(recording_id, ())
        new = [key.extension for key in self._new_notes() if key.recording_id == recording_id]
        return tuple(extension for extension in EXTENSIONS if extension in published or extension in new)

    def all_keys(self) -> list[NoteKey]:
        """Every note, as of the last look. No I/O."""
        stats = list(self._notes.items())
        published = [NoteKey(recording_id, extension) for recording_id, found in stats for extension in found]
        return published + [key for key in self._new_notes() if self._published(key) is None]

    def _new_notes(self) -> list[NoteKey]:
        """The notes that are open and were not published yet."""
        # list(): another thread may add or remove one meanwhile
        drafts = list(self._drafts.items()) if self._drafts else []
        return [key for key, draft in drafts if draft.is_new and draft.is_dirty and isinstance(key, NoteKey)]

    def stat(self, key: Key) -> NoteStat | None:
        """What the note, or its draft where it has one, is like; None where there is none. No I/O."""
        draft = self._drafts.get(key)
        if draft is not None and draft.is_dirty:
            return draft.stat
        if isinstance(key, TemporaryKey):
            return self._temporary[key].stat if key in self._temporary else None
        return self._published(key)

    def _published(self, key: NoteKey) -> NoteStat | None:
        return self._notes.get(key.recording_id, {}).get(key.extension)

    def stat_open(self, key: Key) -> NoteStat | None:
        """What a file that was opened under that key is like, also after it was renamed. No I/O."""
        found = self.stat(key)
        return self.stat_open(self._renamed[key]) if found is None and key in self._renamed else found

    def read(self, key: NoteKey, *, max_nbytes: int) -> bytes:
        """The first bytes of a published note; b"" where there is none."""
        try:
            descriptor = os.open(self._path_of_note(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with os.fdopen(descriptor, "rb") as file:
            return file.read(max_nbytes)

    def open(self, key: Key, *, creates: bool = False, is_exclusive: bool = False) -> Draft:
        """An open file; each `open` is paired with one `Draft.release`.

        Raises NotInTree where there is none and `creates` is False, AlreadyExists where there is one and it
        `is_exclusive`, SpoolFull or SpoolFailed.
        """
        if creates:
            self._renamed.pop(key, None)
        self._look_at(key)
        is_there = self.stat(key) is not None
        if is_there and is_exclusive:
            raise AlreadyExists("the note is there")
        if not is_there and not creates:
            raise NotInTree("no such note")
        draft = self._drafts.get(key)
        if draft is None:
            draft = self._drafts[key] = Draft(self, key)
        if not is_there:
            try:
                self._make(draft)
            except BaseException:
                if not draft.handles:
                    del self._drafts[key]
                    draft.drop()
                raise
        draft.handles += 1
        return draft

    def open_blank(self, key: Key, *, now_ns: int) -> Draft | None:
        """An open, empty file in place of whatever lies there, paired with one `Draft.release`; None where it is open
        already. No I/O, but no other thread may use the store meanwhile."""
        if key in self._drafts:
            return None
        self._renamed.pop(key, None)
        is_new = self.stat(key) is None
        draft = self._drafts[key] = Draft(self, key)
        draft.make_blank(is_new=is_new, now_ns=now_ns)
        draft.handles = 1
        self.turn += is_new
        return draft

    def rename(self, old: Key, new: Key, *, replaces: bool) -> None:
        """Give a file another name; what is open stays open. Raises NotInTree, AlreadyExists, SpoolFailed."""
        self._look_at(old)
        self._look_at(new)
        if self.stat(old) is None:
            raise NotInTree("no such note")
        if old == new:
            return
        if not replaces and self.stat(new) is not None:
            raise AlreadyExists("the note is there")
        draft = self._drafts.get(old)
        if draft is not None:
            draft.publish()
        replaced = self._drafts.pop(new, None)
        if replaced is not None:
            replaced.forget()
        self._renamed.pop(new, None)
        self._move(old, new)
        if draft is not None:
            del self._drafts[old]
            draft.key = new
            self._drafts[new] = draft
            self._renamed[old] = new
        self._note_change(old)
        self._note_change(new)

    def _move(self, old: Key, new: Key) -> None:
        source = self._path(old)
        if source is None:
            raise NotInTree("no such note")
        with disk_errors():
            if isinstance(new, TemporaryKey):
                target = self._temporary[new].path if new in self._temporary else self._new_path()
            else:
                target = Path(self._target(new)[0])
            os.rename(source, target)
            if isinstance(old, NoteKey):
                self._remove_folder(old)
        if isinstance(new, TemporaryKey):
            self._temporary[new] = _Temporary(target, require_stat(target))
        if isinstance(old, TemporaryKey):
            del self._temporary[old]

    def remove(self, key: Key) -> None:
        """The note is gone; what has it open keeps its bytes. Raises NotInTree or SpoolFailed."""
        self._look_at(key)
        if self.stat(key) is None:
            raise NotInTree("no such note")
        draft = self._drafts.pop(key, None)
        path = self._path(key)
        if draft is not None:
            draft.forget()
            self.turn += draft.is_new
        with disk_errors():
            if path is not None:
                path.unlink(missing_ok=True)
        if isinstance(key, TemporaryKey):
            self._temporary.pop(key, None)
        else:
            self._remove_folder(key)
        self._note_change(key)

    def close(self) -> None:
        """Remove what lies under temporary names, and what was made ahead: the mount ends."""
        self.files.close()
        for temporary in self._temporary.values():
            temporary.path.unlink(missing_ok=True)
        self._temporary.clear()

    # -- for Draft --

    def new_draft(self, key: Key | None) -> tuple[int, Path]:
        """An empty file, 0600, that can take the place of the note, or of none: its descriptor and its path."""
        if isinstance(key, NoteKey):
            self._target(key)  # a program hears of a folder that cannot be used when it writes, not when it closes
        return self.files.take()

    def open_published(self, key: Key) -> int:
        """A descriptor on what lies at the key now."""
        path = self._path(key)
        if path is None:
            raise NotInTree("no such note")
        with disk_errors():
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)

    def publish(self, key: Key, path: Path, found: NoteStat) -> None:
        """Let the file at `path`, which is like `found`, take the place of the note."""
        if isinstance(key, TemporaryKey):
            replaced, self._temporary[key] = self._temporary.get(key), _Temporary(path, found)
            if replaced is not None:
                replaced.path.unlink(missing_ok=True)
            return
        target, changed_ns = self._target(key)
        with disk_errors():
            try:
                os.rename(path, target)
            except FileNotFoundError:  # another mount has removed the folder with its last note
                target, changed_ns = self._target(key)
                os.rename(path, target)
        if changed_ns == self._folder_ns.get(key.recording_id):  # no other mount has changed it since the last look
            self._note_published(key, found)
        else:
            self._look_at(key)
        self._tell(key)

    def has_published(self, key: Key) -> bool:
        """True where a note lies at the key now."""
        if isinstance(key, TemporaryKey):
            return False
        self._look_at(key)
        return self._published(key) is not None

    def require_fits(self, nbytes: int) -> None:
        """Raise TooLarge for more bytes than a note may have."""
        if nbytes > self._max_nbytes:
            raise TooLarge(f"a note may have {self._max_nbytes // MIB} MiB")

    def released(self, draft: Draft) -> None:
        """Nothing has the draft open any more."""
        if self._drafts.get(draft.key) is draft:
            del self._drafts[draft.key]
            if draft.is_new and isinstance(draft.key, NoteKey):  # it could not be published
                self._remove_folder(draft.key)
                self.turn += 1
            for old in [old for old, new in self._renamed.items() if new == draft.key]:
                del self._renamed[old]

    def _make(self, draft: Draft) -> None:
        """A new note exists, empty, from its creation on."""
        if isinstance(draft.key, TemporaryKey):
            draft.begin(keeps=False)
            draft.publish()
            return
        path, _changed_ns = self._target(draft.key)
        with disk_errors():
            try:
                os.close(os.open(path, NEW, 0o600))
            except FileExistsError:
                if stat_of(path) is None:  # it is no file: a note takes its place
                    draft.begin(keeps=False)
                    draft.publish()
        self._note_change(draft.key)

    def _look_at(self, key: Key) -> None:
        """Know the recording's notes as they are now: another mount, or the folder's owner, may have made one since the
        last look, and it must not be taken for missing."""
        if isinstance(key, TemporaryKey):
            return
        before, now = self._notes.get(key.recording_id, {}), self._stats_in(key.recording_id)
        if now:
            self._notes[key.recording_id] = now
        else:
            self._notes.pop(key.recording_id, None)
        if now.keys() != before.keys():
            self.turn += 1

    def _note_change(self, key: Key) -> None:
        self._look_at(key)
        self._tell(key)

    def _note_published(self, key: NoteKey, found: NoteStat) -> None:
        before = self._notes.get(key.recording_id, {})
        stats = before | {key.extension: found}
        self._notes[key.recording_id] = {name: stats[name] for name in EXTENSIONS if name in stats}
        if key.extension not in before:
            self.turn += 1

    def _tell(self, key: Key) -> None:
        """Have other mounts, and the index, look at the recording's notes."""
        if isinstance(key, TemporaryKey):
            return
        if key.recording_id in self._notes:
            folder = f"{self._folder}/{key.recording_id}"
            self._folder_ns[key.recording_id] = touch(folder, self._folder_ns.get(key.recording_id, 0))
        self._account.touch()
        self._changed(key)

    def _stats_in(self, recording_id: int) -> dict[str, NoteStat]:
        stats = {}
        folder = f"{self._folder}/{recording_id}"
        try:
            names = set(os.listdir(folder)) if stat.S_ISDIR(os.lstat(folder).st_mode) else ()
        except OSError:
            return {}
        for extension in EXTENSIONS:
            name = f"{recording_id}.{extension}"
            if name in names and (found := stat_of(f"{folder}/{name}")) is not None:
                stats[extension] = found
        return stats

    def _path(self, key: Key) -> Path | None:
        if isinstance(key, TemporaryKey):
            return self._temporary[key].path if key in self._temporary else None
        return self._path_of_note(key)

    def _path_of_note(self, key: NoteKey) -> Path:
        return Path(f"{self._folder}/{key.recording_id}/{key.recording_id}.{key.extension}")

    def _target(self, key: NoteKey) -> tuple[str, int]:
        """Where a note is about to lie, and when the folder there was last changed; its recording's folder is made with
        the first of them. Raises SpoolFailed where something else lies there, such as a link that leads elsewhere."""
        folder = f"{self._folder}/{key.recording_id}"
        with disk_errors():
            try:
                found = os.lstat(folder)
            except FileNotFoundError:
                with suppress(FileExistsError), self._account.changing():  # another mount may be faster
                    self.files.make_folder(folder)
                    self._folder_ns[key.recording_id] = os.lstat(folder).st_mtime_ns
                found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode):
            raise SpoolFailed(f"the folder of --notes cannot be used: {key.recording_id} in it is no folder")
        return f"{folder}/{key.recording_id}.{key.extension}", found.st_mtime_ns

    def _remove_folder(self, key: NoteKey) -> None:
        with suppress(OSError), self._account.changing():  # other notes may be in it
            os.rmdir(self._path_of_note(key).parent)

    def _new_path(self) -> Path:
        descriptor, path = self.files.take()
        os.close(descriptor)
        return path
