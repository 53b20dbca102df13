"""Recordings that are still growing, through the kernel."""

import errno
import os
import subprocess
import time
from collections.abc import Callable

import pytest

from cffs.standin.growing_call import GrowingCall
from tests.mount.mounting import account_variables, mounted

#: Five times what a look, a second of `tail` and a busy machine take together.
PATIENCE_SECONDS = 20


def wait_for(is_so: Callable[[], bool]) -> None:
    """Return once the condition holds; fail when patience ends."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("form", ["mp3", "wav"])
def test_tail_and_cat(said, home, standin, form):
    """`tail -f` prints what comes until the recording is finished; then `cat` gives exactly the finished bytes, at no
    request the second time, also to a program that had read it while it grew."""
    live = GrowingCall(standin.account, standin.account.call_ids()[0], seconds=4)
    with mounted(said, home, account_variables(standin)) as mount:
        path = mount.path / "recordings" / f"{live.id}.{form}"
        os.listdir(path.parent)
        first = path.read_bytes()
        assert first == live.object(form).read()
        assert path.stat().st_blocks == 1  # nothing of it is cached
        output = home / "tailed"
        with output.open("wb") as file, subprocess.Popen(["tail", "-c", "+1", "-f", path], stdout=file) as tail:
            try:
                wait_for(lambda: output.stat().st_size == len(first))
                for _ in range(2):
                    live.grow(3)
                    wait_for(lambda: output.stat().st_size == live.object(form).total_nbytes)
                live.grow(3)
                live.finish()
                wait_for(lambda: output.stat().st_size == live.object(form).total_nbytes)
            finally:
                tail.terminate()
        true = live.object(form).read()
        assert output.read_bytes()[4096:] == true[4096:]
        wait_for(lambda: path.stat().st_size == len(true) and path.read_bytes() == true)
        before = len(standin.requests)
        assert path.read_bytes() == true
        assert path.stat().st_size == len(true)
        assert len(standin.requests) == before


def test_decoders(said, home, standin):
    """The part of a WAV that is there plays while it grows: its head says how much that is."""
    live = GrowingCall(standin.account, standin.account.call_ids()[0], seconds=2)
    with mounted(said, home, account_variables(standin)) as mount:
        path = mount.path / "recordings" / f"{live.id}.wav"
        os.listdir(path.parent)
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-"], capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, len(done.stdout)) == (0, 2 * 8000 * 2)


def test_error(said, home, standin):
    """A recording that fails is EIO at open; its .json says why."""
    live = GrowingCall(standin.account, standin.account.call_ids()[0], seconds=2)
    with mounted(said, home, account_variables(standin)) as mount:
        path = mount.path / "recordings" / f"{live.id}.mp3"
        os.listdir(path.parent)
        assert path.read_bytes() == live.object("mp3").read()
        live.fail("the line went dead")
        wait_for(lambda: b"the line went dead" in path.with_suffix(".json").read_bytes())
        with pytest.raises(OSError) as raised:
            path.read_bytes()
        assert raised.value.errno == errno.EIO
