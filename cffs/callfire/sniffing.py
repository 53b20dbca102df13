"""Telling an error page from audio by its first bytes; pure.

It must not know statuses (they decide first) nor where the bytes came from.
`callfire/ranges` calls it for a body that starts at the object's first byte.
"""

import re

#: As many first bytes as the verdict wants: a byte-order mark, some blank lines and the first words of a page.
SNIFF_NBYTES = 64
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe<\x00", b"\xff\xfe{\x00", b"\xff\xfe[\x00", b"\xfe\xff\x00")
#: RIFF wav, ID3 and frame sync mp3, ISO media (ftyp is at 4), JPEG, PNG, GIF, BMP, Ogg, FLAC, AU.
_MAGIC = (b"RIFF", b"RIFX", b"ID3", b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"OggS", b"fLaC", b".snd")
_TEXT_TYPES = re.compile(r"text/.*|application/(xhtml\+xml|xml|json|problem\+json|.*\+xml|.*\+json)", re.ASCII)
_MARKUP = re.compile(rb"<[!?/A-Za-z]")
_JSON = re.compile(rb'\{\s*("|\}|\Z)|\[\s*([\]{"\[]|\Z)')


def looks_like_error_page(first_bytes: bytes, content_type: str) -> bool:
    """True where an object's first bytes are markup or JSON, not audio or a picture.

    The type alone decides nothing: the service types real MP3 as `application/json` and errors as `audio/mpeg`
    (api.md 0.2, 0.3). A text type makes a lone `<`, `{` or `[` enough; else more of a page must be there.
    """
    if first_bytes.startswith(_MAGIC) or first_bytes[4:8] == b"ftyp":
        return False
    if first_bytes.startswith(_BYTE_ORDER_MARKS[1:]):
        return True
    # A frame sync is eleven set bits; no text starts so, once the byte-order marks above are out of the way.
    if len(first_bytes) >= 2 and first_bytes[0] == 0xFF and first_bytes[1] & 0xE0 == 0xE0:
        return False
    text = first_bytes.removeprefix(_BYTE_ORDER_MARKS[0]).lstrip(b" \t\r\n\x0b\x0c")
    if not text.startswith((b"<", b"{", b"[")):
        return False
    if _TEXT_TYPES.fullmatch(content_type) is not None:
        return True
    return _MARKUP.match(text) is not None or (len(text) > 1 and _JSON.match(text) is not None)
