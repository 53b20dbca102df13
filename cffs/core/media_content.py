"""Whether a file's first bytes are those of its type: the eight media types of the service, headers with surprises too.

It must not know files or names. Uploads ask it before anything is sent: what is an error page under a media file's
name can never be taken back from the service.

A true file is never refused; a false one that takes pains may pass, and is the service's to refuse.
"""

from collections.abc import Callable, Mapping

#: As many first bytes as a verdict wants: MPEG frames may stand behind that much of zeros and foreign tags.
HEAD_NBYTES = 64 * 1024
#: ISO 14496-12 and QuickTime: what a file may begin with. `ftyp` is usual, not required (old files have none).
_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"pdin", b"moof"))
#: RIFF and its kin: big-endian, over 4 GiB (EBU RF64, and BW64).
_RIFFS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
#: Tags of players that stand before MPEG frames: ID3v2, APEv2, Lyrics3, ID3v1 (misplaced, but found).
_MP3_TAGS = (b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"TAG")
#: OS/2 bitmap arrays, icons and pointers carry the same suffix as Windows bitmaps.
_BITMAPS = (b"BM", b"BA", b"CI", b"CP", b"IC", b"PT")
#: WAVE_FORMAT_MPEG and WAVE_FORMAT_MPEGLAYER3, little-endian.
_MPEG_FORMATS = (b"\x50\x00", b"\x55\x00")
_ADTS_MASK, _ADTS = 0xFFF6, 0xFFF0

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


def is_content_of(extension: str, head: bytes) -> bool:
    """Whether `head`, the first HEAD_NBYTES of a file or all of it, can begin a true file of that type.

    `extension` is one of the eight documented ones. No file is empty, and none begins as markup or JSON does.
    """
    return bool(head) and _CHECKS[extension](head)


def _is_wav(head: bytes) -> bool:
    return head[:4] in _RIFFS and head[8:12] == b"WAVE"


def _is_mp3(head: bytes) -> bool:
    if head.startswith(_MP3_TAGS):
        return True
    if _is_wav(head):  # MPEG frames in a RIFF file, as some recorders write under this suffix
        return head[head.find(b"fmt ") :][8:10] in _MPEG_FORMATS
    start = len(head) - len(head.lstrip(b"\0"))
    if head[start : start + 1] in (b"<", b"{", b"["):
        return False
    at = head.find(b"\xff", start)
    while 0 <= at < len(head) - 3:
        if _frames_follow(head, at):
            return True
        at = head.find(b"\xff", at + 1)
    return False


def _frames_follow(head: bytes, at: int) -> bool:
    """Whether an MPEG audio frame begins there, and another one, alike, where it ends (or the head ends before)."""
    nbytes = _frame_nbytes(head[at : at + 4])
    if nbytes is None:
        return False
    if nbytes == 0:  # "free" rate: nothing tells the length
        return at == 0
    following = head[at + nbytes : at + nbytes + 4]
    if len(following) < 4:
        return at < len(head) // 2 or at == 0
    return _frame_nbytes(following) is not None and (following[1] ^ head[at + 1]) & 0xFE == 0


def _frame_nbytes(header: bytes) -> int | None:
    """The length of the frame that the four bytes begin, 0 where it cannot be told, None where they begin none."""
    word = int.from_bytes(header, "big")
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


def _is_boxes(head: bytes) -> bool:
    if len(head) < 8:
        return False
    nbytes = int.from_bytes(head[:4], "big")
    # 0: to the file's end; 1: a length of 64 bits follows
    return head[4:8] in _BOXES and (nbytes in (0, 1) or nbytes >= 8)


def _is_m4a(head: bytes) -> bool:
    """ISO media; some writers put bare AAC frames under this suffix."""
    if _is_boxes(head):
        return True
    return len(head) > 1 and (head[0] << 8 | head[1]) & _ADTS_MASK == _ADTS


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(beginnings)


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
