"""WAV headers: read as Python's own reader does, and cut to a clip."""

import io
import struct
import wave
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cffs.core.byte_range import ByteRange
from cffs.core.errors import MalformedAnswer
from cffs.core.wav import WavLayout, cut, read_head

SECONDS = st.decimals(0, 3, places=3).map(Fraction)
GUID = bytes.fromhex("000000001000800000aa00389b71")
#: Of IMA ADPCM, MS ADPCM and GSM 6.10, as ffmpeg and SoX write them: codec, block bytes a channel, frames.
BLOCKS = ((0x11, 256, 505), (0x11, 512, 1017), (0x02, 256, 500), (0x31, 65, 320))


def pcm(frames: int, *, rate: int = 8000, channels: int = 1, width: int = 2) -> bytes:
    """A WAV as the standard library writes it, with every frame different."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(i * 37 % 256 for i in range(frames * channels * width)))
    return file.getvalue()


def chunk(name: bytes, content: bytes, *, pads: bool = True) -> bytes:
    """One chunk, with the padding byte after an odd one unless the writer omits it."""
    return name + struct.pack("<I", len(content)) + content + (b"\0" if pads and len(content) % 2 else b"")


def form(
    codec: int, *, channels: int = 1, rate: int = 8000, block: int = 2, bits: int = 16, more: bytes = b""
) -> bytes:
    """The content of a `fmt ` chunk."""
    return struct.pack("<HHIIHH", codec, channels, rate, rate * block, block, bits) + more


def extensible(codec: int, *, channels: int, bits: int, valid_bits: int = 0) -> bytes:
    """The content of a `fmt ` chunk of WAVE_FORMAT_EXTENSIBLE."""
    more = struct.pack("<HHIH", 22, valid_bits or bits, 4, codec) + GUID
    return form(0xFFFE, channels=channels, block=channels * bits // 8, bits=bits, more=more)


def of_blocks(codec: int, block: int, frames: int, channels: int) -> bytes:
    """The content of a `fmt ` chunk of a codec of blocks."""
    more = struct.pack("<HH", 2, frames) if codec != 2 else struct.pack("<HHH", 32, frames, 7) + bytes(28)
    return form(codec, channels=channels, block=block * channels, bits=4 if codec != 0x31 else 0, more=more)


def wav(form: bytes, data: bytes, *, before: bytes = b"", after: bytes = b"", stated: int | None = None) -> bytes:
    """A whole file; `stated` is the length that its `data` chunk states."""
    stated = len(data) if stated is None else stated
    body = chunk(b"fmt ", form) + before + b"data" + struct.pack("<I", stated) + data + bytes(len(data) % 2) + after
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def rf64(form: bytes, data: bytes, *, after: bytes = b"") -> bytes:
    """A whole file as RF64."""
    ds64 = struct.pack("<QQQI", 100 + len(data), len(data), 0, 0)
    body = chunk(b"ds64", ds64) + chunk(b"fmt ", form) + b"data\xff\xff\xff\xff" + data + after
    return b"RF64\xff\xff\xff\xffWAVE" + body


def walked(file: bytes, *, knows_total: bool = True) -> tuple[WavLayout, list[ByteRange]]:
    """The layout, and the bytes that were asked for on the way."""
    walk, asked = read_head(), []
    try:
        wanted = next(walk)
        while True:
            asked.append(wanted)
            wanted = walk.send(file[wanted.start : wanted.stop])
    except StopIteration as done:
        return (done.value.within(len(file)) if knows_total else done.value), asked


def moment_of(file: bytes, start: str, stop: str) -> bytes:
    """The clip as a file."""
    found = cut(walked(file)[0], Fraction(start), Fraction(stop))
    assert found is not None
    return found[0] + file[found[1].start : found[1].stop]


def chunks_of(file: bytes) -> dict[bytes, bytes]:
    """Every chunk of a RIFF file."""
    found, offset = {}, 12
    while offset + 8 <= len(file):
        nbytes = int.from_bytes(file[offset + 4 : offset + 8], "little")
        found[file[offset : offset + 4]] = file[offset + 8 : offset + 8 + nbytes]
        offset += 8 + nbytes + nbytes % 2
    return found


@given(
    frames=st.integers(0, 3000),
    rate=st.sampled_from([8000, 11025, 1000]),
    channels=st.integers(1, 2),
    width=st.integers(1, 3),
    start=SECONDS,
    stop=SECONDS,
)
def test_cut_is_the_librarys(
    frames: int, rate: int, channels: int, width: int, start: Fraction, stop: Fraction
) -> None:
    """A cut is a WAV of the same form with exactly the frames of the whole from start to stop; None where it has
    none."""
    whole = pcm(frames, rate=rate, channels=channels, width=width)
    found = cut(walked(whole)[0], start, stop)
    first, last = int(start * rate), min(int(stop * rate), frames)
    if first >= last:
        assert found is None
        return
    assert found is not None
    head, samples = found
    moment = head + whole[samples.start : samples.stop]
    with wave.open(io.BytesIO(moment)) as made, wave.open(io.BytesIO(whole)) as original:
        assert made.getparams()[:3] == original.getparams()[:3]
        original.setpos(first)
        assert made.readframes(made.getnframes()) == original.readframes(last - first)
    assert int.from_bytes(moment[4:8], "little") == len(moment) - 8
    assert walked(moment)[0].nbytes == samples.nbytes


FRAMES_OF_ONE_SIZE = {
    "A-law": (form(6, block=1, bits=8, more=b"\0\0"), 1),
    "A-law without an extension": (form(6, block=1, bits=8), 1),
    "mu-law that tells 16 bits": (form(7, block=2, bits=16, more=b"\0\0"), 1),
    "float": (form(3, block=4, bits=32, more=b"\0\0"), 4),
    "double": (form(3, block=16, bits=64, channels=2, more=b"\0\0"), 16),
    "12 bit": (form(1, block=2, bits=12), 2),
    "24 bit": (form(1, block=3, bits=24), 3),
    "24 bit in 32, plain": (form(1, block=4, bits=24), 4),
    "24 bit in 32": (extensible(1, channels=1, bits=32, valid_bits=24), 4),
    "six channels": (extensible(1, channels=6, bits=16), 12),
    "extensible A-law": (extensible(6, channels=1, bits=8), 1),
    "extensible float": (extensible(3, channels=2, bits=32), 8),
    "no block align": (form(1, block=0, bits=16, channels=2), 4),
    "a block align of nothing": (form(1, block=1, bits=16), 2),
    "an absurd block align": (form(1, block=4096, bits=16), 2),
    "PCM with an extension": (form(1, more=b"\0\0"), 2),
}


@pytest.mark.parametrize("is_large", [False, True], ids=["RIFF", "RF64"])
@pytest.mark.parametrize("name", FRAMES_OF_ONE_SIZE)
def test_frames_of_one_size(name: str, is_large: bool) -> None:
    """Each codec with frames of one size is cut to the frame and keeps its form; all but plain PCM state the number of
    samples."""
    its_form, frame = FRAMES_OF_ONE_SIZE[name]
    data = bytes(i * 37 % 251 for i in range(8000 * frame * 3))
    moment = moment_of((rf64 if is_large else wav)(its_form, data), "0.5", "1.25")
    chunks = chunks_of(moment)
    assert chunks[b"data"] == data[4000 * frame : 10_000 * frame]
    assert chunks[b"fmt "][:8] == its_form[:8]
    assert chunks[b"fmt "][8:14] == struct.pack("<IH", 8000 * frame, frame)
    assert chunks[b"fmt "][18:] == its_form[18:]
    if its_form[:2] == b"\1\0":
        assert chunks.keys() == {b"fmt ", b"data"}
        assert len(chunks[b"fmt "]) == 16
    else:
        assert chunks[b"fact"] == struct.pack("<I", 6000)


@given(
    kind=st.sampled_from(BLOCKS),
    channels=st.integers(1, 2),
    blocks=st.integers(1, 40),
    short=st.integers(0, 600),
    start=SECONDS,
    stop=SECONDS,
)
@example(kind=(0x11, 256, 505), channels=1, blocks=3, short=0, start=Fraction(1, 8), stop=Fraction(2))
def test_blocks(
    kind: tuple[int, int, int], channels: int, blocks: int, short: int, start: Fraction, stop: Fraction
) -> None:
    """A codec of blocks is cut to the blocks that hold the whole clip and no others; `fact` counts the samples."""
    codec, block, frames = kind
    channels = 1 if codec == 0x31 else channels
    short = 0 if codec == 0x31 else min(short, block * channels - 1)
    data = bytes(i * 37 % 251 for i in range(blocks * block * channels + short))
    file = wav(of_blocks(codec, block, frames, channels), data)
    layout, _asked = walked(file)
    all_frames = layout.frames_in(len(data))
    assert blocks * frames <= all_frames < (blocks + 1) * frames
    first, last = int(start * 8000), min(int(stop * 8000), all_frames)
    found = cut(layout, start, stop)
    if first >= last:
        assert found is None
        return
    assert found is not None
    chunks = chunks_of(found[0] + file[found[1].start : found[1].stop])
    begin, end = first // frames, -(-last // frames)
    assert chunks[b"data"] == data[begin * block * channels :][: (end - begin) * block * channels]
    assert int.from_bytes(chunks[b"fact"], "little") == min(end * frames, all_frames) - begin * frames
    assert chunks[b"fmt "] == of_blocks(codec, block, frames, channels)


def test_a_last_block_that_is_not_full() -> None:
    """Samples that `fact` does not count are padding: no clip's `fact` counts them, and no clip begins in them.

    An impossible `fact` is not believed.
    """
    fmt = of_blocks(0x31, 65, 320, 1)
    for stated, frames in ((3100, 3100), (100, 3200), (9000, 3200), (0, 3200)):
        file = wav(fmt, bytes(650), before=chunk(b"fact", struct.pack("<I", stated)))
        moment = moment_of(file, "0.2", "9")
        assert int.from_bytes(chunks_of(moment)[b"fact"], "little") == frames - 1600
        assert (cut(walked(file)[0], Fraction("0.39"), Fraction(9)) is None) == (stated == 3100)


BEFORE = {
    "nothing": b"",
    "bext with history": chunk(b"bext", bytes(602) + b"A=PCM,F=8000,W=16,M=mono,T=stage\r\n" * 140),
    "an odd chunk": chunk(b"LIST", b"INFOISFT\3\0\0\0abc"),
    "an odd chunk without its 0": chunk(b"LIST", b"INFOISFT\3\0\0\0abc", pads=False),
    "a picture": chunk(b"id3 ", bytes(100_000)),
    "many": chunk(b"JUNK", bytes(28)) * 40,
    "an odd chunk before another": chunk(b"bext", bytes(603), pads=False) + chunk(b"JUNK", bytes(10)),
}


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("tag", [b"", b"ID3\4\0\0\0\0\1\x05" + bytes(133)], ids=["", "ID3 before RIFF"])
def test_what_lies_before_the_samples(name: str, tag: bytes) -> None:
    """Chunks before the samples are skipped, not read: only headers, formats and counts are asked for."""
    data = bytes(i * 37 % 251 for i in range(16_000))
    file = tag + wav(form(1), data, before=BEFORE[name], after=chunk(b"LIST", b"INFO"))
    layout, asked = walked(file)
    assert file[layout.offset :][: layout.nbytes] == data
    assert sum(wanted.nbytes for wanted in asked) < 1000
    assert all(before.stop <= after.start + 12 for before, after in pairwise(asked))


@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF])
def test_an_untold_length(stated: int) -> None:
    """Where the header has no length, the file's size gives it."""
    file = wav(form(1), bytes(2000), stated=stated)
    assert walked(file, knows_total=False)[0].nbytes is None
    assert walked(file)[0].nbytes == 2000


