"""The demo as a newcomer sees it: without ffmpeg, and the mount that stays."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.mount.mounting import ROOT, WATCHDOG_SECONDS, environment

#: The programs that the tour starts, besides Python; no decoder is among them.
TOOLS = ("fusermount3", "stat", "cat", "umount", "mount")


@pytest.fixture
def without_ffmpeg(home):
    """A PATH with nothing but what the mount needs."""
    folder = home / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        assert found is not None, name
        (folder / name).symlink_to(found)
    return {"PATH": str(folder)}


def test_the_tour(said, home, without_ffmpeg):
    """On a machine without ffmpeg the tour plays a recording by Python's own reader, compares every audio file, ends
    with one summary line on stdout and with what to do next on stderr, and leaves nothing mounted."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/tools/demo.py", home / "mnt"],
        env=environment(home, without_ffmpeg),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECONDS,
    )
    said.outputs.append(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"demo: \d+ audio files, \d+ bytes read in [\d.]+ s, all equal to the stand-in's", lines[-1])
    assert re.fullmatch(r"played .*_14155035894_.* through wave: \d+\.\d s of sound \(samples \w+\)", lines[-2])
    assert "cffs login" in done.stderr
    assert "cffs mount" in done.stderr.splitlines()[-1]
    assert not os.path.ismount(home / "mnt")


def test_the_examples_exist(said, home):
    """`cffs demo` says where to look once it is mounted; the paths that it names exist, and Ctrl-C ends it."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "demo", "mnt"],
        env=environment(home, {}),
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            lines = []
            while not lines or "cffs login" not in lines[-1]:
                lines.append(demo.stderr.readline())
                assert lines[-1], lines
            assert any("mounted on" in line for line in lines)
            examples = [line.strip() for line in lines if line.startswith("  ")][:-1]
            assert len(examples) == 3
            for example in examples:
                command = example if example.startswith("ls ") else f"head -c 4 {example.partition(' ')[2]}"
                done = subprocess.run(["sh", "-c", command], cwd=home, capture_output=True, timeout=WATCHDOG_SECONDS)
                assert (done.returncode, done.stderr) == (0, b""), example
                assert done.stdout, example
        finally:
            demo.send_signal(signal.SIGINT)
            said.outputs.append("".join(lines) + demo.stderr.read())
    assert demo.returncode == 0
    assert not os.path.ismount(home / "mnt")
