"""Computed sound: real WAV and MP3 of any size, readable at any offset.

No two pages of 4 KiB are alike, so that a wrong offset, object or version always shows in the bytes. It owns that rule
and the byte layout of both formats. It must not know whose recording it is, or how it is served: a seed names the
sound.
"""

import random
import struct
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final, Protocol

from cffs.core.units import KIB

SAMPLE_RATE: Final = 8000
"""The rate of telephone speech; both formats use it, with one channel."""

PCM_BYTES_PER_SECOND: Final = 2 * SAMPLE_RATE
MULAW_BYTES_PER_SECOND: Final = SAMPLE_RATE
WAV_CHUNK_NBYTES: Final = 64 * KIB
"""Sound is computed in chunks of this size, so that seeding the generator (20 us) does not count."""

MP3_FRAME_NBYTES: Final = 288
"""32 kbit/s at 8 kHz: 72 * 32000 / 8000. It is a whole number, so frames are never padded."""

MP3_HEAD_NBYTES: Final = 144
"""The asset was encoded at 16 kbit/s and re-labelled as 32, so the second half of every frame is ancillary."""

MP3_FRAME_SECONDS: Final = 0.072
MP3_CHUNK_FRAMES: Final = 228
"""Frames computed at once, about as many bytes as a WAV chunk."""

ID3_HEAD_NBYTES: Final = 10
CACHED_CHUNKS: Final = 64
"""Small reads in a row hit one chunk; 4 MiB cost less than computing it again for each of them."""

