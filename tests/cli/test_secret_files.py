"""Files that `…_file` names: owner and mode decide whether they are used."""

import os
from pathlib import Path

import pytest

from tests.cli.helpers import cffs, one_line


def written(path: Path, mode: int) -> Path:
    path.write_text("CANARYKEY\n")
    path.chmod(mode)
    return path


def shown(home: Path, path: Path, *, by: str) -> object:
    """`config show` with the file named in the environment or the config."""
    if by == "environment":
        return cffs(home, "config", "show", CFFS_APIKEY_FILE=str(path))
    config = home / "config/cffs/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'apikey_file = "{path}"\n')
    return cffs(home, "config", "show")


@pytest.mark.parametrize("by", ["environment", "config"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode, by):
    """One line that names the file and what to do, and nothing of what is in it."""
    path = written(tmp_path / "key.secret", mode)
    said = one_line(shown(tmp_path, path, by=by), 1)
    assert f"{path} holds a secret and others can read it; run: chmod 600 {path}" in said
    assert "CANARY" not in said


@pytest.mark.parametrize("by", ["environment", "config"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_our_own_is_used(tmp_path, mode, by):
    """A file of our own that is closed to others is used, also through a link."""
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path / "key.secret", mode))
    done = shown(tmp_path, link, by=by)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CANARY" not in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused(tmp_path):
    """Root refuses another user's file, though root could read it: its owner may change it."""
    path = written(tmp_path / "key.secret", 0o600)
    os.chown(path, 65534, 65534)
    said = one_line(shown(tmp_path, path, by="environment"), 1)
    assert "belongs to another user (uid 65534)" in said


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing", "huge"])
def test_what_is_no_small_file_is_one_line(tmp_path, kind):
    """What is no small regular file is one line, and nothing hangs on a pipe."""
    path = tmp_path / "key.secret"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.write_text("CANARY" * 10_000)
        path.chmod(0o600)
    assert str(path) in one_line(cffs(tmp_path, "config", "show", CFFS_APIKEY_FILE=str(path)), 1)
