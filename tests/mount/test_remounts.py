"""A later mount shows the names, inode numbers and times of the first one."""

import os
import stat
from pathlib import Path

from tests.mount.mounting import account_variables, mounted


def everything(root: Path) -> dict[str, os.stat_result]:
    """Every path below the root that a listing shows, with its attributes."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder) / name
            found[str(path.relative_to(root))] = path.lstat()
    return found


def identities(shown: dict[str, os.stat_result]) -> dict[str, tuple[int, int, int]]:
    """What a backup depends on: inode number, time and mode of each path."""
    return {path: (found.st_ino, found.st_mtime_ns, found.st_mode) for path, found in shown.items()}


def test_a_later_mount_shows_what_an_earlier_one_showed(said, home, standin):
    """A remount has every name, inode number, mode and time of the mount before, in every folder and view, also in
    another time zone. One with `--names ids` lists ids instead, campaigns with their call folders and `calls/` flat; a
    recording is the same file there, and each path of either spelling opens under both."""
    variables = account_variables(standin)
    with mounted(said, home, variables, "--timezone", "Pacific/Kiritimati") as mount:
        names = set(everything(mount.path))
        assert {path.split("/")[3] for path in names if path.startswith("by-date/") and path.count("/") == 3} == {"02"}
    with mounted(said, home, variables, "--timezone", "America/New_York") as mount:
        here = everything(mount.path)
        assert set(here) == names
        modes = {stat.S_IFMT(found.st_mode): stat.S_IMODE(found.st_mode) for found in here.values()}
        assert modes == {stat.S_IFDIR: 0o755, stat.S_IFREG: 0o644}
        recordings = {path: found.st_ino for path, found in here.items() if path.endswith(".mp3")}
        system = os.statvfs(mount.path)
        known_nbytes = sum(here[path].st_size for path in recordings if path.startswith("recordings/"))
        assert system.f_flag & os.ST_RDONLY
        assert system.f_blocks * system.f_frsize >= known_nbytes > 0
        assert (system.f_bfree, system.f_bavail) == (0, 0)
    with mounted(said, home, variables, "--names", "ids") as mount:
        ids = everything(mount.path)
        assert all(name.isdecimal() for name in os.listdir(mount.path / "calls"))
        for campaign in (mount.path / "campaigns").iterdir():
            assert campaign.name.isdecimal()
            others = {name for name in os.listdir(campaign) if not name.isdecimal()}
            assert others == {"campaign.json", "playlist.m3u8"}
        assert {f"{os.path.splitext(path)[0]}.json" for path in recordings if path.startswith("recordings/")} <= set(
            ids
        )
        for path, inode in recordings.items():
            assert (mount.path / path).stat().st_ino == inode, path
    with mounted(said, home, variables) as mount:
        assert identities(everything(mount.path)) == identities(here)
        for path, found in ids.items():
            assert stat.S_ISDIR(found.st_mode) or (mount.path / path).stat().st_ino == found.st_ino, path
