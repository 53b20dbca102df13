"""Clips of a recording over a simulated link: bytes, costs, always one version."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cffs.core.byte_range import ByteRange
from cffs.core.errors import (
    MalformedAnswer,
    OriginUnreachable,
    RemoteObjectChanged,
    RemoteObjectMissing,
    TruncatedAnswer,
)
from cffs.core.source import Source, v1_recording, wav_key
from cffs.reader.object_info import Known
from cffs.reader.wav_clips import WavClips, clip_source
from tests.core.test_wav import chunk, chunks_of, form, pcm, walked, wav
from tests.reader.simulated_link import Fault, Lab, Remote, disk_in, laboratory

IDENT = 88
WHOLE = v1_recording(IDENT)
#: Ten seconds of 8 kHz, 16 bit, no two of its frames equal; a picture of 100 KB before it; a head that was never
#: completed.
DATA = b"".join((i * 40_503 % 65_536).to_bytes(2, "little") for i in range(80_000))
PLAIN = wav(form(1), DATA)
PICTURED = wav(form(1), DATA, before=chunk(b"id3 ", bytes(100_001)))
UNSTATED = wav(form(1), DATA, stated=0xFFFFFFFF)
ORIGINS = {
    "ranges": {},
    "no ranges": {"ignores_ranges": True},
    "no total": {"tells_total": False},
    "chunked": {"ignores_ranges": True, "tells_length": False},
    "nothing told": {"tells_total": False, "tells_length": False, "validator": None},
}


@dataclass(kw_only=True)
class File(Remote):
    """An object of given bytes."""

    data: bytes

    def content(self, start: int, nbytes: int) -> bytes:
        """Its true bytes."""
        return self.data[start : start + nbytes]


def serve(lab: Lab, data: bytes, **how: object) -> File:
    """Put a recording's WAV there."""
    lab.origin.objects[WHOLE.key] = file = File(total=len(data), data=data, **how)
    return file


def subject(start: str, stop: str) -> tuple[str, Source]:
    """A clip's key and source."""
    return f"moment/{IDENT}@{start}-{stop}.wav", clip_source(IDENT, start, stop)


async def read(lab: Lab, key: str, source: Source, known: Known | None = None) -> bytes:
    """Read all of an object, as a program does."""
    file = await lab.objects.open(key, (source,), known=known)
    try:
        found = b""
        while piece := await file.read(len(found), 128 * 1024):
            found += bytes(piece)
        assert file.total_nbytes == len(found)
        return found
    finally:
        file.close()


def cut_of(data: bytes, start: str, stop: str) -> bytes:
    """The samples of that time."""
    return data[int(Fraction(start) * 8000) * 2 : int(Fraction(stop) * 8000) * 2]


@pytest.mark.parametrize("file", [PLAIN, PICTURED, UNSTATED], ids=["plain", "pictured", "unstated"])
@pytest.mark.parametrize("name", ORIGINS)
async def test_any_origin(autojump_clock: MockClock, name: str, file: bytes) -> None:
    """Whatever the origin does with ranges and lengths, and whatever lies before the samples, a clip is a head and the
    samples of its time, and its size is known before a sample is requested."""
    async with laboratory() as lab:
        serve(lab, file, **ORIGINS[name])
        for start, stop in (("0", "1"), ("3.5", "4.25"), ("9.5", "99")):
            key, source = subject(start, stop)
            learned = await lab.objects.probe(key, (source,))
            found = await read(lab, key, source, learned.known)
            assert learned.total_nbytes == len(found)
            assert chunks_of(found)[b"data"] == cut_of(DATA, start, stop)
            assert int.from_bytes(found[4:8], "little") == len(found) - 8
        for start, stop in (("10", "11"), ("20", "21")):
            with pytest.raises(RemoteObjectMissing):
                await lab.objects.probe(*_as_candidates(subject(start, stop)))


def _as_candidates(found: tuple[str, Source]) -> tuple[str, tuple[Source, ...]]:
    return found[0], (found[1],)


