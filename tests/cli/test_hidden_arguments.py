"""Secrets on the command line are overwritten where the kernel shows them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDE = "import sys; from cffs.cli.hidden_arguments import hide_in_arguments; hide_in_arguments(sys.argv[1]); "


def shown(*arguments: str) -> list[bytes]:
    """The arguments as the kernel shows them after the first of them was hidden."""
    code = HIDE + "sys.stdout.buffer.write(open('/proc/self/cmdline', 'rb').read())"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, check=True)
    return done.stdout.split(b"\0")[3:-1]


@pytest.mark.parametrize("secret", ["sEcReT", "p%40ss", "gehe\u00edm"])
def test_a_secret_is_hidden_wherever_it_stands(secret: str) -> None:
    """Each occurrence is replaced by stars, and nothing else."""
    assert shown(secret, f"redis://u:{secret}@h", "other") == [
        b"*" * len(secret.encode()),
        b"redis://u:" + b"*" * len(secret.encode()) + b"@h",
        b"other",
    ]


def test_nothing_is_hidden_for_nothing() -> None:
    """An empty text, and one that does not occur, change nothing."""
    assert shown("", "a") == [b"", b"a"]


def test_the_command_hides_the_password_of_the_shared_server(tmp_path: Path) -> None:
    """While a command of cffs runs, the kernel shows no password of --shared."""
    command = [
        sys.executable,
        "-c",
        (
            "import time; from cffs.cli.options import given_options; "
            "print(given_options({'shared': 'redis://:sEcReT@h'})['shared'], flush=True); time.sleep(30)"
        ),
        "redis://:sEcReT@h",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "redis://:sEcReT@h\n"
            deadline = time.monotonic() + 5
            while b"redis://:sEcReT" in (found := Path(f"/proc/{running.pid}/cmdline").read_bytes()).split(b"\0")[-2]:
                assert time.monotonic() < deadline
            assert found.split(b"\0")[-2] == b"redis://:******@h"
        finally:
            running.kill()
