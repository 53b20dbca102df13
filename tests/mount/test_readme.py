"""What the README tells a newcomer to type works, typed as it stands there, against an account of the stand-in."""

import os
import re
import subprocess
import sys
from pathlib import Path

from cffs.standin.account import Account
from cffs.standin.thread import StandinThread
from tests.mount.mounting import CANARIES, ROOT, WATCHDOG_SECONDS, account_variables, environment

#: Typed by a newcomer, but not by this test: what installs, what Debian does not have, what test_systemd types.
_NOT_RUN = ("pip install", "whisper", "systemctl", "loginctl", "cffs config unit")


def blocks() -> list[str]:
    """The README's shell blocks, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)


def typed(block: str, standin: StandinThread, home: Path) -> str:
    """The block with this account's own values where the README has an ellipsis or an example's id."""
    told = standin.credentials
    recording_id = standin.account.recording_ids(standin.account.call_ids()[0])[0]
    campaign_id = next(int(str(row["id"])) for row in standin.account.broadcast_rows())
    lines = [line for line in block.splitlines() if not any(word in line for word in _NOT_RUN)]
    text = "\n".join(line.partition("  # ")[0].rstrip() for line in lines)
    for example, value in (
        ("CFFS_APIKEY=…", f"CFFS_APIKEY='{told.apikey}'"),
        ("CFFS_LOGIN=…", f"CFFS_LOGIN='{told.login}'"),
        ("CFFS_PASSWORD=…", f"CFFS_PASSWORD='{told.password}'"),
        ("18000000003.mp3 …", f"{recording_id}.mp3 -v error -f null -"),
        ("4490010003", str(campaign_id)),
        ("/archive/", f"{home}/archive/"),
        ("/backup/media/", f"{home}/backup-media/"),
    ):
        text = text.replace(example, value)
    return text


def test_the_readme_is_true(said, home):
    """Mounting, looking around, playing, copying and unmounting as the README shows it, in one shell."""
    _commands, mounting, *others = blocks()
    everyday = next(block for block in others if "rsync" in block)
    (home / "archive").mkdir()
    (home / "bin").mkdir()
    (home / "bin/cffs").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m cffs.cli "$@"\n')
    (home / "bin/cffs").chmod(0o755)
    with StandinThread(Account(seed=4, calls=12), credentials=CANARIES) as standin:
        urls = {name: value for name, value in account_variables(standin).items() if name.endswith("_URL")}
        urls["PATH"] = f"{home}/bin:{os.environ['PATH']}"
        before, unmounting = typed(mounting, standin, home).split("cffs umount")
        script = f"set -eu\n{before}\n{typed(everyday, standin, home)}\ncffs umount{unmounting}"
        try:
            done = subprocess.run(
                ["sh", "-c", script],
                env=environment(home, urls),
                cwd=home,
                capture_output=True,
                text=True,
                timeout=2 * WATCHDOG_SECONDS,
            )
        finally:
            subprocess.run(["fusermount3", "-uzq", str(home / "calls")], check=False, stderr=subprocess.DEVNULL)
        said.outputs.append(done.stderr)
        assert done.returncode == 0, done.stderr
        assert len(list((home / "archive").rglob("*.mp3"))) >= 1
        assert len(list((home / "backup-media").rglob("*.*"))) >= 16
