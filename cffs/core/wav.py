"""The head of a WAV file: where its samples lie, which of them a moment is, and a head for those alone. Pure.

It must not know where the bytes come from. `reader/moments` calls it.
PCM and mu-law, the two forms that the service makes (api.md section 6), of any rate, width and number of channels.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction

from cffs.core.byte_range import ByteRange

#: Enough for the chunks before the samples, unless somebody put a picture there.
HEAD_NBYTES = 4096
_PCM = 1
_MULAW = 7
_RIFF_NBYTES = 12
_CHUNK_NBYTES = 8
_FORMAT = struct.Struct("<HHIIHH")
#: What a writer that does not know the length says (0, or the largest).
_UNTOLD = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF})
_MAX_NBYTES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class WavLayout:
    """Where the samples lie in the file, and what one frame of them is."""

    samples: ByteRange
    tag: int
    channels: int
    rate: int
    frame_nbytes: int
    bits: int


def parse_head(head: bytes, *, total_nbytes: int) -> WavLayout | None:
    """The layout that the first bytes of a file of `total_nbytes` tell; None for what is no WAV of PCM or mu-law."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    offset, found = _RIFF_NBYTES, None
    while offset + _CHUNK_NBYTES <= len(head):
        name, nbytes = head[offset : offset + 4], int.from_bytes(head[offset + 4 : offset + 8], "little")
        offset += _CHUNK_NBYTES
        if name == b"fmt " and nbytes >= _FORMAT.size and offset + _FORMAT.size <= len(head):
            found = _FORMAT.unpack_from(head, offset)
        if name == b"data":
            rest = max(0, total_nbytes - offset)
            told = rest if nbytes in _UNTOLD else min(nbytes, rest)
            return None if found is None else _layout(found, offset, told)
        offset += nbytes + nbytes % 2
    return None


def _layout(found: tuple[int, ...], offset: int, nbytes: int) -> WavLayout | None:
    tag, channels, rate, _bytes_a_second, frame_nbytes, bits = found
    if tag not in (_PCM, _MULAW) or not (channels and rate and bits) or frame_nbytes * 8 != channels * bits:
        return None
    samples = ByteRange(offset, offset + nbytes - nbytes % frame_nbytes)
    return WavLayout(samples=samples, tag=tag, channels=channels, rate=rate, frame_nbytes=frame_nbytes, bits=bits)


def cut(layout: WavLayout, start_seconds: Fraction, stop_seconds: Fraction) -> tuple[bytes, ByteRange] | None:
    """The head of a file of that moment alone, and where its samples lie; None where the recording has none there.

    The frames are those from `start` up to, and without, `stop`, each rounded down; what lies behind the end is cut.
    """
    first = int(start_seconds * layout.rate) * layout.frame_nbytes
    last = min(int(stop_seconds * layout.rate) * layout.frame_nbytes, layout.samples.nbytes)
    if first >= last:
        return None
    samples = ByteRange(layout.samples.start + first, layout.samples.start + last)
    return _head(layout, samples.nbytes), samples


def _head(layout: WavLayout, nbytes: int) -> bytes:
    form = _FORMAT.pack(
        layout.tag,
        layout.channels,
        layout.rate,
        min(layout.rate * layout.frame_nbytes, _MAX_NBYTES),
        layout.frame_nbytes,
        layout.bits,
    )
    chunks = b""
    if layout.tag != _PCM:  # other forms tell the length of their extension, and how many frames there are
        form += b"\0\0"
        chunks = b"fact" + struct.pack("<II", 4, nbytes // layout.frame_nbytes)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + chunks + b"data" + struct.pack("<I", nbytes)
    return b"RIFF" + struct.pack("<I", min(4 + len(chunks) + nbytes, _MAX_NBYTES)) + b"WAVE" + chunks