@pytest.mark.parametrize(("file", "heads"), [(PLAIN, 1), (PICTURED, 2)], ids=["plain", "pictured"])
async def test_forty_clips_cost_the_head_once(autojump_clock: MockClock, file: bytes, heads: int) -> None:
    """Forty clips of a recording, all at once, cost its head once and their samples; the sizes of their answers state
    that of the whole."""
    async with laboratory(latency_seconds=0.05) as lab:
        serve(lab, file)
        found: dict[str, bytes] = {}

        async def one(number: int) -> None:
            key, source = subject(f"{number / 5:g}", f"{(number + 1) / 5:g}")
            learned = await lab.objects.probe(key, (source,))
            found[key] = await read(lab, key, source, learned.known)

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(one, number)
        assert sorted(chunks_of(body)[b"data"] for body in found.values()) == sorted(
            DATA[i * 3200 : (i + 1) * 3200] for i in range(40)
        )
        assert lab.origin.requests == heads + 40
        assert lab.origin.sent_nbytes <= len(DATA) + heads * 4096
        known = lab.facts.known(wav_key(IDENT))
        assert known is not None
        assert known.total_nbytes == len(file)


@pytest.mark.parametrize("file", [PLAIN, PICTURED, UNSTATED], ids=["plain", "pictured", "unstated"])
async def test_nothing_for_what_is_here(tmp_path: Path, autojump_clock: MockClock, file: bytes) -> None:
    """After a recording was read whole, its clips cost no request: from memory, and after a restart, with the network
    gone, from disk."""
    disk = disk_in(tmp_path)
    async with laboratory(disk=disk) as lab:
        serve(lab, file)
        assert await read(lab, wav_key(IDENT), WHOLE) == file
        before = lab.origin.requests
        assert chunks_of(await read(lab, *subject("1", "2")))[b"data"] == cut_of(DATA, "1", "2")
        assert lab.origin.requests == before
        kept = lab.facts.kept
    disk.close()
    disk = disk_in(tmp_path)
    async with laboratory(disk=disk) as lab:
        lab.facts.kept = kept
        lab.origin.faults = [Fault(head=OriginUnreachable("gone"))] * 100
        for start, stop in (("1", "2"), ("2.5", "9"), ("0", "99")):
            key, source = subject(start, stop)
            learned = await lab.objects.probe(key, (source,))
            assert chunks_of(await read(lab, key, source, learned.known))[b"data"] == cut_of(DATA, start, stop)
        assert lab.origin.requests == 0
        for _ in range(2):  # the recording may have grown: that is asked, where the origin answers
            with pytest.raises(RemoteObjectMissing):
                await lab.objects.probe(*_as_candidates(subject("20", "21")))
            lab.origin.faults = []
            serve(lab, file)
        assert lab.origin.requests > 0
    disk.close()


async def test_what_is_here_in_part(autojump_clock: MockClock) -> None:
    """Samples of which one byte is not here are requested; so is what is evicted in the middle of a read."""
    data = DATA * 8
    async with laboratory() as lab:
        serve(lab, wav(form(1), data))
        known = Known(total_nbytes=len(data) + 44, validator='"v1"', source=WHOLE)
        lab.objects.prefetch(wav_key(IDENT), (WHOLE,), known=known, ranges=[ByteRange(0, 44 + 160_000)])
        await wait_all_tasks_blocked()
        assert lab.origin.requests == 1
        for stop, requests in (("10", 1), ("10.000125", 2)):
            assert chunks_of(await read(lab, *subject("9", stop)))[b"data"] == cut_of(data, "9", stop)
            assert lab.origin.requests == requests
        async with WavClips(lab.origin, lab.objects).open_range(clip_source(IDENT, "1", "9"), None) as answer:
            buffer = memoryview(bytearray(8192))
            assert [await answer.receive_into(buffer) for _ in range(2)] == [44, 8192]
            assert bytes(buffer) == data[16_000 : 16_000 + 8192]
            lab.cache.drop_object(wav_key(IDENT))
            with pytest.raises(TruncatedAnswer):
                await answer.receive_into(buffer)
        assert lab.origin.requests == 2


@pytest.mark.parametrize("validator", ['"v2"', None])
async def test_another_version(autojump_clock: MockClock, validator: str | None) -> None:
    """When a recording changes, a clip that was begun is stale, never mixed; what was known of the recording is
    forgotten; the next open has the new one, also where no validator distinguishes them."""
    other = wav(form(1), bytes(reversed(DATA)) + bytes(1000))
    async with laboratory() as lab:
        serve(lab, PLAIN, validator=None if validator is None else '"v1"')
        key, source = subject("1", "2")
        learned = await lab.objects.probe(key, (source,))
        serve(lab, other, validator=validator)
        with pytest.raises(RemoteObjectChanged):
            await read(lab, key, source, learned.known)
        assert set(lab.facts.changed_keys) == {wav_key(IDENT), key}
        found = await read(lab, key, source)
        assert chunks_of(found)[b"data"] == cut_of(bytes(reversed(DATA)), "1", "2")
        again = await lab.objects.probe(key, (source,))
        assert again.total_nbytes == learned.total_nbytes
        assert again.validator != learned.validator


