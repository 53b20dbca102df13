"""The README's commands work as they stand there, in their order."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mount.mounting import ROOT, WATCHDOG_SECONDS, environment

#: Blocks that set a machine up. `scripts/test --all` types them in fresh systems; a test of its own runs the demo.
_SETS_UP = ("scripts/demo", "apt-get install")
#: A player that this machine may not have: it opens what the playlist names, as mpv does, and reads it to its end.
_PLAYER = """#!/bin/sh
set -eu
for playlist; do
    cd "$(dirname "$playlist")"
    grep -v '^#' "$playlist" | while IFS= read -r item; do cat "$item" >/dev/null && echo "played $item"; done
done
"""


def blocks() -> list[str]:
    """The README's shell blocks, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)


def typed(line: str) -> str:
    """A line as a person types it: `watch` is ended by Ctrl-C after a while; pipx is not undone."""
    command = line.partition("  #")[0].rstrip()
    if command.startswith("cffs watch"):
        return f"timeout --signal=INT 4 {command} || [ $? = 124 ]"
    return command.replace("pipx uninstall cffs", "true")


@pytest.fixture
def tools(home: Path) -> Path:
    """A folder with the commands `cffs` and `mpv`."""
    folder = home / "bin"
    folder.mkdir()
    (folder / "cffs").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m cffs.cli "$@"\n')
    (folder / "mpv").write_text(_PLAYER)
    for tool in folder.iterdir():
        tool.chmod(0o755)
    return folder


def test_every_block_works_as_it_stands(said, home, tools):
    """Each line of the README, typed by an ordinary user in a clean home, in one shell, against `cffs standin`."""
    lines = [line for block in blocks() if not any(word in block for word in _SETS_UP) for line in block.splitlines()]
    assert len(lines) >= 12
    script = "set -eux\n" + "\n".join(typed(line) for line in lines)
    variables = {"PATH": f"{tools}:{os.environ['PATH']}", "USER": "newcomer"}
    for name in ("config", "cache", "local/state"):
        variables[f"XDG_{name.rpartition('/')[2].upper()}_HOME"] = str(home / f".{name}")
    try:
        done = subprocess.run(
            ["sh", "-c", script],
            env=environment(home, variables),
            cwd=home,
            capture_output=True,
            text=True,
            timeout=4 * WATCHDOG_SECONDS,
        )
    finally:
        subprocess.run(["fusermount3", "-uzq", str(home / "calls")], check=False, stderr=subprocess.DEVNULL)
    said.outputs.append(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    copied = list((home / "archive").rglob("*.mp3"))
    assert len(copied) >= 20
    assert all(file.stat().st_size > 0 for file in copied)
    assert done.stdout.count("played ") >= 20
    assert not (home / ".cache/cffs").exists()


def test_nothing_leads_where_a_newcomer_cannot_go():
    """The picture and the documents that the README names are files of the checkout, and it is short."""
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"\]\((cffs/[^)#]+)", text)
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert len(text.splitlines()) <= 150