_HIGH_BYTES: Final = bytes((round(12 * abs((n % 80) / 40 - 1)) - 6) & 0xFF for n in range(WAV_CHUNK_NBYTES // 2))
"""A soft triangle of 100 Hz in the high bytes of the samples; the low bytes are noise that makes pages differ."""

_MULAW_SOFT: Final = bytes(0x40 | (b & 0xBF) for b in range(256))
"""Mu-law codes of small amplitude only (bit 6 set), so that the noise does not hurt."""

_SEVEN_BIT: Final = bytes(b & 0x7F for b in range(256))
"""Ancillary bytes never hold 0xFF: nothing in them can look like the start of a frame."""


class Content(Protocol):
    """Bytes of known total, readable at any offset."""

    @property
    def total_nbytes(self) -> int:
        """The exact size."""
        ...

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes in [offset, offset + nbytes), cut at the end as a slice is."""
        ...


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Stored bytes: uploads, rendered answers, small pictures."""

    data: bytes

    @property
    def total_nbytes(self) -> int:
        """The exact size."""
        return len(self.data)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes in [offset, offset + nbytes)."""
        return self.data[offset : offset + nbytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class WavContent:
    """A WAV of exactly `total_nbytes`: a header as ffmpeg writes it, then noise on a tone by `seed`."""

    seed: str
    total_nbytes: int
    mulaw: bool = False

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes in [offset, offset + nbytes)."""
        return _assemble(
            _wav_head(max(0, self.total_nbytes - wav_head_nbytes(mulaw=self.mulaw)), self.mulaw),
            lambda index: _wav_chunk(self.seed, self.mulaw, index),
            WAV_CHUNK_NBYTES,
            offset,
            min(offset + nbytes, self.total_nbytes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mp3Content:
    """An MP3 of exactly `total_nbytes`: independent frames, after an ID3v2 tag where the total needs one."""

    seed: str
    total_nbytes: int

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes in [offset, offset + nbytes)."""
        return _assemble(
            _id3_head(_id3_nbytes(self.total_nbytes)),
            lambda index: _mp3_chunk(self.seed, index),
            MP3_CHUNK_FRAMES * MP3_FRAME_NBYTES,
            offset,
            min(offset + nbytes, self.total_nbytes),
        )


def wav_head_nbytes(*, mulaw: bool = False) -> int:
    """78 bytes for PCM; mu-law has a longer format chunk and a fact chunk."""
    return 92 if mulaw else 78


def wav_nbytes(duration_seconds: float, *, mulaw: bool = False) -> int:
    """The size of a WAV of that duration, in whole samples."""
    samples = round(duration_seconds * SAMPLE_RATE)
    return wav_head_nbytes(mulaw=mulaw) + samples * (1 if mulaw else 2)


def mp3_nbytes(duration_seconds: float, *, id3_nbytes: int = 0) -> int:
    """The size of an MP3 of that duration, in whole frames; `id3_nbytes` (10 to 297, or 0) is added in front."""
    return round(duration_seconds / MP3_FRAME_SECONDS) * MP3_FRAME_NBYTES + id3_nbytes


def _assemble(head: bytes, chunk: "_ChunkFunction", chunk_nbytes: int, start: int, stop: int) -> bytes:
    """The bytes [start, stop) of a head followed by computed chunks."""
    if start >= stop or start < 0:
        return b""
    pieces = [head[start:stop]] if start < len(head) else []
    body_start, body_stop = max(0, start - len(head)), stop - len(head)
    while body_start < body_stop:
        index, within = divmod(body_start, chunk_nbytes)
        taken = min(chunk_nbytes - within, body_stop - body_start)
        piece = chunk(index)
        pieces.append(piece if taken == chunk_nbytes else piece[within : within + taken])
        body_start += taken
    return b"".join(pieces)


class _ChunkFunction(Protocol):
    def __call__(self, index: int, /) -> bytes: ...


@lru_cache(maxsize=CACHED_CHUNKS)
def _wav_chunk(seed: str, mulaw: bool, index: int) -> bytes:
    noise = random.Random(f"wav:{seed}:{index}")  # nosec B311  # noqa: S311 - sound, not a secret
    if mulaw:
        return noise.randbytes(WAV_CHUNK_NBYTES).translate(_MULAW_SOFT)
    chunk = bytearray(WAV_CHUNK_NBYTES)
    chunk[0::2] = noise.randbytes(WAV_CHUNK_NBYTES // 2)
    chunk[1::2] = _HIGH_BYTES
    return bytes(chunk)


@lru_cache(maxsize=CACHED_CHUNKS)
def _mp3_chunk(seed: str, index: int) -> bytes:
    noise = random.Random(f"mp3:{seed}:{index}")  # nosec B311  # noqa: S311 - sound, not a secret
    chunk = bytearray(noise.randbytes(MP3_CHUNK_FRAMES * MP3_FRAME_NBYTES).translate(_SEVEN_BIT))
    heads = _frame_heads()
    for position in range(0, len(chunk), MP3_FRAME_NBYTES):
        # The last byte of the frame's own noise chooses its sound.
        head = heads[chunk[position + MP3_FRAME_NBYTES - 1] % len(heads)]
        chunk[position : position + MP3_HEAD_NBYTES] = head
    return bytes(chunk)


@lru_cache(maxsize=1)
def _frame_heads() -> tuple[bytes, ...]:
    asset = files("cffs.standin").joinpath("assets", "frames.mp3").read_bytes()
    return tuple(asset[at : at + MP3_HEAD_NBYTES] for at in range(0, len(asset), MP3_FRAME_NBYTES))


def _id3_nbytes(total_nbytes: int) -> int:
    """The size of the tag: the remainder of whole frames, but not less than the tag's own header."""
    remainder = total_nbytes % MP3_FRAME_NBYTES
    return remainder if remainder == 0 or remainder >= ID3_HEAD_NBYTES else remainder + MP3_FRAME_NBYTES


@lru_cache(maxsize=CACHED_CHUNKS)
def _id3_head(nbytes: int) -> bytes:
    if nbytes == 0:
        return b""
    padding = nbytes - ID3_HEAD_NBYTES
    # ID3v2.3 lengths have seven bits per byte.
    return b"ID3\x03\x00\x00" + struct.pack(">BBBB", 0, 0, padding >> 7, padding & 0x7F) + bytes(padding)


@lru_cache(maxsize=CACHED_CHUNKS)
def _wav_head(data_nbytes: int, mulaw: bool) -> bytes:
    rate = MULAW_BYTES_PER_SECOND if mulaw else PCM_BYTES_PER_SECOND
    sample_nbytes = 1 if mulaw else 2
    fmt = struct.pack("<HHIIHH", 7 if mulaw else 1, 1, SAMPLE_RATE, rate, sample_nbytes, 8 * sample_nbytes)
    if mulaw:
        fmt += b"\0\0"  # the extended form's own length
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt
    software = b"Lavf59.27.100\0"
    chunks += (
        b"LIST" + struct.pack("<I", 12 + len(software)) + b"INFOISFT" + struct.pack("<I", len(software)) + software
    )
    if mulaw:
        chunks += b"fact" + struct.pack("<II", 4, data_nbytes)
    # The format has four bytes for the length: a longer file states the largest number.
    shown_nbytes = min(data_nbytes, 0xFFFFFFFF - len(chunks) - 12)
    chunks += b"data" + struct.pack("<I", shown_nbytes)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + shown_nbytes) + b"WAVE" + chunks
