"""Private folders: one per process, gone afterwards, also where it was killed."""

import os
import stat

import pytest

from cffs.core.errors import UsageError
from cffs.fsspec_plugin.private_folder import PREFIX, YOUNG_SECONDS, process_folder, remove_left_behind


def age(folder, seconds=2 * YOUNG_SECONDS):
    """Make the folder look as if it had been made some time ago."""
    found = folder.stat()
    os.utime(folder, (found.st_atime - seconds, found.st_mtime - seconds))


def test_folder_is_private_and_removed(tmp_path):
    """No other user can enter it, and nothing is left."""
    with process_folder(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "catalog.sqlite").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_folders_of_living_processes_stay(tmp_path):
    """A lock shows that its process lives, however old the folder is."""
    with process_folder(tmp_path) as first:
        age(first)
        with process_folder(tmp_path) as second:
            assert first.exists()
            assert second != first


def test_what_a_killed_process_left_is_removed(tmp_path):
    """A folder without a lock goes once it is not young; what has another name, or is open to others, stays."""
    old, young, foreign, shared = (
        tmp_path / name for name in (f"{PREFIX}old", f"{PREFIX}young", "other", f"{PREFIX}shared")
    )
    for folder in (old, young, foreign, shared):
        folder.mkdir(mode=0o700)
    shared.chmod(0o755)
    (old / "catalog.sqlite").write_bytes(b"x")
    for folder in (old, foreign, shared):
        age(folder)
    (tmp_path / f"{PREFIX}link").symlink_to(foreign)
    remove_left_behind(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["other", f"{PREFIX}young", f"{PREFIX}shared", f"{PREFIX}link"]
    )


def test_unusable_parent_is_one_line(tmp_path):
    """A parent that does not exist is reported with what to do."""
    with pytest.raises(UsageError, match="name another in cache_dir"), process_folder(tmp_path / "none"):
        pass
