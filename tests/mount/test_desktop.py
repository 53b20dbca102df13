"""The desktop check as users run it."""

import shutil
import subprocess
import sys

import pytest

from tests.mount.mounting import ROOT

NEEDED = ("Xvfb", "thunar", "dbus-daemon", "import", "xdotool", "gio", "mpv", "ffplay", "sox")
missing = [name for name in NEEDED if shutil.which(name) is None]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    bool(missing), reason=f"not on this machine: {', '.join(missing)}; scripts/desktop-check installs it"
)
def test_a_desktop_costs_no_audio(tmp_path):
    """Thunar with tumbler on a folder of 200 recordings fetches not one byte of audio; the players play and seek."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/tools/desktop_check.py"), str(tmp_path / "screen.png")],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("Thunar with tumbler")]
    assert row.split()[-4:] == ["0", "0", "0", "ok"]
    assert (tmp_path / "screen.png").stat().st_size > 10_000
