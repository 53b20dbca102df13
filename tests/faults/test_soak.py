"""A minute of the soak test; ten are `scripts/soak 10`."""

import subprocess
import sys

import pytest

from tests.mount.mounting import ROOT


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_minute_of_everything():
    """Readers, listers, faults and remounts for a minute: no wrong byte, no late call, everything back to baseline."""
    command = [sys.executable, str(ROOT / "scripts/tools/soak.py"), "1", "--seed", "11"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
