"""WAV headers: parse one, and write one for a clip of the samples; pure.

Frames of one size (PCM, float, A-law, mu-law, plain or extensible) are cut exactly. GSM 6.10 and the ADPCM of IMA and
Microsoft pack many samples into a block that can only be decoded whole: those are cut outwards to whole blocks, and the
`fact` chunk of the header gives the number of samples. RF64 and BW64 are WAVs of more than 4 GiB (EBU Tech 3306).

It owns the layout of the samples and the header of a clip. It must not know where the bytes come from.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction

from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer
from cffs.core.units import KIB, MAX_OBJECT_NBYTES

_RIFF_NBYTES = 12
_CHUNK_NBYTES = 8
_FORMAT = struct.Struct("<HHIIHH")
#: The largest `fmt ` of a known codec has 50 bytes; it is read whole and copied.
_MAX_FORMAT_NBYTES = 1 * KIB
#: No program writes more chunks before the samples; a file with more was made to be walked for ever.
_MAX_CHUNKS = 256
_PCM = 0x0001
_MS_ADPCM = 0x0002
_IMA_ADPCM = 0x0011
_GSM = 0x0031
_EXTENSIBLE = 0xFFFE
_FLOAT, _ALAW, _MULAW = 0x0003, 0x0006, 0x0007
#: Codecs with the same number of bytes in every frame.
_OF_FRAMES = frozenset({_PCM, _FLOAT, _ALAW, _MULAW})
#: A `fmt ` of WAVE_FORMAT_EXTENSIBLE holds the codec's number and this (KSDATAFORMAT_SUBTYPE_…).
_SUBTYPE_OFFSET, _SUBTYPE_TAIL, _EXTENSION_NBYTES = 24, bytes.fromhex("000000001000800000aa00389b71"), 22
#: A float of 64 bits is the widest there is.
_MAX_SAMPLE_NBYTES = 8
#: A GSM block of a WAV file: two frames of 160 samples in 65 bytes.
_GSM_NBYTES, _GSM_FRAMES = 65, 320
#: A writer that does not know the length writes 0, or about the largest number that it can (0x7ffff000 by SoX,
#: 0x7fffffff less a header by others, 0xffffffff by ffmpeg).
_UNKNOWN_FROM = 0x7FFF0000
_MAX_NBYTES = 0xFFFFFFFF
#: Codecs that telephone systems and encoders put into WAV files, for the message that none can be cut (mmreg.h).
_NAMES = {
    0x0010: "OKI ADPCM", 0x0014: "G.723 ADPCM", 0x0017: "Dialogic OKI ADPCM", 0x0020: "Yamaha ADPCM",
    0x0022: "TrueSpeech", 0x0040: "G.721 ADPCM", 0x0042: "G.723.1", 0x0045: "G.726 ADPCM", 0x0050: "MPEG audio",
    0x0055: "MP3", 0x0064: "G.726 ADPCM", 0x0065: "G.722 ADPCM", 0x0083: "G.729", 0x00FF: "AAC",
    0x0130: "ACELP.net", 0x0160: "Windows Media Audio", 0x0161: "Windows Media Audio", 0x028F: "G.722",
    0x674F: "Ogg Vorbis", 0x704F: "Opus", 0xA109: "Speex", 0xF1AC: "FLAC",
}  # fmt: skip
#: A generator that yields the byte range it needs next and is sent those bytes; fewer only where the file ends.
Walk = Generator[ByteRange, bytes, "WavLayout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WavLayout:
    """Where the samples lie in the file, and how they are packed: `block_frames` frames in each `block_nbytes` bytes.

    `nbytes` counts their bytes, None where the header does not give it. `form` is the `fmt ` chunk of a file of such
    samples. `stated_frames` is their number by the `fact` chunk, 0 without one.
    """

    offset: int
    nbytes: int | None
    form: bytes
    codec: int
    rate: int
    channels: int
    block_nbytes: int
    block_frames: int
    stated_frames: int

    def within(self, total_nbytes: int) -> "WavLayout":
        """The layout in a file of `total_nbytes`: samples that the header claims beyond its end do not exist."""
        rest = max(0, total_nbytes - self.offset)
        return replace(self, nbytes=rest if self.nbytes is None else min(self.nbytes, rest))

    def frames_in(self, nbytes: int) -> int:
        """The number of frames in `nbytes` of samples, with those of a last block that is cut short."""
        blocks, rest = divmod(nbytes, self.block_nbytes)
        return blocks * self.block_frames + self._frames_of_short_block(rest)

    def _frames_of_short_block(self, nbytes: int) -> int:
        """Only ADPCM has short blocks: a header for each channel, then four bits a sample."""
        header_nbytes = {_IMA_ADPCM: 4, _MS_ADPCM: 7}.get(self.codec, 0) * self.channels
        if not header_nbytes or nbytes < header_nbytes:
            return 0
        frames = (nbytes - header_nbytes) * 2 // self.channels
        return frames // 8 * 8 + 1 if self.codec == _IMA_ADPCM else frames + 2


def read_head() -> Walk:
    """Walk a file's chunks up to its samples, over anything before them, an ID3 tag included.

    Raises MalformedAnswer, with what was found, for a file that is no WAV, has no samples, or has a codec that cannot
    be cut.
    """
    offset, riff = 0, (yield ByteRange(0, _RIFF_NBYTES))
    if riff[:3] == b"ID3" and len(riff) == _RIFF_NBYTES:
        # its length in four groups of seven bits, without its own header
        offset = 10 + sum(byte << shift for byte, shift in zip(riff[6:10], (21, 14, 7, 0), strict=True))
        riff = yield ByteRange(offset, offset + _RIFF_NBYTES)
    if riff[:4] not in (b"RIFF", b"RF64", b"BW64") or riff[8:12] != b"WAVE":
        raise MalformedAnswer(f"no clip can be cut from what is no WAV file (it begins with {riff[:4].hex()})")
    offset += _RIFF_NBYTES
    form, sizes, stated_frames = b"", b"", 0
    for _ in range(_MAX_CHUNKS):
        head = yield ByteRange(offset, offset + _CHUNK_NBYTES)
        if len(head) < _CHUNK_NBYTES:
            break
        name, nbytes = head[:4], int.from_bytes(head[4:], "little")
        offset += _CHUNK_NBYTES
        if name == b"data":
            if nbytes == _MAX_NBYTES and len(sizes) >= 16:
                nbytes = int.from_bytes(sizes[8:16], "little")
            # a `ds64` that names more than any object has was never filled in
            is_known = 0 < nbytes < (MAX_OBJECT_NBYTES if sizes else _UNKNOWN_FROM)
            return _layout(form, offset, nbytes if is_known else None, stated_frames)
        if name == b"fmt " and nbytes <= _MAX_FORMAT_NBYTES:
            form = yield ByteRange(offset, offset + nbytes)
        elif name == b"ds64":
            sizes = yield ByteRange(offset, offset + min(nbytes, 24))
        elif name == b"fact":
            stated_frames = int.from_bytes((yield ByteRange(offset, offset + min(nbytes, 4))), "little")
        offset += nbytes
        if nbytes % 2:
            offset += not _is_name((yield ByteRange(offset, offset + 4)))
    raise MalformedAnswer("no clip can be cut from a WAV file without samples")


def _is_name(tail: bytes) -> bool:
    """Whether a chunk begins here: some writers omit the padding byte after a chunk of odd length."""
    return len(tail) == 4 and all(0x20 <= byte < 0x7F for byte in tail)


def _layout(form: bytes, offset: int, nbytes: int | None, stated_frames: int) -> WavLayout:
    if len(form) < _FORMAT.size:
        raise MalformedAnswer("no clip can be cut from a WAV file that does not tell its codec")
    tag, channels, rate, nbytes_a_second, block_nbytes, bits = _FORMAT.unpack_from(form)
    codec = tag
    if tag == _EXTENSIBLE and form[_SUBTYPE_OFFSET + 2 : _SUBTYPE_OFFSET + 16] == _SUBTYPE_TAIL:
        codec = int.from_bytes(form[_SUBTYPE_OFFSET : _SUBTYPE_OFFSET + 2], "little")
    if not channels or not rate:
        raise MalformedAnswer("no clip can be cut from a WAV file of no channels or of no samples a second")
    if codec in _OF_FRAMES:
        block_nbytes, block_frames = _frame_nbytes(codec, channels, block_nbytes, bits), 1
        nbytes_a_second = min(rate * block_nbytes, _MAX_NBYTES)
    else:
        block_nbytes, block_frames = _block(codec, channels, block_nbytes, form)
    if not block_nbytes or not block_frames:
        name = _NAMES.get(codec, {_MS_ADPCM: "MS ADPCM", _IMA_ADPCM: "IMA ADPCM", _GSM: "GSM 6.10"}.get(codec, "codec"))
        raise MalformedAnswer(f"no clip can be cut from a WAV file of {name} (0x{codec:04x})")
    fixed = _FORMAT.pack(tag, channels, rate, nbytes_a_second, block_nbytes, bits)
    return WavLayout(
        offset=offset,
        nbytes=nbytes,
        form=fixed + _extension(codec, form, block_frames) if tag != _PCM else fixed,
        codec=codec,
        rate=rate,
        channels=channels,
        block_nbytes=block_nbytes,
        block_frames=block_frames,
        stated_frames=stated_frames,
    )


def _frame_nbytes(codec: int, channels: int, stated_nbytes: int, bits: int) -> int:
    """The bytes of a frame: as stated where the samples fit into that (24 bits may lie in 32), else what they need; 0
    where neither is known."""
    if codec in (_ALAW, _MULAW):
        return channels
    least = channels * -(-bits // 8)
    is_right = least <= stated_nbytes <= channels * _MAX_SAMPLE_NBYTES and stated_nbytes % channels == 0
    return stated_nbytes if is_right else least


def _block(codec: int, channels: int, stated_nbytes: int, form: bytes) -> tuple[int, int]:
    """The bytes and the frames of a block; 0 where the codec has no blocks, or none of that size."""
    if codec == _GSM:
        nbytes = stated_nbytes or _GSM_NBYTES
        return (nbytes, nbytes // _GSM_NBYTES * _GSM_FRAMES) if nbytes % _GSM_NBYTES == 0 and channels == 1 else (0, 0)
    if codec == _IMA_ADPCM:
        most = (stated_nbytes - 4 * channels) * 2 // channels + 1
    elif codec == _MS_ADPCM:
        most = (stated_nbytes - 7 * channels) * 2 // channels + 2
    else:
        return 0, 0
    stated_frames = int.from_bytes(form[18:20], "little")
    return stated_nbytes, stated_frames if 0 < stated_frames <= most else max(0, most)


def _extension(codec: int, form: bytes, block_frames: int) -> bytes:
    """The part of `fmt ` after the fixed one: as it was, else the least that the codec must have."""
    nbytes = int.from_bytes(form[16:18], "little")
    if codec != int.from_bytes(form[:2], "little"):
        return struct.pack("<H", _EXTENSION_NBYTES) + form[18 : 18 + _EXTENSION_NBYTES]
    if len(form) >= 18 + nbytes and (nbytes or block_frames == 1):
        return form[16 : 18 + nbytes] + b"\0" * (nbytes % 2)
    return b"\0\0" if block_frames == 1 else struct.pack("<HH", 2, block_frames)


def cut(layout: WavLayout, start_seconds: Fraction, stop_seconds: Fraction) -> tuple[bytes, ByteRange] | None:
    """The header of a clip, and the byte range of its samples; None where the recording has no samples there.

    The clip has the frames from `start` up to and excluding `stop`, each rounded down, and the rest of their blocks;
    whatever lies after the recording's end is left out. `layout.nbytes` must be known.
    """
    first, last = int(start_seconds * layout.rate), int(stop_seconds * layout.rate)
    all_nbytes = layout.nbytes or 0
    all_frames = layout.frames_in(all_nbytes)
    if all_frames - layout.block_frames < layout.stated_frames < all_frames:  # the last block is not full
        all_frames = layout.stated_frames
    if first >= min(last, all_frames):
        return None
    first_block, last_block = first // layout.block_frames, -(-last // layout.block_frames)
    begin, end = first_block * layout.block_nbytes, last_block * layout.block_nbytes
    if end > all_nbytes:
        short = all_nbytes % layout.block_nbytes
        end = all_nbytes if layout.frames_in(short) else all_nbytes - short
    frames = min(layout.frames_in(end), all_frames) - first_block * layout.block_frames
    return _head(layout, end - begin, frames), ByteRange(layout.offset + begin, layout.offset + end)


def _head(layout: WavLayout, nbytes: int, frames: int) -> bytes:
    chunks = _chunk(b"fmt ", layout.form)
    if layout.form[:2] != _PCM.to_bytes(2, "little"):  # all other codecs state the number of samples
        chunks += _chunk(b"fact", struct.pack("<I", min(frames, _MAX_NBYTES)))
    riff_nbytes = 4 + len(chunks) + _CHUNK_NBYTES + nbytes
    if riff_nbytes <= _MAX_NBYTES:
        return b"RIFF" + struct.pack("<I", riff_nbytes) + b"WAVE" + chunks + b"data" + struct.pack("<I", nbytes)
    sizes = _chunk(b"ds64", struct.pack("<QQQI", riff_nbytes + 36, nbytes, frames, 0))
    placeholder = struct.pack("<I", _MAX_NBYTES)
    return b"RF64" + placeholder + b"WAVE" + sizes + chunks + b"data" + placeholder


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
