"""The index of words: what is written is found, whatever was written before."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.notes.keys import NoteKey
from cffs.notes.store import NoteStore
from cffs.notes.words import WordIndex, parse_words, tokens


@pytest.fixture
def store(tmp_path: Path) -> NoteStore:
    return NoteStore(tmp_path, changed=lambda key: None, wall_ms=0)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[WordIndex]:
    with closing(WordIndex(tmp_path / "words.sqlite")) as made:
        yield made


def write(store: NoteStore, recording_id: int, extension: str, text: str | bytes) -> None:
    draft = store.open(NoteKey(recording_id, extension), creates=True)
    draft.truncate(0)
    draft.write(0, text.encode() if isinstance(text, str) else text)
    draft.release()


def found(index: WordIndex, store: NoteStore, question: str) -> list[int]:
    index.update(store, index.stale(store))
    return index.recordings(parse_words(question), store)


def test_all_words_must_hold(index: WordIndex, store: NoteStore) -> None:
    """One note may hold one word and another note of the same recording the next; phrases hold in one note."""
    write(store, 1, "txt", "They want a REFUND.")
    write(store, 1, "srt", "1\n00:00:01,000 --> 00:00:02,000\ncall me back\n")
    write(store, 2, "txt", "no refund, and back is call me")
    assert found(index, store, "refund back") == [1, 2]
    assert found(index, store, '"call me back"') == [1]
    assert found(index, store, '"want a refund" call') == [1]
    assert found(index, store, "refund absent") == []


@pytest.mark.parametrize("question", ['"', "*", "NEAR(a b)", "a OR b", "text:a", "^a", "a AND", "-a", "a-b", "ä", "("])
def test_syntax_of_fts5_is_text(index: WordIndex, store: NoteStore, question: str) -> None:
    """What FTS5 reads as its own language is looked for as words."""
    write(store, 1, "txt", question)
    write(store, 2, "txt", "b or near something")
    assert found(index, store, question) == ([1] if tokens(question) else [])


def test_what_changes_is_found_as_it_is_now(index: WordIndex, store: NoteStore) -> None:
    """A note that is written again, renamed or removed is found by what it holds now."""
    write(store, 1, "txt", "first")
    assert found(index, store, "first") == [1]
    write(store, 1, "txt", "second words")
    assert (found(index, store, "first"), found(index, store, "second")) == ([], [1])
    store.rename(NoteKey(1, "txt"), NoteKey(1, "md"), replaces=False)
    assert found(index, store, "second") == [1]
    store.remove(NoteKey(1, "md"))
    assert found(index, store, "second") == []
    assert index.stale(store) == []


def test_the_index_is_small(store: NoteStore, tmp_path: Path) -> None:
    """Less than a third of the text, where words are as frequent as in speech (the n-th has a share of 1/n)."""
    dice = random.Random(5)
    vocabulary = [f"{number:05x}" for number in range(3_000)]
    shares = list(accumulate(1 / number for number in range(1, len(vocabulary) + 1)))
    nbytes = 0
    for recording_id in range(1, 201):
        text = " ".join(dice.choices(vocabulary, cum_weights=shares, k=1700))
        write(store, recording_id, "txt", text)
        nbytes += len(text)
    index = WordIndex(tmp_path / "small.sqlite")
    index.update(store, index.stale(store))
    index.close()
    assert (tmp_path / "small.sqlite").stat().st_size < nbytes / 3


def test_a_damaged_index_is_made_again(store: NoteStore, tmp_path: Path) -> None:
    """The index is only ever made of the notes."""
    write(store, 1, "txt", "words")
    path = tmp_path / "damaged.sqlite"
    path.write_bytes(b"no database" * 1000)
    with closing(WordIndex(path)) as index:
        assert found(index, store, "words") == [1]
    path.write_bytes(path.read_bytes()[:5000] + bytes(3000))
    with closing(WordIndex(path)) as index:
        assert found(index, store, "words") == [1]


def test_numbers_of_what_changed_do_not_pile_up(store: NoteStore, tmp_path: Path) -> None:
    """An index of which most numbers are of notes that have changed since is built again."""
    with closing(WordIndex(tmp_path / "few.sqlite")) as index:
        for round_number in range(1100):
            write(store, 1, "txt", f"word{round_number}")
            index.update(store, [NoteKey(1, "txt")])
            if index.is_mostly_stale():
                index.clear()
        assert found(index, store, "word1099") == [1]
        assert found(index, store, "word5") == []
    with closing(sqlite3.connect(tmp_path / "few.sqlite")) as reading:
        assert reading.execute("SELECT count(*) FROM words_docsize").fetchone()[0] <= 1002


@given(st.binary(max_size=300), st.sampled_from(["srt", "vtt", "tsv", "json", "txt", "lrc"]))
def test_any_bytes_are_indexed(tmp_path_factory: pytest.TempPathFactory, content: bytes, extension: str) -> None:
    """Whatever a note holds, it does not stop the index."""
    folder = tmp_path_factory.mktemp("notes")
    store = NoteStore(folder, changed=lambda key: None, wall_ms=0)
    write(store, 1, extension, content)
    with closing(WordIndex(folder / "words.sqlite")) as index:
        index.update(store, index.stale(store))
        assert index.stale(store) == []


WORDS = st.text("abäÅ1", min_size=1, max_size=3)


@given(st.lists(WORDS, min_size=1, max_size=8), st.data())
def test_a_phrase_of_a_text_is_found(
    tmp_path_factory: pytest.TempPathFactory, said: list[str], data: st.DataObject
) -> None:
    """Any run of words of a note finds it, and each word does, in any case."""
    folder = tmp_path_factory.mktemp("notes")
    store = NoteStore(folder, changed=lambda key: None, wall_ms=0)
    write(store, 1, "txt", " ".join(said))
    start = data.draw(st.integers(0, len(said) - 1))
    stop = data.draw(st.integers(start + 1, len(said)))
    phrase = " ".join(said[start:stop]).upper()
    with closing(WordIndex(folder / "words.sqlite")) as index:
        assert found(index, store, f'"{phrase}"') == [1]
        assert found(index, store, phrase) == [1]
