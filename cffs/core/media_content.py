"""Content sniffing: is a body media or a page, and is a file of its type?

`judge` separates content from pages in downloads. A body of text alone (printable characters and blanks) is a page: a
login form, an error in JSON, a script's warning. A NUL, another control character or bytes that are no UTF-8 make it
content, because no sound or picture of any codec is without them for long. Blanks prove nothing, so they are not
counted. A body that begins with the magic bytes of a format is content at once.

`check_content` says whether a file to be uploaded can be of the type that its suffix names, because an upload can never
be taken back. A true file is never refused, whatever stands before the bytes that identify its type. A false one made
with care may pass; the service may still refuse it.

It owns magic bytes, frames and the amounts that are looked at. It must not know files, requests or names.
"""

import codecs
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import Enum

from cffs.core.units import KIB, MIB

#: The number of bytes that `check_content` looks at in one place.
HEAD_NBYTES = 64 * KIB
#: This many characters of text, without blanks, are a page. It is more than the longest MPEG audio frame (1,729 bytes):
#: encoders fill frames with letters (`UUUU`, `LAME3.100`), and a stream may begin in the middle of one.
ENOUGH_CHARACTERS = 4096
#: After this many bytes of blanks and little else the verdict is given: it is no sound.
MAX_JUDGED_NBYTES = 1 * MIB
#: A shorter piece of which the rest is not at hand gives no verdict.
MIN_JUDGED_NBYTES = 64
#: A-law writes silence as one letter (0x55, `U`), over and over; a page has more than three different letters.
_UNIFORM_NBYTES, _UNIFORM_LETTERS = 256, 3

_BLANKS = " \t\n\r\x0b\x0c\xa0\ufeff"
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
#: Byte order marks of encodings other than UTF-8. The longer ones first: that of UTF-32 begins with that of UTF-16.
_MARKED = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
#: UTF-16 without a mark, recognised by how pages begin. Sound can begin so too, so more of it must look like text.
_UNMARKED = (
    (re.compile(rb"(?:[\t\n\r ]\0)*[<{\[]\0"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t\n\r ])*\0[<{\[]"), "utf-16-be"),
)
_UNMARKED_CHARACTERS = 8
#: Openings of at least 40 bits that only a page has, whatever follows (a name in Latin-1, say).
_PAGE = re.compile(r"<(?:!doctype|html|head>|body|\?xml)|\{\s*\"[a-z_][\w.@-]{2,40}\"\s*:", re.IGNORECASE | re.ASCII)
#: Openings of a page even where text was asked for (a vCard, say).
_PAGE_AMONG_TEXTS = re.compile(r"<(?:!doctype|html|head>|body)|[{\[]\s*[\"{\[\]}]", re.IGNORECASE | re.ASCII)
_OPENING_CHARACTERS = 64

#: The beginnings of media: RIFF and its kin, ID3, Ogg, FLAC, AU, AMR, AIFF, CAF, NIST SPHERE, ISO media, pictures.
_MAGIC = re.compile(
    rb"RIF[FX]|RF64|BW64|ID3|OggS|fLaC|\.snd|#!AMR|caff|FORM....AIF[FC]|NIST_1[AB]|GIF8[79]a|\xff\xd8\xff"
    rb"|\0...(?:ftyp|styp|moov|mdat|free|skip|wide)|\x89PNG\r\n\x1a\n|BM....\0\0\0\0",
    re.DOTALL,
)
#: ISO 14496-12 and QuickTime: the boxes that a file may begin with. `ftyp` is usual, not required (old files have
#: none).
_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"pdin", b"moof"))
#: RIFF and its kin: big-endian, over 4 GiB (EBU RF64, and BW64).
_RIFFS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
#: Tags of players that stand before MPEG frames besides ID3v2: APEv2, Lyrics3, ID3v1 (misplaced, but found).
_MP3_TAGS = (b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"TAG")
#: OS/2 bitmap arrays, icons and pointers carry the same suffix as Windows bitmaps.
_BITMAPS = (b"BM", b"BA", b"CI", b"CP", b"IC", b"PT")
#: WAVE_FORMAT_MPEG and WAVE_FORMAT_MPEGLAYER3, little-endian.
_MPEG_FORMATS = (b"\x50\x00", b"\x55\x00")
#: Bytes that players skip before a sound.
_PADDING = b"\0\t\n\r "
_ID3_HEAD_NBYTES, _ID3_HAS_FOOTER = 10, 0x10
#: MPEG frames may follow this much other data; it is searched in pieces that overlap by a frame.
_SEARCHED_PIECES, _OVERLAP_NBYTES = 16, 2048