def test_a_moment_of_more_than_4_gib() -> None:
    """A clip too long for the length field of RIFF is an RF64."""
    file = rf64(form(1, channels=2, rate=192_000, block=8, bits=32), b"")
    layout = walked(
        file.replace(struct.pack("<QQ", 100, 0), struct.pack("<QQ", 2**34 + 100, 2**34)), knows_total=False
    )[0]
    found = cut(layout, Fraction(0), Fraction(9000))
    assert found is not None
    head, samples = found
    assert samples.nbytes == 9000 * 192_000 * 8 > 2**32
    again = walked(head, knows_total=False)[0]
    assert (again.offset, again.nbytes) == (len(head), samples.nbytes)
    assert int.from_bytes(head[20:28], "little") == len(head) + samples.nbytes - 8


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "no WAV"),
        (b"ID3", "no WAV"),
        (b"\xff\xfb\x90\0" * 100, "no WAV file .it begins with fffb9000"),
        (b"RIFF", "no WAV"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "no WAV"),
        (b"RIFF\0\0\0\0WAVE", "without samples"),
        (pcm(10)[:20], "without samples"),
        (pcm(10).replace(b"data", b"tada"), "without samples"),
        (b"RIFF\0\0\0\0WAVE" + b"JUNK\0\0\0\0" * 10_000, "without samples"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "does not tell its codec"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"\1\0\1\0") + chunk(b"data", b"1234"), "does not tell its codec"),
        (wav(form(1, channels=0), b"1234"), "no channels"),
        (wav(form(1, rate=0), b"1234"), "no samples a second"),
        (wav(form(1, block=0, bits=0), b"1234"), "0x0001"),
        (wav(form(0x83, block=10, bits=0), b"1234"), "G.729 .0x0083"),
        (wav(form(0x55, block=1, bits=0), b"1234"), "MP3 .0x0055"),
        (wav(form(0x31, block=66, bits=0), b"1234"), "GSM 6.10 .0x0031"),
        (wav(form(0x11, block=0, bits=4), b"1234"), "IMA ADPCM .0x0011"),
        (wav(form(0x02, block=4, bits=4), b"1234"), "MS ADPCM .0x0002"),
        (wav(form(0x7777), b"1234"), "0x7777"),
        (wav(extensible(0x55, channels=1, bits=8), b"1234"), "MP3"),
        (wav(extensible(1, channels=1, bits=16)[:-1] + b"x", b"1234"), "0xfffe"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut(file: bytes, says: str) -> None:
    """A file that is no WAV, has no samples or has another codec raises an error that says so, with the codec."""
    with pytest.raises(MalformedAnswer, match=says):
        walked(file)


@given(st.binary(max_size=200), st.integers(0, 2**40))
@example(struct.pack("<QQ", 1, 2**64 - 1), 2**40)
def test_total(raw: bytes, total: int) -> None:
    """Any bytes are a layout within the file with cuts within it, or MalformedAnswer, after a bounded walk."""
    ds64 = b"RF64\xff\xff\xff\xffWAVE" + chunk(b"ds64", raw) + pcm(1)[12:36] + b"data\xff\xff\xff\xff" + raw
    fmt = b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", raw) + chunk(b"data", raw * 100)
    for file in (raw, b"RIFF\0\0\0\0WAVE" + raw, pcm(1)[:36] + raw, ds64, fmt, b"ID3" + raw):
        try:
            layout, asked = walked(file)
        except MalformedAnswer:
            continue
        assert len(asked) < 1000
        layout = layout.within(total)
        assert layout.nbytes is not None
        assert layout.offset + layout.nbytes <= max(total, layout.offset)
        found = cut(layout, Fraction(0), Fraction(2))
        if found is not None:
            assert layout.offset <= found[1].start < found[1].stop <= layout.offset + layout.nbytes
            assert walked(found[0] + bytes(found[1].nbytes))[0].nbytes == found[1].nbytes
