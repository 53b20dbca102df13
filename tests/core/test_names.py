import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cffs.core.errors import NotInTree
from cffs.core.names import (
    MAX_NAME_NBYTES,
    decode_name,
    encode_name,
    file_name,
    from_kernel,
    is_text,
    name_nbytes,
    to_kernel,
)
from cffs.core.probe_names import is_probe_name

#: Any text that JSON can carry, lone surrogates and the rule's own characters included, often.
TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cs", "Cc", "Cf", "Mn"]),
        st.sampled_from("%/-.~ \0\x7f\u202e\u2066é😀e\u030125E"),
    ),
    max_size=400,
)
#: Texts that collide with each other, and with the marks that make them distinct.
COLLIDING = st.lists(st.sampled_from(["", "a", "~1", " ~1", "a ~1", "a ~2", "a ~1 ~2", "x" * 300, ".", "é" * 200]))


@given(TEXTS)
@example("..")
@example("\ud83d\ude00")
def test_a_name_gives_back_its_text(text: str) -> None:
    """decode_name undoes encode_name for any text, lone surrogates included, up to NFC."""
    assert decode_name(encode_name(text)) == unicodedata.normalize("NFC", text)


@given(TEXTS)
def test_an_encoded_name_is_safe(text: str) -> None:
    """An encoded name has no separator, control, bidi or surrogate character, no leading dash, and is no dot name."""
    name = encode_name(text)
    assert not name.startswith("-")
    assert name not in (".", "..")
    for character in name:
        assert character not in "/\0"
        assert unicodedata.category(character) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(character) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
    name.encode("utf-8")


@given(st.binary(max_size=40))
@example(b"a\xff\xed\xa0\x80")
def test_a_name_of_any_bytes_is_counted_and_told_from_text(passed: bytes) -> None:
    """All bytes that the kernel passes are counted, and those that are no UTF-8 are no text."""
    name = passed.decode("utf-8", "surrogateescape")
    assert name_nbytes(name) == len(passed)
    try:
        passed.decode("utf-8")
    except UnicodeDecodeError:
        assert not is_text(name)
    else:
        assert is_text(name)


@given(st.binary(max_size=40))
@example(b"a\xff\xed\xa0\x80")
def test_a_name_from_the_kernel_goes_back_to_it(passed: bytes) -> None:
    """The kernel gets back the bytes that it passed, whether they are UTF-8 or not."""
    assert to_kernel(from_kernel(passed)) == passed


def test_a_name_of_the_kernel_is_utf_8() -> None:
    """Bytes that are UTF-8 are its text; others are kept as lone surrogates (PEP 383)."""
    assert from_kernel(b"caf\xc3\xa9 \xff") == "caf\u00e9 \udcff"