#: kbit/s by (version 1 or not, layer) and index; index 0 is "free", 15 is none.
_RATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
#: Hz by version bits (MPEG 2.5, none, 2, 1) and index.
_HERTZ = {0: (11_025, 12_000, 8_000), 2: (22_050, 24_000, 16_000), 3: (44_100, 48_000, 32_000)}
_VERSION_1 = 3
_HEADER_NBYTES = 8


class ContentVerdict(Enum):
    """The verdict on the first bytes of a body or file."""

    CONTENT = "content"
    PAGE = "page"
    """A page or a document; from `check_content`: not of the type."""
    OPEN = "open"
    """Not decided: more bytes are needed."""


def judge(head: bytes, *, is_whole: bool, may_be_text: bool = False) -> ContentVerdict:
    """Whether `head`, the first bytes of an object, are media content or a page.

    `is_whole` says that nothing follows: the verdict is then never OPEN, nor is it from MAX_JUDGED_NBYTES on. No bytes
    at all are CONTENT: whether an object may be empty is decided elsewhere. `may_be_text` is for media of types that
    are text: then only HTML and JSON are pages.
    """
    is_whole = is_whole or len(head) >= MAX_JUDGED_NBYTES
    if not head and not is_whole:
        return ContentVerdict.OPEN
    if not head or _MAGIC.match(head):
        return ContentVerdict.CONTENT
    opening = head.lstrip(b" \t\n\r\x0b\x0c\xef\xbb\xbf")[:_OPENING_CHARACTERS].decode("latin-1")
    text = _text(head, is_whole=is_whole)
    if may_be_text:
        return _judge_text(opening, text, is_whole=is_whole)
    if _PAGE.match(opening):
        return ContentVerdict.PAGE
    if text is None:
        return ContentVerdict.CONTENT
    letters = "".join(text.split()).replace("\ufeff", "")
    if not is_whole and len(letters) < ENOUGH_CHARACTERS:
        return ContentVerdict.OPEN
    is_uniform = len(letters) >= _UNIFORM_NBYTES and len(set(letters)) <= _UNIFORM_LETTERS
    return ContentVerdict.CONTENT if is_uniform else ContentVerdict.PAGE


def _judge_text(opening: str, text: str | None, *, is_whole: bool) -> ContentVerdict:
    """The verdict where text is content, by its opening alone."""
    if text is None:
        return ContentVerdict.PAGE if _PAGE.match(opening) else ContentVerdict.CONTENT
    opening = text.strip(_BLANKS)[:_OPENING_CHARACTERS]
    if _PAGE_AMONG_TEXTS.match(opening):
        return ContentVerdict.PAGE
    return ContentVerdict.CONTENT if is_whole or len(opening) == _OPENING_CHARACTERS else ContentVerdict.OPEN


def _text(head: bytes, *, is_whole: bool) -> str | None:
    """The bytes as text, without a character that is cut at their end; None where they are no text."""
    for mark, codec in _MARKED:
        if head.startswith(mark):
            text = _decoded(head, codec, is_whole=is_whole)
            # Sound can begin with a mark and go on as odd characters; at least half of a page is ASCII.
            return text if text is not None and 2 * sum(map(str.isascii, text)) >= len(text) else None
    for opening, codec in _UNMARKED:
        if opening.match(head):
            text = _decoded(head, codec, is_whole=is_whole)
            is_long = text is not None and len(text) >= _UNMARKED_CHARACTERS
            return text if text is not None and text.isascii() and (is_long or not is_whole) else None
    return _decoded(head, "utf-8", is_whole=is_whole)


