"""Names that may be written into media/."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.errors import ContentRefused
from cffs.core.media_types import MIME_TYPES
from cffs.writer.names import media_name

TEMPORARY = [
    ".song.mp3.x8Yz2Q",
    ".goutputstream-ABCDEF",
    "song.mp3.part",
    "Unconfirmed 1234.crdownload",
    "song.mp3.tmp",
    "song.TMP",
    "song.mp3~",
    "song.mp3.partial~",
    "~$song.mp3",
    ".mp3",
]


@pytest.mark.parametrize("extension", sorted(MIME_TYPES))
def test_the_eight_types(extension):
    """Each documented type is sent under its stem, in any case."""
    for suffix in (extension, extension.upper()):
        found = media_name(f"On hold. Nr 1.{suffix}")
        assert found is not None
        assert (found.stem, found.extension) == ("On hold. Nr 1", extension)
        assert found.content_type == MIME_TYPES[extension]


def test_jpeg_is_jpg():
    """The longer spelling of a type is that type."""
    found = media_name("logo.jpeg")
    assert found is not None
    assert found.extension == "jpg"


@pytest.mark.parametrize("name", TEMPORARY)
def test_temporary_names(name):
    """Names that programs give a file until it is whole are kept, not sent."""
    assert media_name(name) is None


@pytest.mark.parametrize("name", ["song", "song.ogg", "song.mp3.txt", "song.", "mp3", "song.json", "song.mp3 "])
def test_other_names(name):
    """Every other name is refused."""
    with pytest.raises(ContentRefused):
        media_name(name)


@given(st.text(min_size=1, max_size=60), st.sampled_from(sorted(MIME_TYPES)))
def test_what_is_sent_can_be_said(stem, extension):
    """Whatever bytes a name has, it is sent as text that UTF-8 can spell, and as the whole stem."""
    name = stem.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") + "." + extension
    found = media_name(name)
    if found is not None:
        found.stem.encode()
        assert found.extension == extension
