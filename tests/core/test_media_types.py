import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.core.media_types import MIME_TYPES, extension_of, may_be_text, public_parts, shown_extension, stem_of


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        ("image/jpeg", "jpg"), ("jpeg", "jpg"), ("image/png", "png"), ("image/bmp", "bmp"), ("image/x-bmp", "bmp"),
        ("image/gif", "gif"), ("video/mp4", "mp4"), ("audio/m4a", "m4a"), ("audio/mp4", "m4a"), ("audio/mp3", "mp3"),
        ("audio/mpeg", "mp3"), ("MP3", "mp3"), ("audio/x-wav", "wav"), ("audio/wav", "wav"), ("audio/vnd.wave", "wav"),
        (" Audio/MPEG; charset=binary", "mp3"), ("application/octet-stream", ""), ("video/3gpp", ""), ("", ""),
    ],
)  # fmt: skip
def test_aliases(media_type: str, extension: str) -> None:
    """MIME types, their aliases and CallFire's bare words give the documented extension, other words none."""
    assert extension_of(media_type) == extension


@pytest.mark.parametrize(
    ("media_type", "suffix", "extension"),
    [
        ("video/3gpp", "3gp", "3gp"), ("text/vcard", "VCF", "vcf"), ("application/octet-stream", "", ""),
        ("application/octet-stream", "mp3", "mp3"), ("image/jpeg", "bin", "jpg"), ("", "jpeg", "jpg"),
        ("audio/amr", "", ""),
    ],
)  # fmt: skip
def test_other_types_are_shown_under_the_suffix_of_their_public_url(
    media_type: str, suffix: str, extension: str
) -> None:
    """Known types have their documented suffix; others that of the URL, else none."""
    assert shown_extension(media_type, suffix) == extension


@pytest.mark.parametrize(
    ("name", "extension", "stem"),
    [
        ("cf.png", "png", "cf"), ("cf.PNG", "png", "cf"), ("cf.jpeg", "jpg", "cf"), ("cf.png", "jpg", "cf.png"),
        ("a.b.wav", "wav", "a.b"), (".png", "png", ".png"), ("cf.", "", "cf."), ("cf.x", "", "cf.x"), ("", "", ""),
        ("Ada.vcf", "vcf", "Ada"), ("png", "png", "png"), ("cf.mp4", "3gp", "cf.mp4"),
    ],
)  # fmt: skip
def test_a_name_loses_the_suffix_of_its_own_type(name: str, extension: str, stem: str) -> None:
    """A file called `cf.png` is shown so, not as `cf.png.png`."""
    assert stem_of(name, extension) == stem


def test_sounds_films_and_pictures_are_no_text() -> None:
    """A vCard may be text, and so may a file without a suffix."""
    assert not any(map(may_be_text, [*MIME_TYPES, "jpeg", "3gp", "AMR", "tif"]))
    assert all(map(may_be_text, ["vcf", "txt", "", "bin", "ics"]))


def test_every_extension_knows_its_own_type() -> None:
    """The type sent for an extension is read back as that extension."""
    assert {extension_of(mime_type) for mime_type in MIME_TYPES.values()} == set(MIME_TYPES)
    assert all(extension_of(mime_type) == extension for extension, mime_type in MIME_TYPES.items())


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://api.callfire.com/v2/media/public/ab1.jpeg", ("ab1", "jpeg")),
        ("https://www.callfire.com/v2/media/public/3f0c-77.a.mp3?x=1#y", ("3f0c-77.a", "mp3")),
        ("https://h/media/public/a%20b.png", ("a b", "png")),
        ("https://h/media/public/a%2Fb.png", (None, None)),
        ("https://h/media/public/..%2e.png", ("...", "png")),
        ("https://h/media/public/%2e.png", (None, None)),
        ("https://h/media/public/x/y.png", (None, None)),
        ("https://h/media/public/.png", (None, None)),
        ("https://h/media/public/key", (None, None)),
        ("https://h/media/5.mp3", (None, None)),
        ("http://[::1", (None, None)),
        ("", (None, None)),
    ],
)
def test_public_urls(url: str, parts: tuple[str | None, str | None]) -> None:
    """Key and extension are what stands between `public/` and the end, as spelt; a key is one segment."""
    assert public_parts(url) == parts


@given(st.text().map(lambda text: "https://h/media/public/" + text))
def test_any_public_url(url: str) -> None:
    """No URL raises, and a key never holds a separator or a control character."""
    key, extension = public_parts(url)
    assert (key is None) == (extension is None)
    assert key is None or (key not in ("", ".", "..") and not set(key) & set("/\0\n"))