def _decoded(head: bytes, codec: str, *, is_whole: bool) -> str | None:
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head, is_whole)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def check_content(extension: str) -> Generator[int, bytes, ContentVerdict]:
    """Whether a file can be of a type: yields the offsets of HEAD_NBYTES to look at, and is sent those bytes.

    `extension` is one of the eight documented ones. Fewer bytes mean that the file ends there. Returns CONTENT, PAGE
    for a file that is not of the type, or OPEN where it ended before its type showed (only blanks, or a tag alone).
    Such a file is not of the type either, but may become so while it is being written.
    """
    offset, head = 0, (yield 0)
    is_tagged = False
    while True:
        is_last = len(head) < HEAD_NBYTES
        if not head:
            return ContentVerdict.CONTENT if is_tagged and extension == "mp3" else ContentVerdict.OPEN
        if judge(head, is_whole=is_last) is ContentVerdict.PAGE:
            return ContentVerdict.PAGE
        if not head.startswith(b"ID3") and _CHECKS[extension](head):  # boxes begin with NULs of their own
            return ContentVerdict.CONTENT
        skipped_nbytes = _nbytes_before(head) if extension in _SOUNDS else 0
        if not skipped_nbytes:
            break
        is_tagged = is_tagged or head.startswith(b"ID3")
        offset += skipped_nbytes
        head = yield offset
    if extension not in _FRAMES or _is_wav(head):
        return ContentVerdict.PAGE
    if extension == "mp3" and (is_tagged or head.startswith(b"ID3")):
        return ContentVerdict.CONTENT
    for _piece in range(_SEARCHED_PIECES):
        if any(_has_frames(head, sync) for sync in _FRAMES[extension]):
            return ContentVerdict.CONTENT
        if len(head) < HEAD_NBYTES:
            break
        offset += HEAD_NBYTES - _OVERLAP_NBYTES
        head = yield offset
    return ContentVerdict.PAGE


def is_content_of(extension: str, content: bytes) -> bool:
    """`check_content` for a file in memory."""
    check = check_content(extension)
    offset = next(check)
    while True:
        try:
            offset = check.send(content[offset : offset + HEAD_NBYTES])
        except StopIteration as verdict:
            return verdict.value is ContentVerdict.CONTENT


def _nbytes_before(head: bytes) -> int:
    """The number of bytes of padding, or of one ID3v2 tag, before a sound."""
    padding_nbytes = len(head) - len(head.lstrip(_PADDING))
    if padding_nbytes or not head.startswith(b"ID3") or len(head) < _ID3_HEAD_NBYTES:
        return padding_nbytes
    flags, sizes = head[5], head[6:_ID3_HEAD_NBYTES]
    if max(sizes) > 0x7F:  # not a size in the format's own spelling: the end of the tag is unknown
        return 0
    nbytes = sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3]
    return nbytes + _ID3_HEAD_NBYTES * (2 if flags & _ID3_HAS_FOOTER else 1)


def _is_wav(head: bytes) -> bool:
    return head[:4] in _RIFFS and head[8:12] == b"WAVE"


