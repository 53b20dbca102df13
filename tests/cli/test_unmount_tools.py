"""The processes that keep a mount busy."""

import os
import subprocess
import sys
from pathlib import Path

from cffs.cli.unmount_tools import holders


def test_holders_are_named(tmp_path):
    """A process that works in the folder, or has a file open in it, is found by name and pid."""
    child = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        assert [(holder.pid, holder.name) for holder in holders(tmp_path)] == [(child.pid, "sleep")]
    finally:
        child.kill()
        child.wait()
    assert os.getpid() not in [holder.pid for holder in holders(Path("/"))]
    assert sys.executable