async def test_known_of_another_version(autojump_clock: MockClock) -> None:
    """A fact about a recording that is not true any more is found out by the head of its first clip."""
    async with laboratory() as lab:
        serve(lab, PLAIN)
        await lab.objects.probe(wav_key(IDENT), (WHOLE,))
        serve(lab, wav(form(1), DATA[4000:]), validator='"v2"')
        assert chunks_of(await read(lab, *subject("1", "2")))[b"data"] == cut_of(DATA[4000:], "1", "2")
        assert lab.facts.changed_keys == [wav_key(IDENT)]


async def test_a_recording_that_grew(autojump_clock: MockClock) -> None:
    """A clip beyond the known end is requested again: the recording may have grown."""
    async with laboratory() as lab:
        serve(lab, wav(form(1), DATA[:16_000]), validator=None)
        await lab.objects.probe(*_as_candidates(subject("0", "1")))
        with pytest.raises(RemoteObjectMissing):
            await lab.objects.probe(*_as_candidates(subject("5", "6")))
        serve(lab, PLAIN, validator=None)
        assert chunks_of(await read(lab, *subject("5", "6")))[b"data"] == cut_of(DATA, "5", "6")


async def test_revalidation(autojump_clock: MockClock) -> None:
    """With `--revalidate` the origin is asked about a clip, whatever is here of its recording; a recording that changed
    counts as changed itself."""
    async with laboratory(revalidate_seconds=10.0) as lab:
        serve(lab, PLAIN)
        await read(lab, wav_key(IDENT), WHOLE)
        key, source = subject("1", "2")
        learned = await lab.objects.probe(key, (source,))
        assert learned.known is not None
        assert not await lab.objects.revalidation.is_another(key, (source,), learned.known)
        asked = lab.origin.requests
        assert not await lab.objects.revalidation.is_another(key, (source,), learned.known)
        assert lab.origin.requests == asked
        await trio.sleep(11)
        serve(lab, wav(form(1), DATA[4000:]), validator='"v2"')
        assert await lab.objects.revalidation.is_another(key, (source,), learned.known)
        assert wav_key(IDENT) in lab.facts.changed_keys
        assert chunks_of(await read(lab, key, source))[b"data"] == cut_of(DATA[4000:], "1", "2")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"\xff\xfb\x90\0" * 4000, "no WAV file"),
        (wav(form(0x83, block=10, bits=0), bytes(1000)), "G.729"),
        (pcm(10)[:40], "its samples|without samples"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"JUNK", bytes(9000)) * 30, "its samples|without samples"),
    ],
    ids=["MP3", "G.729", "cut off", "made to be walked"],
)
@pytest.mark.parametrize("name", ORIGINS)
async def test_what_cannot_be_cut(autojump_clock: MockClock, name: str, file: bytes, says: str) -> None:
    """A recording that is there and cannot be cut is malformed, in words that say what it is, and never missing."""
    async with laboratory() as lab:
        serve(lab, file, **ORIGINS[name])
        for _ in range(2):
            with pytest.raises(MalformedAnswer) as raised:
                await lab.objects.probe(*_as_candidates(subject("0", "1")))
            assert re.search(says, str(raised.value))
        assert lab.origin.requests <= 2 * (16 if file.startswith(b"RIFF\0\0\0\0WAVEJUNK") else 2)


async def test_one_question_and_a_reader_who_leaves(autojump_clock: MockClock) -> None:
    """A caller that requests a head and gives up leaves it to the next one that waits for it."""
    async with laboratory(latency_seconds=1.0) as lab:
        serve(lab, PLAIN)
        done = []

        async def wait(number: int, seconds: float) -> None:
            with trio.move_on_after(seconds):
                await read(lab, *subject(str(number), str(number + 1)))
                done.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, 0, 0.5)
            await trio.sleep(0.1)
            nursery.start_soon(wait, 1, 60)
            nursery.start_soon(wait, 2, 60)
        assert sorted(done) == [1, 2]
        assert walked(PLAIN)[0].offset == 44
        assert lab.origin.requests == 4


async def test_a_missing_recording(autojump_clock: MockClock) -> None:
    """A clip of a missing recording is missing too."""
    async with laboratory() as lab:
        with pytest.raises(RemoteObjectMissing):
            await lab.objects.probe(*_as_candidates(subject("0", "1")))
