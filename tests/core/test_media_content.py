"""Which first bytes are those of a media file's type."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.media_content import HEAD_NBYTES, is_content_of
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
    b"",
]


@pytest.mark.parametrize(("extension", "head"), TRUE)
def test_true_files_are_taken(extension, head):
    """A true file is never refused, whatever stands before what its type is known by."""
    assert is_content_of(extension, head)


@pytest.mark.parametrize("extension", sorted(MIME_TYPES))
def test_generated_files_are_taken(extension):
    """What the stand-in makes of each type is of that type, and of no other's look."""
    content = media_content(extension, seed="x", filler_nbytes=3000).read(0, HEAD_NBYTES)
    others = {"m4a": {"mp4"}, "mp4": {"m4a"}}.get(extension, set())
    assert {name for name in MIME_TYPES if is_content_of(name, content)} - others == {extension}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("extension", sorted(MIME_TYPES))
def test_error_pages_are_refused(extension, page):
    """Markup, JSON, plain words and nothing at all are no media file, whatever the suffix says."""
    assert not is_content_of(extension, page)


@given(st.sampled_from(sorted(MIME_TYPES)), st.binary(max_size=300))
def test_no_head_raises(extension, head):
    """The verdict is total."""
    assert is_content_of(extension, head) in (True, False)