@given(TEXTS)
@example("\ud800")
@example("\udfff")
def test_what_sqlite_can_hold_is_text(text: str) -> None:
    """Text is what UTF-8 can encode."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        assert not is_text(text)
    else:
        assert is_text(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("call_recording", "call_recording"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("-rf", "%2Drf"),
        ("a-b", "a-b"),
        ("e\u0301", "é"),
        ("a\nb", "a%0Ab"),
        ("a\x85b", "a%C2%85b"),
        ("\u202egpj", "%E2%80%AEgpj"),
        ("\u061c", "%D8%9C"),
        ("\ud800", "%ED%A0%80"),
        ("", ""),
        ('who: "me"? ', 'who: "me"? '),
    ],
)
def test_the_rule_by_example(text: str, name: str) -> None:
    """The characters of the rule are written as %XX of their UTF-8 bytes, all others as they are."""
    assert encode_name(text) == name


@pytest.mark.parametrize(
    "name", ["50%", "%41", "%2f", "%zz", "%ED%A0", "%FF", "e\u0301", "-rf", "..", ".", "a/b", "\udcff"]
)
def test_a_spelling_of_its_own_is_no_name(name: str) -> None:
    """A name that encode_name never gives is NotInTree, so that no object opens under two names."""
    with pytest.raises(NotInTree) as caught:
        decode_name(name)
    str(caught.value).encode("ascii")


@given(TEXTS)
def test_decoding_is_total_and_canonical(name: str) -> None:
    """Any string either is the one name of its text or is NotInTree."""
    try:
        text = decode_name(name)
    except NotInTree:
        return
    assert encode_name(text) == name


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["", ".mp3", ".json"]))))
def test_listed_names_are_distinct_and_short(texts: list[tuple[str, str]]) -> None:
    """Against a dict as the folder, every object gets a name of its own, of at most 255 bytes, never empty or dots."""
    folder: dict[str, int] = {}
    for id_, (text, extension) in enumerate(texts, start=1):
        name = file_name(encode_name(text), extension=extension, id=id_, taken=folder.__contains__)
        assert name not in folder
        assert 0 < len(name.encode()) <= MAX_NAME_NBYTES
        assert name not in (".", "..")
        assert "/" not in name
        assert "\0" not in name
        assert name.endswith(extension)
        folder[name] = id_


@given(COLLIDING)
def test_names_that_imitate_the_mark_stay_distinct(texts: list[str]) -> None:
    """A stem spelt like another one's marked name never takes that name away."""
    folder: set[str] = set()
    for text in texts:
        name = file_name(encode_name(text), extension="", id=1, taken=folder.__contains__)
        assert name not in folder
        assert 0 < len(name.encode()) <= MAX_NAME_NBYTES
        folder.add(name)


@given(TEXTS.filter(bool).map(lambda text: text * (3 * MAX_NAME_NBYTES // len(text) + 1)))
@example("\u202e" * 40)
@example("%" * 100)
@example("😀" * 80)
def test_a_cut_falls_between_characters(text: str) -> None:
    """A name that had to be cut is a whole number of the text's characters, then its mark, and is nearly full."""
    name = file_name(encode_name(text), extension=".mp3", id=7, taken=lambda _name: False)
    stem = name.removesuffix(" ~7.mp3")
    assert stem != name
    assert unicodedata.normalize("NFC", text).startswith(decode_name(stem))
    assert len(name.encode()) > MAX_NAME_NBYTES - len("%E2%80%8E")


@pytest.mark.parametrize(
    ("stem", "taken", "name"),
    [
        ("a", set(), "a.mp3"),
        ("", set(), " ~9.mp3"),
        ("a", {"a.mp3"}, "a ~9.mp3"),
        ("a", {"a.mp3", "a ~9.mp3"}, "a ~9 ~2.mp3"),
        ("a" * 251, set(), "a" * 251 + ".mp3"),
        ("a" * 252, set(), "a" * 248 + " ~9.mp3"),
    ],
)
def test_marks_by_example(stem: str, taken: set[str], name: str) -> None:
    """Empty, taken and cut stems carry ` ~{id}` before the extension, others nothing."""
    assert file_name(stem, extension=".mp3", id=9, taken=taken.__contains__) == name


def test_a_beginning_that_is_taken_for_ever_is_left_out() -> None:
    """Where `taken` refuses every name with the stem's beginning, the object still gets a name; else a ValueError."""
    assert file_name("._x", extension=".mp3", id=9, taken=is_probe_name) == " ~9 ~101.mp3"
    with pytest.raises(ValueError, match="every name is taken"):
        file_name("a", extension=".mp3", id=9, taken=lambda _name: True)


@pytest.mark.parametrize("stem", ["a/b", "a\0b", ".", ".."])
def test_a_stem_that_was_not_encoded_is_refused(stem: str) -> None:
    """A caller that forgot encode_name gets a ValueError, not a path."""
    with pytest.raises(ValueError, match="not an encoded name"):
        file_name(stem, extension="", id=1, taken=lambda _name: False)
