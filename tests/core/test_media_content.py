"""Sniffing: the first bytes of media, and of each media file's type."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.media_content import (
    ENOUGH_CHARACTERS,
    HEAD_NBYTES,
    MAX_JUDGED_NBYTES,
    ContentVerdict,
    check_content,
    is_content_of,
    judge,
)
from cffs.core.media_types import MIME_TYPES
from cffs.standin.media_files import media_content


def _riff(magic: bytes, *, nbytes: int = 100, before: bytes = b"") -> bytes:
    return magic + struct.pack("<I", nbytes) + b"WAVE" + before + b"fmt " + bytes(40)


def _frames(header: bytes, nbytes: int, count: int = 3) -> bytes:
    return (header + bytes(nbytes - 4)) * count


#: MPEG 1 layer III 128 kbit/s 44.1 kHz; MPEG 2 layer III 32 kbit/s 16 kHz; MPEG 2.5 layer III 8 kbit/s 8 kHz.
_MPEG1 = _frames(b"\xff\xfb\x90\x00", 417)
_MPEG2 = _frames(b"\xff\xf3\x48\x00", 144)
_MPEG25 = _frames(b"\xff\xe3\x18\x00", 72)
_LAYER2 = _frames(b"\xff\xfd\x80\x00", 417)

#: AAC frames of 96 bytes, in ADTS and in LATM with its sync word.
_ADTS = (b"\xff\xf1\x6c\x40\x0c\x1f\xfc" + bytes(89)) * 4
_LATM = (b"\x56\xe0\x5d" + bytes(93)) * 4
_ID3 = b"ID3\x03\x00\x00\x00\x00\x00\x1e" + bytes(30)
_LARGE_ID3 = b"ID3\x03\x00\x00\x00\x12\x27\x60" + bytes(range(1, 251)) * 1200

TRUE = [
    ("wav", _riff(b"RIFF")),
    ("wav", _riff(b"RIFF", nbytes=0xFFFFFFFF)),
    ("wav", _riff(b"RIFF", nbytes=0)),
    ("wav", _riff(b"RF64", before=b"ds64" + struct.pack("<I", 28) + bytes(28))),
    ("wav", _riff(b"BW64")),
    ("wav", _riff(b"RIFX")),
    ("wav", _riff(b"RIFF", before=b"JUNK" + struct.pack("<I", 28) + bytes(28))),
    ("wav", _riff(b"RIFF", before=b"bext" + struct.pack("<I", 602) + bytes(602))),
    ("mp3", _MPEG1),
    ("mp3", _MPEG2),
    ("mp3", _MPEG25),
    ("mp3", _LAYER2),
    ("mp3", b"\xff\xfb\x90\x00"),
    ("mp3", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + _MPEG1),
    ("mp3", b"ID3\x02\x00\x00\x00\x00\x00\x0a" + bytes(10)),
    ("mp3", b"APETAGEX" + bytes(24) + _MPEG1),
    ("mp3", bytes(4096) + _MPEG1),
    ("mp3", b"\xff\xff" + b"rest of a cut frame" + _MPEG1),
    ("mp3", _riff(b"RIFF", before=b"fmt " + struct.pack("<IH", 30, 0x55))),
    ("mp3", bytes(70_000) + _MPEG1),
    ("mp3", b"\xff\xff" + bytes(70_000) + _MPEG1),
    ("mp3", b'{"in the middle of a frame"\0' + _MPEG1),
    ("mp3", b"<\0" + _MPEG25),
    ("mp3", bytes(10) + _ID3 + _MPEG1),
    ("mp3", b"\r\n" + _ID3 + _MPEG1),
    ("mp3", _LARGE_ID3 + _MPEG1),
    ("mp3", _LARGE_ID3 + b"\xff\xff cut" + _MPEG1),
    ("mp3", _ID3 + _ID3 + bytes(100_000) + _MPEG1),
    ("wav", _ID3 + _riff(b"RIFF")),
    ("wav", _LARGE_ID3 + _riff(b"RIFF")),
    ("m4a", _ID3 + _ADTS),
    ("m4a", _LARGE_ID3 + _ADTS),
    ("m4a", _LATM),
    ("m4a", b"cut\0" + _LATM),
    ("m4a", b"cut\0" + _ADTS),
    ("m4a", b"ADIF" + bytes(20)),
    ("m4a", b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00"),
    ("m4a", b"\x00\x00\x00\x1cftypisom\x00\x00\x02\x00"),
    ("m4a", b"\x00\x00\x00\x18ftypmp42"),
    ("m4a", b"\xff\xf1\x50\x80\x00"),
    ("mp4", b"\x00\x00\x00\x14ftypqt  "),
    ("mp4", b"\x00\x00\x00\x18ftyp3gp4"),
    ("mp4", b"\x00\x00\x00\x18ftypavc1"),
    ("mp4", b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat"),
    ("mp4", b"\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x01\x00\x00"),
    ("mp4", b"\x00\x00\x10\x00moov"),
    ("jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF"),
    ("jpg", b"\xff\xd8\xff\xe1\x00\x10Exif"),
    ("jpg", b"\xff\xd8\xff\xdb"),
    ("png", b"\x89PNG\r\n\x1a\n"),
    ("gif", b"GIF87a"),
    ("gif", b"GIF89a"),
    ("bmp", b"BM" + bytes(52)),
    ("bmp", b"BA" + bytes(52)),
]

PAGES = [
    b"<html><body>Not found</body></html>",
    b"<!DOCTYPE html>",
    b"\n\n  <?xml version='1.0'?><error/>",
    b"\xef\xbb\xbf<html>",
    b'{"httpStatusCode": 404}',
    "<html>é\xff\xfb</html>".encode("latin-1"),
    "<html>".encode("utf-16"),
    b"Not Found",
    b"\n" * 90 + b"<html></html>",
    b"\n" * 90_000 + b"<html></html>",
    bytes(90_000) + b"<html></html>",
    _LARGE_ID3 + b"<html></html>",
    b"BMP, TAG and ID3 are words too",
    b"",
]


@pytest.mark.parametrize(("extension", "head"), TRUE)
def test_true_files_are_taken(extension, head):
    """A true file is never refused, whatever stands before the bytes that identify its type."""
    assert is_content_of(extension, head)


@pytest.mark.parametrize("extension", sorted(MIME_TYPES))
def test_generated_files_are_taken(extension):
    """The files that the stand-in makes of each type are of that type, and look like no other."""
    content = media_content(extension, seed="x", filler_nbytes=3000).read(0, HEAD_NBYTES)
    others = {"m4a": {"mp4"}, "mp4": {"m4a"}}.get(extension, set())
    assert {name for name in MIME_TYPES if is_content_of(name, content)} - others == {extension}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("extension", sorted(MIME_TYPES))
def test_error_pages_are_refused(extension, page):
    """Markup, JSON, plain words and an empty file are no media file, whatever the suffix."""
    assert not is_content_of(extension, page)


def test_a_sound_in_a_container_is_no_mp3() -> None:
    """PCM in RIFF is refused under the suffix mp3, after a tag too."""
    assert not is_content_of("mp3", _riff(b"RIFF", before=b"fmt " + struct.pack("<IH", 16, 1)))
    assert not is_content_of("mp3", _LARGE_ID3 + _riff(b"RIFF", before=b"fmt " + struct.pack("<IH", 16, 1)))


@pytest.mark.parametrize("so_far", [b"", bytes(100_000), _LARGE_ID3[:70_000], _ID3])
def test_what_has_shown_only_blanks_or_a_tag_so_far_is_open(so_far: bytes) -> None:
    """A WAV that is still being written may begin after them; the check asks for no more than the file has."""
    check = check_content("wav")
    offset = next(check)
    with pytest.raises(StopIteration) as told:
        while True:
            offset = check.send(so_far[offset : offset + HEAD_NBYTES])
    assert told.value.value is ContentVerdict.OPEN


@given(
    st.sampled_from([case for case in TRUE if case[0] in ("mp3", "m4a", "wav") and case[1][:2] != b"\0\0"]), st.data()
)
def test_padding_before_a_sound_changes_nothing(case: tuple[str, bytes], data: st.DataObject) -> None:
    """NULs and line ends in any number, and tags, are skipped (except before boxes, which begin with NULs)."""
    extension, content = case
    padding = data.draw(st.text("\0\r\n ", max_size=5)).encode() * data.draw(st.sampled_from([1, 20_000]))
    assert is_content_of(extension, padding + data.draw(st.sampled_from([b"", _ID3])) + content)


@given(st.sampled_from(sorted(MIME_TYPES)), st.binary(max_size=300))
def test_no_head_raises(extension, head):
    """There is a verdict on any bytes."""
    assert is_content_of(extension, head) in (True, False)


MARKS = [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf" * 3, b"\n\xef\xbb\xbf", b"\r\n" * 35, b" " * 200, b"\n" * 70_000]
TEXTS = [
    b"<!DOCTYPE html><html><title>Sign in</title></html>",
    b"<?xml version='1.0'?><Error/>",
    b'{"httpStatusCode":404,"message":"no such recording"}',
    b")]}',\n[1,2]",
    b"null",
    b"0",
    b'"gone"',
    b"[]",
    b"Recording not found",
    "Größe: nicht gefunden – 録音".encode(),
    b"Warning: fopen(): failed in /srv/get.php on line 3",
    b"#EXTM3U\nhttp://127.0.0.1/a.mp3",
]
printable = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"), min_size=1, max_size=300
)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_a_page_behind_any_blanks_and_marks(mark: bytes, text: bytes) -> None:
    """Blanks and byte-order marks prove nothing: the verdict does not change, and is open until something else came."""
    assert judge(mark + text, is_whole=True) is ContentVerdict.PAGE
    assert judge(mark, is_whole=False) is ContentVerdict.OPEN


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("before", ["", "\r\n", " \n" * 40])
def test_a_page_in_sixteen_or_thirty_two_bits_is_a_page(codec: str, before: str) -> None:
    """It is recognised by its mark, or without one where it begins as pages do."""
    assert judge((before + TEXTS[0].decode()).encode(codec), is_whole=True) is ContentVerdict.PAGE
    assert judge(("\ufeff" + before + TEXTS[2].decode()).encode(codec), is_whole=True) is ContentVerdict.PAGE


def test_markup_in_latin_1_is_a_page() -> None:
    """An opening of many letters is proof, whatever follows it."""
    for page in ("<HTML><title>Größe</title>", "<?xml version='1.0'?><é/>", '{"message": "Größe"}', "<!doctype html>é"):
        assert judge(page.encode("latin-1"), is_whole=False) is ContentVerdict.PAGE


@given(printable)
def test_all_text_is_a_page(text: str) -> None:
    """Text in any language is a page, unless it is one letter over and over."""
    whole = text.encode()
    is_uniform = len("".join(text.split())) >= 256 and len(set("".join(text.split()))) <= 3
    assert judge(whole, is_whole=True) is (ContentVerdict.CONTENT if is_uniform else ContentVerdict.PAGE)


@given(
    st.text('<{["]}x \n', max_size=40),
    st.sampled_from([b"\0", b"\x81", b"\x01", b"\x7f", b"\xff", b"\xc3("]),
    st.binary(),
)
def test_what_is_no_text_is_content(beginning: str, proof: bytes, rest: bytes) -> None:
    """A NUL, a control character or bytes that are no UTF-8 prove content, in the first bytes and after any bracket."""
    assert judge(beginning.encode() + proof + rest, is_whole=True) is ContentVerdict.CONTENT
    assert judge(beginning.encode() + proof + rest + b"(", is_whole=False) in (
        ContentVerdict.CONTENT,
        ContentVerdict.OPEN,
    )


@given(st.one_of(st.binary(max_size=80), printable.map(str.encode)), st.data())
def test_a_verdict_stands_whatever_follows(head: bytes, data: st.DataObject) -> None:
    """A verdict on the first bytes is never taken back when more have come, and the whole is never open."""
    whole = head + data.draw(st.one_of(st.binary(max_size=80), printable.map(str.encode)))
    early = judge(head, is_whole=False)
    assert judge(whole, is_whole=True) is not ContentVerdict.OPEN
    if early is not ContentVerdict.OPEN and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert judge(whole, is_whole=True) is early


def test_enough_text_is_a_page_before_its_end() -> None:
    """So a long page is refused at once, and blanks alone end somewhere."""
    assert judge(b"<p>" + b"words " * ENOUGH_CHARACTERS, is_whole=False) is ContentVerdict.PAGE
    assert judge(b" " * MAX_JUDGED_NBYTES, is_whole=False) is ContentVerdict.PAGE
    assert judge(b"U" * ENOUGH_CHARACTERS, is_whole=False) is ContentVerdict.CONTENT


def test_frames_filled_with_letters_are_content() -> None:
    """Encoders fill silent frames with letters, and a stream cut in the longest of them is no page."""
    assert judge(b"LAME3.100" + b"U" * 1700 + b"\xff\xfb", is_whole=False) is ContentVerdict.CONTENT
    assert judge(b"LAME3.100" + b"U" * 1700, is_whole=False) is ContentVerdict.OPEN


@pytest.mark.parametrize(("extension", "head"), TRUE)
def test_true_media_are_content(extension: str, head: bytes) -> None:
    """A file that may be uploaded may be read."""
    assert judge(head, is_whole=True) is ContentVerdict.CONTENT


VCARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada Example\r\nEND:VCARD\r\n"


@pytest.mark.parametrize(
    "text", [VCARD, b"name,number\r\nAda,1\r\n", b"hello", b"<smil><body/></smil>", b"\xff\xd8\xff"]
)
def test_text_is_content_where_text_is_the_type(text: bytes) -> None:
    """A vCard is no error page."""
    assert judge(text, is_whole=True, may_be_text=True) is ContentVerdict.CONTENT


@pytest.mark.parametrize(
    "page", [TEXTS[0], TEXTS[2], b"\n<html>", b"[]", "<html>é".encode("latin-1"), '{"é": 1}'.encode()]
)
def test_pages_are_pages_even_where_text_is_the_type(page: bytes) -> None:
    """Errors come as HTML and JSON."""
    assert judge(page, is_whole=True, may_be_text=True) is ContentVerdict.PAGE


@given(st.binary(max_size=100), st.booleans())
def test_the_whole_is_never_open(head: bytes, may_be_text: bool) -> None:
    """There is a final verdict on any whole body."""
    assert judge(head, is_whole=True, may_be_text=may_be_text) is not ContentVerdict.OPEN
