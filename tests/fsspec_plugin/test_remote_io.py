"""Open files: Python's file interface, byte by byte that of the true object."""

import copy
import io
import wave

import hypothesis
import pytest
from hypothesis import strategies

from cffs.core.units import BLOCK_NBYTES
from tests.fsspec_plugin.conftest import true_bytes


@pytest.fixture
def path(recordings):
    """The path of a WAV of several hundred KiB."""
    return f"recordings/{recordings[3]}.wav"


@pytest.fixture
def whole(recordings, standin):
    """Its bytes."""
    return true_bytes(standin, recordings[3], "wav")


def test_reads_in_order_and_at_random(fs, path, whole):
    """Reads of any size from any place return the true bytes; past the end there are none."""
    with fs.open(path) as file:
        assert (file.size, file.readable(), file.seekable(), file.writable()) == (len(whole), True, True, False)
        assert file.read(4) == whole[:4]
        assert file.tell() == 4
        assert file.read(3 * BLOCK_NBYTES + 5) == whole[4 : 3 * BLOCK_NBYTES + 9]
        assert file.seek(-10, io.SEEK_END) == len(whole) - 10
        assert file.read() == whole[-10:]
        assert file.read() == b""
        assert file.seek(-5, io.SEEK_CUR) == len(whole) - 5
        assert file.read(100) == whole[-5:]
        assert file.seek(10**12) == 10**12
        assert file.read(1) == b""
        file.seek(7)
        assert file.read(0) == b""
        assert file.peek(1)[:1] == whole[7:8]
        assert file.read() == whole[7:]


STEPS = ["read", "readinto", "read1", "readline", "from start", "from here", "from end"]


def test_any_steps_give_what_an_ordinary_file_gives(fs, path, whole, tmp_path):
    """Whatever a program does with an open file, in any order, it sees what it would of an ordinary file."""
    (tmp_path / "whole").write_bytes(whole)
    step = strategies.tuples(strategies.sampled_from(STEPS), strategies.integers(-600_000, 900_000))

    @hypothesis.settings(max_examples=60)
    @hypothesis.given(steps=strategies.lists(step, max_size=12))
    def compare(steps: list[tuple[str, int]]) -> None:
        with fs.open(path) as file, (tmp_path / "whole").open("rb") as true:
            for step, number in steps:
                assert seen(file, step, number) == seen(true, step, number), (step, number)
                assert file.tell() == true.tell()

    compare()


def seen(file: io.BufferedReader, step: str, number: int) -> object:
    """What one step on a file returns; that it was refused (an ordinary file raises OSError where ours, as fsspec's,
    raises ValueError)."""
    try:
        if step.startswith("from"):
            return file.seek(number, ["from start", "from here", "from end"].index(step))
        if step == "readinto":
            target = bytearray(abs(number))
            return file.readinto(target), bytes(target)
        if step == "read1":  # how much one read has is up to the file
            data = file.read1(min(abs(number), 1000))
            return bool(data), file.seek(-len(data), io.SEEK_CUR)
        return file.read(number) if step == "read" else file.readline(abs(number))
    except (OSError, ValueError):
        return "refused"


def test_readinto(fs, path, whole):
    """Bytes go straight into the caller's buffer, whatever its items are."""
    with fs.open(path) as file:
        target = bytearray(300_000)
        assert file.readinto(target) == 300_000
        assert target == whole[:300_000]
        items = memoryview(bytearray(8 * 100)).cast("Q")
        file.seek(0)
        assert file.readinto(items) == 800
        assert bytes(items) == whole[:800]


def test_text_and_lines(fs, recordings):
    """Text mode and lines work as with any file."""
    lines = fs.cat_file("recordings/index.jsonl").decode().splitlines(keepends=True)
    assert len(lines) == len(recordings)
    with fs.open("recordings/index.jsonl", "rt", encoding="utf-8") as file:
        assert list(file) == lines
    with fs.open("recordings/index.jsonl") as file:
        assert [line.decode() for line in file] == lines
    assert fs.read_text("recordings/index.jsonl") == "".join(lines)


def test_misuse(fs, path):
    """Seeks before the start, unknown origins and closed files are ValueError; a file may be closed twice."""
    file = fs.open(path)
    with pytest.raises(ValueError, match="negative"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.raw.seek(0, 9)
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    file.close()
    file.close()
    for use in (file.read, file.tell, lambda: file.seek(0), lambda: file.raw.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_file_is_sent_as_path_and_position(fs, path, whole):
    """What stands for an open file in another process is its path and position."""
    with fs.open(path) as file:
        file.seek(1000)
        reopen, arguments = file.__reduce__()
        with copy.copy(file) as again:
            assert again.read() == whole[1000:]
    assert arguments == (fs, path, 1000)
    with reopen(*arguments) as again:
        assert again.read() == whole[1000:]


def test_wave_reads_frames(fs, path, whole):
    """The standard library's own reader finds the frames of a recording."""
    with fs.open(path) as file, wave.open(file) as found, wave.open(io.BytesIO(whole)) as true:
        assert found.getparams() == true.getparams()
        found.setpos(found.getnframes() // 2)
        true.setpos(true.getnframes() // 2)
        assert found.readframes(10_000) == true.readframes(10_000)
