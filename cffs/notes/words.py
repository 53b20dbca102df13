"""The index of words: which recordings' notes hold some words, by SQLite's FTS5.

It owns one database file, which can be rebuilt from the notes at any time. It must not know how notes are written.

The full-text table is contentless and holds which notes a word is in, not where: that takes a tenth of the text, where
the places would take two fifths (2,000 notes of 10 KB, SQLite 3.40). A phrase is looked for by its words, and then in
the text of the notes that hold them all.

SQLite 3.40 (Debian 12) cannot delete from a contentless table. A note that changes is therefore indexed under another
number, and the old number leaves the table `notes`. When most numbers are of that kind, the index is built again.
"""

import logging
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from cffs.notes.keys import NoteKey
from cffs.notes.store import NoteStore
from cffs.notes.transcript import MAX_TEXT_NBYTES, words

log = logging.getLogger(__name__)

#: "cfwd" in ASCII: a database of another program is not emptied.
_APPLICATION_ID = 0x63667764
_VERSION = 1
#: So many numbers of notes that have changed since are not worth building the index again.
_FEW_STALE = 1000
#: `"two words"` or one word.
_TERM = re.compile(r'"([^"]*)"?|(\S+)')
_WORD = re.compile(r"[^\W_]")
#: Letters and digits; `_` parts words, as in FTS5.
_TOKEN = re.compile(r"[^\W_]+")
_SCHEMA = f"""
    CREATE TABLE notes (
        number INTEGER PRIMARY KEY AUTOINCREMENT, recording INTEGER NOT NULL, extension TEXT NOT NULL,
        nbytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL, UNIQUE (recording, extension));
    CREATE VIRTUAL TABLE words USING fts5 (text, content='', detail='none', tokenize='unicode61 remove_diacritics 2');
    PRAGMA application_id = {_APPLICATION_ID};
    PRAGMA user_version = {_VERSION};
"""
_RECORDINGS = "SELECT n.recording FROM words JOIN notes n ON n.number = words.rowid WHERE words MATCH ?"
_HOLDING = "SELECT n.recording, n.extension FROM words JOIN notes n ON n.number = words.rowid WHERE words MATCH ?"


def parse_words(text: str) -> tuple[str, ...]:
    """The words and the quoted phrases of a question; () where it holds none. All of them must be found."""
    terms = (quoted or word for quoted, word in _TERM.findall(text))
    return tuple(term for term in terms if _WORD.search(term))


def tokens(text: str) -> list[str]:
    """The words of a text as the index compares them: without case and diacritics (FTS5's `unicode61`)."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return [word.lower() for word in _TOKEN.findall(plain)]


def has_fts5() -> bool:
    """Whether this Python's SQLite can index words."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE words USING fts5 (text)")
        except sqlite3.OperationalError:
            return False
    return True


class WordIndex:
    """The index of one account. One thread at a time may use one; several may be open on one file."""

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        """Opens the file, or makes it where it is missing or damaged. Raises sqlite3.Error."""
        self._path = path
        self._connection = self._opened(is_read_only=is_read_only)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def stale(self, store: NoteStore) -> list[NoteKey]:
        """The notes that are not indexed as they are now, those that are gone among them."""
        known = {
            NoteKey(recording, extension): (nbytes, modified_ns)
            for recording, extension, nbytes, modified_ns in self._connection.execute(
                "SELECT recording, extension, nbytes, modified_ns FROM notes"
            )
        }
        found = []
        for key in store.all_keys():
            now = store.stat(key)
            if known.pop(key, None) != (None if now is None else (now.nbytes, now.modified_ns)):
                found.append(key)
        return found + list(known)

    def update(self, store: NoteStore, keys: Iterable[NoteKey]) -> None:
        """Index these notes as they are now, in one transaction. Raises sqlite3.Error."""
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for key in keys:
                self._index(connection, store, key)

    def is_mostly_stale(self) -> bool:
        """Whether most of the index is of notes that have changed since."""
        (live,) = self._connection.execute("SELECT count(*) FROM notes").fetchone()
        (given,) = self._connection.execute("SELECT count(*) FROM words_docsize").fetchone()
        return bool(given - live > live + _FEW_STALE)

    def clear(self) -> None:
        """Forget everything; `stale` then names every note. Raises sqlite3.Error."""
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
            connection.execute("DELETE FROM notes")

    def recordings(self, terms: Sequence[str], store: NoteStore) -> list[int]:
        """The recordings whose notes hold every term, one note this and another that, in order of their ids."""
        words = [f'"{wanted[0]}"' for term in terms if len(wanted := tokens(term)) == 1]
        found: set[int] | None = None
        if words:
            statement = " INTERSECT ".join([_RECORDINGS] * len(words))
            found = {recording for (recording,) in self._connection.execute(statement, words)}
        for term in terms:
            if len(tokens(term)) != 1:
                holding = {key.recording_id for key in self.notes(term, store)}
                found = holding if found is None else found & holding
        return sorted(found or ())

    def notes(self, term: str, store: NoteStore) -> list[NoteKey]:
        """The notes that hold a word or a phrase, in no order."""
        wanted = tokens(term)
        question = " ".join(f'"{token}"' for token in dict.fromkeys(wanted))
        if not question:
            return []
        keys = [NoteKey(*row) for row in self._connection.execute(_HOLDING, (question,))]
        if len(wanted) == 1:
            return keys
        return [key for key in keys if _holds(tokens(words(key.extension, _content(store, key))), wanted)]

    def _index(self, connection: sqlite3.Connection, store: NoteStore, key: NoteKey) -> None:
        place = (key.recording_id, key.extension)
        connection.execute("DELETE FROM notes WHERE recording = ? AND extension = ?", place)
        found = store.stat(key)
        if found is None:
            return
        text = words(key.extension, _content(store, key))
        inserted = connection.execute(
            "INSERT INTO notes (recording, extension, nbytes, modified_ns) VALUES (?, ?, ?, ?)",
            (*place, found.nbytes, found.modified_ns),
        )
        # a lone surrogate (from JSON) is no UTF-8, which SQLite takes alone
        text = text.encode("utf-8", "replace").decode("utf-8")
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (inserted.lastrowid, text))

    def _opened(self, *, is_read_only: bool) -> sqlite3.Connection:
        if is_read_only:
            return sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, isolation_level=None)
        try:
            return self._checked()
        except sqlite3.DatabaseError as problem:
            log.warning("word index begins again path=%s reason=%s", self._path, problem)
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._checked()

    def _checked(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if not version:
                connection.executescript(_SCHEMA)
            elif version != _VERSION:
                raise sqlite3.DatabaseError(f"version {version}")
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)
        except BaseException:
            connection.close()
            raise
        return connection


def _content(store: NoteStore, key: NoteKey) -> bytes:
    return store.read(key, max_nbytes=MAX_TEXT_NBYTES)


def _holds(said: list[str], phrase: list[str]) -> bool:
    """Whether the words of the phrase follow one another."""
    first, width = phrase[0], len(phrase)
    return any(word == first and said[at : at + width] == phrase for at, word in enumerate(said))
