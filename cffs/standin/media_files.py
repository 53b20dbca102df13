"""A real file of each media type, made unique by filler that decoders skip.

It owns where filler may go in each format, so that two files never share a page of 4 KiB. It must not know accounts or
HTTP.
"""

import random
import struct
import zlib
from functools import lru_cache
from importlib.resources import files
from typing import Final

from cffs.standin.audio import Content, Mp3Content, StoredContent, WavContent, mp3_nbytes, wav_nbytes

EXTENSIONS: Final = ("bmp", "gif", "jpg", "m4a", "mp3", "mp4", "png", "wav")
"""The types that both documents name."""

CONTENT_TYPES: Final = {
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "m4a": "audio/m4a",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "png": "image/png",
    "wav": "audio/x-wav",
    "3gp": "video/3gpp",
    "amr": "audio/amr",
    "vcf": "text/vcard",
    "": "application/octet-stream",
}

OTHER_EXTENSIONS: Final = ("3gp", "amr", "vcf", "")
"""Types that telephones send and no upload takes; the last one has no suffix in any URL."""

_AMR_FRAME_NBYTES: Final = 31
"""The bytes after the first one of a frame of 12.2 kbit/s, which lasts 20 ms."""

JPEG_COMMENT_NBYTES: Final = 60_000
"""A JPEG comment holds at most 65,533 bytes; more filler goes into several."""

BMP_WIDTH: Final = 64
GIF_BLOCK_NBYTES: Final = 255
ID3_NBYTES: Final = 100
"""MP3s of media have a tag, unlike most recordings."""

_CACHED_FILES: Final = 32


def media_content(extension: str, *, seed: str, filler_nbytes: int) -> Content:
    """A file of that type, computed from the arguments, of at least `filler_nbytes` and little more."""
    if extension == "wav":
        return WavContent(seed=seed, total_nbytes=wav_nbytes(filler_nbytes / 16_000))
    if extension == "mp3":
        return Mp3Content(seed=seed, total_nbytes=mp3_nbytes(filler_nbytes / 4_000 + 0.1, id3_nbytes=ID3_NBYTES))
    return StoredContent(_file_bytes(extension, seed, filler_nbytes))


@lru_cache(maxsize=_CACHED_FILES)
def _file_bytes(extension: str, seed: str, filler_nbytes: int) -> bytes:
    filler = random.Random(f"media:{extension}:{seed}").randbytes(filler_nbytes)  # nosec B311  # noqa: S311 - a picture, no secret
    if extension == "bmp":
        return _bmp(filler)
    if extension == "gif":
        asset = _asset("picture.gif")
        blocks = (filler[at : at + GIF_BLOCK_NBYTES] for at in range(0, len(filler), GIF_BLOCK_NBYTES))
        comment = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
        return asset[:-1] + comment + asset[-1:]
    if extension in ("jpg", "jpeg"):
        asset = _asset("picture.jpg")
        pieces = (filler[at : at + JPEG_COMMENT_NBYTES] for at in range(0, len(filler), JPEG_COMMENT_NBYTES))
        comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
        return asset[:2] + comments + asset[2:]
    if extension == "png":
        asset = _asset("picture.png")
        kind = b"raNd"  # lower-case first and second letter: ancillary, private
        chunk = struct.pack(">I", len(filler)) + kind + filler + struct.pack(">I", zlib.crc32(kind + filler))
        before_end = len(asset) - 12
        return asset[:before_end] + chunk + asset[before_end:]
    if extension == "amr":
        frames = (filler[at : at + _AMR_FRAME_NBYTES] for at in range(0, len(filler), _AMR_FRAME_NBYTES))
        return b"#!AMR\n" + b"".join(b"\x3c" + frame.ljust(_AMR_FRAME_NBYTES, b"\0") for frame in frames)
    if extension == "vcf":
        return f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada Example\r\nNOTE:{filler[:500].hex()}\r\nEND:VCARD\r\n".encode()
    if not extension:
        return b"\0\1" + filler
    if extension == "3gp":
        asset = _asset("film.mp4")
        return asset[:8] + b"3gp4" + asset[12:] + struct.pack(">I", len(filler) + 8) + b"free" + filler
    if extension in ("m4a", "mp4"):
        asset = _asset("sound.m4a" if extension == "m4a" else "film.mp4")
        return asset + struct.pack(">I", len(filler) + 8) + b"free" + filler
    raise ValueError(f"not a media type: {extension}")


def _bmp(filler: bytes) -> bytes:
    """A bitmap of which the filler is the picture."""
    height = max(1, -(-len(filler) // (3 * BMP_WIDTH)))
    pixels = filler.ljust(3 * BMP_WIDTH * height, b"\x7f")
    info = struct.pack("<IiiHHIIiiII", 40, BMP_WIDTH, height, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + info + pixels


@lru_cache
def _asset(name: str) -> bytes:
    return files("cffs.standin").joinpath("assets", name).read_bytes()
