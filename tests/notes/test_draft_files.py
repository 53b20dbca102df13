"""What is made ahead is as good as what is made at once; nothing of it is left."""

import os
import stat
import threading
from pathlib import Path

import pytest

from cffs.core.errors import SpoolFailed
from cffs.notes.draft_files import DraftFiles

DAY_SECONDS = 86_400


@pytest.fixture(params=[False, True], ids=["at once", "ahead"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> DraftFiles:
    """Files without and with some that were made ahead."""
    made = DraftFiles(tmp_path / ".drafts", now_seconds=0)
    if request.param:
        made.make_ahead()
    return made


def test_modes_and_contents(files: DraftFiles, tmp_path: Path) -> None:
    """Files are empty and 0600, folders empty and 0700; no two are the same one."""
    taken = [files.take() for _ in range(50)]
    assert len({path for _descriptor, path in taken}) == len(taken)
    for number, (descriptor, path) in enumerate(taken):
        assert (os.fstat(descriptor).st_size, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600)
        assert os.pwrite(descriptor, b"x", 0) == 1
        os.close(descriptor)
        path.unlink()
        folder = tmp_path / str(number)
        files.make_folder(str(folder))
        assert (stat.S_IMODE(folder.stat().st_mode), os.listdir(folder)) == (0o700, [])
    files.close()
    assert os.listdir(tmp_path / ".drafts") == []


def test_what_is_there_stays(files: DraftFiles, tmp_path: Path) -> None:
    """A folder that another mount has put something in, a file and a link are not replaced."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "note").write_text("words")
    (tmp_path / "file").write_text("words")
    (tmp_path / "link").symlink_to(full)
    for name in ("full", "file", "link"):
        with pytest.raises(FileExistsError):
            files.make_folder(str(tmp_path / name))
    assert (full / "note").read_text() == (tmp_path / "file").read_text() == "words"
    assert (tmp_path / "link").is_symlink()
    files.close()
    assert os.listdir(tmp_path / ".drafts") == []


def test_removed_by_others(files: DraftFiles, tmp_path: Path) -> None:
    """Another mount may remove what was made ahead long ago: another one is made then. Without the folder it is an
    error."""
    for entry in (tmp_path / ".drafts").iterdir():
        entry.rmdir() if entry.is_dir() else entry.unlink()
    descriptor, path = files.take()
    os.close(descriptor)
    path.unlink()
    files.make_folder(str(tmp_path / "88"))
    assert (tmp_path / "88").is_dir()
    (tmp_path / ".drafts").rmdir()
    with pytest.raises(SpoolFailed):
        files.take()
    files.make_ahead()
    files.close()


def test_left_by_a_mount_that_was_killed(files: DraftFiles, tmp_path: Path) -> None:
    """What is older than a day is removed at a start, and nothing younger."""
    files.make_ahead()
    before = len(os.listdir(tmp_path / ".drafts"))
    now_seconds = os.stat(tmp_path / ".drafts").st_mtime
    DraftFiles(tmp_path / ".drafts", now_seconds=now_seconds)
    assert len(os.listdir(tmp_path / ".drafts")) == before > 0
    DraftFiles(tmp_path / ".drafts", now_seconds=now_seconds + 2 * DAY_SECONDS)
    assert os.listdir(tmp_path / ".drafts") == []


def test_starts_beside_a_mount_that_writes(tmp_path: Path) -> None:
    """What another mount takes while this one looks for what was left is no error."""
    writer = DraftFiles(tmp_path / ".drafts", now_seconds=0)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            writer.make_ahead()
            for _ in range(32):
                descriptor, path = writer.take()
                os.close(descriptor)
                path.unlink()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(100):
            DraftFiles(tmp_path / ".drafts", now_seconds=0).close()
    finally:
        over.set()
        thread.join()
    writer.close()
