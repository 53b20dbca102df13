"""Completion, colours, pipes and speed: the command around its work."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from tests.cli.helpers import ROOT, cffs, environment, one_line
from tests.mount.mounting import contention

#: A noisy machine gets five times of what is promised.
NOISE = 5


@pytest.fixture
def on_path(tmp_path) -> dict[str, str]:
    """Variables under which a shell finds `cffs`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "cffs"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m cffs.cli "$@"\n')
    script.chmod(0o755)
    # click runs bash to learn its version
    return environment(tmp_path, PATH=f"{folder}:{os.environ['PATH']}", PYTHONPATH=str(ROOT))


BASH = """
source <(cffs completion bash)
complete_line() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _cffs_completion cffs
    echo "${COMPREPLY[@]}"
}
complete_line cffs m
complete_line cffs mount --allow
complete_line cffs completion z
"""


def test_bash(on_path):
    """In bash commands, options and choices complete."""
    done = subprocess.run(["bash", "-c", BASH], env=on_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["mount", "--allow-other", "zsh"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(on_path, tmp_path, shell):
    """zsh and fish take their script, and what it calls gives the candidates in their form."""
    script = cffs(tmp_path, "completion", shell).stdout
    assert "_CFFS_COMPLETE" in script
    words = {
        "COMP_WORDS": "cffs mou",
        "COMP_CWORD": "1" if shell == "zsh" else "mou",
        "_CFFS_COMPLETE": f"{shell}_complete",
    }
    told = subprocess.run(["cffs"], env=on_path | words, capture_output=True, text=True, timeout=60).stdout
    assert "mount" in told
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        option = "--no-execute" if shell == "fish" else "-n"
        check = subprocess.run([shell, option, str(tmp_path / "script")])
        assert check.returncode == 0


def test_completion_of_a_folder_asks_no_file_system(on_path):
    """A mount point completes as a folder by the shell itself: a mount may hang."""
    words = {"COMP_WORDS": "cffs umount /nowhere", "COMP_CWORD": "2", "_CFFS_COMPLETE": "bash_complete"}
    told = subprocess.run(["cffs"], env=on_path | words, capture_output=True, text=True, timeout=60).stdout
    assert told.strip() == "dir,/nowhere"


@pytest.mark.parametrize("arguments", [["help", "options"], ["config", "show"], ["--version"]])
def test_an_output_without_room(tmp_path, arguments):
    """Where the output goes to a full disk: one line, status 1, no second complaint at the end."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cffs.cli", *arguments],
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "cffs: the output could not be written: No space left on device\n")


def test_unknown_shell(tmp_path):
    """Another shell is wrong usage."""
    assert "tcsh" in one_line(cffs(tmp_path, "completion", "tcsh"), 2)


DEAD = {"CFFS_V1_URL": "http://127.0.0.1:9/1", "CFFS_V2_URL": "http://127.0.0.1:9/2"}


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_on_terminals_only(tmp_path, more, coloured):
    """On a terminal doctor's states have colours, unless NO_COLOR or a dumb one; the words are there in any case."""
    import pty

    variables = environment(tmp_path, **{"TERM": "xterm", **DEAD, **more})
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "doctor"], env=variables, stdout=slave, stderr=slave, cwd=tmp_path
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:
            break
        seen += piece
    os.close(master)
    assert child.wait(30) == 1
    assert (b"\x1b[" in seen) is coloured
    assert re.search(rb"FAIL.*credentials", seen)


def test_a_terminal_without_unicode(tmp_path):
    """Text that the terminal cannot show is written in escapes, never a traceback."""
    done = cffs(tmp_path, "status", tmp_path / "sch\u00f6n", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "sch" in done.stderr


def test_data_that_the_output_cannot_show(tmp_path):
    """Data for stdout that the terminal cannot show is written in escapes, never a traceback."""
    program = "from cffs.cli.main import run\nimport click\n"
    program += "run(click.Command('x', callback=lambda: click.echo('sch\\xf6n')), [], name='x')"
    variables = environment(tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sch")


def test_watch_ends_with_ctrl_c(tmp_path):
    """`status --watch` in a pipe prints plain lines again and again, and Ctrl-C ends it without a word."""
    import signal

    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "status", "--watch", "--json"],
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    first, second = child.stdout.readline(), child.stdout.readline()
    assert first.startswith("[")
    assert second.startswith("[")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "promised"), [(["--help"], 0.25), (["status"], 0.3), (["completion", "bash"], 0.3)]
)
def test_quick(tmp_path, arguments, promised):
    """`--help` comes within 0.25 s, `status` within 0.3 s: no network code is imported for them."""
    took = []
    for _ in range(5):
        started = time.monotonic()
        assert cffs(tmp_path, *arguments).returncode == 0
        took.append(time.monotonic() - started)
    assert min(took) < promised * NOISE * contention()
    code = f"import sys; sys.argv = ['cffs', *{arguments!r}]\nfrom cffs.cli.main import cli\n"
    code += "cli.main(args=sys.argv[1:], standalone_mode=False)\nprint('MODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True)
    loaded = set(done.stdout.partition("MODULES ")[2].split())
    assert not {"trio", "httpx", "pyfuse3", "rich", "h11"} & loaded
