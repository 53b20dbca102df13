"""WAVs in the codecs of telephone systems, small and deterministic.

Each can be played by a common decoder; the sound is noise. It owns the headers and block layouts. It must not know
accounts or HTTP.
"""

import random
import struct
from dataclasses import dataclass
from typing import Final

RATE: Final = 8000
_PCM, _MS_ADPCM, _FLOAT, _ALAW, _MULAW, _IMA_ADPCM, _GSM, _EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE
_ADPCM_BLOCK_NBYTES, _GSM_BLOCK_NBYTES = 256, 65
_GSM_SAMPLES: Final = 320
_MS_COEFFICIENTS: Final = ((256, 0), (512, -256), (0, 0), (192, 64), (240, 0), (460, -208), (392, -232))
_SUBTYPE_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Codec:
    """One format: its tag, the bits of a sample, and the head of a block where samples come in blocks."""

    tag: int
    bits: int
    channels: int = 1
    block_nbytes: int = 0
    block_samples: int = 0
    block_head: bytes = b""
    extra: bytes = b""


def _of_samples(tag: int, bits: int, *, channels: int = 1) -> _Codec:
    return _Codec(tag=tag, bits=bits, channels=channels)


_MS_EXTRA: Final = struct.pack("<HH", 500, len(_MS_COEFFICIENTS)) + b"".join(
    struct.pack("<hh", *pair) for pair in _MS_COEFFICIENTS
)
_CODECS: Final[dict[str, _Codec]] = {
    "pcm8": _of_samples(_PCM, 8),
    "pcm24": _of_samples(_PCM, 24),
    "pcm32": _of_samples(_PCM, 32),
    "float": _of_samples(_FLOAT, 32),
    "alaw": _of_samples(_ALAW, 8),
    "mulaw": _of_samples(_MULAW, 8),
    "three channels": _of_samples(_EXTENSIBLE, 16, channels=3),
    "gsm": _Codec(
        tag=_GSM,
        bits=0,
        block_nbytes=_GSM_BLOCK_NBYTES,
        block_samples=_GSM_SAMPLES,
        extra=struct.pack("<H", _GSM_SAMPLES),
    ),
    "ima": _Codec(
        tag=_IMA_ADPCM,
        bits=4,
        block_nbytes=_ADPCM_BLOCK_NBYTES,
        block_samples=505,  # one in the head, two in each byte after it
        block_head=struct.pack("<hBB", 0, 20, 0),
        extra=struct.pack("<H", 505),
    ),
    "ms": _Codec(
        tag=_MS_ADPCM,
        bits=4,
        block_nbytes=_ADPCM_BLOCK_NBYTES,
        block_samples=500,  # two in the head
        block_head=struct.pack("<Bhhh", 0, 64, 0, 0),
        extra=_MS_EXTRA,
    ),
}
NAMES: Final = tuple(_CODECS)
"""Every codec that exists here."""


def codec_wav(name: str, *, seed: str, seconds: float) -> bytes:
    """A WAV of that codec and about that length, a function of the arguments. Raises KeyError for an unknown codec."""
    codec = _CODECS[name]
    noise = random.Random(f"codec:{name}:{seed}")  # nosec B311  # noqa: S311 - sound, not a secret
    samples = max(1, round(seconds * RATE))
    if codec.block_nbytes:
        blocks = -(-samples // codec.block_samples)
        body_nbytes = codec.block_nbytes - len(codec.block_head)
        data = b"".join(codec.block_head + noise.randbytes(body_nbytes) for _ in range(blocks))
        samples = blocks * codec.block_samples
    elif codec.tag == _FLOAT:
        data = b"".join(struct.pack("<f", noise.uniform(-0.1, 0.1)) for _ in range(samples))
    else:
        data = noise.randbytes(samples * codec.channels * codec.bits // 8)
    chunks = _chunk(b"fmt ", _fmt(codec))
    if codec.tag != _PCM:
        chunks += _chunk(b"fact", struct.pack("<I", samples))
    chunks += _chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _fmt(codec: _Codec) -> bytes:
    align = codec.block_nbytes or codec.channels * codec.bits // 8
    per_second = RATE * align // codec.block_samples if codec.block_samples else RATE * align
    head = struct.pack("<HHIIHH", codec.tag, codec.channels, RATE, per_second, align, codec.bits)
    if codec.tag == _PCM:
        return head
    extra = codec.extra
    if codec.tag == _EXTENSIBLE:
        extra = struct.pack("<HIH", codec.bits, (1 << codec.channels) - 1, _PCM) + _SUBTYPE_TAIL
    return head + struct.pack("<H", len(extra)) + extra


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
