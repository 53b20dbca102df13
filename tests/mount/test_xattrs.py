"""Extended attributes and `--revalidate` on a real mount."""

import errno
import os
import subprocess
import time

import pytest

from tests.mount.mounting import account_variables, mounted


def attributes(path: object) -> dict[str, bytes]:
    """What `getfattr -d -m -` shows."""
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def test_with_the_option(said, home, standin):
    """Programs read the attributes at no request; absent ones are ENODATA, setting one is refused, `ls -l` and cp -a
    work."""
    with mounted(said, home, account_variables(standin), "--xattrs") as mount:
        folder = mount.path / "recordings"
        path = folder / next(name for name in sorted(os.listdir(folder)) if name.endswith(".mp3"))
        before = len(standin.requests)
        found = attributes(path)
        assert found["user.cffs.id"] == path.stem.encode()
        assert found["user.xdg.origin.url"].startswith(standin.v2_url.encode())
        assert found["user.cffs.cached"] == b"none"
        assert attributes(folder) == {}
        with pytest.raises(OSError) as absent:
            os.getxattr(path, "user.nothing")
        assert absent.value.errno == errno.ENODATA
        with pytest.raises(OSError) as refused:
            os.setxattr(path, "user.comment", b"x")
        assert refused.value.errno == errno.EROFS
        for command in (["ls", "-l", folder], ["gio", "info", path]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        assert len(standin.requests) == before
        subprocess.run(["cp", "-a", path, home / "copy.mp3"], check=True, timeout=60)
        assert (home / "copy.mp3").read_bytes() == path.read_bytes()
        assert attributes(path)["user.cffs.cached"] == b"full"


def test_without(said, home, standin):
    """Without the option programs see that there are none."""
    with mounted(said, home, account_variables(standin)) as mount:
        for ask in (lambda: os.listxattr(mount.path / "recordings"), lambda: os.getxattr(mount.path, "user.x")):
            with pytest.raises(OSError) as refused:
                ask()
            assert refused.value.errno == errno.ENOTSUP


def test_revalidate(said, home, standin):
    """A cached recording that changed at the service is read again, whole, once `--revalidate` seconds are over."""
    with mounted(said, home, account_variables(standin), "--revalidate", "1") as mount:
        folder = mount.path / "recordings"
        path = folder / next(name for name in sorted(os.listdir(folder)) if name.endswith(".mp3"))
        below = f"/v2/calls/recordings/{path.name}"
        assert path.read_bytes() == standin.account.object_for(below).read()
        inode = path.stat().st_ino
        standin.account.replace_object(below)
        time.sleep(1.1)
        assert path.read_bytes() == standin.account.object_for(below).read()
        assert path.stat().st_ino != inode
