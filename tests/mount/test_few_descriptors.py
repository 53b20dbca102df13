"""A mount with 64 file descriptors."""

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.mount.mounting import account_variables, environment, run, until
from tests.mount.test_disk import true_bytes

LIMIT = 64
READERS = 40


def test_many_readers(said, home, standin):
    """Forty readers at once of WAVs and then of MP3s read all of them right, and neither API is called offline."""
    for _ in range(60):
        standin.account.add_call(recordings=1, seconds=9)
    path = home / "mnt"
    path.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "cffs.cli", "mount", "-f", "--log-file", home / "log", path],
        cwd=home,
        env=environment(home, account_variables(standin)),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT)),
    )
    try:
        until(path.is_mount)
        mp3s = sorted(one for one in (path / "recordings").iterdir() if one.suffix == ".mp3")
        assert len(mp3s) > 60
        with ThreadPoolExecutor(READERS) as pool:
            for files in ([one.with_suffix(".wav") for one in mp3s], mp3s):
                for file, data in zip(files, pool.map(lambda one: one.read_bytes(), files), strict=True):
                    assert data == true_bytes(standin, path, file), file
        done = run(said, home, "status", path)
        assert "online" in done.stdout, done.stdout
        assert "offline" not in (home / "log").read_text()
    finally:
        run(said, home, "umount", "--lazy", path)
        child.wait(60)