def _is_mp3(head: bytes) -> bool:
    if _is_wav(head):  # MPEG frames in a RIFF file: some recorders write these under this suffix
        return head[head.find(b"fmt ") :][8:10] in _MPEG_FORMATS
    return head.startswith(_MP3_TAGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sync:
    """How the frames of a stream are recognised.

    A frame has the first byte, the bits of the second byte that are alike in all frames, and a length from its header.
    `in_a_row` of them must follow each other. Those that would begin after the head need not, where the first begins at
    its start or `may_end_anywhere` is true: a header of many bits is proof enough.
    """

    first_byte: bytes
    alike_bits: int
    in_a_row: int
    may_end_anywhere: bool
    frame_nbytes: Callable[[bytes], int | None]


def _has_frames(head: bytes, sync: _Sync) -> bool:
    """Whether frames begin anywhere in the head."""
    at = head.find(sync.first_byte)
    while 0 <= at < len(head) - 3:
        if _frames_follow(head, at, sync):
            return True
        at = head.find(sync.first_byte, at + 1)
    return False


def _frames_follow(head: bytes, at: int, sync: _Sync) -> bool:
    position = at
    for _frame in range(sync.in_a_row):
        header = head[position : position + _HEADER_NBYTES]
        if len(header) < 4:
            return at == 0 or (at < len(head) // 2 and sync.may_end_anywhere)
        nbytes = sync.frame_nbytes(header)
        if nbytes is None or (header[1] ^ head[at + 1]) & sync.alike_bits:
            return False
        if nbytes == 0:  # a "free" rate: the length is not known
            return at == 0
        position += nbytes
    return True


def _mpeg_frame_nbytes(header: bytes) -> int | None:
    """The length of the MPEG frame that the bytes begin, 0 where it is not known, None where they begin none."""
    word = int.from_bytes(header[:4], "big")
    version, layer, rate, hertz = word >> 19 & 3, 4 - (word >> 17 & 3), word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or rate == 15 or hertz == 3:
        return None
    bits = _RATES[version == _VERSION_1, layer][rate] * 1000
    if not bits:
        return 0
    padding = word >> 9 & 1
    if layer == 1:
        return (12 * bits // _HERTZ[version][hertz] + padding) * 4
    samples = 72 if layer == 3 and version != _VERSION_1 else 144
    return samples * bits // _HERTZ[version][hertz] + padding


def _adts_frame_nbytes(header: bytes) -> int | None:
    """The length of a frame of AAC in ADTS (13 bits across bytes 3 to 5); None where the bytes begin none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    nbytes = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return nbytes if nbytes > 7 else None


def _loas_frame_nbytes(header: bytes) -> int | None:
    """The length of a frame of AAC in LATM with the LOAS sync word (13 bits after 11); None for other bytes."""
    if len(header) < 3 or header[0] != 0x56 or header[1] & 0xE0 != 0xE0:
        return None
    return ((header[1] & 0x1F) << 8 | header[2]) + 3


def _is_boxes(head: bytes) -> bool:
    if len(head) < 8:
        return False
    nbytes = int.from_bytes(head[:4], "big")
    # 0: to the file's end; 1: a length of 64 bits follows
    return head[4:8] in _BOXES and (nbytes in (0, 1) or nbytes >= 8)


def _is_m4a(head: bytes) -> bool:
    """ISO media; some writers put bare AAC under this suffix."""
    return _is_boxes(head) or head.startswith(b"ADIF") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0)


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


_MPEG = _Sync(first_byte=b"\xff", alike_bits=0xFE, in_a_row=2, may_end_anywhere=True, frame_nbytes=_mpeg_frame_nbytes)
_ADTS = _Sync(first_byte=b"\xff", alike_bits=0xFF, in_a_row=2, may_end_anywhere=False, frame_nbytes=_adts_frame_nbytes)
#: Its sync word is short: 11 bits.
_LOAS = _Sync(first_byte=b"\x56", alike_bits=0, in_a_row=3, may_end_anywhere=False, frame_nbytes=_loas_frame_nbytes)
#: The frames that may begin anywhere in a file of the type.
_FRAMES: Mapping[str, tuple[_Sync, ...]] = {"mp3": (_MPEG,), "m4a": (_ADTS, _LOAS)}
#: Types before which players skip padding and ID3 tags.
_SOUNDS = ("m4a", "mp3", "wav")
_CHECKS: Mapping[str, Callable[[bytes], bool]] = {
    "bmp": _starts(*_BITMAPS),
    "gif": _starts(b"GIF87a", b"GIF89a"),
    "jpg": _starts(b"\xff\xd8\xff"),
    "m4a": _is_m4a,
    "mp3": _is_mp3,
    "mp4": _is_boxes,
    "png": _starts(b"\x89PNG\r\n\x1a\n"),
    "wav": _is_wav,
}
